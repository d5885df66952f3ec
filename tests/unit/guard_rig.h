/* SPDX-License-Identifier: MIT
 *
 * guard_rig.h - what the tests of the guards share: units of time, and a function run by many threads at once.
 *
 * Threads: the test's.
 */
#ifndef WEIR_TEST_GUARD_RIG_H
#define WEIR_TEST_GUARD_RIG_H

#include <criterion/criterion.h>
#include <pthread.h>

#define US UINT64_C(1000)    /* ns */
#define MS UINT64_C(1000000) /* ns */
#define SECOND (1000 * MS)
#define THREADS 4u
#define ROUNDS 20000u

static inline void run_threads(void *(*fn)(void *))
{
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, fn, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

#endif
