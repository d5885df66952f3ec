/* SPDX-License-Identifier: MIT
 *
 * bench/bench_uts.c - Unbalanced Tree Search, trees T1 (geometric) and T3 (binomial): a task per node, no cutoff.
 *
 * Threads: see harness.h.
 * Invariants: children live in their parent's frame until they are joined; the number of nodes is a published constant.
 * Source: Olivier et al. (LCPC 2006); the tree itself is in kernel_uts.h.
 */
#include "harness.h"
#include "kernel_uts.h"

static long visit_serial(enum uts_tree tree, const struct uts_node *node)
{
    unsigned n = uts_children(tree, node);
    long nodes = 1;
    for (unsigned i = 0; i < n; i++) {
        struct uts_node child;
        uts_child(node, i, &child);
        nodes += visit_serial(tree, &child);
    }
    return nodes;
}

/* The children of a node from one on: what may be stolen while the child before them is visited. */
struct rest {
    weir_task task;
    const struct uts_node *parent;
    enum uts_tree tree;
    unsigned first, end;
    long nodes;
};

static weir_task *run_rest(weir_worker *w, weir_task *self);
static long visit_weir(weir_worker *w, enum uts_tree tree, const struct uts_node *node);

/* Each child forks those that come after it, and they go on here unless they were stolen: the serial order. */
static long visit_children_weir(weir_worker *w, enum uts_tree tree, const struct uts_node *parent, unsigned first,
                                unsigned end)
{
    struct uts_node child;
    struct rest rest;
    rest.task.run = run_rest;
    rest.parent = parent;
    rest.tree = tree;
    rest.end = end;
    long nodes = 0;
    for (unsigned i = first; i < end; i++) {
        uts_child(parent, i, &child);
        rest.first = i + 1;
        weir_fork(w, &rest.task);
        nodes += visit_weir(w, tree, &child);
        if (weir_unfork(w, &rest.task) != WEIR_UNFORK_MINE)
            return nodes + rest.nodes;
    }
    return nodes;
}

static weir_task *run_rest(weir_worker *w, weir_task *self)
{
    struct rest *r = (struct rest *)self;
    r->nodes = visit_children_weir(w, r->tree, r->parent, r->first, r->end);
    return NULL;
}

static long visit_weir(weir_worker *w, enum uts_tree tree, const struct uts_node *node)
{
    return 1 + visit_children_weir(w, tree, node, 0, uts_children(tree, node));
}

static double run_serial(void *state, const struct bench_input *in)
{
    (void)state;
    struct uts_node root;
    uts_root((enum uts_tree)in->n, &root);
    return (double)visit_serial((enum uts_tree)in->n, &root);
}

static void run_weir(weir_worker *w, void *arg)
{
    struct bench_call *call = arg;
    enum uts_tree tree = (enum uts_tree)call->in->n;
    struct uts_node root;
    uts_root(tree, &root);
    call->answer = (double)visit_weir(w, tree, &root);
}

const struct bench_case bench_uts_t1 = {
    .name = "uts_t1",
    .what = "UTS T1 (geometric), a task per node",
    .op = "node",
    .full = {UTS_T1, UTS_T1_NODES, UTS_T1_NODES},
    .small = {UTS_T1, UTS_T1_NODES, UTS_T1_NODES},
    .serial = run_serial,
    .weir = run_weir,
};

const struct bench_case bench_uts_t3 = {
    .name = "uts_t3",
    .what = "UTS T3 (binomial), a task per node",
    .op = "node",
    .full = {UTS_T3, UTS_T3_NODES, UTS_T3_NODES},
    .small = {UTS_T3, UTS_T3_NODES, UTS_T3_NODES},
    .serial = run_serial,
    .weir = run_weir,
};
