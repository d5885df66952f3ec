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
#define HURRY_SEARCHERS 2u /* per processor: a wake-up takes twice the time of a processor (bench `requests`) */
#define NS_PER_US UINT64_C(1000)

/* Looks at the other deques up to `rounds` times, with pauses between, until there is a task here or outside work. */
static weir_task *sweep(struct worker *w, unsigned rounds, bool force)
{
    unsigned relaxes = 1;
    weir_task *t = NULL;
    rcu_online(); /* no task runs from here to offline */
    for (unsigned i = 0; t == NULL && i < rounds; i++) {
        if (i > 0) {
            if ((t = handoff_take(w, w)) != NULL || worker_sees_injected(w) || io_has_news(w->rt))
                break;
            worker_pause(w->rt, &relaxes);
        }
        t = steal_sweep(w, force);
    }
    rcu_offline();
    return t;
}

static weir_task *look(struct worker *w, unsigned rounds, bool force)
{
    weir_task *t = worker_take_outside(w);
    return t != NULL ? t : sweep(w, rounds, force);
}

bool runtime_hurry(struct runtime *rt)
{
    struct idle *idle = &rt->idle;
    uint32_t searching = idle_searching(idle);
    if (!rt->one_by_one || searching >= HURRY_SEARCHERS * rt->processors || searching >= intake_shared_depth(rt))
        return false;
    if (idle_has_sleepers(idle))
        return idle_wake_one(idle) != 0;
    if (duty_is_short(&rt->elastic.duty, duty_read(&rt->elastic.duty)))
        elastic_call(rt, CALLER_OUTSIDE);
    return false;
}

/* Leaves the search with a task; passes the duty on if this was the last searcher (P3). */
static weir_task *leave_with(struct worker *w, weir_task *t)
{
    io_leave(w);
    if (idle_end_search(&w->rt->idle)) {
        if (steal_anything_left(w->rt))
            atom_count(&w->counters.wakes, idle_wake_one(&w->rt->idle));
    } else if (runtime_hurry(w->rt)) {
        atom_count(&w->counters.wakes, 1);
    } else if (idle_all_busy(&w->rt->idle)) { /* S3: who blocked, or submitted, counted on this searcher [EL1] [GV1] */
        runtime_check_duty(w->rt, CALLER_WORKER);
    }
    timers_hand_on(w->rt);
    return t;
}

/* Leaves its sleep with the task it was woken for, if nobody else has taken that meanwhile. Nobody counted on it. */
static weir_task *leave_handed(struct worker *w)
{
    weir_task *t = handoff_take(w, w);
    if (t != NULL) {
        io_leave(w);
        timers_hand_on(w->rt);
    }
    return t;
}

/* Looks again and again, until there is a task or spin_us is over. */
static weir_task *spin(struct worker *w)
{
    weir_task *t = look(w, 1, false);
    if (t != NULL)
        return t;
    uint64_t deadline = os_now() + (uint64_t)w->rt->config.spin_us * NS_PER_US;
    while (t == NULL && runtime_phase(w->rt) == PHASE_RUNNING && os_now() < deadline) {
        t = look(w, LOOKS, true);
        if (t == NULL && io_looks_by_call(w->rt)) /* who is to be heard of may need this very processor */
            os_yield();
    }
    return t;
}

/* With more workers than processors one look is all: who spins takes a processor from one that has work. */
static weir_task *search_awake(struct worker *w)
{
    weir_task *t = handoff_take(w, w); /* who takes back its announcement may have got one */
    if (t != NULL)
        return t;
    if (runtime_is_crowded(w->rt))
        return look(w, 1, false);
    hand_open(&w->park);
    return handoff_close(w, spin(w));
}

/* The promise before sleep, after the announcement: from here on a pusher sees the announcement or the poison, or its
 * task is seen here. */
static weir_task *last_look(struct worker *w, uint64_t sleepers)
{
    steal_promise(w->rt, sleepers, w->id);
    return look(w, 1, true);
}

/* While stopping: nothing will come any more, from outside or from any worker. */
static bool nothing_can_come(struct runtime *rt)
{
    return runtime_phase(rt) != PHASE_RUNNING && intake_is_drained(rt) && timers_drained(rt);
}

/* Whether all who are on duty are announced. Sleepers counted between two equal readings of the duty word were all on
 * duty then (S4). A worker that is just about to retract runs what it found, and leaves after that. */
static bool all_asleep(struct runtime *rt)
{
    uint64_t before = duty_read_ordered(&rt->elastic.duty);
    /* [EL2] acquire: each sleeper's place on duty; pairs with idle_announce(). */
    uint32_t sleepers = idle_announced(atom_load(&rt->idle.sleepers, memory_order_acquire));
    uint32_t bits = idle_count_bits(&rt->idle);
    uint64_t after = duty_read_ordered(&rt->elastic.duty);
    return duty_stood_still(before, after) && sleepers >= duty_on(after) && bits >= duty_on(after);
}

