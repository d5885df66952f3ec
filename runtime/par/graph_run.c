/* SPDX-License-Identifier: MIT
 *
 * graph_run.c - the hot path of graphs: a strand runs nodes, arrives at their successors, and pushes what it can't run
 * itself at once.
 *
 * Of the nodes that become ready, one runs next in the same loop: no queue, no stack. The others are pushed as ranges:
 * a range is a stretch of direct edges, or a single node. Who takes a range from elsewhere pushes its upper half before
 * he begins, so that work spreads in a logarithm of steps; he keeps the rest of his half on the deque while a node
 * runs, so that nothing that is ready is ever out of thieves' reach.
 *
 * Threads: a strand belongs to its worker. Invariants: G1 to G3 of graph.h, and
 *  G4  An arrival is held back only while a node runs here that must arrive at the same target: so nothing waits for
 *  it.
 */
#include "par/graph.h"

#include <errno.h>

#include "obs/probes.h"

#define FOLLOW_AHEAD 32u   /* records: 1 KiB, since the processor's own prefetching ends with each page of 4 KiB */
#define SUPPLY (1u << 16)  /* completions that a strand takes at once */

/* What is pushed: pooled. */
struct range {
    weir_task task;
    weir_run *run;
    uint32_t first; /* of the edges; or a node, if end is RANGE_NODE */
    uint32_t end;
};
#define RANGE_NODE UINT32_MAX

static weir_task *range_run(weir_worker *w, weir_task *task);

/* --- completions (G3) ----------------------------------------------------------------------------------------- */

static NOINLINE void take_supply(struct strand *s)
{
    weir_scope *scope = &s->run->scope;
    if (s->owned)
        scope->local += SUPPLY;
    else
        state_owe(&scope->done, SUPPLY); /* the task that the strand runs in keeps the count above 0 */
    s->spare = SUPPLY;
}

void strand_owe(struct strand *s)
{
    if (UNLIKELY(s->spare == 0))
        take_supply(s);
    s->spare--;
}

static void return_supply(struct strand *s)
{
    weir_scope *scope = &s->run->scope;
    if (s->spare == 0)
        return;
    if (s->owned) {
        scope->local -= s->spare;
        return;
    }
    uint64_t old = state_pay(&scope->done, s->spare);
    weir_assert(!state_was_last(old, s->spare)); /* our own task has yet to pay */
    (void)old;
}

/* --- ranges --------------------------------------------------------------------------------------------------- */

static inline struct range *range_new(struct strand *s, uint32_t first, uint32_t end)
{
    struct range *r = s->unused;
    s->unused = NULL;
    if (UNLIKELY(r == NULL)) {
        r = slab_alloc(&s->w->slab, sizeof *r);
        if (UNLIKELY(r == NULL))
            return NULL;
        run_task_init(s->run, &r->task, range_run);
        /* relaxed: not shared yet */
        atom_store(&r->task.state, atom_load(&r->task.state, memory_order_relaxed) | STATE_POOLED,
                   memory_order_relaxed);
        r->run = s->run;
    }
    r->first = first;
    r->end = end;
    return r;
}

static inline void range_keep(struct strand *s, struct range *r)
{
    if (s->unused == NULL)
        s->unused = r;
    else
        slab_free(&s->w->slab, r);
}

/* No memory: the node waits in this strand. Its counter is not in use: the node is ready and has not begun. But a weak
 * edge may lead to a node whose counter still counts, or twice to the same: without memory that is an error. */
static COLD void set_aside(struct strand *s, uint32_t v)
{
    if ((s->nodes[v].info & INFO_ENTERED) != 0) {
        run_fail(s->run, v, -ENOMEM);
        return;
    }
    atom_store(&s->arrived[v], s->overflow, memory_order_relaxed); /* relaxed: of this strand until the node begins */
    s->overflow = v;
}

static uint32_t take_set_aside(struct strand *s)
{
    uint32_t v = s->overflow;
    if (LIKELY(v == NODE_NONE))
        return v;
    s->overflow = atom_load(&s->arrived[v], memory_order_relaxed); /* relaxed: as in set_aside() */
    atom_store(&s->arrived[v], 0u, memory_order_relaxed); /* relaxed: the same */
    return v;
}

