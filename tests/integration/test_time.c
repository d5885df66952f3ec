/* SPDX-License-Identifier: MIT
 *
 * test_time.c - what must hold for timers: never early, never lost, cancelled exactly, whoever is stuck, at every stop.
 */
#include "support.h"

#include <sys/resource.h>

TestSuite(timers, .timeout = 100);

#define MANY 20000u
#define SLOT_NS UINT64_C(16384) /* a slot of the wheel */

static weir_atomic_u32 ran, wrong, entered, gate;

/* A timer with its task, and what became of it. */
struct alarm {
    weir_timer timer;
    weir_task task;
    uint64_t deadline;
    weir_atomic_u32 runs;
    uint64_t ran_at;
    unsigned on;    /* worker */
    uint32_t order; /* runs before it */
};

static struct alarm alarms[MANY];

static weir_task *alarm_run(weir_worker *w, weir_task *self)
{
    struct alarm *a = (struct alarm *)(void *)((char *)self - offsetof(struct alarm, task));
    a->ran_at = weir_now();
    a->on = weir_worker_index(w);
    if (a->ran_at < a->deadline || weir_timer_is_pending(&a->timer))
        add(&wrong, 1);
    a->order = add(&ran, 1) - 1;
    add(&a->runs, 1); /* last: from here on the record may be the test's again */
    return NULL;
}

static struct alarm *prepare(struct alarm *a, uint64_t deadline)
{
    weir_timer_init(&a->timer);
    weir_task_init(&a->task, alarm_run);
    a->deadline = deadline;
    set(&a->runs, 0);
    return a;
}

static void start_at(weir_runtime *rt, struct alarm *a, uint64_t deadline)
{
    prepare(a, deadline);
    cr_assert_eq(weir_runtime_at(rt, deadline, &a->timer, &a->task), 0);
}

static void spin_until(uint64_t time)
{
    while (weir_now() < time)
        continue;
}

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

/* --- cancelling --------------------------------------------------------------------------------------------------- */

/* Each alarm is cancelled at about the time when it is due, by two threads at once. */
static weir_atomic_u32 cancelled;

static void *cancel_all(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < MANY; i++) {
        if (i % 64 == 0)
            spin_until(alarms[i].deadline - SLOT_NS);
        int r = weir_timer_cancel(&alarms[i].timer);
        if (r == 0)
            add(&cancelled, 1);
        else if (r != -EALREADY && r != -ENOENT)
            add(&wrong, 1);
    }
    return NULL;
}

Test(timers, fired_and_cancelled_are_as_many_as_were_started)
{
    pthread_t threads[2];
    weir_runtime *rt = start(2);
    uint64_t from = in_ms(50);
    for (uint32_t i = 0; i < MANY; i++)
        start_at(rt, &alarms[i], from + i * UINT64_C(4000));
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, cancel_all, NULL), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    stop(rt);
    cr_assert_eq(get(&ran) + get(&cancelled), MANY, "%u ran, %u were cancelled", get(&ran), get(&cancelled));
    cr_assert_eq(get(&wrong), 0);
    for (uint32_t i = 0; i < MANY; i++)
        cr_assert_leq(get(&alarms[i].runs), 1);
}

/* A record that was cancelled is the caller's: it may be overwritten at once. */
Test(timers, a_cancelled_record_is_the_callers)
{
    weir_runtime *rt = start(2);
    for (int round = 0; round < 2000; round++) {
        start_at(rt, &alarms[0], weir_now() + (uint64_t)(round % 50) * 2000);
        if (round % 3 == 0)
            usleep(20);
        if (weir_timer_cancel(&alarms[0].timer) == 0)
            memset(&alarms[0], 0xa5, sizeof alarms[0]);
        else
            while (get(&alarms[0].runs) == 0)
                sched_yield();
    }
    stop(rt);
    cr_assert_eq(get(&wrong), 0);
}

