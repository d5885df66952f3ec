/* SPDX-License-Identifier: MIT
 *
 * test_breaker.c - what must hold for the circuit breaker, with the test's clock.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <weir/admission.h>

#include "base/atomics.h"
#include "guard_rig.h"
#include "sync/breaker.h"

static const weir_breaker_config half_of_ten = {.failure_percent = 50, .min_calls = 10, .probes = 3,
                                                .window_ns = SECOND, .open_ns = SECOND};

static weir_breaker breaker;

static void closed_breaker(void)
{
    cr_assert_eq(weir_breaker_init(&breaker, &half_of_ten), 0);
}

static void open_breaker(uint64_t now)
{
    closed_breaker();
    for (unsigned i = 0; i < 10; i++)
        weir_breaker_result(&breaker, now, false, false);
    cr_assert_eq(weir_breaker_get(&breaker), WEIR_BREAKER_OPEN);
}

/* Passes as expected, as a probe or not. */
static bool passes(uint64_t now, bool as_probe)
{
    bool probe;
    return weir_breaker_allow(&breaker, now, &probe) == 0 && probe == as_probe;
}

static bool refuses(uint64_t now)
{
    bool probe;
    return weir_breaker_allow(&breaker, now, &probe) == -ECONNREFUSED && !probe;
}

Test(breaker, opens_at_the_share_of_failures_and_not_before)
{
    closed_breaker();
    for (unsigned i = 0; i < 100; i++) /* 49 % at the end, and never more before */
        weir_breaker_result(&breaker, SECOND, false, i < 51);
    cr_assert_eq(weir_breaker_get(&breaker), WEIR_BREAKER_CLOSED);
    cr_assert(passes(SECOND, false));
    weir_breaker_result(&breaker, SECOND, false, false);
    weir_breaker_result(&breaker, SECOND, false, false);
    cr_assert_eq(weir_breaker_get(&breaker), WEIR_BREAKER_OPEN);
    cr_assert(refuses(SECOND));
}

Test(breaker, many_calls_that_went_well_count_as_often_as_one_by_one)
{
    closed_breaker();
    breaker_went_well(&breaker, SECOND, 51);
    for (unsigned i = 0; i < 50; i++)
        weir_breaker_result(&breaker, SECOND, false, false);
    cr_assert_eq(weir_breaker_get(&breaker), WEIR_BREAKER_CLOSED);
    weir_breaker_result(&breaker, SECOND, false, false);
    cr_assert_eq(weir_breaker_get(&breaker), WEIR_BREAKER_OPEN, "51 of 102");
    breaker_went_well(&breaker, SECOND, 500);
    cr_assert_eq(weir_breaker_get(&breaker), WEIR_BREAKER_OPEN);
    cr_assert(refuses(SECOND));
}

Test(breaker, few_calls_never_open_it)
{
    closed_breaker();
    for (unsigned i = 0; i < 9; i++)
        weir_breaker_result(&breaker, SECOND, false, false);
    cr_assert_eq(weir_breaker_get(&breaker), WEIR_BREAKER_CLOSED);
}

Test(breaker, failures_of_an_old_window_are_forgotten)
{
    closed_breaker();
    for (unsigned window = 1; window < 20; window++)
        for (unsigned i = 0; i < 9; i++)
            weir_breaker_result(&breaker, window * SECOND, false, false);
    cr_assert_eq(weir_breaker_get(&breaker), WEIR_BREAKER_CLOSED);
}

Test(breaker, counts_of_a_long_window_keep_their_share)
{
    closed_breaker();
    for (unsigned i = 0; i < 3000000; i++)
        weir_breaker_result(&breaker, SECOND, false, i % 4 != 0);
    cr_assert_eq(weir_breaker_get(&breaker), WEIR_BREAKER_CLOSED);
}

Test(breaker, stays_open_for_its_time_then_lets_a_limited_number_of_probes_through)
{
    open_breaker(10 * SECOND);
    cr_assert(refuses(10 * SECOND));
    cr_assert(refuses(11 * SECOND - 1));
    uint64_t then = 11 * SECOND + MS;
    for (unsigned i = 0; i < half_of_ten.probes; i++)
        cr_assert(passes(then, true));
    cr_assert_eq(weir_breaker_get(&breaker), WEIR_BREAKER_HALF_OPEN);
    cr_assert(refuses(then));
}

Test(breaker, closes_when_all_probes_succeed_and_counts_afresh)
{
    open_breaker(10 * SECOND);
    uint64_t then = 11 * SECOND + MS;
    for (unsigned i = 0; i < half_of_ten.probes; i++)
        cr_assert(passes(then, true));
    for (unsigned i = 0; i < half_of_ten.probes; i++) {
        cr_assert_eq(weir_breaker_get(&breaker), WEIR_BREAKER_HALF_OPEN);
        weir_breaker_result(&breaker, then, true, true);
    }
    cr_assert_eq(weir_breaker_get(&breaker), WEIR_BREAKER_CLOSED);
    for (unsigned i = 0; i < 9; i++)
        weir_breaker_result(&breaker, then, false, false);
    cr_assert_eq(weir_breaker_get(&breaker), WEIR_BREAKER_CLOSED);
    cr_assert(passes(then, false));
}

