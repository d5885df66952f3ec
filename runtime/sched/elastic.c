/* SPDX-License-Identifier: MIT
 *
 * elastic.c - calls workers to duty, lets them step down, and starts and ends their threads.
 *
 * Threads and invariants: see elastic.h.
 * Source: compensation for blocked threads as in Java's ForkJoinPool (ManagedBlocker), with the idle protocol's
 * announcement in the place of a started thread.
 */
#include "sched/elastic.h"

#include "obs/probes.h"
#include "sched/worker.h"

#define RETRY_NS UINT64_C(10000000) /* a choice: a process out of threads is not asked again for 10 ms */

/* After a place on duty was given up: whoever is the last to announce itself, or to leave, ends the runtime or says
 * that it rests. */
static void check_rest_behind(struct runtime *rt)
{
    /* [EL7] forbids: a sleeper still counts the place that was left, while who left it misses the sleeper: neither ends
     * the runtime; pairs with idle_announce(). [EL5] forbids: a spare misses the end while who ends the runtime misses
     * the spare; pairs with end_if_dry(). */
    atom_fence(memory_order_seq_cst);
    runtime_check_rest(rt);
}

/* --- seats ---------------------------------------------------------------------------------------------------- */

static bool seat_claim(weir_atomic_u64 *map, uint32_t id)
{
    /* [EL3] acquire: the seat as its last owner left it; pairs with seat_release(). */
    return (atom_and(&map[id / 64], ~bit_of(id), memory_order_acquire) & bit_of(id)) != 0;
}

static void seat_release(weir_atomic_u64 *map, uint32_t id)
{
    /* [EL3] release: pairs with seat_claim(). */
    atom_or(&map[id / 64], bit_of(id), memory_order_release);
}

static uint32_t seat_claim_any(struct runtime *rt, weir_atomic_u64 *map)
{
    for (uint32_t i = 0; i * 64 < rt->seats; i++) {
        uint64_t bits = atom_load(&map[i], memory_order_relaxed); /* relaxed: the claim decides */
        for (; bits != 0; bits &= bits - 1) {
            uint32_t id = i * 64 + (uint32_t)__builtin_ctzll(bits);
            if (seat_claim(map, id))
                return id;
        }
    }
    return IDLE_NOBODY;
}

/* A seat that is the caller's goes off duty: its thread, if it has one, sleeps on until its deadline. */
static void seat_rest(struct runtime *rt, uint32_t id)
{
    if (idle_is_absent(&rt->idle, id)) {
        seat_release(rt->elastic.vacant, id);
        return;
    }
    seat_release(rt->elastic.spare, id);
    idle_nudge(&rt->idle, id);
}

/* --- threads -------------------------------------------------------------------------------------------------- */

/* The thread that had the seat before has vacated it: it is at its end. */
static void join_last(struct worker *w)
{
    /* [EL4] acquire: the handle; pairs with worker_start_thread(). Its starter may not have come back yet. */
    uint32_t state;
    while ((state = atom_load(&w->thread_state, memory_order_acquire)) == THREAD_STARTING)
        os_yield();
    if (state == THREAD_JOINABLE)
        os_thread_join(&w->thread);
    atom_store(&w->thread_state, (uint32_t)THREAD_NONE, memory_order_relaxed); /* relaxed: the seat is ours */
}

static bool start_thread(struct runtime *rt, struct worker *w)
{
    join_last(w);
    if (w->dq.buffer == NULL && deque_init(&w->dq, rt->config.deque_capacity, !rt->membarrier) != 0)
        return false;
    plain_writes(w->called); /* [EL3] and the rest of the seat */
    w->called = true;
    idle_set_absent(&rt->idle, w->id, false);
    if (worker_start_thread(w) == 0)
        return true;
    idle_set_absent(&rt->idle, w->id, true);
    return false;
}

/* The waker of an absent seat has claimed it, and with it has acquired the seat as its last owner left it [EL8]. */
static bool bring(struct idle *idle, uint32_t id)
{
    struct runtime *rt = CONTAINER_OF(idle, struct runtime, idle);
    struct worker *w = rt->workers[id];
    bool ended = runtime_phase(rt) == PHASE_ENDED;
    if (!ended && start_thread(rt, w))
        return true; /* the thread may have ended already */
    idle_clear_search(idle, id);
    duty_dismiss(&rt->elastic.duty);
    seat_release(rt->elastic.vacant, id);
    if (!ended) {
        atom_store(&rt->elastic.retry_at, os_now() + RETRY_NS, memory_order_relaxed); /* relaxed: a hint */
        check_rest_behind(rt);
    }
    return false;
}

