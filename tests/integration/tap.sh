# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# tap.sh - sourced by the shell tests: counts their cases, a line of TAP each.

failures=0
cases=0

ok() { # ok NAME CONDITION...: counts one case
    name=$1
    shift
    cases=$((cases + 1))
    if "$@"; then
        echo "ok $cases $name"
    else
        echo "not ok $cases $name"
        failures=$((failures + 1))
    fi
}
