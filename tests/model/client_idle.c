/* SPDX-License-Identifier: MIT
 *
 * client_idle.c - parking: against a push, to a full deque as well, a submit, a wake, hurried wake-ups; the poison.
 *
 * A pusher that then makes no more calls stands for a worker in a long leaf: its task must reach the parker all the
 * same (promise 2), so a wake-up that is lost shows as a deadlock or as a spin that never ends.
 *
 * Threads: client threads are workers, or outside submitters.
 */
#include "rig.h"

static struct runtime *rt;
static struct rig_job job[5];

static void setup_two(void)
{
    rt = rig_create(2, 4, 2, 0);
    for (int i = 0; i < 3; i++)
        model_name(&job[i], i == 0 ? "job0" : i == 1 ? "job1" : "job2");
}

static void setup_one(void)
{
    rt = rig_create(1, 4, 2, 0);
}

/* Without membarrier: the fences alone must do. */
static void setup_two_always(void)
{
    rig_always_public = true;
    setup_two();
}

static void setup_one_always(void)
{
    rig_always_public = true;
    setup_one();
}

static void setup_three(void)
{
    rt = rig_create(3, 4, 2, 0);
}

static void check(void)
{
    rig_drop(rt);
}

/* Searches, and so parks, until it has run n tasks or the runtime has ended. */
static void parker(uint32_t id, unsigned n)
{
    struct worker *w = rig_worker(rt, id);
    while (n-- > 0) {
        weir_task *t = worker_search(w);
        if (t == NULL)
            break;
        worker_run_chain(w, t);
        while ((t = deque_pop(&w->dq)) != NULL) {
            worker_run_chain(w, t);
            n--;
        }
    }
    rig_worker_end();
}

static void parker0_1(void) { parker(0, 1); }
static void parker0_2(void) { parker(0, 2); }
static void parker2_1(void) { parker(2, 1); }
static void parker0_all(void) { parker(0, 5); }
static void parker2_all(void) { parker(2, 5); }

/* One push, then a leaf that lasts until another worker has run the task. */
static void pusher_leaf(void)
{
    struct worker *w = rig_worker(rt, 1);
    rig_job_init(&job[0], 5);
    weir_push(worker_public(w), &job[0].task);
    rig_job_await(&job[0]);
    rig_worker_end();
}

static void pusher_two(void)
{
    struct worker *w = rig_worker(rt, 1);
    for (int i = 0; i < 2; i++) {
        rig_job_init(&job[i], 5 + i);
        weir_push(worker_public(w), &job[i].task);
    }
    rig_job_await(&job[0]);
    rig_job_await(&job[1]);
    rig_worker_end();
}

/* A push that the pusher may pop itself; then it ends the runtime. */
static void pusher_pop(void)
{
    struct worker *w = rig_worker(rt, 1);
    rig_job_init(&job[0], 5);
    weir_push(worker_public(w), &job[0].task);
    weir_task *t = deque_pop(&w->dq);
    if (t != NULL)
        worker_run_chain(w, t);
    rig_job_await(&job[0]);
    rig_end(rt);
    rig_worker_end();
}

static void submit(int i)
{
    rig_job_init(&job[i], 9);
    MODEL_ASSERT(runtime_submit(rt, &job[i].task, WEIR_LANE_NORMAL, WEIR_TRY, 0) == 0);
}

static void submit0(void) { submit(0); }
static void submit1(void) { submit(1); }
static void submit01(void)
{
    submit(0);
    submit(1);
}

/* One parker may run both. */
static void submit01_end(void)
{
    submit01();
    rig_job_await(&job[0]);
    rig_job_await(&job[1]);
    rig_end(rt);
}

/* To the inbox of a worker that may be parking, where only that worker finds it. */
static void submit_pinned(void)
{
    rig_job_init(&job[0], 9);
    MODEL_ASSERT(rig_submit_to(rt, 0, &job[0].task) == 0);
}

