/* SPDX-License-Identifier: MIT
 *
 * stress_park.c - parking against pushing: after pauses of random length a busy worker makes one to three tasks, which
 * only other workers can run, because their maker waits for that in a leaf; an outside thread does so with submits.
 * The tasks of a burst wait for each other, so that each needs a worker of its own. In between a task is forked and
 * joined about when another worker gets it: it runs once, here or there.
 *
 * Pauses are drawn around the time that a worker searches before it sleeps, so that pushes meet workers at every step
 * of falling asleep. A lost wake-up is found by the maker: it gives up after HANG_LIMIT with the runtime's counts.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <weir/weir.h>

#include "base/util.h"

#define SECONDS 5u
#define HANG_LIMIT_NS (UINT64_C(30) * 1000000000)
#define ROUND_TASKS 400u
#define BURST_MAX 3u

static uint64_t seed;
static uint32_t spin_us;
static uint64_t tasks_total;
static weir_runtime *rt;

static void hang(const char *where)
{
    weir_stats s = {.size = sizeof s};
    fprintf(stderr, "HANG: nobody runs %s (--seed %llu)\n", where, (unsigned long long)seed);
    if (weir_stats_read(rt, &s, NULL, 0) == 0)
        fprintf(stderr, "%u workers, %u parked, %llu in the injector, %llu run, %llu steals, %llu forced, %llu parks, "
                "%llu wakes\n", s.workers, s.parked, (unsigned long long)s.queue_depth,
                (unsigned long long)s.total.tasks_run, (unsigned long long)s.total.steals,
                (unsigned long long)s.total.forced, (unsigned long long)s.total.parks,
                (unsigned long long)s.total.wakes);
    abort();
}

struct burst {
    weir_atomic_u32 there; /* tasks that have begun */
    weir_atomic_u32 gone;  /* tasks that touch this no more */
    uint32_t n;
    const char *kind;
};

struct member {
    weir_task task;
    struct burst *burst;
};

/* A leaf: makes no tasks, joins nothing. */
static void await_count(weir_atomic_u32 *count, const struct burst *b)
{
    uint64_t end = weir_now() + HANG_LIMIT_NS;
    while (__atomic_load_n(&count->v, __ATOMIC_ACQUIRE) < b->n) {
        sched_yield();
        if (weir_now() > end)
            hang(b->kind);
    }
}

