/* SPDX-License-Identifier: MIT
 *
 * test_idle.c - what must hold for the idle protocol: who is woken, who is counted, and that no token is lost.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"
#include "sched/handoff.h"
#include "sched/idle.h"

#define WORKERS 130u /* guests included; more than two words of the bitmap */
#define GUESTS 2u

static struct idle idle;
static struct parking park[WORKERS];
static struct parking *parking[WORKERS];

static void setup(void)
{
    for (unsigned i = 0; i < WORKERS; i++)
        parking[i] = &park[i];
    idle_init(&idle, parking, WORKERS - GUESTS, GUESTS);
}

TestSuite(idle, .init = setup, .timeout = 60);

static uint32_t value(weir_atomic_u32 *p)
{
    return atom_load(p, memory_order_acquire); /* any order will do */
}

Test(idle, nobody_is_woken_when_nobody_sleeps)
{
    cr_assert_not(idle_has_sleepers(&idle));
    cr_assert_eq(idle_notify(&idle), 0);
    cr_assert_eq(idle_wake_one(&idle), 0);
    idle_wake_all(&idle);
    cr_assert_eq(value(&idle.searching), 0);
}

Test(idle, at_most_half_of_the_workers_search)
{
    unsigned n = 0;
    while (idle_begin_search(&idle))
        n++;
    cr_assert_eq(n, (WORKERS - GUESTS) / 2);
    idle_abandon_search(&idle);
    cr_assert(idle_begin_search(&idle));
    idle_init(&idle, parking, 1, 0);
    cr_assert(idle_begin_search(&idle), "a single worker may search");
    cr_assert_not(idle_begin_search(&idle));
}

Test(idle, sleeper_that_was_woken_counts_as_searching_and_finds_its_token)
{
    static const uint32_t ids[] = {0, 1, 63, 64, 126, 127};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        cr_assert(idle_begin_search(&idle));
        idle_announce(&idle, ids[i], true);
        cr_assert_eq(value(&idle.searching), 0);
        cr_assert(idle_has_sleepers(&idle));
        cr_assert_eq(idle_notify(&idle), 1);
        cr_assert_not(idle_has_sleepers(&idle));
        cr_assert_eq(value(&idle.searching), 1);
        cr_assert_eq(idle_notify(&idle), 0, "one searcher is enough");
        idle_sleep(&idle, ids[i]); /* returns at once */
        cr_assert_not(idle_end_search(&idle));
    }
}

Test(idle, heavy_fence_counts_until_nobody_sleeps)
{
    uint64_t first = idle_announce(&idle, 1, false);
    cr_assert_not(idle_is_fenced(first));
    idle_set_fenced(&idle, first);
    cr_assert(idle_is_fenced(idle_announce(&idle, 2, false)), "the first one did it");
    cr_assert_eq(idle_wake(&idle, 1), 1);
    cr_assert(idle_is_fenced(idle_announce(&idle, 3, false)), "somebody has slept all the time");
    idle_retract(&idle, 2);
    idle_retract(&idle, 3);
    cr_assert_not(idle_has_sleepers(&idle));
    uint64_t second = idle_announce(&idle, 4, false);
    cr_assert_not(idle_is_fenced(second), "nobody slept: limits may have been cleared");
    idle_set_fenced(&idle, first);
    cr_assert_not(idle_is_fenced(idle_announce(&idle, 5, false)), "a fence of before counts for nothing");
    idle_set_fenced(&idle, second);
    cr_assert(idle_is_fenced(idle_announce(&idle, 6, false)));
}

Test(idle, retracted_sleeper_is_woken_by_nobody)
{
    idle_announce(&idle, 65, false);
    idle_retract(&idle, 65);
    cr_assert_eq(value(&idle.searching), 1);
    cr_assert_eq(idle_wake_one(&idle), 0);
    cr_assert_not(idle_end_search(&idle));
}

Test(idle, retract_after_a_wake_takes_the_token)
{
    idle_announce(&idle, 3, false);
    cr_assert_eq(idle_wake_one(&idle), 1);
    idle_retract(&idle, 3);
    cr_assert_eq(value(&park[3].token), 0, "a stale token would cut the next sleep short");
    cr_assert_eq(value(&idle.searching), 1);
}

static weir_task given;

static void give_to_sleeper(uint32_t id)
{
    idle_announce(&idle, id, false);
    cr_assert(idle_withdraw(&idle, id));
    hand_fill(&park[id], &given);
    idle_wake_handed(&idle, id);
}

Test(idle, sleeper_that_gets_a_task_does_not_count_as_searching)
{
    give_to_sleeper(70);
    cr_assert_not(idle_has_sleepers(&idle));
    cr_assert_eq(idle_sleep_until(&idle, 70, OS_FOREVER), SLEPT_HANDED);
    cr_assert_eq(value(&idle.searching), 0);
    cr_assert_eq(hand_take(&park[70]), &given);
    cr_assert_null(hand_take(&park[70]));
    cr_assert_eq(value(&park[70].token), 0);
}

