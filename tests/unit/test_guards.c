/* SPDX-License-Identifier: MIT
 *
 * test_guards.c - what must hold for each guard alone: watermark, CoDel, circuit breaker, with the test's clock.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <weir/admission.h>

#include "base/atomics.h"
#include "sync/breaker.h"

#define US UINT64_C(1000)    /* ns */
#define MS UINT64_C(1000000) /* ns */
#define SECOND (1000 * MS)
#define THREADS 4u
#define ROUNDS 20000u

static void run_threads(void *(*fn)(void *))
{
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, fn, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* --- watermark -------------------------------------------------------------------------------------------------- */

Test(watermark, is_above_from_high_until_low)
{
    weir_watermark m;
    cr_assert_eq(weir_watermark_init(&m, 10, 4), 0);
    cr_assert_eq(weir_watermark_update(&m, 9), WEIR_CROSSED_NOT);
    cr_assert_not(weir_watermark_is_above(&m));
    cr_assert_eq(weir_watermark_update(&m, 10), WEIR_CROSSED_UP);
    cr_assert_eq(weir_watermark_update(&m, 12), WEIR_CROSSED_NOT);
    cr_assert_eq(weir_watermark_update(&m, 5), WEIR_CROSSED_NOT);
    cr_assert(weir_watermark_is_above(&m));
    cr_assert_eq(weir_watermark_update(&m, 4), WEIR_CROSSED_DOWN);
    cr_assert_eq(weir_watermark_update(&m, 9), WEIR_CROSSED_NOT);
    cr_assert_not(weir_watermark_is_above(&m));
}

Test(watermark, bad_levels_change_nothing)
{
    weir_watermark m;
    cr_assert_eq(weir_watermark_init(&m, 10, 4), 0);
    weir_watermark before = m;
    cr_assert_eq(weir_watermark_init(NULL, 10, 4), -EINVAL);
    cr_assert_eq(weir_watermark_init(&m, 0, 0), -EINVAL);
    cr_assert_eq(weir_watermark_init(&m, 4, 4), -EINVAL);
    cr_assert_eq(weir_watermark_set(&m, 4, 10), -EINVAL);
    cr_assert_eq(weir_watermark_set(NULL, 10, 4), -EINVAL);
    cr_assert_eq(memcmp(&before, &m, sizeof m), 0);
}

Test(watermark, new_levels_hold_from_the_next_update_on)
{
    weir_watermark m;
    cr_assert_eq(weir_watermark_init(&m, 10, 4), 0);
    cr_assert_eq(weir_watermark_update(&m, 10), WEIR_CROSSED_UP);
    cr_assert_eq(weir_watermark_set(&m, 30, 20), 0);
    cr_assert(weir_watermark_is_above(&m));
    cr_assert_eq(weir_watermark_update(&m, 10), WEIR_CROSSED_DOWN);
    cr_assert_eq(weir_watermark_update(&m, 29), WEIR_CROSSED_NOT);
}

static weir_watermark shared_mark;
static weir_atomic_u32 shared_depth, ups, downs;

static void *push_and_pop(void *arg)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t depth = i % 2 == 0 ? atom_add(&shared_depth, 3u, memory_order_relaxed) + 3
                                    : atom_sub(&shared_depth, 3u, memory_order_relaxed) - 3;
        switch (weir_watermark_update(&shared_mark, depth)) {
        case WEIR_CROSSED_UP: atom_add(&ups, 1u, memory_order_relaxed); break;
        case WEIR_CROSSED_DOWN: atom_add(&downs, 1u, memory_order_relaxed); break;
        case WEIR_CROSSED_NOT: break;
        }
    }
    return arg;
}

Test(watermark, crossings_of_many_threads_come_in_turns)
{
    cr_assert_eq(weir_watermark_init(&shared_mark, 6, 0), 0);
    run_threads(push_and_pop);
    uint32_t up = atom_load(&ups, memory_order_relaxed);
    uint32_t down = atom_load(&downs, memory_order_relaxed);
    cr_assert_eq(up - down, weir_watermark_is_above(&shared_mark) ? 1u : 0u, "%u up, %u down", up, down);
    if (weir_watermark_update(&shared_mark, 0) == WEIR_CROSSED_DOWN)
        down++;
    cr_assert_eq(up, down);
}

/* --- CoDel ------------------------------------------------------------------------------------------------------ */

#define TARGET (5 * MS)
#define INTERVAL (100 * MS)

/* A queue of one server, simulated with a clock of its own: one step is the time that serves one request. */
#define SIM_QUEUE 65536u
#define STEP (100 * US)

struct sim {
    weir_codel codel;
    uint64_t now;
    uint64_t came[SIM_QUEUE];
    uint64_t head, tail;
    uint64_t served, refused, shed, idle, late;
    uint64_t worst;  /* longest wait of a served request since `since` */
    uint64_t since;
    bool sheddable;
};

static void sim_arrive(struct sim *s)
{
    if (weir_codel_admit(&s->codel, s->now, s->tail - s->head) != 0)
        s->refused++;
    else
        s->came[s->tail++ % SIM_QUEUE] = s->now;
}

static void sim_serve(struct sim *s)
{
    while (s->head != s->tail) {
        uint64_t waited = s->now - s->came[s->head++ % SIM_QUEUE];
        bool sheds = s->sheddable && weir_codel_sheds(&s->codel, waited);
        weir_codel_taken(&s->codel, s->now, waited, sheds ? 0 : 1);
        if (sheds) {
            s->shed++;
            continue;
        }
        s->served++;
        if (s->now >= s->since && waited > s->worst)
            s->worst = waited;
        return;
    }
    s->idle++;
}

