/* SPDX-License-Identifier: MIT
 *
 * test_fault_par.c - what must hold for algorithms, graphs and flows when memory runs out: a clean error and nothing
 * changed, or they do without.
 *
 * The faults exist in builds with -Dfault_injection=true only; elsewhere these tests are skipped.
 */
#include "fault_support.h"

TestSuite(fault_par, .timeout = 100);

/* --- algorithms ------------------------------------------------------------------------------------------------- */

#define ELEMENTS 30000u /* their buffers are too small to wait for the next call (sync/stock.h) */

static int compare_longs(const void *a, const void *b, void *arg)
{
    long x = *(const long *)a, y = *(const long *)b;
    (void)arg;
    return x < y ? -1 : x > y;
}

static bool is_even(const void *element, void *arg)
{
    (void)arg;
    return *(const long *)element % 2 == 0;
}

static long plus(long a, long b)
{
    return a + b;
}
WEIR_SCANNABLE(sums, long, 0, plus);

static bool is_falling(const long *x)
{
    for (size_t i = 0; i < ELEMENTS; i++)
        if (x[i] != (long)(ELEMENTS - i))
            return false;
    return true;
}

Test(fault_par, algorithms_without_memory_change_nothing_or_do_without)
{
    need_faults();
    weir_runtime *rt = start(2);
    weir_algo_options stable = {.rt = rt, .flags = WEIR_ALGO_STABLE}, o = {.rt = rt};
    long *x = malloc(ELEMENTS * sizeof *x), *out = malloc(ELEMENTS * sizeof *out), sum = 0;
    size_t count = 42;
    for (size_t i = 0; i < ELEMENTS; i++)
        x[i] = (long)(ELEMENTS - i);
    arm_always(OS_FAULT_ALLOC);
    cr_assert_eq(weir_sort(NULL, &stable, x, ELEMENTS, sizeof *x, compare_longs, NULL), -ENOMEM);
    cr_assert(is_falling(x));
    cr_assert_eq(weir_partition(NULL, &o, x, ELEMENTS, sizeof *x, is_even, NULL, &count), -ENOMEM);
    cr_assert_eq(weir_filter(NULL, &o, x, ELEMENTS, sizeof *x, is_even, NULL, out, &count), -ENOMEM);
    cr_assert(is_falling(x));
    cr_assert_eq(count, 42);
    cr_assert_eq(sums_inclusive(NULL, &o, x, out, ELEMENTS), 0, "a scan goes on alone");
    for (size_t i = 0; i < ELEMENTS; i++)
        cr_assert_eq(out[i], sum += x[i]);
    cr_assert_eq(weir_sort(NULL, &o, x, ELEMENTS, sizeof *x, compare_longs, NULL), 0, "in place, no memory is needed");
    disarm(OS_FAULT_ALLOC);
    for (size_t i = 0; i < ELEMENTS; i++)
        cr_assert_eq(x[i], (long)i + 1);
    for (uint64_t nth = 1; nth <= 3; nth++) { /* the marks, the counts, the buffer */
        arm(OS_FAULT_ALLOC, nth);
        cr_assert_eq(weir_partition(NULL, &o, x, ELEMENTS, sizeof *x, is_even, NULL, &count), -ENOMEM);
        disarm(OS_FAULT_ALLOC);
    }
    cr_assert_eq(weir_partition(NULL, &o, x, ELEMENTS, sizeof *x, is_even, NULL, &count), 0);
    cr_assert_eq(count, ELEMENTS / 2);
    free(x);
    free(out);
    stop(rt);
}

/* --- graphs ------------------------------------------------------------------------------------------------------ */

static int count_node(weir_worker *w, void *arg)
{
    (void)w;
    add(arg, 1);
    return 0;
}

/* Builds backwards, so that freezing has to sort, or forwards, so that it lays out in place; a call that fails is made
 * once more. */
