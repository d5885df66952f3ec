#!/bin/sh
# SPDX-License-Identifier: MIT
#
# treewc against GNU wc: the same lines, words and bytes on trees made to be awkward, and on real ones.
#
# usage: test_treewc.sh TREEWC
set -u
treewc=$1
here=$(mktemp -d "${TMPDIR:-/tmp}/treewc.XXXXXX") || exit 1
trap 'chmod -R u+rwx "$here"; rm -rf "$here"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$here"
. "${0%/*}/tap.sh"

counts() { # the three numbers of the last line, which is the total
    tail -n 1 | awk '{ print $1, $2, $3 }'
}

agrees() { # agrees [OPTION...] DIRECTORY: treewc and wc count the same, and treewc has nothing to complain about
    for last; do :; done
    # wc is slow: its answer is kept while it is asked for the same directory in the same locale.
    if [ "$last ${LC_ALL-} ${POSIXLY_CORRECT-}" != "${asked-}" ]; then
        asked="$last ${LC_ALL-} ${POSIXLY_CORRECT-}"
        answer=$(find "$last" -type f -print0 | wc -lwc --files0-from=- | counts)
    fi
    wanted=$answer
    got=$("$treewc" "$@" 2>"$here/err") || { echo "# exit status $?: $(cat "$here/err")"; return 1; }
    got=$(printf '%s\n' "$got" | counts)
    [ "$wanted" = "$got" ] && [ ! -s "$here/err" ] && return
    echo "# ${LC_ALL-} $*: wc says $wanted, treewc says $got"
    cat "$here/err"
    return 1
}

complains() { # complains STATUS TEXT COMMAND...: the exit status and the message on standard error are as expected
    status=$1 text=$2
    shift 2
    "$@" >"$here/out" 2>"$here/err"
    got=$?
    [ "$got" -eq "$status" ] && grep -qF -- "$text" "$here/err" && return
    echo "# $*: exit status $got, wanted $status and '$text'"
    cat "$here/err"
    return 1
}

says() { # says "LINES WORDS BYTES" COMMAND...
    wanted=$1
    shift
    got=$("$@" 2>"$here/err")
    status=$?
    got=$(printf '%s\n' "$got" | counts)
    [ $status -eq 0 ] && [ "$wanted" = "$got" ] && return
    echo "# $*: exit status $status, $got, wanted $wanted"
    cat "$here/err"
    return 1
}

repeat() { # repeat TEXT TIMES: TEXT over and over, without a line end
    awk -v text="$1" -v n="$2" 'BEGIN { while (n-- > 0) printf "%s", text }'
}

bytes() { # bytes BYTE NUMBER: the byte, as tr writes it, over and over
    head -c "$2" /dev/zero | tr '\0' "$1"
}

# --- the awkward tree: everything that may go wrong at the ends of files, chunks, names and directories ---
t=$here/tree
mkdir -p "$t/empty directory" "$t/wide" "$t/text" "$t/binary" "$t/many/directories"
: >"$t/text/empty"
printf 'no line end' >"$t/text/open"
printf '\n\n \t\v\f\r\n' >"$t/text/only space"
printf 'control \001\002 \033[1m \177 characters\000between\000\n' >"$t/text/control"
printf 'no-break\302\240space \342\200\257 \342\200\207 \342\201\240 \343\200\200ideographic\n' >"$t/text/spaces"
printf 'broken \342\202 \360\237 \200\200\200\200 \377 \355\240\200 \300\240 \364\220\200\n\342\202' >"$t/text/broken"
printf 'x' >"$t/-n"
printf 'y z\n' >"$t/a
name with lines"
bytes x 3145728 >"$t/text/one word of three chunks"
repeat 'word ' 700001 >"$t/text/words"
{ printf 'x'; repeat '€' 1100000; } >"$t/text/three-byte characters"
{ printf 'xy'; repeat '😀 ' 700000; } >"$t/text/four-byte characters"
{ printf 'x'; repeat '€' 349525; printf '\n'; repeat 'é' 600000; } >"$t/text/cut in a character"
bytes ' ' 1048576 >"$t/text/exactly one chunk of space"
{ bytes a 1048576; printf ' b'; } >"$t/text/word ends with the chunk"
{ bytes '\200' 1048575; printf 'a'; bytes '\200' 9; bytes 'b' 1048567; } >"$t/text/continuation bytes"
head -c 5000000 /dev/urandom >"$t/binary/random"
head -c 262144 /dev/urandom >"$t/binary/one buffer"
cp "$treewc" "$t/binary/program"
i=0
while [ $i -lt 1000 ]; do
    echo "file $i of a wide directory" >"$t/wide/$i"
    [ $((i % 5)) -ne 0 ] || mkdir "$t/many/directories/$i"
    i=$((i + 1))
