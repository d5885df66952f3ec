/* SPDX-License-Identifier: MIT
 *
 * test_fault.c - what must hold when memory or threads run out: a clean error, nothing left, what runs goes on.
 *
 * The faults exist in builds with -Dfault_injection=true only; elsewhere these tests are skipped.
 */
#include "os/os_fault.h"
#include "support.h"

TestSuite(fault, .timeout = 100);

#ifdef WEIR_FAULT_INJECTION
static void arm(enum os_fault_kind kind, uint64_t nth)
{
    os_fault_arm(kind, nth);
}

static void arm_always(enum os_fault_kind kind)
{
    os_fault_arm_always(kind);
}

static void disarm(enum os_fault_kind kind)
{
    os_fault_disarm(kind);
}

static uint64_t count_of(enum os_fault_kind kind)
{
    return os_fault_count(kind);
}

static void need_faults(void)
{
}
#else
static void arm(enum os_fault_kind kind, uint64_t nth)
{
    (void)kind, (void)nth;
}

static void arm_always(enum os_fault_kind kind)
{
    (void)kind;
}

static void disarm(enum os_fault_kind kind)
{
    (void)kind;
}

static uint64_t count_of(enum os_fault_kind kind)
{
    (void)kind;
    return 0;
}

static void need_faults(void)
{
    cr_skip_test("this build injects no faults");
}
#endif

static weir_atomic_u32 ran;

static weir_task *count_one(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    add(&ran, 1);
    return NULL;
}

static void count_call(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    add(&ran, 1);
}

/* Makes the n-th event of a kind fail during weir_start, for every n there is. Returns how many there are. */
static unsigned fail_each(enum os_fault_kind kind, const weir_config *c, int code)
{
    unsigned n = 0;
    stop(start_config(c)); /* what is made once per process */
    unsigned threads = threads_now(), descriptors = descriptors_now();
    for (int r = -1; r != 0; n++) {
        weir_runtime *rt = (weir_runtime *)&n;
        arm(kind, n + 1);
        r = weir_start(&rt, c);
        disarm(kind);
        if (r == 0) {
            call(rt, count_call, NULL);
            stop(rt);
            break;
        }
        cr_assert_eq(r, code, "event %u: %d", n + 1, r);
        cr_assert_eq(rt, (weir_runtime *)&n, "something was changed");
        cr_assert(threads_come_down_to(threads), "a thread is left after event %u", n + 1);
        cr_assert_eq(descriptors_now(), descriptors);
        cr_assert_lt(n, 1000);
    }
    return n;
}

Test(fault, every_allocation_of_a_start_may_fail)
{
    need_faults();
    weir_config c = config_of(3);
    c.guests = 2;
    cr_assert_geq(fail_each(OS_FAULT_ALLOC, &c, -ENOMEM), 10, "fewer allocations than parts");
    c.pin = 1;
    c.steal_order = WEIR_STEAL_TOPOLOGY;
    fail_each(OS_FAULT_ALLOC, &c, -ENOMEM);
    /* all places are free again */
    weir_runtime *rt[WEIR_RUNTIMES_MAX];
    c = config_of(1);
    for (unsigned i = 0; i < WEIR_RUNTIMES_MAX; i++)
        rt[i] = start_config(&c);
    for (unsigned i = 0; i < WEIR_RUNTIMES_MAX; i++)
        stop(rt[i]);
}

Test(fault, every_thread_of_a_start_may_fail)
{
    need_faults();
    weir_config c = config_of(8);
    for (unsigned spin = 0; spin <= 100; spin += 50) {
        c.spin_us = spin;
        for (unsigned round = 0; round < 20; round++) /* the others are searching, or about to sleep, or asleep */
            cr_assert_eq(fail_each(OS_FAULT_THREAD, &c, -EAGAIN), 8);
    }
}

#define MANY 3000u

static weir_task many[MANY];
static weir_atomic_u32 join_failed;

