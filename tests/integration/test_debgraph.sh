#!/bin/sh
# SPDX-License-Identifier: MIT
#
# debgraph: what it makes of status files with known content, of broken ones, and of the machine's own.
#
# usage: test_debgraph.sh DEBGRAPH
set -u
debgraph=$1
here=$(mktemp -d "${TMPDIR:-/tmp}/debgraph.XXXXXX") || exit 1
trap 'rm -rf "$here"' EXIT
trap 'exit 1' HUP INT TERM
. "${0%/*}/tap.sh"

package() { # package NAME [FIELD...]: a stanza of an installed package
    printf 'Package: %s\nStatus: install ok installed\nArchitecture: amd64\n' "$1"
    shift
    for field; do printf '%s\n' "$field"; done
    echo
}

says() { # says FILE LINE...: exit status 0, nothing on standard error, and each line is printed
    if ! "$debgraph" -p 2 -r 20 "$1" >"$here/out" 2>"$here/err" || [ -s "$here/err" ]; then
        echo "# exit status or standard error"
        cat "$here/err"
        return 1
    fi
    shift
    for line; do
        grep -qxF -- "$line" "$here/out" || { echo "# not there: $line"; sed 's/^/# /' "$here/out"; return 1; }
    done
}

never_says() { # never_says TEXT: not in what the last run has printed
    ! grep -qF -- "$1" "$here/out"
}

complains() { # complains STATUS TEXT ARGUMENT...: exit status and message on standard error are as expected
    status=$1 text=$2
    shift 2
    "$debgraph" "$@" >"$here/out" 2>"$here/err"
    got=$?
    [ "$got" -eq "$status" ] && grep -qF -- "$text" "$here/err" && never_says "ran " && return
    echo "# $*: exit status $got, wanted $status and '$text'"
    cat "$here/err"
    return 1
}

broken() { # broken TEXT-OF-FILE LINE MESSAGE
    # shellcheck disable=SC2059 # the text holds \n
    printf "$1" >"$here/broken"
    complains 1 "broken:$2: $3" "$here/broken"
}

ran() { # ran PARTS EDGES: the line that says so
    echo "ran $1 parts with $2 dependencies, 20 times, on 2 workers: each after all that it needs"
}

{
    package base
    package left 'Depends: base'
    package right 'Pre-Depends: base (>= 1.0), base:any'
    package top 'Depends: left, right (<< 3~)' 'Recommends: nothing'
} >"$here/diamond"
ok "diamond_runs_in_order" says "$here/diamond" "$(ran 4 4)" "longest chain: 3: top left base"

{
    package a 'Depends: b'
    package b 'Depends: c'
    package c 'Depends: a, bottom'
    package bottom
    package user 'Depends: b, a'
    package x 'Depends: y'
    package y 'Depends: x'
} >"$here/cycles"
ok "cycles_are_named_and_merged" says "$here/cycles" "cycle: a -> b -> c -> a" "cycle: x -> y -> x" \
    "merged: c b a" "merged: y x" "$(ran 4 2)" "longest chain: 3: user a bottom"

{
    package one 'Depends: absent | second (>= 2) | third'
    package second
    package third
    package two 'Depends: third | second'
} >"$here/alternatives"
ok "first_alternative_that_is_installed_counts" says "$here/alternatives" "$(ran 4 2)" \
    "$here/alternatives: 4 packages, 0 more not installed, 2 dependencies (1 by a later alternative, 0 by another name, 0 missing)"

{
    package exim 'Provides: mail-agent (= 4), smtp'
    package postfix 'Provides: mail-agent'
    package reader 'Depends: mail-agent'
    package smtp
    package sender 'Depends: smtp'
    package self 'Provides: shell' 'Depends: shell'
} >"$here/provides"
ok "provided_names_count_after_real_ones" says "$here/provides" "$(ran 6 2)" "longest chain: 2: reader exim" \
    "$here/provides: 6 packages, 0 more not installed, 2 dependencies (0 by a later alternative, 2 by another name, 0 missing)"

{
    package app 'Depends: gone | lost (>= 1), removed,' ' late'
    printf 'Package: removed\nStatus: deinstall ok config-files\n\n'
    package late
} >"$here/missing"
ok "missing_packages_are_named" says "$here/missing" "missing: app needs gone | lost (>= 1)" "missing: app needs removed" \
    "$(ran 2 1)" \
    "$here/missing: 2 packages, 1 more not installed, 1 dependencies (0 by a later alternative, 0 by another name, 2 missing)"

