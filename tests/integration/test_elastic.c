/* SPDX-License-Identifier: MIT
 *
 * test_elastic.c - what must hold for workers that come and go: a runtime grows while work waits and shrinks when it
 * is calm, and nothing is lost on the way.
 */
#include "elastic_rig.h"

#include <sys/resource.h>

TestSuite(elastic, .timeout = 100);

/* --- the governor --------------------------------------------------------------------------------------------- */

static weir_config elastic_config(unsigned min, unsigned max)
{
    weir_config c = config_of(min);
    c.min_workers = min;
    c.max_workers = max;
    c.retire_after_ms = 50;
    return c;
}

static void grows_and_shrinks(unsigned min, unsigned max)
{
    weir_config c = elastic_config(min, max);
    weir_runtime *rt = start_config(&c);
    cr_assert_eq(stats_of(rt).workers, min);
    for (unsigned round = 1; round <= 3; round++) {
        set(&ran, 0);
        set(&gate, 0);
        set(&entered, 0);
        for (unsigned i = 0; i < max + 10; i++)
            submit_ok(rt, &tasks[i], stick_until_gate);
        cr_assert(reaches(&entered, max), "%u of %u", get(&entered), max);
        weir_stats grown = AWAIT(rt, s.grown == round * (max - min)); /* counted after the worker was called */
        cr_assert_eq(grown.workers, max);
        set(&gate, 1);
        cr_assert(reaches(&ran, max + 10));
        weir_stats calm = AWAIT(rt, s.workers == min && s.threads == min && s.target == min);
        cr_assert_eq(calm.min_workers, min);
        cr_assert_eq(calm.max_workers, max);
    }
    cr_assert_eq(stats_of(rt).retired, 3 * (max - min));
    stop(rt);
}

Test(elastic, from_two_to_four_workers_and_back)
{
    grows_and_shrinks(2, 4);
}

Test(elastic, from_24_to_48_workers_and_back)
{
    grows_and_shrinks(24, 48);
}

Test(elastic, growth_under_a_load_of_short_blocking_tasks)
{
    weir_config c = elastic_config(4, 16);
    weir_runtime *rt = start_config(&c);
    for (unsigned i = 0; i < MANY; i++)
        submit_ok(rt, &tasks[i], sleep_1ms);
    cr_assert(reaches(&ran, MANY));
    cr_assert_geq(stats_of(rt).grown, 12);
    AWAIT(rt, s.workers == 4 && s.threads == 4);
    stop(rt);
}

Test(elastic, workers_beyond_the_minimum_leave_without_any_load)
{
    weir_config c = elastic_config(2, 8);
    c.workers = 5;
    c.retire_after_ms = 500; /* not before the look */
    weir_runtime *rt = start_config(&c);
    cr_assert_eq(stats_of(rt).workers, 5);
    AWAIT(rt, s.workers == 2 && s.threads == 2);
    submit_ok(rt, &tasks[0], count_one);
    cr_assert(reaches(&ran, 1));
    stop(rt);
}

static uint64_t cpu_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static long switches(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_nvcsw;
}

Test(elastic, calm_runtime_uses_no_processor_time)
{
    weir_config c = elastic_config(2, 8);
    weir_runtime *rt = start_config(&c);
    for (unsigned i = 0; i < 200; i++)
        submit_ok(rt, &tasks[i], sleep_1ms);
    cr_assert(reaches(&ran, 200));
    AWAIT(rt, s.threads == 2);
    sleep_ms(100);
    long before = switches();
    uint64_t cpu = cpu_us();
    sleep_ms(500);
    cr_assert_leq(switches() - before, 100, "somebody wakes up periodically"); /* a sanitizer has a thread, too */
    cr_assert_lt(cpu_us() - cpu, 50000);
    stop(rt);
}

Test(elastic, spare_that_is_still_needed_sleeps_without_waking_up)
{
    weir_config c = config_of(1);
    c.retire_after_ms = 10;
    weir_runtime *rt = start_config(&c);
    submit_ok(rt, &tasks[0], block_until_gate);
    cr_assert(reaches(&entered, 1));
    submit_ok(rt, &tasks[1], count_one);
    cr_assert(reaches(&ran, 1));
    sleep_ms(100);
    weir_stats before = stats_of(rt);
    sleep_ms(300);
    weir_stats after = stats_of(rt);
    cr_assert_eq(after.threads, 2);
    cr_assert_eq(after.total.parks, before.total.parks);
    cr_assert_eq(after.retired, 0);
    set(&gate, 1);
    cr_assert(reaches(&ran, 2));
    AWAIT(rt, s.threads == 1 && s.workers == 1); /* it was nudged */
    stop(rt);
}

