#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that the inlined fork/join paths hold no atomic read-modify-write and no fence.

Compiles fast_path_probe.c at -O3 with every compiler that is there, disassembles it, and looks through each function
for a lock prefix, an exchange with memory or a fence. A function must also store to the worker's `bottom` (offset 0)
as often as its paths do: a probe that the compiler emptied proves nothing. Exit status 77: no x86-64 machine, nothing
checked.

usage: fast_path.py ROOT
"""
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

# Probe functions and the stores to bottom that each has at least.
PROBES = {"probe_fork_unfork": 2, "probe_fork_join": 2, "probe_spawn": 1, "probe_typed": 2}
FORBIDDEN = re.compile(r"^(lock\b|[lms]fence\b|xchg\w*\s.*\(|xadd|cmpxchg)")
# The slot is at -1(...), the task's fields are in the frame or further on: what is stored at offset 0 is bottom.
STORE = re.compile(r"^mov\w*\s+[%$][^,]+,(?:0x0)?\((?!%rsp)%r\w+\)$")
UPDATE = re.compile(r"^(?:add|sub)q?\s+\$[^,]+,(?:0x0)?\((?!%rsp)%r\w+\)$")


def functions(listing):
    """Name -> instructions, from objdump's output."""
    found, current = {}, None
    for line in listing.splitlines():
        head = re.match(r"^[0-9a-f]+ <([^>]+)>:$", line)
        if head:
            # gcc moves unlikely parts into NAME.cold or splits NAME.part.0: they belong to the function.
            current = found.setdefault(head.group(1).split(".")[0], [])
        elif current is not None and "\t" in line:
            current.append(re.sub(r"\s+#.*$", "", line.split("\t", 1)[1].strip()))
    return found


def stores_to_bottom(code):
    return sum(1 for instruction in code if STORE.match(instruction) or UPDATE.match(instruction))


def check(cc, root, folder, options=()):
    obj = os.path.join(folder, "probe.o")
    subprocess.run([cc, "-std=c11", "-O3", "-Wall", "-Wextra", "-Werror", *options, "-I", os.path.join(root, "include"), "-c",
                    os.path.join(root, "tests", "lint", "fast_path_probe.c"), "-o", obj], check=True)
    listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", obj], check=True, stdout=subprocess.PIPE).stdout
    code = functions(listing.decode())
    wrong = []
    for name, least in PROBES.items():
        body = code.get(name, [])
        wrong += [f"{cc}: {name}: {i}" for i in body if FORBIDDEN.match(i)]
        found = stores_to_bottom(body)
        if found < least:
            wrong.append(f"{cc}: {name}: {found} stores to bottom found in {len(body)} instructions, not {least}")
        else:
            print(f"{cc}: {name}: {len(body)} instructions, {found} stores to bottom")
    return wrong


def main():
    if platform.machine() not in ("x86_64", "AMD64"):
        print("not an x86-64 machine")
        return 77
    compilers = [c for c in ("gcc", "clang") if shutil.which(c)]
    wrong = [] if compilers else ["no compiler found"]
    with tempfile.TemporaryDirectory() as folder:
        for cc in compilers:
            wrong += check(cc, sys.argv[1], folder)
            wrong += check(cc, sys.argv[1], folder, ["-DWEIR_FORK_REGISTER"])
            wrong += check(cc, sys.argv[1], folder, ["-masm=intel"]) # base.h: both dialects of its comparison
    print("\n".join(wrong) if wrong else "no locked instruction and no fence")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
