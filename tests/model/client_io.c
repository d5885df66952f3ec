/* SPDX-License-Identifier: MIT
 *
 * client_io.c - operations on descriptors: completion against park, cancel against completion, whoever sleeps or is
 * stuck.
 *
 * Each operation leads to a job, which must run once: one that is lost shows as a deadlock or as a spin that never
 * ends.
 *
 * Threads: client threads are workers, or the device.
 */
#include <errno.h>

#include "model_poller.h"
#include "os/poller.h"
#include "rig.h"

static struct runtime *rt;
static struct rig_job job[3];
static weir_io op[3];

static void setup_one(void)
{
    rt = rig_create(1, 4, 2, 0);
}

static void setup_two(void)
{
    rt = rig_create(2, 4, 2, 0);
}

static void check(void)
{
    io_destroy(rt);
    rig_drop(rt);
}

static void start(struct worker *w, int i)
{
    rig_job_init(&job[i], i);
    weir_io_init(&op[i], &job[i].task);
    MODEL_WRITE(op[i].fd, i);
    MODEL_ASSERT(io_start(w, &op[i]) == 0);
}

static void fire0(void) { device_fire(0); }
static void fire1(void) { device_fire(1); }

/* Searches, and so parks, until it has run n tasks. */
static void work(struct worker *w, unsigned n)
{
    while (n-- > 0) {
        weir_task *t = worker_search(w);
        MODEL_ASSERT(t != NULL);
        worker_run_chain(w, t);
        while ((t = deque_pop(&w->dq)) != NULL) {
            worker_run_chain(w, t);
            n--;
        }
    }
}

/* --- one worker: completion against park ------------------------------------------------------------------------- */

static void starter(void)
{
    struct worker *w = rig_worker(rt, 0);
    start(w, 0);
    work(w, 1);
    rig_job_await(&job[0]);
    rig_worker_end();
}

static void submitter(void)
{
    rig_job_init(&job[1], 9);
    MODEL_ASSERT(runtime_submit(rt, &job[1].task, WEIR_LANE_NORMAL, WEIR_TRY, 0) == 0);
}

static void starter_and_server(void)
{
    struct worker *w = rig_worker(rt, 0);
    start(w, 0);
    work(w, 2);
    rig_job_await(&job[0]);
    rig_job_await(&job[1]);
    rig_worker_end();
}

/* --- two workers: who starts is stuck, who sleeps must look ------------------------------------------------------- */

static void starter_in_a_leaf(void)
{
    struct worker *w = rig_worker(rt, 0);
    start(w, 0);
    io_flush(w);
    rig_job_await(&job[0]);
    rig_worker_end();
}

static void parker(void)
{
    struct worker *w = rig_worker(rt, 1);
    work(w, 1);
    rig_worker_end();
}

/* Both start, so both look for the poller's lock. */
static void starter_of_one(void)
{
    struct worker *w = rig_worker(rt, 1);
    start(w, 1);
    io_flush(w);
    rig_job_await(&job[1]);
    rig_worker_end();
}

/* --- the keeper takes a task that does not end before another operation's has run --- */

static weir_task stuck, last;
static weir_atomic_u32 ended;

/* Whoever runs the second of the two ends the runtime. */
static void end_one(void)
{
    if (atom_add(&ended, 1u, memory_order_seq_cst) == 1)
        rig_end(rt);
}

static weir_task *await_other(weir_worker *w, weir_task *t)
{
    (void)w, (void)t;
    while (atom_load(&ended, memory_order_acquire) == 0)
        os_relax();
    end_one();
    return NULL;
}

static weir_task *run_last(weir_worker *w, weir_task *t)
{
    (void)w, (void)t;
    end_one();
    return NULL;
}

static void run_all(struct worker *w)
{
    weir_task *t;
    while ((t = worker_search(w)) != NULL)
        do
            worker_run_chain(w, t);
        while ((t = deque_pop(&w->dq)) != NULL);
    rig_worker_end();
}

