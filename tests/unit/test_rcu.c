/* SPDX-License-Identifier: MIT
 *
 * test_rcu.c - what rcu.c promises in rcu.h: reclamation in batches after readers, callers in every state, no leaks.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <criterion/criterion.h>
#include <malloc.h>
#include <urcu/urcu-qsbr.h>
#include <urcu/static/urcu-qsbr.h>

#include "rcu_rig.h"

static weir_atomic_ptr shared;

static void setup(void)
{
    cr_assert_eq(rcu_init(), 0);
}

TestSuite(rcu, .init = setup, .timeout = 60);

/* --- callers in every state --- */

Test(rcu, init_may_be_called_again)
{
    cr_assert_eq(rcu_init(), 0);
}

Test(rcu, barrier_without_a_retire_does_nothing)
{
    rcu_barrier_all();
}

Test(rcu, unregistered_thread_retires_and_stays_unregistered)
{
    retire_one();
    cr_assert_not(URCU_TLS(urcu_qsbr_reader).registered);
    rcu_barrier_all();
    cr_assert_eq(reclaims(), 1);
}

Test(rcu, offline_thread_retires_and_stays_offline)
{
    rcu_register();
    cr_assert_eq(URCU_TLS(urcu_qsbr_reader).ctr, 0, "registered threads are offline");
    retire_one();
    cr_assert_eq(URCU_TLS(urcu_qsbr_reader).ctr, 0);
    rcu_barrier_all();
    cr_assert_eq(reclaims(), 1);
    rcu_unregister();
}

Test(rcu, online_thread_retires_and_stays_online)
{
    rcu_register();
    rcu_online();
    retire_one();
    cr_assert_neq(URCU_TLS(urcu_qsbr_reader).ctr, 0);
    rcu_offline();
    rcu_barrier_all();
    cr_assert_eq(reclaims(), 1);
    rcu_unregister();
}

static void thing_free_and_retire(struct rcu_node *node)
{
    thing_free(node);
    retire_one();
}

Test(rcu, reclaim_function_may_retire)
{
    rcu_retire(&thing_new(1)->node, thing_free_and_retire);
    rcu_barrier_all();
    rcu_barrier_all();
    cr_assert_eq(reclaims(), 2);
}

Test(rcu, reclaim_functions_of_a_full_list_may_retire_a_full_list)
{
    for (unsigned i = 0; i < RCU_RETIRED_MAX; i++)
        rcu_retire(&thing_new(1)->node, thing_free_and_retire);
    cr_assert_eq(reclaims(), RCU_RETIRED_MAX, "what they retire is left for the next one");
    retire_one();
    cr_assert_eq(reclaims(), 2 * RCU_RETIRED_MAX + 1);
}

Test(rcu, thread_registered_by_its_user_keeps_its_state)
{
    urcu_qsbr_register_thread();
    rcu_register();
    cr_assert_neq(URCU_TLS(urcu_qsbr_reader).ctr, 0);
    rcu_online();
    rcu_offline();
    cr_assert_neq(URCU_TLS(urcu_qsbr_reader).ctr, 0, "the user's own read side goes on");
    rcu_unregister();
    cr_assert(URCU_TLS(urcu_qsbr_reader).registered);
    urcu_qsbr_thread_offline();
    rcu_register();
    rcu_online();
    cr_assert_neq(URCU_TLS(urcu_qsbr_reader).ctr, 0);
    rcu_offline();
    cr_assert_eq(URCU_TLS(urcu_qsbr_reader).ctr, 0);
    rcu_unregister();
    urcu_qsbr_unregister_thread();
}

Test(rcu, user_who_is_online_may_wait_for_a_grace_period)
{
    urcu_qsbr_register_thread();
    retire_one();
    rcu_synchronize();
    cr_assert_eq(reclaims(), 0, "a grace period alone reclaims nothing");
    rcu_barrier_all();
    cr_assert_eq(reclaims(), 1);
    cr_assert_neq(URCU_TLS(urcu_qsbr_reader).ctr, 0);
    urcu_qsbr_unregister_thread();
}

/* --- batches --- */

Test(rcu, retire_reclaims_when_the_list_is_full)
{
    for (unsigned i = 1; i < RCU_RETIRED_MAX; i++)
        retire_one();
    cr_assert_eq(reclaims(), 0);
    retire_one();
    cr_assert_eq(reclaims(), RCU_RETIRED_MAX);
    retire_one();
    cr_assert_eq(reclaims(), RCU_RETIRED_MAX, "a new list has begun");
    rcu_barrier_all();
}

Test(rcu, online_thread_leaves_a_full_list_to_the_next_retire)
{
    rcu_register();
    rcu_online();
    for (unsigned i = 0; i < 2 * RCU_RETIRED_MAX; i++)
        retire_one();
    rcu_flush();
    cr_assert_eq(reclaims(), 0);
    rcu_offline();
    retire_one();
    cr_assert_eq(reclaims(), 2 * RCU_RETIRED_MAX + 1);
    rcu_unregister();
}

Test(rcu, flush_reclaims_what_waits)
{
    rcu_flush();
    retire_one();
    rcu_flush();
    cr_assert_eq(reclaims(), 1);
    rcu_register();
    retire_one();
    rcu_flush();
    cr_assert_eq(reclaims(), 2);
    rcu_unregister();
}

