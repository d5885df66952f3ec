/* SPDX-License-Identifier: MIT
 *
 * test_graph_build.c - what must hold for the building of graphs: what is refused, and that nothing changes then.
 */
#include "graph_support.h"

TestSuite(graph_build, .timeout = 100);

/* A graph in DOT, in memory that the caller frees. */
static char *dot_of(const weir_graph *g)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    OK(weir_graph_dot(g, NULL, out));
    fclose(out);
    return text;
}

static int no_children(weir_worker *w, void *arg, weir_scope *children)
{
    (void)w, (void)arg, (void)children;
    return 0;
}

/* What misuse is tried on: a -> choice -> b, and a semaphore for b. */
struct victim {
    weir_graph *g;
    weir_node a, b;
    weir_semaphores *set;
};

static struct victim victim_of(weir_semaphores *set, weir_atomic_u32 *ran)
{
    struct victim v = {.g = graph(), .set = set};
    v.a = named(v.g, "a", WEIR_NODE_PLAIN, count, ran);
    weir_node choice = named(v.g, "choice", WEIR_NODE_CONDITION, nothing, NULL);
    weir_node_spec s = {.size = sizeof s, .fn = count, .arg = ran, .name = "b", .semaphores = set, .permits = 1};
    OK(weir_graph_add_spec(v.g, &s, &v.b));
    OK(weir_graph_precede(v.g, v.a, choice));
    OK(weir_graph_precede(v.g, choice, v.b));
    return v;
}

/* Every spec that contradicts itself. */
static void bad_specs(const struct victim *v, weir_graph *frozen, weir_graph *open)
{
    const weir_node_spec bad[] = {
        {.size = 0, .fn = nothing},
        {.size = sizeof(weir_node_spec) - 1, .fn = nothing},
        {.size = sizeof(weir_node_spec) + 8, .fn = nothing},
        {.size = sizeof(weir_node_spec)},
        {.size = sizeof(weir_node_spec), .fn = nothing, .spawn = no_children},
        {.size = sizeof(weir_node_spec), .fn = nothing, .graph = frozen},
        {.size = sizeof(weir_node_spec), .kind = WEIR_NODE_CONDITION},
        {.size = sizeof(weir_node_spec), .kind = WEIR_NODE_CONDITION, .fn = nothing, .spawn = no_children},
        {.size = sizeof(weir_node_spec), .kind = WEIR_NODE_MULTI},
        {.size = sizeof(weir_node_spec), .kind = WEIR_NODE_MULTI, .fn = nothing, .graph = frozen},
        {.size = sizeof(weir_node_spec), .kind = WEIR_NODE_SPAWN},
        {.size = sizeof(weir_node_spec), .kind = WEIR_NODE_SPAWN, .fn = nothing},
        {.size = sizeof(weir_node_spec), .kind = WEIR_NODE_SPAWN, .spawn = no_children, .fn = nothing},
        {.size = sizeof(weir_node_spec), .kind = WEIR_NODE_SPAWN, .spawn = no_children, .graph = frozen},
        {.size = sizeof(weir_node_spec), .kind = WEIR_NODE_GRAPH},
        {.size = sizeof(weir_node_spec), .kind = WEIR_NODE_GRAPH, .graph = v->g},
        {.size = sizeof(weir_node_spec), .kind = WEIR_NODE_GRAPH, .graph = open},
        {.size = sizeof(weir_node_spec), .kind = WEIR_NODE_GRAPH, .graph = frozen, .fn = nothing},
        {.size = sizeof(weir_node_spec), .kind = WEIR_NODE_GRAPH, .graph = frozen, .spawn = no_children},
        {.size = sizeof(weir_node_spec), .kind = (weir_node_kind)(WEIR_NODE_GRAPH + 1), .fn = nothing},
        {.size = sizeof(weir_node_spec), .fn = nothing, .priority = WEIR_PRIORITY_MAX + 1},
        {.size = sizeof(weir_node_spec), .fn = nothing, .priority = WEIR_PRIORITY_MIN - 1},
        {.size = sizeof(weir_node_spec), .fn = nothing, .permits = 1},
        {.size = sizeof(weir_node_spec), .fn = nothing, .semaphores = v->set},
        {.size = sizeof(weir_node_spec), .fn = nothing, .semaphores = v->set, .permits = 4},
        {.size = sizeof(weir_node_spec), .fn = nothing, .reserved = 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        weir_node out = {7, 7};
        cr_assert_eq(weir_graph_add_spec(v->g, &bad[i], &out), -EINVAL, "spec %zu", i);
        cr_assert(out.graph == 7 && out.index == 7);
        cr_assert_eq(weir_graph_node_count(v->g), 3);
    }
}

static void bad_nodes_and_edges(const struct victim *v, weir_node foreign)
{
    weir_node out = {7, 7}, beyond = {v->a.graph, 3}, none = {0, 0};
    weir_node_spec s = {.size = sizeof s, .fn = nothing};
    const weir_node bad[] = {foreign, beyond, none};
    weir_edge last_is_bad[] = {{v->a, v->b}, {v->b, foreign}}, itself[] = {{v->a, v->b}, {v->b, v->b}};
    cr_assert_eq(weir_graph_add(v->g, NULL, NULL, &out), -EINVAL);
    cr_assert_eq(weir_graph_add(NULL, nothing, NULL, &out), -EINVAL);
    cr_assert_eq(weir_graph_add_spec(NULL, &s, &out), -EINVAL);
    cr_assert_eq(weir_graph_add_spec(v->g, NULL, &out), -EINVAL);
    cr_assert(out.graph == 7 && out.index == 7);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert_eq(weir_graph_precede(v->g, v->a, bad[i]), -EINVAL);
        cr_assert_eq(weir_graph_precede(v->g, bad[i], v->a), -EINVAL);
        cr_assert_eq(weir_graph_succeed(v->g, v->a, bad[i]), -EINVAL);
        cr_assert_eq(weir_graph_succeed(v->g, bad[i], v->a), -EINVAL);
        cr_assert_str_eq(weir_graph_name(v->g, bad[i]), "");
    }
    cr_assert_eq(weir_graph_precede(NULL, v->a, v->b), -EINVAL);
    cr_assert_eq(weir_graph_succeed(NULL, v->b, v->a), -EINVAL);
    cr_assert_eq(weir_graph_precede(v->g, v->a, v->a), -ELOOP);
    cr_assert_eq(weir_graph_succeed(v->g, v->a, v->a), -ELOOP);
    cr_assert_eq(weir_graph_edges(v->g, last_is_bad, 2), -EINVAL);
    cr_assert_eq(weir_graph_edges(v->g, itself, 2), -ELOOP);
    cr_assert_eq(weir_graph_edges(v->g, NULL, 1), -EINVAL);
    cr_assert_eq(weir_graph_edges(NULL, itself, 1), -EINVAL);
    OK(weir_graph_edges(v->g, NULL, 0));
    cr_assert_eq(weir_graph_edge_count(v->g), 2);
}

