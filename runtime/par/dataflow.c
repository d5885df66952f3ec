/* SPDX-License-Identifier: MIT
 *
 * dataflow.c - tasks ordered by the addresses that they name.
 *
 * The producer looks up each address in a table of its own (flow_table.h), finds the tasks to wait for, and links the
 * new task into their lists. Records are used again: a reference is a record and its generation, so a table entry that
 * is out of date is seen as such and needs no counting. Generations are the producer's own: what it needs to know of
 * tasks that have ended long ago is in its cache, not in lines that other workers have written.
 *
 * Threads: flow_add, weir_flow_wait and weir_flow_destroy: the producer. Tasks finish on any worker.
 * Invariants: a record is free, or a task's; it goes back to `freed` once the task has ended and its list was taken
 * out. An edge lies in its successor's memory, which can't end before the edge was used. A record that is no task is
 * closed.
 */
#include "par/dataflow.h"

#include <errno.h>

#include "par/flow_state.h"
#include "par/wait.h"

#define ENTRIES_KEPT 8u /* addresses of one task that are looked up once */
#define NOTED_FIRST 16u /* predecessors of one task that there is room for at first */
#define ROOM_CHAINS 32u /* chains run in a row for room: few enough to stay in a near cache (bench `flow_tree`) */
#define FLOW_SLEEPS ((struct flow_task *)(uintptr_t)1) /* in `freed`: the producer sleeps until a record comes */

static weir_flow *flow_of(const struct flow_task *t)
{
    return CONTAINER_OF(scope_of_done(t->task.then), struct weir_flow, scope);
}

/* --- ends of tasks -------------------------------------------------------------------------------------------- */

bool flow_join(struct flow_task *before, struct flow_task *t, struct flow_edge *e)
{
    /* [DF1] acquire: the work of a task that has ended; pairs with flow_close(). */
    uint64_t head = atom_load(&before->after, memory_order_acquire), mine = (uintptr_t)t;
    if (e != NULL) {
        e->task = t;
        mine = (uintptr_t)e | LINK_EDGE;
    }
    do {
        if (head & LINK_CLOSED)
            return false;
        *(e != NULL ? &e->next : &t->edge) = head;
        /* [DF2] release: the edge and its task before the list; pairs with flow_close(). [DF1] acquire on failure. */
    } while (!atom_cas_weak(&before->after, &head, mine, memory_order_release, memory_order_acquire));
    return true;
}

flow_link flow_close(struct flow_task *t)
{
    /* [DF1] release: the task's work; [DF2] acquire: the edges. Pairs with flow_join(). */
    return atom_xchg(&t->after, LINK_CLOSED, memory_order_acq_rel);
}

/* The same on the producer's own worker: nobody links meanwhile, and nobody else looks. */
static flow_link close_here(struct flow_task *t)
{
    flow_link list = atom_load(&t->after, memory_order_relaxed); /* relaxed: written by this thread */
    atom_store(&t->after, LINK_CLOSED, memory_order_relaxed);    /* relaxed: read by it */
    return list;
}

struct flow_task *flow_next(flow_link *list)
{
    void *at = (void *)(uintptr_t)(*list & ~LINK_EDGE);
    if (LIKELY((*list & LINK_EDGE) == 0)) {
        struct flow_task *t = at;
        *list = t->edge; /* before t is released, which may then end */
        return t;
    }
    struct flow_edge *e = at;
    *list = e->next;
    return e->task;
}

bool flow_join_all(struct flow_task *t, struct flow_edge *edge, uint32_t n)
{
    uint32_t ended = 0;
    if (edge == NULL)
        ended = !flow_join((struct flow_task *)(uintptr_t)t->edge, t, NULL);
    for (uint32_t i = 0; edge != NULL && i < n; i++)
        ended += !flow_join(edge[i].task, t, &edge[i]);
    return ended != 0 && state_was_last(state_pay(&t->task, ended), ended);
}

