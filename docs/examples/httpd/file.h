/* SPDX-License-Identifier: MIT
 *
 * file.h - opens and reads the files that are served, none outside the root.
 *
 * Threads: any worker; calls that would wait for a disk are made between weir_block_begin() and weir_block_end().
 */
#ifndef HTTPD_FILE_H
#define HTTPD_FILE_H

#include "condition.h"
#include "target.h"

#include <weir/weir.h>

#include <sys/types.h>

struct http_file {
    int fd;
    const char *type;
    struct http_entity entity;
};

/*
 * Opens what the target names below the folder `root`; a folder stands for its index.html. Returns 200 with *f filled
 * in, the descriptor being the caller's; or 301: a folder without the slash at its end; or what else the answer is.
 * Symbolic links are followed as long as they stay below the root: one that leads out isn't there (openat2(2) sees to
 * that in one step, so a link that changes meanwhile doesn't help either).
 */
uint16_t http_file_open(weir_worker *w, int root, const struct http_target *t, struct http_file *f);

/* Reads `length` bytes at `at`. False: the file is shorter now, or broken. */
bool http_file_read(weir_worker *w, int fd, char *to, uint64_t at, size_t length);

/* sendfile(2). */
ssize_t http_file_send(weir_worker *w, int socket, int fd, uint64_t at, size_t length);

#endif
