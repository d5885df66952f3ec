/* SPDX-License-Identifier: MIT
 *
 * submit - requests from a thread that is no worker: a full queue is an answer, and each policy has its own.
 *
 * The queue has room for a few requests only, and a slow one keeps the only worker busy, so that it fills up. A request
 * that is refused is still the caller's: nothing was lost and nothing has begun.
 */
#include <weir/weir.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define REQUESTS 100u
#define QUEUE 4u
#define MILLISECOND UINT64_C(1000000) /* ns */

struct request {
    weir_task task;
    unsigned number;
};

static struct {
    weir_runtime *rt;
    struct request requests[REQUESTS];
    weir_task slow;
    weir_latch begun, may_end, served;
    atomic_uint sum;
    int full, timed_out, other;
} app;

static weir_task *serve(weir_worker *w, weir_task *self)
{
    (void)w;
    struct request *r = (struct request *)self;
    atomic_fetch_add(&app.sum, r->number);
    weir_latch_arrive(&app.served, 1);
    return NULL;
}

/* Holds the worker until the client says so. A worker must not block on a latch; a real request wouldn't spin. */
static weir_task *serve_slowly(weir_worker *w, weir_task *self)
{
    (void)w;
    (void)self;
    weir_latch_arrive(&app.begun, 1);
    while (!weir_latch_is_open(&app.may_end))
        ;
    return NULL;
}

static int submit(unsigned n, weir_policy policy, uint64_t deadline)
{
    return weir_submit(app.rt, &app.requests[n].task, policy, deadline);
}

static void *client(void *arg)
{
    (void)arg;
    unsigned n = 0;
    if ((app.other = weir_submit(app.rt, &app.slow, WEIR_BLOCK, 0)) < 0)
        return NULL;
    weir_latch_wait(&app.begun, WEIR_FOREVER);

    /* Try: as many as there is room for, then -EAGAIN at once. */
    while (n < REQUESTS && (app.full = submit(n, WEIR_TRY, 0)) == 0)
        n++;
    /* Until a deadline: the worker is still busy, so it passes. */
    app.timed_out = submit(n, WEIR_BLOCK_UNTIL, weir_now() + 20 * MILLISECOND);
    /* In the caller: this thread serves the request itself. */
    app.other = submit(n++, WEIR_RUN_IN_CALLER, 0);
    weir_latch_arrive(&app.may_end, 1);
    /* Block: waits for room. */
    while (n < REQUESTS && app.other == 0)
        app.other = submit(n++, WEIR_BLOCK, 0);
    return NULL;
}

int main(void)
{
    weir_config config;
    if (weir_config_init(&config) < 0)
        return 1;
    config.workers = 1;
    config.queue_capacity = QUEUE;
    weir_task_init(&app.slow, serve_slowly);
    for (unsigned i = 0; i < REQUESTS; i++) {
        weir_task_init(&app.requests[i].task, serve);
        app.requests[i].number = i;
    }
    if (weir_latch_init(&app.begun, 1) < 0 || weir_latch_init(&app.may_end, 1) < 0 ||
        weir_latch_init(&app.served, REQUESTS) < 0 || weir_start(&app.rt, &config) < 0)
        return 1;

    pthread_t thread;
    if (pthread_create(&thread, NULL, client, NULL) != 0 || pthread_join(thread, NULL) != 0)
        return 1;
    if (app.other < 0) {
        fprintf(stderr, "submit: %s\n", weir_strerror(app.other));
        return 1;
    }
    weir_latch_wait(&app.served, WEIR_FOREVER); /* main is no worker, so it may sleep on a latch */
    if (weir_stop(app.rt, WEIR_DRAIN, WEIR_FOREVER) < 0)
        return 1;
    printf("full queue: %s; deadline: %s; all %u requests served\n", weir_strerror(app.full),
           weir_strerror(app.timed_out), REQUESTS);
    return app.full != -EAGAIN || app.timed_out != -ETIMEDOUT || app.sum != REQUESTS * (REQUESTS - 1) / 2;
}