static void fork_many(weir_worker *w, void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < MANY; i++) {
        many[i].run = count_one;
        weir_fork(w, &many[i]);
    }
    for (unsigned i = MANY; i-- > 0;)
        if (weir_join(w, &many[i]) != 0)
            set(&join_failed, 1);
}

static void spawn_many(weir_worker *w, void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < MANY; i++) {
        weir_task_init(&many[i], count_one);
        weir_spawn(w, &many[i]);
    }
}

Test(fault, task_runs_at_once_when_the_deque_cannot_grow)
{
    need_faults();
    for (unsigned workers = 1; workers <= 4; workers++) {
        for (int publish = 0; publish < 2; publish++) {
            weir_config c = config_of(workers);
            c.deque_capacity = 8;
            c.publish_mode = (weir_publish_mode)publish;
            weir_runtime *rt = start_config(&c);
            set(&ran, 0);
            arm_always(OS_FAULT_ALLOC);
            call(rt, fork_many, NULL);
            cr_assert_eq(get(&ran), MANY);
            call(rt, spawn_many, NULL);
            disarm(OS_FAULT_ALLOC);
            call(rt, fork_many, NULL); /* and it grows again */
            stop(rt);
            cr_assert_eq(get(&ran), 3 * MANY);
            cr_assert_eq(get(&join_failed), 0);
        }
    }
}

Test(fault, single_failed_growth_is_made_up_for_later)
{
    need_faults();
    weir_config c = config_of(2);
    c.deque_capacity = 2;
    weir_runtime *rt = start_config(&c);
    for (unsigned nth = 1; nth <= 12; nth++) {
        set(&ran, 0);
        arm(OS_FAULT_ALLOC, nth);
        call(rt, fork_many, NULL);
        disarm(OS_FAULT_ALLOC);
        cr_assert_eq(get(&ran), MANY);
    }
    stop(rt);
    cr_assert_eq(get(&join_failed), 0);
}

static void new_without_memory(weir_worker *w, void *arg)
{
    weir_task *t = &many[0];
    int *result = arg;
    arm_always(OS_FAULT_ALLOC);
    result[0] = weir_task_new(w, count_one, 100, &t);
    disarm(OS_FAULT_ALLOC);
    result[1] = t == &many[0];
    result[2] = weir_task_new(w, count_one, 100, &t);
    if (result[2] == 0)
        weir_spawn(w, t);
}

Test(fault, pooled_task_without_memory_is_refused_and_later_granted)
{
    need_faults();
    int result[3] = {1, 0, 1};
    weir_task *t = &many[0];
    weir_runtime *rt = start(1);
    call(rt, new_without_memory, result);
    cr_assert_eq(result[0], -ENOMEM);
    cr_assert(result[1], "something was changed");
    cr_assert_eq(result[2], 0);
    arm_always(OS_FAULT_ALLOC);
    cr_assert_eq(weir_task_new(NULL, count_one, 8, &t), -ENOMEM);
    disarm(OS_FAULT_ALLOC);
    cr_assert_eq(t, &many[0]);
    stop(rt);
    cr_assert_eq(get(&ran), 1);
}

/* Without membarrier every push publishes: the same results, by plain Chase-Lev. */
Test(fault, runtime_works_where_membarrier_is_missing)
{
    need_faults();
    arm_always(OS_FAULT_MEMBARRIER);
    weir_config c = config_of(4);
    c.deque_capacity = 2;
    weir_runtime *rt = start_config(&c);
    for (unsigned i = 0; i < 20; i++)
        call(rt, fork_many, NULL);
    weir_stats s = stop_and_read(rt, WEIR_DRAIN);
    disarm(OS_FAULT_MEMBARRIER);
    cr_assert_gt(count_of(OS_FAULT_MEMBARRIER), 0);
    cr_assert_eq(get(&ran), 20 * MANY);
    cr_assert_eq(s.total.forced, 0);
}

static void *disturb(void *arg)
{
    weir_atomic_u32 *enough = arg;
    while (get(enough) == 0) {
        arm(OS_FAULT_FUTEX_SPURIOUS, 1);
        usleep(50);
    }
    disarm(OS_FAULT_FUTEX_SPURIOUS);
    return NULL;
}

