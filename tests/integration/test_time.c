/* SPDX-License-Identifier: MIT
 *
 * test_time.c - what must hold for timers: never early, never lost, whoever is stuck.
 */
#include "time_rig.h"

#include <sys/resource.h>

TestSuite(timers, .timeout = 100);

static weir_atomic_u32 entered, gate;

static uint64_t cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* --- one timer ---------------------------------------------------------------------------------------------------- */

Test(timers, a_timer_from_outside_fires_once_and_not_early)
{
    weir_runtime *rt = start(2);
    start_at(rt, &alarms[0], in_ms(20));
    cr_assert(weir_timer_is_pending(&alarms[0].timer));
    cr_assert(reaches(&ran, 1));
    stop(rt);
    cr_assert_eq(get(&alarms[0].runs), 1);
    cr_assert_eq(get(&wrong), 0);
    cr_assert_eq(weir_timer_cancel(&alarms[0].timer), -EALREADY);
}

static void start_on_worker(weir_worker *w, void *arg)
{
    struct alarm *a = arg;
    prepare(a, in_ms(5));
    if (weir_after(w, 5 * NS_PER_MS, &a->timer, &a->task) != 0)
        add(&wrong, 1);
}

Test(timers, a_timer_from_a_worker_fires_on_one_worker_too)
{
    weir_runtime *rt = start(1);
    call(rt, start_on_worker, &alarms[0]);
    cr_assert(reaches(&ran, 1));
    stop(rt);
    cr_assert_eq(get(&wrong), 0);
}

Test(timers, the_past_and_zero_are_due_at_once)
{
    weir_runtime *rt = start(2);
    start_at(rt, &alarms[0], 0);
    start_at(rt, &alarms[1], weir_now() - NS_PER_MS);
    prepare(&alarms[2], 0);
    cr_assert_eq(weir_runtime_after(rt, 0, &alarms[2].timer, &alarms[2].task), 0);
    cr_assert(reaches(&ran, 3));
    stop(rt);
}

Test(timers, a_time_that_does_not_fit_is_pending_and_can_be_cancelled)
{
    weir_runtime *rt = start(2);
    prepare(&alarms[0], 0);
    cr_assert_eq(weir_runtime_after(rt, UINT64_MAX, &alarms[0].timer, &alarms[0].task), 0);
    start_at(rt, &alarms[1], UINT64_MAX);
    sleep_ms(5);
    cr_assert_eq(get(&ran), 0);
    cr_assert_eq(weir_timer_cancel(&alarms[0].timer), 0);
    cr_assert_eq(weir_timer_cancel(&alarms[1].timer), 0);
    stop(rt);
    cr_assert_eq(get(&ran), 0);
}

static void bad_on_worker(weir_worker *w, void *arg)
{
    struct alarm *a = prepare(arg, 0);
    weir_task empty = {0};
    if (weir_after(NULL, 1, &a->timer, &a->task) != -EINVAL || weir_after(w, 1, NULL, &a->task) != -EINVAL ||
        weir_after(w, 1, &a->timer, NULL) != -EINVAL || weir_after(w, 1, &a->timer, &empty) != -EINVAL ||
        weir_at(NULL, 1, &a->timer, &a->task) != -EINVAL || weir_at(w, 1, NULL, &a->task) != -EINVAL ||
        weir_at(w, 1, &a->timer, NULL) != -EINVAL)
        add(&wrong, 1);
    if (weir_timer_is_pending(&a->timer) || weir_timer_cancel(&a->timer) != -ENOENT)
        add(&wrong, 1);
}

Test(timers, bad_arguments_are_refused_and_change_nothing)
{
    weir_runtime *rt = start(1);
    struct alarm *a = prepare(&alarms[0], 0);
    call(rt, bad_on_worker, &alarms[1]);
    cr_assert_eq(weir_runtime_after(NULL, 1, &a->timer, &a->task), -EINVAL);
    cr_assert_eq(weir_runtime_after(rt, 1, NULL, &a->task), -EINVAL);
    cr_assert_eq(weir_runtime_at(rt, 1, &a->timer, NULL), -EINVAL);
    cr_assert_eq(weir_timer_cancel(NULL), -EINVAL);
    cr_assert_eq(weir_timer_cancel(&a->timer), -ENOENT);
    cr_assert(!weir_timer_is_pending(NULL));
    cr_assert_eq(weir_runtime_after(rt, NS_PER_MS * LONG_TIME_MS, &a->timer, &a->task), 0);
    cr_assert_eq(weir_runtime_after(rt, 1, &a->timer, &a->task), -EBUSY);
    cr_assert_eq(weir_timer_cancel(&a->timer), 0);
    cr_assert_eq(weir_timer_cancel(&a->timer), -ENOENT);
    stop(rt);
    cr_assert_eq(weir_runtime_after(rt, 1, &a->timer, &a->task), -ESHUTDOWN);
    cr_assert_eq(weir_timer_cancel(&a->timer), -ENOENT);
    cr_assert_eq(get(&wrong), 0);
    cr_assert_eq(get(&ran), 0);
}