static void bad_freezes(const struct victim *v)
{
    weir_graph_fault fault = {.room = 1};
    weir_run *r = NULL;
    cr_assert_eq(weir_graph_freeze(NULL, NULL), -EINVAL);
    cr_assert_eq(weir_graph_freeze(v->g, &fault), -EINVAL, "room, but nowhere");
    cr_assert_eq(weir_graph_dot(v->g, NULL, stdout), -EPERM);
    cr_assert_eq(weir_run_create(v->g, 0, &r), -EINVAL, "not frozen");
    cr_assert_null(r);
}

static void everything_again_once_frozen(const struct victim *v)
{
    weir_node_spec s = {.size = sizeof s, .fn = nothing};
    weir_edge edge = {v->a, v->b};
    weir_node out = {7, 7};
    cr_assert_eq(weir_graph_freeze(v->g, NULL), -EPERM);
    cr_assert_eq(weir_graph_add(v->g, nothing, NULL, &out), -EPERM);
    cr_assert_eq(weir_graph_add_spec(v->g, &s, &out), -EPERM);
    cr_assert_eq(weir_graph_precede(v->g, v->a, v->b), -EPERM);
    cr_assert_eq(weir_graph_succeed(v->g, v->b, v->a), -EPERM);
    cr_assert_eq(weir_graph_edges(v->g, &edge, 1), -EPERM);
    cr_assert(out.graph == 7 && out.index == 7);
    cr_assert_eq(weir_graph_dot(NULL, NULL, stdout), -EINVAL);
    cr_assert_eq(weir_graph_dot(v->g, NULL, NULL), -EINVAL);
}

