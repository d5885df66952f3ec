/* SPDX-License-Identifier: MIT
 *
 * client_runtime.c - whole runtimes: workers in their loop, submitters outside, stop at any moment.
 *
 * Too large to be exhausted: searched at random (PCT), and in the deep run depth first with few preemptions.
 *
 * Threads: the first ones run worker_main(), the last one submits, stops and frees the runtime.
 * Invariants: what was accepted runs exactly once, or is discarded by a discarding stop; everything is freed.
 */
#include <errno.h>

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

static void stop(weir_stop_mode mode)
{
    runtime_begin_stop(rt, mode);
    MODEL_ASSERT(runtime_await_end(rt, OS_FOREVER) == 0);
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

/* Another thread submits while the last one stops the runtime; the handle's users are counted by the two words. */
static weir_atomic_u32 users;

static void late_submitter(void)
{
    submit(1, WEIR_BLOCK);
    atom_store(&users, 1u, memory_order_release);
}

static void stop_against_submit(void)
{
    runtime_begin_stop(rt, WEIR_DRAIN);
    MODEL_ASSERT(runtime_await_end(rt, OS_FOREVER) == 0);
    while (atom_load(&users, memory_order_acquire) == 0)
        os_relax();
    runtime_destroy(rt);
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

#define CLIENT(client, n, set, end, ...) {.name = client, .tag = n, .setup = set, .check = end, .pct = true, \
                                          .executions = 15000, .preemptions = 2, .deep_preemptions = 3, \
                                          .thread = {__VA_ARGS__}}
static const struct model_client clients[] = {
    CLIENT("one_worker_stop", 1, setup, check_ran, worker0, stop_at_once),
    CLIENT("one_worker_drain", 1, setup, check_ran, worker0, submit_then_drain),
    CLIENT("two_workers_stop", 2, setup, check_ran, worker0, worker1, stop_at_once),
    CLIENT("two_workers_drain", 2, setup, check_ran, worker0, worker1, submit_two_then_drain),
    CLIENT("two_workers_discard", 2, setup, check_discard, worker0, worker1, submit_then_discard),
    CLIENT("stop_against_submit", 1, setup, check_ran, worker0, late_submitter, stop_against_submit),
    CLIENT("two_workers_stop_against_submit", 2, setup, check_ran, worker0, worker1, late_submitter,
           stop_against_submit),
    CLIENT("full_block_and_guest", 1, setup_guest, check_ran, worker0, submit_three_full),
    CLIENT("fork_join_whole", 2, setup, check_ran, worker0, worker1, submit_forker),
    CLIENT("scope_whole", 2, setup, check_ran, worker0, worker1, submit_scope),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
