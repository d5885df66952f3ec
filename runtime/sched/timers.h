/* SPDX-License-Identifier: MIT
 *
 * timers.h - the runtime's timers: wheels that workers share, who expires them, and who sleeps until the next is due.
 *
 * Each worker that never leaves has a wheel (up to TIMER_WHEELS_MAX; then they share). A worker starts timers in its
 * own and looks between tasks, where it looks for outside work, whether one is due in any. Due timers are outside work
 * like what is in the injector: a worker that looks for work takes them from whatever wheel. So a worker that is stuck
 * in a task delays nobody's timers as long as another one is awake, or the keeper sleeps.
 *
 * The keeper is the one sleeping worker that wakes up by itself, when the earliest timer of the runtime is due; idle.h
 * has the word that names it. All others sleep until they are woken.
 *
 * Threads: any that holds the runtime, unless stated otherwise. A wheel is touched under its lock only, which is held
 * for a bounded number of steps. Starting and expiring never wait for it: they go to another wheel. Cancelling does.
 * Invariants:
 *  T1  `earliest` of a wheel is not after any timer in it, and OS_FOREVER exactly while it is empty.
 *  T2  While a worker with a thread is announced as asleep and a timer is pending, a keeper sleeps that wakes up no
 *      later than `earliest` of any wheel; or somebody is awake who sees to that: who lowered `earliest`
 *      (timers_start), a worker between its announcement and timers_keep(), one that was woken or appointed, on its way
 *      to timers_keep() or timers_hand_on().
 *  T3  While a timer is pending and all workers are blocked, one more is called (elastic_call()), or was on its way.
 *  T4  A record is the runtime's from the start until its state changes, under the lock, to fired or cancelled: that is
 *      the last touch.
 */
#ifndef WEIR_TIMERS_H
#define WEIR_TIMERS_H

#include <stdbool.h>
#include <stdint.h>
#include <weir/time.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "sched/idle.h"

#define TIMER_WHEELS_MAX 64u /* who looks for due timers looks at all: a cache line each */
#define TIMERS_BATCH 16u     /* timers taken out at once with the wheel locked, at most */

struct runtime;
struct worker;
struct timer_wheel;

struct timers {
    struct timer_wheel *wheels;
    uint32_t count;         /* constant */
    weir_atomic_u32 in_use; /* 1: a timer was started; never cleared. All that a runtime without timers pays for */
    weir_atomic_u32 closed; /* 1: all wheels are closed */
};

/* Wheels for rt->count workers. 0 or -ENOMEM. */
int timers_init(struct runtime *rt) MUST_USE;
void timers_destroy(struct runtime *rt);
/* Refuses timers of threads that are no workers from here on. */
void timers_close(struct runtime *rt);

/* What a timer is started with. */
struct timer_order {
    uint64_t deadline;    /* ns */
    uint64_t now;         /* os_now() of a moment ago, or 0 */
    weir_task *task;
    weir_runtime *handle; /* of rt: for who cancels it */
};

/*
 * w: the calling worker or guest of rt, or NULL. 0, -EBUSY (pending), -ESHUTDOWN (closed, for all but workers that the
 * end of the runtime waits for). On return the record may be anybody's: fired, freed.
 */
int timers_start(struct runtime *rt, struct worker *w, weir_timer *timer, const struct timer_order *order);
/* 0, -EALREADY, -ENOENT. */
int timers_cancel(struct runtime *rt, weir_timer *timer);
/* The last two for a timer that is not pending, from its state. */
int timers_why_not(const weir_timer *timer);
bool timers_is_pending(const weir_timer *timer);

static inline bool timers_in_use(const struct timers *t)
{
    /* relaxed: who must see it is behind a fence that follows the start's [TM2], or comes by again */
    return UNLIKELY(atom_load(&t->in_use, memory_order_relaxed) != 0);
}

/* Worker: takes due timers out, own ones first, and gives their tasks, at most `most`, 0: none was due or ready. */
uint32_t timers_take(struct worker *w, weir_task **out, uint32_t most);
/* Whether a timer is due that nobody has taken out. */
bool timers_due(const struct runtime *rt);
/* Whether a timer is pending. */
bool timers_pending(const struct runtime *rt);

/* Whether none is pending, and none will come from a thread that is no worker. */
bool timers_drained(const struct runtime *rt);
/* A timer is pending, and nobody sleeps until it is due. After a full fence. */
bool timers_want_keeper(const struct runtime *rt);

/* Worker, announced, about to sleep: becomes or stays the keeper if nobody else is. Until when it may sleep, in ns. */
uint64_t timers_keep(struct worker *w);
/* Worker that has woken up: is the keeper no more. It calls timers_hand_on() before it runs a task. */
void timers_resign(struct worker *w);
/* There may be no keeper, and some worker has something else to do: if a timer is pending, a sleeper is appointed. */
void timers_hand_on(struct runtime *rt);
/* Sleeper `id` has been put off duty by the caller, and sleeps on: it can't be the keeper. */
void timers_dismiss(struct runtime *rt, uint32_t id);

#endif
