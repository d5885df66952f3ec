/* SPDX-License-Identifier: MIT
 *
 * client_task.c - ends of waits: latch, join counter, forked task, scope; each record is freed as soon as it may be.
 *
 * Threads: client threads stand for finishers and waiters. No worker is modelled here: see client_idle.c.
 * Invariants: whoever releases a waiter touches nothing of the record afterwards (tracked memory shows it).
 */
#include <errno.h>

#include "model.h"
#include "os/os.h"
#include "par/wait.h"
#include "task/latch.h"
#include "task/task.h"

static weir_latch *latch;
static weir_task *task;
static weir_scope *scope;
static int payload[3], results;
static struct idle idle;
static struct parking parking[2], *parkings[2] = {&parking[0], &parking[1]};




/* --- latch ------------------------------------------------------------------------------------------------------ */

static void latch_setup(void)
{
    latch = model_alloc(sizeof *latch);
    MODEL_ASSERT(weir_latch_init(latch, (uint32_t)model_tag()) == 0);
    model_name(latch, "latch");
}

static void arrive(int i)
{
    MODEL_WRITE(payload[i], i + 1);
    MODEL_ASSERT(weir_latch_arrive(latch, 1) == 0);
}

static void arrive0(void) { arrive(0); }
static void arrive1(void) { arrive(1); }

static void latch_waiter(void)
{
    MODEL_ASSERT(latch_wait(latch, OS_FOREVER) == 0);
    for (int i = 0; i < model_tag(); i++)
        MODEL_ASSERT(MODEL_READ(payload[i]) == i + 1);
    model_free(latch);
}

/* Gives up at a deadline, or not; the record stays. */
static void latch_waiter_deadline(void)
{
    int r = latch_wait(latch, 5000);
    MODEL_ASSERT(r == 0 || r == -ETIMEDOUT);
    if (r == 0)
        MODEL_ASSERT(MODEL_READ(payload[0]) == 1);
}

static void latch_second_waiter(void)
{
    MODEL_ASSERT(latch_wait(latch, OS_FOREVER) == 0);
    MODEL_ASSERT(MODEL_READ(payload[0]) == 1);
}

static void latch_check(void)
{
    MODEL_ASSERT(weir_latch_is_open(latch));
    MODEL_ASSERT(weir_latch_arrive(latch, 1) == -EINVAL);
    model_free(latch);
}

/* --- join counter ----------------------------------------------------------------------------------------------- */

static void counter_setup(void)
{
    task = model_alloc(sizeof *task);
    weir_continuation_init(task, NULL, (uint32_t)model_tag());
}

/* The last child runs the continuation, which frees it. */
static void child(int i)
{
    MODEL_WRITE(payload[i], i + 1);
    weir_task *ready = weir_release(task);
    if (ready == NULL)
        return;
    for (int k = 0; k < model_tag(); k++)
        MODEL_ASSERT(MODEL_READ(payload[k]) == k + 1);
    results++;
    model_free(ready);
}

static void child0(void) { child(0); }
static void child1(void) { child(1); }
static void child2(void) { child(2); }

/* Puts another child in front before it pays its own completion, and pays for it. */
static void child_owes(void)
{
    MODEL_WRITE(payload[2], 3);
    weir_owe(task, 1);
    weir_task *none = weir_release(task);
    MODEL_ASSERT(none == NULL || model_tag() == 1);
    child(1);
}

static void counter_check(void)
{
    MODEL_ASSERT(results == 1);
}

/* --- a forked task and its joiner ------------------------------------------------------------------------------- */

static void fork_setup(void)
{
    task = model_alloc(sizeof *task);
    atom_store(&task->state, (uint64_t)0x1000 | STATE_FORKED, memory_order_relaxed);
    idle_init(&idle, parkings, 2, 0);
}

/* A thief: has taken the task already, names itself, runs it, finishes it, wakes the joiner. */
static void fork_finisher(void)
{
    struct task_debt debt = task_debt_of(task);
    MODEL_ASSERT(debt.flags == STATE_FORKED);
    state_set_thief(task, 0);
    state_take(task);
    MODEL_WRITE(payload[0], 1);
    struct finish f = task_finish(task, &debt, NULL);
    if (f.wake != 0)
        idle_wake_waiter(&idle, f.wake - 1);
}

static void fork_joiner(void)
{
    while (!state_is_done(task)) {
        idle_begin_wait(&idle, 1, task);
        if ((state_begin_wait_forked(task, 1) & STATE_DONE) == 0)
            idle_wait(&idle, 1);
        idle_end_wait(&idle, 1);
    }
    MODEL_ASSERT(MODEL_READ(payload[0]) == 1);
    model_free(task);
}

/* --- scope ------------------------------------------------------------------------------------------------------ */

static weir_task member[2];

