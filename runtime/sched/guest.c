/* SPDX-License-Identifier: MIT
 *
 * guest.c - a thread that is no worker runs a task of the runtime: WEIR_RUN_IN_CALLER.
 *
 * Threads: any that is not a worker of this runtime. A guest's record belongs to the thread that holds its bit.
 * Invariants: a guest leaves only when its deque is empty, so nothing depends on its coming back.
 */
#include "sched/worker.h"

static struct worker *claim_guest(struct runtime *rt)
{
    uint64_t map = atom_load(&rt->guest_map, memory_order_relaxed); /* relaxed: the CAS decides */
    for (;;) {
        uint32_t i = map == UINT64_MAX ? 64 : (uint32_t)__builtin_ctzll(~map);
        if (i >= rt->guests)
            return NULL;
        /* [GU1] acquire: the record as the last guest left it; pairs with release_guest(). */
        if (atom_cas_weak(&rt->guest_map, &map, map | UINT64_C(1) << i, memory_order_acquire, memory_order_relaxed))
            return rt->workers[rt->seats + i];
    }
}

static void release_guest(struct runtime *rt, struct worker *w)
{
    /* [GU1] release: pairs with claim_guest(). */
    atom_and(&rt->guest_map, ~(UINT64_C(1) << (w->id - rt->seats)), memory_order_release);
    intake_notify_lanes(rt); /* not all who sleep there may become guests */
}

bool guest_run(struct runtime *rt, weir_task *t)
{
    struct worker *w = claim_guest(rt);
    if (w == NULL)
        return false;
    state_clear_queued(t);
    struct worker *host = worker_self(); /* a worker of another runtime, or NULL */
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    uintptr_t low = os_stack_low();
    w->stack_reserve = low + (here - low) / 4;
    if (host == NULL)
        rcu_register();
    w->host = host;
    worker_set_self(w);
    worker_run_stolen(w, t);
    while ((t = deque_pop(&w->dq)) != NULL)
        worker_run_chain(w, t);
    io_flush(w);
    worker_set_self(host);
    rcu_flush();
    if (host == NULL)
        rcu_unregister();
    atom_add(&rt->unqueued, UINT64_C(1), memory_order_relaxed); /* relaxed: a statistic */
    release_guest(rt, w);
    return true;
}
