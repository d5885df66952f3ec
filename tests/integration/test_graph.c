/* SPDX-License-Identifier: MIT
 *
 * test_graph.c - what must hold for task graphs: what the builder refuses, order, kinds of nodes, ends of runs.
 */
#include "support.h"

#include <sys/eventfd.h>

TestSuite(graph, .timeout = 100);

#define OK(x) cr_assert_eq((x), 0, "%s", #x)

static int nothing(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    return 0;
}

static int count(weir_worker *w, void *arg)
{
    (void)w;
    add(arg, 1);
    return 0;
}

static weir_graph *graph(void)
{
    weir_graph *g = NULL;
    OK(weir_graph_create(&g));
    return g;
}

static weir_node node(weir_graph *g, weir_node_fn *fn, void *arg)
{
    weir_node n;
    OK(weir_graph_add(g, fn, arg, &n));
    return n;
}

static weir_node named(weir_graph *g, const char *name, weir_node_kind kind, weir_node_fn *fn, void *arg)
{
    weir_node_spec s = {.size = sizeof s, .kind = kind, .fn = fn, .arg = arg, .name = name};
    weir_node n;
    OK(weir_graph_add_spec(g, &s, &n));
    return n;
}

static weir_run *frozen_run(weir_graph *g, uint32_t flags)
{
    weir_run *r = NULL;
    OK(weir_graph_freeze(g, NULL));
    OK(weir_run_create(g, flags, &r));
    return r;
}

static void drop(weir_graph *g, weir_run *r)
{
    if (r != NULL)
        OK(weir_run_destroy(r));
    OK(weir_graph_destroy(g));
}

/* --- building ------------------------------------------------------------------------------------------------- */

Test(graph, misuse_is_refused_and_changes_nothing)
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

Test(graph, a_cycle_is_named_and_can_be_mended)
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

Test(graph, a_double_edge_is_named)
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

Test(graph, a_graph_that_nothing_begins_is_refused)
{
    weir_graph *g = graph();
    weir_node c = named(g, "c", WEIR_NODE_CONDITION, nothing, NULL);
    OK(weir_graph_precede(g, c, c));
    cr_assert_eq(weir_graph_freeze(g, NULL), -ENOENT);
    drop(g, NULL);
}

Test(graph, an_empty_graph_runs)
{
    weir_runtime *rt = start(2);
    weir_graph *g = graph();
    weir_run *r = frozen_run(g, 0);
    OK(weir_run_once(rt, r));
    OK(weir_run_n(rt, r, 10));
    drop(g, r);
    stop(rt);
}

/* --- order ---------------------------------------------------------------------------------------------------- */

#define NODES 400u

static struct {
    weir_atomic_u32 clock;
    uint32_t ended[NODES];
    uint32_t times[NODES];
    uint32_t before[NODES * 8][2];
    uint32_t n_before;
    weir_atomic_u32 wrong;
} order;

static int ordered(weir_worker *w, void *arg)
{
    uint32_t self = (uint32_t)((uint32_t *)arg - order.ended);
    (void)w;
    order.times[self]++;
    order.ended[self] = add(&order.clock, 1);
    return 0;
}

static void random_graph(weir_graph *g, unsigned seed, bool priorities, weir_node *n)
{
    uint32_t rank[NODES];
    order.n_before = 0;
    memset(order.times, 0, sizeof order.times);
    for (uint32_t i = 0; i < NODES; i++) {
        rank[i] = seed % 2 == 0 ? i : NODES - 1 - i; /* added in an order that suits, or the other way round */
        weir_node_spec s = {.size = sizeof s, .fn = ordered, .arg = &order.ended[i],
                            .priority = priorities ? (int32_t)(i % 16) - 8 : 0};
        OK(weir_graph_add_spec(g, &s, &n[i]));
    }
    for (uint32_t i = 0; i < NODES; i++) {
        uint32_t last = UINT32_MAX;
        for (uint32_t k = (uint32_t)rand_r(&seed) % 5; k > 0; k--) {
            uint32_t to = (uint32_t)rand_r(&seed) % NODES;
            if (rank[to] <= rank[i] || to == last || (last != UINT32_MAX && to <= last))
                continue;
            last = to;
            OK(weir_graph_precede(g, n[i], n[to]));
            order.before[order.n_before][0] = i;
            order.before[order.n_before++][1] = to;
        }
    }
}