bool elastic_arrive(struct worker *w)
{
    struct runtime *rt = w->rt;
    idle_sleep(&rt->idle, w->id); /* the token came before the thread */
    w->called = false;
    if (table_add(w))
        return true;
    if (idle_end_search(&rt->idle) && steal_anything_left(rt))
        (void)idle_wake_one(&rt->idle); /* P3 */
    duty_dismiss(&rt->elastic.duty);
    check_rest_behind(rt);
    return false;
}

void elastic_vacate(struct worker *w)
{
    struct runtime *rt = w->rt;
    bool removed = table_remove(w);
    (void)removed; /* without memory it stays in the table, with an empty deque */
    w->retiring = false;
    idle_set_absent(&rt->idle, w->id, true);
    seat_release(rt->elastic.vacant, w->id); /* whoever gets the seat joins this thread first */
}

/* --- calling -------------------------------------------------------------------------------------------------- */

/* The parker's promise, in the place of a seat that is the caller's: from here on it is asleep as any other. */
static void announce(struct runtime *rt, uint32_t id)
{
    steal_promise(rt, idle_announce(&rt->idle, id, false), DEQUE_ANYBODY);
    if (steal_anything_left(rt) || timers_want_keeper(rt) || io_wants_keeper(rt)) {
        unsigned sent = idle_wake_one(&rt->idle);
        atom_add(&rt->outside_wakes, (uint64_t)sent, memory_order_relaxed); /* relaxed: a statistic */
    }
    runtime_check_rest(rt);
}

/* A place on duty is reserved: somebody takes it. */
static bool fill_place(struct runtime *rt, bool work_waits)
{
    struct elastic *e = &rt->elastic;
    uint32_t id = seat_claim_any(rt, e->spare);
    if (id == IDLE_NOBODY)
        id = seat_claim_any(rt, e->vacant);
    if (id == IDLE_NOBODY) { /* one that is just being left: as if all were taken */
        duty_dismiss(&e->duty);
        check_rest_behind(rt);
        return false;
    }
    atom_add(&e->called, UINT64_C(1), memory_order_relaxed); /* relaxed: a statistic */
    if (work_waits)
        return idle_wake_seat(&rt->idle, id);
    announce(rt, id);
    return true;
}

static bool may_retry(const struct elastic *e)
{
    uint64_t at = atom_load(&e->retry_at, memory_order_relaxed); /* relaxed: a hint */
    return LIKELY(at == 0) || os_now() >= at;
}

void elastic_call(struct runtime *rt, enum elastic_caller caller)
{
    bool work_waits = !intake_is_empty(rt) || timers_want_keeper(rt) || io_wants_keeper(rt);
    if ((work_waits || caller == CALLER_WORKER) && may_retry(&rt->elastic) && duty_reserve(&rt->elastic.duty))
        (void)fill_place(rt, work_waits);
}

bool elastic_grow(struct runtime *rt)
{
    if (!may_retry(&rt->elastic) || !duty_grow(&rt->elastic.duty) || !fill_place(rt, true))
        return false;
    atom_add(&rt->elastic.grown, UINT64_C(1), memory_order_relaxed); /* relaxed: a statistic */
    return true;
}

/* --- going ---------------------------------------------------------------------------------------------------- */

void elastic_withdraw(struct runtime *rt)
{
    uint32_t id = idle_withdraw_any(&rt->idle, rt->count);
    if (id == IDLE_NOBODY)
        return; /* the surplus worker runs, and will step down by itself */
    /* One that is not settled may be about to take its announcement back, with a task in its hands. */
    if (idle_is_settled(&rt->idle, id) && duty_withdraw(&rt->elastic.duty)) {
        timers_dismiss(rt, id);
        seat_rest(rt, id);
    } else {
        (void)idle_wake_seat(&rt->idle, id); /* or wanted again: it looks for work and announces itself anew */
    }
}

static uint64_t new_deadline(const struct worker *w)
{
    return w->id < w->rt->count || w->park.stands_in ? OS_FOREVER : os_now() + w->rt->elastic.retire_ns;
}

static enum elastic_rest retire(struct worker *w)
{
    io_leave(w);
    atom_add(&w->rt->elastic.retired, UINT64_C(1), memory_order_relaxed); /* relaxed: a statistic */
    w->retiring = true;
    return REST_RETIRED;
}

