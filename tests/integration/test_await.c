/* SPDX-License-Identifier: MIT
 *
 * test_await.c - what must hold for waiting for the first of several, and for one thing until a deadline.
 *
 * Threads: branches end on several workers; the test's thread waits for a latch.
 */
#include "support.h"

#define BRANCHES 6u
#define ROUNDS 300u

struct wait {
    weir_any any;
    weir_branch branches[BRANCHES];
    weir_timer timers[BRANCHES];
    weir_until until;
    weir_task then, begin, thing;
    weir_timer thing_timer;
    uint64_t delays[BRANCHES]; /* ns */
    unsigned count;
    uint64_t deadline;
    weir_latch over;
    weir_atomic_u32 decided, ended, lates, still_open;
    unsigned first;
    int error;
    bool cancels;
};

static weir_task *ended(weir_worker *w, weir_task *self)
{
    (void)w;
    struct wait *x = (struct wait *)(void *)((char *)self - offsetof(struct wait, then));
    x->first = weir_any_first(&x->any);
    add(&x->ended, 1);
    weir_latch_arrive(&x->over, 1);
    return NULL;
}

static struct wait *wait_of(weir_any *any)
{
    return (struct wait *)(void *)((char *)any - offsetof(struct wait, any));
}

static void only_count(weir_worker *w, weir_any *any, unsigned first)
{
    (void)w;
    (void)first;
    add(&wait_of(any)->decided, 1);
    if (get(&wait_of(any)->ended) != 0)
        add(&wait_of(any)->still_open, 1);
}

static void cancel_others(weir_worker *w, weir_any *any, unsigned first)
{
    struct wait *x = wait_of(any);
    only_count(w, any, first);
    for (unsigned i = 0; i < x->count; i++)
        if (i != first && weir_timer_cancel(&x->timers[i]) == 0 && weir_any_withdraw(any, i) != NULL)
            x->error = -EPROTO;
}

static weir_task *begin_timers(weir_worker *w, weir_task *self)
{
    struct wait *x = (struct wait *)(void *)((char *)self - offsetof(struct wait, begin));
    for (unsigned i = 0; i < x->count; i++)
        weir_timer_init(&x->timers[i]); /* all can be cancelled before the first can end */
    for (unsigned i = 0; i < x->count; i++) {
        int r = weir_after(w, x->delays[i], &x->timers[i], weir_any_task(&x->any, i));
        if (r != 0)
            x->error = r;
        if (x->cancels && weir_any_first(&x->any) != WEIR_ANY_NONE && weir_timer_cancel(&x->timers[i]) == 0 &&
            weir_any_withdraw(&x->any, i) != NULL)
            x->error = -EPROTO; /* it is not said yet that all have begun */
    }
    return weir_any_begun(&x->any);
}

static void prepare(struct wait *x, unsigned count, weir_any_fn *decide)
{
    memset(x, 0, sizeof *x);
    x->count = count;
    x->cancels = decide == cancel_others;
    weir_task_init(&x->then, ended);
    weir_task_init(&x->begin, begin_timers);
    cr_assert_eq(weir_latch_init(&x->over, 1), 0);
    cr_assert_eq(weir_any_init(&x->any, x->branches, count, decide, &x->then), 0);
}

static void run(weir_runtime *rt, struct wait *x)
{
    cr_assert_eq(weir_submit(rt, &x->begin, WEIR_BLOCK, 0), 0);
    cr_assert_eq(weir_latch_wait(&x->over, in_ms(LONG_TIME_MS)), 0);
    cr_assert_eq(x->error, 0);
    cr_assert_eq(get(&x->ended), 1);
}

/* From the test's own thread. */
static void begun(weir_runtime *rt, struct wait *x)
{
    weir_task *next = weir_any_begun(&x->any);
    if (next != NULL)
        cr_assert_eq(weir_submit(rt, next, WEIR_BLOCK, 0), 0);
}

Test(await, the_earliest_timer_decides_and_the_others_are_cancelled)
{
    static struct wait x;
    weir_runtime *rt = start(1); /* one worker: whatever fires, all have been started */
    prepare(&x, 3, cancel_others);
    x.delays[0] = 3600000 * NS_PER_MS;
    x.delays[1] = NS_PER_MS;
    x.delays[2] = 3600000 * NS_PER_MS;
    run(rt, &x);
    cr_assert_eq(x.first, 1);
    cr_assert_eq(get(&x.decided), 1);
    stop(rt); /* does not wait for an hour */
}

