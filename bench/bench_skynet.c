/* SPDX-License-Identifier: MIT
 *
 * bench/bench_skynet.c - skynet: a tree of tasks, ten children each, a million leaves, whose numbers are summed.
 *
 * Threads: see harness.h.
 */
#include "harness.h"

#define CHILDREN 10

static long node_serial(long first, long leaves)
{
    if (leaves == 1)
        return first;
    long sum = 0, each = leaves / CHILDREN;
    for (int i = 0; i < CHILDREN; i++)
        sum += node_serial(first + i * each, each);
    return sum;
}

static long node_weir(weir_worker *w, long first, long leaves);
WEIR_FORKABLE(node_weir, long, long, long);

static long node_weir(weir_worker *w, long first, long leaves)
{
    if (leaves == 1)
        return first;
    struct node_weir_task child[CHILDREN];
    long sum = 0, each = leaves / CHILDREN;
    for (int i = 0; i < CHILDREN; i++)
        node_weir_fork(w, &child[i], first + i * each, each);
    for (int i = CHILDREN - 1; i >= 0; i--)
        sum += node_weir_join(w, &child[i]);
    return sum;
}

static double run_serial(void *state, const struct bench_input *in)
{
    (void)state;
    return (double)node_serial(0, in->n);
}

static void run_weir(weir_worker *w, void *arg)
{
    struct bench_call *call = arg;
    call->answer = (double)node_weir(w, 0, call->in->n);
}

const struct bench_case bench_skynet = {
    .name = "skynet",
    .what = "a tree of tasks with 1,000,000 leaves, ten children each",
    .op = "task",
    .full = {1000000, 499999500000.0, 1111110},
    .small = {100000, 4999950000.0, 111110},
    .serial = run_serial,
    .weir = run_weir,
};
