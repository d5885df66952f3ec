/* SPDX-License-Identifier: MIT
 *
 * stress_graph.c - random graphs, flows and pipelines on runtimes of many shapes: order, each node once, as in serial
 * order.
 *
 * Two players draw their pieces from the seed and play them on one runtime at once, from outside or as a task. What one
 * node leaves for the next is plain memory, so that a sanitizer sees a missing order, too. Runs are cancelled, fail,
 * overlap, and share semaphores. A watchdog ends the program when nothing moves for HANG_LIMIT.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <weir/weir.h>

#include "base/util.h"

#define HANG_LIMIT 60u   /* seconds without any progress */
#define SECONDS 5u
#define PLAYERS 2u
#define PIECES 12u       /* of a player on one runtime */
#define NODES_MAX 120u
#define BEFORE_MAX 6u    /* predecessors of a node */
#define CHILDREN 3u
#define OVERLAP 3u       /* runs of one graph at once */
#define SEMAPHORES 4u
#define TASKS_MAX 1500u
#define DATA 24u
#define DEPS_MAX 5u
#define ITEMS_MAX 400u
#define STAGES_MAX 6u

static uint64_t seed;
static weir_atomic_u64 progress;
static weir_atomic_u32 failures, over;
static weir_runtime *rt;

static void fail(const char *what)
{
    fprintf(stderr, "FAILED: %s (--seed %llu)\n", what, (unsigned long long)seed);
    __atomic_fetch_add(&failures.v, 1, __ATOMIC_RELAXED);
}

static void must(int r, const char *what)
{
    if (r == 0)
        return;
    fprintf(stderr, "%s: %s (--seed %llu)\n", what, weir_strerror(r), (unsigned long long)seed);
    exit(2);
}

static void moved(void)
{
    __atomic_fetch_add(&progress.v, 1, __ATOMIC_RELAXED);
}

