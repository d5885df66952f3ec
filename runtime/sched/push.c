/* SPDX-License-Identifier: MIT
 *
 * push.c - the slow half of weir_push(): the buffer is full, or somebody is hungry.
 *
 * A full deque that is at its limit is not far from the fast path: the newest task runs inside the push, in its turn
 * with whatever it returns. That task's own forks have the deque's reserve.
 *
 * Threads: the worker.
 * Invariants: P2 of idle.h: the limit is left clear only if no sleeper was seen after the fence that follows.
 */
#include "sched/worker.h"

#define LOOK_INTERVAL 64u /* pushes to a full deque between two looks for room: a choice */

/* Looks for sleepers behind a full fence; true: somebody sleeps, so later pushes must look again. */
static bool notify(struct worker *w)
{
    struct idle *idle = &w->rt->idle;
    /* [PK4] forbids: the pusher misses a sleeper while the sleeper's last look misses the task; pairs with
     * idle_announce() and idle_begin_wait(). */
    atom_fence(memory_order_seq_cst);
    unsigned sent = idle_notify(idle);
    bool hungry = idle_has_sleepers(idle);
    if (idle_has_waiters(idle)) {
        /* relaxed: own word */
        unsigned woken = idle_notify_waiter(idle, atom_load(&w->park.serving, memory_order_relaxed));
        hungry = hungry || woken != 0;
        sent += woken;
    }
    if (sent != 0)
        atom_count(&w->counters.wakes, sent);
    return hungry;
}

/* Whether a push to a full deque looks for room now: rarely, as that reads what thieves write, but whenever they are
 * hungry. */
static inline bool is_time_to_look(struct worker *w)
{
    if (LIKELY(w->full_pushes != 0) && LIKELY(!deque_is_poisoned(&w->dq)) && LIKELY(!worker_stack_is_low(w))) {
        w->full_pushes--;
        return false;
    }
    return true;
}

/* Up to the limit that the user set; beyond it only where running tasks at once would use up the stack. */
static NOINLINE bool make_room(struct worker *w)
{
    bool deep = worker_stack_is_low(w);
    bool made = deque_relocate(&w->dq, deep ? DEQUE_CAPACITY_MAX : w->rt->config.deque_limit);
    w->full_pushes = made ? 0 : LOOK_INTERVAL;
    return made;
}

/* Somebody wants work. */
static NOINLINE void feed_the_hungry(struct worker *w)
{
    if (!deque_is_full(&w->dq) && handoff_push(w))
        return; /* the poison stays: the giver has not looked for others who are hungry (P2) */
    deque_publish(&w->dq);
    deque_clear_poison(&w->dq);
    if (notify(w))
        deque_poison(&w->dq, DEQUE_ANYBODY);
}

void weir_push_slow(weir_worker *public)
{
    struct worker *w = worker_of(public); /* the task is on its deque already */
    bool full = deque_is_full(&w->dq);
    if (LIKELY(full) && UNLIKELY(is_time_to_look(w)))
        full = !make_room(w);
    if (UNLIKELY(deque_is_poisoned(&w->dq)))
        feed_the_hungry(w);
    if (LIKELY(full))
        worker_run_newest(w);
}
