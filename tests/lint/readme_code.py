#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the code that documents show with the files it is taken from.

A line `<!-- docs/examples/hello.c -->` announces that the fenced block after it equals that file, whole. A line
`<!-- docs/examples/fib.c: part -->` announces that the block's lines stand in the file one after another. Blocks of C
code without such a line are refused: what a document shows is compiled.

usage: readme_code.py ROOT
"""
import os
import re
import sys

MARK = re.compile(r"^<!--\s*([\w./-]+)(:\s*part)?\s*-->$")
SKIPPED = {".git", "subprojects"}


def documents(root):
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in SKIPPED and not f.startswith("build"))
        for name in sorted(names):
            if name.endswith(".md"):
                yield os.path.relpath(os.path.join(folder, name), root)


def blocks(lines):
    """Yields (line number, language, mark or None, text) of each fenced block; a mark stands right before its block."""
    mark, start, fence, language, text = None, 0, None, "", []
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if fence is not None:
            if stripped == fence:
                yield start, language, mark, "".join(text)
                mark, fence = None, None
            else:
                text.append(line)
        elif stripped.startswith("```"):
            fence, language, start, text = "```", stripped[3:].strip(), number, []
        elif MARK.match(stripped):
            mark = (number, MARK.match(stripped).group(1), MARK.match(stripped).group(2) is not None)
        elif stripped:
            if mark is not None:
                yield mark[0], "", mark, None
            mark = None
    if mark is not None:
        yield mark[0], "", mark, None


def complaint(root, language, mark, text):
    if mark is None:
        return "C code without the name of its file" if language == "c" else None
    path, part = mark[1], mark[2]
    if text is None:
        # Other comments look the same; only those that name a file of ours announce code.
        return f"no code after the mark of {path}" if os.path.exists(os.path.join(root, path)) else None
    if not os.path.isfile(os.path.join(root, path)):
        return f"{path} does not exist"
    with open(os.path.join(root, path), encoding="utf-8") as source:
        wanted = source.read()
    if part and text and "\n" + text in "\n" + wanted:
        return None
    if not part and text == wanted:
        return None
    return f"differs from {path}"


def main():
    root = sys.argv[1]
    wrong, count = [], 0
    for document in documents(root):
        with open(os.path.join(root, document), encoding="utf-8") as lines:
            for number, language, mark, text in blocks(lines):
                count += mark is not None and text is not None
                reason = complaint(root, language, mark, text)
                if reason:
                    wrong.append(f"{document}:{number}: {reason}")
    print("\n".join(wrong) if wrong else f"{count} blocks of code, all as in their files")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