static void run_on_worker(weir_worker *w, void *run)
{
    OK(weir_run_once(weir_worker_runtime(w), run));
}

Test(graph, every_node_runs_once_and_after_its_predecessors)
{
    weir_node n[NODES];
    for (unsigned seed = 1; seed <= 24; seed++) {
        weir_runtime *rt = start(1 + seed % 4);
        weir_graph *g = graph();
        random_graph(g, seed, seed % 3 == 0, n);
        weir_run *r = frozen_run(g, 0);
        for (uint32_t times = 1; times <= 20; times++) {
            if (times % 2)
                OK(weir_run_once(rt, r));
            else
                call(rt, run_on_worker, r);
            for (uint32_t i = 0; i < NODES; i++)
                cr_assert_eq(order.times[i], times, "node %u of seed %u", i, seed);
            for (uint32_t i = 0; i < order.n_before; i++)
                cr_assert_lt(order.ended[order.before[i][0]], order.ended[order.before[i][1]]);
        }
        drop(g, r);
        stop(rt);
    }
}

/* Rows of 0 to 20 later nodes, added row by row, their targets rising, falling, or first the last one. */
static void graph_by_rows(weir_graph *g, unsigned seed, int kind, weir_node *n)
{
    order.n_before = 0;
    memset(order.times, 0, sizeof order.times);
    for (uint32_t i = 0; i < NODES; i++)
        n[i] = node(g, ordered, &order.ended[i]);
    for (uint32_t i = 0; i + 1 < NODES; i++) {
        uint32_t row[20], length = 0;
        uint32_t most = (uint32_t)rand_r(&seed) % 4 != 0 ? 2 : 20; /* most rows are short */
        for (uint32_t to = i + 1; to < NODES && length < most; to += 1 + (uint32_t)rand_r(&seed) % 40)
            row[length++] = to;
        for (uint32_t k = 0; k < length && order.n_before < NODES * 8; k++) {
            uint32_t to = kind == 0 ? row[k] : kind == 1 ? row[length - 1 - k] : row[(k + length - 1) % length];
            OK(weir_graph_precede(g, n[i], n[to]));
            order.before[order.n_before][0] = i;
            order.before[order.n_before++][1] = to;
        }
    }
}

Test(graph, rows_in_whatever_order_make_the_same_graph)
{
    weir_node n[NODES], found[2];
    weir_runtime *rt = start(2);
    for (unsigned seed = 1; seed <= 30; seed++) {
        for (int kind = 0; kind < 3; kind++) {
            weir_graph *g = graph();
            graph_by_rows(g, seed, kind, n);
            weir_run *r = frozen_run(g, 0);
            for (uint32_t times = 1; times <= 3; times++) {
                OK(weir_run_once(rt, r));
                for (uint32_t i = 0; i < NODES; i++)
                    cr_assert_eq(order.times[i], times, "node %u of seed %u, kind %d", i, seed, kind);
                for (uint32_t i = 0; i < order.n_before; i++)
                    cr_assert_lt(order.ended[order.before[i][0]], order.ended[order.before[i][1]]);
            }
            drop(g, r);
        }
    }
    stop(rt);
    for (int kind = 0; kind < 3; kind++) { /* a double in the last row: what was laid out until then is taken back */
        weir_graph *g = graph();
        graph_by_rows(g, 5, kind, n);
        weir_edge twice = {n[NODES - 2], n[NODES - 1]}, doubles[] = {twice, twice};
        OK(weir_graph_edges(g, doubles, 2));
        uint32_t edges = weir_graph_edge_count(g);
        weir_graph_fault fault = {.nodes = found, .room = 2};
        for (int times = 0; times < 2; times++) {
            cr_assert_eq(weir_graph_freeze(g, &fault), -EEXIST);
            cr_assert(fault.count == 2 && found[0].index == twice.before.index && found[1].index == twice.after.index);
            cr_assert_eq(weir_graph_edge_count(g), edges);
        }
        OK(weir_graph_add(g, nothing, NULL, NULL)); /* it is still a builder */
        drop(g, NULL);
    }
}