/* Who starts a record again as soon as that is accepted has it from who fired it, whatever its task is doing. */
Test(timers, a_fired_record_can_be_started_again_at_once)
{
    weir_runtime *rt = start(2);
    uint32_t accepted = 0;
    for (int i = 0; i < 2002; i++)
        prepare(&alarms[i], 0);
    for (int i = 0; i < 2000; i++) {
        int r;
        while ((r = weir_runtime_after(rt, (uint64_t)(i % 4) * 10000, &alarms[0].timer, &alarms[i + 1].task)) == -EBUSY)
            sched_yield();
        cr_assert_eq(r, 0);
        accepted++;
    }
    stop(rt);
    cr_assert_eq(accepted, get(&ran));
}

/* --- stopping ----------------------------------------------------------------------------------------------------- */

Test(timers, draining_waits_for_pending_timers)
{
    weir_runtime *rt = start(2);
    for (uint32_t i = 0; i < 100; i++)
        start_at(rt, &alarms[i], in_ms(i));
    stop(rt);
    cr_assert_eq(get(&ran), 100);
    cr_assert_eq(get(&wrong), 0);
}

Test(timers, discarding_drops_pending_timers_and_counts_them)
{
    weir_runtime *rt = start(2);
    for (uint32_t i = 0; i < 1000; i++)
        start_at(rt, &alarms[i], in_ms(3600000 + i));
    weir_stats last = stop_and_read(rt, WEIR_DISCARD);
    cr_assert_eq(last.total.tasks_discarded, 1000);
    cr_assert_eq(get(&ran), 0);
    for (uint32_t i = 0; i < 1000; i++)
        cr_assert_eq(weir_timer_cancel(&alarms[i].timer), -EALREADY);
}

Test(timers, a_drain_that_takes_too_long_goes_on_and_may_be_discarded)
{
    weir_runtime *rt = start(2);
    start_at(rt, &alarms[0], in_ms(3600000));
    start_at(rt, &alarms[1], in_ms(3600000));
    cr_assert_eq(weir_stop(rt, WEIR_DRAIN, in_ms(20)), -ETIMEDOUT);
    struct alarm *late = prepare(&alarms[2], 0);
    cr_assert_eq(weir_runtime_after(rt, 0, &late->timer, &late->task), -ESHUTDOWN);
    cr_assert_eq(weir_timer_cancel(&alarms[0].timer), 0);
    cr_assert_eq(weir_stop(rt, WEIR_DISCARD, WEIR_FOREVER), 0);
    cr_assert_eq(get(&ran), 0);
}

static void *cancel_later(void *arg)
{
    (void)arg;
    sleep_ms(30);
    return weir_timer_cancel(&alarms[0].timer) == 0 ? NULL : arg;
}

/* Nothing else would wake the workers up: the canceller has to end the runtime. */
Test(timers, cancelling_the_last_timer_ends_a_drain)
{
    pthread_t thread;
    void *failed = &failed;
    weir_runtime *rt = start(2);
    start_at(rt, &alarms[0], in_ms(3600000));
    cr_assert_eq(pthread_create(&thread, NULL, cancel_later, alarms), 0);
    stop(rt);
    pthread_join(thread, &failed);
    cr_assert_null(failed);
    cr_assert_eq(get(&ran), 0);
}

/* A stop at any moment against threads that start timers: what was accepted fires. */
static weir_atomic_u32 accepted;
static weir_runtime *target;

static void *start_until_closed(void *arg)
{
    struct alarm *a = arg;
    for (uint32_t i = 0; i < MANY / 4; i++) {
        prepare(&a[i], 0);
        int r = weir_runtime_after(target, i % 7 * UINT64_C(10000), &a[i].timer, &a[i].task);
        if (r == -ESHUTDOWN)
            break;
        if (r != 0)
            add(&wrong, 1);
        add(&accepted, 1);
    }
    return NULL;
}

Test(timers, a_stop_at_any_moment_loses_nothing)
{
    for (unsigned round = 0; round < 30; round++) {
        pthread_t threads[2];
        target = start(1 + round % 3);
        set(&accepted, 0);
        set(&ran, 0);
        for (int i = 0; i < 2; i++)
            cr_assert_eq(pthread_create(&threads[i], NULL, start_until_closed, alarms + (unsigned)i * MANY / 2), 0);
        usleep(round * 100);
        stop(target);
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        cr_assert_eq(get(&ran), get(&accepted));
    }
    cr_assert_eq(get(&wrong), 0);
}
