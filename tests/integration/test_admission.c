/* SPDX-License-Identifier: MIT
 *
 * test_admission.c - what must hold for the guards of a runtime: who is refused, who is shed, who is told, and that
 * nothing is lost.
 */
#include "admission_rig.h"

TestSuite(admission, .init = init_tasks);

#define REPORT_ERROR (-EIO)

static weir_atomic_u32 shed_calls;

/* --- marks ------------------------------------------------------------------------------------------------------ */

static struct {
    weir_atomic_u32 calls, inside, overlaps, repeats, last;
} told;

static void on_mark(void *arg, int level)
{
    cr_assert_eq(arg, &told);
    if (add(&told.inside, 1) != 1)
        add(&told.overlaps, 1);
    if (get(&told.last) == (uint32_t)level)
        add(&told.repeats, 1);
    set(&told.last, (uint32_t)level);
    add(&told.calls, 1);
    __atomic_sub_fetch(&told.inside.v, 1, __ATOMIC_ACQ_REL);
}

static weir_admission marks(uint32_t high, uint32_t low)
{
    weir_admission a = admission(WEIR_MARKS);
    a.mark_high = high;
    a.mark_low = low;
    a.on_mark = on_mark;
    a.mark_arg = &told;
    return a;
}

Test(admission, each_crossing_of_a_mark_is_told_once)
{
    weir_admission a = marks(10, 2);
    start_guarded(&a, 1);
    for (uint32_t round = 0; round < 5; round++) {
        set(&ran, 0);
        close_gate();
        for (unsigned i = 0; i < 20; i++) {
            cr_assert_eq(get(&told.calls), 2 * round + (i >= 10 ? 1 : 0), "round %u, depth %u", round, i);
            cr_assert_eq(submit_one(&tasks[i]), 0);
        }
        open_gate(20);
        cr_assert(reaches(&told.calls, 2 * round + 2));
        cr_assert_eq(get(&told.last), 0);
    }
    stop(rt);
    cr_assert_eq(get(&told.calls), 10);
}

Test(admission, mark_is_told_before_a_blocking_batch_sleeps)
{
    weir_task *batch[2 * QUEUE];
    weir_admission a = marks(QUEUE - 4, 2);
    for (unsigned i = 0; i < 2 * QUEUE; i++)
        batch[i] = &tasks[i];
    start_guarded(&a, 1);
    close_gate();
    cr_assert_eq(weir_submit_batch(rt, batch, 2 * QUEUE, WEIR_BLOCK_UNTIL, in_ms(20), NULL), -ETIMEDOUT);
    cr_assert_eq(get(&told.calls), 1);
    open_gate(QUEUE);
    stop(rt);
    cr_assert_eq(get(&told.calls), 2);
}

#define SUBMITTERS 3u

static void *flood(void *arg)
{
    weir_task *own = arg;
    for (unsigned i = 0; i < MANY / SUBMITTERS; i++)
        cr_assert_eq(weir_submit(rt, &own[i], WEIR_BLOCK, 0), 0);
    return NULL;
}

Test(admission, told_levels_alternate_without_overlap_under_load)
{
    pthread_t threads[SUBMITTERS];
    weir_admission a = marks(8, 1);
    start_guarded(&a, 2);
    for (unsigned i = 0; i < SUBMITTERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, flood, tasks + i * (MANY / SUBMITTERS)), 0);
    for (unsigned i = 0; i < SUBMITTERS; i++)
        pthread_join(threads[i], NULL);
    weir_stats last = stop_and_read(rt, WEIR_DRAIN);
    cr_assert_eq(get(&told.overlaps), 0);
    cr_assert_eq(get(&told.repeats), 0);
    cr_assert_eq(get(&told.last), 0, "the queue is empty");
    cr_assert_eq(last.guards.mark_calls, get(&told.calls));
    cr_assert_eq(get(&ran), MANY / SUBMITTERS * SUBMITTERS);
}

static int set_inside;

static void set_guards(void *arg, int level)
{
    (void)level;
    weir_admission a = admission(0);
    set_inside = weir_admission_set(rt, &a);
    add(arg, 1);
}

Test(admission, guards_are_not_changed_under_a_running_callback)
{
    weir_atomic_u32 calls = {0};
    weir_admission a = marks(1, 0);
    a.on_mark = set_guards;
    a.mark_arg = &calls;
    start_guarded(&a, 1);
    close_gate();
    cr_assert_eq(weir_submit(rt, &tasks[0], WEIR_TRY, 0), 0); /* it stays in the queue */
    cr_assert_geq(get(&calls), 1);
    cr_assert_eq(set_inside, -EBUSY);
    cr_assert_eq(stats().guards.guards, WEIR_MARKS);
    set(&gate_open, 1);
    stop(rt);
}

