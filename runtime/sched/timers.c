/* SPDX-License-Identifier: MIT
 *
 * timers.c - starting, cancelling and expiring timers, and the keeper's part in the idle protocol.
 *
 * A timer's state word:
 *
 *  63      32 31       3    2       1..0
 * | wheel    | 0       | pending | 0: never started, 1: fired, 2: cancelled |
 *
 * Threads and invariants: see timers.h.
 */
#include "sched/timers.h"

#include <errno.h>

#include "sched/worker.h"
#include "sync/wheel.h"

#define TIMER_FIRED UINT64_C(1)
#define TIMER_CANCELLED UINT64_C(2)
#define TIMER_PENDING UINT64_C(4)
#define TIMER_WHEEL_SHIFT 32

#define LOCK_SPINS 64u               /* a holder that runs is through by then (some 3 us) */
#define LOCK_YIELDS 256u             /* then it waits for a processor; one of lower priority gets none by yielding */
#define LOCK_NAP_NS UINT64_C(100000) /* a choice */

struct timer_wheel {
    /* written by who holds the lock, when it changes; read by who looks for due timers */
    weir_atomic_u64 earliest; /* ns: T1 */
    char pad[LINE_PAIR - sizeof(weir_atomic_u64)];
    weir_atomic_u32 lock;     /* 1: held */
    bool closed;              /* for threads that are no workers */
    struct wheel wheel;
} ALIGNED(LINE_PAIR);

/* --- the lock ------------------------------------------------------------------------------------------------- */

static inline bool try_lock(struct timer_wheel *tw)
{
    uint32_t free = 0;
    /* [TM1] acquire: the wheel as its last holder left it; pairs with unlock(). */
    return atom_cas(&tw->lock, &free, 1u, memory_order_acquire, memory_order_relaxed);
}

static inline void unlock(struct timer_wheel *tw)
{
    atom_store(&tw->lock, 0u, memory_order_release); /* [TM1] release: pairs with try_lock() */
}

/* Between two tries: the holder runs, or waits for a processor, or has a lower priority than this thread. */
static void lock_pause(struct timer_wheel *tw, uint32_t tries)
{
    if (tries < LOCK_SPINS)
        os_relax();
    else if (tries < LOCK_SPINS + LOCK_YIELDS)
        os_yield();
    else
        os_futex_wait(&tw->lock, 1, os_now() + LOCK_NAP_NS); /* nobody wakes it: a nap */
}

static void lock(struct timer_wheel *tw)
{
    for (uint32_t tries = 0; !try_lock(tw); tries++)
        lock_pause(tw, tries);
}

/* The wheel `home`, or if that is locked any other. */
static struct timer_wheel *lock_any(struct timers *t, uint32_t home)
{
    for (uint32_t tries = 0;; tries++) {
        for (uint32_t i = 0; i < t->count; i++) {
            struct timer_wheel *tw = &t->wheels[(home + i) % t->count];
            if (LIKELY(try_lock(tw)))
                return tw;
        }
        lock_pause(&t->wheels[home % t->count], tries);
    }
}

static inline uint64_t earliest_of(const struct timer_wheel *tw)
{
    /* relaxed: a hint for who looks for work; who decides to sleep is ordered by a fence [TM2], who ends the runtime by
     * what it has seen of all workers [EL2] */
    return atom_load(&tw->earliest, memory_order_relaxed);
}

/* Under the lock: after timers were taken out. */
static void note_earliest(struct timer_wheel *tw)
{
    uint64_t next = wheel_next(&tw->wheel);
    /* relaxed: too low a value costs a look */
    atom_store(&tw->earliest, next == WHEEL_NEVER ? OS_FOREVER : wheel_ns(next), memory_order_relaxed);
}

/* --- telling the keeper --------------------------------------------------------------------------------------- */

/* Somebody who sleeps shall become the keeper. False: nobody sleeps. */
static bool appoint(struct runtime *rt)
{
    struct idle *idle = &rt->idle;
    for (uint32_t id; (id = idle_any_sleeper(idle, IDLE_NOBODY)) != IDLE_NOBODY;) {
        if (!idle_is_absent(idle, id)) {
            idle_rouse(idle, id);
            return true;
        }
        if (idle_wake(idle, id) != 0)
            return true; /* its thread begins with a search and then sleeps as any other */
    }
    return false;
}