/* The same from a worker. */
static void send(uint32_t by, int i)
{
    (void)rig_worker(rt, by);
    rig_job_init(&job[i], 9);
    runtime_send(rt, 0, &job[i].task);
    rig_worker_end();
}

static void send0(void) { send(1, 0); }
static void send1(void) { send(2, 1); }

/* Fork and join of one task; then the runtime ends. */
static void forker(void)
{
    rig_fork_and_join(rig_worker(rt, 1));
    rig_end(rt);
    rig_worker_end();
}

/* Ends the runtime against a parker. */
static void ender(void)
{
    rig_end(rt);
}

/* The same by the call that weir_stop() makes. */
static void stopper(void)
{
    runtime_begin_stop(rt, WEIR_DRAIN);
}

/* Workers without work while the runtime drains: the last one to park ends it for all. */
static void setup_dry(void)
{
    rt = rig_create(2, 4, 2, 0);
    runtime_begin_stop(rt, WEIR_DRAIN);
}

static void setup_three_dry(void)
{
    rt = rig_create(3, 4, 2, 0);
    runtime_begin_stop(rt, WEIR_DRAIN);
}

static void parker1_1(void) { parker(1, 1); }

/* Puts a task where only a revoker finds it: on the private end of worker 1's deque. */
static void put_private(int i)
{
    rig_job_init(&job[i], 5 + i);
    weir_push(worker_public(rt->workers[1]), &job[i].task);
}

/* The same with one task left. */
static void setup_nearly_dry(void)
{
    rt = rig_create(2, 4, 2, 0);
    put_private(0);
    runtime_begin_stop(rt, WEIR_DRAIN);
}

/* Pops what is left, then runs dry. */
static void popper(void)
{
    struct worker *w = rig_worker(rt, 1);
    weir_task *t = deque_pop(&w->dq);
    if (t == NULL)
        t = worker_search(w);
    for (; t != NULL; t = worker_search(w))
        worker_run_chain(w, t);
    rig_worker_end();
}

/* Worker 0 has announced itself and found a task in its last look: it takes the announcement back. */
static void setup_leaving(void)
{
    setup_dry();
    idle_announce(&rt->idle, 0, false);
}

static void leaver(void)
{
    struct worker *w = rig_worker(rt, 0);
    idle_retract(&rt->idle, 0);
    idle_abandon_search(&rt->idle);
    MODEL_ASSERT(worker_search(w) == NULL);
    rig_worker_end();
}

/* The same without the search: announced, it looks whether that was the end, and sleeps until it is. */
static void announce_and_sleep(uint32_t id)
{
    (void)rig_worker(rt, id);
    idle_announce(&rt->idle, id, false);
    runtime_check_rest(rt);
    idle_sleep(&rt->idle, id);
    MODEL_ASSERT(runtime_phase(rt) == PHASE_ENDED);
    rig_worker_end();
}

static void returner(void)
{
    idle_retract(&rt->idle, 0);
    idle_abandon_search(&rt->idle);
    announce_and_sleep(0);
}

static void announcer1(void) { announce_and_sleep(1); }

static void check_ran(void)
{
    MODEL_ASSERT(atom_load(&job[0].ran, memory_order_relaxed) == 1);
    rig_drop(rt);
}

/* Three tasks on a deque that is full with them, and two outside: who wants both must move the deque. */
static void setup_full(void)
{
    rt = rig_create(2, 4, 2, 0);
    for (int i = 0; i < 3; i++)
        put_private(i);
    submit(3);
    submit(4);
}

/* Looks outside, as a worker does in between, then sits in a leaf until another worker has run all else. */
static void looker_leaf(void)
{
    struct worker *w = rig_worker(rt, 1);
    weir_task *t = worker_take_injected(w);
    if (t != NULL)
        worker_run_chain(w, t);
    for (int i = 0; i < 5; i++)
        rig_job_await(&job[i]);
    rig_end(rt);
    rig_worker_end();
}