Test(fault, wakeups_for_no_reason_harm_nobody)
{
    need_faults();
    static weir_atomic_u32 enough;
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, disturb, &enough), 0);
    for (unsigned round = 0; round < 10; round++) {
        weir_runtime *rt = start(3);
        for (unsigned i = 0; i < 30; i++)
            call(rt, fork_many, NULL);
        stop(rt);
    }
    set(&enough, 1);
    pthread_join(thread, NULL);
    cr_assert_eq(get(&ran), 300 * MANY);
}

/* --- algorithms ------------------------------------------------------------------------------------------------- */

#define ELEMENTS 50000u

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

Test(fault, algorithms_without_memory_change_nothing_or_do_without)
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

/* --- workers that come and go --------------------------------------------------------------------------------- */

static weir_atomic_u32 blocked, open_gate;

static weir_task *block_until_open(weir_worker *w, weir_task *self)
{
    (void)self;
    int r = weir_block_begin(w);
    add(&blocked, 1);
    while (get(&open_gate) == 0)
        usleep(500);
    if (r == 0 && weir_block_end(w) == 0)
        add(&ran, 1);
    return NULL;
}

/* Both workers are blocked and no spare can come; once it can, the next submit brings one. */
static void spare_comes_late(enum os_fault_kind kind)
{
    static weir_task t[5];
    weir_runtime *rt = start(2);
    set(&ran, 0);
    set(&blocked, 0);
    set(&open_gate, 0);
    arm_always(kind);
    for (unsigned i = 0; i < 2; i++) {
        weir_task_init(&t[i], block_until_open);
        cr_assert_eq(weir_submit(rt, &t[i], WEIR_BLOCK, 0), 0);
    }
    cr_assert(reaches(&blocked, 2));
    for (unsigned i = 2; i < 4; i++) {
        weir_task_init(&t[i], count_one);
        cr_assert_eq(weir_submit(rt, &t[i], WEIR_BLOCK, 0), 0);
        sleep_ms(30);
    }
    cr_assert_eq(get(&ran), 0);
    disarm(kind);
    weir_task_init(&t[4], count_one);
    cr_assert_eq(weir_submit(rt, &t[4], WEIR_BLOCK, 0), 0);
    cr_assert(reaches(&ran, 3));
    set(&open_gate, 1);
    cr_assert(reaches(&ran, 5));
    stop(rt);
}

Test(fault, spare_worker_that_gets_no_thread_is_tried_again)
{
    need_faults();
    spare_comes_late(OS_FAULT_THREAD);
}

Test(fault, spare_worker_that_gets_no_memory_is_tried_again)
{
    need_faults();
    spare_comes_late(OS_FAULT_ALLOC);
}

Test(fault, runtime_that_can_not_grow_goes_on_and_stops)
{
    need_faults();
    static weir_task t[200];
    weir_config c = config_of(2);
    c.max_workers = 8;
    c.grow_after_us = 100;
    weir_runtime *rt = start_config(&c);
    arm_always(OS_FAULT_THREAD);
    for (unsigned i = 0; i < 200; i++) {
        weir_task_init(&t[i], count_one);
        cr_assert_eq(weir_submit(rt, &t[i], WEIR_BLOCK, 0), 0);
        usleep(20);
    }
    cr_assert(reaches(&ran, 200));
    stop(rt);
    disarm(OS_FAULT_THREAD);
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

Test(fault, a_graph_that_could_not_allocate_is_as_it_was)
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

Test(fault, a_flow_without_memory_refuses_a_task_and_takes_it_later)
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

/* Without memory for what is pushed, the nodes wait in the strand. */
Test(fault, a_graph_runs_without_any_memory)
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

/* --- the same, with what a worker's pool has left gone on the way -------------------------------------------------- */

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
Test(fault, a_graph_that_runs_out_of_memory_leaves_nothing_out)
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
Test(fault, a_choice_without_memory_is_an_error)
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
