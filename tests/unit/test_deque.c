/* SPDX-License-Identifier: MIT
 *
 * test_deque.c - what must hold for the deque: both ends, the private part, publication, forcing, growth and moves.
 *
 * One thread plays owner and thief in turn. The owner is a worker without a thread, because a slow push asks its
 * runtime who sleeps.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "sched/worker.h"

#define ITEMS 4096u

static struct runtime rt;
static struct worker w;
static struct worker *workers[1] = {&w};
static struct parking *parking[1] = {&w.park};
static weir_task items[ITEMS];

static void setup(void)
{
    rcu_init();
    rcu_register();
}

TestSuite(deque, .init = setup, .timeout = 60);

static void begin(uint32_t capacity, bool always_public)
{
    memset(&rt, 0, sizeof rt);
    memset(&w, 0, sizeof w);
    rt.workers = workers;
    rt.parking = parking;
    rt.count = 1;
    rt.membarrier = !always_public && os_membarrier_init();
    rt.config.deque_capacity = capacity;
    rt.config.deque_limit = DEQUE_CAPACITY_MAX;
    idle_init(&rt.idle, parking, 1, 0);
    w.rt = &rt;
    cr_assert_eq(deque_init(&w.dq, capacity, always_public), 0);
    if (!always_public && !rt.membarrier)
        cr_skip_test("no membarrier here");
}

static void end(void)
{
    deque_destroy(&w.dq);
    rcu_barrier_all();
}

static void push(uint32_t i)
{
    weir_push(worker_public(&w), &items[i]);
}

static enum steal_result steal_guarded(const struct steal_guard *guard, weir_task **out)
{
    rcu_online();
    enum steal_result r = deque_steal(&w.dq, guard, out);
    rcu_offline();
    return r;
}

/* The number of the stolen item, or -1: empty. */
static int steal(void)
{
    weir_task *t = NULL;
    enum steal_result r = steal_guarded(NULL, &t);
    cr_assert_neq(r, STEAL_LOST, "nobody to lose against");
    return r == STEAL_OK ? (int)(t - items) : -1;
}

static int pop(void)
{
    weir_task *t = deque_pop(&w.dq);
    return t != NULL ? (int)(t - items) : -1;
}

static enum force_result force(void)
{
    rcu_online();
    enum force_result r = deque_force(&w.dq, 3);
    rcu_offline();
    return r;
}

/* --- empty and ends ------------------------------------------------------------------------------------------- */

Test(deque, steal_from_empty_returns_empty)
{
    for (int mode = 0; mode < 2; mode++) {
        begin(4, mode);
        for (unsigned i = 0; i < 10; i++) {
            cr_assert_eq(steal(), -1);
            cr_assert_eq(force(), FORCE_NOTHING);
        }
        cr_assert_not(deque_has_any(&w.dq));
        cr_assert_not(deque_has_public(&w.dq));
        end();
    }
}

Test(deque, pop_from_empty_returns_null_and_changes_nothing)
{
    for (int mode = 0; mode < 2; mode++) {
        begin(4, mode);
        uint64_t before = deque_position(&w.dq);
        for (unsigned i = 0; i < 10; i++)
            cr_assert_eq(pop(), -1);
        cr_assert_eq(deque_position(&w.dq), before);
        push(1);
        cr_assert_eq(pop(), 1);
        end();
    }
}

Test(deque, owner_pops_the_newest_first)
{
    for (int mode = 0; mode < 2; mode++) {
        begin(4, mode);
        for (uint32_t i = 0; i < 1000; i++)
            push(i);
        for (int i = 1000; i-- > 0;)
            cr_assert_eq(pop(), i);
        cr_assert_eq(pop(), -1);
        end();
    }
}

Test(deque, thief_takes_the_oldest_first_when_every_push_publishes)
{
    begin(4, true);
    for (uint32_t i = 0; i < 1000; i++)
        push(i);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(steal(), i);
    cr_assert_eq(steal(), -1);
    cr_assert_eq(pop(), -1);
    end();
}