Test(await, then_comes_after_all_branches_that_nobody_cancels)
{
    static struct wait x;
    weir_runtime *rt = start(2);
    prepare(&x, BRANCHES, only_count);
    for (unsigned i = 0; i < BRANCHES; i++)
        x.delays[i] = (1 + i) * NS_PER_MS;
    uint64_t from = weir_now();
    run(rt, &x);
    cr_assert_geq(weir_now() - from, BRANCHES * NS_PER_MS);
    cr_assert_eq(get(&x.decided), 1);
    cr_assert_eq(get(&x.still_open), 0);
    stop(rt);
}

Test(await, branches_that_race_decide_once)
{
    static struct wait x;
    weir_runtime *rt = start(4);
    for (unsigned round = 0; round < ROUNDS; round++) {
        prepare(&x, BRANCHES, round % 2 ? only_count : NULL);
        for (unsigned i = 0; i < BRANCHES; i++)
            cr_assert_eq(weir_submit(rt, weir_any_task(&x.any, i), WEIR_BLOCK, 0), 0);
        begun(rt, &x);
        cr_assert_eq(weir_latch_wait(&x.over, in_ms(LONG_TIME_MS)), 0);
        cr_assert_eq(get(&x.decided), round % 2);
        cr_assert_eq(get(&x.still_open), 0);
        cr_assert_lt(x.first, BRANCHES);
    }
    stop(rt);
}

Test(await, a_branch_may_stand_for_all_of_several)
{
    static struct wait x;
    weir_runtime *rt = start(2);
    prepare(&x, 2, NULL);
    weir_owe(weir_any_task(&x.any, 0), 2);
    cr_assert_null(weir_release(weir_any_task(&x.any, 0)));
    cr_assert_eq(weir_any_first(&x.any), WEIR_ANY_NONE);
    weir_task *ready = weir_release(weir_any_task(&x.any, 0));
    cr_assert_eq(ready, weir_any_task(&x.any, 0));
    cr_assert_eq(weir_submit(rt, ready, WEIR_BLOCK, 0), 0);
    cr_assert_eq(weir_submit(rt, weir_any_task(&x.any, 1), WEIR_BLOCK, 0), 0);
    begun(rt, &x);
    cr_assert_eq(weir_latch_wait(&x.over, in_ms(LONG_TIME_MS)), 0);
    stop(rt);
}

Test(await, the_last_withdrawal_hands_out_what_comes_then)
{
    static struct wait x;
    prepare(&x, 3, only_count);
    cr_assert_null(weir_any_withdraw(&x.any, 0));
    cr_assert_null(weir_any_withdraw(&x.any, 2));
    cr_assert_null(weir_any_withdraw(&x.any, 1));
    cr_assert_eq(weir_any_begun(&x.any), &x.then);
    cr_assert_eq(weir_any_first(&x.any), WEIR_ANY_NONE);
    cr_assert_eq(get(&x.decided), 0);
    weir_continuation_init(&x.then, ended, 2);
    cr_assert_eq(weir_any_init(&x.any, x.branches, 1, NULL, &x.then), 0);
    cr_assert_null(weir_any_begun(&x.any));
    cr_assert_null(weir_any_withdraw(&x.any, 0)); /* the last, but `then` owes one more */
    cr_assert_eq(weir_release(&x.then), &x.then);
}

Test(await, bad_arguments_are_refused)
{
    static struct wait x;
    cr_assert_eq(weir_any_init(NULL, x.branches, 1, NULL, &x.then), -EINVAL);
    cr_assert_eq(weir_any_init(&x.any, NULL, 1, NULL, &x.then), -EINVAL);
    cr_assert_eq(weir_any_init(&x.any, x.branches, 0, NULL, &x.then), -EINVAL);
    cr_assert_eq(weir_any_init(&x.any, x.branches, 1, NULL, NULL), -EINVAL);
    prepare(&x, 2, NULL);
    cr_assert_null(weir_any_task(&x.any, 2));
    cr_assert_null(weir_any_task(NULL, 0));
    cr_assert_null(weir_any_withdraw(&x.any, 2));
    cr_assert_null(weir_any_withdraw(NULL, 0));
    cr_assert_null(weir_any_begun(NULL));
    cr_assert_null(weir_until_begun(NULL));
    cr_assert_eq(weir_any_first(NULL), WEIR_ANY_NONE);
    cr_assert_eq(weir_until_init(NULL, &x.until, 1, NULL, &x.then), -EINVAL);
    cr_assert_null(weir_until_task(NULL));
    cr_assert_null(weir_until_withdraw(NULL));
    cr_assert_not(weir_until_is_late(NULL));
}

