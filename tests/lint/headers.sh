#!/bin/sh
# SPDX-License-Identifier: MIT
# Compiles each public header alone, twice included, as C11 and as C++17, with every compiler that is there.
# usage: headers.sh ROOT
set -eu
root=$1
bad=0
count=0

# compile COMPILER LANGUAGE STANDARD HEADER
compile() {
    command -v "$1" >/dev/null 2>&1 || return 0
    count=$((count + 1))
    printf '#include <weir/%s>\n#include <weir/%s>\nextern int weir_lint;\n' "$4" "$4" |
        "$1" -x "$2" -std="$3" -pedantic -Wall -Wextra -Werror -fsyntax-only -I"$root/include" - || {
        echo "weir/$4 does not compile alone: $1 -std=$3"
        bad=1
    }
}

for path in "$root"/include/weir/*.h; do
    header=${path##*/}
    for cc in gcc clang; do
        compile "$cc" c c11 "$header"
    done
    for cxx in g++ clang++; do
        compile "$cxx" c++ c++17 "$header"
    done
done
[ "$count" -gt 0 ] || { echo "no compiler found"; exit 1; }
[ "$bad" -eq 0 ] && echo "$count compilations"
exit "$bad"
