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

/* No slot and no memory: the newest task runs here and now, unless thieves were faster and room has come that way. */
static COLD void run_instead(struct worker *w)
{
    weir_task *t = deque_pop(&w->dq);
    if (deque_is_full(&w->dq))
        deque_rewind(&w->dq); /* the last slot was public: the deque is empty now, at the end of its buffer */
    worker_run_chain(w, t);
}

void weir_push_slow(weir_worker *public, weir_task *t)
{
    struct worker *w = worker_of(public);
    (void)t; /* on the deque already */
    if (deque_is_full(&w->dq) && !deque_relocate(&w->dq)) {
        run_instead(w);
        return;
    }
    deque_publish(&w->dq);
    deque_clear_poison(&w->dq);
    if (notify(w))
        deque_poison(&w->dq);
}
