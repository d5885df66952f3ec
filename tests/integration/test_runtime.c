/* SPDX-License-Identifier: MIT
 *
 * test_runtime.c - what must hold for a runtime's life: starting, stopping, idling, counting, leaving nothing.
 */
#include "support.h"
#include "fib.h"

#include <malloc.h>
#include <sys/resource.h>

TestSuite(runtime, .timeout = 100);

static weir_atomic_u32 ran, entered, gate;

static weir_task *count_one(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    add(&ran, 1);
    return NULL;
}

static weir_task *wait_for_gate(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    add(&entered, 1);
    reaches(&gate, 1);
    add(&ran, 1);
    return NULL;
}

static void count_call(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    add(&ran, 1);
}

/* --- start and stop ------------------------------------------------------------------------------------------- */

static weir_task *allocate_pooled(weir_worker *w, weir_task *self)
{
    (void)self;
    for (unsigned i = 0; i < 50; i++) {
        weir_task *t;
        if (weir_task_new(w, count_one, 100 * i % 4000, &t) != 0)
            abort();
        weir_spawn(w, t);
    }
    return NULL;
}

static void start_use_stop(unsigned i)
{
    weir_task t;
    weir_config c = config_of(1 + i % 4);
    c.queue_capacity = 1 + i % 7;
    c.deque_capacity = 2;
    c.publish_mode = (weir_publish_mode)(i % 2);
    weir_runtime *rt = start_config(&c);
    if (i % 3 == 0)
        call(rt, count_call, NULL);
    if (i % 5 == 0)
        submit_ok(rt, &t, allocate_pooled);
    cr_assert_eq(weir_stop(rt, i % 5 && i % 2 ? WEIR_DISCARD : WEIR_DRAIN, WEIR_FOREVER), 0);
}

Test(runtime, a_thousand_starts_and_stops_leave_nothing_behind)
{
    unsigned rounds = 1000;
    for (unsigned i = 0; i < 100; i++)
        start_use_stop(i);
    unsigned threads = threads_now(), descriptors = descriptors_now();
    size_t mappings = mappings_now();
    size_t heap = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (unsigned i = 0; i < rounds; i++)
        start_use_stop(i);
    cr_assert(threads_come_down_to(threads));
    cr_assert_eq(descriptors_now(), descriptors);
    cr_assert_leq(mappings_now(), mappings + 20, "%zu mappings, then %zu", mappings, mappings_now());
    size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
    cr_assert_leq(after, heap + 64 * 1024, "%zu bytes, then %zu", heap, after);
}

Test(runtime, several_runtimes_work_side_by_side)
{
    weir_runtime *rt[WEIR_RUNTIMES_MAX];
    static weir_task t[WEIR_RUNTIMES_MAX];
    weir_config c = config_of(1);
    for (unsigned i = 0; i < WEIR_RUNTIMES_MAX; i++)
        rt[i] = start_config(&c);
    weir_runtime *one_more = (weir_runtime *)&c;
    cr_assert_eq(weir_start(&one_more, &c), -EMFILE);
    cr_assert_eq(one_more, (weir_runtime *)&c, "something was changed");
    for (unsigned i = 0; i < WEIR_RUNTIMES_MAX; i++)
        submit_ok(rt[i], &t[i], count_one);
    stop(rt[13]);
    cr_assert_eq(weir_start(&one_more, &c), 0, "the place is free again");
    cr_assert_neq(one_more, rt[13], "an old handle has come to life");
    rt[13] = one_more;
    for (unsigned i = 0; i < WEIR_RUNTIMES_MAX; i++)
        stop(rt[i]);
    cr_assert_eq(get(&ran), WEIR_RUNTIMES_MAX);
}

Test(runtime, workers_are_named_after_the_runtime)
{
    weir_runtime *rt = start(3);
    cr_assert(has_thread("weir/0"));
    cr_assert(has_thread("weir/1"));
    cr_assert(has_thread("weir/2"));
    cr_assert_not(has_thread("weir/3"));
    stop(rt);
    cr_assert(lacks_thread("weir/0"));
}

