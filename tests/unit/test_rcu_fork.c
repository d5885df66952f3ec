/* SPDX-License-Identifier: MIT
 *
 * test_rcu_fork.c - rcu.c in processes that fork: the child works, whatever the parent's threads are doing.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <criterion/criterion.h>
#include <sys/wait.h>
#include <urcu/urcu-qsbr.h>
#include <urcu/static/urcu-qsbr.h>

#include "os/sanitizer.h"
#include "rcu_rig.h"

static void setup(void)
{
    cr_assert_eq(rcu_init(), 0);
}

TestSuite(rcu_fork, .init = setup, .timeout = 60);

#ifdef WEIR_TSAN
#define FORK_TEST_DISABLED true /* it ends a child that starts a thread, or whose parent had one unjoined */
#else
#define FORK_TEST_DISABLED false
#endif

/* Runs fn in a forked child and asserts that it returned there in time. */
static void in_child(void (*fn)(void))
{
    int status = -1;
    pid_t pid = fork();

    cr_assert_geq(pid, 0);
    if (pid == 0) {
        alarm(20);
        fn();
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child's status %#x", (unsigned)status);
}

static void child_check(bool ok)
{
    if (!ok)
        _exit(1);
}

/* What a new runtime in the child does: threads of its own that register, and retires that are reclaimed. */
static void child_uses_rcu(void)
{
    uint64_t before;

    child_check(rcu_init() == 0);
    rcu_barrier_all(); /* what the parent had retired before */
    before = reclaims();
    retire_one();
    rcu_barrier_all();
    child_check(reclaims() == before + 1);
    for (int i = 0; i < 20; i++) {
        struct os_thread t;

        child_check(os_thread_start(&t, "again", STACK, -1, come_and_go, NULL) == 0);
        os_thread_join(&t);
    }
    rcu_barrier_all();
    child_check(reclaims() == before + 21);
}

Test(rcu_fork, child_works_while_a_reader_is_online_in_the_parent, .disabled = FORK_TEST_DISABLED)
{
    struct os_thread t;

    retire_one();
    rcu_barrier_all();
    cr_assert_eq(os_thread_start(&t, "reader", STACK, -1, stay_online, NULL), 0);
    stage_wait(1);
    in_child(child_uses_rcu);
    reader_end(&t);
    retire_one();
    rcu_barrier_all(); /* the parent works as before */
}

Test(rcu_fork, child_works_when_nothing_was_retired_before, .disabled = FORK_TEST_DISABLED)
{
    struct os_thread t;

    cr_assert_eq(os_thread_start(&t, "reader", STACK, -1, stay_online, NULL), 0);
    stage_wait(1);
    in_child(child_uses_rcu);
    reader_end(&t);
}

Test(rcu_fork, online_thread_may_fork_while_reclamation_waits_for_it, .disabled = FORK_TEST_DISABLED)
{
    struct os_thread t;
    int status = -1;

    rcu_register();
    rcu_online();
    cr_assert_eq(os_thread_start(&t, "writer", STACK, -1, retire_and_wait, NULL), 0);
    usleep(50000); /* the writer waits for us now */
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0)
        child_check(URCU_TLS(urcu_qsbr_reader).ctr != 0);
    cr_assert_neq(URCU_TLS(urcu_qsbr_reader).ctr, 0, "online again on both sides");
    rcu_offline();
    if (pid == 0) {
        alarm(20);
        child_uses_rcu();
        rcu_unregister();
        _exit(0);
    }
    waitpid(pid, &status, 0);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    os_thread_join(&t);
    rcu_barrier_all();
    rcu_unregister();
}

/* Needs no thread in the child: ThreadSanitizer lets it run. */
static void child_reclaims_what_waits(void)
{
    child_check(entries("/proc/self/task") == 3); /* one, and the two dots */
    child_check(reclaims() == 0);
    rcu_flush();
    child_check(reclaims() == 3);
    for (unsigned i = 0; i < RCU_RETIRED_MAX; i++)
        retire_one();
    child_check(reclaims() == 3 + RCU_RETIRED_MAX);
    child_check(entries("/proc/self/task") == 3);
}

