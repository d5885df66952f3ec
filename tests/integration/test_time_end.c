/* SPDX-License-Identifier: MIT
 *
 * test_time_end.c - what must hold for the end of timers: cancelled exactly, at any stop, and nothing lost.
 */
#include "time_rig.h"

TestSuite(timers_end, .timeout = 100);

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

Test(timers_end, fired_and_cancelled_are_as_many_as_were_started)
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
Test(timers_end, a_cancelled_record_is_the_callers)
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
Test(timers_end, a_fired_record_can_be_started_again_at_once)
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

Test(timers_end, draining_waits_for_pending_timers)
{
    weir_runtime *rt = start(2);
    for (uint32_t i = 0; i < 100; i++)
        start_at(rt, &alarms[i], in_ms(i));
    stop(rt);
    cr_assert_eq(get(&ran), 100);
    cr_assert_eq(get(&wrong), 0);
}

Test(timers_end, discarding_drops_pending_timers_and_counts_them)
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

Test(timers_end, a_drain_that_takes_too_long_goes_on_and_may_be_discarded)
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
Test(timers_end, cancelling_the_last_timer_ends_a_drain)
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

Test(timers_end, a_stop_at_any_moment_loses_nothing)
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
