/* SPDX-License-Identifier: MIT
 *
 * loop.c - start reading here: what a worker does all day.
 *
 *   the task returned by the last one, else the newest of the own deque, else the injector, else a search;
 *   every 61st task the injector goes first.
 *
 * Threads: the worker.
 * Invariants: everything in the deque descends from `lineage`, unless that is NULL: it is set when a task is taken from
 * elsewhere, onto an empty deque. `serving` is published only while a task of that lineage runs and has not yet paid:
 * as long as that is so, who waits for it can't have returned.
 */
#include "obs/probes.h"
#include "sched/worker.h"

#define STEP_DOWN_INTERVAL 16u /* times that a deque runs dry between two looks at a surplus: a choice; with 1, workers
                                  that block in turn hand each other a processor at each task, at a wake-up a time */

static _Thread_local struct worker *self __attribute__((tls_model("initial-exec")));

struct worker *worker_self(void)
{
    return self;
}

void worker_set_self(struct worker *w)
{
    self = w;
}

/* A stop that discards: drops a task that nobody joins and that does not ask to be called. */
static bool must_discard(const struct worker *w, const struct task_debt *debt)
{
    return UNLIKELY(runtime_phase(w->rt) == PHASE_DISCARDING) && (debt->flags & (STATE_FORKED | STATE_CALLED)) == 0;
}

/* Ends a task without running it. It pays what it owes: its scope's waiter comes to an end, its continuation becomes
 * ready and is dropped in its turn. */
static void drop(struct worker *w, const struct task_debt *debt)
{
    if (debt->flags & STATE_SCOPED)
        weir_scope_cancel(scope_of_done(debt->then));
    atom_count(&w->counters.tasks_discarded, 1);
}

/* A request that waited too long (admission.c): what its owner gave for that takes the place of `run`. */
static NOINLINE weir_task *shed(struct worker *w, weir_task *t)
{
    /* relaxed, both: the record is this worker's, and may be submitted again */
    atom_store(&t->state, atom_load(&t->state, memory_order_relaxed) & ~STATE_SHED, memory_order_relaxed);
    atom_count(&w->counters.tasks_shed, 1);
    return CONTAINER_OF(t, weir_request, task)->shed(worker_public(w), t);
}

/* What a task is part of, as far as waiters care: itself if it is joined, its scope, or NULL. */
static void *key_of(weir_task *t, const struct task_debt *debt)
{
    if (debt->flags & STATE_FORKED)
        return t;
    return debt->flags & STATE_SCOPED ? scope_of_done(debt->then) : NULL;
}

/* Whether there is nothing to be done for `t` but to run it: nobody waits for it, and it owes nobody anything. Most
 * tasks from outside are such (bench `submit`). */
static inline bool is_bare(const struct worker *w, const weir_task *t)
{
    /* relaxed: got with the task itself */
    return atom_load(&t->state, memory_order_relaxed) == 0 && t->then == NULL &&
           LIKELY(runtime_phase(w->rt) != PHASE_DISCARDING);
}

/* The scope whose open account the worker itself keeps, if that is all there is to say about `t`: not forked, not
 * pooled, nobody waits for it in particular. Most tasks of a flood are such (bench `flat`). Otherwise NULL. */
static inline weir_scope *plain_member_of(const struct worker *w, const weir_task *t)
{
    /* relaxed: got with the task itself */
    if ((atom_load(&t->state, memory_order_relaxed) & (STATE_FORKED | STATE_POOLED | STATE_SCOPED)) != STATE_SCOPED)
        return NULL;
    weir_scope *s = scope_of_done(t->then);
    bool plain = s->owner == (const weir_worker *)(const void *)w && !s->closed && w->lineage != s &&
                 !scope_is_cancelled(s) && runtime_phase(w->rt) != PHASE_DISCARDING;
    return plain ? s : NULL;
}

static inline weir_task *run_body(struct worker *w, weir_task *t)
{
    atom_count(&w->counters.tasks_run, 1);
    PROBE3(task_begin, w->id, t, t->run);
    weir_task *next = t->run(worker_public(w), t);
    PROBE2(task_end, w->id, t);
    return next;
}