/* --- stopping ------------------------------------------------------------------------------------------------- */

struct tree {
    weir_task task;
    unsigned depth;
};

/* A pooled binary tree of tasks: what one submit leads to. */
static weir_task *grow(weir_worker *w, weir_task *self)
{
    unsigned depth = *(unsigned *)weir_task_payload(self);
    add(&ran, 1);
    for (unsigned i = 0; i < 2 && depth > 0; i++) {
        weir_task *t;
        if (weir_task_new(w, grow, sizeof depth, &t) != 0)
            abort();
        *(unsigned *)weir_task_payload(t) = depth - 1;
        weir_spawn(w, t);
    }
    return NULL;
}

static weir_task *new_tree(unsigned depth)
{
    weir_task *t = NULL;
    cr_assert_eq(weir_task_new(NULL, grow, sizeof depth, &t), 0);
    *(unsigned *)weir_task_payload(t) = depth;
    return t;
}

Test(runtime, draining_stop_runs_all_that_was_accepted_and_what_it_leads_to)
{
    static const unsigned counts[] = {1, 2, 4, 16, 64};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        weir_runtime *rt = start(counts[i]);
        set(&ran, 0);
        for (unsigned j = 0; j < 10; j++)
            cr_assert_eq(weir_submit(rt, new_tree(9), WEIR_BLOCK, 0), 0);
        weir_stats s = stop_and_read(rt, WEIR_DRAIN);
        cr_assert_eq(get(&ran), 10 * 1023);
        cr_assert_eq(s.total.tasks_run, 10 * 1023);
        cr_assert_eq(s.total.tasks_spawned, 10 * 1022);
        cr_assert_eq(s.total.tasks_discarded, 0);
        cr_assert_eq(s.total.submitted, 10);
    }
}

Test(runtime, discarding_stop_drops_and_counts_what_was_not_begun)
{
    static weir_task holder, t[100];
    weir_runtime *rt = start(1);
    submit_ok(rt, &holder, wait_for_gate);
    cr_assert(reaches(&entered, 1));
    for (unsigned i = 0; i < 100; i++)
        submit_ok(rt, &t[i], count_one);
    cr_assert_eq(weir_stop(rt, WEIR_DISCARD, 0), -ETIMEDOUT);
    set(&gate, 1);
    weir_stats s = stop_and_read(rt, WEIR_DISCARD);
    cr_assert_eq(get(&ran), 1);
    cr_assert_eq(s.total.tasks_discarded, 100);
    cr_assert_eq(s.total.submitted, 101);
}

Test(runtime, discarded_pooled_tasks_are_freed)
{
    static weir_task holder;
    weir_runtime *rt = start(1);
    submit_ok(rt, &holder, wait_for_gate);
    cr_assert(reaches(&entered, 1));
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(weir_submit(rt, new_tree(5), WEIR_BLOCK, 0), 0); /* LeakSanitizer sees to the rest */
    cr_assert_eq(weir_stop(rt, WEIR_DISCARD, 0), -ETIMEDOUT);
    set(&gate, 1);
    cr_assert_eq(stop_and_read(rt, WEIR_DISCARD).total.tasks_discarded, 100);
}

Test(runtime, stop_gives_up_at_its_deadline_and_can_be_called_again)
{
    static weir_task holder, t, late;
    weir_runtime *rt = start(2);
    submit_ok(rt, &holder, wait_for_gate);
    submit_ok(rt, &t, count_one);
    cr_assert(reaches(&entered, 1));
    uint64_t deadline = in_ms(30);
    cr_assert_eq(weir_stop(rt, WEIR_DRAIN, deadline), -ETIMEDOUT);
    cr_assert_geq(weir_now(), deadline);
    weir_task_init(&late, count_one);
    for (int policy = WEIR_TRY; policy <= WEIR_RUN_IN_CALLER; policy++)
        cr_assert_eq(weir_submit(rt, &late, (weir_policy)policy, in_ms(10)), -ESHUTDOWN);
    cr_assert_eq(weir_call(rt, count_call, NULL), -ESHUTDOWN);
    weir_stats s = {.size = sizeof s};
    cr_assert_eq(weir_stats_read(rt, &s, NULL, 0), 0, "it is still there to be looked at");
    cr_assert_eq(weir_stop(rt, WEIR_DRAIN, 0), -ETIMEDOUT);
    set(&gate, 1);
    stop(rt);
    cr_assert_eq(get(&ran), 2);
}

