/* SPDX-License-Identifier: MIT
 *
 * client_run.c - runs of graphs: nodes with several predecessors, ends of runs, loops, two runs at once.
 *
 * The smallest clients let each thread begin a strand at a node of its own; the others run whole runs, with a thief.
 *
 * Threads: thread i stands for worker i, or for a program's thread where it says so. Invariants: a node runs once each
 * time, after all that leads to it; nothing is touched after its end was seen.
 */
#include <stdio.h>

#include "graph_rig.h"

static FILE *nowhere;        /* opened once: outlives all executions */

/* --- nodes -------------------------------------------------------------------------------------------------------- */

/* A condition after both: back to the beginning, once. */
static int again_once(weir_worker *w, void *arg)
{
    after_two(w, arg);
    return MODEL_READ(*(int *)arg) == 1 ? 0 : 1;
}

/* A multi-condition: its first two successors. */
static int both(weir_worker *w, void *arg)
{
    work(w, arg);
    return 3;
}

static int fails(weir_worker *w, void *arg)
{
    work(w, arg);
    return -(int)((int *)arg - did) - 1;
}

/* --- arrivals ----------------------------------------------------------------------------------------------------- */

/* Nodes 0 to n - 1 lead to node n; as direct strands. */
static void arrivals_setup(void)
{
    uint32_t n = (uint32_t)model_tag();
    begin(n);
    for (uint32_t i = 0; i < n; i++)
        add(i, WEIR_NODE_PLAIN, work);
    add(n, WEIR_NODE_PLAIN, n == 2 ? after_two : after_three);
    for (uint32_t i = 0; i < n; i++)
        edge(i, n);
    direct();
}

static void arrivals_check(void)
{
    all_ran((uint32_t)model_tag() + 1, 1);
    rig_drop(rt);
}

/* Both predecessors fail, each with its own error. */
static void failures_setup(void)
{
    begin(2);
    add(0, WEIR_NODE_PLAIN, fails);
    add(1, WEIR_NODE_PLAIN, fails);
    add(2, WEIR_NODE_PLAIN, after_two);
    edge(0, 2);
    edge(1, 2);
    direct();
}