static weir_task *meet(weir_worker *w, weir_task *self)
{
    struct burst *b = ((struct member *)self)->burst;
    (void)w;
    __atomic_fetch_add(&b->there.v, 1, __ATOMIC_ACQ_REL);
    await_count(&b->there, b);
    __atomic_fetch_add(&b->gone.v, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void pause_for(struct rng *rng)
{
    uint32_t us = rng_below(rng, 2 * spin_us + 60);
    if (rng_below(rng, 2)) {
        usleep(us);
        return;
    }
    for (uint64_t end = weir_now() + us * UINT64_C(1000); weir_now() < end;)
        continue;
}

/* On a worker: forks or spawns up to `others` tasks after pauses, and waits in a leaf until all of them have met. */
struct maker {
    struct rng rng;
    uint32_t others;
};

static void make_tasks(weir_worker *w, void *arg)
{
    struct maker *m = arg;
    for (uint32_t i = 0; i < ROUND_TASKS; i++) {
        bool forked = rng_below(&m->rng, 2), apart = rng_below(&m->rng, 2);
        struct burst b = {.n = 1 + rng_below(&m->rng, m->others < BURST_MAX ? m->others : BURST_MAX),
                          .kind = forked ? "a fork" : "a spawn"};
        struct member t[BURST_MAX];
        for (uint32_t j = 0; j < b.n; j++) {
            if (j == 0 || apart)
                pause_for(&m->rng);
            t[j].burst = &b;
            weir_task_init(&t[j].task, meet);
            if (forked)
                weir_fork(w, &t[j].task);
            else
                weir_spawn(w, &t[j].task);
        }
        await_count(&b.gone, &b);
        for (uint32_t j = b.n; forked && j-- > 0;)
            if (weir_join(w, &t[j].task) != 0)
                abort();
        tasks_total += b.n;
    }
}

struct lone {
    weir_task task;
    uint32_t runs;   /* not atomic: the join orders it */
    uint32_t spin_ns;
};

static weir_task *run_lone(weir_worker *w, weir_task *self)
{
    struct lone *l = (struct lone *)self;
    (void)w;
    for (uint64_t end = weir_now() + l->spin_ns; weir_now() < end;)
        continue;
    l->runs++;
    return NULL;
}

/* Joins what may be on its way to another worker, in its hand, or under way. */
static void fork_and_join(weir_worker *w, void *arg)
{
    struct rng *rng = &((struct maker *)arg)->rng;
    for (uint32_t i = 0; i < ROUND_TASKS; i++) {
        struct lone l = {.task.run = run_lone, .spin_ns = rng_below(rng, 1000)};
        if (rng_below(rng, 4) == 0)
            pause_for(rng);
        weir_fork(w, &l.task);
        for (uint64_t end = weir_now() + rng_below(rng, 4000); weir_now() < end;)
            continue;
        if (weir_join(w, &l.task) != 0 || l.runs != 1) {
            fprintf(stderr, "a fork has run %u times (--seed %llu)\n", l.runs, (unsigned long long)seed);
            abort();
        }
        tasks_total++;
    }
}

static void submit_tasks(struct rng *rng, uint32_t workers)
{
    for (uint32_t i = 0; i < ROUND_TASKS; i++) {
        struct burst b = {.n = 1 + rng_below(rng, workers < BURST_MAX ? workers : BURST_MAX), .kind = "a submit"};
        struct member t[BURST_MAX];
        for (uint32_t j = 0; j < b.n; j++) {
            pause_for(rng);
            t[j].burst = &b;
            weir_task_init(&t[j].task, meet);
            if (weir_submit(rt, &t[j].task, WEIR_BLOCK, 0) != 0)
                abort();
        }
        await_count(&b.gone, &b);
        tasks_total += b.n;
    }
}

static void run_round(struct rng *rng)
{
    static const uint32_t workers[] = {2, 2, 3, 4, 16, 64};
    weir_config c;
    if (weir_config_init(&c) != 0)
        exit(2);
    c.workers = workers[rng_below(rng, 6)];
    c.publish_mode = rng_below(rng, 4) == 0 ? WEIR_PUBLISH_ALWAYS : WEIR_PUBLISH_ON_DEMAND;
    c.deque_capacity = 2u << rng_below(rng, 8);
    spin_us = c.spin_us = rng_below(rng, 3) * 50;
    if (weir_start(&rt, &c) != 0)
        exit(2);
    if (rng_below(rng, 3) == 0) {
        submit_tasks(rng, c.workers);
    } else {
        struct maker m = {.others = c.workers - 1};
        rng_seed(&m.rng, rng_next(rng));
        if (weir_call(rt, make_tasks, &m) != 0 || weir_call(rt, fork_and_join, &m) != 0)
            abort();
    }
    if (weir_stop(rt, WEIR_DRAIN, WEIR_FOREVER) != 0)
        abort();
}

int main(int argc, char **argv)
{
    uint32_t seconds = SECONDS, rounds = 0;
    struct rng rng;
    seed = (uint64_t)time(NULL);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = (uint32_t)strtoul(argv[i + 1], NULL, 0);
    }
    printf("stress_park --seed %llu --seconds %u\n", (unsigned long long)seed, seconds);
    fflush(stdout);
    rng_seed(&rng, seed);
    for (uint64_t end = weir_now() + seconds * UINT64_C(1000000000); weir_now() < end; rounds++)
        run_round(&rng);
    printf("%u rounds, %llu tasks: ok\n", rounds, (unsigned long long)tasks_total);
    return 0;
}
