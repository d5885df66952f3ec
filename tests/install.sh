# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# install.sh - sourced by tests/run.sh and bench/run.sh: finds out what a Debian or Ubuntu machine lacks, installs it.
# Nothing is asked of apt when nothing is missing.

missing=

# need_command COMMAND PACKAGE: the package is wanted if there is no such command.
need_command() {
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

# need_module MODULE PACKAGE: the same for a pkg-config module.
need_module() {
    pkg-config --exists "$1" 2>/dev/null || missing="$missing $2"
}

# need_header HEADER PACKAGE: the same for a header, looked for where the compiler looks.
need_header() {
    printf '#include <%s>\n' "$1" | gcc -E -x c - >/dev/null 2>&1 || missing="$missing $2"
}

# What the library itself is built with.
need_build_tools() {
    need_command gcc gcc
    need_header stdlib.h libc6-dev
    need_command meson meson
    need_command ninja ninja-build
    need_command pkg-config pkg-config
    need_command python3 python3
    need_module liburcu-qsbr liburcu-dev
    need_module hwloc libhwloc-dev
    need_module liburing liburing-dev
    need_module zlib zlib1g-dev
    need_header sys/sdt.h systemtap-sdt-dev
}

install_missing() {
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "Missing:$missing (names of Debian packages). There is no apt-get here: please install them by hand." >&2
        exit 1
    fi
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        as_root=sudo
        if ! command -v sudo >/dev/null 2>&1; then
            echo "Missing:$missing. Run this as root, or install them: apt-get install$missing" >&2
            exit 1
        fi
    fi
    echo "installing with apt-get:$missing"
    apt_log=$(mktemp)
    if ! $as_root apt-get -q update >"$apt_log" 2>&1; then
        tail -n 5 "$apt_log" >&2
        echo "apt-get update failed: is the network up, and are the sources in /etc/apt right? Missing:$missing" >&2
        exit 1
    fi
    # shellcheck disable=SC2086 # a list of words
    if ! $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $missing \
        >"$apt_log" 2>&1; then
        tail -n 15 "$apt_log" >&2
        echo "apt-get install failed for:$missing" >&2
        exit 1
    fi
    rm -f "$apt_log"
    missing=
}

# configure FOLDER OPTION...: a meson build folder with these options, new or as it was left by an earlier run.
# Returns meson's status; its output is in FOLDER.log.
configure() {
    configure_folder=$1
    shift
    if [ -f "$configure_folder/build.ninja" ]; then
        meson setup --reconfigure "$configure_folder" "$@" >"$configure_folder.log" 2>&1
    else
        meson setup "$configure_folder" "$@" >"$configure_folder.log" 2>&1
    fi
}
