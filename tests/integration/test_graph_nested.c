/* SPDX-License-Identifier: MIT
 *
 * test_graph_nested.c - what must hold for nodes that make work of their own: tasks that they spawn, and graphs that
 * are nodes.
 */
#include "graph_support.h"

TestSuite(graph_nested, .timeout = 100);

static weir_task *run_child(weir_worker *w, weir_task *t)
{
    (void)w;
    usleep(50);
    add(*(weir_atomic_u32 **)weir_task_payload(t), 1);
    return NULL;
}

#define CHILDREN 20u

static weir_atomic_u32 expected; /* children: all that were spawned so far */

static int spawn_children(weir_worker *w, void *arg, weir_scope *children)
{
    add(&expected, CHILDREN);
    for (uint32_t i = 0; i < CHILDREN; i++) {
        weir_task *t;
        OK(weir_task_new(w, run_child, sizeof(void *), &t));
        *(void **)weir_task_payload(t) = arg;
        weir_scope_spawn(w, children, t);
    }
    return 0;
}

static int all_children_are_there(weir_worker *w, void *arg)
{
    (void)w;
    return get(arg) == get(&expected) ? 0 : -EPROTO;
}

Test(graph_nested, children_of_a_node_end_before_its_successors)
{
    weir_runtime *rt = start(3);
    weir_graph *g = graph();
    weir_atomic_u32 done = {0};
    weir_node_spec s = {.size = sizeof s, .kind = WEIR_NODE_SPAWN, .spawn = spawn_children, .arg = &done};
    weir_node n, after = node(g, all_children_are_there, &done);
    OK(weir_graph_add_spec(g, &s, &n));
    OK(weir_graph_precede(g, n, after));
    weir_run *r = frozen_run(g, 0);
    OK(weir_run_n(rt, r, 20));
    cr_assert_eq(get(&done), 20 * CHILDREN);
    call(rt, run_on_worker, r);
    cr_assert_eq(get(&done), 21 * CHILDREN);
    drop(g, r);
    stop(rt);
}

/* Two conditions choose the same node; the second while the node's child, which the error ends, is there. */
static struct {
    weir_run *run;
    weir_task child;
    weir_atomic_u32 spawned;
} twice;

static weir_task *lasts_until_the_run_is_stopped(weir_worker *w, weir_task *t)
{
    uint64_t end = in_ms(LONG_TIME_MS);
    (void)w, (void)t;
    while (!weir_run_stopped(twice.run) && weir_now() < end)
        usleep(100);
    return NULL;
}

static int spawns_one(weir_worker *w, void *arg, weir_scope *children)
{
    (void)arg;
    weir_task_init(&twice.child, lasts_until_the_run_is_stopped);
    weir_scope_spawn(w, children, &twice.child);
    add(&twice.spawned, 1);
    return 0;
}

static int chooses_once_it_is_there(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    return reaches(&twice.spawned, 1) ? 0 : -ETIME;
}

Test(graph_nested, a_node_that_is_chosen_again_before_it_has_ended_is_an_error)
{
    weir_runtime *rt = start(2);
    weir_graph *g = graph();
    weir_run_report report;
    weir_node_spec s = {.size = sizeof s, .kind = WEIR_NODE_SPAWN, .spawn = spawns_one, .name = "chosen"};
    weir_node n, first = named(g, "first", WEIR_NODE_CONDITION, chooses, &(weir_atomic_u32){0}),
                 second = named(g, "second", WEIR_NODE_CONDITION, chooses_once_it_is_there, NULL);
    OK(weir_graph_add_spec(g, &s, &n));
    OK(weir_graph_precede(g, first, n));
    OK(weir_graph_precede(g, second, n));
    twice.run = frozen_run(g, 0);
    cr_assert_eq(weir_run_once(rt, twice.run), -EBUSY);
    OK(weir_run_read(twice.run, &report));
    cr_assert_str_eq(report.name, "chosen");
    cr_assert_eq(get(&twice.spawned), 1);
    drop(g, twice.run);
    stop(rt);
}

static weir_scope *failing;

static weir_task *fail_and_count(weir_worker *w, weir_task *t)
{
    weir_atomic_u32 *ended = *(weir_atomic_u32 **)weir_task_payload(t);
    (void)w;
    weir_scope_fail(failing, -EXDEV);
    usleep(100);
    add(ended, 1);
    return NULL;
}