/* Acts on what a finished task led to; `next` is what its run returned. The next task, or NULL. */
static inline weir_task *settle(struct worker *w, struct finish f, weir_task *next)
{
    if (f.wake != 0)
        idle_wake_waiter(&w->rt->idle, f.wake - 1);
    if (f.ready == NULL)
        return next;
    if (next == NULL)
        return f.ready;
    weir_push(worker_public(w), f.ready);
    return next;
}

/* Runs a task about which there is more to say. */
static NOINLINE weir_task *run_in_full(struct worker *w, weir_task *t)
{
    struct task_debt debt = task_debt_of(t);
    weir_task *next = NULL;
    void *key = key_of(t, &debt);
    bool serves = key != NULL && key == w->lineage;
    if (serves)
        worker_serve(w, key);
    if (debt.flags & STATE_FORKED)
        state_take(t); /* stolen, or met on the own deque by somebody else than its join */
    if (must_discard(w, &debt)) {
        drop(w, &debt);
    } else if (UNLIKELY(task_is_cancelled(&debt))) {
        atom_count(&w->counters.tasks_skipped, 1);
    } else if (UNLIKELY(debt.flags & STATE_SHED)) {
        next = shed(w, t);
    } else {
        next = run_body(w, t);
    }
    if (UNLIKELY(w->blocked))
        (void)block_end(w); /* the task forgot to */
    if (debt.flags & STATE_POOLED)
        slab_free(&w->slab, t);
    if (serves)
        worker_serve(w, NULL); /* before it pays: the waiter may use the same address for something new */
    return settle(w, task_finish(t, &debt, worker_public(w)), next);
}

WEIR_INLINE weir_task *run_one(struct worker *w, weir_task *t)
{
    if (is_bare(w, t)) {
        weir_task *bare_next = run_body(w, t);
        if (UNLIKELY(w->blocked))
            (void)block_end(w); /* it forgot to */
        return bare_next;
    }
    weir_scope *s = plain_member_of(w, t);
    if (s == NULL)
        return run_in_full(w, t);
    weir_task *next = run_body(w, t);
    if (UNLIKELY(w->blocked))
        (void)block_end(w); /* as in run_in_full() */
    return settle(w, scope_member_done(s, worker_public(w)), next);
}

void worker_run_chain(struct worker *w, weir_task *t)
{
    while (t != NULL)
        t = run_one(w, t);
}

static inline void run_newest(struct worker *w)
{
    weir_task *t = deque_pop(&w->dq);
    if (UNLIKELY(deque_is_full(&w->dq)))
        deque_rewind(&w->dq); /* the last slot was public: the deque is empty now, at the end of its buffer */
    while (t != NULL)
        t = run_one(w, t);
}

/* Whether the newest task need not run now: a fork, for which there is the reserve. */
static NOINLINE bool open_reserve(struct worker *w)
{
    if (!deque_open_reserve(&w->dq))
        return false;
    if (w->within_push == WITHIN_PUSH) {
        w->within_push = WITHIN_RESERVE;
        w->reserve_base = deque_position(&w->dq) - 1;
    }
    return true;
}

static NOINLINE void run_newest_within(struct worker *w)
{
    run_newest(w);
}

void worker_run_newest(struct worker *w)
{
    if (UNLIKELY(deque_newest_is_forked(&w->dq)) && open_reserve(w))
        return;
    if (UNLIKELY(w->within_push != WITHIN_NONE)) {
        run_newest_within(w);
        return;
    }
    w->within_push = WITHIN_PUSH;
    run_newest(w);
    if (UNLIKELY(w->within_push == WITHIN_RESERVE))
        worker_run_above(w, w->reserve_base); /* what it has left there, and the end of it */
    w->within_push = WITHIN_NONE;
}

void worker_run_above(struct worker *w, uint64_t base)
{
    weir_task *t;
    while (deque_position(&w->dq) > base && (t = deque_pop(&w->dq)) != NULL)
        do
            t = run_one(w, t);
        while (t != NULL);
    if (UNLIKELY(w->dq.reserve_is_open))
        deque_close_reserve(&w->dq);
}

