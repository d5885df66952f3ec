/* SPDX-License-Identifier: MIT
 *
 * client_timer.c - timers: a start against workers that go to sleep, the keeper against all that takes it away, cancel
 * against firing, the end of a runtime.
 *
 * The clock stands still but for pauses, and jumps when everybody sleeps: a wake-up that is lost shows as a deadlock,
 * or as a task that runs only when a much later timer is due.
 *
 * Threads: client threads are workers, or outside threads.
 * Invariants: FAR is never reached while a timer that is due before it is pending.
 */
#include <errno.h>

#include "rig.h"

#define NOW UINT64_C(0)
#define NEAR UINT64_C(500000)      /* ns; 25 pauses */
#define FAR UINT64_C(100000000000) /* ns */

static struct runtime *rt;

struct alarm {
    weir_timer timer;
    struct rig_job job;
};
static struct alarm *alarm[2];
static struct rig_job leaf;
static weir_atomic_u32 cancelled;

static weir_task *alarm_run(weir_worker *w, weir_task *t)
{
    struct rig_job *j = (struct rig_job *)(void *)t;
    (void)w;
    MODEL_ASSERT(os_now() < FAR);
    MODEL_WRITE(j->result, MODEL_READ(j->payload) + 1);
    MODEL_ASSERT(atom_add(&j->ran, 1u, memory_order_release) == 0);
    return NULL;
}

static void alarm_make(int i)
{
    alarm[i] = model_alloc(sizeof *alarm[i]);
    weir_timer_init(&alarm[i]->timer);
    rig_job_init(&alarm[i]->job, i + 3);
    alarm[i]->job.task.run = alarm_run;
    model_name(&alarm[i]->timer.state, i == 0 ? "timer0" : "timer1");
}

static int alarm_start(struct worker *w, int i, uint64_t deadline)
{
    const struct timer_order order = {deadline, os_now(), &alarm[i]->job.task, NULL};
    return timers_start(rt, w, &alarm[i]->timer, &order);
}

static void create(uint32_t workers)
{
    rt = rig_create(workers, 4, 2, 0);
    model_name(&rt->idle.keeper, "keeper");
    model_name(&rt->timers.in_use, "in_use");
    alarm_make(0);
    alarm_make(1);
}

static void setup_one(void) { create(1); }
static void setup_two(void) { create(2); }

/* A timer that must not be waited for is pending. */
static void setup_far(void)
{
    create((uint32_t)model_tag());
    MODEL_ASSERT(alarm_start(NULL, 1, FAR) == 0);
}

static void check(void)
{
    rig_drop(rt);
}

/* Searches, and so parks, until it has run n tasks or the runtime has ended. */
static void parker(uint32_t id, unsigned n)
{
    struct worker *w = rig_worker(rt, id);
    for (weir_task *t; n > 0 && (t = worker_search(w)) != NULL; n--)
        worker_run_chain(w, t);
    rig_worker_end();
}

static void parker0_1(void) { parker(0, 1); }
static void parker1_1(void) { parker(1, 1); }
static void parker0_9(void) { parker(0, 9); }
static void parker1_9(void) { parker(1, 9); }

/* --- starting ----------------------------------------------------------------------------------------------------- */

static void start_now(void)
{
    MODEL_ASSERT(alarm_start(NULL, 0, NOW) == 0);
}

static void start_near(void)
{
    MODEL_ASSERT(alarm_start(NULL, 0, NEAR) == 0);
}

static void start_near_and_end(void)
{
    start_near();
    rig_job_await(&alarm[0]->job);
    MODEL_ASSERT(timers_cancel(rt, &alarm[1]->timer) == 0);
    rig_end(rt);
}

/* A worker starts a timer and then sits in a leaf until another one has fired it. */
static void start_then_leaf(void)
{
    struct worker *w = rig_worker(rt, 1);
    MODEL_ASSERT(alarm_start(w, 0, NEAR) == 0);
    rig_job_await(&alarm[0]->job);
    rig_worker_end();
}

/* --- the keeper has something else to do -------------------------------------------------------------------------- */

/* Lasts until the second timer has been fired, by somebody else. */
static weir_task *lasting_run(weir_worker *w, weir_task *t)
{
    (void)w, (void)t;
    rig_job_await(&alarm[1]->job);
    return NULL;
}

