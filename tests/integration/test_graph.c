/* SPDX-License-Identifier: MIT
 *
 * test_graph.c - what must hold for task graphs: each node once, order, depth, kinds of nodes.
 */
#include "graph_support.h"

TestSuite(graph, .timeout = 100);

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

static void ordered_edge(weir_graph *g, const weir_node *n, uint32_t from, uint32_t to)
{
    OK(weir_graph_precede(g, n[from], n[to]));
    order.before[order.n_before][0] = from;
    order.before[order.n_before++][1] = to;
}

/* Up to `most` later nodes; `turn`: the row's targets rise, fall, or rise after the last one. */
static void ordered_row(weir_graph *g, const weir_node *n, uint32_t from, uint32_t most, int turn, unsigned *seed)
{
    uint32_t row[20], length = 0;
    for (uint32_t to = from + 1; to < NODES && length < most; to += 1 + (uint32_t)rand_r(seed) % 40)
        row[length++] = to;
    for (uint32_t k = 0; k < length && order.n_before < NODES * 7; k++)
        ordered_edge(g, n, from, turn == 0 ? row[k] : turn == 1 ? row[length - 1 - k] : row[(k + length - 1) % length]);
}

enum row_order {
    ROWS_RISE, ROWS_FALL, ROWS_TURNED, /* row by row */
    HUB_BEFORE,  /* the rows, and before some of them an edge from the hub to their node */
    HUB_FALLS,   /* the same with rows that fall */
    HUB_BEHIND,  /* after some of them */
    HUB_BETWEEN, /* between any two rows, which are in another order */
    ROW_ORDERS
};

/* Rows of 0 to 20 later nodes, most of them short. The hub has nodes before it that nothing leads from. */
static void graph_by_rows(weir_graph *g, unsigned seed, enum row_order kind, weir_node *n)
{
    uint32_t hub = seed % 3;
    order.n_before = 0;
    memset(order.times, 0, sizeof order.times);
    for (uint32_t i = 0; i < NODES; i++)
        n[i] = node(g, ordered, &order.ended[i]);
    if (kind >= HUB_BEFORE)
        ordered_edge(g, n, hub, hub + 1);
    for (uint32_t i = kind >= HUB_BEFORE ? hub + 1 : 0; i + 1 < NODES; i++) {
        uint32_t at = kind == HUB_BETWEEN && (i ^ 1) > hub && (i ^ 1) + 1 < NODES ? i ^ 1 : i;
        uint32_t most = (uint32_t)rand_r(&seed) % 4 != 0 ? 2 : 20;
        bool of_hub = kind >= HUB_BEFORE && i > hub + 1 && (kind == HUB_BETWEEN || rand_r(&seed) % 2 == 0);
        uint32_t to = kind == HUB_BETWEEN ? i + 2 : i;
        if (of_hub && kind != HUB_BEHIND && to < NODES)
            ordered_edge(g, n, hub, to);
        ordered_row(g, n, at, most, kind == HUB_FALLS ? 1 : kind < HUB_BEFORE ? (int)kind : 0, &seed);
        if (of_hub && kind == HUB_BEHIND)
            ordered_edge(g, n, hub, i);
    }
}

Test(graph, rows_in_whatever_order_make_the_same_graph)
{
    weir_node n[NODES], found[2];
    weir_runtime *rt = start(2);
    for (unsigned seed = 1; seed <= 30; seed++) {
        for (enum row_order kind = 0; kind < ROW_ORDERS; kind++) {
            weir_graph *g = graph();
            graph_by_rows(g, seed, kind, n);
            weir_run *r = frozen_run(g, 0);
            for (uint32_t times = 1; times <= 3; times++) {
                OK(weir_run_once(rt, r));
                for (uint32_t i = 0; i < NODES; i++)
                    cr_assert_eq(order.times[i], times, "node %u of seed %u, kind %d", i, seed, (int)kind);
                for (uint32_t i = 0; i < order.n_before; i++)
                    cr_assert_lt(order.ended[order.before[i][0]], order.ended[order.before[i][1]]);
            }
            drop(g, r);
        }
    }
    stop(rt);
    /* A double in the last row: what was laid out until then is taken back. */
    for (enum row_order kind = 0; kind < ROW_ORDERS; kind++) {
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

Test(graph, a_condition_that_chooses_nobody_ends_its_path_and_one_that_fails_the_run)
{
    weir_runtime *rt = start(2);
    weir_graph *g = graph();
    weir_atomic_u32 choice = {0}, ran = {0}, beside = {0};
    weir_run_report report;
    weir_node c = named(g, "one", WEIR_NODE_CONDITION, chooses, &choice),
              m = named(g, "some", WEIR_NODE_MULTI, chooses, &choice);
    for (int i = 0; i < 2; i++) {
        weir_node n = node(g, count, &ran);
        OK(weir_graph_precede(g, i == 0 ? c : m, n));
        OK(weir_graph_precede(g, n, node(g, count, &ran)));
    }
    node(g, count, &beside);
    weir_run *r = frozen_run(g, 0);
    const uint32_t nobody[] = {4, 1u << 30, 6}; /* for the one: beyond the end; for the other: other bits */
    for (uint32_t i = 0; i < 3; i++) {
        set(&choice, nobody[i]);
        OK(weir_run_once(rt, r));
        cr_assert_eq(get(&ran), 0);
        cr_assert_eq(get(&beside), i + 1);
    }
    set(&choice, (uint32_t)-ERANGE);
    cr_assert_eq(weir_run_once(rt, r), -ERANGE);
    OK(weir_run_read(r, &report));
    cr_assert(report.node.index == c.index || report.node.index == m.index);
    cr_assert_eq(get(&ran), 0);
    set(&choice, 0);
    OK(weir_run_once(rt, r));
    cr_assert_eq(get(&ran), 2, "the first one's path, and nobody of the other's");
    drop(g, r);
    stop(rt);
}

Test(graph, a_loop_without_end_is_ended_by_a_cancel)
{
    weir_runtime *rt = start(2);
    weir_graph *g = graph();
    weir_atomic_u32 rounds = {0}, first = {0};
    weir_node begin = node(g, nothing, NULL), body = node(g, count, &rounds),
              again = named(g, "again", WEIR_NODE_CONDITION, chooses, &first);
    OK(weir_graph_precede(g, begin, body));
    OK(weir_graph_precede(g, body, again));
    OK(weir_graph_precede(g, again, body));
    weir_run *r = frozen_run(g, 0);
    for (int i = 0; i < 5; i++) {
        set(&rounds, 0);
        OK(weir_run_start(rt, r, NULL));
        cr_assert(reaches(&rounds, 100));
        OK(weir_run_cancel(r));
        cr_assert_eq(weir_run_wait(r, WEIR_FOREVER), -ECANCELED);
    }
    drop(g, r);
    stop(rt);
}