static void scope_setup(void)
{
    scope = model_alloc(sizeof *scope);
    weir_scope_init(NULL, scope);
    for (int i = 0; i < 2; i++) {
        weir_task_init(&member[i], NULL);
        weir_scope_add(scope, &member[i]);
    }
}

static void member_ends(int i, int error)
{
    struct task_debt debt = task_debt_of(&member[i]);
    bool skip = task_is_cancelled(&debt);
    if (!skip) {
        MODEL_WRITE(payload[i], i + 1);
        if (error != 0)
            weir_scope_fail(scope, error);
    }
    static struct worker any; /* a worker runs the member; the scope belongs to a thread that is none */
    struct finish f = task_finish(&member[i], &debt, worker_public(&any));
    MODEL_ASSERT(f.wake == 0);
    if (f.ready != NULL) {
        MODEL_ASSERT(f.ready == task);
        results++;
        model_free(scope);
    }
}

static void member0(void) { member_ends(0, 0); }
static void member1(void) { member_ends(1, 0); }
static void member0_fails(void) { member_ends(0, -EIO); }
static void member1_fails(void) { member_ends(1, -EPERM); }

/* Waits outside, then frees the scope at once. */
static void scope_waiter(void)
{
    wait_scope_outside(scope);
    int r = scope_result(scope);
    if (model_tag() == 0) {
        MODEL_ASSERT(r == 0);
        MODEL_ASSERT(MODEL_READ(payload[0]) == 1 && MODEL_READ(payload[1]) == 2);
    } else if (model_tag() == 1) {
        MODEL_ASSERT(r == -EIO && MODEL_READ(payload[0]) == 1);
    } else if (model_tag() == 2) {
        MODEL_ASSERT(r == -EIO || r == -EPERM);
    } else {
        MODEL_ASSERT(r == -ECANCELED);
    }
    model_free(scope);
}

static void canceller(void)
{
    weir_scope_cancel(scope);
    wait_scope_outside(scope);
    MODEL_ASSERT(scope_result(scope) == -ECANCELED);
    model_free(scope);
}

/* Does not wait, but polls the error and then looks at what led to it. */
static void error_poller(void)
{
    if (weir_scope_error(scope) == -EIO)
        MODEL_ASSERT(MODEL_READ(payload[0]) == 1);
}

static void scope_wait_check(void)
{
    wait_scope_outside(scope);
    model_free(scope);
}

/* Instead of waiting: a continuation, run by whoever ends the scope, who may free it. */
static void scope_continues(void)
{
    static weir_task cont;
    weir_continuation_init(&cont, NULL, 1);
    task = &cont;
    weir_task *ready = weir_scope_then(scope, &cont);
    if (ready != NULL) {
        MODEL_ASSERT(ready == &cont);
        MODEL_ASSERT(MODEL_READ(payload[0]) == 1 && MODEL_READ(payload[1]) == 2);
        results++;
        model_free(scope);
    }
}

static void scope_then_check(void)
{
    MODEL_ASSERT(results == 1);
}

#define CLIENT(client, n, set, end, ...) {.name = client, .tag = n, .setup = set, .check = end, \
                                          .thread = {__VA_ARGS__}, .spurious_wake = 1, .spurious_cas = 1, .timeouts = 1}
static const struct model_client clients[] = {
    CLIENT("latch_freed_by_its_waiter", 1, latch_setup, NULL, arrive0, latch_waiter),
    CLIENT("latch_two_arrivals", 2, latch_setup, NULL, arrive0, arrive1, latch_waiter),
    CLIENT("latch_deadline", 1, latch_setup, latch_check, arrive0, latch_waiter_deadline),
    CLIENT("latch_two_waiters", 1, latch_setup, latch_check, arrive0, latch_waiter_deadline, latch_second_waiter),
    CLIENT("last_two_children", 2, counter_setup, counter_check, child0, child1),
    CLIENT("last_three_children", 3, counter_setup, counter_check, child0, child1, child2),
    CLIENT("owe_one_more", 2, counter_setup, counter_check, child_owes, child0),
    CLIENT("join_of_a_taken_task", 0, fork_setup, NULL, fork_finisher, fork_joiner),
    CLIENT("scope_freed_by_its_waiter", 0, scope_setup, NULL, member0, member1, scope_waiter),
    CLIENT("scope_error", 1, scope_setup, NULL, member0_fails, member1, scope_waiter),
    CLIENT("scope_two_errors", 2, scope_setup, NULL, member0_fails, member1_fails, scope_waiter),
    CLIENT("scope_cancel", 3, scope_setup, NULL, member0, member1, canceller),
    CLIENT("scope_error_polled", 1, scope_setup, scope_wait_check, member0_fails, member1, error_poller),
    CLIENT("scope_continuation", 0, scope_setup, scope_then_check, member0, member1, scope_continues),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
