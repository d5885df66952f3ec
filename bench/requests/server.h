/* SPDX-License-Identifier: MIT
 *
 * bench/requests/server.h - what the generator of requests asks of an implementation in C.
 *
 * Threads: all functions are called by the generator's thread; requests are served on threads of the implementation.
 */
#ifndef BENCH_REQUESTS_SERVER_H
#define BENCH_REQUESTS_SERVER_H

#include "request.h"

struct server_options {
    uint32_t workers;
    uint32_t max_workers; /* where the number of workers follows the load; else the same as workers */
    uint32_t queue;       /* requests that may wait */
    bool block;           /* submits wait while the queue is full; else they are rejected */
};

/* What became of the requests that were not served, and what only the implementation itself can see. */
struct server_account {
    uint64_t shed;      /* refused by an admission guard */
    uint64_t discarded; /* accepted and dropped by the stop */
    double pause_ms;    /* longest stop that memory reclamation may have made a request wait; < 0: has none */
    uint64_t grown_ns;  /* when there was a worker beyond `workers` for the first time; 0: never, or unknown */
    uint64_t shrunk_ns; /* when the last of them had gone for the last time; 0: the same */
};

struct server {
    const char *name;
    /* The threads are up on return. */
    void (*start)(struct ledger *l, const struct server_options *o);
    /* Hands on the requests first to first + n - 1, which arrived together; returns how many were accepted and sets
     * accepted[i] for each. A blocking submit accepts all. */
    uint32_t (*submit)(uint32_t first, uint32_t n, bool *accepted);
    /* After the last request was served; the threads are gone on return. */
    void (*stop)(struct server_account *a);
};

extern const struct server server_floor, server_floor_io, server_thread, server_pool, server_weir;
/* Those that this build of weir can't have are NULL; see weir_block.c, weir_elastic.c, weir_suspend.c. */
extern const struct server *const server_weir_block, *const server_weir_elastic, *const server_weir_suspend;

/* Ends the program with status 1. */
_Noreturn void server_fail(const char *what, int error);

#endif
