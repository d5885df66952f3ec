#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts what a "meson test" run found, from its testlog.json, and names what failed.

A program that writes TAP counts as its test cases, any other program as one test. Prints one line per failure and, as
the last line, three numbers: passed, failed, skipped.

usage: count.py TESTLOG.json
"""
import json
import re
import sys

CASE = re.compile(r"^(not )?ok\b(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)")
TELLING = re.compile(r"^SUMMARY:|: runtime error: |assertion failed|Assertion .*failed")
TAIL = 8  # lines of output shown for a program that failed, after at most as many telling ones


def cases(output):
    """The (name, outcome) of each TAP line, and how many were planned."""
    found, planned = [], None
    for line in output.splitlines():
        case, plan = CASE.match(line), PLAN.match(line)
        if plan:
            planned = int(plan.group(1))
        elif case:
            name = re.sub(r"^\s*\d*\s*-?\s*|\s*\([0-9.]+s\)\s*$", "", case.group(2))
            skipped = re.search(r"#\s*SKIP", case.group(2), re.IGNORECASE)
            found.append((name, "failed" if case.group(1) else "skipped" if skipped else "passed"))
    return found, planned


def main():
    count = {"passed": 0, "failed": 0, "skipped": 0}
    with open(sys.argv[1], encoding="utf-8", errors="replace") as log:
        tests = [json.loads(line) for line in log if line.strip()]
    for test in tests:
        result, output = test["result"], test.get("stdout") or ""
        good = result in ("OK", "EXPECTEDFAIL", "SKIP")
        found, planned = cases(output)
        if planned is None:
            count["skipped" if result == "SKIP" else "passed" if good else "failed"] += 1
        else:
            for name, outcome in found:
                count[outcome] += 1
                if outcome == "failed":
                    print(f"    {test['name']}: {name}")
            lost = max(planned - len(found), 0)
            if not good and lost == 0 and not any(outcome == "failed" for _, outcome in found):
                lost = 1
            count["failed"] += lost
        if not good:
            print(f"  {test['name']}: {result.lower()}, status {test.get('returncode')}")
            text = (output if planned is None else "") + (test.get("stderr") or "")
            lines = text.splitlines()
            for line in [line for line in lines[:-TAIL] if TELLING.search(line)][:TAIL] + lines[-TAIL:]:
                print(f"    | {line}")
    print(count["passed"], count["failed"], count["skipped"])


if __name__ == "__main__":
    main()
