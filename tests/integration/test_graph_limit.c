/* SPDX-License-Identifier: MIT
 *
 * test_graph_limit.c - what must hold for nodes that hold semaphores and for nodes that are pinned to a worker.
 */
#include "graph_support.h"

TestSuite(graph_limit, .timeout = 100);

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

Test(graph_limit, semaphores_bound_overlapping_runs_and_never_lock_up)
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

Test(graph_limit, a_run_that_is_cancelled_gives_its_permits_back)
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

/* Runs of it wait within while they hold: of sets that were made in the wrong order, crosswise and for ever. */
Test(graph_limit, graphs_hold_permits_while_their_nodes_ask_in_the_order_of_sets_only)
{
    enum { RUNS = 3, TIMES = 50 };
    weir_runtime *rt = start(2);
    uint32_t one = 1;
    weir_atomic_u32 ran = {0};
    weir_semaphores *older, *set, *newer;
    OK(weir_semaphores_create(rt, &one, 1, &older));
    OK(weir_semaphores_create(rt, &one, 1, &set));
    OK(weir_semaphores_create(rt, &one, 1, &newer));
    weir_graph *asks = graph(), *between = graph(), *plain = graph(), *g = graph();
    weir_node_spec node_that_asks = {.size = sizeof(weir_node_spec), .fn = count, .arg = &ran, .semaphores = newer,
                                     .permits = 1};
    weir_node_spec s = {.size = sizeof s, .kind = WEIR_NODE_GRAPH, .graph = asks};
    OK(weir_graph_add_spec(asks, &node_that_asks, NULL));
    node_that_asks.semaphores = set;
    OK(weir_graph_add_spec(asks, &node_that_asks, NULL));
    OK(weir_graph_freeze(asks, NULL));
    OK(weir_graph_add_spec(between, &s, NULL));
    OK(weir_graph_freeze(between, NULL));
    node(plain, count, &ran);
    OK(weir_graph_freeze(plain, NULL));
    for (int depth = 1; depth <= 2; depth++) {
        s.graph = depth == 1 ? asks : between;
        s.permits = 1;
        s.semaphores = newer;
        cr_assert_eq(weir_graph_add_spec(g, &s, NULL), -EDEADLK, "made after one that is asked for");
        s.semaphores = set;
        cr_assert_eq(weir_graph_add_spec(g, &s, NULL), -EDEADLK, "the same");
        s.semaphores = older;
        OK(weir_graph_add_spec(g, &s, NULL));
    }
    s.graph = plain;
    s.semaphores = newer;
    OK(weir_graph_add_spec(g, &s, NULL));
    cr_assert_eq(weir_graph_node_count(g), 3);
    weir_run *r[RUNS] = {frozen_run(g, 0)};
    weir_run_how how = WEIR_RUN_HOW;
    how.times = TIMES;
    for (int i = 1; i < RUNS; i++)
        OK(weir_run_create(g, 0, &r[i]));
    for (int i = 0; i < RUNS; i++)
        OK(weir_run_start(rt, r[i], &how));
    for (int i = 0; i < RUNS; i++)
        OK(weir_run_wait(r[i], WEIR_FOREVER));
    cr_assert_eq(get(&ran), RUNS * TIMES * (2 + 2 + 1));
    for (int i = 1; i < RUNS; i++)
        OK(weir_run_destroy(r[i]));
    drop(g, r[0]);
    drop(between, NULL);
    drop(asks, NULL);
    drop(plain, NULL);
    OK(weir_semaphores_destroy(older));
    OK(weir_semaphores_destroy(set));
    OK(weir_semaphores_destroy(newer));
    stop(rt);
}

Test(graph_limit, semaphores_of_another_runtime_are_refused)
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

/* --- pinned nodes ------------------------------------------------------------------------------------------------- */

#define PINNED 600u
#define ON_WORKER(i) ((void *)(uintptr_t)(i))

static weir_atomic_u32 misplaced, visits;

static int must_run_on(weir_worker *w, void *arg)
{
    if (weir_worker_index(w) != (uintptr_t)arg)
        add(&misplaced, 1);
    add(&visits, 1);
    return 0;
}

static int must_spawn_on(weir_worker *w, void *arg, weir_scope *children)
{
    (void)children;
    return must_run_on(w, arg);
}

static int must_choose_on(weir_worker *w, void *arg)
{
    must_run_on(w, arg);
    return 1;
}