weir_task *flow_release(weir_task *t)
{
    if (state_owed(t) != 1) /* [TS2] acquire: the others' work, if we are the last */
        return weir_release(t);
    /* relaxed, both: nobody else owes t anything, so nobody else writes the word, and t is ours */
    atom_store(&t->state, atom_load(&t->state, memory_order_relaxed) & UINT32_MAX, memory_order_relaxed);
    return t;
}

static void record_free(weir_flow *f, struct flow_task *t)
{
    void *head = atom_load(&f->freed, memory_order_relaxed); /* relaxed: the CAS decides */
    do
        t->link = head == FLOW_SLEEPS ? NULL : head;
    /* [DF3] release: our last use of the record; pairs with records_take(). */
    while (!atom_cas_weak(&f->freed, &head, (void *)t, memory_order_release, memory_order_relaxed));
    if (head == FLOW_SLEEPS) /* the flow stays: our task has yet to pay its scope */
        os_futex_wake((weir_atomic_u32 *)(void *)&f->freed, 1);
}

/* The same on the producer's own worker. */
static void record_keep(weir_flow *f, struct flow_task *t)
{
    t->link = f->ready;
    f->ready = t;
}

void flow_fail(weir_flow *f, int error)
{
    uint32_t none = 0;
    /* relaxed: read by who has waited for the scope, or as a request to stop */
    atom_cas(&f->failure, &none, (uint32_t)-error, memory_order_relaxed, memory_order_relaxed);
}

/* The task has ended: what it held back becomes ready. Returns one of them; the others go on the deque. */
static weir_task *flow_finish(weir_worker *w, weir_flow *f, struct flow_task *t)
{
    weir_task *next = NULL;
    bool here = worker_of(w) == f->w;
    flow_link list = here ? close_here(t) : flow_close(t);
    if (here)
        record_keep(f, t);
    else
        record_free(f, t);
    while (list != 0) {
        weir_task *ready = flow_release(&flow_next(&list)->task);
        if (ready != NULL && next != NULL)
            weir_push(w, next);
        next = ready != NULL ? ready : next;
    }
    return next;
}

static int call_timed(weir_worker *w, weir_node_fn *fn, void *arg)
{
    uint64_t from = os_now();
    int r = fn(w, arg);
    pace_learn(flow_key(fn), os_now() - from);
    return r;
}

static int call(weir_worker *w, weir_node_fn *fn, void *arg)
{
    /* relaxed: this worker writes it */
    bool timed = atom_load(&worker_of(w)->counters.tasks_run, memory_order_relaxed) % TIMED_CALLS == 0;
    return UNLIKELY(timed) ? call_timed(w, fn, arg) : fn(w, arg);
}

weir_task *flow_run(weir_worker *w, weir_task *task)
{
    struct flow_task *t = CONTAINER_OF(task, struct flow_task, task);
    weir_flow *f = flow_of(t);
    int r = flow_is_over(f, worker_of(w)->rt) ? 0 : call(w, t->fn, t->arg);
    if (UNLIKELY(r < 0))
        flow_fail(f, r);
    return flow_finish(w, f, t);
}

/* --- records -------------------------------------------------------------------------------------------------- */

static bool records_take(weir_flow *f)
{
    if (atom_load(&f->freed, memory_order_relaxed) == NULL) /* relaxed: a hint, without the line for itself */
        return false;
    /* [DF3] acquire: the records as their tasks have left them; pairs with record_free(). */
    f->ready = atom_xchg(&f->freed, NULL, memory_order_acquire);
    return f->ready != NULL;
}

static bool is_short(const weir_task *t)
{
    return t->run == flow_run && pace_is_short(flow_key(CONTAINER_OF(t, const struct flow_task, task)->fn));
}

/* All tasks end. Who they are must not use the flow meanwhile: it would wait for itself. */
static void await_all_on_worker(weir_flow *f)
{
    f->inside = true;
    wait_scope(f->w, &f->scope);
    f->inside = false;
}