/* A continuation owes two: one to a timer, one to the test. */
Test(timers, a_timer_pays_one_completion_of_a_continuation)
{
    weir_runtime *rt = start(2);
    struct alarm *a = prepare(&alarms[0], 0);
    weir_timer second;
    weir_timer_init(&second);
    weir_continuation_init(&a->task, alarm_run, 2);
    cr_assert_eq(weir_runtime_after(rt, 0, &a->timer, &a->task), 0);
    sleep_ms(10);
    cr_assert_eq(get(&ran), 0);
    cr_assert_eq(weir_runtime_after(rt, 0, &second, &a->task), 0);
    cr_assert(reaches(&ran, 1));
    stop(rt);
    cr_assert_eq(get(&ran), 1);
}

#define BEATS 50u

struct beat {
    weir_timer timer;
    weir_task task;
    weir_atomic_u32 beats;
};

static weir_task *beat_run(weir_worker *w, weir_task *self)
{
    struct beat *b = (struct beat *)(void *)((char *)self - offsetof(struct beat, task));
    if (add(&b->beats, 1) < BEATS && weir_after(w, NS_PER_MS / 4, &b->timer, self) != 0)
        add(&wrong, 1);
    return NULL;
}

Test(timers, a_task_starts_its_own_timer_again)
{
    static struct beat b[3];
    for (unsigned workers = 1; workers <= 3; workers++) {
        weir_runtime *rt = start(workers);
        for (int i = 0; i < 3; i++) {
            weir_timer_init(&b[i].timer);
            weir_task_init(&b[i].task, beat_run);
            set(&b[i].beats, 0);
            cr_assert_eq(weir_runtime_after(rt, 0, &b[i].timer, &b[i].task), 0);
        }
        stop(rt); /* drains: timers that tasks start while it does are accepted */
        for (int i = 0; i < 3; i++)
            cr_assert_eq(get(&b[i].beats), BEATS);
    }
    cr_assert_eq(get(&wrong), 0);
}

/* --- many --------------------------------------------------------------------------------------------------------- */

#define ASIDE 64u /* timers: a slot holds six of them, and a worker takes up to sixteen at once */

Test(timers, many_fire_once_each_in_the_order_of_their_slots)
{
    weir_runtime *rt = start(1); /* one worker: the order of the runs is about that of the firing */
    uint64_t from = in_ms(50);
    for (uint32_t i = 0; i < MANY; i++)
        start_at(rt, &alarms[i], from + (uint64_t)(i * UINT64_C(7919) % MANY) * 3000);
    bool all_in_time = weir_now() < from; /* on a slow machine the first fire before the last are started */
    cr_assert(reaches(&ran, MANY));
    stop(rt);
    cr_assert_eq(get(&wrong), 0);
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t rank = (uint32_t)(i * UINT64_C(7919) % MANY), order = alarms[i].order;
        cr_assert_eq(get(&alarms[i].runs), 1);
        cr_assert(!all_in_time || (order < rank + ASIDE && rank < order + ASIDE), "number %u ran as number %u", rank,
                  order);
    }
}

Test(timers, sleeping_workers_wake_for_an_earlier_timer)
{
    weir_runtime *rt = start(2);
    start_at(rt, &alarms[0], in_ms(3600000));
    sleep_ms(20); /* all sleep, the keeper for an hour */
    start_at(rt, &alarms[1], in_ms(1800000));
    sleep_ms(5);
    start_at(rt, &alarms[2], in_ms(10));
    cr_assert(reaches(&ran, 1));
    cr_assert_eq(get(&alarms[2].runs), 1);
    cr_assert_eq(weir_timer_cancel(&alarms[0].timer), 0);
    cr_assert_eq(weir_timer_cancel(&alarms[1].timer), 0);
    stop(rt);
}

Test(timers, an_idle_runtime_with_many_far_timers_uses_next_to_no_processor)
{
    weir_runtime *rt = start(2);
    for (uint32_t i = 0; i < MANY; i++)
        start_at(rt, &alarms[i], in_ms(3600000) + i * NS_PER_MS);
    sleep_ms(100);
    uint64_t before = cpu_us();
    sleep_ms(1000);
    cr_assert_lt(cpu_us() - before, 5000, "some wake-ups a second would cost more");
    for (uint32_t i = 0; i < MANY; i++)
        cr_assert_eq(weir_timer_cancel(&alarms[i].timer), 0);
    stop(rt);
    cr_assert_eq(get(&ran), 0);
}

/* --- somebody is stuck -------------------------------------------------------------------------------------------- */

#define STUCK_MS 200u

