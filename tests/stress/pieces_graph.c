/* SPDX-License-Identifier: MIT
 *
 * pieces_graph.c - random graphs with all kinds of nodes: each node once, in order, whatever ends the run.
 *
 * What one node leaves for the next is plain memory, so that a sanitizer sees a missing order, too.
 *
 * Threads: see pieces.h.
 */
#include "pieces.h"

#define NODES_MAX 120u
#define BEFORE_MAX 6u    /* predecessors of a node */
#define CHILDREN 3u
#define OVERLAP 3u       /* runs of one graph at once */
#define SEMAPHORES 4u

struct dag;

struct child {
    weir_task task;
    uint64_t did;
};

struct vertex {
    struct dag *d;
    struct vertex *before[BEFORE_MAX];
    uint32_t n_before;
    uint32_t index;
    weir_node node;
    weir_node_kind kind;
    uint32_t pin;             /* 1 + the worker that it is pinned to; 0: none */
    uint64_t permits;         /* semaphores that it holds */
    struct dag *inner;        /* kind graph */
    uint64_t did;             /* plain: how often it has run, for its successors */
    struct child child[CHILDREN];
    weir_atomic_u64 total;
};

struct dag {
    weir_graph *g;
    weir_semaphores *set;
    uint32_t permits[SEMAPHORES];
    weir_atomic_u32 holders[SEMAPHORES];
    bool asks;                /* some node of it, or of a graph within it, asks for semaphores */
    bool shared;              /* several runs at once: totals only */
    uint32_t pins;            /* workers that nodes may be pinned to; 0: none, the run is waited for on a worker */
    uint32_t n;
    uint32_t loop_at;         /* the last vertices are a loop from here on; n: there is none */
    uint32_t laps;            /* times round the loop */
    uint32_t lap;
    uint32_t fails_at;        /* vertex, or n */
    struct vertex v[NODES_MAX + 8];
};

static uint64_t value_of(const struct vertex *v)
{
    while (v->inner != NULL)
        v = &v->inner->v[v->inner->n - 1];
    return v->did;
}

static void hold(struct vertex *v, int by)
{
    for (uint32_t i = 0; i < SEMAPHORES; i++)
        if (v->permits >> i & 1) {
            uint32_t now = __atomic_add_fetch(&v->d->holders[i].v, (uint32_t)by, __ATOMIC_RELAXED);
            if (by > 0 && now > v->d->permits[i])
                fail("a semaphore was held more often than it has permits");
        }
}

static int visit(weir_worker *w, void *arg)
{
    struct vertex *v = arg;
    if (v->pin != 0 && weir_worker_index(w) != v->pin - 1)
        fail("a pinned node ran elsewhere");
    hold(v, 1);
    dawdle(mix(v->index, v->d->n));
    for (uint32_t i = 0; i < v->n_before && !v->d->shared; i++) {
        const struct vertex *b = v->before[i];
        if (value_of(b) != v->did + 1)
            fail("a node ran before one that precedes it, or twice");
        for (uint32_t k = 0; k < CHILDREN && b->kind == WEIR_NODE_SPAWN; k++)
            if (b->child[k].did != v->did + 1)
                fail("a node ran before a child of one that precedes it");
    }
    if (!v->d->shared)
        v->did++;
    __atomic_fetch_add(&v->total.v, 1, __ATOMIC_RELAXED);
    hold(v, -1);
    moved();
    return v->index == v->d->fails_at ? -EIO : 0;
}

static weir_task *child_run(weir_worker *w, weir_task *t)
{
    struct child *c = (struct child *)(void *)t;
    (void)w;
    dawdle(c->did);
    c->did++;
    return NULL;
}

static int visit_and_spawn(weir_worker *w, void *arg, weir_scope *children)
{
    struct vertex *v = arg;
    for (uint32_t k = 0; k < CHILDREN && !v->d->shared; k++) {
        weir_task_init(&v->child[k].task, child_run);
        weir_scope_spawn(w, children, &v->child[k].task);
    }
    return visit(w, arg);
}

/* The loop's first vertex chooses both that follow it. */
static int visit_choose_both(weir_worker *w, void *arg)
{
    int r = visit(w, arg);
    return r < 0 ? r : 3;
}

