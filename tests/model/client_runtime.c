/* SPDX-License-Identifier: MIT
 *
 * client_runtime.c - whole runtimes: workers in their loop, submitters outside, weir_stop() at any moment.
 *
 * Too large to be exhausted: searched at random (PCT), and in the deep run depth first with few preemptions.
 *
 * Threads: the first ones run worker_main(), the last one submits, stops and frees the runtime.
 * Invariants: what was accepted runs exactly once, or is discarded by a discarding stop; everything is freed.
 */
#include <errno.h>

#include "api/handle.h"
#include "rig.h"

static struct runtime *rt;
static struct rig_job job[3];
static int accepted[3];
static struct rig_job child[3];

static void setup(void)
{
    rt = rig_create((uint32_t)model_tag(), 2, 2, 0);
}

static void setup_guest(void)
{
    rt = rig_create((uint32_t)model_tag(), 2, 1, 1);
}

static void worker0(void) { model_started(0); }
static void worker1(void) { model_started(1); }

static void submit(int i, weir_policy policy)
{
    rig_job_init(&job[i], 3 + i);
    int r = runtime_submit(rt, &job[i].task, WEIR_LANE_NORMAL, policy, 0);
    MODEL_ASSERT(r == 0 || r == -ESHUTDOWN || (r == -EAGAIN && policy == WEIR_TRY));
    accepted[i] = r == 0;
}

/* What the workers did is known as soon as they have ended, before they are joined: their counters are read there. */
static void stop(weir_stop_mode mode)
{
    runtime_begin_stop(rt, mode);
    MODEL_ASSERT(runtime_await_end(rt, OS_FOREVER) == 0);
    for (int i = 0; i < 3; i++)
        if (accepted[i] && mode == WEIR_DRAIN)
            MODEL_ASSERT(MODEL_READ(job[i].result) != 0);
    runtime_destroy(rt);
}

static void check_ran(void)
{
    for (int i = 0; i < 3; i++)
        MODEL_ASSERT((int)atom_load(&job[i].ran, memory_order_relaxed) == accepted[i]);
}

static void check_discard(void)
{
    for (int i = 0; i < 3; i++)
        MODEL_ASSERT((int)atom_load(&job[i].ran, memory_order_relaxed) <= accepted[i]);
}

static void submit_then_drain(void)
{
    submit(0, WEIR_BLOCK);
    stop(WEIR_DRAIN);
    MODEL_ASSERT(accepted[0]);
}

static void submit_two_then_drain(void)
{
    submit(0, WEIR_BLOCK);
    submit(1, WEIR_BLOCK);
    stop(WEIR_DRAIN);
}

static void submit_then_discard(void)
{
    submit(0, WEIR_BLOCK);
    stop(WEIR_DISCARD);
}

static void stop_at_once(void)
{
    stop(WEIR_DRAIN);
}

/* Full: blocks, or runs the task itself. */
static void submit_three_full(void)
{
    submit(0, WEIR_BLOCK);
    submit(1, WEIR_RUN_IN_CALLER);
    submit(2, WEIR_BLOCK);
    stop(WEIR_DRAIN);
    MODEL_ASSERT(accepted[0] && accepted[1] && accepted[2]);
}

/* --- through the public calls: other threads submit, call and stop while one stops the runtime -------------------- */

static weir_runtime *handle;
static unsigned stopped;

static void setup_handle(void)
{
    uint32_t index;
    setup();
    MODEL_ASSERT(handle_reserve(&index) == 0);
    handle = handle_open(index, rt);
}

static void late_submitter(void)
{
    rig_job_init(&job[1], 4);
    int r = weir_submit(handle, &job[1].task, WEIR_BLOCK, 0);
    MODEL_ASSERT(r == 0 || r == -ESHUTDOWN);
    accepted[1] = r == 0;
}

static void weir_stopper(void)
{
    int r = weir_stop(handle, WEIR_DRAIN, WEIR_FOREVER);
    MODEL_ASSERT(r == 0 || r == -EALREADY || r == -ESHUTDOWN);
    stopped += r == 0;
}