/* Asleep for as long as a worker may be: it leaves, or sleeps on. True: *rest says how it goes on. */
static bool slept_out(struct worker *w, uint64_t *deadline, enum elastic_rest *rest)
{
    struct runtime *rt = w->rt;
    *deadline = new_deadline(w);
    if (seat_claim(rt->elastic.spare, w->id)) {
        *rest = retire(w);
        return true;
    }
    if (duty_stay(&rt->elastic.duty)) {
        if (idle_begin_untimed(&rt->idle, w->id))
            *deadline = OS_FOREVER;
        return false;
    }
    if (!idle_withdraw(&rt->idle, w->id))
        return false; /* a token is on its way, or the seat has just gone off duty */
    if (!duty_leave(&rt->elastic.duty)) {
        *rest = REST_AGAIN;
        return true;
    }
    *rest = retire(w);
    check_rest_behind(rt);
    return true;
}

/* The keeper's timer is due, or the worker's time is out. True: *rest says how it goes on. */
static bool timed_out(struct worker *w, uint64_t due, uint64_t *deadline, enum elastic_rest *rest)
{
    if (due <= *deadline) {
        *rest = REST_WOKEN;
        return idle_try_retract(&w->rt->idle, w->id); /* if not: it was woken, or put off duty */
    }
    return slept_out(w, deadline, rest);
}

static enum idle_slept sleep_until(struct worker *w, bool announced, uint64_t deadline)
{
    return announced ? io_sleep(w, deadline) : idle_sleep_until(&w->rt->idle, w->id, deadline);
}

/* The keeper wakes up when its timer is due. All others, and the calls that tasks block in, share their interrupts. */
static enum idle_slept sleep_as_keeper(struct worker *w, bool announced, uint64_t due)
{
    os_exact_sleeps(true);
    enum idle_slept slept = sleep_until(w, announced, due);
    os_exact_sleeps(false);
    return slept;
}

static enum elastic_rest sleep_on(struct worker *w, bool announced)
{
    struct idle *idle = &w->rt->idle;
    enum elastic_rest rest = REST_WOKEN;
    uint64_t deadline = new_deadline(w);
    for (;;) {
        uint64_t due = timers_keep(w);
        switch (due < deadline ? sleep_as_keeper(w, announced, due) : sleep_until(w, announced, deadline)) {
        case SLEPT_WOKEN:
            return REST_WOKEN;
        case SLEPT_HANDED:
            return REST_HANDED;
        case SLEPT_NEWS:
            if (idle_try_retract(idle, w->id))
                return REST_WOKEN;
            break;
        case SLEPT_OVER:
            idle_retract(idle, w->id);
            return REST_WOKEN;
        case SLEPT_NUDGED:
            deadline = new_deadline(w);
            break;
        case SLEPT_ROUSED:
            break;
        case SLEPT_TIMEOUT:
            if (timed_out(w, due, &deadline, &rest))
                return rest;
            break;
        }
    }
}

enum elastic_rest elastic_sleep(struct worker *w, bool announced)
{
    idle_set_settled(&w->rt->idle, w->id, !w->park.stands_in); /* who stands in can't be put off duty */
    enum elastic_rest rest = sleep_on(w, announced);
    idle_set_settled(&w->rt->idle, w->id, false);
    timers_resign(w);
    if (rest == REST_RETIRED)
        timers_hand_on(w->rt);
    return rest;
}

enum elastic_rest elastic_step_down(struct worker *w)
{
    struct runtime *rt = w->rt;
    if (runtime_phase(rt) != PHASE_RUNNING || !duty_withdraw(&rt->elastic.duty))
        return REST_AGAIN;
    slab_collect(&w->slab);
    deque_shrink(&w->dq);
    io_flush(w);
    rcu_flush();
    seat_release(rt->elastic.spare, w->id);
    check_rest_behind(rt);
    PROBE1(park, w->id);
    enum elastic_rest rest = elastic_sleep(w, false);
    PROBE1(unpark, w->id);
    return rest;
}

/* --- lifecycle ------------------------------------------------------------------------------------------------ */

void elastic_dismiss_spares(struct runtime *rt)
{
    /* [EL5] the phase before the look: the caller has fenced; pairs with check_rest_behind(). */
    for (uint32_t id; (id = seat_claim_any(rt, rt->elastic.spare)) != IDLE_NOBODY;)
        (void)idle_wake_seat(&rt->idle, id);
}

void elastic_init(struct runtime *rt, uint32_t workers)
{
    struct elastic *e = &rt->elastic;
    duty_init(&e->duty, workers, rt->count, rt->config.max_workers, rt->seats);
    e->retire_ns = (uint64_t)rt->config.retire_after_ms * UINT64_C(1000000);
    uint32_t at_once = rt->config.max_workers < rt->processors ? rt->config.max_workers : rt->processors;
    rt->idle.searchers = at_once > 1 ? at_once / 2 : 1;
    rt->idle.bring = bring;
    for (uint32_t id = workers; id < rt->seats; id++) {
        idle_set_absent(&rt->idle, id, true);
        seat_release(e->vacant, id);
    }
}
