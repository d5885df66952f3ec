/* SPDX-License-Identifier: MIT
 *
 * governor.h - lets a runtime grow towards max_workers while submitted work waits too long.
 *
 * It has a thread of its own, because the case that matters most is that every worker is stuck in a call that blocks
 * and nobody said so. The thread exists only where max_workers is above min_workers.
 *
 * Threads: start, stop: who creates and frees the runtime. arm: any that holds the runtime.
 * Invariants: while the injector holds work that no sleeping or searching worker will look at, the governor is awake or
 * on its way. It sleeps without a deadline while the injector is empty.
 */
#ifndef WEIR_GOVERNOR_H
#define WEIR_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "os/os.h"

struct runtime;

struct governor {
    weir_atomic_u32 state ALIGNED(CACHE_LINE); /* GOVERNOR_*; its futex word */
    bool started;     /* has a thread; who starts and stops the runtime */
    /* constant */
    bool present;     /* there is something to govern */
    uint64_t grow_ns; /* how long work may wait */
    uint64_t tick_ns; /* between two looks */
    /* governor only */
    uint64_t mark;    /* submits counted when the mark was set; 0: none */
    uint64_t mark_at; /* ns */
    uint32_t calm;    /* looks in a row that found the injector empty */
    struct os_thread thread;
};

/* Before the first worker starts. */
void governor_init(struct runtime *rt);
/* 0, -EAGAIN, -ENOMEM. Does nothing where there is nothing to govern. */
int governor_start(struct runtime *rt) MUST_USE;
void governor_stop(struct runtime *rt);
/* Work may have come, and nobody sleeps or searches; after a full fence. */
void governor_arm(struct runtime *rt);

#endif
