#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks what a file may include: its own layer or a lower one, and <stdatomic.h> in one place only.

usage: layers.py ROOT
"""
import os
import re
import sys

# Lowest first. The command line tool stands on the public interface and is nobody's dependency.
LAYERS = ["include", "base", "os", "obs", "sync", "task", "sched", "par", "api", "cli"]
ATOMICS = os.path.join("runtime", "base", "atomics.h")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def sources(root):
    for top in ("include", "runtime"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def layer_of(path):
    parts = path.split(os.sep)
    return "include" if parts[0] == "include" else parts[1]


def target_layer(root, path, included):
    """The layer of an included file, None for a header that is not ours."""
    if included.startswith("weir/"):
        return "include"
    if os.path.exists(os.path.join(root, "runtime", included)):
        return included.split("/")[0]
    if os.path.exists(os.path.join(root, os.path.dirname(path), included)):
        return layer_of(path)
    return None


def main():
    root = sys.argv[1]
    wrong, count = [], 0
    for path in sources(root):
        own = layer_of(path)
        if own not in LAYERS:
            wrong.append(f"{path}: {own} is not a layer")
            continue
        with open(os.path.join(root, path), encoding="utf-8") as text:
            for number, line in enumerate(text, 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                count += 1
                where, included = f"{path}:{number}", match.group(2)
                target = target_layer(root, path, included)
                if included == "stdatomic.h" and path != ATOMICS:
                    wrong.append(f"{where}: <stdatomic.h> belongs in {ATOMICS} only")
                elif target is None:
                    if match.group(1) == '"':
                        wrong.append(f'{where}: "{included}" is not found from runtime/')
                elif LAYERS.index(target) > LAYERS.index(own):
                    wrong.append(f"{where}: {own} includes {included} of the higher layer {target}")
                elif own == "include" and match.group(1) == '"':
                    wrong.append(f"{where}: public headers include each other as <weir/...>")
    print("\n".join(wrong) if wrong else f"{count} includes, all downward")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