Test(graph_build, every_misuse_is_refused_and_leaves_the_graph_as_it_was)
{
    weir_runtime *rt = start(2);
    weir_atomic_u32 ran = {0};
    uint32_t permits[] = {1, 1};
    weir_semaphores *set;
    OK(weir_semaphores_create(rt, permits, 2, &set));
    weir_graph *frozen = graph(), *open = graph();
    OK(weir_graph_freeze(frozen, NULL));
    struct victim v = victim_of(set, &ran), same = victim_of(set, &ran);
    cr_assert_eq(weir_graph_create(NULL), -EINVAL);
    cr_assert_eq(weir_graph_destroy(NULL), -EINVAL);
    bad_specs(&v, frozen, open);
    bad_nodes_and_edges(&v, node(open, nothing, NULL));
    bad_freezes(&v);
    weir_run *r = frozen_run(v.g, 0);
    everything_again_once_frozen(&v);
    OK(weir_graph_freeze(same.g, NULL));
    char *text = dot_of(v.g), *expected = dot_of(same.g);
    cr_assert_str_eq(text, expected);
    OK(weir_run_once(rt, r));
    cr_assert_eq(get(&ran), 2);
    cr_assert_eq(weir_graph_destroy(v.g), -EBUSY, "a run of it exists");
    cr_assert_eq(weir_semaphores_destroy(set), -EBUSY, "graphs name it");
    free(text);
    free(expected);
    drop(v.g, r);
    drop(same.g, NULL);
    drop(frozen, NULL);
    drop(open, NULL);
    OK(weir_semaphores_destroy(set));
    stop(rt);
}

Test(graph_build, bad_semaphores_are_refused)
{
    weir_runtime *rt = start(1);
    uint32_t permits[WEIR_SEMAPHORES_MAX + 1] = {0};
    weir_semaphores *set = NULL;
    cr_assert_eq(weir_semaphores_create(rt, permits, 1, &set), -EINVAL, "no permits at all");
    for (uint32_t i = 0; i <= WEIR_SEMAPHORES_MAX; i++)
        permits[i] = 1;
    cr_assert_eq(weir_semaphores_create(rt, permits, 0, &set), -EINVAL);
    cr_assert_eq(weir_semaphores_create(rt, permits, WEIR_SEMAPHORES_MAX + 1, &set), -EINVAL);
    cr_assert_eq(weir_semaphores_create(rt, NULL, 1, &set), -EINVAL);
    cr_assert_eq(weir_semaphores_create(rt, permits, 1, NULL), -EINVAL);
    cr_assert_eq(weir_semaphores_create(NULL, permits, 1, &set), -EINVAL);
    cr_assert_eq(weir_semaphores_destroy(NULL), -EINVAL);
    cr_assert_null(set);
    OK(weir_semaphores_create(rt, permits, WEIR_SEMAPHORES_MAX, &set));
    OK(weir_semaphores_destroy(set));
    stop(rt);
}

/* The same edges one by one, told from behind, and at once. */
Test(graph_build, three_ways_to_add_edges_make_the_same_graph)
{
    enum { N = 60 };
    char *text[3];
    for (int way = 0; way < 3; way++) {
        weir_graph *g = graph();
        weir_node n[N];
        weir_edge edges[2 * N];
        size_t m = 0;
        for (int i = 0; i < N; i++)
            n[i] = node(g, nothing, NULL);
        for (int i = 0; i + 7 < N; i++) {
            edges[m++] = (weir_edge){n[i], n[i + 3]};
            edges[m++] = (weir_edge){n[i], n[i + 7]};
        }
        for (size_t i = 0; i < m && way == 0; i++)
            OK(weir_graph_precede(g, edges[i].before, edges[i].after));
        for (size_t i = 0; i < m && way == 1; i++)
            OK(weir_graph_succeed(g, edges[i].after, edges[i].before));
        if (way == 2)
            OK(weir_graph_edges(g, edges, m));
        cr_assert_eq(weir_graph_edge_count(g), m);
        OK(weir_graph_freeze(g, NULL));
        cr_assert_eq(weir_graph_edge_count(g), m);
        text[way] = dot_of(g);
        drop(g, NULL);
    }
    cr_assert_str_eq(text[0], text[1]);
    cr_assert_str_eq(text[0], text[2]);
    for (int way = 0; way < 3; way++)
        free(text[way]);
}