static weir_run *build_with_faults(weir_graph *g, weir_atomic_u32 *visits, uint32_t n, bool forward, bool *failed)
{
    weir_node *node = calloc(n, sizeof *node);
    weir_run *run = NULL;
    int r;
    for (uint32_t i = 0; i < n; i++) {
        weir_node_spec s = {.size = sizeof s, .fn = count_node, .arg = visits, .name = "node"};
        while ((r = weir_graph_add_spec(g, &s, &node[i])) == -ENOMEM) {
            *failed = true;
            cr_assert_eq(weir_graph_node_count(g), i);
        }
        cr_assert_eq(r, 0);
    }
    uint32_t edges = 0;
    for (uint32_t i = 1; i < n; i++) {
        for (uint32_t to = forward ? i : i - 1; to <= (forward ? i + 1 : i - 1) && to < n; to++, edges++) {
            while ((r = weir_graph_precede(g, node[forward ? i - 1 : i], node[to])) == -ENOMEM) {
                *failed = true;
                cr_assert_eq(weir_graph_edge_count(g), edges);
            }
            cr_assert_eq(r, 0);
        }
    }
    while ((r = weir_graph_freeze(g, NULL)) == -ENOMEM)
        *failed = true;
    cr_assert_eq(r, 0);
    while ((r = weir_run_create(g, WEIR_RUN_TIMED, &run)) == -ENOMEM)
        *failed = true;
    cr_assert_eq(r, 0);
    free(node);
    return run;
}

static void build_as_long_as_it_fails(bool forward)
{
    weir_runtime *rt = start(2);
    bool failed = true;
    uint64_t nth = 1;
    for (; failed; nth++) {
        weir_graph *g = NULL;
        weir_atomic_u32 visits = {0};
        failed = false;
        cr_assert_eq(weir_graph_create(&g), 0);
        arm(OS_FAULT_ALLOC, nth);
        weir_run *run = build_with_faults(g, &visits, 300, forward, &failed);
        disarm(OS_FAULT_ALLOC);
        cr_assert_eq(weir_run_once(rt, run), 0);
        cr_assert_eq(get(&visits), 300);
        cr_assert_eq(weir_run_destroy(run), 0);
        cr_assert_eq(weir_graph_destroy(g), 0);
    }
    cr_assert_gt(nth, 10);
    stop(rt);
}

Test(fault_par, a_graph_that_could_not_allocate_is_as_it_was)
{
    need_faults();
    build_as_long_as_it_fails(false);
    build_as_long_as_it_fails(true);
}

/* Each task reads what all writers before it have left. */
static void flow_with_faults(weir_runtime *rt, bool *failed)
{
    enum { WRITERS = 40 };
    static char datum[2000];
    weir_dep deps[WRITERS];
    weir_atomic_u32 visits = {0};
    weir_flow *f = NULL;
    uint32_t tasks = 0;
    int r;
    while ((r = weir_flow_create(rt, 100, &f)) == -ENOMEM)
        *failed = true;
    cr_assert_eq(r, 0);
    for (uint32_t i = 0; i < sizeof datum; i++, tasks++) {
        uint32_t n = i % WRITERS == 0 && i != 0 ? WRITERS : 1;
        for (uint32_t k = 0; k < n; k++)
            deps[k] = (weir_dep){&datum[n == 1 ? i : i - 1 - k], n == 1 ? WEIR_OUT : WEIR_IN};
        while ((r = weir_flow_add(f, count_node, &visits, deps, n, WEIR_FOREVER)) == -ENOMEM)
            *failed = true;
        cr_assert_eq(r, 0);
    }
    cr_assert_eq(weir_flow_destroy(f), 0);
    cr_assert_eq(get(&visits), tasks);
}

Test(fault_par, a_flow_without_memory_refuses_a_task_and_takes_it_later)
{
    need_faults();
    weir_runtime *rt = start(2);
    bool failed = true;
    uint64_t nth = 1;
    for (; failed; nth++) {
        failed = false;
        arm(OS_FAULT_ALLOC, nth);
        flow_with_faults(rt, &failed);
        disarm(OS_FAULT_ALLOC);
    }
    cr_assert_gt(nth, 6);
    stop(rt);
}

static int count_as_parent(weir_worker *w, void *arg, weir_scope *children)
{
    (void)children;
    return count_node(w, arg);
}

static int chooses_first(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    return 0;
}

