#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the order tags of the sources, such as [DQ1], with docs/memory-model.md.

Each tag in runtime/ and include/ appears in the document; each tag of the document appears in the sources, on two lines
or more, unless a line of the document that has the tag calls it single-ended. No tag has two rows.

usage: tags.py ROOT
"""
import collections
import os
import re
import sys

TAG = re.compile(r"\[([A-Z]{2,3}[0-9]+)\]")
ROW = re.compile(r"^\| \[([A-Z]{2,3}[0-9]+)\]")


def tags_of_sources(root):
    found = collections.defaultdict(list)
    for top in ("include", "runtime"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if not name.endswith((".c", ".h")):
                    continue
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as text:
                    for number, line in enumerate(text, 1):
                        for tag in set(TAG.findall(line)):
                            found[tag].append(f"{os.path.relpath(path, root)}:{number}")
    return found


def tags_of_document(path):
    """Tag -> whether it is said to be single-ended; tag -> how many rows it has."""
    found, rows = {}, collections.Counter()
    with open(path, encoding="utf-8") as text:
        for line in text:
            rows.update(ROW.findall(line))
            for tag in TAG.findall(line):
                found[tag] = found.get(tag, False) or "single-ended" in line
    return found, rows


def main():
    root = sys.argv[1]
    path = os.path.join(root, "docs", "memory-model.md")
    if not os.path.exists(path):
        print("docs/memory-model.md is missing")
        return 1
    sources = tags_of_sources(root)
    document, rows = tags_of_document(path)
    wrong = [f"docs/memory-model.md: [{tag}] has {n} rows" for tag, n in sorted(rows.items()) if n > 1]
    for tag, places in sorted(sources.items()):
        if tag not in document:
            wrong.append(f"{places[0]}: [{tag}] is not in docs/memory-model.md")
        elif len(places) < 2 and not document[tag]:
            wrong.append(f"{places[0]}: [{tag}] has no partner in the sources, and is not single-ended in the document")
    for tag in sorted(document):
        if tag not in sources:
            wrong.append(f"docs/memory-model.md: [{tag}] is not in the sources")
    print("\n".join(wrong) if wrong else f"{len(sources)} tags, all documented")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
