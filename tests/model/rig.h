/* SPDX-License-Identifier: MIT
 *
 * rig.h - a small runtime for clients that need whole workers: built by the unmodified runtime_create().
 *
 * The topology is made up (one usable CPU per worker); statistics are not modelled. A client thread becomes worker i by
 * rig_worker(i), or runs worker i's main function by model_started(i).
 *
 * Threads: rig_create, rig_destroy: setup and check.
 */
#ifndef RIG_H
#define RIG_H

#include "model.h"
#include "par/wait.h"
#include "sched/lifecycle.h"
#include "sched/worker.h"

/* Set before rig_create(): every push publishes, as where membarrier is missing. */
extern bool rig_always_public;
/* Set before rig_create(): seats for spare workers, and how many more workers the governor may call. */
extern uint32_t rig_spares, rig_growth;
/* Builds a runtime of that many workers; deque and queue hold at least that many tasks before they grow or are full. */
struct runtime *rig_create(uint32_t workers, uint32_t deque, uint32_t queue, uint32_t guests);
/* After that: the workers, at least two, share one processor, so that submitted tasks are taken one by one and wake-ups
 * are hurried (runtime_hurry()). */
void rig_crowd(struct runtime *rt);
/* Frees it: all client threads have ended. */
void rig_destroy(struct runtime *rt);
/* In check, where client threads stood for the workers: what their deques and slabs hold. The rest is left. */
void rig_drop(struct runtime *rt);
/* Makes the calling client thread worker i of the runtime. */
struct worker *rig_worker(struct runtime *rt, uint32_t i);
/* Ends that. */
void rig_worker_end(void);
/* A submit to the inbox of worker i, with WEIR_TRY. */
int rig_submit_to(struct runtime *rt, uint32_t i, weir_task *t);
/* Ends the runtime for its workers: those that search return without a task. */
void rig_end(struct runtime *rt);

/* A task with payload: rig_job_check() fails unless each made job ran once and its payload was there. */
struct rig_job {
    weir_task task;
    int payload;
    int result;
    weir_atomic_u32 ran;
};
void rig_job_init(struct rig_job *j, int payload);
/* Waits, like a task that is busy and makes no new ones, until the job has run. */
void rig_job_await(struct rig_job *j);
/* What a forked job runs: its result is its payload and one. */
weir_task *rig_forked_run(weir_worker *w, weir_task *t);
/* The worker forks and joins one. */
void rig_fork_and_join(struct worker *w);

#endif
