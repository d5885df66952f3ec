/* SPDX-License-Identifier: MIT
 *
 * push.c - the slow half of weir_push(): the buffer is full, or somebody is hungry.
 *
 * Threads: the worker.
 * Invariants: P2 of idle.h: the limit is left clear only if no sleeper was seen after the fence that follows clearing it.
 */
#include "sched/worker.h"

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

/* Up to the limit that the user set; beyond it only where running tasks at once would use up the stack. */
static bool make_room(struct worker *w)
{
    bool deep = worker_stack_is_low(w);
    return deque_relocate(&w->dq, deep ? DEQUE_CAPACITY_MAX : w->rt->config.deque_limit);
}

/* No slot to be had: the newest task runs here and now, unless thieves were faster and room has come that way. */
static COLD void run_instead(struct worker *w)
{
    weir_task *t = deque_pop(&w->dq);
    if (deque_is_full(&w->dq))
        deque_rewind(&w->dq); /* the last slot was public: the deque is empty now, at the end of its buffer */
    worker_run_chain(w, t);
}

void weir_push_slow(weir_worker *public)
{
    struct worker *w = worker_of(public); /* the task is on its deque already */
    if (deque_is_full(&w->dq) && !make_room(w))
        run_instead(w);
    if (!deque_is_poisoned(&w->dq))
        return;
    deque_publish(&w->dq);
    deque_clear_poison(&w->dq);
    if (notify(w))
        deque_poison(&w->dq);
}
