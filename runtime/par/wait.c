/* SPDX-License-Identifier: MIT
 *
 * wait.c - waiting without surprise: leapfrog, spin briefly, sleep.
 *
 * A waiter takes tasks only from workers whose deque descends from what it waits for (`serving` equals its key; the
 * deque checks that at the moment of the steal). So a lock that is held across a join meets no foreign task, and the
 * stack holds only ancestors above descendants: no cycle of waits can form among them.
 *
 * Threads: the waiter.
 * Invariants: while the waiter sleeps, its bit in idle.waiting is set or somebody has claimed it and hands a token; who
 * finishes the awaited task sees STATE_WAITS in the old word and hands a token as well.
 * Source: Wagner and Calder, "Leapfrogging" (PPoPP 1993).
 */
#include "par/wait.h"

#include "obs/probes.h"

#define WAIT_ALONE_NS UINT64_C(500000) /* asleep without a spare worker in its place: a choice, half of the 1 ms within
                                          which other work shall go on, and much longer than most waits */
#define WAIT_SPIN_NS UINT64_C(50000) /* a futex sleep and wake-up cost about 40 us on the reference machine */

/* What is waited for. The callbacks are constant-folded where the loop is inlined. */
struct await {
    weir_task *task; /* its state word is where the finisher looks for us */
    void *key;       /* what descendants' workers serve: the task itself, or its scope */
    bool scope;
};

static bool is_over(const struct await *a)
{
    return a->scope ? state_owed(a->task) == 0 : state_is_done(a->task);
}

/* A task that descends from what we wait for, or NULL. */
static weir_task *descendant(struct worker *w, const struct await *a)
{
    if (worker_stack_is_low(w))
        return NULL; /* deep enough: let others do it */
    if (a->scope)
        return steal_any_descendant(w, a->key);
    /* relaxed: a hint, the guard decides */
    uint32_t thief = state_thief(atom_load(&a->task->state, memory_order_relaxed));
    return thief != 0 ? steal_descendant(w, w->rt->workers[thief - 1], a->key) : NULL;
}

/* Looks for a while. True: a task was run, so begin anew; false: nothing was found in all that time, or it is over. */
static bool help(struct worker *w, const struct await *a)
{
    uint64_t deadline = os_now() + WAIT_SPIN_NS;
    unsigned relaxes = 1;
    while (!is_over(a)) {
        weir_task *t = descendant(w, a);
        if (t != NULL) {
            worker_run_stolen(w, t);
            return true;
        }
        if (os_now() >= deadline)
            return false;
        worker_pause(w->rt, &relaxes);
    }
    return false;
}

/* Nobody else is left: a task that may have nothing to do with what we wait for, and what came along with it onto the
 * deque. */
static void run_foreign(struct worker *w, weir_task *t, uint64_t base, void *lineage)
{
    void *serving = atom_load(&w->park.serving, memory_order_relaxed); /* relaxed: own word */
    worker_serve(w, NULL);
    worker_run_stolen(w, t);
    worker_run_above(w, base);
    w->lineage = lineage;
    worker_serve(w, serving);
}

/* A long wait: somebody else may use the processor, or, if nobody is left to do so, this worker stands in for all. */
static void sleep_long(struct worker *w)
{
    struct duty *duty = &w->rt->elastic.duty;
    void *lineage = w->lineage;
    uint64_t base = deque_position(&w->dq);
    weir_task *t = NULL;
    bool counted = w->blocked; /* against the rules, a join between weir_block_begin() and its end */
    if (!counted)
        block_enter(w);
    bool stands_in = w->id < w->rt->seats && !worker_stack_is_low(w) && duty_stand_in(duty);
    if (stands_in)
        t = worker_stand_in(w);
    else
        idle_wait(&w->rt->idle, w->id);
    if (!counted)
        block_leave(w);
    if (stands_in)
        duty_dismiss(duty);
    if (t == NULL)
        return;
    idle_end_wait(&w->rt->idle, w->id);
    run_foreign(w, t, base, lineage);
}

/* Nobody else is active or can be called in: there is nothing to be alone for. */
static bool is_last(const struct worker *w)
{
    const struct duty *duty = &w->rt->elastic.duty;
    uint64_t word = duty_read(duty);
    return UNLIKELY(duty_active(word) <= 1 && duty_on(word) >= duty->seats);
}

/* Asleep in a join or a scope: a function of its own, so that a profile shows it. */
static NOINLINE void sleep_in_wait(struct worker *w, const struct await *a)
{
    struct idle *idle = &w->rt->idle;
    idle_begin_wait(idle, w->id, a->key);
    bool over = a->scope ? state_begin_wait_scope(a->task, w->id) >> STATE_OWED_SHIFT == 0
                         : (state_begin_wait_forked(a->task, w->id) & STATE_DONE) != 0;
    if (!over) {
        /* [PK4] heavy: who serves what we wait for looks for waiters at its next push; what it pushed before is seen by
         * the look that follows. */
        steal_poison_servers(w->rt, a->key);
        weir_task *t = descendant(w, a);
        if (t != NULL) {
            idle_end_wait(idle, w->id);
            worker_run_stolen(w, t);
            return;
        }
        PROBE1(park, w->id);
        atom_count(&w->counters.parks, 1);
        if (is_last(w) || !idle_wait_until(idle, w->id, os_now() + WAIT_ALONE_NS))
            sleep_long(w);
        PROBE1(unpark, w->id);
    }
    idle_end_wait(idle, w->id);
}

static void wait_on_worker(struct worker *w, const struct await *a)
{
    while (!is_over(a)) {
        io_flush(w);
        if (!help(w, a) && !is_over(a))
            sleep_in_wait(w, a);
    }
}

void wait_forked(struct worker *w, weir_task *t)
{
    const struct await a = {t, t, false};
    wait_on_worker(w, &a);
}

void wait_scope(struct worker *w, weir_scope *s)
{
    const struct await a = {&s->done, s, true};
    worker_run_above(w, s->base); /* what lies above the scope's beginning was made in it: run it first */
    if (scope_close(s))
        return;
    wait_on_worker(w, &a);
}

void wait_scope_outside(weir_scope *s)
{
    if (scope_close(s))
        return;
    for (;;) {
        /* [TS2] acquire: pairs with state_pay(); the flag tells the last payer to wake the sleepers on `owed`. */
        uint64_t now = atom_or(&s->done.state, STATE_SLEEPER, memory_order_acquire);
        if (now >> STATE_OWED_SHIFT == 0)
            return;
        os_futex_wait(state_owed_word(&s->done), (uint32_t)(now >> STATE_OWED_SHIFT), OS_FOREVER);
    }
}
