/* SPDX-License-Identifier: MIT
 *
 * test_rcu.c - what rcu.c promises in rcu.h: reclamation after readers, callers in every state, fork, no leaks.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <criterion/criterion.h>
#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <urcu/urcu-qsbr.h>
#include <urcu/static/urcu-qsbr.h>

#include "base/compiler.h"
#include "os/os.h"
#include "os/rcu.h"
#include "os/sanitizer.h"

#define STACK ((size_t)256 << 10) /* bytes */

struct thing {
    long value;
    struct rcu_node node;
};

static weir_atomic_u64 reclaimed;
static weir_atomic_u32 stage; /* what the test's threads wait for */
static weir_atomic_ptr shared;

static void setup(void)
{
    cr_assert_eq(rcu_init(), 0);
}

TestSuite(rcu, .init = setup, .timeout = 60);

static void thing_free(struct rcu_node *node)
{
    struct thing *t = CONTAINER_OF(node, struct thing, node);

    t->value = -1;
    free(t);
    atom_add(&reclaimed, 1, memory_order_relaxed);
}

static struct thing *thing_new(long value)
{
    struct thing *t = malloc(sizeof *t);

    cr_assert_not_null(t);
    t->value = value;
    return t;
}

static void retire_one(void)
{
    rcu_retire(&thing_new(1)->node, thing_free);
}

static uint64_t reclaims(void)
{
    return atom_load(&reclaimed, memory_order_acquire);
}

static void stage_wait(uint32_t s)
{
    while (atom_load(&stage, memory_order_acquire) < s)
        usleep(200);
}

static void stage_set(uint32_t s)
{
    atom_store(&stage, s, memory_order_release);
}

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

/* --- readers hold reclamation up, and only while online --- */

/* Stages: 1 it is online, 2 it may go offline, 3 it is offline, 4 it may end. */
static void *stay_online(void *arg)
{
    rcu_register();
    rcu_online();
    stage_set(1);
    stage_wait(2);
    rcu_offline();
    stage_set(3);
    stage_wait(4);
    rcu_unregister();
    return arg;
}

static void reader_end(struct os_thread *t)
{
    stage_set(2);
    stage_wait(3);
    stage_set(4);
    os_thread_join(t);
}

Test(rcu, nothing_is_reclaimed_before_the_reader_is_offline)
{
    struct os_thread t;

    cr_assert_eq(os_thread_start(&t, "reader", STACK, -1, stay_online, NULL), 0);
    stage_wait(1);
    retire_one();
    usleep(100000);
    cr_assert_eq(reclaims(), 0);
    stage_set(2);
    rcu_barrier_all();
    cr_assert_eq(reclaims(), 1);
    stage_wait(3);
    retire_one();
    rcu_barrier_all(); /* the reader is still registered, but offline */
    cr_assert_eq(reclaims(), 2);
    stage_set(4);
    os_thread_join(&t);
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
    }
    stage_set(1);
    for (int i = 0; i < READERS; i++)
        os_thread_join(&t[i]);
    rcu_barrier_all();
    cr_assert_eq(reclaims(), REPLACEMENTS);
    free(atom_load(&shared, memory_order_relaxed));
}

/* --- helper thread --- */

static bool thread_named(const char *name)
{
    bool found = false;
    DIR *d = opendir("/proc/self/task");

    cr_assert_not_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[300], comm[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", e->d_name);
        FILE *f = fopen(path, "r");
        if (f && fgets(comm, sizeof comm, f)) {
            comm[strcspn(comm, "\n")] = 0;
            found |= strcmp(comm, name) == 0;
        }
        if (f)
            fclose(f);
    }
    closedir(d);
    return found;
}

Test(rcu, helper_thread_starts_at_the_first_retire_and_has_a_name)
{
    cr_assert_not(thread_named("weir/rcu"));
    retire_one();
    rcu_barrier_all();
    cr_assert(thread_named("weir/rcu"));
}

/* --- leaks --- */

#define STARTS 1000

static void *come_and_go(void *arg)
{
    rcu_register();
    rcu_online();
    rcu_offline();
    retire_one();
    rcu_unregister();
    return arg;
}

static void start_many(int n)
{
    for (int i = 0; i < n; i++) {
        struct os_thread t;

        cr_assert_eq(os_thread_start(&t, "guest", STACK, -1, come_and_go, NULL), 0);
        os_thread_join(&t);
    }
    rcu_barrier_all();
}

static unsigned entries(const char *path)
{
    unsigned n = 0;
    DIR *d = opendir(path);

    cr_assert_not_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
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
    cr_assert_eq(entries("/proc/self/task"), tasks);
    cr_assert_leq(mallinfo2().uordblks, heap + 4096);
}

/* --- fork --- */

#ifdef WEIR_TSAN
#define FORK_TEST_DISABLED true /* ThreadSanitizer ends a child that starts a thread */
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

Test(rcu, child_works_while_a_reader_is_online_in_the_parent, .disabled = FORK_TEST_DISABLED)
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

Test(rcu, child_works_when_nothing_was_retired_before, .disabled = FORK_TEST_DISABLED)
{
    struct os_thread t;

    cr_assert_eq(os_thread_start(&t, "reader", STACK, -1, stay_online, NULL), 0);
    stage_wait(1);
    in_child(child_uses_rcu);
    reader_end(&t);
}

Test(rcu, online_thread_may_fork_while_reclamation_waits_for_it, .disabled = FORK_TEST_DISABLED)
{
    rcu_register();
    rcu_online();
    retire_one();
    usleep(50000); /* liburcu's thread waits for us now */
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    cr_assert_neq(URCU_TLS(urcu_qsbr_reader).ctr, 0, "online again on both sides");
    rcu_offline();
    if (pid == 0) {
        alarm(20);
        child_uses_rcu();
        rcu_unregister();
        _exit(0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    rcu_barrier_all();
    rcu_unregister();
}

#define POOL 256

/* Retired again and again without the heap: an allocator may itself be unable to fork under load. */
struct pooled {
    weir_atomic_u32 queued;
    struct rcu_node node;
};

static struct pooled pool[READERS][POOL];
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
        rcu_unregister();
        if (i == 0)
            atom_add(&busy, 1, memory_order_release);
    }
    return NULL;
}

#define FORKS 40

Test(rcu, forks_amid_registrations_and_retires_leave_a_working_child, .disabled = FORK_TEST_DISABLED)
{
    struct os_thread t[READERS];

    for (int i = 0; i < READERS; i++)
        cr_assert_eq(os_thread_start(&t[i], "busy", STACK, -1, retire_and_register_endlessly, pool[i]), 0);
    while (atom_load(&busy, memory_order_acquire) < READERS)
        usleep(200);
    for (int i = 0; i < FORKS; i++)
        in_child(child_uses_rcu);
    stage_set(1);
    for (int i = 0; i < READERS; i++)
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

Test(rcu, grandchild_works, .disabled = FORK_TEST_DISABLED)
{
    retire_one();
    in_child(child_forks_again);
}