/* The last worker to run dry while stopping ends the runtime: the others are all announced, so no task is running. */
static void end_if_dry(struct runtime *rt)
{
    if (!nothing_can_come(rt))
        return;
    /* [HO2] forbids: a worker that was claimed with a task for it is counted as asleep while the claimer misses that
     * the runtime stops; pairs with wake_with() in handoff.c.
     * [TM4] forbids: a worker that goes to sleep still sees the last timer while who cancelled it, and looks here,
     * misses the worker; pairs with idle_announce().
     * [IQ6] acquire: that who took the last tasks is awake; pairs with ring_take(). */
    atom_fence(memory_order_seq_cst);
    /* Somebody may have begun anew since. But once ended, whoever announces itself late wakes everybody, itself
     * included: nobody else would. */
    if (runtime_phase(rt) != PHASE_ENDED && (!all_asleep(rt) || timers_pending(rt) || !io_is_quiet(rt)))
        return;
    atom_store(&rt->phase, (uint32_t)PHASE_ENDED, memory_order_relaxed); /* relaxed: ordered by the fence */
    /* [EL5] [PK4] forbids: a worker parks, or steps down, without seeing the phase while its announcement, or its seat
     * among the spares, is missed here; pairs with idle_announce() and elastic.c. */
    atom_fence(memory_order_seq_cst);
    idle_wake_all(&rt->idle);
    elastic_dismiss_spares(rt);
}

void runtime_check_rest(struct runtime *rt)
{
    /* Of the workers that park one after the other, the last reads at least its own announcement. */
    if (rest_is_set(&rt->rest) && all_asleep(rt))
        rest_tell(&rt->rest);
    end_if_dry(rt);
}

/* What is of no use to a worker without work. */
static void tidy(struct worker *w)
{
    slab_collect(&w->slab);
    deque_shrink(&w->dq);
}

static weir_task *search(struct worker *w, bool searching)
{
    struct runtime *rt = w->rt;
    for (;;) {
        weir_task *t = searching ? search_awake(w) : NULL;
        if (t != NULL)
            return leave_with(w, t);
        if (runtime_phase(rt) == PHASE_ENDED && nothing_can_come(rt)) {
            if (searching)
                idle_abandon_search(&rt->idle);
            return NULL;
        }
        if (LIKELY(!w->park.stands_in))
            tidy(w);
        io_flush(w);
        rcu_flush(); /* before the announcement: a waker must not wait for a grace period */
        t = last_look(w, idle_announce(&rt->idle, w->id, searching));
        if (t != NULL || steal_anything_left(rt)) {
            /* What is there but was not to be had is in another thief's hands for a moment: go on searching. */
            idle_retract(&rt->idle, w->id);
            searching = true;
            t = handoff_close(w, t); /* a waker was faster, and has perhaps brought one */
            if (t != NULL)
                return leave_with(w, t);
            os_yield();
            continue;
        }
        runtime_check_rest(rt);
        atom_count(&w->counters.parks, 1);
        PROBE1(park, w->id);
        enum elastic_rest rest = elastic_sleep(w, true);
        PROBE1(unpark, w->id);
        if (rest == REST_RETIRED)
            return NULL;
        if (rest == REST_HANDED) {
            if ((t = leave_handed(w)) != NULL)
                return t;
            idle_search_again(&rt->idle);
        }
        searching = rest == REST_WOKEN || rest == REST_HANDED;
        if (UNLIKELY(w->park.stands_in) && searching && idle_is_told(&rt->idle, w->id))
            return leave_with(w, handoff_take(w, w)); /* who takes back its announcement may get a task all the same */
    }
}

weir_task *worker_search(struct worker *w)
{
    return search(w, idle_begin_search(&w->rt->idle));
}

weir_task *worker_search_woken(struct worker *w)
{
    return search(w, true);
}

/* The oldest task of the own deque, got as a thief gets it: it belongs to what this worker waits in. */
static weir_task *take_beneath(struct worker *w)
{
    weir_task *t = NULL;
    deque_publish_all(&w->dq);
    return deque_steal(&w->dq, NULL, &t) == STEAL_OK ? t : NULL;
}

/*
 * All workers wait or are blocked, and no seat is left: without this worker, what is submitted, due or completed would
 * wait for ever, and what it waits for may need that. So besides its wait it is announced and searches as any other
 * worker, counted as one more on duty, until it has found a task or shall look at what it waits for.
 */
weir_task *worker_stand_in(struct worker *w)
{
    weir_task *t = take_beneath(w);
    if (t != NULL)
        return t;
    w->park.stands_in = true;
    t = search(w, false);
    w->park.stands_in = false;
    return t;
}
