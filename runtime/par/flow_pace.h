/* SPDX-License-Identifier: MIT
 *
 * flow_pace.h - which tasks of a flow its producer runs at once instead of making them: short ones that wait for
 * nothing.
 *
 * To make a task, hand it to a worker and get its record back costs about 50 ns on one worker, and 100 as soon as
 * another one takes part, because of the lines that move (bench `flow_tree`). What is shorter than that is better
 * just done. Who decides is the clock: a task's function is known by what some of its calls took (hint.h); and as
 * long as tasks run in place, they must be short on average, with all that the producer does meanwhile. Where they
 * are not, because some calls are dearer than those that were timed, a leaky bucket runs over, and tasks are queued
 * for a while.
 *
 * Threads: the producer, on its worker.
 * Invariants: a task runs in place only if all before it that it must wait for have ended.
 */
#ifndef WEIR_FLOW_PACE_H
#define WEIR_FLOW_PACE_H

#include "par/hint.h"

#define PLACE_PS UINT64_C(200000) /* 200 ns: break-even at two workers is 270 (decisions/0023) */
#define PLACE_BATCH 8u            /* tasks between two looks at the clock: as many dear ones pass for short */
#define PLACE_MEAN_NS 250u        /* for each of them, with what the producer does meanwhile */
#define PLACE_LATE_NS 50000u      /* beyond that, all in all: an interrupt here takes 15 us, two in a row are rare */
#define PLACE_PAUSE 1024u         /* tasks that are queued then */
#define TIMED_CALLS 13u           /* queued tasks, one of which is timed; a prime: few patterns repeat so */

struct flow_pace {
    uint64_t since;  /* ns: when the batch began; 0: there is none */
    uint32_t batch;  /* tasks run in place in it */
    uint64_t late;   /* ns, at most PLACE_LATE_NS: how far those before are behind */
    uint32_t pause;  /* ready tasks yet to be queued, however short */
};

static inline bool pace_is_short(const void *fn)
{
    uint64_t cost = hint_cost(fn);
    return cost != 0 && cost <= PLACE_PS;
}

/* Whether a task with that function runs in place, if it need not wait. */
static inline bool pace_allows(struct flow_pace *p, const void *fn)
{
    if (UNLIKELY(p->pause != 0)) {
        p->pause--;
        return false;
    }
    return pace_is_short(fn);
}

/* Looks at the clock: ends the batch, and begins the next one unless tasks are to be queued. */
void pace_look(struct flow_pace *p);

static inline void pace_begin(struct flow_pace *p)
{
    if (UNLIKELY(p->since == 0))
        pace_look(p);
}

static inline void pace_end(struct flow_pace *p)
{
    if (UNLIKELY(++p->batch == PLACE_BATCH))
        pace_look(p);
}

/* A task is queued: what comes until the next one in place is no part of a batch. */
static inline void pace_break(struct flow_pace *p)
{
    if (LIKELY(p->since == 0))
        return;
    pace_look(p);
    p->since = 0;
}

/* A call of a task's function took so long. */
void pace_learn(const void *fn, uint64_t ns);

#endif
