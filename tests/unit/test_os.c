/* SPDX-License-Identifier: MIT
 *
 * test_os.c - what os_linux.c promises in os.h, and fault injection where it is built in.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"
#include "os/os_fault.h"
#include "os/sanitizer.h"

#define MS UINT64_C(1000000)     /* ns */
#define STACK ((size_t)1 << 20) /* bytes */

/*
 * Bytes by which a thread's stack may differ from what was asked for, and that are left of it at least;
 * ThreadSanitizer's own data lies in it.
 */
#ifdef WEIR_TSAN
#define STACK_SLACK ((size_t)1 << 20)
#define STACK_LEAST ((size_t)32 << 10)
#else
#define STACK_SLACK ((size_t)64 << 10)
#define STACK_LEAST (STACK - STACK_SLACK)
#endif

static weir_atomic_u32 word;
static weir_atomic_u32 stage;

/* --- futex --- */

Test(os, wait_on_another_value_returns_at_once)
{
    cr_assert_eq(os_futex_wait(&word, 7, OS_FOREVER), 0);
}

Test(os, wait_ends_at_its_deadline_and_not_before)
{
    uint64_t deadline = os_now() + 20 * MS;

    cr_assert_eq(os_futex_wait(&word, 0, deadline), -ETIMEDOUT);
    cr_assert_geq(os_now(), deadline);
}

Test(os, wait_with_a_past_deadline_times_out)
{
    cr_assert_eq(os_futex_wait(&word, 0, 0), -ETIMEDOUT);
    cr_assert_eq(os_futex_wait(&word, 0, 1), -ETIMEDOUT);
}

Test(os, wake_without_sleepers_wakes_none)
{
    cr_assert_eq(os_futex_wake(&word, 1), 0);
}

static void *sleep_until_woken(void *arg)
{
    (void)arg;
    while (atom_load(&word, memory_order_acquire) == 0)
        os_futex_wait(&word, 0, OS_FOREVER);
    return NULL;
}

Test(os, wake_ends_a_wait, .timeout = 20)
{
    struct os_thread t;

    cr_assert_eq(os_thread_start(&t, "sleeper", STACK, -1, sleep_until_woken, NULL), 0);
    usleep(10000);
    atom_store(&word, 1, memory_order_release);
    os_futex_wake(&word, 1);
    os_thread_join(&t);
}

/* --- membarrier --- */

Test(os, membarrier_works_once_registered_and_registering_twice_is_fine)
{
    if (!os_membarrier_init())
        cr_skip_test("no membarrier on this kernel");
    cr_assert(os_membarrier_init());
    os_membarrier();
}

/* --- memory --- */

static bool is_zero(const unsigned char *p, size_t n)
{
    return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

Test(os, memory_is_zeroed_and_aligned_at_every_size)
{
    static const size_t aligns[] = {16, 64, 128, 4096, (size_t)1 << 21};
    static const size_t sizes[] = {1, 24, 100, 4096, 70000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (3 << 20) + 5};

    for (size_t a = 0; a < sizeof aligns / sizeof *aligns; a++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int again = 0; again < 3; again++) {
                unsigned char *p = os_alloc(sizes[s], aligns[a]);

                cr_assert_not_null(p);
                cr_assert_eq((uintptr_t)p % aligns[a], 0, "%zu aligned to %zu", sizes[s], aligns[a]);
                cr_assert(sizes[s] == 1 ? *p == 0 : is_zero(p, sizes[s]));
                memset(p, 0xa5, sizes[s]);
                os_free(p, sizes[s]);
            }
}

Test(os, sparse_memory_is_zeroed_and_aligned_at_every_size)
{
    static const size_t sizes[] = {64, 4096, (1 << 16) - 64, 1 << 16, (1 << 18) + 64, 1 << 20, 3 << 20};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int again = 0; again < 3; again++) {
            unsigned char *p = os_alloc_sparse(sizes[s], 128);
            cr_assert_not_null(p);
            cr_assert_eq((uintptr_t)p % 128, 0);
            cr_assert(is_zero(p, sizes[s]));
            memset(p, 0xa5, sizes[s]);
            os_free_sparse(p, sizes[s]);
        }
    os_free_sparse(NULL, 1 << 18);
}

Test(os, impossible_sizes_give_null)
{
    volatile size_t huge = SIZE_MAX - 20; /* volatile: the compiler must not warn about the call */

    cr_assert_null(os_alloc(huge, 64));
    cr_assert_null(os_alloc(huge, (size_t)1 << 21));
    cr_assert_null(os_alloc(huge / 2 + 1, 64));
}

