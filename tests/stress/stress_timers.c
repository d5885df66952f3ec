/* SPDX-License-Identifier: MIT
 *
 * stress_timers.c - timers that outside threads and tasks start, cancel and start again, on runtimes of many shapes,
 * with tasks that last or block in between, stopped in either way at any moment.
 *
 * In each round, what was started has fired, was cancelled, or was discarded by the stop, exactly once each; none fires
 * early; and where the round waits for its timers, none is later than HANG_LIMIT.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <weir/weir.h>

#include "base/util.h"

#define SECONDS 8u
#define HANG_LIMIT_NS (UINT64_C(30) * 1000000000)
#define STARTERS 3u
#define RECORDS 96u /* per starter */
#define STEPS 1500u
#define LAST_US 1000u /* how long a task lasts, or blocks, if it does */

static uint64_t seed;
static weir_runtime *rt;
static weir_atomic_u64 started, ran, cancelled;
static weir_atomic_u32 early;

struct record {
    weir_timer timer;
    weir_task task;
    weir_atomic_u64 deadline;
    weir_atomic_u32 live; /* pending, or its task runs: not the starter's */
    struct rng rng;       /* the task's */
};

struct starter {
    pthread_t thread;
    struct record record[RECORDS];
    struct rng rng;
    bool waits; /* for all its timers at the end */
};

static void count(weir_atomic_u64 *c)
{
    __atomic_fetch_add(&c->v, 1, __ATOMIC_RELAXED);
}

static void spin_us(uint32_t us)
{
    uint64_t end = weir_now() + us * UINT64_C(1000);
    while (weir_now() < end)
        continue;
}

static uint64_t random_delay(struct rng *rng)
{
    static const uint32_t most_us[] = {1, 40, 300, 3000, 20000};
    return (uint64_t)rng_below(rng, most_us[rng_below(rng, 5)]) * 1000 + rng_below(rng, 1000);
}

static weir_task *run(weir_worker *w, weir_task *self)
{
    struct record *r = (struct record *)(void *)((char *)self - offsetof(struct record, task));
    count(&ran);
    if (weir_now() < __atomic_load_n(&r->deadline.v, __ATOMIC_RELAXED))
        __atomic_store_n(&early.v, 1, __ATOMIC_RELAXED);
    switch (rng_below(&r->rng, 40)) {
    case 0:
        spin_us(LAST_US);
        break;
    case 1:
        if (weir_block_begin(w) == 0) {
            usleep(LAST_US);
            (void)weir_block_end(w);
        }
        break;
    case 2:
    case 3:
    case 4:
    case 5: {
        uint64_t delay = random_delay(&r->rng);
        __atomic_store_n(&r->deadline.v, weir_now() + delay, __ATOMIC_RELAXED);
        count(&started); /* before: it may have fired on return */
        int e = weir_after(w, delay, &r->timer, &r->task);
        if (e != 0) {
            fprintf(stderr, "a task could not start its timer again: %s (--seed %llu)\n", weir_strerror(e),
                    (unsigned long long)seed);
            abort();
        }
        return NULL;
    }
    default:
        break;
    }
    __atomic_store_n(&r->live.v, 0, __ATOMIC_RELEASE);
    return NULL;
}

/* False: the runtime is being stopped. */
static bool start_one(struct starter *s, struct record *r)
{
    uint64_t delay = random_delay(&s->rng);
    weir_task_init(&r->task, run);
    __atomic_store_n(&r->deadline.v, weir_now() + delay, __ATOMIC_RELAXED);
    __atomic_store_n(&r->live.v, 1, __ATOMIC_RELAXED);
    count(&started);
    int e = weir_runtime_after(rt, delay, &r->timer, &r->task);
    if (e == 0)
        return true;
    __atomic_fetch_sub(&started.v, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&r->live.v, 0, __ATOMIC_RELAXED);
    if (e != -ESHUTDOWN) {
        fprintf(stderr, "start: %s (--seed %llu)\n", weir_strerror(e), (unsigned long long)seed);
        abort();
    }
    return false;
}

static void cancel_one(struct record *r)
{
    int e = weir_timer_cancel(&r->timer);
    if (e == 0) {
        count(&cancelled);
        memset(&r->timer, 0, sizeof r->timer); /* it is ours: nobody may touch it any more */
        __atomic_store_n(&r->live.v, 0, __ATOMIC_RELAXED);
    } else if (e != -EALREADY && e != -ENOENT) {
        fprintf(stderr, "cancel: %s (--seed %llu)\n", weir_strerror(e), (unsigned long long)seed);
        abort();
    }
}