/* arg: counts children that have ended. Fails itself when that is even. */
static int spawn_what_fails(weir_worker *w, void *arg, weir_scope *children)
{
    weir_task *t;
    bool fails_itself = get(arg) % 2 == 0;
    failing = children;
    if (weir_task_new(w, fail_and_count, sizeof(void *), &t) != 0)
        return -ENOMEM;
    *(void **)weir_task_payload(t) = arg;
    weir_scope_spawn(w, children, t);
    return fails_itself ? -EDOM : 0;
}

Test(graph_nested, an_error_of_children_or_of_who_spawns_them_is_the_nodes)
{
    weir_runtime *rt = start(2);
    weir_graph *g = graph();
    weir_atomic_u32 ended = {1}, after = {0};
    weir_run_report report;
    weir_node_spec s = {.size = sizeof s, .kind = WEIR_NODE_SPAWN, .spawn = spawn_what_fails, .arg = &ended,
                        .name = "parent"};
    weir_node n;
    OK(weir_graph_add_spec(g, &s, &n));
    OK(weir_graph_precede(g, n, node(g, count, &after)));
    weir_run *r = frozen_run(g, 0);
    cr_assert_eq(weir_run_once(rt, r), -EXDEV);
    OK(weir_run_read(r, &report));
    cr_assert_eq(report.node.index, n.index);
    cr_assert_str_eq(report.name, "parent");
    cr_assert_eq(get(&ended), 2, "the run has ended before the child");
    int both = weir_run_once(rt, r);
    cr_assert(both == -EDOM || both == -EXDEV, "whichever was first");
    cr_assert_eq(get(&after), 0);
    drop(g, r);
    stop(rt);
}

Test(graph_nested, a_graph_is_a_node_also_in_a_loop_and_within_graphs)
{
    weir_runtime *rt = start(2);
    weir_graph *inner = graph(), *middle = graph(), *outer = graph();
    weir_atomic_u32 ran = {0}, rounds = {0};
    weir_node a = node(inner, count, &ran);
    for (int i = 0; i < 4; i++)
        OK(weir_graph_precede(inner, a, node(inner, count, &ran)));
    OK(weir_graph_freeze(inner, NULL));
    weir_node_spec s = {.size = sizeof s, .kind = WEIR_NODE_GRAPH, .graph = inner, .name = "inner"};
    OK(weir_graph_add_spec(middle, &s, NULL));
    OK(weir_graph_add_spec(middle, &s, NULL)); /* twice, side by side */
    OK(weir_graph_freeze(middle, NULL));
    s.graph = middle;
    weir_node sub, begin = node(outer, nothing, NULL), again = node(outer, count, &rounds),
                   c = named(outer, "again?", WEIR_NODE_CONDITION, fewer_than_ten, &rounds);
    OK(weir_graph_add_spec(outer, &s, &sub));
    OK(weir_graph_precede(outer, begin, sub));
    OK(weir_graph_precede(outer, sub, again));
    OK(weir_graph_precede(outer, again, c));
    OK(weir_graph_precede(outer, c, sub));
    weir_run *r = frozen_run(outer, 0);
    cr_assert_eq(weir_graph_destroy(inner), -EBUSY);
    OK(weir_run_once(rt, r));
    cr_assert_eq(get(&ran), 100);
    set(&rounds, 0);
    call(rt, run_on_worker, r);
    cr_assert_eq(get(&ran), 200);
    drop(outer, r);
    drop(middle, NULL);
    drop(inner, NULL);
    stop(rt);
}

Test(graph_nested, an_error_in_an_inner_graph_is_the_outer_ones)
{
    weir_runtime *rt = start(2);
    weir_graph *inner = graph(), *outer = graph();
    weir_atomic_u32 after = {0};
    weir_run_report report;
    node(inner, fails, NULL);
    OK(weir_graph_freeze(inner, NULL));
    weir_node_spec s = {.size = sizeof s, .kind = WEIR_NODE_GRAPH, .graph = inner, .name = "inner"};
    weir_node sub, last = node(outer, count, &after);
    OK(weir_graph_add_spec(outer, &s, &sub));
    OK(weir_graph_precede(outer, sub, last));
    weir_run *r = frozen_run(outer, 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(weir_run_once(rt, r), -EIO);
        OK(weir_run_read(r, &report));
        cr_assert_eq(report.node.index, sub.index);
        cr_assert_str_eq(report.name, "inner");
    }
    cr_assert_eq(get(&after), 0);
    drop(outer, r);
    drop(inner, NULL);
    stop(rt);
}
