/* SPDX-License-Identifier: MIT
 *
 * test_fault.c - what must hold when memory or threads run out: a clean error, nothing left, what runs goes on.
 *
 * The faults exist in builds with -Dfault_injection=true only; elsewhere these tests are skipped.
 */
#include "fault_support.h"

TestSuite(fault, .timeout = 100);

static void count_call(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    add(&ran, 1);
}

/* Makes the n-th event of a kind fail during weir_start, for every n there is. Returns how many there are. */
static unsigned fail_each(enum os_fault_kind kind, const weir_config *c, int code)
{
    unsigned n = 0;
    stop(start_config(c)); /* what is made once per process */
    unsigned threads = threads_now(), descriptors = descriptors_now();
    for (int r = -1; r != 0; n++) {
        weir_runtime *rt = (weir_runtime *)&n;
        arm(kind, n + 1);
        r = weir_start(&rt, c);
        disarm(kind);
        if (r == 0) {
            call(rt, count_call, NULL);
            stop(rt);
            break;
        }
        cr_assert_eq(r, code, "event %u: %d", n + 1, r);
        cr_assert_eq(rt, (weir_runtime *)&n, "something was changed");
        cr_assert(threads_come_down_to(threads), "a thread is left after event %u", n + 1);
        cr_assert_eq(descriptors_now(), descriptors);
        cr_assert_lt(n, 1000);
    }
    return n;
}

Test(fault, every_allocation_of_a_start_may_fail)
{
    need_faults();
    weir_config c = config_of(3);
    c.guests = 2;
    cr_assert_geq(fail_each(OS_FAULT_ALLOC, &c, -ENOMEM), 10, "fewer allocations than parts");
    c.pin = 1;
    c.steal_order = WEIR_STEAL_TOPOLOGY;
    fail_each(OS_FAULT_ALLOC, &c, -ENOMEM);
    /* all places are free again */
    weir_runtime *rt[WEIR_RUNTIMES_MAX];
    c = config_of(1);
    for (unsigned i = 0; i < WEIR_RUNTIMES_MAX; i++)
        rt[i] = start_config(&c);
    for (unsigned i = 0; i < WEIR_RUNTIMES_MAX; i++)
        stop(rt[i]);
}

Test(fault, every_thread_of_a_start_may_fail)
{
    need_faults();
    weir_config c = config_of(8);
    for (unsigned spin = 0; spin <= 100; spin += 50) {
        c.spin_us = spin;
        for (unsigned round = 0; round < 20; round++) /* the others are searching, or about to sleep, or asleep */
            cr_assert_eq(fail_each(OS_FAULT_THREAD, &c, -EAGAIN), 8);
    }
}

#define MANY 3000u

static weir_task many[MANY];
static weir_atomic_u32 join_failed;

static void fork_many(weir_worker *w, void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < MANY; i++) {
        many[i].run = count_one;
        weir_fork(w, &many[i]);
    }
    for (unsigned i = MANY; i-- > 0;)
        if (weir_join(w, &many[i]) != 0)
            set(&join_failed, 1);
}

static void spawn_many(weir_worker *w, void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < MANY; i++) {
        weir_task_init(&many[i], count_one);
        weir_spawn(w, &many[i]);
    }
}

Test(fault, task_runs_at_once_when_the_deque_cannot_grow)
{
    need_faults();
    for (unsigned workers = 1; workers <= 4; workers++) {
        for (int publish = 0; publish < 2; publish++) {
            weir_config c = config_of(workers);
            c.deque_capacity = 8;
            c.publish_mode = (weir_publish_mode)publish;
            weir_runtime *rt = start_config(&c);
            set(&ran, 0);
            arm_always(OS_FAULT_ALLOC);
            call(rt, fork_many, NULL);
            cr_assert_eq(get(&ran), MANY);
            call(rt, spawn_many, NULL);
            disarm(OS_FAULT_ALLOC);
            call(rt, fork_many, NULL); /* and it grows again */
            stop(rt);
            cr_assert_eq(get(&ran), 3 * MANY);
            cr_assert_eq(get(&join_failed), 0);
        }
    }
}

Test(fault, single_failed_growth_is_made_up_for_later)
{
    need_faults();
    weir_config c = config_of(2);
    c.deque_capacity = 2;
    weir_runtime *rt = start_config(&c);
    for (unsigned nth = 1; nth <= 12; nth++) {
        set(&ran, 0);
        arm(OS_FAULT_ALLOC, nth);
        call(rt, fork_many, NULL);
        disarm(OS_FAULT_ALLOC);
        cr_assert_eq(get(&ran), MANY);
    }
    stop(rt);
    cr_assert_eq(get(&join_failed), 0);
}

static void new_without_memory(weir_worker *w, void *arg)
{
    weir_task *t = &many[0];
    int *result = arg;
    arm_always(OS_FAULT_ALLOC);
    result[0] = weir_task_new(w, count_one, 100, &t);
    disarm(OS_FAULT_ALLOC);
    result[1] = t == &many[0];
    result[2] = weir_task_new(w, count_one, 100, &t);
    if (result[2] == 0)
        weir_spawn(w, t);
}