static void await_all(struct starter *s)
{
    uint64_t end = weir_now() + HANG_LIMIT_NS;
    for (uint32_t i = 0; i < RECORDS; i++) {
        while (__atomic_load_n(&s->record[i].live.v, __ATOMIC_ACQUIRE) != 0) {
            if (weir_now() > end) {
                fprintf(stderr, "HANG: a timer does not fire (--seed %llu)\n", (unsigned long long)seed);
                abort();
            }
            usleep(100);
        }
    }
}

static void *starter_main(void *arg)
{
    struct starter *s = arg;
    for (uint32_t i = 0; i < STEPS; i++) {
        struct record *r = &s->record[rng_below(&s->rng, RECORDS)];
        if (__atomic_load_n(&r->live.v, __ATOMIC_ACQUIRE) != 0)
            cancel_one(r);
        else if (!start_one(s, r))
            return NULL;
        if (rng_below(&s->rng, 50) == 0)
            usleep(rng_below(&s->rng, 300));
    }
    if (s->waits)
        await_all(s);
    return NULL;
}

static void fail(const char *what)
{
    fprintf(stderr, "%s: %llu started, %llu ran, %llu cancelled (--seed %llu)\n", what, (unsigned long long)started.v,
            (unsigned long long)ran.v, (unsigned long long)cancelled.v, (unsigned long long)seed);
    abort();
}

static void one_round(struct rng *rng)
{
    static struct starter starters[STARTERS];
    weir_config c;
    weir_stats last = {.size = sizeof last};
    if (weir_config_init(&c) != 0)
        abort();
    c.workers = 1 + rng_below(rng, 4);
    c.spare_workers = 1 + rng_below(rng, 3);
    c.max_workers = rng_below(rng, 4) == 0 ? c.workers + 2 : 0;
    c.min_workers = rng_below(rng, 3) == 0 ? 1 : 0;
    c.retire_after_ms = 1 + rng_below(rng, 5);
    c.spin_us = rng_below(rng, 60);
    started.v = ran.v = cancelled.v = 0;
    if (weir_start(&rt, &c) != 0)
        abort();
    bool waits = rng_below(rng, 2) == 0;
    for (uint32_t i = 0; i < STARTERS; i++) {
        struct starter *s = &starters[i];
        rng_seed(&s->rng, rng_next(rng));
        s->waits = waits;
        for (uint32_t k = 0; k < RECORDS; k++) {
            weir_timer_init(&s->record[k].timer);
            s->record[k].live.v = 0;
            rng_seed(&s->record[k].rng, rng_next(rng));
        }
        if (pthread_create(&s->thread, NULL, starter_main, s) != 0)
            abort();
    }
    if (!waits)
        usleep(rng_below(rng, 30000));
    for (uint32_t i = 0; waits && i < STARTERS; i++)
        pthread_join(starters[i].thread, NULL);
    weir_stop_mode mode = rng_below(rng, 2) == 0 ? WEIR_DRAIN : WEIR_DISCARD;
    if (weir_stop_stats(rt, mode, WEIR_FOREVER, &last) != 0)
        fail("the stop failed");
    for (uint32_t i = 0; !waits && i < STARTERS; i++)
        pthread_join(starters[i].thread, NULL);
    uint64_t discarded = last.total.tasks_discarded;
    if (started.v != ran.v + cancelled.v + discarded || (mode == WEIR_DRAIN && discarded != 0))
        fail("lost or doubled");
    if (early.v != 0 && mode == WEIR_DRAIN)
        fail("early");
    early.v = 0;
}

int main(int argc, char **argv)
{
    seed = (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
    if (argc == 3 && strcmp(argv[1], "--seed") == 0)
        seed = strtoull(argv[2], NULL, 0);
    printf("seed %llu\n", (unsigned long long)seed);
    struct rng rng;
    rng_seed(&rng, seed);
    uint64_t end = weir_now() + SECONDS * UINT64_C(1000000000);
    unsigned rounds = 0;
    for (; weir_now() < end; rounds++)
        one_round(&rng);
    printf("%u rounds\n", rounds);
    return 0;
}