/* A node of each kind, and plain ones enough for the pool to have grown to what it stays at. */
static weir_graph *every_kind(weir_graph *inner, weir_semaphores *set, weir_atomic_u32 *visits)
{
    enum { PLAIN = 300 };
    weir_graph *g = NULL;
    weir_node first, choice, n;
    const weir_node_spec specs[] = {
        {.size = sizeof(weir_node_spec), .kind = WEIR_NODE_SPAWN, .spawn = count_as_parent, .arg = visits},
        {.size = sizeof(weir_node_spec), .kind = WEIR_NODE_GRAPH, .graph = inner},
        {.size = sizeof(weir_node_spec), .fn = count_node, .arg = visits, .semaphores = set, .permits = 1},
        {.size = sizeof(weir_node_spec), .fn = count_node, .arg = visits, .flags = WEIR_NODE_PINNED},
        {.size = sizeof(weir_node_spec), .fn = count_node, .arg = visits, .name = "named", .priority = 2}};
    weir_node_spec condition = {.size = sizeof condition, .kind = WEIR_NODE_CONDITION, .fn = chooses_first};
    cr_assert_eq(weir_graph_create(&g), 0);
    cr_assert_eq(weir_graph_add(g, count_node, visits, &first), 0);
    for (int i = 0; i < PLAIN; i++) {
        cr_assert_eq(weir_graph_add(g, count_node, visits, &n), 0);
        cr_assert_eq(weir_graph_precede(g, first, n), 0);
    }
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        cr_assert_eq(weir_graph_add_spec(g, &specs[i], &n), 0);
        cr_assert_eq(weir_graph_precede(g, first, n), 0);
    }
    cr_assert_eq(weir_graph_add_spec(g, &condition, &choice), 0);
    cr_assert_eq(weir_graph_precede(g, n, choice), 0);
    cr_assert_eq(weir_graph_add(g, count_node, visits, &n), 0);
    cr_assert_eq(weir_graph_precede(g, choice, n), 0);
    return g;
}

Test(fault_par, a_graph_of_every_kind_runs_again_without_allocating)
{
    need_faults();
    weir_runtime *rt = start(1);
    weir_graph *inner = NULL;
    weir_run *run = NULL;
    weir_semaphores *set = NULL;
    weir_atomic_u32 visits = {0};
    uint32_t one = 1;
    cr_assert_eq(weir_semaphores_create(rt, &one, 1, &set), 0);
    cr_assert_eq(weir_graph_create(&inner), 0);
    cr_assert_eq(weir_graph_add(inner, count_node, &visits, NULL), 0);
    cr_assert_eq(weir_graph_freeze(inner, NULL), 0);
    weir_graph *g = every_kind(inner, set, &visits);
    cr_assert_eq(weir_graph_freeze(g, NULL), 0);
    cr_assert_eq(weir_run_create(g, 0, &run), 0);
    cr_assert_eq(weir_run_n(rt, run, 2), 0);
    uint32_t per_run = get(&visits) / 2;
    uint64_t allocated = count_of(OS_FAULT_ALLOC);
    cr_assert_eq(weir_run_n(rt, run, 50), 0);
    for (int i = 0; i < 50; i++)
        cr_assert_eq(weir_run_once(rt, run), 0);
    cr_assert_eq(count_of(OS_FAULT_ALLOC), allocated);
    cr_assert_eq(get(&visits), 102 * per_run);
    cr_assert_eq(weir_run_destroy(run), 0);
    cr_assert_eq(weir_graph_destroy(g), 0);
    cr_assert_eq(weir_graph_destroy(inner), 0);
    cr_assert_eq(weir_semaphores_destroy(set), 0);
    stop(rt);
}

/* Without memory for what is pushed, the nodes wait in the strand. */
Test(fault_par, a_graph_runs_without_any_memory)
{
    need_faults();
    weir_runtime *rt = start(2);
    weir_graph *g = NULL;
    weir_run *run = NULL;
    weir_atomic_u32 visits = {0};
    weir_node first, last, n;
    cr_assert_eq(weir_graph_create(&g), 0);
    cr_assert_eq(weir_graph_add(g, count_node, &visits, &first), 0);
    cr_assert_eq(weir_graph_add(g, count_node, &visits, &last), 0);
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(weir_graph_add(g, count_node, &visits, &n), 0);
        cr_assert_eq(weir_graph_precede(g, first, n), 0);
        cr_assert_eq(weir_graph_precede(g, n, last), 0);
    }
    cr_assert_eq(weir_graph_freeze(g, NULL), 0);
    cr_assert_eq(weir_run_create(g, 0, &run), 0);
    arm_always(OS_FAULT_ALLOC);
    int r = weir_run_n(rt, run, 3);
    disarm(OS_FAULT_ALLOC);
    cr_assert_eq(r, 0);
    cr_assert_eq(get(&visits), 3 * 1002);
    cr_assert_eq(weir_run_destroy(run), 0);
    cr_assert_eq(weir_graph_destroy(g), 0);
    stop(rt);
}

/* --- the same, with what a worker's pool has left gone on the way ------------------------------------------------- */

