/* SPDX-License-Identifier: MIT
 *
 * test_slab.c - what must hold for pooled records: sizes, alignment, reuse, remote frees, a stalled pusher, bounds.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <urcu/uatomic.h>

#include "os/os_fault.h"
#include "sync/outside.h"
#include "sync/slab.h"

#define MANY 5000u /* objects: several chunks of the smallest class */

static struct slab slab;
static void *objects[MANY];

static void setup(void)
{
    cr_assert_eq(slab_init(&slab, 3), 0);
}

static void teardown(void)
{
    slab_destroy(&slab);
}

TestSuite(slab, .init = setup, .fini = teardown);

static void *free_all_elsewhere(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < MANY; i++)
        slab_free(NULL, objects[i]);
    return NULL;
}

static void run_thread(void *(*fn)(void *), void *arg)
{
    pthread_t t;
    cr_assert_eq(pthread_create(&t, NULL, fn, arg), 0);
    pthread_join(t, NULL);
}

Test(slab, every_size_is_served_aligned_and_writable)
{
    for (size_t size = 0; size <= SLAB_OBJECT_MAX; size += 31) {
        unsigned char *p = slab_alloc(&slab, size);
        cr_assert_not_null(p);
        cr_assert_eq((uintptr_t)p % 64, 0u);
        memset(p, 0xa5, size);
        slab_free(&slab, p);
    }
    void *p = slab_alloc(&slab, SLAB_OBJECT_MAX);
    cr_assert_not_null(p);
    slab_free(&slab, p);
}

Test(slab, too_large_is_refused)
{
    cr_assert_null(slab_alloc(&slab, SLAB_OBJECT_MAX + 1));
    cr_assert_null(slab_alloc_foreign(SLAB_OBJECT_MAX + 1));
    cr_assert_eq(slab.chunks, 0u);
}

Test(slab, freed_object_is_the_next_one_handed_out)
{
    void *a = slab_alloc(&slab, 64);
    void *b = slab_alloc(&slab, 64);
    slab_free(&slab, a);
    slab_free(&slab, b);
    cr_assert_eq(slab_alloc(&slab, 60), b);
    cr_assert_eq(slab_alloc(&slab, 33), a);
    slab_free(&slab, a);
    slab_free(&slab, b);
}

Test(slab, objects_do_not_overlap)
{
    for (size_t k = 0; k < SLAB_CLASSES; k++) {
        size_t size = (size_t)64 << k, n = 200;
        for (size_t i = 0; i < n; i++) {
            objects[i] = slab_alloc(&slab, size);
            memset(objects[i], (int)i, size);
        }
        for (size_t i = 0; i < n; i++) {
            unsigned char *p = objects[i];
            for (size_t j = 0; j < size; j++)
                cr_assert_eq(p[j], (unsigned char)i);
            slab_free(&slab, p);
        }
    }
}

Test(slab, memory_returns_after_a_burst_freed_here)
{
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < MANY; i++)
            objects[i] = slab_alloc(&slab, 1024);
        cr_assert_gt(slab.chunks, SLAB_IDLE_MAX + 1);
        for (size_t i = 0; i < MANY; i++)
            slab_free(&slab, objects[(i * 7) % MANY]); /* 7 and MANY have no common divisor: each object once */
        cr_assert_leq(slab.chunks, SLAB_IDLE_MAX + 1);
    }
}

Test(slab, memory_returns_after_a_burst_freed_elsewhere)
{
    for (size_t i = 0; i < MANY; i++)
        objects[i] = slab_alloc(&slab, 256);
    run_thread(free_all_elsewhere, NULL);
    slab_collect(&slab);
    cr_assert_leq(slab.chunks, SLAB_IDLE_MAX + 1);
}

Test(slab, remote_frees_are_reused_without_collect)
{
    uint32_t most = 0;
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < MANY; i++)
            objects[i] = slab_alloc(&slab, 64);
        run_thread(free_all_elsewhere, NULL);
        if (round == 4)
            most = slab.chunks;
        cr_assert(round < 5 || slab.chunks <= most + 2, "round %d: %u chunks, %u before", round, slab.chunks, most);
    }
}