/* With many workers on few cores, and one that is busy: the deadline holds and nobody burns time meanwhile. */
Test(runtime, stop_keeps_its_deadline_with_many_idle_workers)
{
    static weir_task holder;
    weir_runtime *rt = start(64);
    submit_ok(rt, &holder, wait_for_gate);
    cr_assert(reaches(&entered, 1));
    for (unsigned i = 0; i < 5; i++) {
        uint64_t begin = weir_now();
        cr_assert_eq(weir_stop(rt, WEIR_DRAIN, in_ms(20)), -ETIMEDOUT);
        cr_assert_lt(weir_now() - begin, 5000 * NS_PER_MS);
    }
    set(&gate, 1);
    stop(rt);
}

/* A guest is inside as well: the deadline holds for it, too. */
static weir_runtime *guest_rt;
static weir_atomic_u32 guest_entered, guest_gate;

static weir_task *guest_wait(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    set(&guest_entered, 1);
    reaches(&guest_gate, 1);
    add(&ran, 1);
    return NULL;
}

static void *run_as_guest(void *arg)
{
    static weir_task t;
    (void)arg;
    weir_task_init(&t, guest_wait);
    return (void *)(intptr_t)weir_submit(guest_rt, &t, WEIR_RUN_IN_CALLER, 0);
}

Test(runtime, stop_keeps_its_deadline_while_a_guest_is_busy)
{
    static weir_task t[2];
    pthread_t thread;
    weir_config c = config_of(1);
    c.queue_capacity = 1;
    guest_rt = start_config(&c);
    submit_ok(guest_rt, &t[0], wait_for_gate);
    cr_assert(reaches(&entered, 1));
    submit_ok(guest_rt, &t[1], count_one);
    cr_assert_eq(pthread_create(&thread, NULL, run_as_guest, NULL), 0);
    cr_assert(reaches(&guest_entered, 1));
    set(&gate, 1); /* the worker ends, the guest goes on */
    cr_assert(reaches(&ran, 2));
    uint64_t begin = weir_now();
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(weir_stop(guest_rt, WEIR_DRAIN, in_ms(30)), -ETIMEDOUT);
    cr_assert_lt(weir_now() - begin, 10000 * NS_PER_MS);
    set(&guest_gate, 1);
    void *result;
    pthread_join(thread, &result);
    cr_assert_null(result);
    stop(guest_rt);
    cr_assert_eq(get(&ran), 3);
}

static weir_runtime *stopping;

static void stop_own_runtime(weir_worker *w, void *arg)
{
    *(int *)arg = weir_stop(weir_worker_runtime(w), WEIR_DRAIN, WEIR_FOREVER);
}

static void *stop_in_thread(void *arg)
{
    (void)arg;
    return (void *)(intptr_t)weir_stop(stopping, WEIR_DRAIN, WEIR_FOREVER);
}

Test(runtime, stop_on_an_own_worker_or_twice_at_once_is_refused)
{
    static weir_task holder;
    pthread_t thread;
    int result = 0;
    void *other;
    stopping = start(2);
    call(stopping, stop_own_runtime, &result);
    cr_assert_eq(result, -EDEADLK);
    call(stopping, count_call, NULL); /* nothing has changed */
    submit_ok(stopping, &holder, wait_for_gate);
    cr_assert(reaches(&entered, 1));
    cr_assert_eq(pthread_create(&thread, NULL, stop_in_thread, NULL), 0);
    weir_task t;
    weir_task_init(&t, count_one);
    static weir_task probes[100000];
    for (unsigned i = 0; i < 100000; i++) { /* until the other one is at it */
        weir_task_init(&probes[i], count_one);
        int r = weir_submit(stopping, &probes[i], WEIR_TRY, 0);
        if (r == -ESHUTDOWN)
            break;
        sleep_ms(1);
    }
    cr_assert_eq(weir_stop(stopping, WEIR_DRAIN, WEIR_FOREVER), -EALREADY);
    set(&gate, 1);
    pthread_join(thread, &other);
    cr_assert_null(other);
}