Test(graph, higher_priority_runs_first_among_nodes_ready_together)
{
    weir_runtime *rt = start(1);
    weir_graph *g = graph();
    weir_node_spec s = {.size = sizeof s, .fn = ordered};
    weir_node first = node(g, nothing, NULL), n;
    for (int32_t i = 0; i < 16; i++) {
        s.arg = &order.ended[i];
        s.priority = (i * 7) % 16 - 8;
        OK(weir_graph_add_spec(g, &s, &n));
        OK(weir_graph_precede(g, first, n));
    }
    weir_run *r = frozen_run(g, 0);
    OK(weir_run_once(rt, r));
    for (int32_t i = 0; i < 16; i++)
        cr_assert_eq(order.ended[i], (uint32_t)(16 - (i * 7) % 16));
    drop(g, r);
    stop(rt);
}

Test(graph, ten_million_deep_needs_no_stack)
{
    const uint32_t n = 10000000;
    weir_config c = config_of(2);
    c.stack_size = 64u << 10;
    weir_runtime *rt = start_config(&c);
    weir_graph *g = graph();
    weir_atomic_u32 ran = {0};
    weir_node last = node(g, count, &ran);
    for (uint32_t i = 1; i < n; i++) {
        weir_node next = node(g, count, &ran);
        OK(weir_graph_precede(g, last, next));
        last = next;
    }
    weir_run *r = frozen_run(g, 0);
    OK(weir_run_once(rt, r));
    cr_assert_eq(get(&ran), n);
    drop(g, r);
    stop(rt);
}

/* A comb: at each of a million steps a tooth is left behind, ready. */
Test(graph, a_million_steps_each_with_a_sibling_need_no_stack)
{
    const uint32_t n = 1000000;
    weir_config c = config_of(2);
    c.stack_size = 64u << 10;
    weir_runtime *rt = start_config(&c);
    weir_graph *g = graph();
    weir_atomic_u32 ran = {0};
    weir_node last = node(g, count, &ran);
    for (uint32_t i = 1; i < n; i++) {
        weir_node next = node(g, count, &ran);
        OK(weir_graph_precede(g, last, next));
        OK(weir_graph_precede(g, last, node(g, count, &ran)));
        last = next;
    }
    weir_run *r = frozen_run(g, 0);
    OK(weir_run_n(rt, r, 2));
    cr_assert_eq(get(&ran), 2 * (2 * n - 1));
    drop(g, r);
    stop(rt);
}

/* --- kinds ---------------------------------------------------------------------------------------------------- */

static int fewer_than_ten(weir_worker *w, void *arg)
{
    (void)w;
    return get(arg) < 10 ? 0 : 1;
}

Test(graph, a_condition_loops_and_then_goes_on)
{
    weir_runtime *rt = start(2);
    weir_graph *g = graph();
    weir_atomic_u32 rounds = {0}, after = {0};
    weir_node begin = node(g, nothing, NULL), body = node(g, count, &rounds), left = node(g, nothing, NULL),
              right = node(g, nothing, NULL), c = named(g, "again?", WEIR_NODE_CONDITION, fewer_than_ten, &rounds),
              end = node(g, count, &after);
    OK(weir_graph_precede(g, begin, body));
    OK(weir_graph_precede(g, body, left)); /* the counter of a join inside the loop starts anew each round */
    OK(weir_graph_precede(g, body, right));
    OK(weir_graph_precede(g, left, c));
    OK(weir_graph_precede(g, right, c));
    OK(weir_graph_precede(g, c, body));
    OK(weir_graph_precede(g, c, end));
    weir_run *r = frozen_run(g, 0);
    for (uint32_t i = 1; i <= 50; i++) {
        set(&rounds, 0);
        OK(weir_run_once(rt, r));
        cr_assert_eq(get(&rounds), 10);
        cr_assert_eq(get(&after), i);
    }
    drop(g, r);
    stop(rt);
}