/* A worker makes room by running what it has made: ROOM_CHAINS, or all as long as they are short, so that what comes
 * next need not wait and can run in place. If it is elsewhere, by waiting for it. */
static void make_room_on_worker(weir_flow *f)
{
    struct worker *w = f->w;
    weir_task *t = NULL;
    f->inside = true;
    for (unsigned i = 0; i < ROOM_CHAINS;) {
        t = deque_position(&w->dq) > f->scope.base ? deque_pop(&w->dq) : NULL;
        if (t == NULL)
            break;
        i += !is_short(t);
        worker_run_chain(w, t);
    }
    f->inside = false;
    if (t != NULL || f->ready != NULL)
        return;
    await_all_on_worker(f);
    weir_scope_init(worker_public(w), &f->scope);
}

static int sleep_for_room(weir_flow *f, uint64_t deadline)
{
    void *none = NULL;
    /* relaxed: the mark carries nothing; [DF3] orders the record that takes its place */
    if (!atom_cas_weak(&f->freed, &none, (void *)FLOW_SLEEPS, memory_order_relaxed, memory_order_relaxed))
        return 0;
    while (atom_load(&f->freed, memory_order_relaxed) == FLOW_SLEEPS) /* relaxed: records_take() acquires */
        if (os_futex_wait((weir_atomic_u32 *)(void *)&f->freed, 1, deadline) == -ETIMEDOUT)
            break;
    none = FLOW_SLEEPS;
    /* relaxed: the mark again; a record that came meanwhile stays */
    return atom_cas(&f->freed, &none, NULL, memory_order_relaxed, memory_order_relaxed) ? -ETIMEDOUT : 0;
}

static int record_new(weir_flow *f, uint64_t deadline, struct flow_task **out)
{
    while (f->ready == NULL && !records_take(f)) {
        int r = 0;
        if (deadline == 0)
            return -EAGAIN;
        if (f->w != NULL)
            make_room_on_worker(f);
        else
            r = sleep_for_room(f, deadline);
        if (r != 0)
            return r;
    }
    *out = f->ready;
    f->ready = f->ready->link;
    __builtin_prefetch(f->ready, 1); /* for the next task: whoever ran its last one has the line */
    return 0;
}

/* A free record becomes a task: another one than it was before. */
static void record_begin(weir_flow *f, struct flow_task *t)
{
    flow_table_renew(&f->table, t);
    atom_store(&t->after, UINT64_C(0), memory_order_relaxed); /* relaxed: only the producer looks before it links */
}

/* --- adding --------------------------------------------------------------------------------------------------- */

static size_t block_bytes(size_t edges)
{
    return sizeof(struct flow_block) + edges * sizeof(struct flow_edge);
}

static void block_free(struct flow_more *m)
{
    if (m->block != NULL)
        os_free(m->block, block_bytes(m->block->count));
    m->block = NULL;
}

/* Memory for the edges of t to all n predecessors that were noted. 0; -ENOMEM. *edge: NULL if t's own edge will do. */
static int edges_reserve(weir_flow *f, const struct flow_task *t, uint32_t n, struct flow_edge **edge)
{
    *edge = NULL;
    if (LIKELY(n <= 1))
        return 0;
    if (f->more == NULL && (f->more = os_alloc(f->live * sizeof *f->more, CACHE_LINE)) == NULL)
        return -ENOMEM;
    struct flow_more *m = &f->more[t - f->records];
    if (n > FLOW_EDGES && (m->block == NULL || m->block->count < n)) {
        struct flow_block *block = os_alloc(block_bytes(n), CACHE_LINE);
        if (block == NULL)
            return -ENOMEM;
        block_free(m);
        block->count = n;
        m->block = block;
    }
    *edge = n > FLOW_EDGES ? m->block->edge : m->edge;
    return 0;
}