/* Nobody keeps the time although a timer is pending. After a full fence. */
static void find_keeper(struct runtime *rt, enum elastic_caller caller)
{
    if (!appoint(rt) && idle_all_busy(&rt->idle))
        runtime_check_duty(rt, caller); /* T3 */
}

/* `earliest` of a wheel was lowered to `due`. */
static void tell(struct runtime *rt, uint64_t due, enum elastic_caller caller)
{
    /* [TM2] forbids: the starter misses a worker that goes to sleep, or finds the keeper with an old deadline, while
     * that worker's look misses the timer; pairs with timers_keep(), timers_hand_on() and idle_announce(). */
    atom_fence(memory_order_seq_cst);
    uint64_t keeper = idle_keeper(&rt->idle);
    if (keeper == IDLE_NO_KEEPER)
        find_keeper(rt, caller);
    else if (due < idle_keeper_until(keeper))
        idle_rouse(&rt->idle, idle_keeper_id(keeper));
}

/* --- starting and cancelling ----------------------------------------------------------------------------------- */

/* A worker that the end of the runtime waits for. */
static inline bool is_running(const struct runtime *rt, const struct worker *w)
{
    return w != NULL && w->id < rt->seats;
}

/* Under the lock. True: it is the earliest of the wheel now. */
static inline bool put(struct timer_wheel *tw, weir_timer *timer, const struct timer_order *order)
{
    if (tw->wheel.pending == 0)
        wheel_advance_empty(&tw->wheel, wheel_tick_at(order->now != 0 ? order->now : os_now()));
    wheel_add(&tw->wheel, timer, wheel_tick_from(order->deadline));
    if (wheel_ns(timer->due) >= earliest_of(tw))
        return false;
    atom_store(&tw->earliest, wheel_ns(timer->due), memory_order_relaxed); /* relaxed: tell() fences */
    return true;
}

int timers_start(struct runtime *rt, struct worker *w, weir_timer *timer, const struct timer_order *order)
{
    /* [TM3] acquire: the record as who fired or cancelled it left it; pairs with set_free(). */
    if (atom_load(&timer->state, memory_order_acquire) & TIMER_PENDING)
        return -EBUSY;
    struct timer_wheel *tw = lock_any(&rt->timers, w != NULL ? w->id : os_cpu());
    if (UNLIKELY(tw->closed) && !is_running(rt, w)) {
        unlock(tw);
        return -ESHUTDOWN;
    }
    if (UNLIKELY(!timers_in_use(&rt->timers)))
        atom_store(&rt->timers.in_use, 1u, memory_order_relaxed); /* relaxed: ordered as `earliest` is */
    plain_writes(timer->task); /* [TM3] */
    timer->task = order->task;
    atom_store(&timer->runtime, order->handle, memory_order_relaxed); /* relaxed, both: who cancels it takes the lock */
    uint64_t index = (uint64_t)(tw - rt->timers.wheels);
    atom_store(&timer->state, index << TIMER_WHEEL_SHIFT | TIMER_PENDING, memory_order_relaxed);
    bool first = put(tw, timer, order);
    uint64_t due = wheel_ns(timer->due);
    unlock(tw); /* the timer may be gone */
    if (first)
        tell(rt, due, is_running(rt, w) ? CALLER_WORKER : CALLER_OUTSIDE);
    return 0;
}

/* Under the lock: the record's last touch. */
static inline void set_free(weir_timer *timer, uint64_t state)
{
    /* [TM3] release: all that was done with the record; pairs with timers_start(). */
    atom_store(&timer->state, state, memory_order_release);
}

int timers_why_not(const weir_timer *timer)
{
    /* relaxed: it tells the caller nothing else */
    return atom_load(&timer->state, memory_order_relaxed) == TIMER_FIRED ? -EALREADY : -ENOENT;
}