Test(slab, classes_share_idle_chunks)
{
    for (size_t k = 0; k < SLAB_CLASSES; k++) {
        for (size_t i = 0; i < 100; i++)
            objects[i] = slab_alloc(&slab, (size_t)64 << k);
        for (size_t i = 0; i < 100; i++)
            slab_free(&slab, objects[i]);
    }
    cr_assert_leq(slab.chunks, SLAB_CLASSES + SLAB_IDLE_MAX);
}

Test(slab, free_of_null_is_ignored)
{
    slab_free(&slab, NULL);
    slab_free(NULL, NULL);
}

Test(slab, foreign_object_is_freed_by_anyone)
{
    for (size_t size = 0; size <= SLAB_OBJECT_MAX; size += 111) {
        void *p = slab_alloc_foreign(size), *q = slab_alloc_foreign(size);
        cr_assert_not_null(p);
        cr_assert_not_null(q);
        cr_assert_eq((uintptr_t)p % 32, 0u);
        memset(p, 0x5a, size);
        slab_free(&slab, p);
        slab_free(NULL, q);
    }
    cr_assert_eq(slab.chunks, 0u);
}

Test(slab, object_of_another_slab_goes_home)
{
    struct slab other;
    cr_assert_eq(slab_init(&other, 4), 0);
    void *p = slab_alloc(&slab, 64);
    slab_free(&other, p);
    cr_assert_not(wfs_empty(&slab.remote));
    cr_assert(wfs_empty(&other.remote));
    slab_collect(&slab);
    cr_assert_eq(slab_alloc(&slab, 64), p);
    slab_free(&slab, p);
    slab_destroy(&other);
}

/* A pusher that was stopped between its exchange and its link: done by hand, in the layout of liburcu's stack. */
Test(slab, stalled_pusher_blocks_nobody)
{
    void *below = slab_alloc(&slab, 64);
    struct wfs_node *stalled = slab_alloc(&slab, 64);
    void *above = slab_alloc(&slab, 64);
    slab_free(NULL, below);
    cds_wfs_node_init(&stalled->link);
    struct cds_wfs_head *old = uatomic_xchg(&slab.remote.stack.head, (struct cds_wfs_head *)&stalled->link);
    slab_free(NULL, above);

    slab_collect(&slab);
    void *a = slab_alloc(&slab, 64), *b = slab_alloc(&slab, 64);
    cr_assert_eq(a, above, "what was pushed after the stall is home");
    cr_assert(b != below && b != (void *)stalled, "what is not linked is kept for later");
    slab_free(NULL, a);
    slab_collect(&slab);
    cr_assert_eq(slab_alloc(&slab, 64), above, "later frees come home while the pusher is stopped");

    CMM_STORE_SHARED(stalled->link.next, &old->node);
    slab_collect(&slab);
    cr_assert_eq(slab_alloc(&slab, 64), below);
    cr_assert_eq(slab_alloc(&slab, 64), stalled);
    slab_free(&slab, below);
    slab_free(&slab, stalled);
    slab_free(&slab, above);
    slab_free(&slab, b);
    cr_assert_null(slab.later);
}

Test(slab, objects_survive_their_slab)
{
    struct slab brief;
    cr_assert_eq(slab_init(&brief, 5), 0);
    unsigned char *p = slab_alloc(&brief, 64), *q = slab_alloc(&brief, 64);
    memset(p, 1, 64);
    slab_destroy(&brief);
    cr_assert_eq(p[63], 1);
    slab_free(&slab, p);
    cr_assert_not_null(memset(q, 2, 64));
    slab_free(NULL, q); /* a leak or a use after free shows in the ASan build */
}