#define HOARD_MAX 10000u
#define RANGE_PAYLOAD 16u /* bytes: a pooled task with it is as large as what a graph pushes */

static weir_task *hoard[HOARD_MAX];
static unsigned hoarded;
static weir_runtime *hoarder;
static weir_task guest_task;

static void *submit_one(void *arg)
{
    (void)arg;
    weir_task_init(&guest_task, count_one);
    return (void *)(intptr_t)weir_submit(hoarder, &guest_task, WEIR_BLOCK, WEIR_FOREVER);
}

/* Takes all that is left, and leaves a task in the injector. */
static int take_all(weir_worker *w, void *arg)
{
    pthread_t other;
    (void)arg;
    if (pthread_create(&other, NULL, submit_one, NULL) != 0 || pthread_join(other, NULL) != 0)
        return -EAGAIN;
    arm_always(OS_FAULT_ALLOC);
    while (hoarded < HOARD_MAX && weir_task_new(w, count_one, RANGE_PAYLOAD, &hoard[hoarded]) == 0)
        hoarded++;
    return 0;
}

static void give_hoard_back(void)
{
    disarm(OS_FAULT_ALLOC);
    while (hoarded > 0)
        weir_task_free(hoard[--hoarded]);
}

/* first -> many -> two each -> last: the strand goes back to the scheduler while nodes are set aside. */
Test(fault_par, a_graph_that_runs_out_of_memory_leaves_nothing_out)
{
    enum { WIDTH = 200 };
    need_faults();
    hoarder = start(1);
    weir_graph *g = NULL;
    weir_run *run = NULL;
    weir_atomic_u32 visits = {0}, ends = {0};
    weir_node first, last, n, leaf;
    cr_assert_eq(weir_graph_create(&g), 0);
    cr_assert_eq(weir_graph_add(g, take_all, NULL, &first), 0);
    cr_assert_eq(weir_graph_add(g, count_node, &ends, &last), 0);
    for (int i = 0; i < WIDTH; i++) {
        cr_assert_eq(weir_graph_add(g, count_node, &visits, &n), 0);
        cr_assert_eq(weir_graph_precede(g, first, n), 0);
        for (int k = 0; k < 2; k++) {
            cr_assert_eq(weir_graph_add(g, count_node, &visits, &leaf), 0);
            cr_assert_eq(weir_graph_precede(g, n, leaf), 0);
            cr_assert_eq(weir_graph_precede(g, leaf, last), 0);
        }
    }
    cr_assert_eq(weir_graph_freeze(g, NULL), 0);
    cr_assert_eq(weir_run_create(g, 0, &run), 0);
    int r = weir_run_once(hoarder, run);
    give_hoard_back();
    cr_assert_eq(r, 0);
    cr_assert_eq(get(&visits), 3 * WIDTH);
    cr_assert_eq(get(&ends), 1);
    cr_assert_eq(weir_run_destroy(run), 0);
    cr_assert_eq(weir_graph_destroy(g), 0);
    stop(hoarder);
}

static int first_three(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    return 7;
}

/* What a multi-condition chooses is pushed; a node that is chosen twice can't wait in the strand twice. */
Test(fault_par, a_choice_without_memory_is_an_error)
{
    need_faults();
    hoarder = start(1);
    weir_graph *g = NULL;
    weir_run *run = NULL;
    weir_atomic_u32 visits = {0};
    weir_node first, choice, n;
    weir_node_spec s = {.size = sizeof s, .kind = WEIR_NODE_MULTI, .fn = first_three};
    cr_assert_eq(weir_graph_create(&g), 0);
    cr_assert_eq(weir_graph_add(g, take_all, NULL, &first), 0);
    cr_assert_eq(weir_graph_add_spec(g, &s, &choice), 0);
    cr_assert_eq(weir_graph_add(g, count_node, &visits, &n), 0);
    cr_assert_eq(weir_graph_precede(g, first, choice), 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(weir_graph_precede(g, choice, n), 0);
    cr_assert_eq(weir_graph_freeze(g, NULL), 0);
    cr_assert_eq(weir_run_create(g, 0, &run), 0);
    int r = weir_run_once(hoarder, run);
    give_hoard_back();
    cr_assert_eq(r, -ENOMEM);
    cr_assert_leq(get(&visits), 3);
    cr_assert_eq(weir_run_destroy(run), 0);
    cr_assert_eq(weir_graph_destroy(g), 0);
    stop(hoarder);
}
