#!/bin/sh
# SPDX-License-Identifier: MIT
#
# wgz: whatever goes in comes back out of gunzip, and what goes wrong is said.
#
# usage: test_wgz.sh WGZ
set -u
wgz=$1
here=$(mktemp -d "${TMPDIR:-/tmp}/wgz.XXXXXX") || exit 1
trap 'rm -rf "$here"' EXIT
trap 'exit 1' HUP INT TERM
. "${0%/*}/tap.sh"

round_trip() { # round_trip FILE [OPTION...]
    file=$1
    shift
    "$wgz" "$@" <"$file" >"$here/packed" && gzip -t <"$here/packed" && gunzip <"$here/packed" | cmp - "$file"
}

round_trips() { # a file with many ways to cut it
    for options in "-p 1" "-p 2 -b 1" "-p 3 -b 33 -1" "-p 2 -b 65536 -9"; do
        # shellcheck disable=SC2086 # a list of options
        round_trip "$1" $options || { echo "# $options"; return 1; }
    done
}

shrinks() { # shrinks FILE: within 2 % of what gzip makes of it
    ours=$("$wgz" <"$1" | wc -c)
    theirs=$(gzip <"$1" | wc -c)
    [ "$ours" -lt $((theirs + theirs / 50 + 100)) ] && return
    echo "# $ours bytes, gzip $theirs"
    return 1
}

complains() { # complains STATUS TEXT COMMAND...: the exit status and the message on standard error are as expected
    status=$1 text=$2
    shift 2
    "$@" 2>"$here/err"
    got=$?
    [ "$got" -eq "$status" ] && grep -qF -- "$text" "$here/err" && return
    echo "# $*: exit status $got, wanted $status and '$text'"
    cat "$here/err"
    return 1
}

to_full() { "$wgz" <"$here/text" >/dev/full; }
to_closed() { "$wgz" <"$here/text" >&-; }
from_directory() { "$wgz" <"$here" >"$here/packed"; }
bad_option() { "$wgz" "$@" </dev/null >"$here/packed"; }

slow_reader() { # dribbles in, and out through a pipe
    for i in 1 2 3 4 5; do printf 'part %s\n' "$i"; sleep 0.02; done |
        "$wgz" -b 1 | gunzip | tail -n 1 | grep -qx 'part 5'
}

bounded() { # the peak of resident memory does not grow with the input
    small=$(peak "$here/text")
    large=$(peak "$here/huge")
    [ "$small" -gt 0 ] && [ "$large" -lt $((small + 8192)) ] && return
    echo "# peak of $small KiB for 5 MB, of $large KiB for 24 MB"
    return 1
}

peak() { # KiB: wgz waits at the end of its input, its status is read meanwhile
    mkfifo "$here/fifo" "$here/sink"
    cat "$here/sink" >/dev/null &
    "$wgz" -p 2 <"$here/fifo" >"$here/sink" &
    pid=$!
    exec 3>"$here/fifo"
    cat "$1" >&3
    sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status"
    exec 3>&-
    wait
    rm "$here/fifo" "$here/sink"
}

: >"$here/empty"
printf x >"$here/tiny"
seq 1 700000 >"$here/text"
head -c 131072 "$here/text" >"$here/one_block"
head -c 131073 "$here/text" >"$here/one_block_and_a_byte"
head -c 3000000 /dev/urandom >"$here/random"
for i in 1 2 3 4 5; do cat "$here/text"; done >"$here/huge"
for name in empty tiny one_block one_block_and_a_byte text random; do
    ok "round_trip_of_$name" round_trips "$here/$name"
done
ok "round_trip_of_huge" round_trip "$here/huge"
ok "repetitive_text_shrinks_as_with_gzip" shrinks "$here/huge"
ok "text_shrinks_as_with_gzip" shrinks "$here/text"
ok "random_bytes_grow_little" shrinks "$here/random"
ok "slow_input_comes_through" slow_reader
ok "memory_is_bounded" bounded
if [ -e /dev/full ]; then
    ok "full_device_is_reported" complains 1 "wgz: standard output: No space left on device" to_full
fi
ok "closed_output_is_reported" complains 1 "wgz: standard output:" to_closed
ok "unreadable_input_is_reported" complains 1 "wgz: standard input: Is a directory" from_directory
ok "unknown_option_is_refused" complains 2 "usage: wgz" bad_option -x
ok "zero_workers_are_refused" complains 2 "usage: wgz" bad_option -p 0
ok "file_argument_is_refused" complains 2 "usage: wgz" bad_option file
echo "1..$cases"
[ "$failures" -eq 0 ]
