/* SPDX-License-Identifier: MIT
 *
 * test_sizing.c - what must hold for weir_recommend(): the rule, its limits, and what it refuses.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <weir/weir.h>

static weir_sizing sizing(weir_load load)
{
    weir_sizing s = {0};
    load.size = sizeof load;
    cr_assert_eq(weir_recommend(&load, &s), 0);
    return s;
}

Test(sizing, workers_keep_every_cpu_busy_while_others_block)
{
    cr_assert_eq(sizing((weir_load){.cpus = 2}).workers, 2);
    cr_assert_eq(sizing((weir_load){.cpus = 2, .blocking = 0.5}).workers, 4);
    cr_assert_eq(sizing((weir_load){.cpus = 2, .blocking = 0.9}).workers, 20);
    cr_assert_eq(sizing((weir_load){.cpus = 3, .blocking = 0.1}).workers, 4);
    cr_assert_eq(sizing((weir_load){.cpus = 64, .blocking = 0.9999}).workers, WEIR_WORKERS_MAX);
    cr_assert_eq(sizing((weir_load){.cpus = 0}).workers, weir_usable_cpus());
}

Test(sizing, queue_holds_what_is_served_in_the_time_a_request_may_wait)
{
    weir_load load = {.cpus = 4, .service_ns = 50000, .wait_ns = 10000000};
    cr_assert_eq(sizing(load).queue_capacity, 1024, "4 * 10 ms / 50 us is 800");
    load.wait_ns = 1000;
    cr_assert_eq(sizing(load).queue_capacity, 64);
    load.wait_ns = WEIR_GUARD_TIME_MAX;
    load.service_ns = 1;
    cr_assert_eq(sizing(load).queue_capacity, WEIR_CAPACITY_MAX);
    cr_assert_eq(sizing((weir_load){.cpus = 24}).queue_capacity, 2048, "24 * 64 is 1536");
}

Test(sizing, recommendation_starts_a_runtime)
{
    weir_config c;
    weir_runtime *rt;
    weir_sizing s = sizing((weir_load){.blocking = 0.5});
    cr_assert_eq(weir_config_init(&c), 0);
    c.workers = s.workers;
    c.queue_capacity = s.queue_capacity;
    cr_assert_eq(weir_start(&rt, &c), 0);
    cr_assert_eq(weir_stop(rt, WEIR_DRAIN, WEIR_FOREVER), 0);
}

Test(sizing, bad_loads_are_refused_and_nothing_changes)
{
    const weir_load bad[] = {
        {.size = 1},
        {.size = sizeof(weir_load), .blocking = -0.1},
        {.size = sizeof(weir_load), .blocking = 1.0},
        {.size = sizeof(weir_load), .blocking = NAN},
        {.size = sizeof(weir_load), .cpus = WEIR_WORKERS_MAX + 1},
        {.size = sizeof(weir_load), .service_ns = (uint64_t)-1},
        {.size = sizeof(weir_load), .wait_ns = (uint64_t)-1},
    };
    weir_sizing s = {.workers = 7, .queue_capacity = 9};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(weir_recommend(&bad[i], &s), -EINVAL, "%zu", i);
    cr_assert_eq(weir_recommend(NULL, &s), -EINVAL);
    cr_assert_eq(s.workers, 7);
    cr_assert_eq(s.queue_capacity, 9);
    weir_load good = {.size = sizeof good};
    cr_assert_eq(weir_recommend(&good, NULL), -EINVAL);
}
