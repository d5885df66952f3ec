#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Compresses a real file with wgz, pigz and gzip in turns, checks that gunzip gives the file back, and prints times,
# processor time, speed and ratio: medians of the rounds.
#
# usage: bench/wgz.sh [--json] [MEBIBYTES [ROUNDS]]   (default: 256 5; the file is made of files under /usr)
#   --json  lines as weir-bench prints them
# Builds nothing: build/docs/examples/wgz must be there (bench/run.sh makes it).
set -eu
cd "$(dirname "$0")/.."
json=0
if [ "${1-}" = --json ]; then
    json=1
    shift
fi
size=${1:-256}
rounds=${2:-5}
wgz=build/docs/examples/wgz
if [ ! -x "$wgz" ]; then
    echo "$wgz is not there: build first, with zlib (zlib1g-dev)" >&2
    exit 1
fi
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT

# A fixed choice of real files, in a fixed order: programs, libraries, headers, text.
find /usr/bin /usr/lib /usr/include /usr/share -xdev -type f -size +20k -readable 2>/dev/null | LC_ALL=C sort |
    awk 'NR % 3 == 0' | tr '\n' '\0' | { xargs -0 cat 2>/dev/null || true; } | head -c "${size}M" >"$here/file" || true
bytes=$(stat -c %s "$here/file")

ways=("$wgz -p2")
! command -v pigz >/dev/null 2>&1 || ways+=("pigz -p2")
! command -v gzip >/dev/null 2>&1 || ways+=("gzip")
declare -A times cpu packed
failed=0
TIMEFORMAT='%3R %3U %3S' # seconds: real, user, system
for ((round = 0; round < rounds; round++)); do
    for way in "${ways[@]}"; do
        [ "$way" != gzip ] || [ "$round" -lt 3 ] || continue # the slow one: three rounds
        { time $way <"$here/file" >"$here/packed" 2>&3; } 3>&2 2>"$here/time"
        read -r real user system <"$here/time"
        times[$way]="${times[$way]-} $real"
        cpu[$way]="${cpu[$way]-} $(awk -v u="$user" -v s="$system" 'BEGIN { print u + s }')"
        packed[$way]=$(stat -c %s "$here/packed")
        if [ "$round" -eq 0 ] && ! gunzip <"$here/packed" | cmp - "$here/file"; then
            echo "$way: gunzip gives something else back"
            failed=1
        fi
    done
done

# figures LIST: minimum, median, maximum, number.
figures() {
    tr ' ' '\n' <<<"$1" | sed '/^$/d' | sort -n |
        awk '{ t[NR] = $1 } END { print t[1], t[int((NR + 1) / 2)], t[NR], NR }'
}

# line IMPL METRIC UNIT FACTOR LIST: one JSON object.
line() {
    figures "$5" | awk -v i="$1" -v m="$2" -v u="$3" -v f="$4" '{
        printf "{\"bench\": \"wgz\", \"impl\": \"%s\", \"workers\": %d, ", i, i == "gzip" ? 1 : 2
        printf "\"metric\": \"%s\", \"value\": %g, \"unit\": \"%s\", ", m, f * $2, u
        printf "\"min\": %g, \"median\": %g, \"max\": %g, ", f * $1, f * $2, f * $3
        printf "\"spread\": %.4g, \"runs\": %d}\n", ($3 - $1) / $2, $4 }'
}

read -r _ first _ <<<"$(figures "${times[${ways[0]}]}")"
[ "$json" -eq 1 ] ||
    echo "$bytes bytes from /usr: median of $rounds rounds, CPU time, MB/s, output / input, time / time of wgz"
for way in "${ways[@]}"; do
    name=${way##*/}
    if [ "$json" -eq 1 ]; then
        line "${name%% *}" time ms 1000 "${times[$way]}"
        line "${name%% *}" cpu ms 1000 "${cpu[$way]}"
        line "${name%% *}" output_over_input ratio 1 "$(awk "BEGIN { print ${packed[$way]} / $bytes }")"
        continue
    fi
    read -r low t high _ <<<"$(figures "${times[$way]}")"
    read -r _ c _ <<<"$(figures "${cpu[$way]}")"
    awk -v n="$name" -v t="$t" -v s="$(awk "BEGIN { print 100 * ($high - $low) / $t }")" -v c="$c" -v b="$bytes" \
        -v p="${packed[$way]}" -v f="$first" 'BEGIN {
            printf "  %-10s %8.3f s (spread %2.0f %%) %8.3f s %8.1f MB/s  %.4f  %6.3f\n",
            n, t, s, c, b / t / 1e6, p / b, t / f }'
done
exit $failed
