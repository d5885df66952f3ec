/* SPDX-License-Identifier: MIT
 *
 * bench/bench_graph.c - chain, fan, wavefront and tree of empty nodes: the price of building and of running a graph.
 *
 * Threads: see harness.h.
 * Invariants: graph_X builds, freezes and runs once; graph_X_rerun runs a graph that has run before. Each node
 * counts, and the answer is how many have run, so a node lost or run twice is seen. The serial twin calls the same
 * nodes in order.
 */
#include "harness.h"
#include "kernel_graph.h"

#include <stdlib.h>
#include <string.h>

static uint8_t *ran; /* one byte a node: no two nodes share what they write */
static size_t n_ran;
static weir_node *nodes;
static weir_graph *graph;
static weir_run *run;

static int count(weir_worker *w, void *arg)
{
    (void)w;
    ++*(uint8_t *)arg;
    return 0;
}

static void must(int r)
{
    if (r != 0)
        bench_fail("graph: %s", weir_strerror(r));
}

static void precede(void *arg, size_t from, size_t to)
{
    (void)arg;
    must(weir_graph_precede(graph, nodes[from], nodes[to]));
}

static void build(enum graph_shape shape, size_t n)
{
    must(weir_graph_create(&graph));
    for (size_t i = 0; i < n; i++)
        must(weir_graph_add(graph, count, &ran[i], &nodes[i]));
    graph_edges(shape, n, precede, NULL);
    must(weir_graph_freeze(graph, NULL));
    must(weir_run_create(graph, 0, &run));
}

static void discard(void)
{
    if (run != NULL)
        must(weir_run_destroy(run));
    if (graph != NULL)
        must(weir_graph_destroy(graph));
    run = NULL;
    graph = NULL;
}

static void make_room(struct bench_input *in)
{
    size_t n = (size_t)in->n;
    if (n_ran != n) {
        discard();
        free(ran);
        free(nodes);
        ran = bench_alloc(n);
        nodes = bench_alloc(n * sizeof *nodes);
        n_ran = n;
    }
    memset(ran, 0, n);
    in->flags = ran;
}

static void setup(struct bench_input *in, const struct bench_size *size)
{
    (void)size;
    make_room(in);
}

static void setup_build(struct bench_input *in)
{
    (void)in;
    discard();
}

static double all_ran(struct bench_input *in, double answer)
{
    (void)answer;
    size_t once = 0;
    for (size_t i = 0; i < (size_t)in->n; i++)
        once += ran[i] == 1;
    return (double)once;
}

static void teardown(struct bench_input *in)
{
    (void)in;
    discard();
    free(ran);
    free(nodes);
    ran = NULL;
    nodes = NULL;
    n_ran = 0;
}

static double run_serial(void *state, const struct bench_input *in)
{
    int (*volatile call)(weir_worker *, void *) = count;
    (void)state;
    for (size_t i = 0; i < (size_t)in->n; i++)
        call(NULL, &ran[i]);
    return 0.0;
}

static void build_and_run(enum graph_shape shape, weir_worker *w, struct bench_call *call)
{
    build(shape, (size_t)call->in->n);
    call->error = weir_run_once(weir_worker_runtime(w), run);
}

static void run_again(weir_worker *w, void *arg)
{
    struct bench_call *call = arg;
    call->error = weir_run_once(weir_worker_runtime(w), run);
}

#define SHAPE(name, shape) \
    static void total_##name(weir_worker *w, void *call) \
    { \
        build_and_run(shape, w, call); \
    } \
    static void prepare_##name(struct bench_input *in) \
    { \
        if (run == NULL) \
            build(shape, (size_t)in->n); \
    }
SHAPE(chain, GRAPH_CHAIN)
SHAPE(fan, GRAPH_FAN)
SHAPE(wavefront, GRAPH_WAVEFRONT)
SHAPE(tree, GRAPH_TREE)