static int second_of_two(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    return 1;
}

static int first_and_third(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    return 5;
}

Test(graph, conditions_choose_among_their_successors)
{
    weir_runtime *rt = start(2);
    weir_graph *g = graph();
    weir_atomic_u32 ran[6] = {{0}};
    weir_node c = named(g, "one", WEIR_NODE_CONDITION, second_of_two, NULL),
              m = named(g, "some", WEIR_NODE_MULTI, first_and_third, NULL);
    for (int i = 0; i < 3; i++)
        OK(weir_graph_precede(g, c, node(g, count, &ran[i])));
    for (int i = 3; i < 6; i++)
        OK(weir_graph_precede(g, m, node(g, count, &ran[i])));
    weir_run *r = frozen_run(g, 0);
    OK(weir_run_n(rt, r, 3));
    uint32_t expect[] = {0, 3, 0, 3, 0, 3};
    for (int i = 0; i < 6; i++)
        cr_assert_eq(get(&ran[i]), expect[i], "node %d", i);
    drop(g, r);
    stop(rt);
}

static weir_task *run_child(weir_worker *w, weir_task *t)
{
    (void)w;
    usleep(50);
    add(*(weir_atomic_u32 **)weir_task_payload(t), 1);
    return NULL;
}

#define CHILDREN 20u

static int spawn_children(weir_worker *w, void *arg, weir_scope *children)
{
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
    return get(arg) % CHILDREN == 0 ? 0 : -EPROTO;
}

Test(graph, children_of_a_node_end_before_its_successors)
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

static int fails(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    return -EIO;
}

Test(graph, a_graph_is_a_node_also_in_a_loop_and_within_graphs)
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

Test(graph, an_error_in_an_inner_graph_is_the_outer_ones)
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

/* --- semaphores ----------------------------------------------------------------------------------------------- */

static struct {
    weir_atomic_u32 now[3], most[3], ran;
} held;

static int hold(weir_worker *w, void *arg)
{
    uintptr_t bits = (uintptr_t)arg;
    (void)w;
    for (unsigned i = 0; i < 3; i++)
        if (bits >> i & 1) {
            uint32_t n = add(&held.now[i], 1);
            if (n > get(&held.most[i]))
                set(&held.most[i], n);
        }
    usleep(20);
    for (unsigned i = 0; i < 3; i++)
        if (bits >> i & 1)
            add(&held.now[i], UINT32_MAX);
    add(&held.ran, 1);
    return 0;
}

static weir_graph *limited_graph(weir_semaphores *sems, uint32_t n)
{
    weir_graph *g = graph();
    for (uint32_t i = 0; i < n; i++) {
        uint64_t permits = 1 + i % 7;
        weir_node_spec s = {.size = sizeof s, .fn = hold, .arg = (void *)(uintptr_t)permits, .semaphores = sems,
                            .permits = permits};
        OK(weir_graph_add_spec(g, &s, NULL));
    }
    return g;
}

Test(graph, semaphores_bound_overlapping_runs_and_never_lock_up)
{
    weir_runtime *rt = start(4);
    uint32_t permits[] = {1, 2, 3};
    weir_semaphores *sems;
    OK(weir_semaphores_create(rt, permits, 3, &sems));
    weir_graph *g = limited_graph(sems, 140);
    weir_run *r[3];
    r[0] = frozen_run(g, 0);
    OK(weir_run_create(g, 0, &r[1]));
    OK(weir_run_create(g, 0, &r[2]));
    for (uint32_t times = 1; times <= 5; times++) {
        for (int i = 0; i < 3; i++)
            OK(weir_run_start(rt, r[i], NULL));
        for (int i = 0; i < 3; i++)
            OK(weir_run_wait(r[i], WEIR_FOREVER));
        cr_assert_eq(get(&held.ran), times * 3 * 140);
    }
    for (int i = 0; i < 3; i++)
        cr_assert(get(&held.most[i]) >= 1 && get(&held.most[i]) <= permits[i]);
    cr_assert_eq(weir_semaphores_destroy(sems), -EBUSY);
    for (int i = 1; i < 3; i++)
        OK(weir_run_destroy(r[i]));
    drop(g, r[0]);
    OK(weir_semaphores_destroy(sems));
    stop(rt);
}

