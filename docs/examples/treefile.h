/* SPDX-License-Identifier: MIT
 *
 * treefile.h - opens paths of any length and scans ranges of files.
 *
 * Threads: any; a buffer and a summary belong to one call at a time.
 * Invariants: none between calls.
 */
#ifndef TREEWC_TREEFILE_H
#define TREEWC_TREEFILE_H

#include "wordscan.h"

/* A part of a file. A character cut by `from` belongs to the part before, one cut by `to` to this one. */
struct range {
    int fd;
    uint64_t from, to; /* to: UINT64_MAX for the end of the file, wherever that is by then */
    uint64_t size;     /* of the file, when the end of its last read may be taken for its end; or UINT64_MAX */
};

/*
 * Scans a range into *s, which is empty before, with a buffer of `room` bytes (at least 16). Returns 0 or a positive
 * errno, with what could be read in *s.
 */
int range_scan(const struct wordscan *ws, const struct range *r, unsigned char *buffer, size_t room, struct summary *s);
/* Opens a path of any length: one that is too long for the kernel is walked in pieces. Returns -errno on failure. */
int path_open(const char *path, int flags);
/* Allows this process as many open files as possible; returns their number, at most 65,535. */
unsigned open_files_limit(void);

#endif
