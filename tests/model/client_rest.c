/* SPDX-License-Identifier: MIT
 *
 * client_rest.c - counting who is asleep: a drain that must not end against workers that are called, leave or are
 * woken; a withdrawal against an announcement; the last totals.
 *
 * Threads: client threads are workers. One too few of them is announced all the time: the runtime may not end.
 * Invariants: nobody finds all asleep unless they are; who is put off duty has nothing in its hands.
 */
#include "os/poller.h"
#include "rig.h"

static struct runtime *rt;
static struct rig_job job;
static struct poller poller;

static void set_duty(uint32_t on, uint32_t blocked, uint32_t target)
{
    struct duty *d = &rt->elastic.duty;
    d->min = 1;
    atom_store(&d->word, duty_with_target(on, target) | (uint64_t)blocked << DUTY_BLOCKED_SHIFT, memory_order_relaxed);
}

/* What a search ends with: the announcement, and the count of those who are announced. */
static void announce_and_count(void)
{
    (void)rig_worker(rt, 1);
    idle_announce(&rt->idle, 1, false);
    runtime_check_rest(rt);
    rig_worker_end();
}

static void check_goes_on(void)
{
    MODEL_ASSERT(runtime_phase(rt) == PHASE_DRAINING);
    rig_drop(rt);
}

/* --- one that is called ------------------------------------------------------------------------------------------- */

/* Two on duty. Worker 0 is blocked: a seat is announced in its place. */
static void setup_called(void)
{
    rig_spares = 1;
    rt = rig_create(2, 2, 2, 0);
    model_ignore(&rt->elastic.called, sizeof rt->elastic.called);
    set_duty(2, 1, 2);
    runtime_begin_stop(rt, WEIR_DRAIN);
}

static void calls(void)
{
    (void)rig_worker(rt, 0);
    elastic_call(rt, CALLER_WORKER);
    rig_worker_end();
}

/* --- one that leaves ---------------------------------------------------------------------------------------------- */

/* Three on duty, of which worker 2 sleeps and worker 0 runs. */
static void setup_leaver(void)
{
    rt = rig_create(3, 2, 2, 0);
    set_duty(3, 0, 3);
    runtime_begin_stop(rt, WEIR_DRAIN);
    idle_announce(&rt->idle, 2, false);
}

static void leaves(void)
{
    (void)rig_worker(rt, 2);
    MODEL_ASSERT(idle_withdraw(&rt->idle, 2) && duty_leave(&rt->elastic.duty));
    rig_worker_end();
}

/* --- one that is woken -------------------------------------------------------------------------------------------- */

/* Worker 0 sleeps beside the last task. */
static void setup_woken(void)
{
    rt = rig_create(2, 2, 2, 0);
    rig_job_init(&job, 5);
    MODEL_ASSERT(runtime_submit(rt, &job.task, WEIR_LANE_NORMAL, WEIR_TRY, 0) == 0);
    runtime_begin_stop(rt, WEIR_DRAIN);
    idle_announce(&rt->idle, 0, false);
}

static void wakes(void)
{
    MODEL_ASSERT(idle_wake(&rt->idle, 0) == 1);
}

static void takes_the_last(struct worker *w)
{
    MODEL_ASSERT(worker_take_injected(w) == &job.task);
    rig_worker_end();
}

static void sleeps(void)
{
    struct worker *w = rig_worker(rt, 0);
    MODEL_ASSERT(elastic_sleep(w, true) == REST_WOKEN);
    takes_the_last(w);
}

static void ring(struct idle *idle)
{
    (void)idle;
    poller_wake(&poller);
}

/* Worker 0 sleeps in the poller. */
static void setup_woken_poller(void)
{
    setup_woken();
    MODEL_ASSERT(poller_init(&poller, WEIR_IO_URING) == 0);
    rt->idle.ring = ring;
}

static void sleeps_in_the_poller(void)
{
    struct worker *w = rig_worker(rt, 0);
    MODEL_ASSERT(idle_sleep_polling(&rt->idle, 0, &poller, OS_FOREVER) == SLEPT_WOKEN);
    takes_the_last(w);
}

/* As a worker whose seat was announced before it had a thread. */
static void sleeps_at_its_beginning(void)
{
    struct worker *w = rig_worker(rt, 0);
    idle_sleep(&rt->idle, 0);
    takes_the_last(w);
}

/* --- one that is put off duty ------------------------------------------------------------------------------------- */

/* Worker 1 is a surplus. It has slept, is awake, and announces itself again. */
static void setup_surplus(void)
{
    rt = rig_create(2, 2, 2, 0);
    rt->count = 1;
    set_duty(2, 0, 1);
    idle_set_settled(&rt->idle, 1, true);
}

static void announces_and_finds(void)
{
    (void)rig_worker(rt, 1);
    idle_set_settled(&rt->idle, 1, false);
    idle_announce(&rt->idle, 1, false);
    idle_retract(&rt->idle, 1); /* waits for ever for the token of one who has put it off duty */
    rig_worker_end();
}

static void withdraws(void)
{
    (void)rig_worker(rt, 0);
    elastic_withdraw(rt);
    rig_worker_end();
}

static void check_drop(void)
{
    rt->count = 2;
    rig_drop(rt);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* A worker that only has to leave. */
static void setup_ended(void)
{
    rt = rig_create(1, 2, 2, 0);
    runtime_begin_stop(rt, WEIR_DRAIN);
    atom_store(&rt->phase, (uint32_t)PHASE_ENDED, memory_order_relaxed);
}

static void leaves_for_good(void)
{
    model_started(0);
}

/* The worker has searched, found nothing and left: nobody counts as searching any more. */
static void awaits_the_end(void)
{
    MODEL_ASSERT(runtime_await_end(rt, OS_FOREVER) == 0);
    MODEL_ASSERT(atom_load(&rt->idle.searching, memory_order_relaxed) == 0);
}

static void check_nothing(void)
{
}

#define CLIENT(client, set, end, ...) {.name = client, .setup = set, .check = end, .leaks_ok = true, \
                                       .thread = {__VA_ARGS__}}
static const struct model_client clients[] = {
    CLIENT("count_against_a_call", setup_called, check_goes_on, announce_and_count, calls),
    CLIENT("count_against_a_leaver", setup_leaver, check_goes_on, announce_and_count, leaves),
    CLIENT("count_against_a_taker", setup_woken, check_goes_on, announce_and_count, sleeps, wakes),
    CLIENT("count_against_a_new_taker", setup_woken, check_goes_on, announce_and_count, sleeps_at_its_beginning, wakes),
    CLIENT("count_against_a_taker_in_the_poller", setup_woken_poller, check_goes_on, announce_and_count,
           sleeps_in_the_poller, wakes),
    CLIENT("totals_of_a_worker_that_left", setup_ended, check_nothing, leaves_for_good, awaits_the_end),
    CLIENT("withdrawal_against_an_announcement", setup_surplus, check_drop, announces_and_finds, withdraws),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