Test(admission, old_callback_is_not_called_after_a_change)
{
    weir_admission a = marks(10, 2);
    start_guarded(&a, 1);
    a.guards = 0;
    cr_assert_eq(weir_admission_set(rt, &a), 0);
    close_gate();
    for (unsigned i = 0; i < 20; i++)
        cr_assert_eq(submit_one(&tasks[i]), 0);
    cr_assert_eq(get(&told.calls), 0);
    a.guards = WEIR_MARKS; /* turned on above the mark: told at once */
    cr_assert_eq(weir_admission_set(rt, &a), 0);
    cr_assert_eq(get(&told.calls), 1);
    open_gate(20);
    stop(rt);
    cr_assert_eq(get(&told.calls), 2);
}

/* --- depth ------------------------------------------------------------------------------------------------------ */

Test(admission, depth_guard_refuses_from_high_until_low)
{
    weir_admission a = admission(WEIR_GUARD_DEPTH);
    a.depth_high = 10;
    a.depth_low = 4;
    start_guarded(&a, 1);
    close_gate();
    for (unsigned i = 0; i < 10; i++)
        cr_assert_eq(submit_one(&tasks[i]), 0);
    for (weir_policy p = WEIR_TRY; p <= WEIR_RUN_IN_CALLER; p++)
        cr_assert_eq(weir_submit(rt, &tasks[10], p, in_ms(LONG_TIME_MS)), -ENOBUFS);
    weir_task *batch[2] = {&tasks[10], &tasks[11]};
    size_t accepted = 7;
    cr_assert_eq(weir_submit_batch(rt, batch, 2, WEIR_BLOCK, 0, &accepted), -ENOBUFS);
    cr_assert_eq(accepted, 0);
    weir_stats s = stats();
    cr_assert_eq(s.guards.refused_depth, 5);
    cr_assert_eq(s.total.rejected, 5);
    cr_assert_eq(s.guards.above, 1);
    open_gate(10);
    cr_assert_eq(submit_one(&tasks[10]), 0);
    stop(rt);
    cr_assert_eq(get(&ran), 11);
}

static void do_nothing(weir_worker *w, void *arg)
{
    (void)w;
    (void)arg;
}

Test(admission, call_is_not_guarded)
{
    weir_admission a = admission(WEIR_GUARD_DEPTH);
    a.depth_high = 1;
    start_guarded(&a, 2);
    for (unsigned i = 0; i < 100; i++)
        call(rt, do_nothing, NULL);
    stop(rt);
}

/* --- queue time ------------------------------------------------------------------------------------------------- */

#define WORK_US 100u

static weir_request requests[MANY];

static void spin_us(unsigned us)
{
    for (uint64_t end = weir_now() + us * UINT64_C(1000); weir_now() < end;)
        continue;
}

static weir_task *work(weir_worker *w, weir_task *self)
{
    (void)w;
    (void)self;
    spin_us(WORK_US);
    add(&ran, 1);
    return NULL;
}

static weir_task *answer_too_late(weir_worker *w, weir_task *self)
{
    (void)w;
    (void)self;
    add(&shed_calls, 1);
    return NULL;
}

/* Offers requests faster than one worker serves them, until it has refused or shed enough, or for a long time. */
static void overload(bool sheddable, uint32_t *offered, uint32_t *refused)
{
    weir_config c = config_of(1);
    weir_admission a = admission(WEIR_GUARD_TIME);
    a.target_ns = NS_PER_MS;
    a.interval_ns = 10 * NS_PER_MS;
    c.queue_capacity = 4096;
    c.admission = &a;
    rt = start_config(&c);
    *offered = *refused = 0;
    for (unsigned i = 0; i < MANY; i++) {
        weir_task_init(&requests[i].task, work);
        if (sheddable)
            weir_request_on_shed(&requests[i], answer_too_late);
        int r = submit_one(&requests[i].task);
        cr_assert(r == 0 || r == -ETIME, "%s", weir_strerror(r));
        ++*offered;
        *refused += r == -ETIME;
        spin_us(WORK_US / 3);
    }
}

Test(admission, overload_is_refused_by_queue_time_and_nothing_is_shed_without_consent)
{
    uint32_t offered, refused;
    overload(false, &offered, &refused);
    weir_stats last = stop_and_read(rt, WEIR_DRAIN);
    cr_assert_gt(refused, 0);
    cr_assert_eq(last.guards.refused_time, refused);
    cr_assert_eq(last.total.rejected, refused);
    cr_assert_eq(last.total.tasks_shed, 0);
    cr_assert_eq(get(&ran) + refused, offered);
}

Test(admission, requests_that_consent_are_shed_and_all_are_accounted_for)
{
    uint32_t offered, refused;
    overload(true, &offered, &refused);
    weir_stats last = stop_and_read(rt, WEIR_DISCARD);
    cr_assert_gt(get(&shed_calls), 0);
    cr_assert_eq(last.total.tasks_shed, get(&shed_calls));
    cr_assert_eq(last.total.tasks_run, get(&ran));
    cr_assert_eq(get(&ran) + get(&shed_calls) + refused + last.total.tasks_discarded, offered);
}

