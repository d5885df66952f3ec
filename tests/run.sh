#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds weir in its test configurations and runs every test. On Debian 12, 13 or Ubuntu 24.04 it first installs what is
# missing, as root or with sudo. Ends in one line: "N passed, N failed", and exits with 0 if none failed.
#
# usage: tests/run.sh [--quick | --deep]
#   --quick  the debug build only
#   --deep   also the exhaustive model runs and the mutation score (hours, not minutes)
# shellcheck disable=SC2086 # lists of options without blanks are split on purpose
set -eu
cd "$(dirname "$0")/.."
. tests/install.sh

quick=0 deep=0
for option; do
    case $option in
        --quick) quick=1 ;;
        --deep) deep=1 ;;
        *) sed -n '3,8s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
done

need_build_tools
need_command g++ g++
need_command objdump binutils
need_module criterion libcriterion-dev
install_missing

passed=0 failed=0 skipped=0
began=$SECONDS

# Older sanitizer runtimes can't live with much address space randomisation: it is turned off for them where allowed.
plain_addresses=
if setarch -R true 2>/dev/null; then
    plain_addresses='setarch -R'
fi

# The first sanitizer report ends a test, and leaks count.
export ASAN_OPTIONS=halt_on_error=1:detect_leaks=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1

# try FOLDER 'SETUP OPTIONS' TEST-OPTION...: builds and runs one configuration, adds to the counts.
try() {
    local folder=$1 setup=$2 start=$SECONDS log counts p f s
    shift 2
    if ! configure "$folder" $setup || ! ninja -C "$folder" >>"$folder.log" 2>&1; then
        echo "$folder: does not build, see $folder.log"
        grep -E 'error|ERROR|FAILED' "$folder.log" | head -n 10 | sed 's/^/  /' || true
        failed=$((failed + 1))
        return
    fi
    log=$folder/meson-logs/testlog.json
    rm -f "$log"
    # A failing test shows in the counts; a run that leaves no log is itself a failure.
    $plain_addresses meson test -C "$folder" --no-rebuild "$@" >>"$folder.log" 2>&1 || true
    if [ ! -f "$log" ]; then
        echo "$folder: the tests did not start, see $folder.log"
        failed=$((failed + 1))
        return
    fi
    counts=$(python3 -B tests/count.py "$log")
    read -r p f s <<<"$(tail -n 1 <<<"$counts")"
    sed '$d' <<<"$counts"
    echo "$folder: $p passed, $f failed, $s skipped ($((SECONDS - start)) s)"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

# sanitizer_starts COMPILER SANITIZER: whether a program with it links and starts here, ten times in a row.
sanitizer_starts() {
    local program status=0 i
    program=$(mktemp)
    echo 'int main(void) { return 0; }' | "$1" -x c -fsanitize="$2" - -o "$program" 2>/dev/null || status=1
    for ((i = 0; i < 10 && status == 0; i++)); do
        $plain_addresses "$program" >/dev/null 2>&1 || status=1
    done
    rm -f "$program"
    return $status
}

code='--suite=unit --suite=integration --suite=programs --suite=examples --suite=stress'
without_deep='--no-suite=model-deep --no-suite=mutation'
[ "$deep" -eq 0 ] || without_deep=
sanitized='-Dbuildtype=debugoptimized -Db_lundef=false -Dbench=false'

try build-debug '-Dbuildtype=debug -Dpeers=disabled' $without_deep
if [ "$quick" -eq 0 ]; then
    if sanitizer_starts "${CC:-cc}" address,undefined; then
        try build-asan "$sanitized -Db_sanitize=address,undefined" --timeout-multiplier=4 $code
    else
        echo "build-asan: skipped, AddressSanitizer does not start on this machine"
        skipped=$((skipped + 1))
    fi
    # clang's ThreadSanitizer finds more; gcc's will do.
    for compiler in ${CC:-clang gcc} none; do
        if [ "$compiler" = none ]; then
            echo "build-tsan: skipped, ThreadSanitizer does not start on this machine"
            skipped=$((skipped + 1))
        elif sanitizer_starts "$compiler" thread; then
            CC=$compiler try build-tsan "$sanitized -Db_sanitize=thread" --timeout-multiplier=8 $code
            break
        fi
    done
    try build-fault '-Dbuildtype=debug -Dfault_injection=true -Dbench=false' \
        --suite=unit --suite=integration --suite=examples
fi

echo "$((SECONDS - began)) s in all"
summary="$passed passed, $failed failed"
[ "$skipped" -eq 0 ] || summary="$summary, $skipped skipped"
echo "$summary"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
