/* SPDX-License-Identifier: MIT
 *
 * client_slot.c - nodes that outlive their function: semaphores, children, pinned nodes, graphs as nodes, and who frees
 * what they use.
 *
 * Threads: thread i stands for worker i, or for a program's thread where it says so. Invariants: a slot is one
 * execution of its node at a time; a permit is held once; nothing is freed under its last use.
 */
#include "graph_rig.h"

static weir_graph *inner;
static weir_semaphores *set;

/* --- nodes -------------------------------------------------------------------------------------------------------- */

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

/* 0 -> 1, pinned to worker 1 -> 2 */
static int work_on_1(weir_worker *w, void *arg)
{
    MODEL_ASSERT(worker_of(w)->id == 1 && MODEL_READ(did[0]) == 1);
    return work(w, arg);
}

static void pinned_setup(void)
{
    begin(2);
    add(0, WEIR_NODE_PLAIN, work);
    weir_node_spec s = spec(1, WEIR_NODE_PLAIN);
    s.fn = work_on_1;
    s.flags = WEIR_NODE_PINNED;
    s.worker = 1;
    MODEL_ASSERT(weir_graph_add_spec(g, &s, &node[1]) == 0);
    add(2, WEIR_NODE_PLAIN, after_two);
    edge(0, 1);
    edge(1, 2);
    direct();
}

/* Looks until something was sent. */
static void pinned_worker(void)
{
    struct worker *w = rig_worker(rt, 1);
    weir_task *t;
    while ((t = worker_take_injected(w)) == NULL)
        os_relax();
    drain(w, t);
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

static const struct model_client clients[] = {
    CLIENT("slot_entered_twice", 0, slot_setup, slot_check, node0, node1),
    CLIENT("limited_two", 0, limited_setup, limited_check, node0, node1),
    CLIENT("limited_two_stopped", 0, limited_setup, limited_stopped_check, node0, node1, stopper),
    CLIENT("dynamic", 0, dynamic_setup, dynamic_check, node0, thief),
    CLIENT("pinned", 0, pinned_setup, dynamic_check, node0, pinned_worker),
    CLIENT("graph_freed_after_its_run", 0, uses_setup, nothing_check, frees_the_run, frees_the_graph),
    CLIENT("used_things_freed_after_the_graph", 0, uses_setup, nothing_check, frees_the_run, frees_the_graph,
           frees_the_inner_graph, frees_the_semaphores),
    RANDOM("cancel_of_two_runs", 10000, nested_setup, nested_check, runs_twice, canceller),
    RANDOM("cancel_of_two_runs_with_a_thief", 5000, nested_setup, nested_check, runs_twice, thief, canceller),
    RANDOM("graph_in_a_graph", 5000, nested_setup, nested_whole_check, runs_twice, thief),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
