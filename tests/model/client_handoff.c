/* SPDX-License-Identifier: MIT
 *
 * client_handoff.c - tasks that are given directly: against the end of a search, a join that takes its task back, a
 * thief that finds it in a hand, a sleeper that has just found something else, and a stop.
 *
 * A task that is lost shows as a deadlock or as a spin that never ends, one that is run twice by its record.
 *
 * Threads: thread 0 is worker 0, whose hand it is. The others are workers 1 and 2, or outside.
 */
#include <errno.h>

#include "rig.h"

static struct runtime *rt;
static struct rig_job job[2];
static int accepted; /* submits */

static void create(uint32_t workers)
{
    rt = rig_create(workers, 4, 2, 0);
    model_name(&rt->workers[0]->park.hand, "hand0");
    model_name(&rt->idle.handed, "handed");
    model_name(&job[0], "job0");
    model_name(&job[1], "job1");
    accepted = 0;
}

/* Worker 0 is hungry, and worker 1 knows it. */
static void make_hungry(void)
{
    deque_poison(&rt->workers[1]->dq, 0);
}

static void setup_open(void)
{
    create(2);
    hand_open(&rt->workers[0]->park);
    make_hungry();
}

static void setup_open_three(void)
{
    create(3);
    hand_open(&rt->workers[0]->park);
    make_hungry();
}

static void setup_closed(void)
{
    create(2);
    make_hungry();
}

static void setup_one(void)
{
    create(1);
}

/* Worker 0 has announced itself, and has had its last look. */
static void setup_asleep(void)
{
    create(2);
    make_hungry();
    idle_announce(&rt->idle, 0, false);
}

static void setup_one_asleep(void)
{
    create(1);
    idle_announce(&rt->idle, 0, false);
}

static void setup_asleep_three(void)
{
    create(3);
    idle_announce(&rt->idle, 0, false);
}

static void check(void)
{
    rig_drop(rt);
}

/* What was accepted has run. */
static void check_accepted(void)
{
    MODEL_ASSERT((int)atom_load(&job[0].ran, memory_order_relaxed) == accepted);
    rig_drop(rt);
}

static void run_all(struct worker *w, weir_task *t)
{
    for (; t != NULL; t = deque_pop(&w->dq))
        worker_run_chain(w, t);
}

/* A search that looks into the own hand once, and ends. */
static void searcher(void)
{
    struct worker *w = rig_worker(rt, 0);
    weir_task *t = handoff_take(w, w);
    run_all(w, t != NULL ? t : handoff_close(w, NULL));
    rig_worker_end();
}

/* A search that ends with another task. */
static void searcher_with_task(void)
{
    struct worker *w = rig_worker(rt, 0);
    rig_job_init(&job[1], 3);
    run_all(w, handoff_close(w, &job[1].task));
    MODEL_ASSERT(atom_load(&job[1].ran, memory_order_relaxed) == 1);
    rig_worker_end();
}

static void sleeper(void)
{
    struct worker *w = rig_worker(rt, 0);
    enum elastic_rest rest = elastic_sleep(w, true);
    MODEL_ASSERT(rest == REST_HANDED || rest == REST_WOKEN);
    weir_task *t = handoff_take(w, w);
    MODEL_ASSERT(t == NULL || rest == REST_HANDED);
    run_all(w, t == NULL && rest == REST_WOKEN ? worker_search_woken(w) : t);
    rig_worker_end();
}

/* Thinks better of its announcement. */
static void retractor(void)
{
    struct worker *w = rig_worker(rt, 0);
    idle_retract(&rt->idle, 0);
    weir_task *t = handoff_close(w, NULL);
    run_all(w, t != NULL ? t : worker_search_woken(w));
    rig_worker_end();
}

/* Searches, and so parks, until the runtime has ended. */
static void worker0(void)
{
    struct worker *w = rig_worker(rt, 0);
    for (weir_task *t; (t = worker_search(w)) != NULL;)
        run_all(w, t);
    rig_worker_end();
}

static void robber(void)
{
    struct worker *w = rig_worker(rt, 2);
    run_all(w, handoff_take(w, rt->workers[0]));
    rig_worker_end();
}

static void fork_and_join(void)
{
    rig_fork_and_join(rig_worker(rt, 1));
    rig_worker_end();
}

/* Then the runtime ends: who sleeps wakes up. */
static void fork_join_end(void)
{
    fork_and_join();
    rig_end(rt);
}

