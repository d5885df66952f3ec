/* SPDX-License-Identifier: MIT
 *
 * graph_rig.h - what the clients of graphs share: a graph of few nodes, one run of it, and strands that threads begin
 * themselves.
 *
 * Threads: thread i stands for worker i. Each program that includes this has a rig of its own.
 */
#ifndef GRAPH_RIG_H
#define GRAPH_RIG_H

#include <errno.h>

#include "par/graph_start.h"
#include "rig.h"

#define HANDLE ((weir_runtime *)(uintptr_t)1) /* of the rig's runtime: only compared */
#define NODES 5u

static struct runtime *rt;
static weir_graph *g;
static weir_run *run;
static weir_node node[NODES];
static int did[NODES];       /* node i's result: payload */
static weir_atomic_u32 runs[NODES];

/* --- nodes -------------------------------------------------------------------------------------------------------- */

/* Leaves its result, on which nobody but its successors may look. */
static inline int work(weir_worker *w, void *arg)
{
    int *mine = arg;
    (void)w;
    MODEL_WRITE(*mine, MODEL_READ(*mine) + 1);
    atom_add(&runs[mine - did], 1u, memory_order_relaxed);
    return 0;
}

/* After the nodes 0 and 1. */
static inline int after_two(weir_worker *w, void *arg)
{
    MODEL_ASSERT(MODEL_READ(did[0]) == MODEL_READ(did[1]));
    return work(w, arg);
}

static inline int after_three(weir_worker *w, void *arg)
{
    MODEL_ASSERT(MODEL_READ(did[2]) == MODEL_READ(did[0]));
    return after_two(w, arg);
}

/* --- graphs ------------------------------------------------------------------------------------------------------- */

static inline weir_node_spec spec(uint32_t i, weir_node_kind kind)
{
    return (weir_node_spec){.size = sizeof(weir_node_spec), .kind = kind, .arg = &did[i]};
}

static inline void add(uint32_t i, weir_node_kind kind, weir_node_fn *fn)
{
    weir_node_spec s = spec(i, kind);
    s.fn = fn;
    MODEL_ASSERT(weir_graph_add_spec(g, &s, &node[i]) == 0);
}

static inline void edge(uint32_t before, uint32_t after)
{
    MODEL_ASSERT(weir_graph_precede(g, node[before], node[after]) == 0);
}

static inline weir_graph *new_graph(void)
{
    weir_graph *made;
    MODEL_ASSERT(weir_graph_create(&made) == 0);
    return made;
}

static inline weir_run *new_run(uint32_t flags)
{
    weir_run *made;
    MODEL_ASSERT(weir_run_create(g, flags, &made) == 0);
    model_name(&made->busy, "busy");
    model_name(&made->attention, "attention");
    model_name(&made->scope.done.state, "scope");
    return made;
}

static inline void freeze(void)
{
    MODEL_ASSERT(weir_graph_freeze(g, NULL) == 0);
    run = new_run(0);
}

static inline void begin(uint32_t workers)
{
    rt = rig_create(workers, 4, 2, 0);
    g = new_graph();
}

/* Threads begin strands themselves: the scope's credit keeps it open. */
static inline void direct(void)
{
    freeze();
    weir_scope_init(NULL, &run->scope);
    run->rt = rt;
}

static inline void drain(struct worker *w, weir_task *t)
{
    do
        worker_run_chain(w, t);
    while ((t = deque_pop(&w->dq)) != NULL);
}

static inline void begin_at(uint32_t thread, uint32_t i)
{
    struct worker *w = rig_worker(rt, thread);
    struct strand s;
    strand_begin(&s, w, run);
    drain(w, strand_run(&s, graph_place(g, node[i].index)));
    rig_worker_end();
}

static inline void node0(void) { begin_at(0, 0); }
static inline void node1(void) { begin_at(1, 1); }
static inline void node2(void) { begin_at(2, 2); }

/* One look at the other deques, and all that comes of it. */
static inline void thief(void)
{
    struct worker *w = rig_worker(rt, 1);
    weir_task *t = steal_sweep(w, true);
    if (t != NULL)
        worker_run_stolen(w, t);
    rig_worker_end();
}

static inline uint32_t ran(uint32_t i)
{
    return atom_load(&runs[i], memory_order_relaxed);
}

static inline void all_ran(uint32_t n, uint32_t times)
{
    for (uint32_t i = 0; i < n; i++)
        MODEL_ASSERT(ran(i) == times);
}

#define CLIENT(client, n, prepare, end, ...) {.name = client, .tag = n, .setup = prepare, .check = end, \
                                              .leaks_ok = true, .thread = {__VA_ARGS__}}
#define RANDOM(client, n, prepare, end, ...) {.name = client, .setup = prepare, .check = end, .leaks_ok = true, \
                                              .pct = true, .executions = n, .thread = {__VA_ARGS__}}

#endif