Test(idle, retract_after_a_task_was_given_searches_and_has_the_task)
{
    give_to_sleeper(3);
    idle_retract(&idle, 3);
    cr_assert_eq(value(&idle.searching), 1);
    cr_assert_eq(hand_close(&park[3]), &given);
    cr_assert_eq(value(&park[3].token), 0);
}

Test(idle, hand_takes_one_task_while_it_is_open)
{
    weir_task other;
    cr_assert_not(hand_give(&park[0], &given), "closed");
    hand_open(&park[0]);
    cr_assert_not(hand_holds_task(&park[0]));
    cr_assert_null(hand_take(&park[0]));
    cr_assert(hand_give(&park[0], &given));
    cr_assert(hand_holds_task(&park[0]));
    cr_assert_not(hand_give(&park[0], &other), "full");
    cr_assert_not(hand_take_back(&park[0], &other), "another task");
    cr_assert(hand_take_back(&park[0], &given));
    cr_assert_not(hand_give(&park[0], &given), "closed, by who took it");
    cr_assert_null(hand_close(&park[0]));
    hand_open(&park[0]);
    cr_assert_null(hand_close(&park[0]));
}

Test(idle, last_searcher_is_told_of_sleepers)
{
    cr_assert(idle_begin_search(&idle));
    cr_assert(idle_begin_search(&idle));
    idle_announce(&idle, 9, false);
    cr_assert_eq(idle_notify(&idle), 0, "somebody searches");
    cr_assert_not(idle_end_search(&idle), "another one still searches");
    cr_assert(idle_end_search(&idle), "the last one has to look around");
    cr_assert_eq(idle_wake_one(&idle), 1);
}

Test(idle, wake_all_wakes_each_sleeper_once)
{
    for (uint32_t i = 0; i < WORKERS - GUESTS; i += 3)
        idle_announce(&idle, i, false);
    idle_wake_all(&idle);
    cr_assert_not(idle_has_sleepers(&idle));
    for (uint32_t i = 0; i < WORKERS - GUESTS; i++)
        cr_assert_eq(value(&park[i].token) != 0, i % 3 == 0);
    for (uint32_t i = 0; i < WORKERS - GUESTS; i += 3)
        idle_sleep(&idle, i);
}

static void check_waiter(uint32_t id)
{
    int a, b;
    idle_begin_wait(&idle, id, &a);
    cr_assert(idle_has_waiters(&idle));
    cr_assert_eq(idle_notify_waiter(&idle, NULL), 0);
    cr_assert_eq(idle_notify_waiter(&idle, &b), 0);
    cr_assert_eq(idle_notify_waiter(&idle, &a), 1);
    cr_assert_eq(idle_notify_waiter(&idle, &a), 0, "once is enough");
    cr_assert_not(idle_has_waiters(&idle));
    idle_wait(&idle, id);
    idle_end_wait(&idle, id);
    idle_begin_wait(&idle, id, &b);
    idle_wake_waiter(&idle, id);
    idle_wait(&idle, id);
    idle_end_wait(&idle, id);
    cr_assert_not(idle_has_waiters(&idle));
}

Test(idle, waiter_is_woken_only_for_what_it_waits_for)
{
    check_waiter(0);
    check_waiter(70);
    check_waiter(WORKERS - 1); /* a guest, beyond the last word that workers use */
}

Test(idle, wake_of_a_sleeper_is_no_wake_of_a_waiter)
{
    idle_wake_waiter(&idle, 5); /* left over from a wait that ended otherwise */
    idle_announce(&idle, 5, false);
    cr_assert_eq(idle_wake_one(&idle), 1);
    idle_sleep(&idle, 5);
    cr_assert_neq(value(&park[5].token), 0, "the other token is still there");
    idle_wait(&idle, 5);
    cr_assert_eq(value(&park[5].token), 0);
}

/* One thread sleeps, another wakes it, many times: no wake-up is lost. */
#define ROUNDS 20000u

static weir_atomic_u32 woken;

static void *sleep_again_and_again(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        idle_announce(&idle, 1, false);
        idle_sleep(&idle, 1);
        idle_abandon_search(&idle);
        atom_add(&woken, 1u, memory_order_release); /* any order will do */
    }
    return NULL;
}

Test(idle, every_sleep_is_ended_by_one_wake)
{
    pthread_t sleeper;
    uint32_t sent = 0;
    cr_assert_eq(pthread_create(&sleeper, NULL, sleep_again_and_again, NULL), 0);
    while (sent < ROUNDS) {
        uint32_t n = idle_wake_one(&idle);
        if (n == 0)
            os_yield();
        sent += n;
    }
    pthread_join(sleeper, NULL);
    cr_assert_eq(value(&woken), ROUNDS);
    cr_assert_eq(idle_wake_one(&idle), 0);
    cr_assert_eq(value(&idle.searching), 0);
}
