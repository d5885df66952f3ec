/* SPDX-License-Identifier: MIT
 *
 * eventcount.h - lets threads sleep until a condition over lock-free data may have become true (room in the injector).
 *
 * The waiter:                                     The notifier:
 *     for (;;) {                                      makes the condition true;
 *         if (condition) break;                       eventcount_notify(ec, 1);
 *         uint32_t key = eventcount_prepare(ec);
 *         if (condition) { eventcount_cancel(ec); break; }
 *         if (eventcount_wait(ec, key, deadline)) give up;
 *     }
 *
 * Threads: any. Each prepare is followed by exactly one cancel or wait of the same thread.
 * Invariants: `waiters` counts the threads between prepare and the end of cancel or wait. `epoch` changes before
 * anybody is woken, so a key from before a notification never sleeps past it. A waiter that returns 0 may have used up
 * the wake meant for one thread: it tries its condition again, or passes the wake on with eventcount_notify. One that
 * returns -ETIMEDOUT has used up none.
 * Source: the eventcount of Reed and Kanodia, CACM 1979, on a futex.
 */
#ifndef WEIR_EVENTCOUNT_H
#define WEIR_EVENTCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "base/compiler.h"

/* Zeroed is ready to use. */
struct eventcount {
    weir_atomic_u32 epoch;   /* notifiers add while somebody waits; the futex word */
    weir_atomic_u32 waiters; /* waiters add and subtract, notifiers read */
};

/* Announces a wait; the caller then checks its condition once more. Returns the key for eventcount_wait. */
uint32_t eventcount_prepare(struct eventcount *ec) MUST_USE;
/* Takes the announcement back. */
void eventcount_cancel(struct eventcount *ec);
/*
 * Sleeps until a notification that came after the key was taken, or until `deadline` (absolute CLOCK_MONOTONIC in ns,
 * OS_FOREVER: none), and takes the announcement back. 0: notified, or woken for no reason; -ETIMEDOUT.
 */
int eventcount_wait(struct eventcount *ec, uint32_t key, uint64_t deadline) MUST_USE;

/* The part of a notification that is needed only when somebody waits. */
void eventcount_notify_slow(struct eventcount *ec, int n);

/* Whether somebody waits; after a fence that orders it behind the condition, as in eventcount_notify(). */
static inline bool eventcount_has_waiters(struct eventcount *ec)
{
    return atom_load(&ec->waiters, memory_order_relaxed) != 0; /* relaxed: ordered by [EC1] */
}

/* Wakes at least n waiters, or all if there are fewer. A fence and a load when nobody waits. */
static inline void eventcount_notify(struct eventcount *ec, int n)
{
    /*
     * [EC1] seq_cst: store condition, load waiters | add waiters, load condition: at least one of the two loads sees
     * the other side's write; pairs with the fence in eventcount_prepare().
     */
    atom_fence(memory_order_seq_cst);
    if (UNLIKELY(eventcount_has_waiters(ec)))
        eventcount_notify_slow(ec, n);
}

/* Wakes everybody who waits. */
static inline void eventcount_notify_all(struct eventcount *ec)
{
    eventcount_notify(ec, INT32_MAX);
}

#endif
