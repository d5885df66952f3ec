/* SPDX-License-Identifier: MIT
 *
 * client_elastic.c - workers that come and go: a blocked worker against work that comes, a sleeper that leaves against
 * work that comes, the table of workers that changes under a sweep.
 *
 * Threads: client threads are workers, the threads of seats that were absent, or outside submitters.
 * Invariants: what was submitted runs although the only worker is blocked, or although a sleeper leaves at that moment.
 */
#include "rig.h"

static struct runtime *rt;
static struct rig_job job[2];
static weir_atomic_u32 spare_gone;

/* --- a blocked worker ------------------------------------------------------------------------------------------- */

static void ignore_counts(void)
{
    struct elastic *e = &rt->elastic;
    model_ignore(&e->called, sizeof e->called);
    model_ignore(&e->retired, sizeof e->retired);
    model_ignore(&e->grown, sizeof e->grown);
}

static void create_with_spare(uint32_t workers, uint32_t deque)
{
    rig_spares = 1;
    rt = rig_create(workers, deque, 2, 0);
    ignore_counts();
}

/* All but the first worker may leave. No thread is started by the runtime: none is joined. */
static void create_with_leavers(uint32_t workers, uint32_t deque)
{
    rt = rig_create(workers, deque, 2, 0);
    rt->count = 1;
    rt->elastic.duty.min = 1;
    ignore_counts();
}

static void setup_spare(void) { create_with_spare(1, 2); }

static void worker0(void) { model_started(0); }

/* Becomes the thread of that seat, the n-th thread that is started, if it is. */
static void become_spare(uint32_t seat, unsigned n)
{
    uint32_t state;
    while ((state = atom_load(&rt->workers[seat]->thread_state, memory_order_acquire)) != THREAD_JOINABLE) {
        if (state == THREAD_NONE && runtime_phase(rt) == PHASE_ENDED)
            break;
        os_relax();
    }
    if (state == THREAD_JOINABLE)
        model_started(n);
    atom_store(&spare_gone, 1u, memory_order_release);
}

static void spare(void) { become_spare(1, 1); }

/* A call that blocks until the other job has run. */
static weir_task *block_run(weir_worker *w, weir_task *t)
{
    struct rig_job *j = (struct rig_job *)(void *)t;
    MODEL_ASSERT(block_begin(worker_of(w)) == 0);
    rig_job_await(&job[1]);
    MODEL_ASSERT(block_end(worker_of(w)) == 0);
    MODEL_ASSERT(atom_add(&j->ran, 1u, memory_order_release) == 0);
    return NULL;
}

static void submit_job(int i)
{
    MODEL_ASSERT(runtime_submit(rt, &job[i].task, WEIR_LANE_NORMAL, WEIR_BLOCK, 0) == 0);
}

static void submit_blocker_and_job(void)
{
    rig_job_init(&job[0], 1);
    rig_job_init(&job[1], 2);
    job[0].task.run = block_run;
    submit_job(0);
    submit_job(1);
    runtime_begin_stop(rt, WEIR_DRAIN);
    MODEL_ASSERT(runtime_await_end(rt, OS_FOREVER) == 0);
    while (atom_load(&spare_gone, memory_order_acquire) == 0)
        os_relax();
    runtime_destroy(rt);
}

static void check_both_ran(void)
{
    for (int i = 0; i < 2; i++)
        MODEL_ASSERT(atom_load(&job[i].ran, memory_order_relaxed) == 1);
}

/* --- a worker that blocks while another one leaves the search ---------------------------------------------------- */

/* Runs while the other worker of two blocks for what it leaves on its deque: a third one is needed for that. */
static weir_task *push_and_stay_run(weir_worker *w, weir_task *t)
{
    struct rig_job *j = (struct rig_job *)(void *)t;
    weir_push(w, &job[1].task);
    rig_job_await(&job[1]);
    MODEL_ASSERT(atom_add(&j->ran, 1u, memory_order_release) == 0);
    return NULL;
}

static void setup_two_and_spare(void)
{
    create_with_spare(2, 4);
    rig_job_init(&job[0], 1);
    rig_job_init(&job[1], 2);
    job[0].task.run = push_and_stay_run;
    submit_job(0);
}

static void blocker(void)
{
    struct worker *w = rig_worker(rt, 0);
    MODEL_ASSERT(block_begin(w) == 0);
    rig_job_await(&job[1]);
    MODEL_ASSERT(block_end(w) == 0);
    rig_worker_end();
}

static void searcher(void)
{
    struct worker *w = rig_worker(rt, 1);
    worker_run_chain(w, worker_search(w));
    rig_end(rt);
    rig_worker_end();
}

