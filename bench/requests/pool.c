/* SPDX-License-Identifier: MIT
 *
 * bench/requests/pool.c - the textbook thread pool: a bounded ring under one mutex, two condition variables.
 *
 * Threads: as server.h.
 * Invariants: everything in `pool` is guarded by `lock`. Between `workers` and `max_workers` the pool grows by one
 * worker per submit that finds nobody idle and as many requests waiting as there are workers, and a worker that has
 * been idle for IDLE_MS leaves.
 */
#include "server.h"

#include <errno.h>
#include <pthread.h>

#define IDLE_MS 100u /* after which a worker beyond the minimum goes */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t work, room, gone;
    struct ledger *ledger;
    struct server_options options;
    uint32_t *ring;       /* requests that wait */
    uint32_t head, count; /* oldest; how many */
    uint32_t workers;     /* threads alive */
    uint32_t idle;        /* of them, waiting for work */
    bool stopping;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .room = PTHREAD_COND_INITIALIZER, .gone = PTHREAD_COND_INITIALIZER};

/* Whether there is work; false: this worker leaves. The lock is held. */
static bool wait_for_work_locked(void)
{
    struct timespec until;
    bool may_leave = pool.workers > pool.options.workers;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += IDLE_MS * 1000000l;
    until.tv_sec += until.tv_nsec / (long)NS_PER_S;
    until.tv_nsec %= (long)NS_PER_S;
    while (pool.count == 0 && !pool.stopping) {
        pool.idle++;
        int r = may_leave ? pthread_cond_timedwait(&pool.work, &pool.lock, &until)
                          : pthread_cond_wait(&pool.work, &pool.lock);
        pool.idle--;
        if (r == ETIMEDOUT && pool.count == 0 && pool.workers > pool.options.workers)
            return false;
    }
    return pool.count > 0;
}

static void *worker(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&pool.lock);
    while (wait_for_work_locked()) {
        uint32_t id = pool.ring[pool.head];
        pool.head = pool.head + 1 == pool.options.queue ? 0 : pool.head + 1;
        pool.count--;
        pthread_cond_signal(&pool.room);
        pthread_mutex_unlock(&pool.lock);
        serve(pool.ledger, id);
        pthread_mutex_lock(&pool.lock);
    }
    pool.workers--;
    pthread_cond_signal(&pool.gone);
    pthread_mutex_unlock(&pool.lock);
    return NULL;
}

static void add_worker_locked(void)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, worker, NULL);
    if (error != 0)
        server_fail("pthread_create", error);
    pthread_detach(thread);
    pool.workers++;
}

static void start(struct ledger *l, const struct server_options *o)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&pool.work, &monotonic);
    pool.ledger = l;
    pool.options = *o;
    pool.ring = calloc(o->queue, sizeof *pool.ring);
    if (pool.ring == NULL)
        server_fail("memory", ENOMEM);
    pthread_mutex_lock(&pool.lock);
    while (pool.workers < o->workers)
        add_worker_locked();
    pthread_mutex_unlock(&pool.lock);
}

static bool submit_one(uint32_t id)
{
    pthread_mutex_lock(&pool.lock);
    while (pool.count == pool.options.queue && pool.options.block)
        pthread_cond_wait(&pool.room, &pool.lock);
    bool taken = pool.count < pool.options.queue;
    if (taken) {
        uint32_t at = pool.head + pool.count++;
        pool.ring[at < pool.options.queue ? at : at - pool.options.queue] = id;
        if (pool.idle == 0 && pool.count >= pool.workers && pool.workers < pool.options.max_workers)
            add_worker_locked();
        pthread_cond_signal(&pool.work);
    }
    pthread_mutex_unlock(&pool.lock);
    return taken;
}

static uint32_t submit(uint32_t first, uint32_t n, bool *accepted)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < n; i++)
        taken += accepted[i] = submit_one(first + i);
    return taken;
}

static void stop(struct server_account *a)
{
    (void)a;
    pthread_mutex_lock(&pool.lock);
    pool.stopping = true;
    pthread_cond_broadcast(&pool.work);
    while (pool.workers > 0)
        pthread_cond_wait(&pool.gone, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    free(pool.ring);
}

const struct server server_pool = {"pool", start, submit, stop};
