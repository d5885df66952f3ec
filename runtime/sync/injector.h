/* SPDX-License-Identifier: MIT
 *
 * injector.h - the bounded queue through which work comes in from outside: a ring per lane, and whose turn it is.
 *
 * Strictly lock-free, as ring.h: a producer or consumer that is stopped at any instruction stops nobody else; what it
 * has in its hands meanwhile (a chain that it has taken) is missing, no more.
 *
 * Threads: all but init and destroy: any.
 * Invariants: within a lane, first in, first out. A higher lane goes first, but a lane that holds work and was passed
 * over INJECTOR_AGE times goes before all others once: none starves. Each lane has the whole capacity to itself, so
 * that low work can't keep high work out.
 */
#ifndef WEIR_INJECTOR_H
#define WEIR_INJECTOR_H

#include <weir/runtime.h>

#include "sync/ring.h"

#define INJECTOR_LANES 3u /* weir_lane: high, normal, low */
#define INJECTOR_AGE 8u   /* takes from higher lanes before a lower one goes first; the lowest waits for its square */

/* Aligned to LINE_PAIR: whoever embeds it allocates accordingly. */
struct injector {
    struct ring lane[INJECTOR_LANES];
    weir_atomic_u32 passed[INJECTOR_LANES]; /* takes from higher lanes since the last one from this lane, about */
};

/* capacity: tasks in each lane, 1 to RING_CAPACITY_MAX. 0 or -ENOMEM. */
int injector_init(struct injector *q, uint32_t capacity) MUST_USE;
/* Before it is shared: from here on tasks can be taken one by one. */
void injector_unchain(struct injector *q);
/* Entries that are still in it are forgotten. */
void injector_destroy(struct injector *q);

/* stamp: submit time in ticks, or RING_NOW. RING_FULL: `capacity` were there. Success is a seq_cst RMW. */
static inline MUST_USE enum ring_result injector_push(struct injector *q, weir_lane lane, weir_task *t, uint64_t stamp)
{
    return ring_push_one(&q->lane[lane], t, stamp);
}

/*
 * Pushes tasks[0] to tasks[n - 1] in that order; pushes of other threads may come in between. Returns how many were
 * accepted: always a prefix. *why: RING_OK when all n were, else the reason why the next was not.
 */
size_t injector_push_batch(struct injector *q, weir_lane lane, weir_task *const *tasks, size_t n, uint64_t stamp,
                           enum ring_result *why) MUST_USE;

/*
 * Takes tasks from the lane whose turn it is, oldest first: about `most` (ring_take()), fewer while other consumers, of
 * `consumers` in all, would go away empty. out: room for `most` and for RING_CHAIN. *stamp: the oldest that is known,
 * *lane: where it was. 0: the queue is empty.
 */
uint32_t injector_take(struct injector *q, weir_task **out, uint32_t most, uint32_t consumers, uint64_t *stamp,
                       weir_lane *lane) MUST_USE;

/* How many tasks there are in all lanes, about; exact while nobody pushes or takes. */
uint64_t injector_depth(struct injector *q);
/* As ring_depth_bound() and ring_catch_up(), for all lanes together. */
uint64_t injector_depth_bound(struct injector *q);
void injector_catch_up(struct injector *q);
/* As ring_is_empty(), for all lanes. */
bool injector_is_empty(struct injector *q);

/* Pushes get RING_CLOSED from here on. Idempotent. */
void injector_close(struct injector *q);
/* Whether it is closed and everything was taken. It stays so. */
bool injector_is_drained(struct injector *q);

#endif
