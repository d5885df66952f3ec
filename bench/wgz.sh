#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Compresses a real file with wgz, pigz and gzip in turns, checks that gunzip gives the file back, and prints times,
# speed and ratio: medians of the rounds.
#
# usage: bench/wgz.sh [MEBIBYTES [ROUNDS]]   (default: 256 5; the file is made of the largest files under /usr)
# Builds nothing: build/docs/examples/wgz must be there (bench/run.sh makes it).
set -eu
cd "$(dirname "$0")/.."
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
declare -A times packed
failed=0
for ((round = 0; round < rounds; round++)); do
    for way in "${ways[@]}"; do
        [ "$way" != gzip ] || [ "$round" -lt 3 ] || continue # the slow one: three rounds
        start=${EPOCHREALTIME/[.,]/}
        $way <"$here/file" >"$here/packed"
        times[$way]="${times[$way]-} $((${EPOCHREALTIME/[.,]/} - start))"
        packed[$way]=$(stat -c %s "$here/packed")
        if [ "$round" -eq 0 ] && ! gunzip <"$here/packed" | cmp - "$here/file"; then
            echo "$way: gunzip gives something else back"
            failed=1
        fi
    done
done

median() { tr ' ' '\n' <<<"$1" | sed '/^$/d' | sort -n | awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)] }'; }
spread() { # (maximum - minimum) / median, in %
    tr ' ' '\n' <<<"$1" | sed '/^$/d' | sort -n |
        awk '{ t[NR] = $1 } END { printf "%.0f", 100 * (t[NR] - t[1]) / t[int((NR + 1) / 2)] }'
}
first=$(median "${times[${ways[0]}]}")
echo "$bytes bytes from /usr: median of $rounds rounds, MB/s, output / input, time / time of wgz"
for way in "${ways[@]}"; do
    t=$(median "${times[$way]}")
    s=$(spread "${times[$way]}")
    awk -v n="${way##*/}" -v t="$t" -v s="$s" -v b="$bytes" -v p="${packed[$way]}" -v f="$first" 'BEGIN {
        printf "  %-10s %8.3f s (spread %2d %%) %8.1f MB/s  %.4f  %6.3f\n", n, t / 1e6, s, b / t, p / b, t / f }'
done
exit $failed
