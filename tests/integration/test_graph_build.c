/* SPDX-License-Identifier: MIT
 *
 * test_graph_build.c - what must hold for the building of graphs: what is refused, and that nothing changes then.
 */
#include "graph_support.h"

TestSuite(graph_build, .timeout = 100);

Test(graph_build, misuse_is_refused_and_changes_nothing)
{
    weir_graph *g = graph(), *other = graph();
    weir_node a = node(g, nothing, NULL), b = node(g, nothing, NULL), foreign = node(other, nothing, NULL), out = {7, 7};
    weir_node_spec s = {.size = sizeof s, .fn = nothing, .priority = WEIR_PRIORITY_MAX + 1};
    weir_edge edges[] = {{a, b}, {b, foreign}};
    cr_assert_eq(weir_graph_create(NULL), -EINVAL);
    cr_assert_eq(weir_graph_add(g, NULL, NULL, &out), -EINVAL);
    cr_assert_eq(weir_graph_add(NULL, nothing, NULL, &out), -EINVAL);
    cr_assert_eq(weir_graph_add_spec(g, &s, &out), -EINVAL);
    s = (weir_node_spec){.size = sizeof s, .kind = WEIR_NODE_GRAPH, .graph = other};
    cr_assert_eq(weir_graph_add_spec(g, &s, &out), -EINVAL, "a subgraph that is not frozen");
    s = (weir_node_spec){.size = sizeof s, .fn = nothing, .permits = 1};
    cr_assert_eq(weir_graph_add_spec(g, &s, &out), -EINVAL, "permits of no set");
    s.size = 1;
    cr_assert_eq(weir_graph_add_spec(g, &s, &out), -EINVAL);
    cr_assert_eq(weir_graph_precede(g, a, foreign), -EINVAL);
    cr_assert_eq(weir_graph_precede(g, a, (weir_node){a.graph, 2}), -EINVAL);
    cr_assert_eq(weir_graph_precede(g, a, a), -ELOOP);
    cr_assert_eq(weir_graph_edges(g, edges, 2), -EINVAL);
    cr_assert_eq(weir_graph_edge_count(g), 0);
    cr_assert_eq(weir_graph_node_count(g), 2);
    cr_assert(out.graph == 7 && out.index == 7);
    weir_run *r = NULL;
    cr_assert_eq(weir_run_create(g, 0, &r), -EINVAL, "not frozen");
    OK(weir_graph_freeze(g, NULL));
    cr_assert_eq(weir_graph_freeze(g, NULL), -EPERM);
    cr_assert_eq(weir_graph_add(g, nothing, NULL, &out), -EPERM);
    cr_assert_eq(weir_graph_precede(g, a, b), -EPERM);
    cr_assert_eq(weir_run_create(g, 8, &r), -EINVAL);
    OK(weir_run_create(g, 0, &r));
    cr_assert_eq(weir_graph_destroy(g), -EBUSY, "a run of it exists");
    drop(g, r);
    drop(other, NULL);
}

Test(graph_build, a_cycle_is_named_and_can_be_mended)
{
    weir_graph *g = graph();
    const char *names[] = {"a", "b", "c", "d", "e"};
    weir_node n[5], found[8];
    for (int i = 0; i < 5; i++)
        n[i] = named(g, names[i], WEIR_NODE_PLAIN, nothing, NULL);
    weir_edge edges[] = {{n[0], n[1]}, {n[1], n[2]}, {n[2], n[3]}, {n[3], n[1]}, {n[3], n[4]}};
    OK(weir_graph_edges(g, edges, 5));
    weir_graph_fault fault = {.nodes = found, .room = 8};
    for (int times = 0; times < 2; times++) {
        cr_assert_eq(weir_graph_freeze(g, &fault), -ELOOP);
        cr_assert_eq(fault.count, 3);
        for (uint32_t i = 0; i < 3; i++) {
            uint32_t next = found[(i + 1) % 3].index;
            cr_assert(found[i].index >= 1 && found[i].index <= 3);
            cr_assert_eq(next, found[i].index == 3 ? 1 : found[i].index + 1);
            cr_assert_str_eq(weir_graph_name(g, found[i]), names[found[i].index]);
        }
    }
    fault.room = 1;
    cr_assert_eq(weir_graph_freeze(g, &fault), -ELOOP);
    cr_assert_eq(fault.count, 3, "the whole length, whatever the room");
    cr_assert_eq(weir_graph_edge_count(g), 5);
    OK(weir_graph_add(g, nothing, NULL, NULL)); /* it is still a builder */
    drop(g, NULL);
}

Test(graph_build, a_double_edge_is_named)
{
    for (uint32_t width = 1; width < 40; width += 19) { /* short and long rows */
        weir_graph *g = graph();
        weir_node found[2], first = node(g, nothing, NULL), last = first;
        for (uint32_t i = 0; i < width; i++)
            OK(weir_graph_precede(g, first, last = node(g, nothing, NULL)));
        OK(weir_graph_precede(g, first, last));
        weir_graph_fault fault = {.nodes = found, .room = 2};
        cr_assert_eq(weir_graph_freeze(g, &fault), -EEXIST);
        cr_assert(fault.count == 2 && found[0].index == first.index && found[1].index == last.index);
        drop(g, NULL);
    }
}

Test(graph_build, a_graph_that_nothing_begins_is_refused)
{
    weir_graph *g = graph();
    weir_node c = named(g, "c", WEIR_NODE_CONDITION, nothing, NULL);
    OK(weir_graph_precede(g, c, c));
    cr_assert_eq(weir_graph_freeze(g, NULL), -ENOENT);
    drop(g, NULL);
}

Test(graph_build, an_empty_graph_runs)
{
    weir_runtime *rt = start(2);
    weir_graph *g = graph();
    weir_run *r = frozen_run(g, 0);
    OK(weir_run_once(rt, r));
    OK(weir_run_n(rt, r, 10));
    drop(g, r);
    stop(rt);
}