Test(slab, trim_gives_back_what_is_empty)
{
    for (size_t i = 0; i < MANY; i++)
        objects[i] = slab_alloc(&slab, 64u << i % SLAB_CLASSES);
    for (size_t i = 1; i < MANY; i++)
        slab_free(i % 2 != 0 ? &slab : NULL, objects[i]);
    slab_trim(&slab);
    cr_assert_eq(slab.chunks, 1u, "the chunk of the one object that is out");
    cr_assert_eq(slab.idle_count, 0u);
    memset(objects[0], 0, 64);
    slab_free(&slab, objects[0]);
    slab_trim(&slab);
    cr_assert_eq(slab.chunks, 0u);
    void *p = slab_alloc(&slab, 64);
    cr_assert_not_null(p, "the slab goes on");
    slab_free(&slab, p);
}

/* A thread that is no worker: leaves one object out, and ends. */
static void *use_outside(void *out)
{
    struct slab *mine = outside_slab_if_any();
    cr_assert_null(mine, "no thread begins with a slab");
    mine = outside_slab();
    cr_assert_not_null(mine);
    cr_assert_eq(outside_slab(), mine);
    cr_assert_eq(outside_slab_if_any(), mine);
    for (size_t i = 0; i < MANY; i++)
        objects[i] = slab_alloc(mine, 64);
    for (size_t i = 1; i < MANY; i++)
        slab_free(mine, objects[i]);
    *(struct slab **)out = mine;
    return NULL;
}

Test(slab, slab_of_a_thread_that_ended_is_used_again)
{
    struct slab *first, *second;
    struct slab *here = outside_slab();
    run_thread(use_outside, &first);
    cr_assert_neq(first, here);
    cr_assert_eq(first->chunks, 1u, "of %u chunks one has an object that is out", first->chunks);
    memset(objects[0], 1, 64);
    slab_free(here, objects[0]);
    run_thread(use_outside, &second);
    cr_assert_eq(second, first);
    slab_free(here, objects[0]);
}

#define THREADS_MANY 80u /* more than there are slabs for threads that are no workers */

static pthread_barrier_t all_there;

static void *wait_with_a_slab(void *has_one)
{
    *(bool *)has_one = outside_slab() != NULL;
    pthread_barrier_wait(&all_there);
    return NULL;
}

Test(slab, threads_beyond_the_last_slab_get_none)
{
    pthread_t t[THREADS_MANY];
    bool has_one[THREADS_MANY];
    unsigned count = 0;
    for (int round = 0; round < 2; round++) {
        pthread_barrier_init(&all_there, NULL, THREADS_MANY);
        for (unsigned i = 0; i < THREADS_MANY; i++)
            cr_assert_eq(pthread_create(&t[i], NULL, wait_with_a_slab, &has_one[i]), 0);
        for (unsigned i = 0; i < THREADS_MANY; i++) {
            pthread_join(t[i], NULL);
            count += has_one[i];
        }
        cr_assert_eq(count, 64u, "%u", count);
        count = 0;
    }
}

#ifdef WEIR_FAULT_INJECTION
Test(slab, out_of_memory_is_an_answer)
{
    os_fault_arm_always(OS_FAULT_ALLOC);
    cr_assert_null(slab_alloc(&slab, 64));
    cr_assert_null(slab_alloc_foreign(64));
    os_fault_disarm(OS_FAULT_ALLOC);
    void *p = slab_alloc(&slab, 64), *q = slab_alloc_foreign(64);
    cr_assert_not_null(p);
    cr_assert_not_null(q);
    os_fault_arm_always(OS_FAULT_ALLOC);
    void *r = slab_alloc(&slab, 64);
    cr_assert_not_null(r, "a chunk with room needs no memory");
    cr_assert_null(slab_alloc(&slab, 128), "another class does");
    os_fault_disarm(OS_FAULT_ALLOC);
    slab_free(&slab, p);
    slab_free(&slab, r);
    slab_free(&slab, q);
    cr_assert_eq(slab.chunks, 1u);
}
#endif
