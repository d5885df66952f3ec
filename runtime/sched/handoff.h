/* SPDX-License-Identifier: MIT
 *
 * handoff.h - the hand of a worker: a word on the line that it looks at first, into which it is given a task directly.
 *
 * A task that goes through a queue costs whoever is hungry several cache lines one after the other: the queue's end,
 * the slot, the counter that decides who gets it. A hand is one line. So a fork that finds its deque empty but for
 * itself and somebody hungry, and a submit that finds empty queues and a sleeper, give the task away.
 *
 * Threads: open and close: the worker itself. Take: any. Give: workers and guests (a fork), any that holds the runtime
 * (a submit).
 * Invariants:
 *  H1  A hand is closed, open, or holds one task. Only its worker opens and closes it, and only within one search
 *      (search.c): what comes meanwhile is found there at the latest when it is closed.
 *  H2  A task gets into an open hand by a compare-and-swap, so there is one giver; into a closed one only from who has
 *      claimed the worker's announcement (idle.h, P1), before the token. The worker looks there when it has the token.
 *  H3  Whoever takes a task out of a hand leaves it closed, by a compare-and-swap: the worker, the join of a forked
 *      task, or a starving thief, to whom a hand is one more place to look (promise 2: its worker may not get a
 *      processor).
 *  H4  A task is given only if it overtakes no older ones: the giver's deque, or the injectors, are empty otherwise.
 */
#ifndef WEIR_HANDOFF_H
#define WEIR_HANDOFF_H

#include <weir/task.h>

#include "sched/idle.h"

#define HAND_CLOSED NULL
#define HAND_OPEN ((void *)(uintptr_t)1) /* no task has this address */

static inline bool hand_holds_task(const struct parking *p)
{
    void *hand = atom_load(&p->hand, memory_order_relaxed); /* relaxed: a look; who takes it acquires */
    return hand != HAND_CLOSED && hand != HAND_OPEN;
}

/* Takes the task out of a hand; NULL: there was none, or somebody else was faster. */
static inline weir_task *hand_take(struct parking *p)
{
    void *hand = atom_load(&p->hand, memory_order_relaxed); /* relaxed: the CAS decides and acquires */
    if (LIKELY(hand == HAND_CLOSED || hand == HAND_OPEN))
        return NULL;
    PREFETCH_OWNED(hand); /* bench `pingpong`: 0.04 us of 0.48 */
    /* [HO1] acquire: the task as it was given; pairs with hand_give() and wake_with(). */
    return atom_cas(&p->hand, &hand, HAND_CLOSED, memory_order_acquire, memory_order_relaxed) ? hand : NULL;
}

/* The worker begins to search: its hand is closed, and nobody has claimed it. */
static inline void hand_open(struct parking *p)
{
    /* relaxed: it carries nothing, and a closed hand is the worker's own */
    atom_store(&p->hand, HAND_OPEN, memory_order_relaxed);
}

/* The worker ends its search. Returns the task that has come, or NULL. */
static inline weir_task *hand_close(struct parking *p)
{
    void *open = HAND_OPEN;
    /* relaxed, both: an open hand carries nothing */
    if (atom_cas(&p->hand, &open, HAND_CLOSED, memory_order_relaxed, memory_order_relaxed))
        return NULL;
    return hand_take(p);
}

/* Gives t to a worker that searches. False: its hand was not open. On success t may have run and be gone. */
static inline bool hand_give(struct parking *p, weir_task *t)
{
    void *open = HAND_OPEN;
    /* [HO1] release: the task before the hand; pairs with hand_take(). Weak: there are queues. */
    return atom_cas_weak(&p->hand, &open, (void *)t, memory_order_release, memory_order_relaxed);
}

/* The same for a sleeper that the caller has claimed and not woken yet; behind a full fence. */
static inline void hand_fill(struct parking *p, weir_task *t)
{
    /* [HO1] release: the task before the hand; pairs with hand_take(). The fence has released it already; this says so
     * to the thread sanitizer, which knows no fences, and is the same instruction. */
    atom_store(&p->hand, (void *)t, memory_order_release);
}

/* The join takes back its task, t, that it gave; false: somebody has it. */
static inline bool hand_take_back(struct parking *p, weir_task *t)
{
    void *hand = t;
    /* relaxed, all: the task is as the caller has given it. Weak: at worst the join waits for who holds it. */
    return atom_load(&p->hand, memory_order_relaxed) == hand &&
           atom_cas_weak(&p->hand, &hand, HAND_CLOSED, memory_order_relaxed, memory_order_relaxed);
}

struct runtime;
struct worker;

/* The worker's deque is poisoned: if its only task was pushed by a fork, gives it to who is hungry. False: nothing was
 * given. */
bool handoff_push(struct worker *w) MUST_USE;
/* Gives a task from outside, marked as queued, to a sleeper. False: it must be queued. On success it may be gone. */
bool handoff_submit(struct runtime *rt, weir_task *t) MUST_USE;
/* The worker's own hand, or a victim's: a task out of it, accounted for, or NULL. */
weir_task *handoff_take(struct worker *w, struct worker *from);
/* The end of a search that has found t, or NULL: closes the worker's hand. With two tasks one goes onto the deque. */
weir_task *handoff_close(struct worker *w, weir_task *t);
/* The join takes t back, if nobody has begun to run it. */
bool handoff_take_back(struct worker *w, weir_task *t) MUST_USE;

#endif
