#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds weir into build/ and lets it work: treewc over real directories beside find, xargs, cat and wc, then the first
# table of weir-bench and a short form of its requests. On Debian 12, 13 or Ubuntu 24.04 it first installs what is
# missing, as root or with sudo. Ends in one line, "everything agreed" or what did not, and exits with 0 if everything did.
#
# usage: bench/run.sh [DIRECTORY...]   (default: /usr/include /usr/share/doc /usr/share/common-licenses)
set -eu
cd "$(dirname "$0")/.."
. tests/install.sh

ROUNDS=3 # of each way to count; the shortest time is shown

need_build_tools
need_command find findutils
need_command wc coreutils
install_missing

options=-Dbuildtype=release
[ -f build/build.ninja ] || options="$options -Dtests=false"
echo "building into build/"
# shellcheck disable=SC2086 # a list of options
if ! configure build $options || ! ninja -C build >>build.log 2>&1; then
    tail -n 15 build.log >&2
    echo "weir does not build, see build.log"
    exit 1
fi

disagreed=()
export LC_ALL=C # one idea of what a word is for everybody

# --- counting: the main job on real input -----------------------------------------------------------------------

cpus=$(nproc)
messages=$(mktemp)
trap 'rm -f "$messages"' EXIT

count_treewc() { build/docs/examples/treewc "${directories[@]}" | tail -n 1; }
count_cat() { find "${directories[@]}" -type f -print0 | xargs -0 -P"$cpus" -n64 cat | wc; }
count_wc() { find "${directories[@]}" -type f -print0 | wc --files0-from=- | tail -n 1; }

# measure NAME FUNCTION: sets totals ("LINES WORDS BYTES") and keeps the shortest time so far in shortest[NAME].
declare -A shortest
measure() {
    local start=${EPOCHREALTIME/[.,]/} time
    # What can't be read is named on standard error by all of them, and missing from all their totals.
    totals=$($2 2>"$messages") || true
    time=$((${EPOCHREALTIME/[.,]/} - start))
    totals=$(awk '{ print $1, $2, $3 }' <<<"$totals")
    if [ -z "${shortest[$1]-}" ] || [ "$time" -lt "${shortest[$1]}" ]; then
        shortest[$1]=$time
    fi
}

row() { awk -v n="$1" -v t="${shortest[$1]}" -v b="${shortest[$2]}" \
    'BEGIN { printf "  %-36s %9.3f s  %6.2f\n", n, t / 1e6, t / b }'; }

directories=()
for d in "${@:-/usr/include}"; do
    [ ! -d "$d" ] || directories+=("$d")
done
if [ $# -eq 0 ]; then
    for d in /usr/share/doc /usr/share/common-licenses; do
        [ ! -d "$d" ] || directories+=("$d")
    done
fi

if [ "${#directories[@]}" -eq 0 ]; then
    disagreed+=("no directory to count in")
else
    ways="find | xargs -P$cpus cat | wc"
    count_wc >/dev/null 2>&1 || true # files are in memory from here on
    for ((round = 0; round < ROUNDS; round++)); do
        measure treewc count_treewc
        ours=$totals
        measure "$ways" count_cat
        piped=$totals
        measure "find | wc --files0-from" count_wc
        if [ -z "$ours" ] || [ "$ours" != "$totals" ]; then
            disagreed+=("treewc counts '$ours', wc '$totals'")
        fi
        # Concurrent cats mix their output, which makes and breaks words, but neither lines nor bytes.
        if [ "${ours% * *} ${ours##* }" != "${piped% * *} ${piped##* }" ]; then
            disagreed+=("treewc counts '$ours', find | xargs cat | wc '$piped'")
        fi
    done
    read -r lines words bytes <<<"$ours"
    echo
    echo "${directories[*]}: $lines lines, $words words, $bytes bytes; shortest of $ROUNDS, ratio to treewc"
    for name in treewc "$ways" "find | wc --files0-from"; do
        row "$name" treewc
    done
    unread=$(grep -c . "$messages" || true)
    [ "$unread" -eq 0 ] || echo "  ($unread files or directories can't be read here and are not counted)"
fi

# --- the table: tasks against plain C ---------------------------------------------------------------------------

echo
build/bench/weir-bench || disagreed+=("weir-bench: status $?, an answer was wrong or a run failed")
build/bench/weir-bench requests --quick --runs 3 --workload burst50k,steady16k,over_cpu ||
    disagreed+=("weir-bench requests: status $?, an account did not balance or a run failed")

echo
if [ "${#disagreed[@]}" -gt 0 ]; then
    (IFS=';'; echo "disagreed: ${disagreed[*]}")
    exit 1
fi
echo "everything agreed"