static void *zeroed(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (p == NULL)
        exit(2);
    return p;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = (a ^ b * UINT64_C(0x9e3779b97f4a7c15)) + UINT64_C(0x632be59bd9b4e019);
    return (x ^ x >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
}

static void dawdle(uint64_t salt)
{
    if (salt % 501 == 0)
        usleep((useconds_t)(salt % 200));
    else
        for (volatile uint64_t i = 0; i < salt % 200; i++)
            continue;
}

/* --- graphs ------------------------------------------------------------------------------------------------------- */

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
    bool shared;              /* several runs at once: totals only */
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
    (void)w;
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

static struct dag *random_dag(struct rng *rng, bool shared, uint32_t depth);

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
        s.graph = (v->inner = random_dag(rng, d->shared, depth + 1))->g;
    else
        s.fn = kind == WEIR_NODE_MULTI ? visit_choose_both : kind == WEIR_NODE_CONDITION ? visit_go_round : visit;
    if (d->set != NULL && rng_below(rng, 3) == 0) {
        s.semaphores = d->set;
        s.permits = v->permits = 1 + rng_below(rng, (1u << SEMAPHORES) - 1);
        if (kind == WEIR_NODE_GRAPH)
            v->permits = 0; /* nobody counts for it */
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

static struct dag *random_dag(struct rng *rng, bool shared, uint32_t depth)
{
    struct dag *d = zeroed(1, sizeof *d);
    uint32_t n = 1 + rng_below(rng, depth == 0 ? NODES_MAX : 8), reach = 1 + rng_below(rng, n);
    d->shared = shared;
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

struct cancel {
    pthread_t thread;
    weir_run *run;
    weir_flow *flow;
    uint32_t after_us;
};

static void *cancel_later(void *arg)
{
    struct cancel *c = arg;
    usleep(c->after_us);
    if (c->run != NULL)
        must(weir_run_cancel(c->run), "weir_run_cancel");
    else
        weir_flow_cancel(c->flow);
    return NULL;
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

/* Several runs at once, not from a worker. */
static void play_overlap(struct rng *rng)
{
    struct dag *d = random_dag(rng, true, 0);
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

static void play_graph(struct rng *rng)
{
    struct dag *d = random_dag(rng, false, 0);
    play_run(rng, d);
    free_dag(d);
}

/* --- flows -------------------------------------------------------------------------------------------------------- */

struct deed {
    uint64_t *data;
    uint64_t salt;
    uint64_t result;
    uint32_t n;
    uint32_t which[DEPS_MAX];
    weir_access access[DEPS_MAX];
};

/* The result comes from all that is read; all that is written comes from the result. */
static int perform(weir_worker *w, void *arg)
{
    struct deed *d = arg;
    uint64_t x = d->salt;
    if (w != NULL)
        dawdle(d->salt);
    for (uint32_t i = 0; i < d->n; i++)
        if (d->access[i] != WEIR_OUT)
            x = mix(x, d->data[d->which[i]]);
    d->result = x;
    for (uint32_t i = 0; i < d->n; i++)
        if (d->access[i] != WEIR_IN)
            d->data[d->which[i]] = mix(x, d->which[i]);
    moved();
    return 0;
}

static void random_deed(struct rng *rng, struct deed *d, uint64_t *data)
{
    static const weir_access any[] = {WEIR_IN, WEIR_IN, WEIR_OUT, WEIR_INOUT};
    d->data = data;
    d->salt = rng_next(rng);
    for (uint32_t n = rng_below(rng, DEPS_MAX + 1); d->n < n; d->n++) {
        d->which[d->n] = rng_below(rng, DATA);
        d->access[d->n] = any[rng_below(rng, 4)];
        for (uint32_t i = 0; i < d->n; i++) /* a datum that is named twice is read and written */
            if (d->which[i] == d->which[d->n])
                d->access[i] = d->access[d->n] = WEIR_INOUT;
    }
}

static void play_flow(struct rng *rng)
{
    uint64_t data[DATA] = {0}, serial[DATA] = {0};
    uint32_t n = 1 + rng_below(rng, TASKS_MAX), live = rng_below(rng, 3) == 0 ? 0 : 1 + rng_below(rng, 50);
    struct deed *deed = zeroed(n, sizeof *deed);
    weir_flow *f = NULL;
    struct cancel c = {.after_us = rng_below(rng, 2000)};
    bool cancels = rng_below(rng, 5) == 0;
    int r = 0;
    must(weir_flow_create(rt, live, &f), "weir_flow_create");
    c.flow = f;
    if (cancels)
        must(-pthread_create(&c.thread, NULL, cancel_later, &c), "pthread_create");
    for (uint32_t i = 0; i < n && r == 0; i++) {
        weir_dep dep[DEPS_MAX];
        random_deed(rng, &deed[i], data);
        for (uint32_t k = 0; k < deed[i].n; k++)
            dep[k] = (weir_dep){&data[deed[i].which[k]], deed[i].access[k]};
        r = weir_flow_add(f, perform, &deed[i], dep, deed[i].n, WEIR_FOREVER);
        if (r == 0 && rng_below(rng, 500) == 0)
            r = weir_flow_wait(f);
    }
    if (cancels)
        must(-pthread_join(c.thread, NULL), "pthread_join");
    int end = weir_flow_destroy(f);
    if ((r != 0 || end != 0) && !cancels)
        fail("a flow that nobody cancelled has an error");
    for (uint32_t i = 0; i < n && r == 0 && end == 0; i++) {
        uint64_t result = deed[i].result;
        deed[i].data = serial;
        perform(NULL, &deed[i]);
        if (deed[i].result != result) {
            fail("a task of a flow has not seen what serial order would have shown it");
            break;
        }
    }
    if (r == 0 && end == 0 && memcmp(data, serial, sizeof data) != 0)
        fail("a flow has left other data than serial order would");
    free(deed);
}

/* --- pipelines ---------------------------------------------------------------------------------------------------- */

struct piece {
    uint64_t number;
    uint64_t value;
};

struct station {
    struct piece *pieces; /* of the first stage */
    uint64_t next;        /* plain, of a serial stage: the number that must come now */
    uint64_t n;
    uint64_t fails_at;
    uint64_t salt;
    weir_stage_kind kind;
};

static int first_station(weir_worker *w, void **item, void *arg)
{
    struct station *s = arg;
    (void)w;
    if (s->next == s->n)
        return 1;
    s->pieces[s->next] = (struct piece){s->next, s->next};
    *item = &s->pieces[s->next++];
    moved();
    return 0;
}

static int station(weir_worker *w, void **item, void *arg)
{
    struct station *s = arg;
    struct piece *p = *item;
    (void)w;
    dawdle(mix(s->salt, p->number));
    if (s->kind == WEIR_STAGE_SERIAL && s->next++ != p->number)
        fail("a serial stage got an item out of order");
    p->value = mix(p->value, s->salt);
    return p->number == s->fails_at ? -EIO : 0;
}

static void play_pipeline(struct rng *rng)
{
    struct station s[STAGES_MAX] = {{0}};
    weir_stage stages[STAGES_MAX];
    uint32_t n = 1 + rng_below(rng, STAGES_MAX), tokens = 1 + rng_below(rng, 9);
    uint64_t items = rng_below(rng, ITEMS_MAX), made = 0;
    struct piece *pieces = zeroed(items + 1, sizeof *pieces);
    bool fails = false;
    for (uint32_t i = 0; i < n; i++) {
        s[i] = (struct station){pieces, 0, items, UINT64_MAX, rng_next(rng),
                                i > 0 && rng_below(rng, 2) == 0 ? WEIR_STAGE_PARALLEL : WEIR_STAGE_SERIAL};
        if (i > 0 && items > 0 && rng_below(rng, 16) == 0) {
            s[i].fails_at = rng_below(rng, (uint32_t)items);
            fails = true;
        }
        stages[i] = (weir_stage){i == 0 ? first_station : station, &s[i], s[i].kind};
    }
    int r = weir_pipeline(rt, stages, n, tokens, &made);
    if (r != (fails ? -EIO : 0) || made > items || (!fails && made != items))
        fail("a pipeline has a result that nothing has led to");
    for (uint64_t i = 0; i < items && !fails; i++) {
        uint64_t value = i;
        for (uint32_t k = 1; k < n; k++)
            value = mix(value, s[k].salt);
        if (pieces[i].value != value)
            fail("an item has not been through all stages in order");
    }
    free(pieces);
}

/* --- players ------------------------------------------------------------------------------------------------------ */

struct player {
    pthread_t thread;
    struct rng rng;
};

static void play_any(struct rng *rng)
{
    switch (rng_below(rng, 3)) {
    case 0: play_graph(rng); break;
    case 1: play_flow(rng); break;
    default: play_pipeline(rng); break;
    }
}

static void play_on_worker(weir_worker *w, void *arg)
{
    (void)w;
    play_any(arg);
}

static void *play(void *arg)
{
    struct player *p = arg;
    for (uint32_t i = 0; i < PIECES; i++) {
        uint32_t how = rng_below(&p->rng, 8);
        if (how == 0)
            play_overlap(&p->rng);
        else if (how < 4)
            must(weir_call(rt, play_on_worker, &p->rng), "weir_call");
        else
            play_any(&p->rng);
    }
    return NULL;
}

static void run_round(struct rng *rng)
{
    static const uint32_t workers[] = {1, 2, 2, 3, 4, 8};
    struct player player[PLAYERS];
    weir_config c;
    must(weir_config_init(&c), "weir_config_init");
    c.workers = workers[rng_below(rng, 6)];
    c.queue_capacity = 1u << rng_below(rng, 8);
    c.deque_capacity = 2u << rng_below(rng, 5);
    c.publish_mode = rng_below(rng, 4) == 0 ? WEIR_PUBLISH_ALWAYS : WEIR_PUBLISH_ON_DEMAND;
    c.guests = rng_below(rng, 3);
    must(weir_start(&rt, &c), "weir_start");
    for (uint32_t i = 0; i < PLAYERS; i++) {
        rng_seed(&player[i].rng, rng_next(rng));
        must(-pthread_create(&player[i].thread, NULL, play, &player[i]), "pthread_create");
    }
    for (uint32_t i = 0; i < PLAYERS; i++)
        must(-pthread_join(player[i].thread, NULL), "pthread_join");
    must(weir_stop(rt, WEIR_DRAIN, WEIR_FOREVER), "weir_stop");
}

static void *watch(void *arg)
{
    uint64_t last = 0;
    (void)arg;
    for (unsigned still = 0; __atomic_load_n(&over.v, __ATOMIC_RELAXED) == 0; still++) {
        usleep(100000);
        uint64_t now = __atomic_load_n(&progress.v, __ATOMIC_RELAXED);
        if (now != last)
            still = 0;
        last = now;
        if (still > HANG_LIMIT * 10) {
            fprintf(stderr, "HANG (--seed %llu)\n", (unsigned long long)seed);
            abort();
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    uint32_t seconds = SECONDS, rounds = 0;
    struct rng rng;
    pthread_t watchdog;
    seed = (uint64_t)time(NULL);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = (uint32_t)strtoul(argv[i + 1], NULL, 0);
    }
    printf("stress_graph --seed %llu --seconds %u\n", (unsigned long long)seed, seconds);
    fflush(stdout);
    rng_seed(&rng, seed);
    must(-pthread_create(&watchdog, NULL, watch, NULL), "pthread_create");
    uint64_t end = weir_now() + seconds * UINT64_C(1000000000);
    for (; weir_now() < end && __atomic_load_n(&failures.v, __ATOMIC_RELAXED) == 0; rounds++)
        run_round(&rng);
    __atomic_store_n(&over.v, 1, __ATOMIC_RELAXED);
    must(-pthread_join(watchdog, NULL), "pthread_join");
    uint32_t bad = __atomic_load_n(&failures.v, __ATOMIC_RELAXED);
    printf("%u rounds, %llu nodes, tasks and items: %s\n", rounds, (unsigned long long)progress.v,
           bad != 0 ? "FAILED" : "ok");
    return bad != 0;
}
