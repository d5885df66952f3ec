/* SPDX-License-Identifier: MIT
 *
 * graph_support.h - what the tests of graphs share: short ways to build one, and the functions of its nodes.
 *
 * Threads: functions that assert are called on the test's own thread only, except run_on_worker().
 */
#ifndef WEIR_TESTS_GRAPH_SUPPORT_H
#define WEIR_TESTS_GRAPH_SUPPORT_H

#include "support.h"

#define OK(x) cr_assert_eq((x), 0, "%s", #x)

/* --- functions of nodes ------------------------------------------------------------------------------------------- */

static inline int nothing(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    return 0;
}

static inline int count(weir_worker *w, void *arg)
{
    (void)w;
    add(arg, 1);
    return 0;
}

static inline int fewer_than_ten(weir_worker *w, void *arg)
{
    (void)w;
    return get(arg) < 10 ? 0 : 1;
}

static inline int chooses(weir_worker *w, void *arg)
{
    (void)w;
    return (int)get(arg);
}

static inline int second_of_two(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    return 1;
}

static inline int fails(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    return -EIO;
}

static inline int sleep_a_little(weir_worker *w, void *arg)
{
    (void)w;
    usleep(2000);
    add(arg, 1);
    return 0;
}

/* --- graphs ------------------------------------------------------------------------------------------------------- */

static inline weir_graph *graph(void)
{
    weir_graph *g = NULL;
    OK(weir_graph_create(&g));
    return g;
}

static inline weir_node node(weir_graph *g, weir_node_fn *fn, void *arg)
{
    weir_node n;
    OK(weir_graph_add(g, fn, arg, &n));
    return n;
}

static inline weir_node named(weir_graph *g, const char *name, weir_node_kind kind, weir_node_fn *fn, void *arg)
{
    weir_node_spec s = {.size = sizeof s, .kind = kind, .fn = fn, .arg = arg, .name = name};
    weir_node n;
    OK(weir_graph_add_spec(g, &s, &n));
    return n;
}

static inline weir_run *frozen_run(weir_graph *g, uint32_t flags)
{
    weir_run *r = NULL;
    OK(weir_graph_freeze(g, NULL));
    OK(weir_run_create(g, flags, &r));
    return r;
}

static inline void drop(weir_graph *g, weir_run *r)
{
    if (r != NULL)
        OK(weir_run_destroy(r));
    OK(weir_graph_destroy(g));
}

/* A chain of n nodes of 2 ms. */
static inline weir_graph *slow_chain(weir_atomic_u32 *ran, uint32_t n)
{
    weir_graph *g = graph();
    weir_node last = node(g, sleep_a_little, ran);
    for (uint32_t i = 1; i < n; i++) {
        weir_node next = node(g, sleep_a_little, ran);
        OK(weir_graph_precede(g, last, next));
        last = next;
    }
    return g;
}

/* For call(). */
static inline void run_on_worker(weir_worker *w, void *run)
{
    OK(weir_run_once(weir_worker_runtime(w), run));
}

#endif