static void failures_check(void)
{
    weir_run_report report;
    MODEL_ASSERT(ran(2) == 0 && ran(0) + ran(1) >= 1);
    MODEL_ASSERT(weir_run_read(run, &report) == 0);
    MODEL_ASSERT(report.error == -(int)report.node.index - 1 && run_is_stopped(run));
    MODEL_ASSERT(ran(report.node.index) == 1);
    rig_drop(rt);
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

static void one_node_setup(void)
{
    begin(2);
    add(0, WEIR_NODE_PLAIN, work);
    freeze();
}

static void start_it(void)
{
    worker_set_self(rt->workers[0]);
    MODEL_ASSERT(run_start(HANDLE, rt, run, NULL) == 0);
    worker_set_self(NULL);
}

static void start_setup(void)
{
    one_node_setup();
    start_it();
}

static void start_timed_setup(void)
{
    one_node_setup();
    MODEL_ASSERT(weir_run_destroy(run) == 0);
    run = new_run(WEIR_RUN_TIMED);
    start_it();
}

static void run_started(void)
{
    struct worker *w = rig_worker(rt, 0);
    drain(w, NULL);
    rig_worker_end();
}

/* Program threads: what one may do who has waited, or has asked. */
static void free_all(void)
{
    MODEL_ASSERT(MODEL_READ(did[0]) == 1);
    MODEL_ASSERT(weir_run_destroy(run) == 0);
    MODEL_ASSERT(weir_graph_destroy(g) == 0);
}

static void waiter(void)
{
    MODEL_ASSERT(weir_run_wait(run, WEIR_FOREVER) == 0);
    free_all();
}

static void impatient(void)
{
    int r = weir_run_wait(run, 1000);
    MODEL_ASSERT(r == 0 || r == -EAGAIN);
    if (r == 0)
        free_all();
}

static void impatient_twice(void)
{
    weir_run_wait(run, 1000);
    if (weir_run_wait(run, 2000) == 0)
        free_all();
}

static void asks_to_destroy(void)
{
    while (weir_run_destroy(run) == -EBUSY)
        os_relax();
    MODEL_ASSERT(MODEL_READ(did[0]) == 1);
    MODEL_ASSERT(weir_graph_destroy(g) == 0);
}

static void asks_to_read(void)
{
    weir_run_report report;
    while (weir_run_read(run, &report) == -EBUSY)
        os_relax();
    MODEL_ASSERT(report.error == 0 && report.times == 1);
    free_all();
}

static void asks_for_a_picture(void)
{
    while (weir_graph_dot(g, run, nowhere) == -EBUSY)
        os_relax();
    free_all();
}

/* Worker 1 runs it, too, as soon as that is possible. */
static void runs_it_again(void)
{
    struct worker *w = rig_worker(rt, 1);
    while (run_on_worker(HANDLE, w, run, NULL) == -EBUSY)
        os_relax();
    rig_worker_end();
}

static void again_check(void)
{
    all_ran(1, 2);
    rig_drop(rt);
}

static void end_check(void)
{
    all_ran(1, 1);
    rig_drop(rt);
}

/* The continuation of a run frees it. */
static weir_task last;

static weir_task *last_run(weir_worker *w, weir_task *t)
{
    (void)w, (void)t;
    free_all();
    return NULL;
}

static void run_then_free(void)
{
    struct worker *w = rig_worker(rt, 0);
    weir_run_how how = WEIR_RUN_HOW;
    weir_task_init(&last, last_run);
    how.then = &last;
    how.times = 2;
    MODEL_WRITE(did[0], -1);
    MODEL_ASSERT(run_start(HANDLE, rt, run, &how) == 0);
    drain(w, NULL);
    rig_worker_end();
}

/* --- whole runs --------------------------------------------------------------------------------------------------- */

static int result[2];

/* Twice: with what is left of the first run, the second must be whole. */
static void runs_twice(void)
{
    struct worker *w = rig_worker(rt, 0);
    result[0] = run_on_worker(HANDLE, w, run, NULL);
    result[1] = run_on_worker(HANDLE, w, run, NULL);
    rig_worker_end();
}

/* 0, 1, 2 -> 3, twice: ranges, and arrivals that are held back. */
static void fan_setup(void)
{
    begin(2);
    for (uint32_t i = 0; i < 3; i++)
        add(i, WEIR_NODE_PLAIN, work);
    add(3, WEIR_NODE_PLAIN, after_three);
    for (uint32_t i = 0; i < 3; i++)
        edge(i, 3);
    freeze();
}

static void fan_check(void)
{
    MODEL_ASSERT(result[0] == 0 && result[1] == 0);
    all_ran(4, 2);
    rig_drop(rt);
}

/* 3 -> 0, 1 -> 2 (condition) -> 3 once more, or 4 */
static void loop_setup(void)
{
    begin(2);
    add(0, WEIR_NODE_PLAIN, work);
    add(1, WEIR_NODE_PLAIN, work);
    add(2, WEIR_NODE_CONDITION, again_once);
    add(3, WEIR_NODE_MULTI, both);
    add(4, WEIR_NODE_PLAIN, work);
    weir_node_spec s = {.size = sizeof s, .kind = WEIR_NODE_PLAIN, .fn = work, .arg = &did[4]};
    weir_node start;
    MODEL_ASSERT(weir_graph_add_spec(g, &s, &start) == 0);
    MODEL_ASSERT(weir_graph_precede(g, start, node[3]) == 0);
    edge(3, 0);
    edge(3, 1);
    edge(0, 2);
    edge(1, 2);
    edge(2, 3);
    edge(2, 4);
    freeze();
}

static void runs_once(void)
{
    struct worker *w = rig_worker(rt, 0);
    result[0] = run_on_worker(HANDLE, w, run, NULL);
    rig_worker_end();
}

static void loop_check(void)
{
    MODEL_ASSERT(result[0] == 0);
    all_ran(5, 2);
    rig_drop(rt);
}

/* Two runs of one graph at once, each on its worker. */
static weir_run *other_run;

static int count_only(weir_worker *w, void *arg)
{
    (void)w;
    atom_add(&runs[(int *)arg - did], 1u, memory_order_relaxed);
    return 0;
}

static void overlap_setup(void)
{
    begin(2);
    for (uint32_t i = 0; i < 3; i++)
        add(i, WEIR_NODE_PLAIN, count_only);
    edge(0, 2);
    edge(1, 2);
    freeze();
    other_run = new_run(0);
}

static void runs_and_frees(void)
{
    runs_once();
    MODEL_ASSERT(weir_run_destroy(run) == 0);
}

static void runs_the_other_and_frees(void)
{
    struct worker *w = rig_worker(rt, 1);
    result[1] = run_on_worker(HANDLE, w, other_run, NULL);
    rig_worker_end();
    MODEL_ASSERT(weir_run_destroy(other_run) == 0);
}

static void overlap_check(void)
{
    MODEL_ASSERT(result[0] == 0 && result[1] == 0);
    all_ran(3, 2);
    MODEL_ASSERT(weir_graph_destroy(g) == 0);
    rig_drop(rt);
}

#define WAITS(client, prepare, end, ...) {.name = client, .setup = prepare, .check = end, .leaks_ok = true, \
                                          .spurious_wake = 1, .timeouts = 1, .thread = {__VA_ARGS__}}
static const struct model_client clients[] = {
    CLIENT("arrivals_two", 2, arrivals_setup, arrivals_check, node0, node1),
    CLIENT("arrivals_three", 3, arrivals_setup, arrivals_check, node0, node1, node2),
    CLIENT("two_failures", 0, failures_setup, failures_check, node0, node1),
    WAITS("end_freed_by_its_waiter", start_setup, end_check, run_started, waiter),
    WAITS("end_seen_after_a_timeout", start_setup, end_check, run_started, impatient),
    WAITS("end_seen_after_two_timeouts", start_setup, end_check, run_started, impatient_twice),
    CLIENT("end_seen_by_destroy", 0, start_setup, end_check, run_started, asks_to_destroy),
    CLIENT("end_seen_by_read", 0, start_setup, end_check, run_started, asks_to_read),
    CLIENT("end_seen_by_dot", 0, start_timed_setup, end_check, run_started, asks_for_a_picture),
    CLIENT("run_again_by_another", 0, start_setup, again_check, run_started, runs_it_again),
    RANDOM("run_freed_by_its_continuation", 5000, one_node_setup, again_check, run_then_free, thief),
    RANDOM("fan", 5000, fan_setup, fan_check, runs_twice, thief),
    RANDOM("loop", 5000, loop_setup, loop_check, runs_once, thief),
    RANDOM("two_runs_at_once", 5000, overlap_setup, overlap_check, runs_and_frees, runs_the_other_and_frees),
};

int main(int argc, char **argv)
{
    nowhere = fopen("/dev/null", "w");
    if (nowhere == NULL)
        return 2;
    model_keep(&nowhere, sizeof nowhere);
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