static void push_range(struct strand *s, uint32_t first, uint32_t end)
{
    struct range *r = range_new(s, first, end);
    if (UNLIKELY(r == NULL)) {
        while (end-- > first)
            set_aside(s, s->edges[end] & EDGE_TARGET);
        return;
    }
    strand_owe(s);
    weir_push(worker_public(s->w), &r->task);
}

void strand_push(struct strand *s, uint32_t v)
{
    struct range *r = range_new(s, v, RANGE_NODE);
    if (UNLIKELY(r == NULL)) {
        set_aside(s, v);
        return;
    }
    strand_owe(s);
    weir_push(worker_public(s->w), &r->task);
}

/* --- arriving ------------------------------------------------------------------------------------------------- */

/* Makes n arrivals at v. True: v is ready, and the caller's. */
static inline bool arrive(struct strand *s, uint32_t v, uint32_t n)
{
    weir_atomic_u32 *arrived = &s->arrived[v];
    uint32_t before_us = s->nodes[v].strong - n;
    /* [GR1] acquire: the work of all who arrived before, if nobody else is missing: nobody will write the word then.
     * Pairs with the addition below. */
    if (atom_load(arrived, memory_order_acquire) != before_us
        /* [GR1] acq_rel: our work before the last one's arrival, by either way; or the others' work, if we are last. */
        && atom_add(arrived, n, memory_order_acq_rel) != before_us)
        return false;
    /* relaxed: the next arrival comes after v has run, and is ordered by what leads from v to it (G1) */
    atom_store(arrived, 0u, memory_order_relaxed);
    return true;
}

/* Makes the arrivals that were held back. */
static uint32_t arrive_held(struct strand *s)
{
    uint32_t n = s->held;
    s->held = 0;
    return n != 0 && arrive(s, s->held_at, n) ? s->held_at : NODE_NONE;
}

/* A graph with priorities: lowest first, so that the highest is on top of the deque, or runs next. */
static uint32_t release_ranked(struct strand *s, const struct node *n)
{
    uint32_t next = NODE_NONE;
    for (uint32_t i = n[1].row; i-- > n->row;) {
        uint32_t e = s->edges[i];
        if ((e & EDGE_DIRECT) == 0 && !arrive(s, e, 1))
            continue;
        if (next != NODE_NONE)
            strand_push(s, next);
        next = e & EDGE_TARGET;
    }
    return next;
}

/* The counted edges of a row, then the direct ones, which are ready as one range. */
static inline uint32_t release(struct strand *s, const struct node *n)
{
    uint32_t i = n->row, end = n[1].row, next = NODE_NONE;
    for (; i < end; i++) {
        uint32_t e = s->edges[i];
        if (e & EDGE_DIRECT) {
            if (next == NODE_NONE) {
                next = e & EDGE_TARGET;
                i++;
            }
            if (i < end)
                push_range(s, i, end);
            break;
        }
        if (!arrive(s, e, 1))
            continue;
        if (next == NODE_NONE)
            next = e;
        else
            strand_push(s, e);
    }
    return next;
}

uint32_t strand_release(struct strand *s, const struct node *n)
{
    return s->run->graph->ranked ? release_ranked(s, n) : release(s, n);
}

/* --- nodes ---------------------------------------------------------------------------------------------------- */

/* Whether a node does nothing but call, and then arrive at one counted target. */
static inline bool leads_to_one(const struct strand *s, const struct node *n)
{
    return n[1].row - n->row == 1 && (n->info & INFO_SPECIAL) == 0 && (s->edges[n->row] & EDGE_DIRECT) == 0;
}

/* Runs v and the nodes that follow it in memory. Nothing is looked up on the way, and the address of the next record
 * depends on no load. Returns one that runs next, or NODE_NONE. */