Test(fault, pooled_task_without_memory_is_refused_and_later_granted)
{
    need_faults();
    int result[3] = {1, 0, 1};
    weir_task *t = &many[0];
    weir_runtime *rt = start(1);
    call(rt, new_without_memory, result);
    cr_assert_eq(result[0], -ENOMEM);
    cr_assert(result[1], "something was changed");
    cr_assert_eq(result[2], 0);
    arm_always(OS_FAULT_ALLOC);
    cr_assert_eq(weir_task_new(NULL, count_one, 8, &t), -ENOMEM);
    disarm(OS_FAULT_ALLOC);
    cr_assert_eq(t, &many[0]);
    stop(rt);
    cr_assert_eq(get(&ran), 1);
}

/* Without membarrier every push publishes: the same results, by plain Chase-Lev. */
Test(fault, runtime_works_where_membarrier_is_missing)
{
    need_faults();
    arm_always(OS_FAULT_MEMBARRIER);
    weir_config c = config_of(4);
    c.deque_capacity = 2;
    weir_runtime *rt = start_config(&c);
    for (unsigned i = 0; i < 20; i++)
        call(rt, fork_many, NULL);
    weir_stats s = stop_and_read(rt, WEIR_DRAIN);
    disarm(OS_FAULT_MEMBARRIER);
    cr_assert_gt(count_of(OS_FAULT_MEMBARRIER), 0);
    cr_assert_eq(get(&ran), 20 * MANY);
    cr_assert_eq(s.total.forced, 0);
}

static void *disturb(void *arg)
{
    weir_atomic_u32 *enough = arg;
    while (get(enough) == 0) {
        arm(OS_FAULT_FUTEX_SPURIOUS, 1);
        usleep(50);
    }
    disarm(OS_FAULT_FUTEX_SPURIOUS);
    return NULL;
}

Test(fault, wakeups_for_no_reason_harm_nobody)
{
    need_faults();
    static weir_atomic_u32 enough;
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, disturb, &enough), 0);
    for (unsigned round = 0; round < 10; round++) {
        weir_runtime *rt = start(3);
        for (unsigned i = 0; i < 30; i++)
            call(rt, fork_many, NULL);
        stop(rt);
    }
    set(&enough, 1);
    pthread_join(thread, NULL);
    cr_assert_eq(get(&ran), 300 * MANY);
}

/* --- workers that come and go --------------------------------------------------------------------------------- */

static weir_atomic_u32 blocked, open_gate;

static weir_task *block_until_open(weir_worker *w, weir_task *self)
{
    (void)self;
    int r = weir_block_begin(w);
    add(&blocked, 1);
    while (get(&open_gate) == 0)
        usleep(500);
    if (r == 0 && weir_block_end(w) == 0)
        add(&ran, 1);
    return NULL;
}

/* Both workers are blocked and no spare can come; once it can, the next submit brings one. */
static void spare_comes_late(enum os_fault_kind kind)
{
    static weir_task t[5];
    weir_runtime *rt = start(2);
    set(&ran, 0);
    set(&blocked, 0);
    set(&open_gate, 0);
    arm_always(kind);
    for (unsigned i = 0; i < 2; i++) {
        weir_task_init(&t[i], block_until_open);
        cr_assert_eq(weir_submit(rt, &t[i], WEIR_BLOCK, 0), 0);
    }
    cr_assert(reaches(&blocked, 2));
    for (unsigned i = 2; i < 4; i++) {
        weir_task_init(&t[i], count_one);
        cr_assert_eq(weir_submit(rt, &t[i], WEIR_BLOCK, 0), 0);
        sleep_ms(30);
    }
    cr_assert_eq(get(&ran), 0);
    disarm(kind);
    weir_task_init(&t[4], count_one);
    cr_assert_eq(weir_submit(rt, &t[4], WEIR_BLOCK, 0), 0);
    cr_assert(reaches(&ran, 3));
    set(&open_gate, 1);
    cr_assert(reaches(&ran, 5));
    stop(rt);
}

Test(fault, spare_worker_that_gets_no_thread_is_tried_again)
{
    need_faults();
    spare_comes_late(OS_FAULT_THREAD);
}

Test(fault, spare_worker_that_gets_no_memory_is_tried_again)
{
    need_faults();
    spare_comes_late(OS_FAULT_ALLOC);
}

Test(fault, runtime_that_can_not_grow_goes_on_and_stops)
{
    need_faults();
    static weir_task t[200];
    weir_config c = config_of(2);
    c.max_workers = 8;
    c.grow_after_us = 100;
    weir_runtime *rt = start_config(&c);
    arm_always(OS_FAULT_THREAD);
    for (unsigned i = 0; i < 200; i++) {
        weir_task_init(&t[i], count_one);
        cr_assert_eq(weir_submit(rt, &t[i], WEIR_BLOCK, 0), 0);
        usleep(20);
    }
    cr_assert(reaches(&ran, 200));
    stop(rt);
    disarm(OS_FAULT_THREAD);
}