int timers_cancel(struct runtime *rt, weir_timer *timer)
{
    for (;;) {
        uint64_t state = atom_load(&timer->state, memory_order_relaxed); /* relaxed: the lock orders what follows */
        if ((state & TIMER_PENDING) == 0)
            return state == TIMER_FIRED ? -EALREADY : -ENOENT;
        struct timer_wheel *tw = &rt->timers.wheels[state >> TIMER_WHEEL_SHIFT];
        lock(tw);
        /* relaxed: a pending timer of this wheel changes under its lock only */
        bool mine = atom_load(&timer->state, memory_order_relaxed) == state;
        bool last = false;
        if (LIKELY(mine)) {
            wheel_remove(&tw->wheel, timer);
            if (tw->wheel.pending == 0) {
                atom_store(&tw->earliest, OS_FOREVER, memory_order_relaxed); /* relaxed: as in note_earliest() */
                last = tw->closed;
            }
            set_free(timer, TIMER_CANCELLED);
        }
        unlock(tw);
        if (UNLIKELY(last)) /* nothing may be left to wait for: [TM4], see end_if_dry() */
            runtime_check_rest(rt);
        if (LIKELY(mine))
            return 0;
    }
}

bool timers_is_pending(const weir_timer *timer)
{
    return (atom_load(&timer->state, memory_order_relaxed) & TIMER_PENDING) != 0; /* relaxed: a hint */
}

/* --- expiring --------------------------------------------------------------------------------------------------- */

/* What counts as now: a stop that discards waits for nothing. */
static uint64_t present(const struct runtime *rt)
{
    return UNLIKELY(runtime_phase(rt) == PHASE_DISCARDING) ? OS_FOREVER - 1 : os_now();
}

static uint64_t earliest_of_all(const struct runtime *rt)
{
    uint64_t earliest = OS_FOREVER;
    for (uint32_t i = 0; i < rt->timers.count; i++) {
        uint64_t e = earliest_of(&rt->timers.wheels[i]);
        earliest = e < earliest ? e : earliest;
    }
    return earliest;
}

bool timers_pending(const struct runtime *rt)
{
    return timers_in_use(&rt->timers) && earliest_of_all(rt) != OS_FOREVER;
}

bool timers_drained(const struct runtime *rt)
{
    /* [TM7] acquire: pairs with timers_close(). */
    return atom_load(&rt->timers.closed, memory_order_acquire) != 0 && !timers_pending(rt);
}

bool timers_want_keeper(const struct runtime *rt)
{
    return timers_pending(rt) && idle_keeper(&rt->idle) == IDLE_NO_KEEPER;
}

bool timers_due(const struct runtime *rt)
{
    if (!timers_in_use(&rt->timers))
        return false;
    uint64_t earliest = earliest_of_all(rt);
    return earliest != OS_FOREVER && earliest <= present(rt);
}

/* Under the lock: up to `most` timers that are due are fired; their tasks. */
static uint32_t fire(struct timer_wheel *tw, uint64_t now, weir_task **out, uint32_t most)
{
    weir_timer *fired[TIMERS_BATCH];
    uint32_t n = wheel_expire(&tw->wheel, wheel_tick_at(now), fired, most);
    for (uint32_t i = 0; i < n; i++) {
        plain_reads(fired[i]->task); /* [TM3] */
        out[i] = fired[i]->task;
        set_free(fired[i], TIMER_FIRED);
    }
    note_earliest(tw);
    return n;
}

/* A timer's task is released: the tasks among them that are ready, at the front. */
static uint32_t release_all(weir_task **tasks, uint32_t n)
{
    uint32_t ready = 0;
    for (uint32_t i = 0; i < n; i++) {
        weir_task *t = tasks[i];
        /* relaxed: one completion of a continuation is this timer's to pay: it can't be ready before that */
        if (atom_load(&t->state, memory_order_relaxed) >> STATE_OWED_SHIFT != 0)
            t = weir_release(t);
        if (t != NULL)
            tasks[ready++] = t;
    }
    return ready;
}

/* From one wheel, until something is ready or nothing is due; another thread that is at it does the same. */
static uint32_t take_from(struct timer_wheel *tw, uint64_t now, weir_task **out, uint32_t most)
{
    uint32_t ready = 0;
    while (ready == 0 && earliest_of(tw) <= now && try_lock(tw)) {
        uint32_t n = fire(tw, now, out, most);
        unlock(tw);
        ready = release_all(out, n);
    }
    return ready;
}

