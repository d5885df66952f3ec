/* SPDX-License-Identifier: MIT
 *
 * semaphore.h - sets of counting semaphores that are asked for, never waited on.
 *
 * A request names all that it needs as one set of bits and is granted whole or queued whole, so nobody holds one permit
 * while waiting for another. Requests are served one at a time, without a lock: who finds the set at rest serves his
 * own request and all that come in meanwhile; everybody else leaves his request and goes on with other work.
 *
 * Threads: any.
 * Invariants:
 *  M1  Between two requests: if somebody is queued at semaphore i, then i has no permit free.
 *  M2  A permit record belongs to the set from semaphore_ask() or semaphore_return() until it comes out of one of these
 *      calls, on whatever thread.
 * Source: delegation instead of locking, as in flat combining (Hendler, Incze, Shavit, Tzafrir, SPAA 2010). All or none
 * rules out hold-and-wait (Coffman, Elphick, Shoshani 1971), which is what blocks in taskflow issues 506 and 647.
 */
#ifndef WEIR_SEMAPHORE_H
#define WEIR_SEMAPHORE_H

#include <weir/graph.h>

#include "base/atomics.h"
#include "base/compiler.h"

struct permit {
    struct permit *next; /* in the inbox, in a queue, or in what comes out */
    uint64_t wants;      /* bit i: one permit of semaphore i; not 0 */
    bool returns;        /* gives back rather than asks */
};

struct semaphore {
    uint64_t free;        /* permits that nobody holds */
    struct permit *first; /* queued here, oldest first */
    struct permit *last;
};

struct weir_semaphores {
    weir_atomic_ptr inbox; /* NULL: at rest; AT_WORK: being served; else: being served, and requests, newest first */
    weir_atomic_u32 users; /* graphs that name the set */
    uint32_t n;
    weir_runtime *rt;      /* whose workers may run what comes out */
    uint64_t rank;         /* sets made later have higher ones; from 1 on */
    struct semaphore s[];  /* of who serves */
};

/*
 * Asks for p->wants; or gives it back. Returns the records that came out, oldest first, p perhaps among them: granted,
 * or returned. The caller makes the owners of all others run.
 */
struct permit *semaphore_ask(weir_semaphores *set, struct permit *p) MUST_USE;
struct permit *semaphore_return(weir_semaphores *set, struct permit *p) MUST_USE;

#endif