/* A task has been taken from elsewhere: what is on the deque, if anything, has nothing to do with it. */
static void set_lineage(struct worker *w, weir_task *t)
{
    struct task_debt debt = task_debt_of(t);
    w->lineage = deque_has_any(&w->dq) ? NULL : key_of(t, &debt);
}

void worker_run_stolen(struct worker *w, weir_task *t)
{
    void *serving = atom_load(&w->park.serving, memory_order_relaxed); /* relaxed: own word */
    void *lineage = w->lineage;
    uint64_t base = deque_position(&w->dq);
    set_lineage(w, t);
    worker_run_chain(w, t);
    worker_run_above(w, base); /* nobody else may run that while the waiter sleeps: so before it looks again */
    w->lineage = lineage;
    worker_serve(w, serving);
}

/* A worker that may leave has run dry: now and then it looks whether it is one too many. */
static bool may_step_down(struct worker *w)
{
    return UNLIKELY(w->id >= w->rt->count) && ++w->dry % STEP_DOWN_INTERVAL == 0 &&
           duty_has_surplus(duty_read(&w->rt->elastic.duty));
}

/* The next task, and whether it came from elsewhere (onto an empty deque). NULL: as worker_search(). */
static weir_task *next_task(struct worker *w, bool *fresh)
{
    *fresh = false;
    weir_task *t = deque_pop(&w->dq);
    if (t != NULL)
        return t;
    *fresh = true;
    w->full_pushes = 0; /* it may get a shorter buffer before it is full again */
    if (UNLIKELY(w->dq.reserve_is_open))
        deque_close_reserve(&w->dq);
    if (may_step_down(w)) {
        enum elastic_rest rest = elastic_step_down(w);
        if (rest != REST_AGAIN)
            return rest == REST_WOKEN ? worker_search_woken(w) : NULL;
    }
    t = worker_take_outside(w);
    return t != NULL ? t : worker_search(w);
}

/* Outside work is not starved by inside work: now and then it goes first. But not over tasks that a wait may need: it
 * might block on what the waiter holds, and a waiter can't get at tasks beneath something foreign. */
static weir_task *let_injected_first(struct worker *w, weir_task *t)
{
    if (w->lineage != NULL && (t != NULL || deque_has_any(&w->dq))) {
        io_flush(w);
        w->ticks = 0;
        return t;
    }
    weir_task *injected = worker_take_ahead(w);
    if (injected == NULL || w->io.turn) { /* completions don't wait for the injector to run dry */
        weir_task *ready = io_take(w);
        if (injected != NULL && ready != NULL)
            weir_push(worker_public(w), injected);
        injected = ready != NULL ? ready : injected;
    }
    w->io.turn = !w->io.turn;
    if (injected == NULL)
        return t;
    if (t != NULL)
        weir_push(worker_public(w), t);
    set_lineage(w, injected);
    return injected;
}

/* Until the runtime has ended or the worker retires. t: its first task, from elsewhere, or NULL. */
static void run(struct worker *w, weir_task *t)
{
    bool fresh = t != NULL;
    for (;;) {
        if (++w->ticks >= INJECTOR_INTERVAL)
            t = let_injected_first(w, t);
        if (t == NULL && (t = next_task(w, &fresh)) == NULL)
            break;
        if (fresh)
            set_lineage(w, t);
        t = run_one(w, t);
        fresh = false;
    }
}

/* The same for a worker whose seat was announced before it had a thread: it comes as one that was woken. */
static void run_called(struct worker *w)
{
    if (!elastic_arrive(w)) {
        w->retiring = true;
        return;
    }
    weir_task *t = worker_search_woken(w);
    if (t != NULL)
        run(w, t);
}

void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct runtime *rt = w->rt;
    self = w;
    w->stack_reserve = os_stack_low() + rt->config.stack_size / 4;
    rcu_register();
    if (w->called)
        run_called(w);
    else
        run(w, NULL);
    if (w->retiring)
        elastic_vacate(w); /* the record is another thread's now */
    rcu_unregister();
    self = NULL;
    /* [ST2] release: everything this worker did; pairs with the acquire in lifecycle.c. */
    atom_sub(&rt->threads, 1u, memory_order_release);
    os_futex_wake(&rt->threads, 1); /* the runtime is freed only after this thread was joined */
    return NULL;
}
