/* SPDX-License-Identifier: MIT
 *
 * submit.c - work from outside: into the injector, and what to do when it is full.
 *
 * Threads: any. The caller holds the runtime (api/handle.c).
 * Invariants: on failure the task is untouched. A worker of the runtime never sleeps here.
 */
#include <errno.h>

#include "sched/worker.h"

/* After a successful push: somebody must see it. */
static void announce_work(struct runtime *rt)
{
    /* [PK4] forbids: the submitter misses a sleeper while the sleeper's last look misses the task; pairs with
     * idle_announce(). */
    atom_fence(memory_order_seq_cst);
    unsigned sent = idle_notify(&rt->idle);
    if (sent != 0)
        atom_add(&rt->outside_wakes, (uint64_t)sent, memory_order_relaxed); /* relaxed: a statistic */
}

/* A worker's own submit when the injector is full: its deque has room, or runs the task at once. */
static bool keep_on_own_deque(struct runtime *rt, weir_task *t)
{
    struct worker *w = worker_self();
    if (w == NULL || w->rt != rt)
        return false;
    weir_push(worker_public(w), t);
    return true;
}

/* One attempt. 0, -EAGAIN or -ESHUTDOWN. */
static int try_submit(struct runtime *rt, weir_task *t)
{
    switch (injector_push(&rt->injector, t, os_now())) {
    case INJECT_OK:
        announce_work(rt);
        return 0;
    case INJECT_CLOSED:
        return -ESHUTDOWN;
    case INJECT_FULL:
        break;
    }
    return -EAGAIN;
}

/* Sleeps until there may be room. 0, -ETIMEDOUT; or 1: the task was accepted after all. */
static int wait_for_room(struct runtime *rt, weir_task *t, uint64_t deadline)
{
    uint32_t key = eventcount_prepare(&rt->room);
    int r = try_submit(rt, t); /* between prepare and wait: a slot that comes free from here on wakes us */
    if (r == -EAGAIN)
        return eventcount_wait(&rt->room, key, deadline);
    eventcount_cancel(&rt->room);
    return r == 0 ? 1 : r;
}

int runtime_submit(struct runtime *rt, weir_task *t, weir_policy policy, uint64_t deadline)
{
    int r = try_submit(rt, t);
    while (r == -EAGAIN) {
        if (policy == WEIR_TRY) {
            atom_add(&rt->rejected, UINT64_C(1), memory_order_relaxed); /* relaxed: a statistic */
            return -EAGAIN;
        }
        if (keep_on_own_deque(rt, t) || (policy == WEIR_RUN_IN_CALLER && guest_run(rt, t)))
            return 0;
        r = wait_for_room(rt, t, policy == WEIR_BLOCK_UNTIL ? deadline : OS_FOREVER);
        if (r == 1)
            return 0;
        if (r == 0)
            r = try_submit(rt, t);
    }
    return r;
}

int runtime_submit_batch(struct runtime *rt, weir_task *const *tasks, size_t n, weir_policy policy, uint64_t deadline,
                         size_t *accepted)
{
    size_t done = 0;
    int r = 0;
    while (done < n && r == 0) {
        enum inject_result why = INJECT_OK;
        size_t took = injector_push_batch(&rt->injector, tasks + done, n - done, os_now(), &why);
        done += took;
        if (took > 0)
            announce_work(rt);
        if (why == INJECT_CLOSED)
            r = -ESHUTDOWN;
        else if (done < n) /* full: one task goes the slow way, then the batch goes on */
            r = runtime_submit(rt, tasks[done], policy, deadline);
        if (why != INJECT_CLOSED && done < n && r == 0)
            done++;
    }
    if (accepted != NULL)
        *accepted = done;
    return r;
}