Test(runtime, bad_arguments_of_stop_are_refused_and_change_nothing)
{
    weir_runtime *rt = start(1);
    weir_stats s = {.size = sizeof s - 1};
    cr_assert_eq(weir_stop(NULL, WEIR_DRAIN, 0), -EINVAL);
    cr_assert_eq(weir_stop(rt, (weir_stop_mode)2, 0), -EINVAL);
    cr_assert_eq(weir_stop_stats(rt, WEIR_DRAIN, 0, &s), -EINVAL);
    cr_assert_eq(weir_stats_read(rt, NULL, NULL, 0), -EINVAL);
    cr_assert_eq(weir_stats_read(rt, &s, NULL, 0), -EINVAL);
    s.size = sizeof s;
    cr_assert_eq(weir_stats_read(NULL, &s, NULL, 0), -EINVAL);
    call(rt, count_call, NULL);
    stop(rt);
    cr_assert_eq(get(&ran), 1);
}

/* --- stop against submit -------------------------------------------------------------------------------------- */

struct racer {
    pthread_t thread;
    weir_runtime *rt;
    weir_task tasks[3000];
    unsigned n, accepted;
    weir_policy policy;
    bool batches;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    int result = 0;
    while (r->accepted < r->n && (result == 0 || result == -EAGAIN || result == -ETIMEDOUT)) {
        if (r->batches) {
            weir_task *list[20];
            size_t n = 0, accepted = 0;
            for (; n < 20 && r->accepted + n < r->n; n++)
                list[n] = &r->tasks[r->accepted + n];
            result = weir_submit_batch(r->rt, list, n, r->policy, in_ms(1), &accepted);
            r->accepted += (unsigned)accepted;
        } else {
            result = weir_submit(r->rt, &r->tasks[r->accepted], r->policy, in_ms(1));
            r->accepted += result == 0;
        }
    }
    return NULL;
}

Test(runtime, stop_at_any_moment_runs_or_discards_exactly_what_was_accepted)
{
    static struct racer r[4];
    unsigned seed = 12345;
    for (unsigned round = 0; round < 150; round++) {
        weir_config c = config_of(1 + round % 5);
        c.queue_capacity = 1u << round % 7;
        weir_runtime *rt = start_config(&c);
        set(&ran, 0);
        for (unsigned i = 0; i < 4; i++) {
            r[i].rt = rt;
            r[i].n = 3000;
            r[i].accepted = 0;
            r[i].policy = (weir_policy)((i + round) % 4);
            r[i].batches = (round / 4 + i) % 2;
            for (unsigned j = 0; j < 3000; j++)
                weir_task_init(&r[i].tasks[j], count_one);
            cr_assert_eq(pthread_create(&r[i].thread, NULL, race, &r[i]), 0);
        }
        usleep((unsigned)rand_r(&seed) % 3000);
        weir_stats s = stop_and_read(rt, round % 2 ? WEIR_DISCARD : WEIR_DRAIN);
        uint64_t accepted = 0;
        for (unsigned i = 0; i < 4; i++) {
            pthread_join(r[i].thread, NULL);
            accepted += r[i].accepted;
        }
        cr_assert_eq(s.total.tasks_run, get(&ran));
        cr_assert_eq(s.total.tasks_run + s.total.tasks_discarded, accepted,
                     "round %u: %u run, %u discarded, %u accepted", round, (unsigned)s.total.tasks_run,
                     (unsigned)s.total.tasks_discarded, (unsigned)accepted);
        cr_assert_eq(s.queue_depth, 0, "round %u: %u in a stopped injector", round, (unsigned)s.queue_depth);
        cr_assert_eq(s.total.submitted, accepted, "round %u: %u counted, %u accepted", round,
                     (unsigned)s.total.submitted, (unsigned)accepted);
        if (round % 2 == 0)
            cr_assert_eq(s.total.tasks_discarded, 0);
    }
}

