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

static long visit_weir(weir_worker *w, enum uts_tree tree, const struct uts_node *node);
WEIR_FORKABLE(visit_weir, long, enum uts_tree, const struct uts_node *);

/* Out of line, so that a leaf has no large frame to set up. */
static __attribute__((noinline)) long visit_children_weir(weir_worker *w, enum uts_tree tree,
                                                          const struct uts_node *node, unsigned n)
{
    struct {
        struct visit_weir_task task;
        struct uts_node node;
    } child[n];
    for (unsigned i = 0; i < n; i++) {
        uts_child(node, i, &child[i].node);
        visit_weir_fork(w, &child[i].task, tree, &child[i].node);
    }
    long nodes = 1;
    for (unsigned i = n; i-- > 0;)
        nodes += visit_weir_join(w, &child[i].task);
    return nodes;
}

static long visit_weir(weir_worker *w, enum uts_tree tree, const struct uts_node *node)
{
    unsigned n = uts_children(tree, node);
    return n == 0 ? 1 : visit_children_weir(w, tree, node, n);
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
