/* SPDX-License-Identifier: MIT
 *
 * client_run.c - runs of graphs: nodes with several predecessors, ends of runs, slots, cancels, and loops.
 *
 * The smallest clients let each thread begin a strand at a node of its own; the others run whole runs, with a thief.
 *
 * Threads: thread i stands for worker i, or for a program's thread where it says so. Invariants: a node runs once each
 * time, after all that leads to it; nothing is touched after its end was seen.
 */
#include <errno.h>
#include <stdio.h>

#include "par/graph_start.h"
#include "rig.h"

#define HANDLE ((weir_runtime *)(uintptr_t)1) /* of the rig's runtime: only compared */
#define NODES 5u

static struct runtime *rt;
static weir_graph *g, *inner;
static weir_run *run;
static weir_semaphores *set;
static weir_node node[NODES];
static int did[NODES];       /* node i's result: payload */
static weir_atomic_u32 runs[NODES];
static FILE *nowhere;        /* opened once: outlives all executions */

/* --- nodes -------------------------------------------------------------------------------------------------------- */

/* Leaves its result, on which nobody but its successors may look. */
static int work(weir_worker *w, void *arg)
{
    int *mine = arg;
    (void)w;
    MODEL_WRITE(*mine, MODEL_READ(*mine) + 1);
    atom_add(&runs[mine - did], 1u, memory_order_relaxed);
    return 0;
}

/* After the nodes 0 and 1. */
static int after_two(weir_worker *w, void *arg)
{
    MODEL_ASSERT(MODEL_READ(did[0]) == MODEL_READ(did[1]));
    return work(w, arg);
}

static int after_three(weir_worker *w, void *arg)
{
    MODEL_ASSERT(MODEL_READ(did[2]) == MODEL_READ(did[0]));
    return after_two(w, arg);
}

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

static weir_task child;

static weir_task *child_run(weir_worker *w, weir_task *t)
{
    (void)t;
    work(w, &did[1]);
    return NULL;
}

static int spawns(weir_worker *w, void *arg, weir_scope *children)
{
    work(w, arg);
    weir_task_init(&child, child_run);
    weir_scope_spawn(w, children, &child);
    return 0;
}

static int spawns_nothing(weir_worker *w, void *arg, weir_scope *children)
{
    (void)children;
    return work(w, arg);
}

/* --- graphs ------------------------------------------------------------------------------------------------------- */

static weir_node_spec spec(uint32_t i, weir_node_kind kind)
{
    return (weir_node_spec){.size = sizeof(weir_node_spec), .kind = kind, .arg = &did[i]};
}

static void add(uint32_t i, weir_node_kind kind, weir_node_fn *fn)
{
    weir_node_spec s = spec(i, kind);
    s.fn = fn;
    MODEL_ASSERT(weir_graph_add_spec(g, &s, &node[i]) == 0);
}

static void edge(uint32_t before, uint32_t after)
{
    MODEL_ASSERT(weir_graph_precede(g, node[before], node[after]) == 0);
}

static weir_graph *new_graph(void)
{
    weir_graph *made;
    MODEL_ASSERT(weir_graph_create(&made) == 0);
    return made;
}

static weir_run *new_run(uint32_t flags)
{
    weir_run *made;
    MODEL_ASSERT(weir_run_create(g, flags, &made) == 0);
    model_name(&made->busy, "busy");
    model_name(&made->attention, "attention");
    model_name(&made->scope.done.state, "scope");
    return made;
}

static void freeze(void)
{
    MODEL_ASSERT(weir_graph_freeze(g, NULL) == 0);
    run = new_run(0);
}

static void begin(uint32_t workers)
{
    rt = rig_create(workers, 4, 2, 0);
    g = new_graph();
}

/* Threads begin strands themselves: the scope's credit keeps it open. */
static void direct(void)
{
    freeze();
    weir_scope_init(NULL, &run->scope);
    run->rt = rt;
}

static void drain(struct worker *w, weir_task *t)
{
    do
        worker_run_chain(w, t);
    while ((t = deque_pop(&w->dq)) != NULL);
}

static void begin_at(uint32_t thread, uint32_t i)
{
    struct worker *w = rig_worker(rt, thread);
    struct strand s;
    strand_begin(&s, w, run);
    drain(w, strand_run(&s, graph_place(g, node[i].index)));
    rig_worker_end();
}

static void node0(void) { begin_at(0, 0); }
static void node1(void) { begin_at(1, 1); }
static void node2(void) { begin_at(2, 2); }