static weir_node pinned(weir_graph *g, uint32_t worker, weir_semaphores *set)
{
    weir_node_spec s = {.size = sizeof s, .fn = must_run_on, .arg = ON_WORKER(worker), .flags = WEIR_NODE_PINNED,
                        .worker = worker, .semaphores = set, .permits = set != NULL};
    weir_node n;
    OK(weir_graph_add_spec(g, &s, &n));
    return n;
}

/* Rows of nodes, each after two of the row before; two of three are pinned. */
static weir_graph *pinned_graph(uint32_t workers, weir_semaphores *set)
{
    enum { WIDTH = 20 };
    weir_graph *g = graph();
    weir_node n[PINNED];
    for (uint32_t i = 0; i < PINNED; i++) {
        n[i] = i % 3 == 0 ? node(g, count, &visits) : pinned(g, i % workers, i % 7 == 0 ? set : NULL);
        if (i < WIDTH)
            continue;
        OK(weir_graph_precede(g, n[i - WIDTH], n[i]));
        OK(weir_graph_precede(g, n[i - WIDTH - i % WIDTH + (i + 1) % WIDTH], n[i]));
    }
    return g;
}

Test(graph_limit, pinned_nodes_run_on_their_worker)
{
    enum { RUNS = 3, TIMES = 40 };
    weir_runtime *rt = start(3);
    uint32_t two = 2;
    weir_semaphores *set;
    weir_run *r[RUNS];
    weir_run_how how = WEIR_RUN_HOW;
    OK(weir_semaphores_create(rt, &two, 1, &set));
    weir_graph *g = pinned_graph(3, set);
    r[0] = frozen_run(g, 0);
    OK(weir_run_create(g, WEIR_RUN_TIMED, &r[1]));
    OK(weir_run_create(g, 0, &r[2]));
    how.times = TIMES;
    for (int i = 0; i < RUNS; i++) /* at once */
        OK(weir_run_start(rt, r[i], &how));
    for (int i = 0; i < RUNS; i++)
        OK(weir_run_wait(r[i], WEIR_FOREVER));
    cr_assert_eq(get(&misplaced), 0);
    cr_assert_eq(get(&visits), RUNS * TIMES * PINNED);
    for (int i = 1; i < RUNS; i++)
        OK(weir_run_destroy(r[i]));
    drop(g, r[0]);
    OK(weir_semaphores_destroy(set));
    stop(rt);
}

Test(graph_limit, every_kind_with_a_function_of_its_own_can_be_pinned)
{
    weir_runtime *rt = start(2);
    weir_graph *g = graph(), *outer = graph();
    weir_node_spec s = {.size = sizeof s, .kind = WEIR_NODE_SPAWN, .spawn = must_spawn_on, .arg = ON_WORKER(1),
                        .flags = WEIR_NODE_PINNED, .worker = 1};
    weir_node spawns, chooses;
    OK(weir_graph_add_spec(g, &s, &spawns));
    s = (weir_node_spec){.size = sizeof s, .kind = WEIR_NODE_CONDITION, .fn = must_choose_on, .arg = ON_WORKER(0),
                         .flags = WEIR_NODE_PINNED, .worker = 0};
    OK(weir_graph_add_spec(g, &s, &chooses));
    OK(weir_graph_precede(g, spawns, chooses));
    OK(weir_graph_precede(g, chooses, node(g, fails, NULL)));
    OK(weir_graph_precede(g, chooses, pinned(g, 1, NULL)));
    OK(weir_graph_freeze(g, NULL));
    s = (weir_node_spec){.size = sizeof s, .kind = WEIR_NODE_GRAPH, .graph = g};
    OK(weir_graph_add_spec(outer, &s, NULL));
    weir_run *r = frozen_run(outer, 0);
    OK(weir_run_n(rt, r, 500));
    cr_assert_eq(get(&misplaced), 0);
    cr_assert_eq(get(&visits), 1500);
    drop(outer, r);
    drop(g, NULL);
    stop(rt);
}

/* However many are ready at once: workers that hand them over can't wait for room. */
Test(graph_limit, pinned_nodes_need_no_room_in_a_queue)
{
    weir_config c = config_of(2);
    c.queue_capacity = 1;
    weir_runtime *rt = start_config(&c);
    weir_graph *g = graph();
    weir_node first = pinned(g, 1, NULL);
    for (uint32_t i = 0; i < PINNED; i++)
        OK(weir_graph_precede(g, first, pinned(g, i % 2, NULL)));
    weir_run *r = frozen_run(g, 0);
    OK(weir_run_n(rt, r, 50));
    cr_assert_eq(get(&misplaced), 0);
    cr_assert_eq(get(&visits), 50 * (PINNED + 1));
    drop(g, r);
    stop(rt);
}