Test(graph, a_run_that_is_cancelled_gives_its_permits_back)
{
    weir_runtime *rt = start(2);
    uint32_t permits[] = {1, 1, 1};
    weir_semaphores *sems;
    OK(weir_semaphores_create(rt, permits, 3, &sems));
    weir_graph *g = limited_graph(sems, 300);
    weir_run *r = frozen_run(g, 0);
    for (int i = 0; i < 20; i++) {
        OK(weir_run_start(rt, r, NULL));
        usleep(300);
        OK(weir_run_cancel(r));
        int result = weir_run_wait(r, WEIR_FOREVER);
        cr_assert(result == -ECANCELED || result == 0);
    }
    set(&held.ran, 0);
    OK(weir_run_once(rt, r));
    cr_assert_eq(get(&held.ran), 300);
    drop(g, r);
    OK(weir_semaphores_destroy(sems));
    stop(rt);
}

Test(graph, semaphores_of_another_runtime_are_refused)
{
    weir_runtime *rt = start(1), *other = start(1);
    uint32_t one = 1;
    weir_semaphores *sems;
    OK(weir_semaphores_create(other, &one, 1, &sems));
    cr_assert_eq(weir_semaphores_create(rt, &one, 65, &sems), -EINVAL);
    weir_graph *g = graph();
    weir_node_spec s = {.size = sizeof s, .fn = nothing, .semaphores = sems, .permits = 1};
    OK(weir_graph_add_spec(g, &s, NULL));
    weir_run *r = frozen_run(g, 0);
    cr_assert_eq(weir_run_once(rt, r), -EXDEV);
    OK(weir_run_once(other, r));
    drop(g, r);
    OK(weir_semaphores_destroy(sems));
    stop(rt);
    stop(other);
}

/* --- ends ----------------------------------------------------------------------------------------------------- */

Test(graph, the_first_error_stops_the_run_and_is_reported_with_its_node)
{
    weir_runtime *rt = start(2);
    weir_graph *g = graph();
    weir_atomic_u32 before = {0}, after = {0};
    weir_run_report report;
    weir_node a = node(g, count, &before), b = named(g, "bad", WEIR_NODE_PLAIN, fails, NULL), c = node(g, count, &after);
    OK(weir_graph_precede(g, a, b));
    OK(weir_graph_precede(g, b, c));
    weir_run *r = frozen_run(g, 0);
    for (uint32_t i = 1; i <= 3; i++) {
        cr_assert_eq(weir_run_n(rt, r, 5), -EIO);
        OK(weir_run_read(r, &report));
        cr_assert(report.error == -EIO && report.node.index == b.index && report.times == 0);
        cr_assert_str_eq(report.name, "bad");
        cr_assert_eq(get(&before), i);
    }
    cr_assert_eq(get(&after), 0);
    drop(g, r);
    stop(rt);
}

static bool ten_times(void *arg)
{
    return add(arg, 1) == 10;
}

Test(graph, a_run_repeats_until_it_is_told_that_it_was_the_last)
{
    weir_runtime *rt = start(2);
    weir_graph *g = graph();
    weir_atomic_u32 ran = {0}, asked = {0};
    weir_run_report report;
    node(g, count, &ran);
    weir_run *r = frozen_run(g, 0);
    OK(weir_run_until(rt, r, ten_times, &asked));
    cr_assert_eq(get(&ran), 10);
    OK(weir_run_n(rt, r, 7));
    cr_assert_eq(get(&ran), 17);
    OK(weir_run_read(r, &report));
    cr_assert_eq(report.times, 7);
    drop(g, r);
    stop(rt);
}