Test(deque, last_task_goes_to_one_side_only)
{
    for (unsigned round = 0; round < 100; round++) {
        begin(2, round % 2);
        push(7);
        deque_publish(&w.dq);
        if (round % 4 < 2) {
            cr_assert_eq(steal(), 7);
            cr_assert_eq(pop(), -1);
        } else {
            cr_assert_eq(pop(), 7);
            cr_assert_eq(steal(), -1);
        }
        push(8);
        cr_assert_eq(pop(), 8);
        end();
    }
}

/* --- the private part ----------------------------------------------------------------------------------------- */

Test(deque, tasks_are_private_until_somebody_wants_some)
{
    begin(64, false);
    for (uint32_t i = 0; i < 9; i++)
        push(i);
    cr_assert_eq(steal(), -1);
    cr_assert(deque_has_any(&w.dq));
    cr_assert_not(deque_has_public(&w.dq));
    deque_poison(&w.dq, DEQUE_ANYBODY);
    cr_assert_eq(steal(), -1, "poison itself publishes nothing");
    push(9); /* publishes half of ten */
    for (int i = 0; i < 5; i++)
        cr_assert_eq(steal(), i);
    cr_assert_eq(steal(), -1);
    push(10); /* nobody sleeps: the poison is gone */
    cr_assert_eq(steal(), -1);
    for (int i = 10; i >= 5; i--)
        cr_assert_eq(pop(), i);
    cr_assert_eq(pop(), -1);
    end();
}

Test(deque, poison_tells_who_is_hungry)
{
    begin(64, false);
    cr_assert_eq(deque_poisoner(&w.dq), DEQUE_ANYBODY);
    deque_poison(&w.dq, DEQUE_ANYBODY);
    cr_assert_eq(deque_poisoner(&w.dq), DEQUE_ANYBODY);
    cr_assert(deque_is_poisoned(&w.dq));
    deque_poison(&w.dq, 0);
    deque_poison(&w.dq, 7);
    deque_poison(&w.dq, DEQUE_ANYBODY);
    cr_assert_eq(deque_poisoner(&w.dq), 0, "the first to say who it is");
    push(1); /* nobody sleeps: the poison is gone */
    cr_assert_not(deque_is_poisoned(&w.dq));
    deque_poison(&w.dq, DEQUE_POISONERS - 1);
    cr_assert_eq(deque_poisoner(&w.dq), DEQUE_POISONERS - 1);
    push(2);
    cr_assert_eq(pop(), 2);
    cr_assert_eq(pop(), 1);
    end();
}

Test(deque, fork_is_popped_for_another_worker_only_if_it_is_alone)
{
    static weir_task fork[2];
    begin(64, false);
    push(1);
    cr_assert_null(deque_pop_only_fork(&w.dq), "no join waits for it");
    weir_fork(worker_public(&w), &fork[0]);
    cr_assert_null(deque_pop_only_fork(&w.dq), "not alone");
    cr_assert_eq(deque_pop(&w.dq), &fork[0]);
    cr_assert_eq(pop(), 1);
    cr_assert(deque_is_dry(&w.dq));
    weir_fork(worker_public(&w), &fork[0]);
    cr_assert_not(deque_is_dry(&w.dq));
    cr_assert_eq(deque_pop_only_fork(&w.dq), &fork[0]);
    cr_assert(deque_is_dry(&w.dq));
    deque_push_back(&w.dq);
    cr_assert_not(deque_is_dry(&w.dq));
    weir_fork(worker_public(&w), &fork[1]);
    cr_assert_eq(deque_pop(&w.dq), &fork[1]);
    cr_assert_eq(deque_pop(&w.dq), &fork[0]);
    weir_fork(worker_public(&w), &fork[0]);
    cr_assert_eq(force(), FORCE_PUBLISHED);
    cr_assert_null(deque_pop_only_fork(&w.dq), "others may take it");
    cr_assert_eq(deque_pop(&w.dq), &fork[0]);
    end();
}

