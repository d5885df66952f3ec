#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that no line of C code is wider than 120 columns and no C file longer than 500 lines.

usage: lengths.py ROOT
"""
import os
import sys

TOPS = ("include", "runtime", "tests", "bench", os.path.join("docs", "examples"))
COLUMNS_MAX = 120
LINES_MAX = 500


def sources(root):
    for top in TOPS:
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.join(folder, name)


def main():
    root = sys.argv[1]
    wrong, count = [], 0
    for path in sources(root):
        count += 1
        shown = os.path.relpath(path, root)
        with open(path, encoding="utf-8") as text:
            lines = text.read().splitlines()
        wrong += [f"{shown}:{number}: {len(line)} columns" for number, line in enumerate(lines, 1)
                  if len(line) > COLUMNS_MAX]
        if len(lines) > LINES_MAX:
            wrong.append(f"{shown}: {len(lines)} lines")
    if count == 0:
        wrong.append("no source found: is the path right?")
    print("\n".join(wrong) if wrong else f"{count} files, all of {COLUMNS_MAX} columns and {LINES_MAX} lines at most")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