/* Starts timers and then sits in its task until they have run, elsewhere. */
static weir_task *start_then_stick(weir_worker *w, weir_task *self)
{
    (void)self;
    for (uint32_t i = 0; i < 100; i++) {
        prepare(&alarms[i], weir_now() + i * 20000);
        if (weir_after(w, i * UINT64_C(20000), &alarms[i].timer, &alarms[i].task) != 0)
            add(&wrong, 1);
    }
    unsigned me = weir_worker_index(w);
    if (!reaches(&ran, 100))
        add(&wrong, 1);
    for (uint32_t i = 0; i < 100; i++)
        if (alarms[i].on == me)
            add(&wrong, 1);
    set(&entered, 1);
    return NULL;
}

Test(timers, timers_of_a_stuck_worker_are_run_by_another)
{
    weir_task t;
    weir_runtime *rt = start(2);
    sleep_ms(20);
    weir_task_init(&t, start_then_stick);
    cr_assert_eq(weir_submit(rt, &t, WEIR_BLOCK, 0), 0);
    cr_assert(reaches(&entered, 1));
    stop(rt);
    cr_assert_eq(get(&wrong), 0);
}

static weir_task *stick(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    add(&entered, 1);
    spin_until(in_ms(STUCK_MS));
    set(&gate, 1);
    return NULL;
}

/* The timer that the keeper fires holds it; what is due meanwhile is fired by the next keeper. */
Test(timers, a_fired_task_that_lasts_does_not_hold_up_later_timers)
{
    weir_runtime *rt = start(2);
    weir_timer timer;
    weir_task t;
    weir_timer_init(&timer);
    weir_task_init(&t, stick);
    for (uint32_t i = 0; i < 50; i++)
        start_at(rt, &alarms[i], in_ms(30 + i));
    cr_assert_eq(weir_runtime_after(rt, 20 * NS_PER_MS, &timer, &t), 0);
    cr_assert(reaches(&entered, 1));
    cr_assert(reaches(&ran, 50));
    cr_assert_eq(get(&gate), 0, "all ran before the long task was through");
    stop(rt);
    cr_assert_eq(get(&wrong), 0);
}

/* The only worker blocks; a spare one fires what it has started. */
static weir_task *start_then_block(weir_worker *w, weir_task *self)
{
    (void)self;
    prepare(&alarms[0], in_ms(5));
    if (weir_after(w, 5 * NS_PER_MS, &alarms[0].timer, &alarms[0].task) != 0 || weir_block_begin(w) != 0 ||
        !reaches(&ran, 1) || weir_block_end(w) != 0)
        add(&wrong, 1);
    set(&entered, 1);
    return NULL;
}

Test(timers, a_blocked_only_worker_is_replaced_for_its_timers)
{
    weir_task t;
    weir_runtime *rt = start(1);
    weir_task_init(&t, start_then_block);
    cr_assert_eq(weir_submit(rt, &t, WEIR_BLOCK, 0), 0);
    cr_assert(reaches(&entered, 1));
    stop(rt);
    cr_assert_eq(get(&wrong), 0);
}

static weir_task *block_then_run(weir_worker *w, weir_task *self)
{
    (void)self;
    if (weir_block_begin(w) != 0)
        add(&wrong, 1);
    add(&entered, 1);
    if (!reaches(&gate, 1) || weir_block_end(w) != 0)
        add(&wrong, 1);
    return NULL;
}

Test(timers, timers_from_outside_fire_while_all_workers_are_blocked)
{
    weir_task t[2];
    weir_runtime *rt = start(2);
    for (int i = 0; i < 2; i++) {
        weir_task_init(&t[i], block_then_run);
        cr_assert_eq(weir_submit(rt, &t[i], WEIR_BLOCK, 0), 0);
    }
    cr_assert(reaches(&entered, 2));
    for (uint32_t i = 0; i < 20; i++) {
        start_at(rt, &alarms[i], in_ms(1 + i % 3));
        cr_assert(reaches(&ran, i + 1));
    }
    set(&gate, 1);
    stop(rt);
    cr_assert_eq(get(&wrong), 0);
}

/* A worker waits in a scope for a task that a timer releases. */
static void wait_for_timers(weir_worker *w, void *arg)
{
    weir_scope s;
    (void)arg;
    weir_scope_init(w, &s);
    for (uint32_t i = 0; i < 10; i++) {
        prepare(&alarms[i], in_ms(i));
        weir_scope_add(&s, &alarms[i].task);
        if (weir_after(w, i * NS_PER_MS, &alarms[i].timer, &alarms[i].task) != 0)
            add(&wrong, 1);
    }
    if (weir_scope_wait(w, &s) != 0 || get(&ran) != 10)
        add(&wrong, 1);
}

Test(timers, a_scope_waits_for_tasks_of_timers)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        weir_runtime *rt = start(workers);
        set(&ran, 0);
        call(rt, wait_for_timers, NULL);
        stop(rt);
    }
    cr_assert_eq(get(&wrong), 0);
}