/* Back to the loop's first vertex (0), or on (1). */
static int visit_go_round(weir_worker *w, void *arg)
{
    struct dag *d = ((struct vertex *)arg)->d;
    int r = visit(w, arg);
    if (r < 0)
        return r;
    d->lap = (d->lap + 1) % d->laps;
    return d->lap == 0;
}

static struct dag *random_dag(struct rng *rng, bool shared, uint32_t pins, uint32_t depth);

static struct vertex *add_vertex(struct dag *d, weir_node_kind kind, struct rng *rng, uint32_t depth)
{
    struct vertex *v = &d->v[d->n];
    weir_node_spec s = {.size = sizeof s, .kind = kind, .arg = v};
    v->d = d;
    v->index = d->n++;
    v->kind = kind;
    if (kind == WEIR_NODE_SPAWN)
        s.spawn = visit_and_spawn;
    else if (kind == WEIR_NODE_GRAPH)
        s.graph = (v->inner = random_dag(rng, d->shared, d->pins, depth + 1))->g;
    else
        s.fn = kind == WEIR_NODE_MULTI ? visit_choose_both : kind == WEIR_NODE_CONDITION ? visit_go_round : visit;
    bool inner_asks = kind == WEIR_NODE_GRAPH && v->inner->asks; /* then it must not hold any itself */
    if (d->set != NULL && !inner_asks && rng_below(rng, 3) == 0) {
        s.semaphores = d->set;
        s.permits = v->permits = 1 + rng_below(rng, (1u << SEMAPHORES) - 1);
        if (kind == WEIR_NODE_GRAPH)
            v->permits = 0; /* nobody counts for it */
    }
    d->asks = d->asks || s.semaphores != NULL || inner_asks;
    if (kind != WEIR_NODE_GRAPH && d->pins != 0 && rng_below(rng, 4) == 0) {
        s.flags = WEIR_NODE_PINNED;
        s.worker = rng_below(rng, d->pins);
        v->pin = 1 + s.worker;
    }
    if (rng_below(rng, 8) == 0)
        s.priority = (int32_t)rng_below(rng, 16) - 8;
    must(weir_graph_add_spec(d->g, &s, &v->node), "weir_graph_add_spec");
    return v;
}

static void order(struct vertex *before, struct vertex *after, bool checked)
{
    must(weir_graph_precede(after->d->g, before->node, after->node), "weir_graph_precede");
    if (checked)
        after->before[after->n_before++] = before;
}

/* last -> m (both) -> a, b -> c (condition) -> m again, or end */
static void add_loop(struct dag *d, struct rng *rng)
{
    struct vertex *last = &d->v[d->n - 1];
    d->loop_at = d->n;
    d->laps = 1 + rng_below(rng, 4);
    struct vertex *m = add_vertex(d, WEIR_NODE_MULTI, rng, 0), *a = add_vertex(d, WEIR_NODE_SPAWN, rng, 0);
    struct vertex *b = add_vertex(d, WEIR_NODE_PLAIN, rng, 0), *c = add_vertex(d, WEIR_NODE_CONDITION, rng, 0);
    order(last, m, false);
    order(m, a, true);
    order(m, b, true);
    order(a, c, true);
    order(b, c, true);
    order(c, m, false);
    order(c, add_vertex(d, WEIR_NODE_PLAIN, rng, 0), false);
}

static struct dag *random_dag(struct rng *rng, bool shared, uint32_t pins, uint32_t depth)
{
    struct dag *d = zeroed(1, sizeof *d);
    uint32_t n = 1 + rng_below(rng, depth == 0 ? NODES_MAX : 8), reach = 1 + rng_below(rng, n);
    d->shared = shared;
    d->pins = pins;
    must(weir_graph_create(&d->g), "weir_graph_create");
    if (rng_below(rng, 2) == 0) {
        for (uint32_t i = 0; i < SEMAPHORES; i++)
            d->permits[i] = 1 + rng_below(rng, 3);
        must(weir_semaphores_create(rt, d->permits, SEMAPHORES, &d->set), "weir_semaphores_create");
    }
    while (d->n < n) {
        uint32_t kind = rng_below(rng, 12);
        struct vertex *v = add_vertex(d, kind == 0 && depth < 2 ? WEIR_NODE_GRAPH
                                         : kind < 3             ? WEIR_NODE_SPAWN
                                                                : WEIR_NODE_PLAIN, rng, depth);
        uint32_t edges = rng_below(rng, BEFORE_MAX + 1), i = v->index;
        for (uint32_t k = 0; k < edges && i > 0 && v->index - i < reach; k++) {
            i -= 1 + rng_below(rng, i < 4 ? i : 4);
            order(&d->v[i], v, true);
        }
    }
    d->loop_at = d->n;
    if (!shared && depth == 0 && rng_below(rng, 2) == 0)
        add_loop(d, rng);
    d->fails_at = d->n;
    must(weir_graph_freeze(d->g, NULL), "weir_graph_freeze");
    return d;
}