static weir_task *stuck_run(weir_worker *w, weir_task *t)
{
    struct rig_job *j = (struct rig_job *)(void *)t;
    (void)w;
    rig_job_await(&job[1]);
    MODEL_ASSERT(atom_add(&j->ran, 1u, memory_order_release) == 0);
    return NULL;
}

/* Workers share a processor, and both tasks wait outside: one is called although somebody searches. */
static void setup_crowd_and_spare(void)
{
    create_with_spare(2, 4);
    rig_crowd(rt);
    for (int i = 0; i < 2; i++) {
        rig_job_init(&job[i], i);
        if (i == 0)
            job[i].task.run = stuck_run;
        submit_job(i);
    }
}

static void third(void) { become_spare(2, 2); }

/* --- a worker that steps down while the runtime ends ------------------------------------------------------------- */

/* Two on duty, one wanted. Neither has a deadline: a spare that misses the end sleeps for ever. */
static void setup_one_too_many(void)
{
    rt = rig_create(2, 2, 2, 0);
    atom_store(&rt->elastic.duty.word, duty_with_target(duty_read(&rt->elastic.duty), 1), memory_order_relaxed);
}

static void stepper(void)
{
    struct worker *w = rig_worker(rt, 1);
    enum elastic_rest rest = elastic_step_down(w);
    MODEL_ASSERT(rest != REST_RETIRED);
    MODEL_ASSERT((rest == REST_WOKEN ? worker_search_woken(w) : worker_search(w)) == NULL);
    rig_worker_end();
}

static void stop_and_park(void)
{
    struct worker *w = rig_worker(rt, 0);
    runtime_begin_stop(rt, WEIR_DRAIN);
    MODEL_ASSERT(worker_search(w) == NULL);
    rig_worker_end();
}

static void check_dropped(void)
{
    rig_drop(rt);
}

/* --- a drain that may not end while a task runs ------------------------------------------------------------------ */

/* Worker 0 runs a task. Worker 2 counts sleepers and places on duty while worker 1 retracts and leaves. */
static void setup_drain_and_leaver(void)
{
    create_with_leavers(3, 2);
    runtime_begin_stop(rt, WEIR_DRAIN);
}

/* The same while worker 0 blocks and another seat is put on duty and announced in its place. */
static void setup_drain_and_call(void)
{
    create_with_spare(2, 2);
    runtime_begin_stop(rt, WEIR_DRAIN);
}

static void runner(void)
{
    struct worker *w = rig_worker(rt, 0);
    for (int i = 0; i < 2; i++)
        MODEL_ASSERT(runtime_phase(rt) != PHASE_ENDED);
    MODEL_ASSERT(worker_search(w) == NULL);
    rig_worker_end();
}

static void runner_that_blocks(void)
{
    struct worker *w = rig_worker(rt, 0);
    MODEL_ASSERT(block_begin(w) == 0);
    MODEL_ASSERT(runtime_phase(rt) != PHASE_ENDED);
    MODEL_ASSERT(block_end(w) == 0);
    MODEL_ASSERT(runtime_phase(rt) != PHASE_ENDED);
    MODEL_ASSERT(worker_search(w) == NULL);
    rig_worker_end();
}

/* Straight to what a search ends with: the announcement, and the count of those who are announced. */
static void counts(uint32_t id)
{
    struct worker *w = rig_worker(rt, id);
    idle_announce(&rt->idle, id, false);
    runtime_check_rest(rt);
    if (elastic_sleep(w, true) == REST_WOKEN)
        MODEL_ASSERT(worker_search_woken(w) == NULL);
    rig_worker_end();
}

static void counts1(void) { counts(1); }
static void counts2(void) { counts(2); }

/* Asleep from the beginning, and leaves as soon as it may. */
static void sleeps_and_leaves(void)
{
    struct worker *w = rig_worker(rt, 1);
    idle_announce(&rt->idle, 1, false);
    if (elastic_sleep(w, true) == REST_WOKEN)
        MODEL_ASSERT(worker_search_woken(w) == NULL);
    rig_worker_end();
}

/* --- a worker that comes while another one parks ----------------------------------------------------------------- */

static void setup_arrival(void)
{
    rt = rig_create(2, 4, 2, 0);
}

static void parker(void)
{
    struct worker *w = rig_worker(rt, 0);
    worker_run_chain(w, worker_search(w));
    rig_worker_end();
}

