/* SPDX-License-Identifier: MIT
 *
 * admission.h - the guards of a runtime: asked before a submit, told of what became of it and of what leaves the queue.
 *
 * Threads: any that holds the runtime; admission_taken: a worker of it. The guards are their own authorities about
 * threads (sync/watermark.c, codel.c, breaker.c, teller.c).
 * Invariants: A1 a refused submit leaves the task as it was. A2 a probe that passed and was not accepted is cancelled.
 * A3 only a task that is marked sheddable is shed, and it is shed by running what its owner gave for that. A4 the
 * numbers may change at any time: a decision may see some old and some new ones, never a listener with another one's
 * argument.
 */
#ifndef WEIR_SCHED_ADMISSION_H
#define WEIR_SCHED_ADMISSION_H

#include <weir/runtime.h>

#include "base/compiler.h"
#include "sync/teller.h"

struct runtime;
struct submission;
struct worker;

struct admission {
    /* read by every submit and every take, written by admission_apply() */
    weir_atomic_u32 guards;  /* WEIR_MARKS, WEIR_GUARD_*; 0: nothing is on */
    weir_atomic_u32 feeds;   /* WEIR_FEED_* */
    weir_atomic_u64 slow_ns;
    weir_watermark depth;
    weir_watermark mark;     /* its levels; what was told last is in `marks` */
    /* written by both sides while the guard is on */
    struct teller marks;
    struct teller states;    /* of the breaker */
    weir_codel time ALIGNED(CACHE_LINE);
    weir_breaker breaker ALIGNED(CACHE_LINE);
    weir_atomic_u64 refused_depth;
    weir_atomic_u64 refused_time;
};

static inline uint32_t admission_guards(const struct admission *a)
{
    return atom_load(&a->guards, memory_order_relaxed); /* relaxed: A4 */
}

/* Whether guards judge each task by the time that it has waited; without them a sample now and then is enough. */
static inline bool admission_wants_time(uint32_t guards)
{
    return (guards & (WEIR_GUARD_TIME | WEIR_GUARD_BREAKER)) != 0;
}

/* Takes over numbers that are valid. 0 or -EBUSY (nothing changed). */
int admission_apply(struct runtime *rt, const weir_admission *new) MUST_USE;
/* runtime_submit_as() and runtime_submit_batch() behind the guards. Also -ENOBUFS, -ETIME, -ECONNREFUSED. */
int admission_submit(struct runtime *rt, weir_task *t, const struct submission *s);
int admission_submit_batch(struct runtime *rt, weir_task *const *tasks, size_t n, weir_lane lane, weir_policy policy,
                           uint64_t deadline, size_t *accepted);
/* A submitter has put something into an injector or an inbox. */
void admission_grew_slow(struct runtime *rt);
/* The worker has taken these from an injector or its inbox, at the time `ticks`; sets STATE_SHED in those that
 * are to be shed. */
void admission_taken_slow(struct worker *w, weir_task *const *tasks, size_t n, uint64_t ticks);
/* A request tells how it went. */
void admission_report(struct runtime *rt, const weir_task *t, bool success);
/* The part of the statistics that is about guards. */
void admission_read(const struct admission *a, weir_guard_counts *out);

static inline void admission_grew(struct runtime *rt, const struct admission *a)
{
    if (UNLIKELY((admission_guards(a) & WEIR_MARKS) != 0))
        admission_grew_slow(rt);
}

static inline void admission_taken(struct worker *w, const struct admission *a, weir_task *const *tasks, size_t n,
                                   uint64_t ticks)
{
    if (UNLIKELY(admission_guards(a) != 0))
        admission_taken_slow(w, tasks, n, ticks);
}

#endif