Test(graph_limit, a_parked_worker_is_woken_for_a_pinned_node)
{
    weir_config c = config_of(3);
    c.spin_us = 0;
    weir_runtime *rt = start_config(&c);
    weir_graph *g = graph();
    weir_atomic_u32 slept = {0};
    weir_node last = node(g, nothing, NULL);
    for (uint32_t i = 0; i < 60; i++) {
        weir_node pause = node(g, sleep_a_little, &slept), next = pinned(g, i % 3, NULL);
        OK(weir_graph_precede(g, last, pause));
        OK(weir_graph_precede(g, pause, next));
        last = next;
    }
    weir_run *r = frozen_run(g, 0);
    OK(weir_run_once(rt, r));
    cr_assert_eq(get(&misplaced), 0);
    cr_assert_eq(get(&visits), 60);
    drop(g, r);
    stop(rt);
}

Test(graph_limit, a_run_with_pinned_nodes_can_be_cancelled_and_runs_again)
{
    weir_runtime *rt = start(2);
    weir_graph *g = pinned_graph(2, NULL);
    weir_run *r = frozen_run(g, 0);
    weir_run_how how = WEIR_RUN_HOW;
    how.times = UINT64_MAX;
    for (int i = 0; i < 20; i++) {
        OK(weir_run_start(rt, r, &how));
        usleep(200);
        OK(weir_run_cancel(r));
        cr_assert_eq(weir_run_wait(r, WEIR_FOREVER), -ECANCELED);
    }
    set(&visits, 0);
    OK(weir_run_once(rt, r));
    cr_assert_eq(get(&visits), PINNED);
    cr_assert_eq(get(&misplaced), 0);
    OK(weir_run_start(rt, r, &how));
    OK(weir_stop(rt, WEIR_DISCARD, WEIR_FOREVER));
    cr_assert_eq(weir_run_wait(r, WEIR_FOREVER), -ECANCELED);
    drop(g, r);
}

static weir_atomic_u32 on_worker;

static void run_pinned(weir_worker *w, void *run)
{
    set(&on_worker, (uint32_t)-weir_run_once(weir_worker_runtime(w), run));
}

Test(graph_limit, bad_pins_are_refused_and_nothing_changes)
{
    weir_config c = config_of(2);
    c.min_workers = 1;
    weir_runtime *rt = start_config(&c), *wide = start(3);
    weir_graph *g = graph(), *outer = graph();
    weir_node_spec s = {.size = sizeof s, .fn = nothing, .worker = 1};
    cr_assert_eq(weir_graph_add_spec(g, &s, NULL), -EINVAL, "a worker, but not pinned");
    s.flags = 2;
    cr_assert_eq(weir_graph_add_spec(g, &s, NULL), -EINVAL, "no such flag");
    s.flags = WEIR_NODE_PINNED;
    s.worker = WEIR_WORKERS_MAX;
    cr_assert_eq(weir_graph_add_spec(g, &s, NULL), -EINVAL, "no runtime has that worker");
    cr_assert_eq(weir_graph_node_count(g), 0);
    pinned(g, 1, NULL);
    OK(weir_graph_freeze(g, NULL));
    s = (weir_node_spec){.size = sizeof s, .kind = WEIR_NODE_GRAPH, .graph = g, .flags = WEIR_NODE_PINNED};
    cr_assert_eq(weir_graph_add_spec(outer, &s, NULL), -EINVAL, "a graph is nobody's alone");
    s.flags = 0;
    OK(weir_graph_add_spec(outer, &s, NULL));
    weir_run *r = frozen_run(outer, 0);
    cr_assert_eq(weir_run_once(rt, r), -ERANGE, "worker 1 may leave");
    cr_assert_eq(weir_run_start(rt, r, NULL), -ERANGE);
    call(wide, run_pinned, r);
    cr_assert_eq(get(&on_worker), EDEADLK);
    cr_assert_eq(get(&visits), 0);
    OK(weir_run_once(wide, r));
    cr_assert(get(&visits) == 1 && get(&misplaced) == 0);
    drop(outer, r);
    drop(g, NULL);
    stop(rt);
    stop(wide);
}
