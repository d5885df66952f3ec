/* SPDX-License-Identifier: MIT
 *
 * client_intake.c - tasks that were taken from outside together: the worker takes the oldest of its own deque as a
 * thief would, while others steal and force.
 *
 * Threads: worker 0 owns the deque; the others are thieves.
 * Invariants: each task runs once, with its payload, whoever gets it.
 */
#include "rig.h"

#define JOBS 3

static struct runtime *rt;
static struct rig_job job[JOBS];

static void setup(void)
{
    weir_task *all[JOBS];
    size_t accepted = 0;
    rt = rig_create(3, 4, 4, 0);
    for (int i = 0; i < JOBS; i++) {
        rig_job_init(&job[i], i + 1);
        all[i] = &job[i].task;
    }
    MODEL_ASSERT(runtime_submit_batch(rt, all, JOBS, WEIR_LANE_NORMAL, WEIR_TRY, 0, &accepted) == 0);
    MODEL_ASSERT(accepted == JOBS);
}

static void run_if_any(struct worker *w, weir_task *t)
{
    if (t != NULL)
        worker_run_chain(w, t);
}

/* The first comes from the queue and brings the others along; the next is the oldest of them, unless it was stolen. */
static void taker(void)
{
    struct worker *w = rig_worker(rt, 0);
    weir_task *t = worker_take_injected(w);
    MODEL_ASSERT(t == &job[0].task);
    worker_run_chain(w, t);
    for (int i = 0; i < model_tag(); i++)
        run_if_any(w, worker_take_ahead(w));
    while ((t = deque_pop(&w->dq)) != NULL)
        worker_run_chain(w, t);
    rig_worker_end();
}

static void thief(void)
{
    struct worker *w = rig_worker(rt, (uint32_t)model_thread());
    rcu_online();
    weir_task *t = steal_sweep(w, true);
    rcu_offline();
    run_if_any(w, t);
    rig_worker_end();
}

static void check(void)
{
    for (int i = 0; i < JOBS; i++) {
        MODEL_ASSERT(atom_load(&job[i].ran, memory_order_relaxed) == 1);
        rig_job_await(&job[i]);
    }
    rig_drop(rt);
}

#define CLIENT(client, n, ...) {.name = client, .tag = n, .setup = setup, .check = check, .leaks_ok = true, \
                                .preemptions = 2, .deep_preemptions = 3, .thread = {__VA_ARGS__}}
static const struct model_client clients[] = {
    CLIENT("oldest_against_a_thief", 1, taker, thief),
    CLIENT("two_oldest_against_a_thief", 2, taker, thief),
    CLIENT("oldest_against_two_thieves", 1, taker, thief, thief),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
