/* SPDX-License-Identifier: MIT
 *
 * block.c - a worker that is about to block gives its processor away, and takes it back.
 *
 * Threads: the worker.
 * Invariants: S3 of elastic.h: who makes the runtime short looks whether somebody sleeps or searches, and calls one
 * more worker if not.
 */
#include <errno.h>

#include "sched/worker.h"

static bool has_seat(const struct worker *w)
{
    return w->id < w->rt->seats; /* a guest is nobody whose place could be taken */
}

void block_enter(struct worker *w)
{
    struct runtime *rt = w->rt;
    if (!has_seat(w) || !duty_is_short(&rt->elastic.duty, duty_block(&rt->elastic.duty)))
        return;
    /* [EL1] forbids: this worker counts on a searcher, or on a sleeper that becomes one, who has looked at the duty
     * word before this worker was counted as blocked; pairs with idle_end_search(). */
    atom_fence(memory_order_seq_cst);
    if (idle_all_busy(&rt->idle))
        elastic_call(rt, CALLER_WORKER);
    else
        (void)runtime_hurry(rt);
}

void block_leave(struct worker *w)
{
    struct runtime *rt = w->rt;
    if (has_seat(w) && duty_has_surplus(duty_unblock(&rt->elastic.duty)) && idle_has_sleepers(&rt->idle))
        elastic_withdraw(rt);
}

/* All others wait or are blocked, and no seat is left: one that waits stands in. */
static COLD void desert(struct runtime *rt)
{
    /* [EL9] acquire: the wait of who counted itself as blocked before this worker did; pairs with the fence in
     * idle_begin_wait(). Who does so later finds nobody left and stands in. */
    atom_fence(memory_order_acquire);
    idle_wake_any_waiter(&rt->idle);
}

int block_begin(struct worker *w)
{
    if (w->blocked)
        return -EALREADY;
    w->blocked = true;
    io_flush(w);
    /* Sleepers, if any, know of the private tasks already (P2 of idle.h): they only need not force them any more. */
    deque_publish_all(&w->dq);
    block_enter(w);
    if (UNLIKELY(duty_is_deserted(&w->rt->elastic.duty, duty_read(&w->rt->elastic.duty))))
        desert(w->rt);
    return 0;
}

int block_end(struct worker *w)
{
    if (!w->blocked)
        return -EINVAL;
    w->blocked = false;
    block_leave(w);
    return 0;
}