static uint32_t follow(struct strand *s, uint32_t v)
{
    const struct node *n = &s->nodes[v];
    const weir_atomic_u32 *attention = &s->run->attention;
    uint32_t budget = s->budget;
    do {
        __builtin_prefetch(n + FOLLOW_AHEAD);
        PROBE3(node_begin, s->w->id, (uint32_t)(n - s->nodes), n->work.fn);
        int r = n->work.fn(worker_public(s->w), n->arg);
        if (UNLIKELY(r < 0)) {
            s->budget = budget;
            run_fail(s->run, (uint32_t)(n - s->nodes), r);
            return NODE_NONE;
        }
        n++;
    /* relaxed: a request */
    } while ((n->info & INFO_FOLLOWS) != 0 && atom_load(attention, memory_order_relaxed) == 0 && --budget != 0);
    s->budget = budget + (budget == 0); /* who called has counted the first node: the next one is counted there, too */
    return (uint32_t)(n - s->nodes);
}

/* Runs a node. Returns one that runs next, or NODE_NONE. */
static inline uint32_t step(struct strand *s, uint32_t v)
{
    const struct node *n = &s->nodes[v];
    /* relaxed: a request */
    if (UNLIKELY((n->info & INFO_SPECIAL) != 0 || atom_load(&s->run->attention, memory_order_relaxed) != 0))
        return strand_step_special(s, v);
    if ((n->info & INFO_FOLLOWS) != 0)
        return follow(s, v);
    PROBE3(node_begin, s->w->id, v, n->work.fn);
    int r = n->work.fn(worker_public(s->w), n->arg);
    if (UNLIKELY(r < 0)) {
        run_fail(s->run, v, r);
        return NODE_NONE;
    }
    if (UNLIKELY(s->run->graph->ranked))
        return release_ranked(s, n);
    if (s->mine != NULL && leads_to_one(s, n) && (s->held == 0 || s->held_at == s->edges[n->row])) {
        s->held++;
        s->held_at = s->edges[n->row];
        return NODE_NONE;
    }
    return release(s, n);
}

/* Before node v runs: G4. */
static inline uint32_t settle(struct strand *s, uint32_t v)
{
    if (LIKELY(s->held == 0))
        return v;
    if (v != NODE_NONE && leads_to_one(s, &s->nodes[v]) && s->edges[s->nodes[v].row] == s->held_at)
        return v;
    uint32_t ready = arrive_held(s);
    if (v == NODE_NONE)
        return ready;
    if (ready != NODE_NONE)
        strand_push(s, ready);
    return v;
}

/* Outside work is not starved by a long run, and a stop that discards is noticed: back to the scheduler now and
 * then. */
static bool must_yield(struct strand *s)
{
    s->budget = INJECTOR_INTERVAL; /* nodes between two looks, as tasks */
    if (runtime_phase(s->w->rt) == PHASE_DISCARDING)
        run_stop_all(s->run);
    if (!worker_sees_injected(s->w))
        return false;
    return true;
}

/* Runs v and what follows it, one after the other. True: to be left, everything is on the deque. */
static inline bool run_chain(struct strand *s, uint32_t v)
{
    for (;;) {
        v = settle(s, v);
        if (v == NODE_NONE)
            return false;
        if (UNLIKELY(--s->budget == 0) && must_yield(s)) {
            uint32_t held = arrive_held(s);
            if (held != NODE_NONE)
                strand_push(s, held);
            strand_push(s, v);
            return true;
        }
        v = step(s, v);
        if (v == NODE_NONE && (s->held == 0 || s->mine != NULL))
            return false; /* what is held back may stay so while the rest of the range leads there as well */
    }
}

/* --- strands -------------------------------------------------------------------------------------------------- */

void strand_begin(struct strand *s, struct worker *w, weir_run *run)
{
    *s = (struct strand){
        .w = w,
        .run = run,
        .nodes = run->nodes,
        .edges = run->edges,
        .arrived = run->arrived,
        .base = deque_position(&w->dq),
        /* Else this is a wait, where nobody looks at the injector: go on, rather than yield for ever. */
        .budget = w->ticks < INJECTOR_INTERVAL ? INJECTOR_INTERVAL - w->ticks : INJECTOR_INTERVAL,
        .overflow = NODE_NONE,
        .owned = run->scope.owner == worker_public(w) && !run->scope.closed,
    };
    if (UNLIKELY(runtime_phase(w->rt) == PHASE_DISCARDING))
        run_stop_all(run);
}