static void parker0_5(void) { parker(0, 5); }

/* --- a push to a full deque that is at its limit ------------------------------------------------------------------ */

/* In worker 1, inside its push: a leaf that lasts until another worker has run what lies beneath. */
static weir_task *leaf_above_run(weir_worker *w, weir_task *t)
{
    struct rig_job *j = (struct rig_job *)(void *)t;
    MODEL_WRITE(j->result, MODEL_READ(j->payload) + 1);
    if (worker_of(w)->id == 1)
        for (struct rig_job *beneath = job; beneath < j; beneath++)
            rig_job_await(beneath);
    MODEL_ASSERT(atom_add(&j->ran, 1u, memory_order_release) == 0);
    return NULL;
}

/* Worker 1's deque never holds more than two tasks: the second push, and any that finds it full again, runs one. */
static void setup_limit(void)
{
    rt = rig_create(2, 2, 2, 0);
    rt->config.deque_limit = 2;
}

static void push_leaf_above(struct worker *w, int i)
{
    rig_job_init(&job[i], 5 + i);
    job[i].task.run = leaf_above_run;
    weir_push(worker_public(w), &job[i].task);
}

static void push_to_full(int n)
{
    struct worker *w = rig_worker(rt, 1);
    for (int i = 0; i < n; i++)
        push_leaf_above(w, i);
    for (int i = 0; i < n; i++)
        rig_job_await(&job[i]);
    rig_end(rt);
    rig_worker_end();
}

static void pusher_full_2(void) { push_to_full(2); }
static void pusher_full_3(void) { push_to_full(3); }

/* --- wake-ups in a hurry ------------------------------------------------------------------------------------------ */

static unsigned crowd; /* workers that share a processor */

static void create_crowd(unsigned workers)
{
    crowd = workers;
    rt = rig_create(workers, 2, 4, 0);
    rig_crowd(rt);
}

static void setup_crowd(void) { create_crowd(2); }
static void setup_crowd_of_three(void) { create_crowd(3); }

/* Is stuck until the last of the tasks has run. */
static weir_task *stuck_run(weir_worker *w, weir_task *t)
{
    struct rig_job *j = (struct rig_job *)(void *)t;
    (void)w;
    rig_job_await(&job[crowd - 1]);
    MODEL_ASSERT(atom_add(&j->ran, 1u, memory_order_release) == 0);
    return NULL;
}

/* As many tasks as there are workers, all but the last one stuck until that has run: each worker must come. */
static void submit_to_crowd(void)
{
    for (unsigned i = 0; i < crowd; i++) {
        rig_job_init(&job[i], 1);
        if (i + 1 < crowd)
            job[i].task.run = stuck_run;
        MODEL_ASSERT(runtime_submit(rt, &job[i].task, WEIR_LANE_NORMAL, WEIR_TRY, 0) == 0);
    }
    for (unsigned i = 0; i < crowd; i++)
        while (atom_load(&job[i].ran, memory_order_acquire) == 0)
            os_relax();
    rig_end(rt);
}

static void parker1_all(void) { parker(1, 5); }

/* Nobody searches any more, and nobody is counted as asleep: each hurried wake-up is one worker's, once. */
static void check_crowd(void)
{
    MODEL_ASSERT(atom_load(&rt->idle.searching, memory_order_relaxed) == 0);
    MODEL_ASSERT(!idle_has_sleepers(&rt->idle));
    MODEL_ASSERT(idle_count_bits(&rt->idle) == 0);
    rig_drop(rt);
}

#define CLIENT(client, set, ...) {.name = client, .setup = set, .check = check, .thread = {__VA_ARGS__}, \
                                  .leaks_ok = true, .preemptions = 3}
#define RANDOM(client, set, ...) {.name = client, .setup = set, .check = check, .thread = {__VA_ARGS__}, \
                                  .leaks_ok = true, .pct = true, .executions = 20000}