/* Leaves the table and enters it again; then one push, and a leaf until the other worker has run it. */
static void arrive_and_push(void)
{
    struct worker *w = rig_worker(rt, 1);
    MODEL_ASSERT(table_remove(w));
    rcu_flush();
    MODEL_ASSERT(table_add(w));
    rig_job_init(&job[0], 5);
    weir_push(worker_public(w), &job[0].task);
    rig_job_await(&job[0]);
    rig_worker_end();
}

/* --- one seat, one thread after the other ------------------------------------------------------------------------ */

static void setup_seats(uint32_t n)
{
    rig_growth = n;
    rt = rig_create(1, 2, 2, 0);
    ignore_counts();
}

static void setup_seat(void) { setup_seats(1); }

/* Calls the seat's worker as soon as it is free. */
static void starter(void)
{
    while (!elastic_grow(rt))
        os_relax();
}

/* The threads that were called; worker 0 and the governor are the first two. They retire for want of work. */
static void called1(void) { model_started(2); }
static void called2(void) { model_started(3); }

/* The first thread can't be started: its seat is vacant again, with what was prepared in it, and may be claimed by
 * somebody who has reserved a place before. */
static void setup_seats_and_refusal(void)
{
    setup_seats(2);
    uint64_t word = duty_with_target(duty_read(&rt->elastic.duty), 2); /* short of one worker */
    atom_store(&rt->elastic.duty.word, word, memory_order_relaxed);
    model_starts_fail(1);
}

static void tries_to_start(void)
{
    (void)elastic_grow(rt);
}

/* As a worker that blocks: announces a seat in its place, the one that is vacant again perhaps. */
static void announces(void)
{
    (void)rig_worker(rt, 0);
    elastic_call(rt, CALLER_WORKER);
    rig_worker_end();
}

/* As a pusher that was stopped behind its fence: wakes the announced seat, so starts a thread in it. What the first one
 * to try has left there it knows through the seat alone. */
static void notifies(void)
{
    atom_fence(memory_order_seq_cst);
    (void)idle_notify(&rt->idle);
}

/* --- the governor ------------------------------------------------------------------------------------------------ */

/* The only worker is stuck: what is submitted runs only if the governor sees it and calls the other seat. */
static void setup_governor(void)
{
    rig_growth = 1;
    rt = rig_create(1, 2, 2, 0);
    ignore_counts();
    model_name(&rt->governor.state, "governor");
    for (int i = 0; i < 2; i++)
        rig_job_init(&job[i], i + 1);
}

static void governor(void) { model_started(1); }
static void grown(void) { become_spare(1, 2); }

static void submit_beside_stuck(void)
{
    submit_job(1);
    rig_job_await(&job[1]);
    rig_end(rt);
    governor_stop(rt);
}

/* The same while the worker is still looking: it finds what makes it stuck. */
static void setup_governor_and_searcher(void)
{
    setup_governor();
    job[0].task.run = stuck_run;
    submit_job(0);
}

static void stuck_searcher(void)
{
    struct worker *w = rig_worker(rt, 0);
    weir_task *t = worker_search(w);
    MODEL_ASSERT(t == &job[0].task);
    worker_run_chain(w, t);
    rig_worker_end();
}

/* --- a sleeper that leaves -------------------------------------------------------------------------------------- */

static void setup_leaver(void) { create_with_leavers(2, 4); }

static void park_until_end(uint32_t id)
{
    struct worker *w = rig_worker(rt, id);
    weir_task *t;
    while ((t = worker_search(w)) != NULL)
        worker_run_chain(w, t);
    rig_worker_end();
}

static void stayer(void) { park_until_end(0); }
static void leaver(void) { park_until_end(1); }

static void submit_two_and_end(void)
{
    for (int i = 0; i < 2; i++) {
        rig_job_init(&job[i], i);
        submit_job(i);
        rig_job_await(&job[i]);
    }
    rig_end(rt);
}

/* --- a surplus sleeper that is withdrawn ------------------------------------------------------------------------ */

/* Worker 0 is blocked, and worker 1 is on duty in its place: a surplus when worker 0 comes back. */
static void setup_surplus(void)
{
    setup_leaver();
    atom_store(&rt->elastic.duty.word, duty_with_target(2, 1) | UINT64_C(1) << DUTY_BLOCKED_SHIFT,
               memory_order_relaxed);
}

static void comes_back(void)
{
    struct worker *w = rig_worker(rt, 0);
    weir_task *t;
    block_leave(w);
    while ((t = worker_search(w)) != NULL)
        worker_run_chain(w, t);
    rig_worker_end();
}

/* --- the table -------------------------------------------------------------------------------------------------- */

static void setup_table(void)
{
    rt = rig_create(3, 2, 2, 0);
}