static void weir_discarder(void)
{
    int r = weir_stop(handle, WEIR_DISCARD, WEIR_FOREVER);
    MODEL_ASSERT(r == 0);
    stopped++;
}

/* Gives up once at its deadline, perhaps, and then stops the runtime all the same. */
static void impatient_stopper(void)
{
    int r = weir_stop(handle, WEIR_DRAIN, 5000);
    MODEL_ASSERT(r == 0 || r == -ETIMEDOUT);
    if (r != 0)
        r = weir_stop(handle, WEIR_DRAIN, WEIR_FOREVER);
    MODEL_ASSERT(r == 0);
    stopped++;
}

static void called(weir_worker *w, void *arg)
{
    (void)w;
    MODEL_WRITE(*(int *)arg, 1);
}

static void late_caller(void)
{
    int ran = 0;
    int r = weir_call(handle, called, &ran);
    MODEL_ASSERT(r == 0 || r == -ESHUTDOWN || r == -ECANCELED);
    MODEL_ASSERT(MODEL_READ(ran) == (r == 0));
}

static void check_stopped(void)
{
    MODEL_ASSERT(stopped == 1);
    check_ran();
}

static void check_discarded(void)
{
    MODEL_ASSERT(stopped == 1);
    check_discard();
}

/* --- guests: one record, two threads after each other ------------------------------------------------------------- */

static int guest_note; /* belongs to whom the guest's record belongs */

static void setup_one_guest(void)
{
    rt = rig_create(1, 2, 1, 1);
}

static weir_task *note_run(weir_worker *w, weir_task *t)
{
    (void)w, (void)t;
    MODEL_WRITE(guest_note, MODEL_READ(guest_note) + 1);
    return NULL;
}

static void run_as_guest(int i)
{
    weir_task_init(&child[i].task, note_run);
    if (guest_run(rt, &child[i].task))
        accepted[i] = 1;
}

static void guest0(void) { run_as_guest(0); }
static void guest1(void) { run_as_guest(1); }

static void check_guests(void)
{
    MODEL_ASSERT(guest_note == accepted[0] + accepted[1] && guest_note >= 1);
    rig_drop(rt);
}

/* --- tasks that fork, and scopes -------------------------------------------------------------------------------- */

static weir_task *child_run(weir_worker *w, weir_task *t)
{
    struct rig_job *j = (struct rig_job *)(void *)t;
    (void)w;
    MODEL_WRITE(j->result, MODEL_READ(j->payload) * 2);
    return NULL;
}

static weir_task *parent_run(weir_worker *w, weir_task *t)
{
    struct rig_job *j = (struct rig_job *)(void *)t;
    for (int i = 0; i < 2; i++) {
        child[i].task.run = child_run;
        MODEL_WRITE(child[i].payload, i + 1);
        weir_fork(w, &child[i].task);
    }
    int sum = 0;
    for (int i = 1; i >= 0; i--) {
        MODEL_ASSERT(weir_join(w, &child[i].task) == 0);
        sum += MODEL_READ(child[i].result);
    }
    MODEL_ASSERT(sum == 6);
    MODEL_WRITE(j->result, sum);
    MODEL_ASSERT(atom_add(&j->ran, 1u, memory_order_release) == 0);
    return NULL;
}

static void submit_forker(void)
{
    rig_job_init(&job[0], 0);
    job[0].task.run = parent_run;
    MODEL_ASSERT(runtime_submit(rt, &job[0].task, WEIR_LANE_NORMAL, WEIR_BLOCK, 0) == 0);
    accepted[0] = 1;
    stop(WEIR_DRAIN);
}

static weir_task *member_run(weir_worker *w, weir_task *t)
{
    struct rig_job *j = (struct rig_job *)(void *)t;
    (void)w;
    MODEL_WRITE(j->result, MODEL_READ(j->payload) * 2);
    return NULL;
}