Test(deque, single_private_task_is_published_too)
{
    begin(4, false);
    push(1);
    cr_assert_eq(force(), FORCE_PUBLISHED);
    cr_assert_eq(steal(), 1);
    deque_poison(&w.dq, DEQUE_ANYBODY);
    push(2);
    cr_assert_eq(steal(), 2);
    cr_assert_eq(pop(), -1);
    end();
}

Test(deque, force_publishes_half_again_and_again)
{
    begin(64, false);
    for (uint32_t i = 0; i < 16; i++)
        push(i);
    int next = 0;
    for (int left = 16; left > 0; left -= (left + 1) / 2) {
        cr_assert_eq(force(), FORCE_PUBLISHED);
        for (int i = 0; i < (left + 1) / 2; i++)
            cr_assert_eq(steal(), next++);
        cr_assert_eq(steal(), -1);
    }
    cr_assert_eq(next, 16);
    cr_assert_eq(force(), FORCE_NOTHING);
    cr_assert_eq(pop(), -1);
    end();
}

/* A revoker that stops in the middle: it has set its mark (above bit 48) and does not come back. */
static void set_mark(uint64_t revoker)
{
    atom_or(&w.dq.end.split, revoker << 48, memory_order_relaxed); /* any order: one thread */
}

Test(deque, owner_helps_itself_past_a_revoker_that_stalls)
{
    begin(64, false);
    for (uint32_t i = 0; i < 8; i++)
        push(i);
    set_mark(5);
    cr_assert_eq(force(), FORCE_LOST, "one revoker at a time");
    cr_assert_eq(steal(), -1, "a mark alone publishes nothing");
    cr_assert_eq(pop(), 7); /* gives half of what is left to the hungry */
    for (int i = 0; i < 4; i++)
        cr_assert_eq(steal(), i);
    cr_assert_eq(steal(), -1);
    for (int i = 6; i >= 4; i--)
        cr_assert_eq(pop(), i);
    cr_assert_eq(pop(), -1);
    end();
}

Test(deque, mark_on_a_deque_with_one_task_costs_nobody_the_task)
{
    begin(4, false);
    push(1);
    set_mark(9);
    cr_assert_eq(pop(), 1);
    cr_assert_eq(pop(), -1);
    cr_assert_eq(force(), FORCE_NOTHING);
    push(2);
    cr_assert_eq(force(), FORCE_PUBLISHED);
    cr_assert_eq(pop(), 2);
    end();
}

Test(deque, pops_after_a_publication_take_back_what_is_left)
{
    begin(64, false);
    for (uint32_t i = 0; i < 40; i++)
        push(i);
    while (force() == FORCE_PUBLISHED)
        continue;
    cr_assert_eq(steal(), 0);
    for (int i = 39; i >= 1; i--)
        cr_assert_eq(pop(), i);
    cr_assert_eq(pop(), -1);
    cr_assert_eq(steal(), -1);
    end();
}

/* --- guards --------------------------------------------------------------------------------------------------- */

Test(deque, guarded_steal_succeeds_only_while_its_condition_holds)
{
    weir_atomic_ptr word = {&rt};
    const struct steal_guard good = {&word, &rt}, bad = {&word, &w};
    weir_task *t = NULL;
    begin(4, true);
    push(1);
    push(2);
    cr_assert_eq(steal_guarded(&bad, &t), STEAL_EMPTY);
    cr_assert_null(t);
    cr_assert_eq(steal_guarded(&good, &t), STEAL_OK);
    cr_assert_eq(t, &items[1]);
    word.v = NULL;
    cr_assert_eq(steal_guarded(&good, &t), STEAL_EMPTY);
    cr_assert_eq(pop(), 2);
    end();
}

/* --- moves ---------------------------------------------------------------------------------------------------- */