/* Notes the task that a word of the table refers to, if it has not ended. 0; -ENOMEM. */
static inline int note(weir_flow *f, uint64_t word)
{
    struct flow_task *before = flow_ref_task(&f->table, word);
    if (before == NULL)
        return 0;
    if (UNLIKELY(f->n_noted == f->noted_room)) {
        size_t now = 2 * f->noted_room * sizeof *f->noted;
        struct flow_task **noted = os_resize(f->noted, now / 2, now, CACHE_LINE);
        if (noted == NULL)
            return -ENOMEM;
        f->noted = noted;
        f->noted_room *= 2;
    }
    f->noted[f->n_noted++] = before;
    return 0;
}

/* Finds the entries of all addresses, keeps the first ENTRIES_KEPT, and notes who must end before. The table has
 * room. */
static int note_all(weir_flow *f, const weir_dep *deps, uint32_t n, struct flow_entry **kept)
{
    int r = 0;
    f->n_noted = 0;
    for (uint32_t i = 0; i < n && r == 0; i++) {
        struct flow_entry *e = flow_table_find(&f->table, deps[i].address);
        if (i < ENTRIES_KEPT)
            kept[i] = e;
        r = note(f, e->writer);
        struct flow_reader *reader = deps[i].access != WEIR_IN ? e->readers : NULL;
        for (; reader != NULL && r == 0; reader = reader->next)
            r = note(f, reader->word);
    }
    return r;
}

/* From here on the table says what t does. */
static void enter_all(weir_flow *f, struct flow_task *t, const weir_dep *deps, uint32_t n, struct flow_entry **kept)
{
    flow_ref self = flow_ref_to(&f->table, t);
    for (uint32_t i = 0; i < n; i++) {
        struct flow_entry *e = i < ENTRIES_KEPT ? kept[i] : flow_table_find(&f->table, deps[i].address);
        if (deps[i].access == WEIR_IN)
            flow_table_add_reader(&f->table, e, self);
        else
            flow_table_set_writer(&f->table, e, self);
    }
}

/* The runtime takes no more: what would run now ends here, without having begun. */
static void end_unrun(weir_flow *f, struct flow_task *t)
{
    t->link = NULL;
    while (t != NULL) {
        struct flow_task *rest = t->link;
        weir_scope_remove(&f->scope, &t->task);
        flow_link list = flow_close(t);
        record_free(f, t);
        while (list != 0) {
            struct flow_task *after = flow_next(&list);
            if (weir_release(&after->task) != NULL) {
                after->link = rest;
                rest = after;
            }
        }
        t = rest;
    }
}

static int make_runnable(weir_flow *f, struct runtime *rt, struct flow_task *t)
{
    if (f->w != NULL) {
        weir_push(worker_public(f->w), &t->task);
        return 0;
    }
    int r = runtime_submit(rt, &t->task, WEIR_LANE_NORMAL, WEIR_BLOCK, WEIR_FOREVER);
    if (r != 0) {
        flow_fail(f, r);
        end_unrun(f, t);
    }
    return r;
}

/* Makes t, which has that many predecessors, a task of the flow. */
static void task_init(weir_flow *f, struct flow_task *t, weir_node_fn *fn, void *arg, uint32_t predecessors)
{
    weir_task_init(&t->task, flow_run);
    t->task.then = &f->scope.done;
    /* relaxed: not shared yet */
    atom_store(&t->task.state, (uint64_t)predecessors << STATE_OWED_SHIFT | STATE_SCOPED | STATE_CALLED,
               memory_order_relaxed);
    t->fn = fn;
    t->arg = arg;
    if (f->w != NULL)
        f->scope.local++;
    else
        state_owe(&f->scope.done, 1);
}

bool flow_is_producer(const weir_flow *f)
{
    return worker_self() == f->w && !f->inside;
}

