#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that the public headers define no macro that does not begin with WEIR_.

usage: macros.py ROOT
"""
import glob
import os
import re
import sys

DEFINE = re.compile(r"^\s*#\s*define\s+(\w+)")


def main():
    root = sys.argv[1]
    wrong, count = [], 0
    for path in sorted(glob.glob(os.path.join(root, "include", "**", "*.h"), recursive=True)):
        with open(path, encoding="utf-8") as text:
            for number, line in enumerate(text, 1):
                match = DEFINE.match(line)
                if match:
                    count += 1
                    if not match.group(1).startswith("WEIR_"):
                        wrong.append(f"{os.path.relpath(path, root)}:{number}: macro {match.group(1)} lacks WEIR_")
    if count == 0:
        wrong.append("no macro found in include/: is the path right?")
    print("\n".join(wrong) if wrong else f"{count} macros, all prefixed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