static int sleep_a_little(weir_worker *w, void *arg)
{
    (void)w;
    usleep(2000);
    add(arg, 1);
    return 0;
}

static weir_graph *slow_chain(weir_atomic_u32 *ran, uint32_t n)
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

Test(graph, nothing_begins_after_the_deadline)
{
    weir_runtime *rt = start(1);
    weir_atomic_u32 ran = {0};
    weir_graph *g = slow_chain(&ran, 1000);
    weir_run *r = frozen_run(g, 0);
    weir_run_how how = WEIR_RUN_HOW;
    how.deadline = in_ms(30);
    cr_assert_eq(weir_run_to_end(rt, r, &how), -ETIMEDOUT);
    cr_assert(get(&ran) >= 1 && get(&ran) < 1000);
    weir_run_report report;
    OK(weir_run_read(r, &report));
    cr_assert_eq(report.node.graph, 0);
    drop(g, r);
    stop(rt);
}

Test(graph, cancel_stops_what_has_not_begun_and_the_run_works_again)
{
    weir_runtime *rt = start(2);
    weir_atomic_u32 ran = {0};
    weir_graph *g = slow_chain(&ran, 1000);
    weir_run *r = frozen_run(g, 0);
    OK(weir_run_start(rt, r, NULL));
    cr_assert_eq(weir_run_start(rt, r, NULL), -EBUSY);
    cr_assert_eq(weir_run_destroy(r), -EBUSY);
    cr_assert_eq(weir_run_wait(r, in_ms(1)), -EAGAIN);
    cr_assert(reaches(&ran, 3));
    OK(weir_run_cancel(r));
    cr_assert(weir_run_stopped(r));
    cr_assert_eq(weir_run_wait(r, WEIR_FOREVER), -ECANCELED);
    cr_assert_lt(get(&ran), 1000);
    drop(g, r);
    stop(rt);
}

struct told {
    weir_task task;
    weir_atomic_u32 ran;
};

static weir_task *tell(weir_worker *w, weir_task *t)
{
    (void)w;
    add(&((struct told *)t)->ran, 1);
    return NULL;
}

Test(graph, the_end_of_a_run_is_told_by_eventfd_and_continuation)
{
    weir_runtime *rt = start(2);
    weir_atomic_u32 ran = {0};
    weir_graph *g = slow_chain(&ran, 2);
    weir_run *r = frozen_run(g, 0);
    struct told told = {.ran = {0}};
    eventfd_t value = 0;
    weir_run_how how = WEIR_RUN_HOW;
    how.eventfd = eventfd(0, 0);
    how.then = &told.task;
    how.times = 3;
    weir_continuation_init(&told.task, tell, 1);
    OK(weir_run_start(rt, r, &how));
    OK(eventfd_read(how.eventfd, &value));
    cr_assert_eq(value, 1);
    cr_assert(reaches(&told.ran, 1));
    cr_assert_eq(get(&ran), 6);
    OK(weir_run_wait(r, WEIR_FOREVER));
    weir_task_init(&told.task, tell);
    OK(weir_run_to_end(rt, r, &how));
    cr_assert(reaches(&told.ran, 2));
    close(how.eventfd);
    drop(g, r);
    stop(rt);
}

Test(graph, runs_overlap_on_one_runtime_and_on_several)
{
    enum { RUNS = 8 };
    weir_runtime *rt[2] = {start(2), start(2)};
    weir_graph *g = graph();
    weir_atomic_u32 ran = {0};
    weir_node last = node(g, count, &ran), first = node(g, count, &ran);
    for (int i = 0; i < 500; i++) {
        weir_node n = node(g, count, &ran);
        OK(weir_graph_precede(g, first, n));
        OK(weir_graph_precede(g, n, last));
    }
    weir_run *r[RUNS];
    r[0] = frozen_run(g, 0);
    for (int i = 1; i < RUNS; i++)
        OK(weir_run_create(g, 0, &r[i]));
    weir_run_how how = WEIR_RUN_HOW;
    how.times = 20;
    for (int i = 0; i < RUNS; i++)
        OK(weir_run_start(rt[i % 2], r[i], &how));
    for (int i = 0; i < RUNS; i++)
        OK(weir_run_wait(r[i], WEIR_FOREVER));
    cr_assert_eq(get(&ran), 502 * 20 * RUNS);
    for (int i = 1; i < RUNS; i++)
        OK(weir_run_destroy(r[i]));
    drop(g, r[0]);
    stop(rt[0]);
    stop(rt[1]);
}