Test(os, freeing_null_does_nothing)
{
    os_free(NULL, 10);
    os_free(NULL, 10 << 20);
}

static size_t resident_pages(void)
{
    unsigned long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    cr_assert_not_null(f);
    cr_assert_eq(fscanf(f, "%lu %lu", &size, &resident), 2);
    fclose(f);
    return resident;
}

#ifdef WEIR_ASAN
#define MEMORY_TEST_DISABLED true /* AddressSanitizer keeps freed memory for a while */
#else
#define MEMORY_TEST_DISABLED false
#endif

Test(os, sparse_memory_comes_when_it_is_written, .disabled = MEMORY_TEST_DISABLED)
{
    enum { BLOCKS = 64, BYTES = 1 << 18 };
    void *p[BLOCKS];
    size_t before = resident_pages();
    for (size_t i = 0; i < BLOCKS; i++)
        cr_assert_not_null(p[i] = os_alloc_sparse(BYTES, 128));
    cr_assert_lt(resident_pages() - before, BLOCKS * (size_t)BYTES / 4096 / 4,
                 "16 MiB were asked for, none was written");
    for (size_t i = 0; i < BLOCKS; i++)
        os_free_sparse(p[i], BYTES);
}

Test(os, freeing_large_blocks_gives_memory_back, .disabled = MEMORY_TEST_DISABLED)
{
    size_t size = (size_t)64 << 20;
    size_t before = resident_pages();
    void *p = os_alloc(size, 64);

    cr_assert_not_null(p);
    memset(p, 1, size);
    os_free(p, size);
    cr_assert_lt(resident_pages(), before + 4096, "resident: %zu pages before, %zu after", before, resident_pages());
}

/* --- threads --- */

struct seen {
    char name[16];
    sigset_t blocked;
    cpu_set_t cpus;
    size_t stack;
    uintptr_t low, here;
    bool low_again;
};

static void *look(void *arg)
{
    struct seen *s = arg;
    pthread_attr_t attr;
    void *low;

    while (atom_load(&stage, memory_order_acquire) == 0)
        os_yield();
    pthread_getname_np(pthread_self(), s->name, sizeof s->name);
    pthread_sigmask(SIG_SETMASK, NULL, &s->blocked);
    sched_getaffinity(0, sizeof s->cpus, &s->cpus);
    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstack(&attr, &low, &s->stack);
    pthread_attr_destroy(&attr);
    s->here = (uintptr_t)__builtin_frame_address(0);
    s->low = os_stack_low();
    s->low_again = os_stack_low() == s->low;
    return s;
}

static int start_look(struct os_thread *t, const char *name, size_t stack, int cpu, struct seen *s)
{
    int err = os_thread_start(t, name, stack, cpu, look, s);

    atom_store(&stage, 1, memory_order_release);
    return err;
}

Test(os, thread_has_its_name_and_stack_and_blocks_signals)
{
    struct os_thread t;
    struct seen s;
    sigset_t mine;

    cr_assert_eq(start_look(&t, "weir/0", STACK, -1, &s), 0);
    os_thread_join(&t);
    cr_assert_str_eq(s.name, "weir/0");
    cr_assert_geq(s.stack, STACK - STACK_SLACK);
    cr_assert_leq(s.stack, STACK + STACK_SLACK);
    cr_assert(sigismember(&s.blocked, SIGINT) && sigismember(&s.blocked, SIGTERM) && sigismember(&s.blocked, SIGALRM));
    cr_assert_not(sigismember(&s.blocked, SIGSEGV), "a fault must reach the program's handler");
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    cr_assert_not(sigismember(&mine, SIGINT), "the starting thread's mask is as before");
}

Test(os, long_thread_names_are_cut)
{
    struct os_thread t;
    struct seen s;

    cr_assert_eq(start_look(&t, "a-name-that-is-too-long", STACK, -1, &s), 0);
    os_thread_join(&t);
    cr_assert_str_eq(s.name, "a-name-that-is-");
}

Test(os, thread_runs_on_the_cpu_that_it_is_bound_to)
{
    struct os_thread t;
    struct seen s;
    cpu_set_t mine;
    size_t cpu = 0;

    cr_assert_eq(sched_getaffinity(0, sizeof mine, &mine), 0);
    while (!CPU_ISSET(cpu, &mine))
        cpu++;
    cr_assert_eq(start_look(&t, "bound", STACK, (int)cpu, &s), 0);
    os_thread_join(&t);
    cr_assert_eq(CPU_COUNT(&s.cpus), 1);
    cr_assert(CPU_ISSET(cpu, &s.cpus));
}

