/* SPDX-License-Identifier: MIT
 *
 * test_admission_breaker.c - what must hold for a runtime's circuit breaker: what feeds it, who is let in, and that
 * probes are given back.
 */
#include "admission_rig.h"

TestSuite(admission_breaker, .init = init_tasks);

static weir_atomic_u32 outcome; /* what requests report: 0, or an errno */

static weir_task *report(weir_worker *w, weir_task *self)
{
    cr_assert_eq(weir_report(w, self, -(int)get(&outcome)), 0);
    add(&ran, 1);
    return NULL;
}

static weir_admission breaker_fed_by(uint32_t feeds)
{
    weir_admission a = admission(WEIR_GUARD_BREAKER);
    a.breaker.min_calls = 10;
    a.breaker.probes = 2;
    a.breaker.window_ns = 3600 * 1000 * NS_PER_MS;
    a.breaker.open_ns = 30 * NS_PER_MS;
    a.feeds = feeds;
    return a;
}

static weir_breaker_state breaker_state(void)
{
    return (weir_breaker_state)stats().guards.breaker;
}

/* Submits one request and waits until it has run, or was refused. */
static int request(weir_task_fn *fn)
{
    static weir_task t;
    uint32_t before = get(&ran);
    weir_task_init(&t, fn);
    int r = submit_one(&t);
    if (r == 0)
        cr_assert(reaches(&ran, before + 1));
    return r;
}

/* The same, until the breaker lets one pass: its time must come to an end. */
static void request_until_let_in(weir_task_fn *fn)
{
    uint64_t end = in_ms(LONG_TIME_MS);
    while (request(fn) == -ECONNREFUSED) {
        cr_assert_lt(weir_now(), end);
        usleep(1000);
    }
}

static struct {
    unsigned n;
    int level[16];
} states;

static void on_breaker(void *arg, int level)
{
    (void)arg;
    if (states.n < 16)
        states.level[states.n++] = level;
}

Test(admission_breaker, reported_failures_open_the_breaker_and_probes_close_it)
{
    weir_admission a = breaker_fed_by(WEIR_FEED_REPORTS);
    a.on_breaker = on_breaker;
    start_guarded(&a, 1);
    set(&outcome, EIO);
    for (unsigned i = 0; i < 10; i++)
        cr_assert_eq(request(report), 0);
    cr_assert_eq(request(report), -ECONNREFUSED);
    request_until_let_in(report); /* a probe that fails */
    cr_assert_eq(breaker_state(), WEIR_BREAKER_OPEN);
    set(&outcome, 0);
    request_until_let_in(report);
    cr_assert_eq(breaker_state(), WEIR_BREAKER_HALF_OPEN);
    cr_assert_eq(request(report), 0);
    cr_assert_eq(breaker_state(), WEIR_BREAKER_CLOSED);
    weir_stats last = stop_and_read(rt, WEIR_DRAIN);
    cr_assert_eq(last.guards.breaker_opened, 2);
    cr_assert_eq(last.guards.breaker_probes, 3);
    cr_assert_eq(last.guards.refused_breaker, last.total.rejected);
    static const int expected[] = {WEIR_BREAKER_OPEN, WEIR_BREAKER_HALF_OPEN, WEIR_BREAKER_OPEN, WEIR_BREAKER_HALF_OPEN,
                                   WEIR_BREAKER_CLOSED};
    cr_assert_eq(states.n, 5);
    cr_assert_eq(memcmp(states.level, expected, sizeof expected), 0);
}

Test(admission_breaker, refusals_by_a_full_queue_open_a_breaker_fed_with_rejections)
{
    weir_admission a = breaker_fed_by(WEIR_FEED_REJECTIONS);
    start_guarded(&a, 1);
    close_gate();
    for (unsigned i = 0; i < QUEUE; i++)
        cr_assert_eq(submit_one(&tasks[i]), 0);
    for (unsigned i = 0; i < 2 * QUEUE && breaker_state() == WEIR_BREAKER_CLOSED; i++)
        cr_assert_eq(submit_one(&tasks[QUEUE]), -EAGAIN);
    cr_assert_eq(breaker_state(), WEIR_BREAKER_OPEN);
    cr_assert_eq(submit_one(&tasks[QUEUE]), -ECONNREFUSED);
    open_gate(QUEUE);
    request_until_let_in(run_empty);
    request_until_let_in(run_empty);
    cr_assert_eq(breaker_state(), WEIR_BREAKER_CLOSED);
    stop(rt);
}

Test(admission_breaker, refusals_by_another_guard_open_a_breaker_fed_with_rejections)
{
    weir_admission a = breaker_fed_by(WEIR_FEED_REJECTIONS);
    a.guards |= WEIR_GUARD_DEPTH;
    a.depth_high = 5;
    start_guarded(&a, 1);
    close_gate();
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(submit_one(&tasks[i]), 0);
    for (unsigned i = 0; i < QUEUE && breaker_state() == WEIR_BREAKER_CLOSED; i++)
        cr_assert_eq(submit_one(&tasks[5]), -ENOBUFS);
    cr_assert_eq(breaker_state(), WEIR_BREAKER_OPEN);
    open_gate(5);
    stop(rt);
}

Test(admission_breaker, long_waits_open_a_breaker_fed_with_queue_time)
{
    weir_admission a = breaker_fed_by(WEIR_FEED_QUEUE_TIME);
    a.slow_ns = NS_PER_MS;
    start_guarded(&a, 1);
    close_gate();
    for (unsigned i = 0; i < 20; i++)
        cr_assert_eq(submit_one(&tasks[i]), 0);
    sleep_ms(5);
    open_gate(20);
    cr_assert_eq(stats().guards.breaker_opened, 1);
    stop(rt);
}

Test(admission_breaker, probe_that_finds_the_queue_full_is_given_back)
{
    weir_admission a = breaker_fed_by(WEIR_FEED_REPORTS);
    start_guarded(&a, 1);
    set(&outcome, EIO);
    for (unsigned i = 0; i < 10; i++)
        cr_assert_eq(request(report), 0);
    cr_assert_eq(breaker_state(), WEIR_BREAKER_OPEN);
    weir_admission off = admission(0);
    cr_assert_eq(weir_admission_set(rt, &off), 0);
    set(&ran, 0);
    close_gate();
    for (unsigned i = 0; i < QUEUE; i++)
        cr_assert_eq(submit_one(&tasks[i]), 0);
    a.breaker.min_calls = 1;
    cr_assert_eq(weir_admission_set(rt, &a), 0); /* turned on: begins afresh, closed */
    cr_assert_eq(breaker_state(), WEIR_BREAKER_CLOSED);
    uint64_t before = tasks[QUEUE].state.v;
    cr_assert_eq(submit_one(&tasks[QUEUE]), -EAGAIN);
    cr_assert_eq(weir_submit(rt, &tasks[QUEUE], WEIR_BLOCK_UNTIL, 1), -ETIMEDOUT); /* a deadline in the past */
    cr_assert_eq(tasks[QUEUE].state.v, before);
    set(&ran, 0);
    open_gate(QUEUE);
    cr_assert_eq(request(report), 0); /* fails: open */
    uint64_t end = in_ms(LONG_TIME_MS);
    sleep_ms(40);
    close_gate(); /* the gate is the first probe */
    int r = 0;
    for (unsigned i = 0; i < 4 && (r = submit_one(&tasks[i])) == 0; i++)
        continue;
    cr_assert_eq(r, -ECONNREFUSED, "two probes, of which the gate is one");
    cr_assert_lt(weir_now(), end);
    set(&gate_open, 1);
    stop(rt);
}
