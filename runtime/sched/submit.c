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
    admission_grew(rt, &rt->admission);
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
    uint64_t now = os_now();
    uint64_t old = t->stamp;
    t->stamp = now; /* for the guards */
    switch (injector_push(&rt->injector, t, now)) {
    case INJECT_OK:
        announce_work(rt);
        return 0;
    case INJECT_CLOSED:
        t->stamp = old;
        return -ESHUTDOWN;
    case INJECT_FULL:
        t->stamp = old;
        break;
    }
    return -EAGAIN;
}

/* One attempt by any means that the policy allows. 0, -EAGAIN or -ESHUTDOWN. */
static int try_policy(struct runtime *rt, weir_task *t, weir_policy policy)
{
    int r = try_submit(rt, t);
    if (r == -EAGAIN && (keep_on_own_deque(rt, t) || (policy == WEIR_RUN_IN_CALLER && guest_run(rt, t))))
        r = 0;
    return r;
}

int runtime_submit(struct runtime *rt, weir_task *t, weir_policy policy, uint64_t deadline)
{
    if (policy == WEIR_TRY) {
        int r = try_submit(rt, t);
        if (r == -EAGAIN)
            atom_add(&rt->rejected, UINT64_C(1), memory_order_relaxed); /* relaxed: a statistic */
        return r;
    }
    int r = try_policy(rt, t, policy);
    while (r == -EAGAIN) {
        uint32_t key = eventcount_prepare(&rt->room);
        r = try_policy(rt, t, policy); /* room that comes free from here on wakes us */
        if (r != -EAGAIN)
            eventcount_cancel(&rt->room);
        else if (eventcount_wait(&rt->room, key, policy == WEIR_BLOCK_UNTIL ? deadline : OS_FOREVER) != 0)
            return -ETIMEDOUT;
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
        uint64_t now = os_now();
        for (size_t i = done; i < n; i++)
            tasks[i]->stamp = now; /* for the guards */
        size_t took = injector_push_batch(&rt->injector, tasks + done, n - done, now, &why);
        done += took;
        for (size_t i = done; i < n; i++)
            tasks[i]->stamp = 0;
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