Test(graph, a_stop_that_discards_ends_the_run)
{
    weir_runtime *rt = start(2);
    weir_atomic_u32 ran = {0};
    weir_graph *g = slow_chain(&ran, 1000);
    weir_run *r = frozen_run(g, 0);
    OK(weir_run_start(rt, r, NULL));
    cr_assert(reaches(&ran, 2));
    OK(weir_stop(rt, WEIR_DISCARD, WEIR_FOREVER));
    cr_assert_eq(weir_run_wait(r, WEIR_FOREVER), -ECANCELED);
    cr_assert_eq(weir_run_once(rt, r), -ESHUTDOWN);
    drop(g, r);
}

Test(graph, dot_shows_names_kinds_and_times)
{
    weir_runtime *rt = start(1);
    weir_graph *g = graph();
    weir_atomic_u32 ran = {0};
    char *text = NULL;
    size_t size = 0;
    uint64_t times = 0;
    weir_node a = named(g, "say \"a\"", WEIR_NODE_PLAIN, sleep_a_little, &ran),
              c = named(g, "choice", WEIR_NODE_CONDITION, second_of_two, NULL), end = node(g, nothing, NULL);
    OK(weir_graph_precede(g, a, c));
    OK(weir_graph_precede(g, c, end));
    cr_assert_eq(weir_graph_dot(g, NULL, stdout), -EPERM);
    weir_run *r = frozen_run(g, WEIR_RUN_TIMED);
    OK(weir_run_n(rt, r, 3));
    cr_assert_gt(weir_run_time(r, a, &times), 3 * NS_PER_MS);
    cr_assert_eq(times, 3);
    FILE *out = open_memstream(&text, &size);
    OK(weir_graph_dot(g, r, out));
    fclose(out);
    cr_assert_not_null(strstr(text, "say \\\"a\\\"\\n"));
    cr_assert_not_null(strstr(text, "shape=diamond, label=\"choice"));
    cr_assert_not_null(strstr(text, "[style=dashed, label=\"0\"]"));
    free(text);
    drop(g, r);
    stop(rt);
}

/* --- a run that is waited for by the only worker there is ----------------------------------------------------------- */

static weir_task from_outside;
static weir_runtime *only;

static weir_task *nothing_to_do(weir_worker *w, weir_task *t)
{
    (void)w, (void)t;
    return NULL;
}

static void *submits(void *arg)
{
    (void)arg;
    weir_task_init(&from_outside, nothing_to_do);
    return (void *)(intptr_t)weir_submit(only, &from_outside, WEIR_BLOCK, WEIR_FOREVER);
}

static int beside_a_submit;

static void run_beside_a_submit(weir_worker *w, void *run)
{
    pthread_t other;
    void *r = NULL;
    (void)w;
    if (pthread_create(&other, NULL, submits, NULL) != 0 || pthread_join(other, &r) != 0 || r != NULL)
        beside_a_submit = -EAGAIN;
    else
        beside_a_submit = weir_run_n(only, run, 3);
}

Test(graph, a_run_on_a_worker_ends_although_outside_work_waits)
{
    weir_atomic_u32 visits = {0};
    weir_graph *g = graph();
    weir_node n[500];
    only = start(1);
    for (int i = 0; i < 500; i++) {
        n[i] = node(g, count, &visits);
        if (i > 0)
            OK(weir_graph_precede(g, n[i - 1], n[i]));
    }
    weir_run *run = frozen_run(g, 0);
    OK(weir_call(only, run_beside_a_submit, run));
    OK(beside_a_submit);
    cr_assert_eq(get(&visits), 1500);
    drop(g, run);
    stop(only);
}