/* --- counting ------------------------------------------------------------------------------------------------- */

static void call_fib(weir_worker *w, void *arg)
{
    *(long *)arg = fib(w, 22);
}

Test(runtime, counts_of_the_workers_add_up_to_the_total)
{
    static weir_task t[500];
    weir_config c = config_of(4);
    long result;
    c.guests = 0;
    c.spare_workers = 0;
    weir_runtime *rt = start_config(&c);
    call(rt, call_fib, &result);
    for (unsigned i = 0; i < 500; i++)
        submit_ok(rt, &t[i], count_one);
    cr_assert(reaches(&ran, 500));
    sleep_ms(50); /* all is quiet */
    weir_stats s = {.size = sizeof s};
    weir_counts each[6], sum = {0};
    memset(each, 0xff, sizeof each);
    cr_assert_eq(weir_stats_read(rt, &s, each, 6), 0);
    for (unsigned i = 0; i < 4; i++) {
        sum.tasks_run += each[i].tasks_run;
        sum.steals += each[i].steals;
        sum.injected += each[i].injected;
        sum.parks += each[i].parks;
    }
    cr_assert_eq(each[4].tasks_run, UINT64_MAX, "beyond the workers nothing is written");
    cr_assert_eq(s.workers, 4);
    cr_assert_eq(sum.tasks_run, s.total.tasks_run);
    cr_assert_eq(sum.steals, s.total.steals);
    cr_assert_eq(sum.injected, s.total.injected);
    cr_assert_eq(s.total.injected, 501, "a call is a submit");
    cr_assert_eq(s.total.submitted, 501);
    cr_assert_eq(s.queue_depth, 0);
    /* What runs was submitted, or stolen from its joiner (tasks that a thief takes twice are stolen twice). */
    cr_assert_leq(s.total.tasks_run, 501 + s.total.steals);
    cr_assert_geq(s.total.tasks_run, 501);
    cr_assert_eq(s.parked, 4);
    cr_assert_geq(sum.parks, 4);
    stop(rt);
}

/* --- idling --------------------------------------------------------------------------------------------------- */

static uint64_t cpu_time_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    long seconds = u.ru_utime.tv_sec + u.ru_stime.tv_sec;
    return (uint64_t)seconds * 1000000 + (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

Test(runtime, idle_runtime_uses_no_processor)
{
    static const unsigned counts[] = {1, 4, 64};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        weir_runtime *rt = start(counts[i]);
        weir_stats s = {.size = sizeof s};
        long result;
        call(rt, call_fib, &result);
        uint64_t end = in_ms(LONG_TIME_MS);
        do {
            sleep_ms(20);
            cr_assert_eq(weir_stats_read(rt, &s, NULL, 0), 0);
        } while (s.parked != counts[i] && weir_now() < end);
        cr_assert_eq(s.parked, counts[i], "not all went to sleep");
        uint64_t parks = s.total.parks, before = cpu_time_us();
        sleep_ms(700);
        uint64_t used = cpu_time_us() - before;
        cr_assert_eq(weir_stats_read(rt, &s, NULL, 0), 0);
        cr_assert_eq(s.total.parks, parks, "somebody woke up");
        cr_assert_lt(used, 5000, "%u workers used %u us", counts[i], (unsigned)used);
        stop(rt);
    }
}

/* After every gap the next call finds sleeping workers and wakes one. */
Test(runtime, work_after_an_idle_gap_wakes_a_sleeper)
{
    weir_runtime *rt = start(3);
    unsigned seed = 7;
    for (unsigned i = 0; i < 300; i++) {
        if (i % 10 == 0)
            sleep_ms(1 + (unsigned)rand_r(&seed) % 3);
        call(rt, count_call, NULL);
    }
    stop(rt);
    cr_assert_eq(get(&ran), 300);
}