Test(rcu_fork, what_waits_at_a_fork_waits_on_both_sides)
{
    struct os_thread t;

    cr_assert_eq(os_thread_start(&t, "reader", STACK, -1, stay_online, NULL), 0);
    stage_wait(1);
    for (int i = 0; i < 3; i++)
        retire_one();
    in_child(child_reclaims_what_waits);
    cr_assert_eq(reclaims(), 0);
    reader_end(&t);
    rcu_barrier_all();
    cr_assert_eq(reclaims(), 3);
}

static void child_finds_the_batch_reclaimed(void)
{
    child_check(atom_load(&stage, memory_order_acquire) == 2);
    child_check(reclaims() == 1);
    retire_one();
    rcu_barrier_all();
    child_check(reclaims() == 2);
}

Test(rcu_fork, fork_waits_for_a_batch_under_way, .disabled = FORK_TEST_DISABLED)
{
    struct os_thread slow, late;

    cr_assert_eq(os_thread_start(&slow, "slow", STACK, -1, flush_slowly, NULL), 0);
    stage_wait(1);
    cr_assert_eq(os_thread_start(&late, "late", STACK, -1, end_batch_late, NULL), 0);
    in_child(child_finds_the_batch_reclaimed);
    os_thread_join(&slow);
    os_thread_join(&late);
}

#define BUSY 3 /* threads */
#define POOL 256
#define FLUSH_INTERVAL 7 /* rounds: often amid a batch of another thread */

/* Retired again and again without the heap: an allocator may itself be unable to fork under load. */
struct pooled {
    weir_atomic_u32 queued;
    struct rcu_node node;
};

static struct pooled pool[BUSY][POOL];
static weir_atomic_u32 busy; /* threads past their first round */

static void pooled_back(struct rcu_node *node)
{
    atom_store(&CONTAINER_OF(node, struct pooled, node)->queued, 0, memory_order_release);
}

static void *retire_and_register_endlessly(void *arg)
{
    struct pooled *mine = arg;

    for (unsigned i = 0; atom_load(&stage, memory_order_acquire) == 0; i++) {
        struct pooled *p = &mine[i % POOL];

        rcu_register();
        rcu_online();
        rcu_offline();
        if (atom_load(&p->queued, memory_order_acquire) == 0) {
            atom_store(&p->queued, 1, memory_order_relaxed);
            rcu_retire(&p->node, pooled_back);
        }
        if (i % FLUSH_INTERVAL == 0)
            rcu_flush();
        rcu_unregister();
        if (i == 0)
            atom_add(&busy, 1, memory_order_release);
    }
    return NULL;
}

#define FORKS 40

Test(rcu_fork, forks_amid_registrations_and_retires_leave_a_working_child, .disabled = FORK_TEST_DISABLED)
{
    struct os_thread t[BUSY];

    for (int i = 0; i < BUSY; i++)
        cr_assert_eq(os_thread_start(&t[i], "busy", STACK, -1, retire_and_register_endlessly, pool[i]), 0);
    while (atom_load(&busy, memory_order_acquire) < BUSY)
        usleep(200);
    for (int i = 0; i < FORKS; i++)
        in_child(child_uses_rcu);
    stage_set(1);
    for (int i = 0; i < BUSY; i++)
        os_thread_join(&t[i]);
    rcu_barrier_all();
}

static void child_forks_again(void)
{
    child_uses_rcu();
    pid_t pid = fork();
    if (pid == 0) {
        child_uses_rcu();
        _exit(0);
    }
    int status = -1;
    child_check(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(rcu_fork, grandchild_works, .disabled = FORK_TEST_DISABLED)
{
    retire_one();
    in_child(child_forks_again);
}
