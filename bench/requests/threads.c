/* SPDX-License-Identifier: MIT
 *
 * bench/requests/threads.c - requests without a runtime: a thread for each; the floor, as many threads as CPUs that
 * have their requests from the beginning and nothing to wait for; and the floor of pools whose threads wait.
 *
 * Threads: as server.h.
 * Invariants: a thread's stack is small and without a guard page, so that neighbours are one mapping to the kernel,
 * which has a limit for those. Where no more threads are to be had, the generator waits.
 */
#include "server.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>

#define STACK_BYTES 65536u /* PTHREAD_STACK_MIN and the request fit; pages are used on demand */
#define RETRY_US 200u

static struct {
    struct ledger *ledger;
    struct server_options options;
    pthread_attr_t attr;
} all;

static void start(struct ledger *l, const struct server_options *o)
{
    all.ledger = l;
    all.options = *o;
    pthread_attr_init(&all.attr);
    if (pthread_attr_setstacksize(&all.attr, STACK_BYTES) != 0 || pthread_attr_setguardsize(&all.attr, 0) != 0 ||
        pthread_attr_setdetachstate(&all.attr, PTHREAD_CREATE_DETACHED) != 0)
        server_fail("thread attributes", EINVAL);
}

static void stop(struct server_account *a)
{
    (void)a;
    pthread_attr_destroy(&all.attr);
}

static void wait_a_little(void)
{
    struct timespec pause = {0, RETRY_US * 1000};
    nanosleep(&pause, NULL);
}

static bool spawn(void *(*run)(void *), uintptr_t argument, bool block)
{
    pthread_t thread;
    int error;
    while ((error = pthread_create(&thread, &all.attr, run, (void *)argument)) == EAGAIN && block)
        wait_a_little();
    if (error != 0 && error != EAGAIN)
        server_fail("pthread_create", error);
    return error == 0;
}

static void *serve_one(void *id)
{
    serve(all.ledger, (uint32_t)(uintptr_t)id);
    return NULL;
}

static uint32_t submit(uint32_t first, uint32_t n, bool *accepted)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < n; i++)
        taken += accepted[i] = spawn(serve_one, first + i, all.options.block);
    return taken;
}

const struct server server_thread = {"thread", start, submit, stop};

/* --- the floor ------------------------------------------------------------------------------------------------- */

static uint32_t share_first, share_count; /* of the burst that is being served */

/* Every options.workers-th request from the k-th on. */
static void *serve_share(void *k)
{
    for (uint32_t i = (uint32_t)(uintptr_t)k; i < share_count; i += all.options.workers)
        serve(all.ledger, share_first + i);
    return NULL;
}

/* Only for bursts that are drained before the next one. */
static uint32_t submit_shares(uint32_t first, uint32_t n, bool *accepted)
{
    share_first = first;
    share_count = n;
    for (uint32_t i = 0; i < n; i++)
        accepted[i] = true;
    for (uint32_t k = 0; k < all.options.workers; k++)
        spawn(serve_share, k, true);
    return n;
}

const struct server server_floor = {"floor", start, submit_shares, stop};

/* --- the floor of threads that wait in their requests ------------------------------------------------------------ */

static uint32_t share_next; /* atomic: counts the requests of the burst that were taken */

static void *serve_next(void *unused)
{
    (void)unused;
    for (uint32_t i; (i = __atomic_fetch_add(&share_next, 1, __ATOMIC_RELAXED)) < share_count;)
        serve(all.ledger, share_first + i);
    return NULL;
}

static uint32_t submit_to_all(uint32_t first, uint32_t n, bool *accepted)
{
    share_first = first;
    share_count = n;
    __atomic_store_n(&share_next, 0, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < n; i++)
        accepted[i] = true;
    for (uint32_t k = 0; k < all.options.workers; k++)
        spawn(serve_next, k, true);
    return n;
}

const struct server server_floor_io = {"floor-io", start, submit_to_all, stop};