Test(os, binding_to_a_cpu_that_does_not_exist_is_refused)
{
    struct os_thread t;
    struct seen s;

    cr_assert_eq(start_look(&t, "nowhere", STACK, 100000, &s), -EINVAL);
}

Test(os, tiny_stacks_are_rounded_up_and_absurd_ones_refused)
{
    struct os_thread t;
    struct seen s;
    int err;

    cr_assert_eq(start_look(&t, "tiny", 1, -1, &s), 0);
    os_thread_join(&t);
    err = start_look(&t, "absurd", (size_t)1 << 60, -1, &s);
    cr_assert(err == -EAGAIN || err == -ENOMEM || err == -EINVAL);
}

Test(os, stack_low_is_the_end_of_the_stack_of_a_thread)
{
    struct os_thread t;
    struct seen s;

    cr_assert_eq(start_look(&t, "stack", STACK, -1, &s), 0);
    os_thread_join(&t);
    cr_assert_lt(s.low, s.here);
    cr_assert_lt(s.here - s.low, STACK + STACK_SLACK);
    cr_assert_gt(s.here - s.low, STACK_LEAST);
    cr_assert(s.low_again);
}

static void *touch_the_low_end(void *arg)
{
    *(volatile char *)os_stack_low() = 1; /* the guard page would kill us */
    return arg;
}

Test(os, stack_low_is_usable_memory)
{
    struct os_thread t;

    cr_assert_eq(os_thread_start(&t, "low", STACK, -1, touch_the_low_end, NULL), 0);
    os_thread_join(&t);
}

Test(os, stack_low_of_the_main_thread_lies_below_its_frames)
{
    cr_assert_lt(os_stack_low(), (uintptr_t)__builtin_frame_address(0));
    cr_assert_gt((uintptr_t)__builtin_frame_address(0) - os_stack_low(), (uintptr_t)16 << 10);
}

/* --- clock --- */

Test(os, clock_never_goes_back)
{
    uint64_t last = os_now();

    for (int i = 0; i < 10000; i++) {
        uint64_t now = os_now();

        cr_assert_geq(now, last);
        last = now;
        os_relax();
    }
}

/* --- faults --- */

#ifdef WEIR_FAULT_INJECTION
Test(os_fault, only_the_nth_allocation_fails)
{
    uint64_t before = os_fault_count(OS_FAULT_ALLOC);

    os_fault_arm(OS_FAULT_ALLOC, 3);
    for (int i = 1; i <= 6; i++) {
        void *p = os_alloc(64, 64);

        cr_assert_eq(p == NULL, i == 3);
        os_free(p, 64);
    }
    cr_assert_eq(os_fault_count(OS_FAULT_ALLOC), before + 6);
}

Test(os_fault, armed_always_fails_until_disarmed)
{
    void *p;

    os_fault_arm_always(OS_FAULT_ALLOC);
    for (int i = 0; i < 4; i++) {
        p = os_alloc((size_t)2 << 20, 64);
        cr_assert_null(p);
    }
    os_fault_disarm(OS_FAULT_ALLOC);
    p = os_alloc(64, 64);
    cr_assert_not_null(p);
    os_free(p, 64);
}

Test(os_fault, disarmed_before_its_event_fails_nothing)
{
    void *p;

    os_fault_arm(OS_FAULT_ALLOC, 1);
    os_fault_disarm(OS_FAULT_ALLOC);
    p = os_alloc(64, 64);
    cr_assert_not_null(p);
    os_free(p, 64);
}

Test(os_fault, kinds_are_independent)
{
    struct os_thread t;
    struct seen s;
    void *p;

    os_fault_arm(OS_FAULT_THREAD, 1);
    os_fault_arm(OS_FAULT_MEMBARRIER, 1);
    os_fault_arm(OS_FAULT_FUTEX_SPURIOUS, 1);
    p = os_alloc(64, 64);
    cr_assert_not_null(p);
    os_free(p, 64);
    cr_assert_eq(start_look(&t, "x", STACK, -1, &s), -EAGAIN);
    cr_assert_eq(start_look(&t, "x", STACK, -1, &s), 0);
    os_thread_join(&t);
    cr_assert_not(os_membarrier_init());
    cr_assert_eq(os_futex_wait(&word, 0, OS_FOREVER), 0);
}
#else
Test(os_fault, normal_builds_never_fail)
{
    for (int kind = 0; kind < OS_FAULT_KINDS; kind++)
        cr_assert_not(os_fault((enum os_fault_kind)kind));
}
#endif