/* One look at the other deques, and all that comes of it. */
static void thief(void)
{
    struct worker *w = rig_worker(rt, 1);
    weir_task *t = steal_sweep(w, true);
    if (t != NULL)
        worker_run_stolen(w, t);
    rig_worker_end();
}

static uint32_t ran(uint32_t i)
{
    return atom_load(&runs[i], memory_order_relaxed);
}

static void all_ran(uint32_t n, uint32_t times)
{
    for (uint32_t i = 0; i < n; i++)
        MODEL_ASSERT(ran(i) == times);
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

/* --- slots -------------------------------------------------------------------------------------------------------- */

/* One node with a slot, run by both threads as a multi-condition may make it: at most one at a time. */
static void slot_setup(void)
{
    begin(2);
    weir_node_spec s = spec(0, WEIR_NODE_SPAWN);
    s.spawn = spawns_nothing;
    MODEL_ASSERT(weir_graph_add_spec(g, &s, &node[0]) == 0);
    node[1] = node[0];
    direct();
}

static void slot_check(void)
{
    int r = run_result(run);
    MODEL_ASSERT(r == 0 ? ran(0) == 2 : r == -EBUSY && ran(0) == 1);
    rig_drop(rt);
}

/* Two nodes that need the same permit, and one after both. */
static void limited_setup(void)
{
    uint32_t one = 1;
    begin(2);
    MODEL_ASSERT(weir_semaphores_create(HANDLE, &one, 1, &set) == 0);
    model_name(&set->inbox, "inbox");
    for (uint32_t i = 0; i < 2; i++) {
        weir_node_spec s = spec(0, WEIR_NODE_PLAIN); /* both with the result of node 0: only the permit orders them */
        s.fn = work;
        s.semaphores = set;
        s.permits = 1;
        MODEL_ASSERT(weir_graph_add_spec(g, &s, &node[i]) == 0);
    }
    add(2, WEIR_NODE_PLAIN, work);
    edge(0, 2);
    edge(1, 2);
    direct();
}

static void limited_check(void)
{
    MODEL_ASSERT(ran(0) == 2 && ran(2) == 1 && set->s[0].free == 1);
    rig_drop(rt);
}

static void limited_stopped_check(void)
{
    MODEL_ASSERT(ran(2) <= 1 && (ran(2) == 0 || ran(0) == 2) && set->s[0].free == 1 && set->s[0].first == NULL);
    MODEL_ASSERT(atom_load(&set->inbox, memory_order_relaxed) == NULL);
    rig_drop(rt);
}

static void stopper(void)
{
    run_stop_all(run);
}

/* A child that another worker may run, and a successor that sees what it did. */
static void dynamic_setup(void)
{
    begin(2);
    weir_node_spec s = spec(0, WEIR_NODE_SPAWN);
    s.spawn = spawns;
    MODEL_ASSERT(weir_graph_add_spec(g, &s, &node[0]) == 0);
    add(2, WEIR_NODE_PLAIN, after_two);
    edge(0, 2);
    direct();
}

static void dynamic_check(void)
{
    all_ran(3, 1);
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

/* --- who frees what others use ------------------------------------------------------------------------------------ */

static void uses_setup(void)
{
    uint32_t one = 1;
    begin(1);
    MODEL_ASSERT(weir_semaphores_create(HANDLE, &one, 1, &set) == 0);
    add(0, WEIR_NODE_PLAIN, work);
    MODEL_ASSERT(weir_graph_freeze(g, NULL) == 0);
    inner = g;
    g = new_graph();
    weir_node_spec s = spec(1, WEIR_NODE_GRAPH);
    s.graph = inner;
    s.semaphores = set;
    s.permits = 1;
    MODEL_ASSERT(weir_graph_add_spec(g, &s, &node[1]) == 0);
    freeze();
}

static void frees_the_run(void)
{
    MODEL_ASSERT(weir_run_destroy(run) == 0);
}

static void frees_the_graph(void)
{
    while (weir_graph_destroy(g) == -EBUSY)
        os_relax();
}

static void frees_the_inner_graph(void)
{
    while (weir_graph_destroy(inner) == -EBUSY)
        os_relax();
}

static void frees_the_semaphores(void)
{
    while (weir_semaphores_destroy(set) == -EBUSY)
        os_relax();
}

static void nothing_check(void)
{
    rig_drop(rt);
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

static void canceller(void)
{
    MODEL_ASSERT(weir_run_cancel(run) == 0);
}

/* 0 -> 1 -> graph of one node 2 -> 3 */
static void nested_setup(void)
{
    begin(2);
    add(2, WEIR_NODE_PLAIN, work);
    MODEL_ASSERT(weir_graph_freeze(g, NULL) == 0);
    inner = g;
    g = new_graph();
    add(0, WEIR_NODE_PLAIN, work);
    weir_node_spec s = spec(1, WEIR_NODE_GRAPH);
    s.graph = inner;
    MODEL_ASSERT(weir_graph_add_spec(g, &s, &node[1]) == 0);
    add(3, WEIR_NODE_PLAIN, work);
    edge(0, 1);
    edge(1, 3);
    freeze();
}

/* A run that tells of no cancel has left nothing out, inner graphs included. (One cancel may reach both runs.) */
static void nested_check(void)
{
    uint32_t whole = 0;
    for (int i = 0; i < 2; i++) {
        MODEL_ASSERT(result[i] == 0 || result[i] == -ECANCELED);
        whole += result[i] == 0;
    }
    MODEL_ASSERT(ran(0) >= whole && ran(2) >= whole && ran(3) >= whole);
    MODEL_ASSERT(ran(2) <= ran(0) && ran(3) <= ran(2));
    rig_drop(rt);
}

static void nested_whole_check(void)
{
    MODEL_ASSERT(result[0] == 0 && result[1] == 0 && ran(0) == 2 && ran(2) == 2 && ran(3) == 2);
    rig_drop(rt);
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

#define CLIENT(client, n, prepare, end, ...) {.name = client, .tag = n, .setup = prepare, .check = end, \
                                              .leaks_ok = true, .thread = {__VA_ARGS__}}
#define WAITS(client, prepare, end, ...) {.name = client, .setup = prepare, .check = end, .leaks_ok = true, \
                                          .spurious_wake = 1, .timeouts = 1, .thread = {__VA_ARGS__}}
#define RANDOM(client, n, prepare, end, ...) {.name = client, .setup = prepare, .check = end, .leaks_ok = true, \
                                              .pct = true, .executions = n, .thread = {__VA_ARGS__}}
static const struct model_client clients[] = {
    CLIENT("arrivals_two", 2, arrivals_setup, arrivals_check, node0, node1),
    CLIENT("arrivals_three", 3, arrivals_setup, arrivals_check, node0, node1, node2),
    CLIENT("two_failures", 0, failures_setup, failures_check, node0, node1),
    CLIENT("slot_entered_twice", 0, slot_setup, slot_check, node0, node1),
    CLIENT("limited_two", 0, limited_setup, limited_check, node0, node1),
    CLIENT("limited_two_stopped", 0, limited_setup, limited_stopped_check, node0, node1, stopper),
    CLIENT("dynamic", 0, dynamic_setup, dynamic_check, node0, thief),
    WAITS("end_freed_by_its_waiter", start_setup, end_check, run_started, waiter),
    WAITS("end_seen_after_a_timeout", start_setup, end_check, run_started, impatient),
    WAITS("end_seen_after_two_timeouts", start_setup, end_check, run_started, impatient_twice),
    CLIENT("end_seen_by_destroy", 0, start_setup, end_check, run_started, asks_to_destroy),
    CLIENT("end_seen_by_read", 0, start_setup, end_check, run_started, asks_to_read),
    CLIENT("end_seen_by_dot", 0, start_timed_setup, end_check, run_started, asks_for_a_picture),
    CLIENT("run_again_by_another", 0, start_setup, again_check, run_started, runs_it_again),
    RANDOM("run_freed_by_its_continuation", 5000, one_node_setup, again_check, run_then_free, thief),
    CLIENT("graph_freed_after_its_run", 0, uses_setup, nothing_check, frees_the_run, frees_the_graph),
    CLIENT("used_things_freed_after_the_graph", 0, uses_setup, nothing_check, frees_the_run, frees_the_graph,
           frees_the_inner_graph, frees_the_semaphores),
    RANDOM("cancel_of_two_runs", 10000, nested_setup, nested_check, runs_twice, canceller),
    RANDOM("cancel_of_two_runs_with_a_thief", 5000, nested_setup, nested_check, runs_twice, thief, canceller),
    RANDOM("graph_in_a_graph", 5000, nested_setup, nested_whole_check, runs_twice, thief),
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