static weir_task *scope_run(weir_worker *w, weir_task *t)
{
    struct rig_job *j = (struct rig_job *)(void *)t;
    weir_scope *s = model_alloc(sizeof *s);
    weir_scope_init(w, s);
    for (int i = 0; i < 2; i++) {
        weir_task_init(&child[i].task, member_run);
        MODEL_WRITE(child[i].payload, i + 1);
        weir_scope_spawn(w, s, &child[i].task);
    }
    wait_scope(worker_of(w), s);
    MODEL_ASSERT(MODEL_READ(child[0].result) == 2 && MODEL_READ(child[1].result) == 4);
    model_free(s);
    MODEL_WRITE(j->result, 6);
    MODEL_ASSERT(atom_add(&j->ran, 1u, memory_order_release) == 0);
    return NULL;
}

static void submit_scope(void)
{
    rig_job_init(&job[0], 0);
    job[0].task.run = scope_run;
    MODEL_ASSERT(runtime_submit(rt, &job[0].task, WEIR_LANE_NORMAL, WEIR_BLOCK, 0) == 0);
    accepted[0] = 1;
    stop(WEIR_DRAIN);
}

/* The last task is stolen while its runtime drains: its thief may find the end set by the other worker. */
static void setup_last_task(void)
{
    setup();
    rig_job_init(&job[0], 3);
    accepted[0] = 1;
    weir_push(worker_public(rt->workers[0]), &job[0].task);
    runtime_begin_stop(rt, WEIR_DRAIN);
}

#define CLIENT(client, n, set, end, ...) {.name = client, .tag = n, .setup = set, .check = end, .pct = true, \
                                          .executions = 15000, .preemptions = 2, .deep_preemptions = 3, \
                                          .thread = {__VA_ARGS__}}
#define IMPATIENT(client, n, set, end, ...) {.name = client, .tag = n, .setup = set, .check = end, .pct = true, \
                                             .executions = 15000, .preemptions = 2, .deep_preemptions = 3, \
                                             .timeouts = 1, .thread = {__VA_ARGS__}}
static const struct model_client clients[] = {
    CLIENT("one_worker_stop", 1, setup, check_ran, worker0, stop_at_once),
    CLIENT("one_worker_drain", 1, setup, check_ran, worker0, submit_then_drain),
    CLIENT("two_workers_stop", 2, setup, check_ran, worker0, worker1, stop_at_once),
    CLIENT("two_workers_drain", 2, setup, check_ran, worker0, worker1, submit_two_then_drain),
    CLIENT("last_task_is_stolen", 2, setup_last_task, check_ran, worker0, worker1, stop_at_once),
    CLIENT("two_workers_discard", 2, setup, check_discard, worker0, worker1, submit_then_discard),
    CLIENT("stop_against_submit", 1, setup_handle, check_stopped, worker0, late_submitter, weir_stopper),
    CLIENT("two_workers_stop_against_submit", 2, setup_handle, check_stopped, worker0, worker1, late_submitter,
           weir_stopper),
    CLIENT("discard_against_submit", 1, setup_handle, check_discarded, worker0, late_submitter, weir_discarder),
    CLIENT("stop_against_stop_and_submit", 1, setup_handle, check_stopped, worker0, late_submitter, weir_stopper,
           weir_stopper),
    CLIENT("stop_against_call", 1, setup_handle, check_stopped, worker0, late_caller, weir_stopper),
    CLIENT("discard_against_call", 1, setup_handle, check_discarded, worker0, late_caller, weir_discarder),
    IMPATIENT("stop_with_a_deadline", 1, setup_handle, check_stopped, worker0, late_submitter, impatient_stopper),
    {.name = "guest_after_guest", .tag = 1, .setup = setup_one_guest, .check = check_guests, .leaks_ok = true,
     .thread = {guest0, guest1}},
    CLIENT("full_block_and_guest", 1, setup_guest, check_ran, worker0, submit_three_full),
    CLIENT("fork_join_whole", 2, setup, check_ran, worker0, worker1, submit_forker),
    CLIENT("scope_whole", 2, setup, check_ran, worker0, worker1, submit_scope),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