{
    package deep
    package lib
    package lib 'Depends: deep' | sed 's/amd64/i386/'
    package tool 'Depends: lib' | sed 's/amd64/i386/'
} >"$here/architectures"
ok "own_architecture_comes_first" says "$here/architectures" "$(ran 4 2)" \
    "longest chain: 3: tool lib deep"

{
    printf '\n  \nPackage: a\nstatus: install ok installed\nDepends:\n b,\n\tc\nDescription: text\n with lines: b\n .\n\n\n\n'
    package b
    printf 'Package: c\nStatus: hold ok installed'
} >"$here/layout"
ok "blank_lines_continuations_and_a_missing_last_newline_are_read" says "$here/layout" "$(ran 3 2)"

awk 'BEGIN { n = 100000; for (i = 0; i < n; i++)
    printf "Package: p%d\nStatus: install ok installed\nDepends: p%d\n\n", i, (i + 1) % n }' >"$here/ring"
ok "cycle_of_100000_packages_needs_no_stack" says "$here/ring" "$(ran 1 0)"
awk 'BEGIN { n = 100000; for (i = 0; i < n; i++)
    printf "Package: p%d\nStatus: install ok installed\nDepends: p%d\n\n", i, i + (i + 1 < n) }' >"$here/chain"
ok "chain_of_100000_packages_runs_in_order" says "$here/chain" "$(ran 100000 99999)"

: >"$here/empty"
good='Package: a\nStatus: install ok installed\n'
ok "absent_file_is_reported" complains 1 "debgraph: $here/absent: No such file or directory" "$here/absent"
ok "directory_is_reported" complains 1 "debgraph: $here: Is a directory" "$here"
ok "empty_file_is_reported" complains 1 "no installed package in it" "$here/empty"
ok "stanza_without_package_is_reported" broken "$good\nStatus: install ok installed\n" 4 "a stanza without Package"
ok "stanza_without_status_is_reported" broken "Package: b\n\n$good" 1 "a stanza without Status"
ok "short_status_is_reported" broken "Package: b\nStatus: installed\n" 2 "Status of b is not three words"
ok "line_without_field_is_reported" broken "${good}nonsense here\n" 3 "a line that is no field: 'nonsense here'"
ok "leading_continuation_is_reported" broken " text\n$good" 1 "a stanza begins with the continuation of a field"
ok "second_field_is_reported" broken "${good}Package: b\n" 3 "a second Package in one stanza"
ok "bad_name_is_reported" broken "Package: a b\nStatus: install ok installed\n" 1 "'a b' is no package name"
ok "package_that_is_there_twice_is_reported" broken "$good\n$good" 4 "package a is there twice"
ok "open_bracket_is_reported" broken "${good}Depends: b (>= 1\n" 3 "Depends of a: 'b (>= 1' is no dependency"
ok "empty_dependency_is_reported" broken "${good}Depends: b,, c\n" 3 "Depends of a: '' is no dependency"
ok "empty_alternative_is_reported" broken "${good}Pre-Depends: b |\n" 3 "Pre-Depends of a: 'b |' is no dependency"
ok "bad_provides_is_reported" broken "${good}Provides: b c\n" 3 "Provides: 'b c' is no package name"
ok "every_mistake_is_counted" broken "x\n\ny\n\n$good" 3 "a line that is no field: 'y'"
ok "and_nothing_is_run" grep -qF "mistakes: 2; nothing is run" "$here/err"
head -c 200000 /dev/urandom >"$here/noise"
ok "noise_is_refused" complains 1 "nothing is run" "$here/noise"
ok "unknown_option_is_refused" complains 2 "usage: debgraph" -x
ok "zero_workers_are_refused" complains 2 "usage: debgraph" -p 0
ok "second_file_is_refused" complains 2 "usage: debgraph" "$here/diamond" "$here/diamond"

real=/var/lib/dpkg/status
if [ -s "$real" ]; then
    ok "own_packages_run_in_order" says "$real"
    ok "own_packages_are_all_counted" grep -qF \
        ": $(grep -c '^Status: [a-z]* [a-z]* installed$' "$real") packages," "$here/out"
fi
echo "1..$cases"
[ "$failures" -eq 0 ]