static void free_dag(struct dag *d)
{
    must(weir_graph_destroy(d->g), "weir_graph_destroy");
    if (d->set != NULL)
        must(weir_semaphores_destroy(d->set), "weir_semaphores_destroy");
    for (uint32_t i = 0; i < d->n; i++)
        if (d->v[i].inner != NULL)
            free_dag(d->v[i].inner);
    free(d);
}

static void forget(struct dag *d)
{
    d->lap = 0;
    for (uint32_t i = 0; i < d->n; i++) {
        struct vertex *v = &d->v[i];
        v->did = v->total.v = 0;
        for (uint32_t k = 0; k < CHILDREN; k++)
            v->child[k].did = 0;
        if (v->inner != NULL)
            forget(v->inner);
    }
}

/* After so many whole times through the graph. */
static void check_totals(const struct dag *d, uint64_t times)
{
    for (uint32_t i = 0; i < d->n; i++) {
        const struct vertex *v = &d->v[i];
        uint64_t expected = i >= d->loop_at && i + 1 < d->n ? times * d->laps : times;
        if (v->inner != NULL)
            check_totals(v->inner, times);
        else if (v->total.v != expected)
            fail("a node has not run as often as it had to");
    }
}

/* One run, again and again: whole, cancelled, failing. */
static void play_run(struct rng *rng, struct dag *d)
{
    weir_run *run = NULL;
    uint64_t whole = 0;
    must(weir_run_create(d->g, rng_below(rng, 4) == 0 ? WEIR_RUN_TIMED : 0, &run), "weir_run_create");
    for (uint32_t i = 1 + rng_below(rng, 6); i > 0; i--) {
        struct cancel c = {.run = run, .after_us = rng_below(rng, 2000)};
        bool cancels = rng_below(rng, 4) == 0, fails = rng_below(rng, 4) == 0;
        uint64_t times = 1 + rng_below(rng, 4);
        d->fails_at = fails ? rng_below(rng, d->n) : d->n;
        if (fails && d->v[d->fails_at].inner != NULL)
            d->fails_at = d->n, fails = false;
        if (cancels)
            must(-pthread_create(&c.thread, NULL, cancel_later, &c), "pthread_create");
        int r = weir_run_n(rt, run, times);
        if (cancels)
            must(-pthread_join(c.thread, NULL), "pthread_join");
        weir_run_report report;
        must(weir_run_read(run, &report), "weir_run_read");
        if (!(r == 0 && !fails) && !(r == -ECANCELED && cancels) && !(r == -EIO && fails))
            fail("a run has a result that nothing has led to");
        if (r == -EIO && report.node.index != d->v[d->fails_at].node.index)
            fail("a run reports another node than the one that failed");
        whole = r == 0 ? whole + times : 0;
        if (r != 0)
            forget(d);
        else
            check_totals(d, whole);
    }
    must(weir_run_destroy(run), "weir_run_destroy");
}

void play_overlap(struct rng *rng)
{
    struct dag *d = random_dag(rng, true, workers, 0);
    weir_run *run[OVERLAP];
    weir_run_how how = WEIR_RUN_HOW;
    how.times = 1 + rng_below(rng, 3);
    for (uint32_t i = 0; i < OVERLAP; i++) {
        must(weir_run_create(d->g, 0, &run[i]), "weir_run_create");
        must(weir_run_start(rt, run[i], &how), "weir_run_start");
    }
    for (uint32_t i = 0; i < OVERLAP; i++) {
        must(weir_run_wait(run[i], WEIR_FOREVER), "weir_run_wait");
        must(weir_run_destroy(run[i]), "weir_run_destroy");
    }
    check_totals(d, OVERLAP * how.times);
    free_dag(d);
}

void play_graph(struct rng *rng)
{
    struct dag *d = random_dag(rng, false, weir_self() == NULL ? workers : 0, 0);
    play_run(rng, d);
    free_dag(d);
}