static void setup_lasting(void)
{
    create(2);
    alarm[0]->job.task.run = lasting_run;
    MODEL_ASSERT(alarm_start(NULL, 0, NOW) == 0);
    MODEL_ASSERT(alarm_start(NULL, 1, NEAR) == 0);
}

/* Who takes the leaf, the keeper perhaps, is not there for the timer, which is started before or after. */
static void submit_leaf_and_start(void)
{
    rig_job_init(&leaf, 1);
    leaf.task.run = lasting_run;
    MODEL_ASSERT(runtime_submit(rt, &leaf.task, WEIR_LANE_NORMAL, WEIR_TRY, 0) == 0);
    MODEL_ASSERT(alarm_start(NULL, 1, NEAR) == 0);
    rig_job_await(&alarm[1]->job);
    rig_end(rt);
}

static void start_and_submit_leaf(void)
{
    rig_job_init(&leaf, 1);
    leaf.task.run = lasting_run;
    MODEL_ASSERT(alarm_start(NULL, 1, NEAR) == 0);
    MODEL_ASSERT(runtime_submit(rt, &leaf.task, WEIR_LANE_NORMAL, WEIR_TRY, 0) == 0);
    rig_job_await(&alarm[1]->job);
    rig_end(rt);
}

/* --- the steps alone ------------------------------------------------------------------------------------------------
 * */

/* Both are announced; worker 0 is the keeper, and has just woken up. */
static void setup_keeper_awake(void)
{
    create(2);
    MODEL_ASSERT(alarm_start(NULL, 1, FAR) == 0);
    idle_announce(&rt->idle, 0, false);
    idle_announce(&rt->idle, 1, false);
    MODEL_ASSERT(idle_keep(&rt->idle, 0, FAR));
}

/* It finds work that lasts until the timer has fired. */
static void keeper_leaves(void)
{
    struct worker *w = rig_worker(rt, 0);
    MODEL_ASSERT(idle_try_retract(&rt->idle, 0));
    timers_resign(w);
    timers_hand_on(rt);
    rig_job_await(&alarm[0]->job);
    rig_worker_end();
}

/* Announced, and asleep until it has fired a timer. */
static void fires(uint32_t id)
{
    struct worker *w = rig_worker(rt, id);
    weir_task *t;
    MODEL_ASSERT(elastic_sleep(w, true) == REST_WOKEN);
    while (timers_take(w, &t, 1) == 0) /* its starter may still hold the lock */
        os_relax();
    worker_run_chain(w, t);
    rig_worker_end();
}

static void fires1(void) { fires(1); }

/* Worker 1 is announced; it goes to sleep while worker 0 puts it off duty. */
static void setup_dismissal(void)
{
    create(2);
    MODEL_ASSERT(alarm_start(NULL, 0, NEAR) == 0);
    idle_announce(&rt->idle, 1, false);
}

static void dismisser(void)
{
    MODEL_ASSERT(idle_withdraw(&rt->idle, 1));
    timers_dismiss(rt, 1);
    idle_announce(&rt->idle, 0, false);
    fires(0);
    (void)idle_wake_seat(&rt->idle, 1);
}

static void dismissed(void)
{
    struct worker *w = rig_worker(rt, 1);
    MODEL_ASSERT(elastic_sleep(w, true) == REST_WOKEN);
    rig_worker_end();
}

/* --- workers that come and go ---------------------------------------------------------------------------------------
 * */

static void setup_spare(void)
{
    rig_spares = 1;
    create(1);
    model_ignore(&rt->elastic.called, sizeof rt->elastic.called);
    model_ignore(&rt->elastic.retired, sizeof rt->elastic.retired);
}

static void blocker(void)
{
    struct worker *w = rig_worker(rt, 0);
    MODEL_ASSERT(block_begin(w) == 0);
    rig_job_await(&alarm[0]->job);
    MODEL_ASSERT(block_end(w) == 0);
    rig_worker_end();
}

static void start_and_end(void)
{
    start_near();
    rig_job_await(&alarm[0]->job);
    rig_end(rt);
}