/* --- until a deadline ------------------------------------------------------------------------------------------- */

static struct wait *wait_of_until(weir_until *until)
{
    return (struct wait *)(void *)((char *)until - offsetof(struct wait, until));
}

static void is_late(weir_worker *w, weir_until *until)
{
    (void)w;
    add(&wait_of_until(until)->lates, 1);
}

/* Late: ends the thing, as a cancel that is exact does. */
static void is_late_and_cancels(weir_worker *w, weir_until *until)
{
    struct wait *x = wait_of_until(until);
    is_late(w, until);
    if (weir_timer_cancel(&x->thing_timer) == 0 && weir_any_withdraw(&until->any, 0) != NULL)
        x->error = -EPROTO; /* the deadline's own branch is open */
}

static weir_late_fn *when_late;

static weir_task *begin_until(weir_worker *w, weir_task *self)
{
    struct wait *x = (struct wait *)(void *)((char *)self - offsetof(struct wait, begin));
    weir_timer_init(&x->thing_timer);
    x->error = weir_until_init(w, &x->until, x->deadline, when_late, &x->then);
    if (x->error == 0)
        x->error = weir_after(w, x->delays[0], &x->thing_timer, weir_until_task(&x->until));
    if (weir_until_is_late(&x->until) && when_late == is_late_and_cancels && weir_timer_cancel(&x->thing_timer) == 0 &&
        weir_until_withdraw(&x->until) != NULL)
        x->error = -EPROTO;
    return weir_until_begun(&x->until);
}

/* Lasts `delay` ms against a deadline in `ms`. Whether it was late. */
static bool until_is_late(weir_runtime *rt, struct wait *x, uint64_t delay, uint64_t ms, weir_late_fn *late)
{
    prepare(x, 1, NULL);
    weir_task_init(&x->begin, begin_until);
    when_late = late;
    x->delays[0] = delay * NS_PER_MS;
    x->deadline = ms == 0 ? 1 : in_ms(ms);
    run(rt, x);
    return weir_until_is_late(&x->until);
}

Test(await, a_thing_that_ends_in_time_is_not_late_and_takes_its_deadline_back)
{
    static struct wait x;
    weir_runtime *rt = start(1);
    cr_assert_not(until_is_late(rt, &x, 1, 3600000, is_late));
    cr_assert_eq(get(&x.lates), 0);
    stop(rt);
}

Test(await, a_thing_that_is_late_still_ends_before_then)
{
    static struct wait x;
    weir_runtime *rt = start(2);
    uint64_t from = weir_now();
    cr_assert(until_is_late(rt, &x, 40, 1, is_late));
    cr_assert_geq(weir_now() - from, 40 * NS_PER_MS);
    cr_assert_eq(get(&x.lates), 1);
    cr_assert(until_is_late(rt, &x, 20, 1, NULL));
    stop(rt);
}

Test(await, a_late_thing_can_be_cancelled)
{
    static struct wait x;
    weir_runtime *rt = start(1);
    cr_assert(until_is_late(rt, &x, 3600000, 1, is_late_and_cancels));
    cr_assert_eq(get(&x.lates), 1);
    stop(rt);
}

Test(await, a_deadline_in_the_past_is_late_at_once)
{
    static struct wait x;
    weir_runtime *rt = start(1);
    cr_assert(until_is_late(rt, &x, 3600000, 0, is_late_and_cancels));
    stop(rt);
}

static void never_begins(weir_worker *w, void *arg)
{
    struct wait *x = arg;
    x->error = weir_until_init(w, &x->until, in_ms(3600000), is_late, &x->then);
    if (weir_until_withdraw(&x->until) != NULL)
        x->error = -EPROTO;
    weir_task *next = weir_until_begun(&x->until);
    if (next == &x->then)
        weir_spawn(w, next);
    else
        x->error = -EPROTO;
}

Test(await, what_does_not_start_is_withdrawn_with_its_deadline)
{
    static struct wait x;
    weir_runtime *rt = start(1);
    prepare(&x, 1, NULL);
    call(rt, never_begins, &x);
    cr_assert_eq(weir_latch_wait(&x.over, in_ms(LONG_TIME_MS)), 0);
    cr_assert_eq(x.error, 0);
    cr_assert_not(weir_until_is_late(&x.until));
    stop(rt);
}