Test(rcu, flush_waits_for_nobody_who_reclaims_and_leaves_him_the_rest)
{
    struct os_thread t;

    cr_assert_eq(os_thread_start(&t, "slow", STACK, -1, flush_slowly, NULL), 0);
    stage_wait(1);
    retire_one();
    rcu_flush();
    cr_assert_eq(reclaims(), 1);
    stage_set(2);
    os_thread_join(&t);
    cr_assert_eq(reclaims(), 2);
}

Test(rcu, barrier_waits_for_a_batch_under_way)
{
    struct os_thread slow, late;

    cr_assert_eq(os_thread_start(&slow, "slow", STACK, -1, flush_slowly, NULL), 0);
    stage_wait(1);
    cr_assert_eq(os_thread_start(&late, "late", STACK, -1, end_batch_late, NULL), 0);
    rcu_barrier_all();
    cr_assert_eq(atom_load(&stage, memory_order_acquire), 2);
    os_thread_join(&slow);
    os_thread_join(&late);
}

/* --- readers hold reclamation up, and only while online --- */

Test(rcu, nothing_is_reclaimed_before_the_reader_is_offline)
{
    struct os_thread reader, writer;

    cr_assert_eq(os_thread_start(&reader, "reader", STACK, -1, stay_online, NULL), 0);
    stage_wait(1);
    cr_assert_eq(os_thread_start(&writer, "writer", STACK, -1, retire_and_wait, NULL), 0);
    usleep(100000);
    cr_assert_eq(reclaims(), 0);
    stage_set(2);
    os_thread_join(&writer);
    cr_assert_eq(reclaims(), 1);
    stage_wait(3);
    retire_one();
    rcu_barrier_all(); /* the reader is still registered, but offline */
    cr_assert_eq(reclaims(), 2);
    stage_set(4);
    os_thread_join(&reader);
}

static void *retire_last(void *arg)
{
    retire_one();
    return arg;
}

Test(rcu, retire_of_the_last_that_fits_waits_for_the_reader)
{
    struct os_thread reader, writer;

    cr_assert_eq(os_thread_start(&reader, "reader", STACK, -1, stay_online, NULL), 0);
    stage_wait(1);
    for (unsigned i = 1; i < RCU_RETIRED_MAX; i++)
        retire_one();
    cr_assert_eq(os_thread_start(&writer, "writer", STACK, -1, retire_last, NULL), 0);
    usleep(100000);
    cr_assert_eq(reclaims(), 0);
    reader_end(&reader);
    os_thread_join(&writer);
    cr_assert_eq(reclaims(), RCU_RETIRED_MAX);
}

#define READERS 3
#define REPLACEMENTS 3000

static void *read_shared(void *arg)
{
    rcu_register();
    while (atom_load(&stage, memory_order_acquire) == 0) {
        rcu_online();
        struct thing *t = atom_load(&shared, memory_order_acquire);
        cr_assert_geq(t->value, 0);
        rcu_offline();
    }
    rcu_unregister();
    return arg;
}

Test(rcu, readers_never_see_reclaimed_memory)
{
    struct os_thread t[READERS];

    atom_store(&shared, (void *)thing_new(0), memory_order_release);
    for (int i = 0; i < READERS; i++)
        cr_assert_eq(os_thread_start(&t[i], "reader", STACK, -1, read_shared, NULL), 0);
    for (long i = 1; i <= REPLACEMENTS; i++) {
        struct thing *old = atom_xchg(&shared, (void *)thing_new(i), memory_order_acq_rel);

        rcu_retire(&old->node, thing_free);
        cr_assert_gt(reclaims() + RCU_RETIRED_MAX, (uint64_t)i, "memory is bounded");
    }
    stage_set(1);
    for (int i = 0; i < READERS; i++)
        os_thread_join(&t[i]);
    rcu_barrier_all();
    cr_assert_eq(reclaims(), REPLACEMENTS);
    free(atom_load(&shared, memory_order_relaxed));
}

/* --- leaks --- */

#define STARTS 1000

static void start_many(int n)
{
    for (int i = 0; i < n; i++) {
        struct os_thread t;

        cr_assert_eq(os_thread_start(&t, "guest", STACK, -1, come_and_go, NULL), 0);
        os_thread_join(&t);
    }
    rcu_barrier_all();
}

Test(rcu, no_thread_is_started)
{
    unsigned tasks = entries("/proc/self/task");

    for (unsigned i = 0; i <= RCU_RETIRED_MAX; i++)
        retire_one();
    rcu_flush();
    retire_one();
    rcu_barrier_all();
    cr_assert_eq(entries("/proc/self/task"), tasks);
}

Test(rcu, a_thousand_threads_leak_nothing)
{
    unsigned fds, tasks;
    size_t heap;

    start_many(50);
    fds = entries("/proc/self/fd");
    tasks = entries("/proc/self/task");
    heap = mallinfo2().uordblks;
    start_many(STARTS);
    cr_assert_eq(reclaims(), STARTS + 50);
    cr_assert_eq(entries("/proc/self/fd"), fds);
    while (entries("/proc/self/task") > tasks) /* until the time is over: a joined thread stays visible for a moment */
        usleep(1000);
    cr_assert_leq(mallinfo2().uordblks, heap + 4096);
}
