/* SPDX-License-Identifier: MIT
 *
 * test_intake.c - what must hold where outside work waits: several cache domains share the capacity and are all looked
 * at, queue times are counted, and what lies beneath other work has its turn.
 *
 * A runtime without threads: the test is its only worker.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "sched/worker.h"

#define CAPACITY 5u
#define DOMAINS 3u
#define DEQUE 64u

static struct runtime *rt;
static struct worker *w;
static weir_task tasks[CAPACITY + 1];

static weir_task *run_nothing(weir_worker *self, weir_task *t)
{
    (void)self, (void)t;
    return NULL;
}

static void setup(void)
{
    rt = os_alloc(sizeof *rt, LINE_PAIR);
    w = os_alloc(sizeof *w, LINE_PAIR);
    static struct worker *workers[1];
    cr_assert(rt != NULL && w != NULL);
    os_ticks_init();
    workers[0] = w;
    w->rt = rt;
    rt->workers = workers;
    rt->count = 1;
    rt->config.queue_capacity = CAPACITY;
    rt->config.deque_limit = DEQUE;
    cr_assert_eq(deque_init(&w->dq, DEQUE, false), 0);
    cr_assert_eq(ring_init(&w->inbox, CAPACITY), 0);
    cr_assert_eq(intake_init(rt, DOMAINS), 0);
    for (unsigned i = 0; i <= CAPACITY; i++)
        weir_task_init(&tasks[i], run_nothing);
}

static int submit(unsigned i)
{
    return runtime_submit(rt, &tasks[i], WEIR_LANE_NORMAL, WEIR_TRY, 0);
}

static int submit_to(unsigned i)
{
    const struct submission s = {WEIR_LANE_NORMAL, WEIR_TRY, 0, w, RING_NOW};
    return runtime_submit_as(rt, &tasks[i], &s);
}

/* Tasks that the worker gets, from outside and from its own deque. */
static unsigned take_all(void)
{
    unsigned n = 0;
    while (worker_take_injected(w) != NULL || deque_pop(&w->dq) != NULL)
        n++;
    return n;
}

Test(intake, domains_share_the_capacity_and_are_full_together, .init = setup)
{
    for (unsigned round = 0; round < 10; round++) {
        w->domain = round % DOMAINS;
        for (unsigned i = 0; i < CAPACITY; i++)
            cr_assert_eq(submit(i), 0);
        cr_assert_eq(submit(CAPACITY), -EAGAIN);
        cr_assert_eq(intake_depth(rt), CAPACITY);
        cr_assert(worker_sees_injected(w));
        cr_assert_eq(take_all(), CAPACITY);
        cr_assert(intake_is_empty(rt));
    }
}

Test(intake, more_domains_than_tasks_leave_each_room_for_one, .init = setup)
{
    intake_destroy(rt);
    rt->config.queue_capacity = 2;
    cr_assert_eq(intake_init(rt, DOMAINS), 0);
    cr_assert_eq(rt->intakes, 2);
    cr_assert_eq(submit(0), 0);
    cr_assert_eq(submit(1), 0);
    cr_assert_eq(submit(2), -EAGAIN);
    cr_assert_eq(take_all(), 2);
}

Test(intake, drained_only_when_every_queue_is, .init = setup)
{
    cr_assert_eq(submit(0), 0);
    cr_assert_eq(submit_to(1), 0);
    intake_close(rt);
    cr_assert_eq(submit(2), -ESHUTDOWN);
    cr_assert_eq(submit_to(3), -ESHUTDOWN);
    for (unsigned left = 2; left > 0; left--) {
        cr_assert_not(intake_is_drained(rt));
        cr_assert_not_null(worker_take_injected(w));
    }
    cr_assert(intake_is_drained(rt));
}

Test(intake, queue_time_is_counted, .init = setup)
{
    cr_assert_eq(submit(0), 0);
    uint64_t end = os_now() + 2000000;
    while (os_now() < end)
        os_relax();
    cr_assert_not_null(worker_take_injected(w));
    uint64_t ns = os_ticks_to_ns(atom_load(&w->counters.queue_ticks_last, memory_order_relaxed)); /* one thread */
    cr_assert(ns >= 1900000, "%llu ns", (unsigned long long)ns);
    cr_assert_eq(atom_load(&w->counters.queue_samples, memory_order_relaxed), 1); /* one thread */
}

/* Three tasks are taken together; the first is endless inside work: it always leaves one task more on the deque. */
Test(intake, taken_tasks_beneath_endless_work_have_their_turn, .init = setup)
{
    intake_destroy(rt);
    cr_assert_eq(intake_init(rt, 1), 0);
    weir_task *batch[] = {&tasks[0], &tasks[1], &tasks[2]};
    bool seen[CAPACITY + 1] = {false};
    cr_assert_eq(runtime_submit_batch(rt, batch, 3, WEIR_LANE_NORMAL, WEIR_TRY, 0, NULL), 0);
    weir_task *t = worker_take_injected(w);
    cr_assert_eq(t, &tasks[0]);
    weir_push((weir_worker *)(void *)w, t);
    for (unsigned i = 0; i < 10; i++) {
        t = worker_take_ahead(w);
        if (t == NULL)
            break;
        seen[t - tasks] = true;
    }
    cr_assert(seen[1] && seen[2]);
}
