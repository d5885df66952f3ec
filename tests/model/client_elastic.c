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

static void setup_spare(void)
{
    rig_spares = 1;
    rt = rig_create(1, 2, 2, 0);
    model_ignore(&rt->elastic.called, sizeof rt->elastic.called);
    model_ignore(&rt->elastic.retired, sizeof rt->elastic.retired);
}

static void worker0(void) { model_started(0); }

/* Becomes the thread of seat 1 if that is started. */
static void spare(void)
{
    uint32_t state;
    while ((state = atom_load(&rt->workers[1]->thread_state, memory_order_acquire)) != THREAD_JOINABLE) {
        if (state == THREAD_NONE && runtime_phase(rt) == PHASE_ENDED)
            break;
        os_relax();
    }
    if (state == THREAD_JOINABLE)
        model_started(1);
    atom_store(&spare_gone, 1u, memory_order_release);
}

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

/* --- a sleeper that leaves -------------------------------------------------------------------------------------- */

/* Of two workers, the second may leave. No thread is started by the runtime: none is joined. */
static void setup_leaver(void)
{
    rt = rig_create(2, 4, 2, 0);
    rt->count = 1;
    rt->elastic.duty.min = 1;
    model_ignore(&rt->elastic.retired, sizeof rt->elastic.retired);
}

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
    atom_store(&rt->elastic.duty.word, duty_with_target(2, 1) | UINT64_C(1) << DUTY_BLOCKED_SHIFT, memory_order_relaxed);
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
    {.name = "withdrawal_against_a_find", .setup = setup_surplus, .check = check_both_ran, .pct = true, .executions = 20000,
     .timeouts = 2, .leaks_ok = true, .thread = {comes_back, leaver, submit_two_and_end}},
    {.name = "table_against_sweep", .tag = 3, .setup = setup_table, .check = check_table, .preemptions = 3, .leaks_ok = true,
     .thread = {sweeper, goes_and_comes}},
    {.name = "table_changes_meet", .tag = 2, .setup = setup_table, .check = check_table, .preemptions = 3, .leaks_ok = true,
     .thread = {goes, goes_and_comes}},
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