static void starter_of_a_stuck_task(void)
{
    struct worker *w = rig_worker(rt, 0);
    weir_task_init(&stuck, await_other);
    weir_task_init(&last, run_last);
    for (int i = 0; i < 2; i++) {
        weir_io_init(&op[i], i == 0 ? &stuck : &last);
        MODEL_WRITE(op[i].fd, i);
        MODEL_ASSERT(io_start(w, &op[i]) == 0);
    }
    run_all(w);
}

static void partner(void)
{
    run_all(rig_worker(rt, 1));
}

/* --- cancel against completion ------------------------------------------------------------------------------------ */

/* The record is the worker's again, and gone, as soon as its job has run and the cancel has returned. */
static weir_atomic_u32 known, asked;

static void starter_to_be_cancelled(void)
{
    struct worker *w = rig_worker(rt, 0);
    start(w, 0);
    atom_store(&known, 1u, memory_order_release);
    work(w, 1);
    rig_job_await(&job[0]);
    MODEL_ASSERT(op[0].result == 1 || op[0].result == -ECANCELED);
    MODEL_ASSERT(atom_load(&op[0].state, memory_order_relaxed) == 0);
    rig_worker_end();
}

static void canceller(void)
{
    struct worker *w = rig_worker(rt, 1);
    while (atom_load(&known, memory_order_acquire) == 0)
        os_relax();
    int r = io_cancel(w, &op[0]);
    MODEL_ASSERT(r == 0 || r == -ENOENT);
    atom_store(&asked, 1u, memory_order_release);
    rig_worker_end();
}

/* What could be done at once is over before the poller has heard of it. */
static void writer_to_be_cancelled(void)
{
    struct worker *w = rig_worker(rt, 0);
    op[0].op = POLLER_WRITE;
    start(w, 0);
    atom_store(&known, 1u, memory_order_release);
    work(w, 1);
    rig_job_await(&job[0]);
    MODEL_ASSERT(op[0].result == 1 && atom_load(&op[0].state, memory_order_relaxed) == 0);
    while (atom_load(&asked, memory_order_acquire) == 0)
        os_relax();
    MODEL_ASSERT(atom_load(&op[0].state, memory_order_relaxed) == 0);
    rig_worker_end();
}

#define CLIENT(name_, setup_, ...) \
    {.name = name_, .setup = setup_, .check = check, .thread = {__VA_ARGS__}, .leaks_ok = true, .preemptions = 2}
#define RANDOM(name_, setup_, ...) \
    {.name = name_, .setup = setup_, .check = check, .thread = {__VA_ARGS__}, .leaks_ok = true, .pct = true, \
     .executions = 20000}

static const struct model_client clients[] = {
    CLIENT("completion_against_park", setup_one, starter, fire0),
    CLIENT("completion_and_submit_against_park", setup_one, starter_and_server, fire0, submitter),
    CLIENT("start_beside_a_sleeper", setup_two, starter_in_a_leaf, parker, fire0),
    CLIENT("two_that_start", setup_two, starter_and_server, starter_of_one, fire0, fire1),
    CLIENT("keeper_that_gets_stuck", setup_two, starter_of_a_stuck_task, partner, fire0, fire1),
    CLIENT("cancel_against_completion", setup_two, starter_to_be_cancelled, canceller, fire0),
    CLIENT("cancel_against_a_write_at_once", setup_two, writer_to_be_cancelled, canceller),
    RANDOM("random_cancel_against_a_write_at_once", setup_two, writer_to_be_cancelled, canceller),
    RANDOM("random_completion_and_submit_against_park", setup_one, starter_and_server, fire0, submitter),
    RANDOM("random_start_beside_a_sleeper", setup_two, starter_in_a_leaf, parker, fire0),
    RANDOM("random_two_that_start", setup_two, starter_and_server, starter_of_one, fire0, fire1),
    RANDOM("random_keeper_that_gets_stuck", setup_two, starter_of_a_stuck_task, partner, fire0, fire1),
    RANDOM("random_cancel_against_completion", setup_two, starter_to_be_cancelled, canceller, fire0),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