Test(deque, buffer_grows_for_a_burst_and_shrinks_back)
{
    for (int mode = 0; mode < 2; mode++) {
        begin(8, mode);
        for (uint32_t i = 0; i < ITEMS; i++)
            push(i);
        cr_assert_geq(w.dq.buffer->capacity, ITEMS);
        for (int i = ITEMS; i-- > 0;)
            cr_assert_eq(pop(), i);
        deque_shrink(&w.dq);
        cr_assert_eq(w.dq.buffer->capacity, 8);
        push(1);
        cr_assert_eq(pop(), 1);
        cr_assert_eq(pop(), -1);
        end();
    }
}

Test(deque, wrapping_around_a_small_buffer_loses_nothing)
{
    for (int mode = 0; mode < 2; mode++) {
        begin(4, mode);
        for (uint32_t i = 0; i < ITEMS; i++) {
            push(i);
            (void)force();                 /* a push that moves the deque has published already */
            cr_assert_eq(steal(), (int)i); /* top moves on through buffer after buffer */
        }
        cr_assert_leq(w.dq.buffer->capacity, 16, "it grows without need");
        end();
    }
}

Test(deque, position_counts_pushes_minus_pops_across_moves)
{
    begin(2, false);
    uint64_t first = deque_position(&w.dq);
    for (uint32_t i = 0; i < 500; i++) {
        cr_assert_eq(deque_position(&w.dq), first + i);
        push(i);
    }
    for (uint32_t i = 0; i < 100; i++) {
        (void)force();
        (void)steal();
    }
    for (uint32_t i = 500; i < 1000; i++) {
        push(i);
        cr_assert_eq(deque_position(&w.dq), first + i + 1);
    }
    for (uint32_t i = 1000; i > 600; i--) {
        cr_assert_eq(pop(), (int)i - 1);
        cr_assert_eq(deque_position(&w.dq), first + i - 1);
    }
    end();
}

/* Forks that have moved to another buffer are still found by their joins' fast path. */
Test(deque, forked_tasks_are_unforked_newest_first_across_moves)
{
    begin(2, false);
    for (uint32_t i = 0; i < 300; i++)
        weir_fork(worker_public(&w), &items[i]);
    for (uint32_t i = 300; i-- > 0;) {
        cr_assert_eq(items[i].state.v, (uintptr_t)deque_bottom(&w.dq) | WEIR_TASK_FORKED);
        cr_assert_eq(weir_unfork(worker_public(&w), &items[i]), WEIR_UNFORK_MINE);
    }
    cr_assert_eq(pop(), -1);
    end();
}

/* --- everything at random, against a plain array -------------------------------------------------------------- */

Test(deque, random_operations_agree_with_an_array)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct rng rng;
        int model[ITEMS];
        int head = 0, tail = 0;
        rng_seed(&rng, seed);
        begin(2u << rng_below(&rng, 3), seed % 4 == 0);
        uint32_t pushes = 30 + rng_below(&rng, 30);
        for (unsigned step = 0; step < 3000 && tail < (int)ITEMS; step++) {
            uint32_t what = rng_below(&rng, 100);
            if (what < pushes) {
                model[tail] = tail;
                push((uint32_t)tail);
                tail++;
            } else if (what < 75) {
                int got = pop();
                cr_assert_eq(got, head < tail ? model[tail - 1] : -1, "seed %u step %u", (unsigned)seed, step);
                tail -= head < tail;
            } else if (what < 88) {
                int got = steal();
                if (got >= 0)
                    cr_assert_eq(got, model[head++], "seed %u step %u", (unsigned)seed, step);
            } else if (what < 94) {
                (void)force();
            } else if (what < 97) {
                deque_poison(&w.dq, DEQUE_ANYBODY);
            } else {
                deque_shrink(&w.dq);
            }
            cr_assert_eq(deque_has_any(&w.dq), head < tail);
        }
        while (head < tail)
            cr_assert_eq(pop(), model[--tail]);
        cr_assert_eq(pop(), -1);
        end();
    }
}