#define CASES(id, text, n, n_small) \
    const struct bench_case bench_graph_##id = { \
        .name = "graph_" #id, .what = "build, freeze and run once: " text, .op = "node", \
        .full = {n, n, n}, .small = {n_small, n_small, n_small}, .serial = run_serial, .weir = total_##id, \
        .setup = setup, .setup_weir = setup_build, .check = all_ran, .teardown = teardown, \
    }; \
    const struct bench_case bench_graph_##id##_rerun = { \
        .name = "graph_" #id "_rerun", .what = "run a graph again: " text, .op = "node", \
        .full = {n, n, n}, .small = {n_small, n_small, n_small}, .serial = run_serial, .weir = run_again, \
        .setup = setup, .setup_weir = prepare_##id, .check = all_ran, .teardown = teardown, \
    };
CASES(chain, "a chain of 1,000,000 nodes", 1000000, 100000)
CASES(fan, "a fan, 1-100,000-1", 100002, 10002)
CASES(wavefront, "a wavefront of 512 x 512", 262144, 16384)
CASES(tree, "a binary tree of 2^20 - 1 nodes", 1048575, 65535)

/* --- dataflow --------------------------------------------------------------------------------------------------- */

static void flow(weir_worker *w, struct bench_call *call, bool tree, uint32_t live, weir_node_fn *fn, uint64_t deadline)
{
    weir_flow *f;
    size_t n = (size_t)call->in->n;
    must(weir_flow_create(weir_worker_runtime(w), live, &f));
    for (size_t i = 0; i < n; i++) {
        weir_dep deps[] = {{tree ? &ran[i] : &ran[0], tree ? WEIR_OUT : WEIR_INOUT}, {&ran[(i - 1) / 2], WEIR_IN}};
        must(weir_flow_add(f, fn, &ran[i], deps, tree && i > 0 ? 2 : 1, deadline));
    }
    call->error = weir_flow_destroy(f);
}

static void flow_chain(weir_worker *w, void *call)
{
    flow(w, call, false, 0, count, WEIR_FOREVER);
}

static void flow_tree(weir_worker *w, void *call)
{
    flow(w, call, true, 0, count, WEIR_FOREVER);
}

/* Deadline 0: none runs where it is added. */
static void flow_live(weir_worker *w, void *call)
{
    flow(w, call, true, (uint32_t)((struct bench_call *)call)->in->n, count, 0);
}

#define WORK_STEPS 400u /* of a generator, one after the other: about a microsecond */

static int work(weir_worker *w, void *arg)
{
    uint64_t x = (uintptr_t)arg | 1;
    for (unsigned i = 0; i < WORK_STEPS; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return count(w, (uint8_t *)arg + (x == 0)); /* never 0: the steps are not left out */
}

static void flow_work(weir_worker *w, void *call)
{
    flow(w, call, true, 0, work, WEIR_FOREVER);
}

static double work_serial(void *state, const struct bench_input *in)
{
    (void)state;
    for (size_t i = 0; i < (size_t)in->n; i++)
        work(NULL, &ran[i]);
    return 0.0;
}

const struct bench_case bench_flow_chain = {
    .name = "flow_chain", .what = "1,000,000 dataflow tasks, each after the last", .op = "task",
    .full = {1000000, 1000000, 1e6}, .small = {100000, 100000, 1e5}, .serial = run_serial, .weir = flow_chain,
    .setup = setup, .check = all_ran, .teardown = teardown,
};

const struct bench_case bench_flow_tree = {
    .name = "flow_tree", .what = "2^20 - 1 dataflow tasks, a binary tree", .op = "task",
    .full = {1048575, 1048575, 1048575}, .small = {65535, 65535, 65535}, .serial = run_serial, .weir = flow_tree,
    .setup = setup, .check = all_ran, .teardown = teardown,
};

/* With one worker none begins before all are there. */
const struct bench_case bench_flow_live = {
    .name = "flow_live", .what = "2^18 - 1 dataflow tasks in a binary tree, all alive at once", .op = "task",
    .full = {262143, 262143, 262143}, .small = {16383, 16383, 16383}, .serial = run_serial, .weir = flow_live,
    .setup = setup, .check = all_ran, .teardown = teardown,
};

/* Too long to be run in place: what the tasks of a flow cost beside work, and what another worker is good for. */
const struct bench_case bench_flow_work = {
    .name = "flow_work", .what = "2^17 - 1 dataflow tasks of about 1 us, a binary tree", .op = "task",
    .full = {131071, 131071, 131071}, .small = {16383, 16383, 16383}, .serial = work_serial, .weir = flow_work,
    .setup = setup, .check = all_ran, .teardown = teardown,
};
