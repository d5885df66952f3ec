/* SPDX-License-Identifier: MIT
 *
 * search.c - a worker without work: look, announce, look again, sleep.
 *
 * Threads: the worker.
 * Invariants: P1 to P3 of idle.h. Nothing is taken from a queue without being returned or put on the own deque.
 */
#include "obs/probes.h"
#include "sched/worker.h"

#define LOOKS 16u /* looks between two readings of the clock, each about 0.1 us */
#define NS_PER_US UINT64_C(1000)

/* How many tasks to take at once: a fair share, so that those of a short queue spread over the workers, and no more than
 * fit on the own deque without a move that could fail: a push that finds no room would run its task right here. */
static size_t batch_size(struct worker *w)
{
    uint64_t share = injector_depth(&w->rt->injector) / w->rt->count + 1;
    if (share > INJECTOR_BATCH)
        share = INJECTOR_BATCH;
    /* Only an empty deque is moved: a worker that looks for work during a move misses what is there, and then sleeps beside
     * it, since no push and so no notice need follow (client_idle `park_against_a_move`). */
    if (deque_room(&w->dq) < share - 1 && !deque_has_any(&w->dq))
        (void)deque_relocate(&w->dq, w->rt->config.deque_limit); /* if not: fewer at once */
    uint64_t most = deque_room(&w->dq) + 1; /* one is run, not pushed */
    return (size_t)(share < most ? share : most);
}

weir_task *worker_take_injected(struct worker *w)
{
    struct runtime *rt = w->rt;
    weir_task *batch[INJECTOR_BATCH];
    w->ticks = 0;
    if (injector_is_empty(&rt->injector))
        return NULL;
    size_t n = injector_pop_batch(&rt->injector, batch, batch_size(w));
    if (n == 0)
        return NULL;
    atom_count(&w->counters.injected, n);
    eventcount_notify(&rt->room, (int)n);
    PROBE3(inject, w->id, batch[0], n);
    for (size_t i = n - 1; i > 0; i--) /* the oldest ends on the bottom and runs next */
        weir_push(worker_public(w), batch[i]);
    return batch[0];
}

/* Looks at the other deques up to `rounds` times, with pauses between, until there is a task here or in the injector. */
static weir_task *sweep(struct worker *w, unsigned rounds, bool force)
{
    unsigned relaxes = 1;
    weir_task *t = NULL;
    rcu_online(); /* no task runs from here to offline */
    for (unsigned i = 0; t == NULL && i < rounds; i++) {
        if (i > 0)
            worker_pause(w->rt, &relaxes);
        t = steal_sweep(w, force);
        if (!injector_is_empty(&w->rt->injector))
            break;
    }
    rcu_offline();
    return t;
}

static weir_task *look(struct worker *w, unsigned rounds, bool force)
{
    weir_task *t = worker_take_injected(w);
    return t != NULL ? t : sweep(w, rounds, force);
}

/* Leaves the search with a task; passes the duty on if this was the last searcher (P3). */
static weir_task *leave_with(struct worker *w, weir_task *t)
{
    if (idle_end_search(&w->rt->idle) && steal_anything_left(w->rt))
        atom_count(&w->counters.wakes, idle_wake_one(&w->rt->idle));
    return t;
}

static weir_task *spin(struct worker *w)
{
    uint64_t deadline = os_now() + (uint64_t)w->rt->config.spin_us * NS_PER_US;
    weir_task *t = look(w, 1, false);
    while (t == NULL && runtime_phase(w->rt) == PHASE_RUNNING && os_now() < deadline)
        t = look(w, w->rt->crowded ? 1 : LOOKS, true);
    return t;
}

/* The promise before sleep: after this fence a pusher sees the announcement or the poison, or its task is seen here. */
static weir_task *last_look(struct worker *w)
{
    struct runtime *rt = w->rt;
    for (uint32_t i = 0; i < rt->count + rt->guests; i++)
        deque_poison(&rt->workers[i]->dq);
    if (rt->membarrier)
        os_membarrier(); /* [PK4] [DQ2] heavy: pairs with the light fence in weir_push() */
    return look(w, 1, true);
}

/* While stopping: nothing will come any more, from outside or from any worker. */
static bool nothing_can_come(struct runtime *rt)
{
    return runtime_phase(rt) != PHASE_RUNNING && injector_drained(&rt->injector);
}

/* The last worker to run dry while stopping ends the runtime: the others are all announced, so no task is running. */
static void end_if_dry(struct runtime *rt)
{
    /* relaxed: a worker that is just about to retract runs what it found, and leaves after that. Once ended, whoever
     * announces itself late wakes everybody, itself included: nobody else would. */
    if (!nothing_can_come(rt) || (runtime_phase(rt) != PHASE_ENDED &&
                                  atom_load(&rt->idle.sleepers, memory_order_relaxed) < rt->count))
        return;
    atom_store(&rt->phase, (uint32_t)PHASE_ENDED, memory_order_relaxed); /* relaxed: ordered by the fence */
    /* [PK4] forbids: a worker parks without seeing the phase while its announcement is missed here. */
    atom_fence(memory_order_seq_cst);
    idle_wake_all(&rt->idle);
}

weir_task *worker_search(struct worker *w)
{
    struct runtime *rt = w->rt;
    bool searching = idle_begin_search(&rt->idle);
    for (;;) {
        weir_task *t = searching ? spin(w) : NULL;
        if (t != NULL)
            return leave_with(w, t);
        if (runtime_phase(rt) == PHASE_ENDED && nothing_can_come(rt)) {
            if (searching)
                idle_abandon_search(&rt->idle);
            return NULL;
        }
        slab_collect(&w->slab);
        deque_shrink(&w->dq);
        rcu_flush(); /* before the announcement: a waker must not wait for a grace period */
        idle_announce(&rt->idle, w->id, searching);
        t = last_look(w);
        if (t != NULL || steal_anything_left(rt)) {
            /* What is there but was not to be had is in another thief's hands for a moment: go on searching. */
            idle_retract(&rt->idle, w->id);
            searching = true;
            if (t != NULL)
                return leave_with(w, t);
            os_yield();
            continue;
        }
        end_if_dry(rt);
        atom_count(&w->counters.parks, 1);
        PROBE1(park, w->id);
        idle_sleep(&rt->idle, w->id);
        PROBE1(unpark, w->id);
        searching = true;
    }
}