/* A fork, and then a leaf until another worker has run it: it must be found, whoever has it. */
static weir_task *noted_run(weir_worker *w, weir_task *t)
{
    struct rig_job *j = (struct rig_job *)(void *)t;
    (void)rig_forked_run(w, t);
    atom_store(&j->ran, 1u, memory_order_release);
    return NULL;
}

static void fork_leaf_end(void)
{
    struct worker *w = rig_worker(rt, 1);
    job[0].task.run = noted_run;
    MODEL_WRITE(job[0].payload, 3);
    weir_fork(worker_public(w), &job[0].task);
    rig_job_await(&job[0]);
    MODEL_ASSERT(weir_join(worker_public(w), &job[0].task) == 0);
    rig_worker_end();
    rig_end(rt);
}

static void submit_end(void)
{
    rig_job_init(&job[0], 9);
    MODEL_ASSERT(runtime_submit(rt, &job[0].task, WEIR_LANE_NORMAL, WEIR_TRY, 0) == 0);
    rig_job_await(&job[0]);
    rig_end(rt);
}

/* One for anybody, one for worker 0 alone. */
static void submit_both_end(void)
{
    rig_job_init(&job[0], 9);
    rig_job_init(&job[1], 7);
    MODEL_ASSERT(rig_submit_to(rt, 0, &job[1].task) == 0);
    MODEL_ASSERT(runtime_submit(rt, &job[0].task, WEIR_LANE_NORMAL, WEIR_TRY, 0) == 0);
    rig_job_await(&job[0]);
    rig_job_await(&job[1]);
    rig_end(rt);
}

static void submit_against_stop(void)
{
    rig_job_init(&job[0], 9);
    int r = runtime_submit(rt, &job[0].task, WEIR_LANE_NORMAL, WEIR_TRY, 0);
    MODEL_ASSERT(r == 0 || r == -ESHUTDOWN);
    accepted = r == 0;
}

static void stopper(void)
{
    runtime_begin_stop(rt, WEIR_DRAIN);
}

/* What a stop does before it wakes anybody, and what the last worker to park does. */
static void end_quietly(void)
{
    atom_store(&rt->phase, (uint32_t)PHASE_DRAINING, memory_order_relaxed); /* relaxed: as in lifecycle.c */
    intake_close(rt);
    timers_close(rt);
    runtime_check_rest(rt);
}

/* A runtime that has ended has no worker with a task. */
static void check_ended(void)
{
    MODEL_ASSERT(runtime_phase(rt) != PHASE_ENDED || !hand_holds_task(&rt->workers[0]->park));
    rig_drop(rt);
}

#define CLIENT(client, set, ...) {.name = client, .setup = set, .check = check, .thread = {__VA_ARGS__}, \
                                  .leaks_ok = true, .preemptions = 3}
#define RANDOM(client, set, ...) {.name = client, .setup = set, .check = check, .thread = {__VA_ARGS__}, \
                                  .leaks_ok = true, .pct = true, .executions = 10000}
static const struct model_client clients[] = {
    CLIENT("fork_to_a_searcher", setup_open, searcher, fork_and_join),
    CLIENT("fork_to_one_with_a_task", setup_open, searcher_with_task, fork_and_join),
    CLIENT("fork_against_a_thief", setup_open_three, searcher, fork_and_join, robber),
    CLIENT("fork_to_a_sleeper", setup_asleep, sleeper, fork_join_end),
    CLIENT("fork_then_leaf", setup_closed, worker0, fork_leaf_end),
    CLIENT("submit_to_a_sleeper", setup_asleep, sleeper, submit_end),
    CLIENT("submit_against_a_thief", setup_asleep_three, sleeper, submit_end, robber),
    CLIENT("submit_against_a_retreat", setup_asleep, retractor, submit_end),
    CLIENT("submit_beside_another", setup_one, worker0, submit_both_end),
    {.name = "submit_against_end", .setup = setup_one_asleep, .check = check_ended,
     .thread = {submit_against_stop, end_quietly}, .leaks_ok = true},
    {.name = "submit_against_stop", .setup = setup_one, .check = check_accepted,
     .thread = {worker0, submit_against_stop, stopper}, .leaks_ok = true, .preemptions = 2, .deep_preemptions = 3},
    {.name = "random_submit_against_stop", .setup = setup_one, .check = check_accepted,
     .thread = {worker0, submit_against_stop, stopper}, .leaks_ok = true, .pct = true, .executions = 10000},
    RANDOM("random_fork_then_leaf", setup_closed, worker0, fork_leaf_end),
    RANDOM("random_submit_beside_another", setup_one, worker0, submit_both_end),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