int flow_add(weir_flow *f, struct runtime *rt, weir_node_fn *fn, void *arg, const weir_dep *deps, uint32_t n,
             uint64_t deadline)
{
    struct flow_task *t;
    if (flow_stops(f))
        return -(int)atom_load(&f->failure, memory_order_relaxed); /* relaxed: a number */
    if (flow_goes_in_place(f, fn, deps, n, deadline))
        return flow_run_in_place(f, fn, arg);
    pace_break(&f->pace);
    bool helps = f->ready == NULL;
    int r = flow_table_reserve(&f->table, n);
    if (r == 0)
        r = record_new(f, deadline, &t);
    if (r != 0)
        return r;
    if (helps && flow_goes_in_place(f, fn, deps, n, deadline)) { /* what it would have waited for has ended meanwhile */
        record_keep(f, t);
        return flow_run_in_place(f, fn, arg);
    }
    struct flow_entry *kept[ENTRIES_KEPT];
    struct flow_edge *edge;
    r = note_all(f, deps, n, kept);
    if (r == 0)
        r = edges_reserve(f, t, f->n_noted, &edge);
    if (UNLIKELY(r != 0)) {
        record_keep(f, t);
        return r;
    }
    record_begin(f, t);
    enter_all(f, t, deps, n, kept);
    uint32_t before = f->n_noted;
    task_init(f, t, fn, arg, before);
    if (before == 0)
        return make_runnable(f, rt, t);
    if (edge == NULL)
        t->edge = (uintptr_t)f->noted[0];
    for (uint32_t i = 0; edge != NULL && i < before; i++)
        edge[i].task = f->noted[i];
    return flow_join_all(t, edge, before) ? make_runnable(f, rt, t) : 0;
}

weir_runtime *flow_handle(const weir_flow *f)
{
    return f->handle;
}

/* --- waiting, and the lifecycle ------------------------------------------------------------------------------- */

int weir_flow_wait(weir_flow *f)
{
    if (f == NULL || !flow_is_producer(f))
        return -EINVAL;
    if (f->w != NULL)
        await_all_on_worker(f);
    else
        wait_scope_outside(&f->scope);
    weir_scope_init(f->w != NULL ? worker_public(f->w) : NULL, &f->scope);
    return -(int)atom_xchg(&f->failure, 0u, memory_order_relaxed); /* relaxed: all tasks have ended */
}

void weir_flow_cancel(weir_flow *f)
{
    if (f != NULL)
        flow_fail(f, -ECANCELED);
}

static void flow_free(weir_flow *f)
{
    for (uint32_t i = 0; f->more != NULL && i < f->live; i++)
        block_free(&f->more[i]);
    os_free(f->more, f->live * sizeof *f->more);
    os_free(f->noted, f->noted_room * sizeof *f->noted);
    flow_table_destroy(&f->table);
    os_free(f->records, f->live * sizeof *f->records);
    os_free(f, sizeof *f);
}

int weir_flow_destroy(weir_flow *f)
{
    if (f == NULL || !flow_is_producer(f))
        return -EINVAL;
    int r = weir_flow_wait(f);
    flow_free(f);
    return r;
}

int flow_create(weir_runtime *h, struct worker *w, uint32_t live, weir_flow **out)
{
    weir_flow *f = os_alloc(sizeof *f, LINE_PAIR);
    if (f == NULL)
        return -ENOMEM;
    f->handle = h;
    f->w = w;
    f->live = live;
    f->records = os_alloc(live * sizeof *f->records, CACHE_LINE);
    f->noted = os_alloc(NOTED_FIRST * sizeof *f->noted, CACHE_LINE);
    f->noted_room = f->noted != NULL ? NOTED_FIRST : 0;
    if (f->records == NULL || f->noted == NULL || flow_table_init(&f->table, f->records, live) != 0) {
        flow_free(f);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < live; i++) {
        f->records[i].link = i + 1 < live ? &f->records[i + 1] : NULL;
        atom_store(&f->records[i].after, LINK_CLOSED, memory_order_relaxed); /* relaxed: not shared yet */
    }
    f->ready = f->records;
    weir_scope_init(w != NULL ? worker_public(w) : NULL, &f->scope);
    *out = f;
    return 0;
}