/* Runs `steps` steps with `load` tenths of a request arriving per step. */
static void sim_run(struct sim *s, unsigned steps, unsigned load)
{
    unsigned owed = 0;
    for (unsigned i = 0; i < steps; i++) {
        for (owed += load; owed >= 10; owed -= 10)
            sim_arrive(s);
        sim_serve(s);
        s->now += STEP;
    }
}

static struct sim *sim_new(void)
{
    static struct sim s;
    s.now = SECOND;
    cr_assert_eq(weir_codel_init(&s.codel, TARGET, INTERVAL), 0);
    return &s;
}

Test(codel, load_below_capacity_is_never_refused)
{
    struct sim *s = sim_new();
    sim_run(s, 20000, 9);
    cr_assert_eq(s->refused + s->shed, 0);
}

Test(codel, burst_that_drains_within_the_interval_is_let_in)
{
    struct sim *s = sim_new();
    sim_run(s, 2000, 5);
    for (unsigned burst = 0; burst < 5; burst++) {
        for (unsigned i = 0; i < 400; i++) /* 40 ms of work: eight targets, less than an interval */
            sim_arrive(s);
        sim_run(s, 2000, 5);
    }
    cr_assert_eq(s->refused + s->shed, 0, "refused %lu", (unsigned long)s->refused);
}

Test(codel, overload_is_held_at_the_target_without_losing_throughput)
{
    struct sim *s = sim_new();
    s->since = s->now + 5 * INTERVAL;
    sim_run(s, 100000, 20); /* twice what can be served, for 10 s */
    cr_assert_leq(s->idle, 500, "idle for %lu of 100000 steps", (unsigned long)s->idle);
    cr_assert_leq(s->worst, 2 * TARGET, "waited %lu us", (unsigned long)(s->worst / US));
    cr_assert_eq(s->served + s->refused + (s->tail - s->head), 200000);
    cr_assert_eq(s->shed, 0);
}

Test(codel, requests_that_may_be_shed_are_when_they_waited_too_long)
{
    struct sim *s = sim_new();
    s->sheddable = true;
    s->since = s->now + 2 * INTERVAL;
    sim_run(s, 100000, 20);
    cr_assert_gt(s->shed, 0);
    cr_assert_leq(s->worst, TARGET);
    cr_assert_leq(s->idle, 500, "idle for %lu of 100000 steps", (unsigned long)s->idle);
    cr_assert_eq(s->served + s->refused + s->shed + (s->tail - s->head), 200000);
}

Test(codel, shedding_ends_with_the_overload)
{
    struct sim *s = sim_new();
    sim_run(s, 20000, 30);
    cr_assert(weir_codel_is_shedding(&s->codel));
    sim_run(s, 10000, 5);
    cr_assert_not(weir_codel_is_shedding(&s->codel));
    uint64_t refused = s->refused;
    sim_run(s, 10000, 9);
    cr_assert_eq(s->refused, refused);
}

Test(codel, limit_recovers_when_the_service_gets_faster)
{
    struct sim *s = sim_new();
    /* One request in fifty steps is served for a while, so the limit is low. */
    for (unsigned i = 0; i < 20000; i++) {
        sim_arrive(s);
        if (i % 50 == 0)
            sim_serve(s);
        s->now += STEP;
    }
    cr_assert(weir_codel_is_shedding(&s->codel));
    sim_run(s, 20000, 20);
    s->idle = 0;
    sim_run(s, 20000, 20);
    cr_assert_leq(s->idle, 200, "idle for %lu of 20000 steps", (unsigned long)s->idle);
}

Test(codel, queue_that_nobody_takes_from_is_a_standing_queue)
{
    struct sim *s = sim_new();
    for (unsigned i = 0; i < 30; i++, s->now += 10 * MS)
        sim_arrive(s);
    cr_assert(weir_codel_is_shedding(&s->codel));
    cr_assert_gt(s->refused, 0);
}

Test(codel, empty_queue_takes_work_even_while_shedding)
{
    struct sim *s = sim_new();
    sim_run(s, 20000, 30);
    cr_assert(weir_codel_is_shedding(&s->codel));
    cr_assert_eq(weir_codel_admit(&s->codel, s->now, 0), 0);
}

Test(codel, bad_times_change_nothing)
{
    weir_codel c;
    cr_assert_eq(weir_codel_init(&c, TARGET, INTERVAL), 0);
    weir_codel before = c;
    cr_assert_eq(weir_codel_init(NULL, TARGET, INTERVAL), -EINVAL);
    cr_assert_eq(weir_codel_init(&c, 0, INTERVAL), -EINVAL);
    cr_assert_eq(weir_codel_init(&c, INTERVAL, INTERVAL), -EINVAL);
    cr_assert_eq(weir_codel_set(&c, TARGET, 0), -EINVAL);
    cr_assert_eq(weir_codel_set(&c, TARGET, (uint64_t)-1), -EINVAL);
    cr_assert_eq(weir_codel_set(&c, (uint64_t)-5, INTERVAL), -EINVAL);
    cr_assert_eq(memcmp(&before, &c, sizeof c), 0);
}

/* --- breaker ---------------------------------------------------------------------------------------------------- */

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