done
for i in "$t"/many/directories/*; do echo "in $i" >"$i/file"; done
# Not counted: symbolic links, whatever they lead to, and pipes, which nobody would ever write to.
ln -s text/words "$t/link to a file"
ln -s . "$t/link to a directory"
ln -s nowhere "$t/broken link"
mkfifo "$t/pipe"

utf8=$(locale -a 2>/dev/null | grep -iE '^C\.utf-?8$' | head -n 1)
real=/usr/include # large: one such tree per locale
for LC_ALL in C ${utf8:-}; do
    export LC_ALL
    for j in 1 2 16; do
        ok "the awkward tree, $LC_ALL, -j $j" agrees -j $j "$t"
    done
    POSIXLY_CORRECT=1
    export POSIXLY_CORRECT
    ok "no-break spaces are not space, $LC_ALL" agrees "$t/text"
    unset POSIXLY_CORRECT
    for d in $real /usr/share/common-licenses; do
        [ ! -d $d ] || ok "$d, $LC_ALL" agrees $d
    done
    real=/usr/share/doc
done

unset LC_ALL

# --- arguments ---
ok "several arguments, files too" says "5 12 51" "$treewc" "$t/-n" "$t/text/only space" "$t/empty directory" \
    "$t/a
name with lines" "$t/text/open" "$t/wide/7"
ok "a link that is an argument is followed" says "0 700001 3500005" "$treewc" "$t/link to a file"
cd "$t/wide" || exit 1
ok "without arguments, the current directory" says "1000 6000 28890" "$treewc"
cd "$here" || exit 1
ok "a name with a slash at its end" says "1000 6000 28890" "$treewc" "tree/wide/"
mkdir -p sums/a/b
echo one >sums/a/b/1
echo two words >sums/a/2
printf '      1       1       4 sums/a/b\n      2       3      14 sums/a\n      2       3      14 sums\n' >wanted
printf '      2       3      14 total\n' >>wanted
"$treewc" -v sums >got 2>&1
ok "-v gives the totals of each directory" cmp wanted got

# --- errors: reported, and the rest is counted all the same ---
ok "a file that isn't there" complains 1 'treewc: nowhere: No such file' "$treewc" nowhere tree/wide
ok "the rest is counted" says "1000 6000 28890" cat out
ok "a pipe as an argument" complains 1 'treewc: tree/pipe: ' "$treewc" tree/pipe
ok "an unknown option" complains 2 'usage: treewc' "$treewc" -x
ok "no workers" complains 2 'usage: treewc' "$treewc" -j 0
[ ! -w /dev/full ] || ok "a full disk under the output" complains 2 'standard output' sh -c '"$1" "$2" >/dev/full' \
    sh "$treewc" tree/wide
mkdir -p locked/shut
echo counted >locked/open
echo secret >locked/closed
echo secret >locked/shut/file
chmod 000 locked/closed locked/shut
as_user=
[ "$(id -u)" -ne 0 ] || as_user='setpriv --reuid=65534 --regid=65534 --clear-groups'
if $as_user "$treewc" sums >/dev/null 2>&1; then
    ok "an unreadable file" complains 1 'treewc: locked/closed: Permission denied' $as_user "$treewc" locked
    ok "an unreadable directory" grep -qx 'treewc: locked/shut: Permission denied' err
    ok "what can be read is counted" says "1 1 8" cat out
else
    echo "# unreadable files: no other user to try with"
fi
chmod 755 locked/shut

# --- limits: few descriptors, paths longer than the kernel takes, trees deeper than any stack ---
ok "sixteen descriptors" says "1000 6000 28890" sh -c 'ulimit -n 16 && exec "$1" -j 2 "$2"' sh "$treewc" tree/wide
name=$(bytes d 200)
i=0
mkdir deep # grows at its top, so that no command needs the long path
while [ $i -lt 60 ]; do
    mkdir above
    echo "level $i" >above/file
    mv deep "above/$name"
    mv above deep
    i=$((i + 1))
done
ok "a path of 12,000 bytes" says "60 120 530" "$treewc" deep
levels=$(repeat d/ 1000)
mkdir narrow
echo bottom >narrow/file
for i in 1 2 3; do
    mkdir -p "above/$levels"
    mv narrow "above/$levels"
    mv above narrow
done
ok "3,000 levels" says "1 1 7" "$treewc" narrow

# --- a tree that changes under its feet: no crash, no hang, and a status that says whether something was missed ---
mkdir moving
(
    i=0
    while [ $i -lt 150 ]; do
        mkdir "moving/$i" && echo x >"moving/$i/x" && cp tree/text/words moving/grows && rm -r "moving/$i"
        i=$((i + 1))
    done
) &
changing=$!
status=0
i=0
while [ $i -lt 30 ]; do
    "$treewc" moving >/dev/null 2>&1
    [ $? -le 1 ] || status=1
    i=$((i + 1))
done
wait $changing
ok "a tree that changes" [ $status -eq 0 ]

echo "1..$cases"
[ $failures -eq 0 ]
