/* SPDX-License-Identifier: MIT
 *
 * client_wait.c - a worker waits in a join or a scope while the one that runs the awaited task makes more work.
 *
 * The server pushes a task and then sits in a leaf until somebody else has run it: only the waiter is there to do so. A
 * wake-up that is lost, or a look that is too early, shows as a livelock. The same if only the waiter is left.
 *
 * Threads: thread 0 waits as worker 0; thread 1 runs the awaited task as worker 1.
 */
#include "rig.h"

static struct runtime *rt;
static struct rig_job awaited; /* in a join: forked by worker 0, stolen by worker 1; in a scope: its member */
static struct rig_job child[2];
static weir_scope scope;

/* Pushes as many tasks as the client's tag says, each after the one before has run. */
static weir_task *serve_run(weir_worker *w, weir_task *t)
{
    struct rig_job *j = (struct rig_job *)(void *)t;
    for (int i = 0; i < model_tag(); i++) {
        rig_job_init(&child[i], i + 1);
        weir_push(w, &child[i].task);
        rig_job_await(&child[i]);
    }
    MODEL_WRITE(j->result, 9);
    return NULL;
}

/* Two at once: one of them may be left when the waiter looks. */
static weir_task *serve_two_run(weir_worker *w, weir_task *t)
{
    struct rig_job *j = (struct rig_job *)(void *)t;
    for (int i = 0; i < 2; i++) {
        rig_job_init(&child[i], i + 1);
        weir_push(w, &child[i].task);
    }
    rig_job_await(&child[0]);
    rig_job_await(&child[1]);
    MODEL_WRITE(j->result, 9);
    return NULL;
}

static void setup_join(void)
{
    rt = rig_create(2, 4, 2, 0);
    awaited.task.run = serve_run;
    atom_store(&awaited.task.state, (uint64_t)0x1000 | STATE_FORKED, memory_order_relaxed);
    state_set_thief(&awaited.task, 1);
    model_name(&awaited.task.state, "awaited");
    model_name(&rt->workers[0]->park.awaits, "awaits0");
    model_name(&rt->workers[1]->park.serving, "serving1");
}

static void setup_join_two(void)
{
    setup_join();
    awaited.task.run = serve_two_run;
}

static void setup_join_always(void)
{
    rig_always_public = true;
    setup_join();
}

static void setup_scope(void)
{
    rt = rig_create(2, 4, 2, 0);
    weir_scope_init(worker_public(rt->workers[0]), &scope);
    weir_task_init(&awaited.task, serve_run);
    weir_scope_add(&scope, &awaited.task);
    model_name(&scope.done.state, "scope");
    model_name(&rt->workers[0]->park.awaits, "awaits0");
    model_name(&rt->workers[1]->park.serving, "serving1");
}

static void joiner(void)
{
    struct worker *w = rig_worker(rt, 0);
    wait_forked(w, &awaited.task);
    MODEL_ASSERT(MODEL_READ(awaited.result) == 9);
    rig_worker_end();
}

static void scope_owner(void)
{
    struct worker *w = rig_worker(rt, 0);
    wait_scope(w, &scope);
    MODEL_ASSERT(MODEL_READ(awaited.result) == 9);
    rig_worker_end();
}

static void server(void)
{
    struct worker *w = rig_worker(rt, 1);
    worker_run_stolen(w, &awaited.task);
    rig_worker_end();
}

/* --- who waits is all that is left -------------------------------------------------------------------------------- */

static void setup_deserted(void)
{
    rt = rig_create((uint32_t)model_tag(), 4, 2, 0);
    weir_scope_init(worker_public(rt->workers[0]), &scope);
    rig_job_init(&awaited, 8);
    weir_scope_add(&scope, &awaited.task);
    model_name(&scope.done.state, "scope");
}

/* Else the waiter's spin lets the other thread come to its end. */
static void let_it_wait(void)
{
    while (!idle_has_waiters(&rt->idle))
        os_relax();
}

/* What is awaited comes from outside. */
static void submitter(void)
{
    let_it_wait();
    MODEL_ASSERT(runtime_submit(rt, &awaited.task, WEIR_LANE_NORMAL, WEIR_TRY, 0) == 0);
}

/* Blocks until a task has run for which only the waiter is left, and then does what that waits for. */
static void block_and_serve(struct worker *w)
{
    MODEL_ASSERT(block_begin(w) == 0);
    rig_job_init(&child[0], 1);
    MODEL_ASSERT(runtime_submit(rt, &child[0].task, WEIR_LANE_NORMAL, WEIR_TRY, 0) == 0);
    rig_job_await(&child[0]);
    MODEL_ASSERT(block_end(w) == 0);
    worker_run_stolen(w, &awaited.task);
    rig_worker_end();
}

static void blocked_server(void)
{
    struct worker *w = rig_worker(rt, 1);
    let_it_wait();
    block_and_serve(w);
}

/* The waiter has seen that this worker is not blocked. */
static void late_blocked_server(void)
{
    struct worker *w = rig_worker(rt, 1);
    while (duty_blocked(duty_read(&rt->elastic.duty)) == 0)
        os_relax();
    block_and_serve(w);
}

static void check(void)
{
    rig_drop(rt);
}

#define CLIENT(client, n, set, ...) {.name = client, .tag = n, .setup = set, .check = check, .leaks_ok = true, \
                                     .preemptions = 3, .thread = {__VA_ARGS__}}
/* Few switches, so that all ways to read old values are tried; the spin before the sleep costs none. */
#define NARROW(client, n, set, ...) {.name = client, .tag = n, .setup = set, .check = check, .leaks_ok = true, \
                                     .preemptions = 2, .deep_preemptions = 3, .free_relax = 3, .thread = {__VA_ARGS__}}
#define RANDOM(client, n, set, ...) {.name = client, .tag = n, .setup = set, .check = check, .leaks_ok = true, \
                                     .pct = true, .executions = 20000, .thread = {__VA_ARGS__}}
static const struct model_client clients[] = {
    CLIENT("join_of_a_leaf", 0, setup_join, joiner, server),
    CLIENT("join_against_push", 1, setup_join, joiner, server),
    CLIENT("join_against_push_without_membarrier", 1, setup_join_always, joiner, server),
    CLIENT("scope_of_a_leaf", 0, setup_scope, scope_owner, server),
    CLIENT("scope_against_push", 1, setup_scope, scope_owner, server),
    NARROW("narrow_join_against_push", 1, setup_join, joiner, server),
    NARROW("narrow_scope_against_push", 1, setup_scope, scope_owner, server),
    CLIENT("stand_in_against_submit", 1, setup_deserted, scope_owner, submitter),
    CLIENT("stand_in_beside_a_blocked_worker", 2, setup_deserted, scope_owner, blocked_server),
    CLIENT("stand_in_called_by_who_blocks", 2, setup_deserted, scope_owner, late_blocked_server),
    RANDOM("random_stand_in_called_by_who_blocks", 2, setup_deserted, scope_owner, late_blocked_server),
    RANDOM("random_stand_in_against_submit", 1, setup_deserted, scope_owner, submitter),
    RANDOM("random_stand_in_beside_a_blocked_worker", 2, setup_deserted, scope_owner, blocked_server),
    RANDOM("random_join_against_push", 1, setup_join, joiner, server),
    RANDOM("join_against_push_after_push", 2, setup_join, joiner, server),
    RANDOM("join_against_two_pushes", 2, setup_join_two, joiner, server),
    RANDOM("random_scope_against_push", 1, setup_scope, scope_owner, server),
    RANDOM("scope_against_push_after_push", 2, setup_scope, scope_owner, server),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