uint32_t timers_take(struct worker *w, weir_task **out, uint32_t most)
{
    struct timers *t = &w->rt->timers;
    if (earliest_of_all(w->rt) == OS_FOREVER)
        return 0;
    uint64_t now = present(w->rt);
    uint32_t ready = 0;
    most = most < TIMERS_BATCH ? most : TIMERS_BATCH;
    for (uint32_t i = 0; i < t->count && ready == 0; i++)
        ready = take_from(&t->wheels[(w->id + i) % t->count], now, out, most);
    return ready;
}

/* --- the keeper ------------------------------------------------------------------------------------------------- */

uint64_t timers_keep(struct worker *w)
{
    struct runtime *rt = w->rt;
    if (!timers_in_use(&rt->timers))
        return OS_FOREVER;
    for (uint64_t until = earliest_of_all(rt);;) {
        if (!idle_is_announced(&rt->idle, w->id) || !idle_keep(&rt->idle, w->id, until))
            return OS_FOREVER;
        /* [TM2] the deadline, then the look at the wheels; pairs with tell(). [TM5] the keeper's name, then the look at
         * its announcement; pairs with timers_dismiss(). */
        atom_fence(memory_order_seq_cst);
        uint64_t again = earliest_of_all(rt);
        if (!idle_is_announced(&rt->idle, w->id)) { /* woken, or put off duty by who may have taken it for the keeper */
            timers_resign(w);
            timers_hand_on(rt);
            return OS_FOREVER;
        }
        if (again >= until)
            return until;
        until = again;
    }
}

void timers_resign(struct worker *w)
{
    if (timers_in_use(&w->rt->timers))
        idle_resign(&w->rt->idle, w->id);
}

void timers_hand_on(struct runtime *rt)
{
    if (!timers_in_use(&rt->timers))
        return;
    /* [TM2] that the caller is not asleep, nor the keeper any more, then the look for timers and sleepers; pairs with
     * tell(), timers_keep() and idle_announce(). */
    atom_fence(memory_order_seq_cst);
    if (timers_want_keeper(rt))
        (void)appoint(rt); /* if nobody sleeps, the next one to go to sleep keeps the time */
}

void timers_dismiss(struct runtime *rt, uint32_t id)
{
    if (!timers_in_use(&rt->timers))
        return;
    /* [TM5] forbids: the sleeper becomes the keeper, not seeing that it is not announced any more, while this misses
     * that it is; pairs with timers_keep(). */
    atom_fence(memory_order_seq_cst);
    idle_resign(&rt->idle, id);
    timers_hand_on(rt);
}

/* --- lifecycle -------------------------------------------------------------------------------------------------- */

int timers_init(struct runtime *rt)
{
    struct timers *t = &rt->timers;
    uint32_t count = rt->count < TIMER_WHEELS_MAX ? rt->count : TIMER_WHEELS_MAX;
    t->wheels = os_alloc(count * sizeof(*t->wheels), LINE_PAIR);
    if (t->wheels == NULL)
        return -ENOMEM;
    t->count = count;
    for (uint32_t i = 0; i < count; i++) {
        wheel_init(&t->wheels[i].wheel, wheel_tick_at(os_now()));
        atom_store(&t->wheels[i].earliest, OS_FOREVER, memory_order_relaxed); /* relaxed: not shared yet */
    }
    return 0;
}

void timers_destroy(struct runtime *rt)
{
    os_free(rt->timers.wheels, rt->timers.count * sizeof(*rt->timers.wheels));
}

void timers_close(struct runtime *rt)
{
    for (uint32_t i = 0; i < rt->timers.count; i++) {
        lock(&rt->timers.wheels[i]);
        rt->timers.wheels[i].closed = true;
        unlock(&rt->timers.wheels[i]);
    }
    /* [TM7] release: the timers that were started before; pairs with timers_drained(). */
    atom_store(&rt->timers.closed, 1u, memory_order_release);
}