/* --- stopping and failing ------------------------------------------------------------------------------------- */

static weir_task *block_shortly(weir_worker *w, weir_task *self)
{
    (void)self;
    if (weir_block_begin(w) != 0)
        add(&wrong, 1);
    usleep(200);
    if (weir_block_end(w) != 0)
        add(&wrong, 1);
    add(&ran, 1);
    return NULL;
}

Test(elastic, stop_at_any_moment_runs_everything)
{
    for (unsigned i = 0; i < 60; i++) {
        set(&ran, 0);
        weir_config c = elastic_config(1 + i % 3, 6);
        c.retire_after_ms = 1;
        c.grow_after_us = 100;
        c.spare_workers = i % 5;
        c.spin_us = i % 2 ? 0 : 50;
        weir_runtime *rt = start_config(&c);
        for (unsigned n = 0; n < 3 * i; n++)
            submit_ok(rt, &tasks[n], n % 3 ? block_shortly : count_one);
        usleep(i * 37 % 3000);
        weir_stats last = stop_and_read(rt, WEIR_DRAIN);
        cr_assert_eq(get(&ran), 3 * i);
        cr_assert_eq(last.threads, 0);
    }
    cr_assert_eq(get(&wrong), 0);
}

Test(elastic, stop_waits_for_a_blocked_worker)
{
    weir_runtime *rt = start(2);
    submit_ok(rt, &tasks[0], block_until_gate);
    cr_assert(reaches(&entered, 1));
    cr_assert_eq(weir_stop(rt, WEIR_DRAIN, in_ms(20)), -ETIMEDOUT);
    set(&gate, 1);
    stop(rt);
    cr_assert_eq(get(&ran), 1);
}

/* --- configuration -------------------------------------------------------------------------------------------- */

static void refused(const weir_config *c, const char *field)
{
    weir_runtime *rt = (weir_runtime *)&ran;
    cr_assert_eq(weir_start(&rt, c), -EINVAL);
    cr_assert_eq(rt, (weir_runtime *)&ran, "something was changed");
    cr_assert_str_eq(weir_config_error(), field);
}

Test(elastic, limits_that_contradict_each_other_are_refused)
{
    weir_config c = config_of(4);
    c.min_workers = 5;
    refused(&c, "min_workers");
    c.min_workers = 4;
    c.max_workers = 3;
    refused(&c, "max_workers");
    c.max_workers = WEIR_WORKERS_MAX + 1;
    refused(&c, "max_workers");
    c.max_workers = 4;
    c.spare_workers = WEIR_WORKERS_MAX + 1;
    refused(&c, "spare_workers");
    c.spare_workers = 0;
    c.grow_after_us = 0;
    refused(&c, "grow_after_us");
    c.grow_after_us = 1000;
    c.retire_after_ms = 0;
    refused(&c, "retire_after_ms");
    c.retire_after_ms = 1;
    stop(start_config(&c));
}

Test(elastic, limits_come_from_the_environment)
{
    weir_config c;
    setenv("WEIR_MIN_WORKERS", "3", 1);
    setenv("WEIR_MAX_WORKERS", "5", 1);
    setenv("WEIR_SPARE_WORKERS", "7", 1);
    setenv("WEIR_GROW_AFTER_US", "1234", 1);
    setenv("WEIR_RETIRE_AFTER_MS", "77", 1);
    cr_assert_eq(weir_config_init(&c), 0);
    cr_assert_eq(c.min_workers, 3);
    cr_assert_eq(c.max_workers, 5);
    cr_assert_geq(c.workers, 3);
    cr_assert_leq(c.workers, 5);
    cr_assert_eq(c.spare_workers, 7);
    cr_assert_eq(c.grow_after_us, 1234);
    cr_assert_eq(c.retire_after_ms, 77);
    weir_runtime *rt = start_config(&c);
    cr_assert_eq(stats_of(rt).seats, 12);
    stop(rt);
    setenv("WEIR_GROW_AFTER_US", "soon", 1);
    cr_assert_eq(weir_config_init(&c), -EINVAL);
    cr_assert_str_eq(weir_config_error(), "WEIR_GROW_AFTER_US");
}