static void spare(void)
{
    uint32_t state;
    while ((state = atom_load(&rt->workers[1]->thread_state, memory_order_acquire)) != THREAD_JOINABLE) {
        if (state == THREAD_NONE && runtime_phase(rt) == PHASE_ENDED)
            return;
        os_relax();
    }
    model_started(1);
}

/* Worker 1 is on duty in the place of worker 0, which was blocked and comes back: it is put off duty, keeper or not. */
static void setup_surplus(void)
{
    create(2);
    rt->count = 1;
    rt->elastic.duty.min = 1;
    rt->elastic.retire_ns = 2 * FAR;
    model_ignore(&rt->elastic.retired, sizeof rt->elastic.retired);
    uint64_t one_of_two_blocked = duty_with_target(2, 1) | UINT64_C(1) << DUTY_BLOCKED_SHIFT;
    atom_store(&rt->elastic.duty.word, one_of_two_blocked, memory_order_relaxed);
    MODEL_ASSERT(alarm_start(NULL, 0, NEAR) == 0);
}

static void comes_back(void)
{
    struct worker *w = rig_worker(rt, 0);
    block_leave(w);
    for (weir_task *t; (t = worker_search(w)) != NULL;)
        worker_run_chain(w, t);
    rig_worker_end();
}

static void await_and_end(void)
{
    rig_job_await(&alarm[0]->job);
    rig_end(rt);
}

/* --- cancelling -----------------------------------------------------------------------------------------------------
 * */

static void setup_due(void)
{
    create(2);
    MODEL_ASSERT(alarm_start(NULL, 0, NOW) == 0);
}

static void firer(uint32_t id)
{
    struct worker *w = rig_worker(rt, id);
    weir_task *t;
    if (timers_take(w, &t, 1) == 1)
        worker_run_chain(w, t);
    rig_worker_end();
}

static void firer0(void) { firer(0); }
static void firer1(void) { firer(1); }

/* What was cancelled is the canceller's: it goes at once. */
static void canceller(void)
{
    int r = timers_cancel(rt, &alarm[0]->timer);
    MODEL_ASSERT(r == 0 || r == -EALREADY);
    if (r != 0)
        return;
    MODEL_WRITE(alarm[0]->job.payload, 99);
    model_free(alarm[0]);
    atom_add(&cancelled, 1u, memory_order_relaxed);
}

static void check_fired_or_cancelled(void)
{
    uint32_t gone = atom_load(&cancelled, memory_order_relaxed);
    uint32_t ran = gone != 0 ? 0 : atom_load(&alarm[0]->job.ran, memory_order_relaxed);
    model_outcome(gone);
    /* Two who fire may both have met a locked wheel, or one of them the canceller's lock: then it is still pending. */
    if (gone + ran == 0)
        MODEL_ASSERT(timers_is_pending(&alarm[0]->timer));
    MODEL_ASSERT(gone + ran <= 1);
    rig_drop(rt);
}

static void cancel_only(void)
{
    int r = timers_cancel(rt, &alarm[0]->timer);
    MODEL_ASSERT(r == 0 || r == -ENOENT);
    if (r == 0)
        atom_add(&cancelled, 1u, memory_order_relaxed);
}

static void check_one_cancelled(void)
{
    MODEL_ASSERT(atom_load(&cancelled, memory_order_relaxed) == 1);
    rig_drop(rt);
}

/* Starts the fired record again as soon as that is accepted. */
static void start_again(void)
{
    while (alarm_start(NULL, 0, FAR) != 0)
        os_relax();
}

/* --- the end --------------------------------------------------------------------------------------------------------
 * */

/* The runtime drains, and only a timer far away is left. */
static void setup_draining(void)
{
    create((uint32_t)model_tag());
    MODEL_ASSERT(alarm_start(NULL, 0, FAR) == 0);
    runtime_begin_stop(rt, WEIR_DRAIN);
}

static void runs_dry(uint32_t id)
{
    struct worker *w = rig_worker(rt, id);
    MODEL_ASSERT(worker_search(w) == NULL);
    MODEL_ASSERT(os_now() < FAR);
    rig_worker_end();
}

static void dry0(void) { runs_dry(0); }
static void dry1(void) { runs_dry(1); }

static void cancel_last(void)
{
    MODEL_ASSERT(timers_cancel(rt, &alarm[0]->timer) == 0);
}