static const struct model_client clients[] = {
    CLIENT("park_against_push", setup_two, parker0_1, pusher_leaf),
    CLIENT("park_against_two_pushes", setup_two, parker0_2, pusher_two),
    CLIENT("park_against_push_and_pop", setup_two, parker0_1, pusher_pop),
    CLIENT("park_against_submit", setup_one, parker0_1, submit0),
    CLIENT("park_against_pinned_submit", setup_one, parker0_1, submit_pinned),
    CLIENT("park_against_sent", setup_two, parker0_1, send0),
    {.name = "park_against_two_sent", .setup = setup_three, .check = check, .thread = {parker0_2, send0, send1},
     .leaks_ok = true, .preemptions = 2, .deep_preemptions = 3},
    CLIENT("park_twice_against_submits", setup_one, parker0_2, submit01),
    CLIENT("cancel_against_wakes", setup_one, parker0_2, submit0, submit1),
    CLIENT("park_against_push_without_membarrier", setup_two_always, parker0_1, pusher_leaf),
    CLIENT("park_against_submit_without_membarrier", setup_one_always, parker0_1, submit0),
    CLIENT("join_without_membarrier", setup_two_always, parker0_1, forker),
    CLIENT("park_against_end", setup_one, parker0_1, ender),
    CLIENT("park_against_stop", setup_one, parker0_1, stopper),
    CLIENT("two_run_dry", setup_dry, parker0_1, parker1_1),
    {.name = "last_task_then_dry", .setup = setup_nearly_dry, .check = check_ran, .thread = {parker0_2, popper},
     .leaks_ok = true, .preemptions = 2, .deep_preemptions = 3},
    CLIENT("join_of_a_stolen_task", setup_two, parker0_1, forker),
    RANDOM("two_parkers_two_pushes", setup_three, parker0_1, pusher_two, parker2_1),
    RANDOM("two_parkers_two_submits", setup_three, parker0_all, submit01_end, parker2_all),
    RANDOM("random_two_run_dry", setup_dry, parker0_1, parker1_1),
    RANDOM("three_run_dry", setup_three_dry, parker0_1, parker1_1, parker2_1),
    {.name = "random_last_task_then_dry", .setup = setup_nearly_dry, .check = check_ran,
     .thread = {parker0_2, popper}, .leaks_ok = true, .pct = true, .executions = 20000},
    {.name = "end_against_a_leaver", .setup = setup_leaving, .check = check, .thread = {leaver, parker1_1},
     .leaks_ok = true, .pct = true, .pct_depth = 7, .executions = 20000},
    CLIENT("end_against_a_returner", setup_leaving, returner, announcer1),
    RANDOM("park_against_a_move", setup_full, parker0_5, looker_leaf),
    CLIENT("park_against_push_to_full", setup_limit, parker0_all, pusher_full_2),
    CLIENT("park_against_pushes_to_full", setup_limit, parker0_all, pusher_full_3),
    RANDOM("random_park_against_pushes_to_full", setup_limit, parker0_all, pusher_full_3),
    {.name = "park_against_hurry", .setup = setup_crowd, .check = check_crowd, .leaks_ok = true, .preemptions = 2,
     .deep_preemptions = 3, .thread = {parker0_all, parker1_all, submit_to_crowd}},
    {.name = "random_park_against_hurry", .setup = setup_crowd, .check = check_crowd, .leaks_ok = true, .pct = true,
     .executions = 20000, .thread = {parker0_all, parker1_all, submit_to_crowd}},
    {.name = "three_in_a_hurry", .setup = setup_crowd_of_three, .check = check_crowd, .leaks_ok = true, .pct = true,
     .executions = 20000, .thread = {parker0_all, parker1_all, parker2_all, submit_to_crowd}},
    RANDOM("random_park_against_two_pushes", setup_two, parker0_2, pusher_two),
    RANDOM("random_join_of_a_stolen_task", setup_two, parker0_1, forker),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
