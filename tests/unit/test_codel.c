/* SPDX-License-Identifier: MIT
 *
 * test_codel.c - what must hold for shedding by queue time, with a simulated queue and clock.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <weir/admission.h>

#include "guard_rig.h"

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
