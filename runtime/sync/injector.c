/* SPDX-License-Identifier: MIT
 *
 * injector.c - batches, and the order of the lanes.
 *
 * Threads, Invariants: see injector.h. `passed` orders nothing: it is a hint that threads may overwrite each other's.
 */
#include "sync/injector.h"

#include <errno.h>

#define SHARE_STEPS 4u /* a take asks for a whole batch, a quarter, ... of what would be a fair share */

size_t injector_push_batch(struct injector *q, weir_lane lane, weir_task *const *tasks, size_t n, uint64_t stamp,
                           enum ring_result *why)
{
    struct ring *r = &q->lane[lane];
    size_t done = 0;
    *why = RING_OK;
    while (done < n && *why == RING_OK) {
        uint32_t pushed = 0;
        uint32_t want = n - done < r->chain ? (uint32_t)(n - done) : r->chain;
        *why = ring_push(r, tasks + done, want, stamp, &pushed);
        done += pushed; /* these tasks may have run and be gone by now */
    }
    return done;
}

/* --- take ----------------------------------------------------------------------------------------------------- */

/* How often a lane is passed over before it goes first. */
static inline uint32_t patience_of(unsigned lane)
{
    return lane == WEIR_LANE_NORMAL ? INJECTOR_AGE : INJECTOR_AGE * INJECTOR_AGE;
}

/* A lane that has waited long enough; WEIR_LANE_HIGH if there is none. */
static inline unsigned first_lane(const struct injector *q)
{
    for (unsigned lane = INJECTOR_LANES - 1; lane > 0; lane--)
        if (atom_load(&q->passed[lane], memory_order_relaxed) >= patience_of(lane)) /* relaxed: a hint */
            return lane;
    return WEIR_LANE_HIGH;
}

/* After a take from a lane: those below it that hold work have been passed over once more. */
static inline void grow_older(struct injector *q, unsigned lane)
{
    /* relaxed, all: hints; a lost step delays a turn by one */
    if (atom_load(&q->passed[lane], memory_order_relaxed) != 0)
        atom_store(&q->passed[lane], 0u, memory_order_relaxed);
    for (unsigned low = lane + 1; low < INJECTOR_LANES; low++)
        if (!ring_is_empty(&q->lane[low]))
            atom_store(&q->passed[low], atom_load(&q->passed[low], memory_order_relaxed) + 1, memory_order_relaxed);
}

/* How many tasks to take so that a short queue is spread over the consumers. */
static inline uint32_t fair_share(struct ring *r, uint32_t most, uint32_t consumers)
{
    uint32_t share = most;
    for (unsigned i = 0; i < SHARE_STEPS && share > 1; i++) {
        if (ring_has(r, share * consumers))
            return share;
        share /= 4;
    }
    return 1;
}

uint32_t injector_take(struct injector *q, weir_task **out, uint32_t most, uint32_t consumers, uint64_t *stamp,
                       weir_lane *lane)
{
    unsigned first = first_lane(q);
    for (unsigned i = 0; i <= INJECTOR_LANES; i++) {
        unsigned now = i == 0 ? first : i - 1;
        struct ring *r = &q->lane[now];
        uint32_t n = ring_take(r, out, consumers > 1 ? fair_share(r, most, consumers) : most, stamp);
        if (n > 0) {
            *lane = (weir_lane)now;
            grow_older(q, now);
            return n;
        }
        if (i == 0 && first != WEIR_LANE_HIGH)
            atom_store(&q->passed[first], 0u, memory_order_relaxed); /* relaxed: a hint; it has nothing */
    }
    return 0;
}

/* --- looking -------------------------------------------------------------------------------------------------- */

uint64_t injector_depth(struct injector *q)
{
    uint64_t depth = 0;
    for (unsigned i = 0; i < INJECTOR_LANES; i++)
        depth += ring_depth(&q->lane[i]);
    return depth;
}

uint64_t injector_depth_bound(struct injector *q)
{
    uint64_t bound = 0;
    for (unsigned i = 0; i < INJECTOR_LANES; i++)
        bound += ring_depth_bound(&q->lane[i]);
    return bound;
}

void injector_catch_up(struct injector *q)
{
    for (unsigned i = 0; i < INJECTOR_LANES; i++)
        ring_catch_up(&q->lane[i]);
}

bool injector_is_empty(struct injector *q)
{
    for (unsigned i = 0; i < INJECTOR_LANES; i++)
        if (!ring_is_empty(&q->lane[i]))
            return false;
    return true;
}

bool injector_is_drained(struct injector *q)
{
    for (unsigned i = 0; i < INJECTOR_LANES; i++)
        if (!ring_is_drained(&q->lane[i]))
            return false;
    return true;
}

/* --- lifecycle ------------------------------------------------------------------------------------------------ */

void injector_close(struct injector *q)
{
    for (unsigned i = 0; i < INJECTOR_LANES; i++)
        ring_close(&q->lane[i]);
}

int injector_init(struct injector *q, uint32_t capacity)
{
    for (unsigned i = 0; i < INJECTOR_LANES; i++) {
        atom_store(&q->passed[i], 0u, memory_order_relaxed); /* relaxed: not shared yet */
        if (ring_init(&q->lane[i], capacity) != 0) {
            while (i-- > 0)
                ring_destroy(&q->lane[i]);
            return -ENOMEM;
        }
    }
    return 0;
}

void injector_unchain(struct injector *q)
{
    for (unsigned i = 0; i < INJECTOR_LANES; i++)
        q->lane[i].chain = 1;
}

void injector_destroy(struct injector *q)
{
    for (unsigned i = 0; i < INJECTOR_LANES; i++)
        ring_destroy(&q->lane[i]);
}