Test(breaker, one_failed_probe_opens_it_again)
{
    open_breaker(10 * SECOND);
    uint64_t then = 11 * SECOND + MS;
    cr_assert(passes(then, true));
    cr_assert(passes(then, true));
    weir_breaker_result(&breaker, then, true, true);
    weir_breaker_result(&breaker, then, true, false);
    cr_assert_eq(weir_breaker_get(&breaker), WEIR_BREAKER_OPEN);
    cr_assert(refuses(then + SECOND / 2));
    weir_breaker_counts counts;
    weir_breaker_read(&breaker, &counts);
    cr_assert_eq(counts.opened, 2);
    cr_assert_eq(counts.probed, 2);
    cr_assert_eq(counts.refused, 1);
}

Test(breaker, results_of_calls_from_before_it_opened_do_not_count)
{
    open_breaker(10 * SECOND);
    uint64_t then = 11 * SECOND + MS;
    cr_assert(passes(then, true));
    weir_breaker_result(&breaker, then, false, false);
    for (unsigned i = 0; i < 5; i++)
        weir_breaker_result(&breaker, then, false, true);
    cr_assert_eq(weir_breaker_get(&breaker), WEIR_BREAKER_HALF_OPEN);
}

Test(breaker, cancelled_probe_makes_room_for_one)
{
    open_breaker(10 * SECOND);
    uint64_t then = 11 * SECOND + MS;
    for (unsigned i = 0; i < half_of_ten.probes; i++)
        cr_assert(passes(then, true));
    weir_breaker_cancel(&breaker);
    cr_assert(passes(then, true));
    cr_assert(refuses(then));
}

Test(breaker, cancel_without_a_probe_under_way_adds_none)
{
    open_breaker(10 * SECOND);
    uint64_t then = 11 * SECOND + MS;
    cr_assert(passes(then, true));
    for (unsigned i = 0; i < 10; i++)
        weir_breaker_cancel(&breaker);
    for (unsigned i = 0; i < half_of_ten.probes; i++)
        cr_assert(passes(then, true));
    cr_assert(refuses(then));
}

Test(breaker, probes_that_never_report_are_given_up)
{
    open_breaker(10 * SECOND);
    uint64_t then = 11 * SECOND + MS;
    for (unsigned i = 0; i < half_of_ten.probes; i++)
        cr_assert(passes(then, true));
    cr_assert(refuses(then + SECOND / 2));
    then += SECOND + MS;
    for (unsigned i = 0; i < half_of_ten.probes; i++)
        cr_assert(passes(then, true));
    cr_assert(refuses(then));
}

Test(breaker, bad_numbers_change_nothing)
{
    open_breaker(10 * SECOND);
    weir_breaker before = breaker;
    cr_assert_eq(weir_breaker_init(NULL, &half_of_ten), -EINVAL);
    cr_assert_eq(weir_breaker_set(&breaker, NULL), -EINVAL);
#define REFUSED(field, value) \
    do { \
        weir_breaker_config c = half_of_ten; \
        c.field = value; \
        cr_assert_eq(weir_breaker_set(&breaker, &c), -EINVAL, #field " " #value); \
        cr_assert_eq(weir_breaker_init(&breaker, &c), -EINVAL, #field " " #value); \
    } while (0)
    REFUSED(failure_percent, 0);
    REFUSED(failure_percent, 101);
    REFUSED(min_calls, 0);
    REFUSED(min_calls, 65536);
    REFUSED(probes, 0);
    REFUSED(probes, 1024);
    REFUSED(window_ns, 0);
    REFUSED(window_ns, (uint64_t)-1);
    REFUSED(open_ns, 0);
    REFUSED(open_ns, (uint64_t)-1);
#undef REFUSED
    cr_assert_eq(memcmp(&before, &breaker, sizeof breaker), 0);
}

static weir_atomic_u32 probes_passed;

static void *ask_often(void *arg)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        bool probe;
        if (weir_breaker_allow(&breaker, 12 * SECOND, &probe) == 0 && probe)
            atom_add(&probes_passed, 1u, memory_order_relaxed);
    }
    return arg;
}

Test(breaker, many_threads_get_no_more_probes_than_there_are)
{
    open_breaker(10 * SECOND);
    run_threads(ask_often);
    cr_assert_eq(atom_load(&probes_passed, memory_order_relaxed), half_of_ten.probes);
}

static void *fail_often(void *arg)
{
    for (unsigned i = 0; i < ROUNDS; i++)
        weir_breaker_result(&breaker, SECOND, false, false);
    return arg;
}

Test(breaker, many_failures_at_once_open_it_once)
{
    weir_breaker_counts counts;
    closed_breaker();
    run_threads(fail_often);
    weir_breaker_read(&breaker, &counts);
    cr_assert_eq(counts.opened, 1);
}
