/* SPDX-License-Identifier: MIT
 *
 * test_pile.c - what must hold when many tasks come at once: a second sleeper is woken for a pile of long tasks, and only
 * for that; and tasks are long or short as the last full takes have been.
 *
 * A runtime without threads: the test is its submitter and all of its workers, which are announced as asleep.
 */
#include <criterion/criterion.h>

#include "sched/worker.h"

#define WORKERS 3u
#define CAPACITY 512u
#define PILE 128u   /* DEPTH_FOR_TWO of submit.c */
#define DEQUE 1024u
#define LONG_NS UINT64_C(50000)
#define TRIES 1000u /* the test may lose its processor between two takes */

static struct runtime *rt;
static struct worker *w;
static struct parking park[WORKERS], *parking[WORKERS];
static weir_task tasks[CAPACITY], *list[CAPACITY];

static weir_task *run_nothing(weir_worker *self, weir_task *t)
{
    (void)self, (void)t;
    return NULL;
}

static void setup(void)
{
    static struct worker *workers[WORKERS];
    rt = os_alloc(sizeof *rt, LINE_PAIR);
    w = os_alloc(sizeof *w, LINE_PAIR);
    cr_assert(rt != NULL && w != NULL);
    os_ticks_init();
    w->rt = rt;
    workers[0] = w;
    rt->workers = workers;
    rt->count = 1;
    rt->config.queue_capacity = CAPACITY;
    rt->config.deque_limit = DEQUE;
    cr_assert_eq(deque_init(&w->dq, DEQUE, false), 0);
    cr_assert_eq(ring_init(&w->inbox, 1), 0);
    cr_assert_eq(intake_init(rt, 1), 0);
    for (unsigned i = 0; i < WORKERS; i++)
        parking[i] = &park[i];
    idle_init(&rt->idle, parking, WORKERS, 0);
    for (unsigned i = 0; i < WORKERS; i++)
        (void)idle_announce(&rt->idle, i, false);
    for (unsigned i = 0; i < CAPACITY; i++) {
        weir_task_init(&tasks[i], run_nothing);
        list[i] = &tasks[i];
    }
}

TestSuite(pile, .init = setup, .timeout = 60);

/* How many are woken for n tasks. */
static uint32_t woken_for(unsigned n, bool are_long)
{
    size_t accepted = 0;
    atom_store(&rt->long_tasks, are_long, memory_order_relaxed); /* one thread */
    cr_assert_eq(runtime_submit_batch(rt, list, n, WEIR_LANE_NORMAL, WEIR_TRY, 0, &accepted), 0);
    cr_assert_eq(accepted, n);
    uint32_t left = idle_announced(atom_load(&rt->idle.sleepers, memory_order_relaxed)); /* one thread */
    cr_assert_eq(idle_searching(&rt->idle), WORKERS - left, "who is woken counts as searching");
    return WORKERS - left;
}

Test(pile, two_are_woken_for_a_pile_of_long_tasks)
{
    cr_assert_eq(woken_for(PILE, true), 2);
    cr_assert_eq(atom_load(&rt->outside_wakes, memory_order_relaxed), 2); /* one thread */
}

Test(pile, one_is_woken_for_fewer)
{
    cr_assert_eq(woken_for(PILE - 1, true), 1);
}

Test(pile, one_is_woken_for_short_tasks)
{
    cr_assert_eq(woken_for(CAPACITY, false), 1);
}

Test(pile, nobody_is_woken_beside_two_who_search)
{
    idle_retract(&rt->idle, 0);
    idle_retract(&rt->idle, 1);
    cr_assert_eq(woken_for(PILE, true), 2);
    cr_assert_eq(atom_load(&rt->outside_wakes, memory_order_relaxed), 0); /* one thread */
}

Test(pile, workers_that_take_one_at_a_time_hurry_by_their_own_rule)
{
    rt->one_by_one = true;
    cr_assert_eq(woken_for(PILE, true), 1, "no processors are known here: that rule wakes nobody");
}

static void take_one(void)
{
    cr_assert_not_null(worker_take_injected(w));
    while (deque_pop(&w->dq) != NULL)
        continue;
}

static bool are_long(void)
{
    return atom_load(&rt->long_tasks, memory_order_relaxed) != 0; /* one thread */
}

Test(pile, tasks_are_long_if_a_full_take_of_them_lasts)
{
    (void)woken_for(CAPACITY, false);
    take_one();
    uint64_t end = os_now() + LONG_NS;
    while (os_now() < end)
        os_relax();
    cr_assert_not(are_long());
    take_one();
    cr_assert(are_long());
}

Test(pile, tasks_are_short_if_a_full_take_of_them_does_not_last)
{
    unsigned tries = 0;
    do {
        (void)runtime_submit_batch(rt, list, CAPACITY, WEIR_LANE_NORMAL, WEIR_TRY, 0, NULL);
        atom_store(&rt->long_tasks, 1u, memory_order_relaxed); /* one thread */
        while (!intake_is_empty(rt))
            take_one();
    } while (are_long() && ++tries < TRIES);
    cr_assert_lt(tries, TRIES);
}

Test(pile, time_without_tasks_is_not_the_length_of_tasks)
{
    (void)woken_for(16, false); /* a full take */
    take_one();
    cr_assert_null(worker_take_injected(w));
    uint64_t end = os_now() + LONG_NS;
    while (os_now() < end)
        os_relax();
    cr_assert_eq(runtime_submit_batch(rt, list, 16, WEIR_LANE_NORMAL, WEIR_TRY, 0, NULL), 0);
    take_one();
    cr_assert_not(are_long());
}
