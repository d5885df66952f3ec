#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that what documents put into backquotes exists: functions, files, tests, constants.

Of README.md and docs/: `name()`, `a_name_with_underscores` and `WEIR_NAME` occur in some source as words; a `path` with
the ending of a source or a document is the end of a path in the tree, or of a header that a source includes.

usage: names.py ROOT
"""
import os
import re
import sys

TOPS = ("include", "runtime", "tests", "bench", "docs")
SOURCE = re.compile(r"\.(c|h|py|sh|go|rs|cpp|hpp|build|map|ini)$|^mutate$")
QUOTED = re.compile(r"`([^`]+)`")
NAME = re.compile(r"(\w+)\(\)|((?:[a-z0-9]+_)+[a-z0-9]+|WEIR_[A-Z0-9_]+)")
PATH = re.compile(r"[\w./-]+\.(?:c|h|md|py|sh|go|rs|cpp|hpp|build|map|ini|svg|txt|jsonl)")


def walk(root):
    for top in TOPS:
        for folder, folders, names in os.walk(os.path.join(root, top)):
            folders[:] = sorted(f for f in folders if f != "__pycache__")
            for name in sorted(names):
                yield os.path.join(folder, name)


def read_tree(root):
    """All words of sources, and all ends of paths: of files, and of headers from elsewhere."""
    words, ends = set(), set()
    for path in walk(root):
        parts = os.path.relpath(path, root).split(os.sep)
        ends.update("/".join(parts[i:]) for i in range(len(parts)))
        if SOURCE.search(parts[-1]):
            with open(path, encoding="utf-8") as text:
                source = text.read()
            words.update(re.findall(r"\w+", source))
            ends.update(re.findall(r"#\s*include\s*<([^>]+)>", source))
    return words, ends


def documents(root):
    yield os.path.join(root, "README.md")
    for path in walk(root):
        if path.endswith(".md"):
            yield path


def main():
    root = sys.argv[1]
    words, ends = read_tree(root)
    wrong, count = [], 0
    for document in documents(root):
        fenced = False
        with open(document, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                fenced ^= line.startswith("```")
                for quoted in [] if fenced else QUOTED.findall(line):
                    name, path = NAME.fullmatch(quoted), PATH.fullmatch(quoted)
                    count += name is not None or path is not None
                    if name and (name.group(1) or name.group(2)) not in words or path and quoted not in ends:
                        wrong.append(f"{os.path.relpath(document, root)}:{number}: `{quoted}` is not in the tree")
    if count == 0:
        wrong.append("no name found in the documents: is the path right?")
    print("\n".join(wrong) if wrong else f"{count} names, all in the tree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