static void discard(void)
{
    runtime_begin_stop(rt, WEIR_DISCARD);
}

/* Refused or fired, never forgotten. */
static void start_against_stop(void)
{
    int r = alarm_start(NULL, 0, NEAR);
    MODEL_ASSERT(r == 0 || r == -ESHUTDOWN);
    if (r != 0)
        atom_store(&alarm[0]->job.ran, 1u, memory_order_relaxed);
}

static weir_atomic_u32 drained;

static void close_wheels(void)
{
    timers_close(rt);
}

static void look_drained(void)
{
    atom_store(&drained, timers_drained(rt) ? 1u : 0u, memory_order_relaxed);
}

static void try_start(void)
{
    int r = alarm_start(NULL, 0, NEAR);
    MODEL_ASSERT(r == 0 || r == -ESHUTDOWN);
}

static void check_drained(void)
{
    MODEL_ASSERT(atom_load(&drained, memory_order_relaxed) == 0 || !timers_is_pending(&alarm[0]->timer));
    rig_drop(rt);
}

static void drain(void)
{
    runtime_begin_stop(rt, WEIR_DRAIN);
}

static void check_ran(void)
{
    MODEL_ASSERT(atom_load(&alarm[0]->job.ran, memory_order_relaxed) == 1);
    rig_drop(rt);
}

#define CLIENT(client, n, set, at_end, ...) {.name = client, .tag = n, .setup = set, .check = at_end, \
                                             .leaks_ok = true, .preemptions = 3, .thread = {__VA_ARGS__}}
#define RANDOM(client, n, set, at_end, ...) {.name = client, .tag = n, .setup = set, .check = at_end, \
                                             .leaks_ok = true, .pct = true, .executions = 20000, \
                                             .thread = {__VA_ARGS__}}
static const struct model_client clients[] = {
    CLIENT("start_against_park", 0, setup_one, check_ran, parker0_1, start_now),
    CLIENT("start_ahead_against_park", 0, setup_one, check_ran, parker0_1, start_near),
    CLIENT("start_by_a_worker_against_park", 0, setup_two, check_ran, parker0_1, start_then_leaf),
    CLIENT("earlier_start_against_park", 1, setup_far, check_ran, parker0_1, start_near),
    RANDOM("earlier_start_against_two_who_park", 2, setup_far, check_ran, parker0_9, start_near_and_end, parker1_9),
    CLIENT("keeper_leaves_against_start", 0, setup_keeper_awake, check_ran, keeper_leaves, fires1, start_near),
    CLIENT("dismissal_against_sleep", 0, setup_dismissal, check_ran, dismisser, dismissed),
    RANDOM("task_of_a_timer_that_lasts", 0, setup_lasting, check, parker0_1, parker1_1),
    RANDOM("leaf_before_a_start", 0, setup_two, check, parker0_9, submit_leaf_and_start, parker1_9),
    RANDOM("leaf_behind_a_start", 0, setup_two, check, parker0_9, start_and_submit_leaf, parker1_9),
    RANDOM("block_against_start", 0, setup_spare, check_ran, blocker, start_and_end, spare),
    RANDOM("keeper_put_off_duty", 0, setup_surplus, check_ran, comes_back, parker1_9, await_and_end),
    CLIENT("cancel_against_firing", 0, setup_due, check_fired_or_cancelled, firer0, canceller),
    CLIENT("cancel_against_two_who_fire", 0, setup_due, check_fired_or_cancelled, firer0, canceller, firer1),
    CLIENT("two_cancel", 0, setup_due, check_one_cancelled, cancel_only, cancel_only),
    CLIENT("start_again_against_firing", 0, setup_due, check_ran, firer0, start_again),
    CLIENT("cancel_of_the_last_against_end", 1, setup_draining, check, dry0, cancel_last),
    RANDOM("cancel_of_the_last_against_two_who_end", 2, setup_draining, check, dry0, cancel_last, dry1),
    CLIENT("discard_against_park", 1, setup_draining, check, parker0_9, discard),
    CLIENT("start_against_close", 0, setup_one, check_drained, try_start, close_wheels, look_drained),
    RANDOM("start_against_stop", 0, setup_one, check_ran, parker0_9, start_against_stop, drain),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