Test(admission, shed_request_pays_its_scope)
{
    uint32_t offered, refused;
    weir_scope scope;
    overload(true, &offered, &refused); /* it sheds now, and the queue holds old requests */
    cr_assert_gt(get(&shed_calls), 0);
    uint32_t before = get(&shed_calls);
    weir_scope_init(NULL, &scope);
    unsigned in = 0;
    static weir_request more[QUEUE];
    for (unsigned i = 0; i < QUEUE; i++) {
        weir_task_init(&more[i].task, work);
        weir_request_on_shed(&more[i], answer_too_late);
        weir_scope_add(&scope, &more[i].task);
        if (submit_one(&more[i].task) == 0)
            in++;
        else
            weir_scope_remove(&scope, &more[i].task);
    }
    cr_assert_eq(weir_scope_wait(NULL, &scope), 0);
    stop(rt);
    cr_assert_geq(get(&shed_calls), before);
    cr_assert_eq(get(&ran) + get(&shed_calls) + refused, offered + in);
}

/* --- bad input -------------------------------------------------------------------------------------------------- */

static void refused(const weir_admission *a, const char *field)
{
    weir_config c = config_of(1);
    weir_runtime *none = NULL;
    uint32_t before = stats().guards.guards;
    cr_assert_eq(weir_admission_set(rt, a), -EINVAL, "%s", field);
    cr_assert_str_eq(weir_config_error(), field);
    cr_assert_eq(stats().guards.guards, before);
    c.queue_capacity = QUEUE;
    c.admission = a;
    cr_assert_eq(weir_start(&none, &c), -EINVAL, "%s", field);
    cr_assert_str_eq(weir_config_error(), field);
    cr_assert_null(none);
}

#define REFUSED(guards_, name, ...) \
    do { \
        weir_admission a = good; \
        a.guards = (guards_); \
        __VA_ARGS__; \
        refused(&a, "admission." name); \
    } while (0)

Test(admission, bad_numbers_are_refused_and_nothing_changes)
{
    weir_admission good = admission(WEIR_GUARD_DEPTH);
    good.feeds = WEIR_FEED_REPORTS;
    good.mark_high = good.depth_high = 10;
    good.on_mark = on_mark;
    start_guarded(&good, 1);
    REFUSED(UINT32_C(1) << 4, "guards", );
    REFUSED(0, "size", a.size = 0);
    REFUSED(0, "reserved", a.reserved = 1);
    REFUSED(WEIR_MARKS, "mark_high", a.mark_high = 0);
    REFUSED(WEIR_MARKS, "mark_high", a.mark_low = 10);
    REFUSED(WEIR_MARKS, "mark_high", a.mark_low = 11);
    REFUSED(WEIR_MARKS, "mark_high", a.mark_high = QUEUE + 1);
    REFUSED(WEIR_MARKS, "on_mark", a.on_mark = NULL);
    REFUSED(WEIR_GUARD_DEPTH, "depth_high", a.depth_high = 0);
    REFUSED(WEIR_GUARD_DEPTH, "depth_high", a.depth_low = 10);
    REFUSED(WEIR_GUARD_DEPTH, "depth_high", a.depth_high = QUEUE + 1);
    REFUSED(WEIR_GUARD_TIME, "target_ns", a.target_ns = 0);
    REFUSED(WEIR_GUARD_TIME, "target_ns", a.target_ns = a.interval_ns);
    REFUSED(WEIR_GUARD_TIME, "target_ns", a.interval_ns = (uint64_t)-1);
    REFUSED(WEIR_GUARD_BREAKER, "breaker", a.breaker.failure_percent = 101);
    REFUSED(WEIR_GUARD_BREAKER, "breaker", a.breaker.open_ns = 0);
    REFUSED(WEIR_GUARD_BREAKER, "feeds", a.feeds = 0);
    REFUSED(WEIR_GUARD_BREAKER, "feeds", a.feeds = UINT32_C(1) << 3);
    REFUSED(WEIR_GUARD_BREAKER, "slow_ns", a.feeds = WEIR_FEED_QUEUE_TIME);
    REFUSED(WEIR_GUARD_BREAKER, "slow_ns", a.feeds = WEIR_FEED_QUEUE_TIME; a.slow_ns = (uint64_t)-1);
    cr_assert_eq(weir_admission_init(NULL), -EINVAL);
    cr_assert_eq(weir_admission_set(rt, NULL), -EINVAL);
    cr_assert_eq(weir_admission_set(NULL, &good), -EINVAL);
    stop(rt);
    cr_assert_eq(weir_admission_set(rt, &good), -ESHUTDOWN);
}

static void report_badly(weir_worker *w, void *arg)
{
    weir_task *t = arg;
    cr_assert_eq(weir_report(NULL, t, 0), -EINVAL);
    cr_assert_eq(weir_report(w, NULL, 0), -EINVAL);
    cr_assert_eq(weir_report(w, t, EIO), -EINVAL);
    cr_assert_eq(weir_report(w, t, REPORT_ERROR), 0);
}

Test(admission, bad_reports_are_refused)
{
    start_guarded(NULL, 1);
    call(rt, report_badly, &tasks[0]);
    stop(rt);
}
