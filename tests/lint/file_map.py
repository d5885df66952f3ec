#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the file map of docs/architecture.md with the tree.

The map is made of table rows "| `path` | one line |". Every file under include/, runtime/, tests/ and bench/ has
exactly one row; a row whose path ends in "/" stands for all files below that folder (data, not code).

usage: file_map.py ROOT
"""
import os
import re
import subprocess
import sys

TOPS = ("include/", "runtime/", "tests/", "bench/")
ROW = re.compile(r"^\|\s*`([^`]+)`\s*\|\s*(.*?)\s*\|\s*$")


def files_of_tree(root):
    """What git knows or would add; every file where there is no git."""
    try:
        listing = subprocess.run(
            ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *TOPS],
            check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()
        return sorted(f for f in set(listing.split("\0")) if f and os.path.exists(os.path.join(root, f)))
    except (OSError, subprocess.CalledProcessError):
        found = []
        for top in TOPS:
            for folder, folders, names in os.walk(os.path.join(root, top)):
                folders[:] = [f for f in folders if f != "__pycache__"]
                found += [os.path.relpath(os.path.join(folder, name), root) for name in names]
        return sorted(found)


def rows_of_map(path):
    with open(path, encoding="utf-8") as text:
        for number, line in enumerate(text, 1):
            row = ROW.match(line)
            if row and row.group(1).startswith(TOPS):
                yield number, row.group(1), row.group(2)


def main():
    root = sys.argv[1]
    path = os.path.join(root, "docs", "architecture.md")
    if not os.path.exists(path):
        print("docs/architecture.md is missing")
        return 1
    tree = files_of_tree(root)
    wrong = []
    mapped, folders = {}, []
    for number, name, text in rows_of_map(path):
        if not text:
            wrong.append(f"docs/architecture.md:{number}: `{name}` has no description")
        if name in mapped:
            wrong.append(f"docs/architecture.md:{number}: `{name}` is mapped twice, first in line {mapped[name]}")
        mapped[name] = number
        if name.endswith("/"):
            folders.append(name)
            if not any(f.startswith(name) for f in tree):
                wrong.append(f"docs/architecture.md:{number}: no file below `{name}`")
        elif name not in tree:
            wrong.append(f"docs/architecture.md:{number}: `{name}` does not exist")
    for name in tree:
        if name not in mapped and not any(name.startswith(f) for f in folders):
            wrong.append(f"{name}: not in the file map of docs/architecture.md")
    print("\n".join(wrong) if wrong else f"{len(tree)} files, all mapped")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