/* Runs of graphs within graphs are made by recursion: there is a bound. */
Test(graph_build, graphs_within_graphs_have_a_bound_that_is_told)
{
    enum { DEPTH = 64 };
    weir_runtime *rt = start(2);
    weir_atomic_u32 ran = {0};
    weir_graph *g[DEPTH + 1];
    g[0] = graph();
    node(g[0], count, &ran);
    for (int i = 1; i <= DEPTH; i++) {
        OK(weir_graph_freeze(g[i - 1], NULL));
        g[i] = graph();
        weir_node_spec s = {.size = sizeof s, .kind = WEIR_NODE_GRAPH, .graph = g[i - 1]};
        int r = weir_graph_add_spec(g[i], &s, NULL);
        cr_assert_eq(r, i < DEPTH ? 0 : -ENOSPC, "depth %d", i);
    }
    cr_assert_eq(weir_graph_node_count(g[DEPTH]), 0);
    weir_run *r = NULL;
    OK(weir_run_create(g[DEPTH - 1], 0, &r));
    OK(weir_run_n(rt, r, 3));
    cr_assert_eq(get(&ran), 3);
    OK(weir_run_destroy(r));
    for (int i = DEPTH; i >= 0; i--)
        OK(weir_graph_destroy(g[i]));
    stop(rt);
}

/* Large arrays come from graphs that have ended: what those have left there must not be seen. */
Test(graph_build, a_large_graph_is_built_in_the_memory_of_another)
{
    enum { N = 60000 };
    weir_runtime *rt = start(2);
    weir_atomic_u32 ran = {0};
    for (uint32_t round = 0; round < 6; round++) {
        uint32_t n = N + round * 10000;
        weir_graph *g = graph();
        weir_node first = node(g, count, &ran), last = node(g, count, &ran);
        for (uint32_t i = 2; i < n; i++) {
            weir_node here = node(g, count, &ran);
            if (round % 3 != 2)
                OK(weir_graph_precede(g, first, here));
            if (round % 3 != 1)
                OK(weir_graph_precede(g, here, last));
        }
        weir_run *r = frozen_run(g, 0);
        set(&ran, 0);
        OK(weir_run_n(rt, r, 2));
        cr_assert_eq(get(&ran), 2 * n);
        drop(g, r);
    }
    cr_assert_gt(weir_memory_trim(), N * sizeof(void *), "what they have left waits");
    cr_assert_eq(weir_memory_trim(), 0);
    stop(rt);
}

Test(graph_build, a_cycle_is_named_and_nothing_has_changed)
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

/* A fan of `width` nodes from the first to the last, row by row or in turns, with one edge twice, at once or at the
 * end; nodes may come in an order that leads backward. */
static void check_double(uint32_t width, bool by_rows, bool backward, bool at_once)
{
    weir_graph *g = graph();
    weir_node found[2], n[48];
    for (uint32_t i = 0; i < width + 2; i++)
        n[i] = node(g, nothing, NULL);
    weir_node first = n[backward ? width + 1 : 0], last = n[backward ? 0 : width + 1], twice = n[width];
    for (uint32_t i = 1; i <= width; i++) {
        OK(weir_graph_precede(g, first, n[i]));
        if (at_once && i == width)
            OK(weir_graph_precede(g, first, twice));
        if (!by_rows)
            OK(weir_graph_precede(g, n[i], last));
    }
    if (!at_once)
        OK(weir_graph_precede(g, first, twice));
    for (uint32_t i = 1; i <= width && by_rows; i++)
        OK(weir_graph_precede(g, n[i], last));
    for (int times = 0; times < 3; times++) { /* each finds what the one before has found */
        weir_graph_fault fault = {.nodes = found, .room = 2};
        cr_assert_eq(weir_graph_freeze(g, &fault), -EEXIST);
        cr_assert(fault.count == 2 && found[0].index == first.index && found[1].index == twice.index);
        cr_assert_eq(weir_graph_edge_count(g), 2 * width + 1);
        OK(weir_graph_add(g, nothing, NULL, NULL)); /* it is still a builder */
    }
    drop(g, NULL);
}

Test(graph_build, a_double_edge_is_named_and_nothing_has_changed)
{
    for (uint32_t width = 1; width < 40; width += 19) /* short and long rows */
        for (unsigned way = 0; way < 8; way++)
            check_double(width, way % 2 == 0, way / 2 % 2 != 0, way / 4 != 0);
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
