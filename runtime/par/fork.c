/* SPDX-License-Identifier: MIT
 *
 * fork.c - the slow half of a join: the task is public, stolen, or below others.
 *
 * Threads: the worker. Invariants: forks and joins nest, so everything above the joined task was made after it.
 */
#include <errno.h>

#include "par/wait.h"

/* Waits for what others do with t, after the tasks above it; or takes it back. */
int weir_unfork_slow(weir_worker *public, weir_task *t)
{
    struct worker *w = worker_of(public);
    /* relaxed: own frame; a thief only adds bits */
    if ((atom_load(&t->state, memory_order_relaxed) & STATE_FORKED) == 0)
        return -EINVAL;
    for (;;) {
        /* Before each pop: a task that is done (it ran at once, for want of memory) has nothing of ours above it. */
        if (state_is_done(t))
            return WEIR_UNFORK_DONE;
        weir_task *above = deque_is_dry(&w->dq) ? NULL : deque_pop(&w->dq);
        if (above == t)
            return WEIR_UNFORK_MINE;
        if (above == NULL)
            break;
        worker_run_chain(w, above);
    }
    if (handoff_take_back(w, t))
        return WEIR_UNFORK_MINE;
    wait_forked(w, t);
    return WEIR_UNFORK_DONE;
}

/* weir_unfork() has lowered bottom to the task's slot and found that the slot may be public. */
int weir_unfork_shared(weir_worker *public, weir_task *t)
{
    struct worker *w = worker_of(public);
    if (deque_pop_lowered(&w->dq) != NULL)
        return WEIR_UNFORK_MINE;
    wait_forked(w, t);
    return WEIR_UNFORK_DONE;
}

void weir_run_chain(weir_worker *w, weir_task *t)
{
    worker_run_chain(worker_of(w), t);
}