static void sweeper(void)
{
    struct worker *w = rig_worker(rt, 0);
    (void)w;
    for (int i = 0; i < 2; i++)
        MODEL_ASSERT(!steal_anything_left(rt));
    rig_worker_end();
}

static void goes_and_comes(void)
{
    struct worker *w = rig_worker(rt, 1);
    MODEL_ASSERT(table_remove(w));
    MODEL_ASSERT(table_add(w));
    rcu_flush();
    rig_worker_end();
}

static void goes(void)
{
    struct worker *w = rig_worker(rt, 2);
    MODEL_ASSERT(table_remove(w));
    rcu_flush();
    rig_worker_end();
}

static void check_table(void)
{
    const struct table *t = table_read(rt);
    MODEL_ASSERT(t->count == (uint32_t)model_tag());
    for (uint32_t i = 0; i < t->count; i++)
        MODEL_ASSERT(t->at[i].worker->id < t->count);
}

static const struct model_client clients[] = {
    {.name = "block_against_submit", .setup = setup_spare, .check = check_both_ran, .pct = true, .executions = 20000,
     .thread = {worker0, spare, submit_blocker_and_job}},
    {.name = "leave_against_submit", .setup = setup_leaver, .check = check_both_ran, .pct = true, .executions = 20000,
     .timeouts = 2, .leaks_ok = true, .thread = {stayer, leaver, submit_two_and_end}},
    {.name = "block_against_leaving_the_search", .setup = setup_two_and_spare, .check = check_both_ran, .pct = true,
     .executions = 20000, .leaks_ok = true, .thread = {blocker, searcher, third}},
    {.name = "block_in_a_hurry", .setup = setup_crowd_and_spare, .check = check_both_ran, .pct = true,
     .executions = 20000, .leaks_ok = true, .thread = {blocker, searcher, third}},
    {.name = "step_down_against_end", .setup = setup_one_too_many, .check = check_dropped, .preemptions = 3,
     .leaks_ok = true, .thread = {stepper, stop_and_park}},
    {.name = "random_step_down_against_end", .setup = setup_one_too_many, .check = check_dropped, .pct = true,
     .executions = 20000, .leaks_ok = true, .thread = {stepper, stop_and_park}},
    {.name = "leave_against_rest", .setup = setup_drain_and_leaver, .check = check_dropped, .pct = true,
     .executions = 20000, .timeouts = 2, .leaks_ok = true, .thread = {runner, sleeps_and_leaves, counts2}},
    {.name = "call_against_rest", .setup = setup_drain_and_call, .check = check_dropped, .pct = true,
     .executions = 20000, .leaks_ok = true, .thread = {runner_that_blocks, counts1, third}},
    {.name = "arrive_against_park", .setup = setup_arrival, .check = check_dropped, .preemptions = 3,
     .leaks_ok = true, .thread = {parker, arrive_and_push}},
    {.name = "random_arrive_against_park", .setup = setup_arrival, .check = check_dropped, .pct = true,
     .executions = 20000, .leaks_ok = true, .thread = {parker, arrive_and_push}},
    {.name = "seat_used_again", .setup = setup_seat, .check = check_dropped, .pct = true,
     .executions = 20000, .leaks_ok = true, .thread = {starter, starter, called1, called2}},
    {.name = "seat_after_a_refused_start", .setup = setup_seats_and_refusal, .check = check_dropped, .preemptions = 2,
     .leaks_ok = true, .thread = {tries_to_start, tries_to_start}},
    {.name = "seat_announced_by_another", .setup = setup_seats_and_refusal, .check = check_dropped, .leaks_ok = true,
     .thread = {notifies, announces, tries_to_start}},
    {.name = "governor_against_submit", .setup = setup_governor, .pct = true, .executions = 20000, .leaks_ok = true,
     .thread = {governor, grown, submit_beside_stuck}},
    {.name = "governor_against_leaving_the_search", .setup = setup_governor_and_searcher, .pct = true,
     .executions = 20000, .leaks_ok = true, .thread = {governor, stuck_searcher, grown, submit_beside_stuck}},
    {.name = "withdrawal_against_a_find", .setup = setup_surplus, .check = check_both_ran, .pct = true,
     .executions = 20000, .timeouts = 2, .leaks_ok = true, .thread = {comes_back, leaver, submit_two_and_end}},
    {.name = "table_against_sweep", .tag = 3, .setup = setup_table, .check = check_table, .preemptions = 3,
     .leaks_ok = true, .thread = {sweeper, goes_and_comes}},
    {.name = "table_changes_meet", .tag = 2, .setup = setup_table, .check = check_table, .preemptions = 3,
     .leaks_ok = true, .thread = {goes, goes_and_comes}},
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
