/* SPDX-License-Identifier: MIT
 *
 * dpkg_status.h - the installed packages of a Debian system, and which of them each one needs, from dpkg's status file.
 *
 * Threads: one thread reads; afterwards nothing changes.
 * Invariants: a dependency that offers alternatives counts for the first one that is installed, by its own name or, if
 * nothing of that name is, by another package that provides it. Versions are not compared: dpkg has done so. A package
 * needs each other one once at most, and never itself.
 */
#ifndef DPKG_STATUS_H
#define DPKG_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A piece of the file's text. */
struct span {
    const char *at;
    size_t length;
};

enum relation { PRE_DEPENDS, DEPENDS, PROVIDES, RELATIONS };

struct package {
    struct span name;
    struct span architecture;        /* may be empty */
    unsigned line;                   /* of its name */
    struct span relation[RELATIONS]; /* as in the file; empty: none */
    unsigned relation_line[RELATIONS];
};

/* A dependency that nothing installed fulfils. */
struct missing {
    uint32_t package;
    struct span wanted;
};

struct status {
    const char *path;
    char *text;
    struct package *packages;
    uint32_t n_packages;
    uint32_t n_not_installed; /* stanzas of packages that were removed, or are half there */
    uint32_t *first;          /* row of package p in `needs`: first[p] to first[p + 1] */
    uint32_t *needs;
    struct missing *missing;
    uint32_t n_missing;
    uint32_t n_second_choice; /* dependencies that another alternative than the first fulfils */
    uint32_t n_provided;      /* dependencies that a package of another name fulfils */
};

/*
 * Reads a status file. False: it can't be read, memory is short, or stanzas are malformed; each has been named on
 * standard error, with its line. status_free() is due in any case.
 */
bool status_read(struct status *s, const char *path);
void status_free(struct status *s);

#endif