/* The newest task above the strand's beginning: a range of this run is unpacked, anything else is the scheduler's. */
static struct range *take_back(struct strand *s, weir_task **other)
{
    if (deque_position(&s->w->dq) <= s->base)
        return NULL;
    weir_task *t = deque_pop(&s->w->dq);
    if (t == NULL)
        return NULL;
    struct range *r = CONTAINER_OF(t, struct range, task);
    if (t->run == range_run && r->run == s->run) {
        s->spare++;
        return r;
    }
    *other = t;
    return NULL;
}

/* Goes through a range to its end, or until a thief has the rest of it. True: to be left. */
static bool go_through(struct strand *s, struct range *r)
{
    uint32_t first = r->first, end = r->end;
    if (end == RANGE_NODE) {
        range_keep(s, r);
        return run_chain(s, first);
    }
    if (end - first > 1) {
        uint32_t middle = first + (end - first) / 2;
        push_range(s, middle, end);
        end = middle;
    }
    for (;;) {
        uint32_t v = s->edges[first++] & EDGE_TARGET;
        if (first == end) {
            range_keep(s, r);
            s->mine = NULL;
            return run_chain(s, v);
        }
        r->first = first;
        r->end = end;
        s->mine = r;
        strand_owe(s);
        weir_push(worker_public(s->w), &r->task);
        if (run_chain(s, v)) {
            s->mine = NULL; /* what was set aside runs without it, so it may not hold back arrivals */
            return true;
        }
        weir_task *other = NULL;
        struct range *again = take_back(s, &other);
        if (again == r)
            continue;
        /* A thief has it, or something was pushed above it: then it is met again as any other range. */
        s->mine = NULL;
        v = settle(s, NODE_NONE);
        if (v != NODE_NONE)
            strand_push(s, v);
        if (again != NULL || other != NULL) {
            s->spare -= again != NULL;
            weir_push(worker_public(s->w), again != NULL ? &again->task : other);
        }
        return false;
    }
}

weir_task *strand_run(struct strand *s, uint32_t v)
{
    weir_task *other = NULL;
    struct range *r;
    bool yield = run_chain(s, v);
    while (!yield) {
        if ((v = take_set_aside(s)) != NODE_NONE)
            yield = run_chain(s, v);
        else if ((r = take_back(s, &other)) != NULL)
            yield = go_through(s, r);
        else
            break;
    }
    while ((v = take_set_aside(s)) != NODE_NONE) /* leaving, and still no memory: here, at once */
        if (run_chain(s, v))
            s->budget = UINT32_MAX;
    if (s->unused != NULL)
        slab_free(&s->w->slab, s->unused);
    s->w->ticks = yield || s->budget > INJECTOR_INTERVAL ? INJECTOR_INTERVAL : INJECTOR_INTERVAL - s->budget;
    return_supply(s);
    return other;
}

/* A range that came from the scheduler. Its record is freed behind us, so its content goes into another one. */
static weir_task *range_run(weir_worker *public, weir_task *task)
{
    struct range *r = CONTAINER_OF(task, struct range, task);
    struct strand s;
    strand_begin(&s, worker_of(public), r->run);
    if (r->end == RANGE_NODE || r->end - r->first == 1)
        return strand_run(&s, r->end == RANGE_NODE ? r->first : s.edges[r->first] & EDGE_TARGET);
    push_range(&s, r->first, r->end);
    return strand_run(&s, NODE_NONE);
}

weir_task *strand_root(weir_worker *public, weir_task *root)
{
    weir_run *run = CONTAINER_OF(root, weir_run, root);
    struct strand s;
    strand_begin(&s, worker_of(public), run);
    if (run->graph->n_sources != 0)
        push_range(&s, run->graph->n_edges, run->graph->n_edges + run->graph->n_sources);
    return strand_run(&s, NODE_NONE);
}
