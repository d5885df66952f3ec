/* SPDX-License-Identifier: MIT
 *
 * stress_runtime.c - runtimes of many shapes under random work: trees of forks, spawns, scopes, continuations and
 * pooled tasks, submitted by several threads, with gaps in which everybody falls asleep, and stops at any moment.
 *
 * Each round draws its configuration and its work from the seed. Every piece of work adds to a sum that is known
 * beforehand. A watchdog ends the program with a message and the runtime's counts when nothing moves for HANG_LIMIT.
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

#define HANG_LIMIT 60u       /* seconds without any progress */
#define SECONDS 6u
#define SUBMITTERS_MAX 4u
#define REQUESTS_MAX 200u    /* of a submitter in a round */
#define DEPTH_MAX 7u
#define GAP_US_MAX 3000u     /* longer than the search before a sleep */

static uint64_t seed;
static weir_atomic_u64 progress; /* pieces of work done, over all rounds: what the watchdog looks at */
static weir_atomic_u64 done;     /* in this round */
static weir_atomic_u32 failures, over;
static weir_runtime *volatile current;
static const char *volatile phase_name = "start";
static bool may_discard; /* in this round: written before the runtime starts */

static void fail(const char *what)
{
    fprintf(stderr, "FAILED: %s (--seed %llu)\n", what, (unsigned long long)seed);
    __atomic_fetch_add(&failures.v, 1, __ATOMIC_RELAXED);
}

static void count_piece(void)
{
    __atomic_fetch_add(&done.v, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&progress.v, 1, __ATOMIC_RELAXED);
}

/* --- the watchdog --------------------------------------------------------------------------------------------- */

static void dump(const char *title, const weir_counts *c)
{
    fprintf(stderr, "%s: run %llu spawned %llu skipped %llu discarded %llu steals %llu fails %llu forced %llu "
            "parks %llu wakes %llu injected %llu\n", title, (unsigned long long)c->tasks_run,
            (unsigned long long)c->tasks_spawned,
            (unsigned long long)c->tasks_skipped, (unsigned long long)c->tasks_discarded, (unsigned long long)c->steals,
            (unsigned long long)c->steal_fails, (unsigned long long)c->forced, (unsigned long long)c->parks,
            (unsigned long long)c->wakes, (unsigned long long)c->injected);
}

static void *watch(void *arg)
{
    uint64_t last = 0;
    unsigned still = 0;
    (void)arg;
    while (__atomic_load_n(&over.v, __ATOMIC_ACQUIRE) == 0) {
        usleep(100000);
        uint64_t now = __atomic_load_n(&progress.v, __ATOMIC_RELAXED);
        still = now == last ? still + 1 : 0;
        last = now;
        if (still < HANG_LIMIT * 10)
            continue;
        static weir_counts each[64];
        weir_stats s = {.size = sizeof s};
        fprintf(stderr, "HANG in phase %s (--seed %llu)\n", phase_name, (unsigned long long)seed);
        if (weir_stats_read(current, &s, each, 64) == 0) {
            fprintf(stderr, "%u workers, %u parked, %llu in the injector\n", s.workers, s.parked,
                    (unsigned long long)s.queue_depth);
            dump("total", &s.total);
            for (unsigned i = 0; i < s.workers && i < 64; i++)
                dump("worker", &each[i]);
        }
        abort();
    }
    return NULL;
}

/* --- work: every function does `depth` levels below it; pieces(kind, depth) says how many pieces that are --------- */

enum kind { FORKS, SPAWNS, SCOPE, SCOPE_GROWING, CHAIN, FAN, KINDS };

struct work {
    enum kind kind;
    uint32_t depth;
    uint32_t salt;
};

static long forks(weir_worker *w, uint32_t depth, uint32_t salt);
WEIR_FORKABLE(forks, long, uint32_t, uint32_t);

static void dawdle(uint32_t salt)
{
    if (salt % 257 == 0)
        usleep(salt % 300);
    else
        for (volatile uint32_t i = 0; i < salt % 64; i++)
            continue;
}

static uint32_t mix(uint32_t salt, uint32_t i)
{
    return (salt ^ i) * 2654435761u + 12345u;
}

static long forks(weir_worker *w, uint32_t depth, uint32_t salt)
{
    struct forks_task child[3];
    long sum = 1;
    dawdle(salt);
    if (depth == 0)
        return 1;
    for (uint32_t i = 0; i < 3; i++)
        forks_fork(w, &child[i], depth - 1, mix(salt, i));
    for (uint32_t i = 3; i-- > 0;)
        sum += forks_join(w, &child[i]);
    return sum;
}

static uint64_t tree_size(uint32_t depth, uint32_t branches)
{
    uint64_t n = 1, level = 1;
    for (uint32_t i = 0; i < depth; i++)
        n += level *= branches;
    return n;
}

static weir_task *new_work(weir_worker *w, weir_task_fn *fn, struct work work)
{
    weir_task *t;
    if (weir_task_new(w, fn, sizeof work + work.salt % 200, &t) != 0)
        abort();
    memcpy(weir_task_payload(t), &work, sizeof work);
    return t;
}

static weir_task *spawned(weir_worker *w, weir_task *self)
{
    struct work work = *(struct work *)weir_task_payload(self);
    dawdle(work.salt);
    count_piece();
    if (work.depth == 0)
        return NULL;
    weir_spawn(w, new_work(w, spawned, (struct work){SPAWNS, work.depth - 1, mix(work.salt, 1)}));
    return new_work(w, spawned, (struct work){SPAWNS, work.depth - 1, mix(work.salt, 2)});
}

static void check_scope(int result)
{
    if (result != 0 && !(may_discard && result == -ECANCELED))
        fail("a scope that nobody cancelled has an error");
}

static weir_task *scoped(weir_worker *w, weir_task *self)
{
    struct work *work = weir_task_payload(self);
    weir_scope s;
    dawdle(work->salt);
    count_piece();
    if (work->depth == 0)
        return NULL;
    weir_scope_init(w, &s);
    for (uint32_t i = 0; i < 3; i++)
        weir_scope_spawn(w, &s, new_work(w, scoped, (struct work){SCOPE, work->depth - 1, mix(work->salt, i)}));
    check_scope(weir_scope_wait(w, &s));
    return NULL;
}

/* All tasks of the tree in one scope. */
static weir_task *growing(weir_worker *w, weir_task *self)
{
    struct work *work = weir_task_payload(self);
    weir_scope *s = weir_scope_of(self);
    dawdle(work->salt);
    count_piece();
    for (uint32_t i = 0; i < 2 && work->depth > 0; i++)
        weir_scope_spawn(w, s, new_work(w, growing, (struct work){SCOPE_GROWING, work->depth - 1, mix(work->salt, i)}));
    return NULL;
}

static void wait_for_growing(weir_worker *w, const struct work *work)
{
    weir_scope s;
    weir_scope_init(w, &s);
    weir_scope_spawn(w, &s, new_work(w, growing, *work));
    dawdle(mix(work->salt, 77));
    check_scope(weir_scope_wait(w, &s));
}

static weir_task *link_of_chain(weir_worker *w, weir_task *self)
{
    struct work work = *(struct work *)weir_task_payload(self);
    count_piece();
    if (work.depth == 0)
        return NULL;
    weir_task *next = new_work(w, link_of_chain, (struct work){CHAIN, work.depth - 1, work.salt});
    if (work.depth % 3 != 0)
        return next;
    weir_spawn(w, next);
    return NULL;
}

/* Payers of one pooled continuation, which does the same one level lower. */
static weir_task *fan(weir_worker *w, weir_task *self);

static weir_task *fan_payer(weir_worker *w, weir_task *self)
{
    struct work *work = weir_task_payload(self);
    (void)w;
    dawdle(work->salt);
    count_piece();
    return NULL;
}

static weir_task *fan(weir_worker *w, weir_task *self)
{
    struct work work = *(struct work *)weir_task_payload(self);
    count_piece();
    if (work.depth == 0)
        return NULL;
    weir_task *cont = new_work(w, fan, (struct work){FAN, work.depth - 1, mix(work.salt, 9)});
    weir_owe(cont, 8);
    for (uint32_t i = 0; i < 8; i++) {
        weir_task *t = new_work(w, fan_payer, (struct work){FAN, 0, mix(work.salt, i)});
        weir_task_then(t, cont);
        weir_spawn(w, t);
    }
    return NULL;
}

static uint64_t pieces(const struct work *work)
{
    switch (work->kind) {
    case FORKS: return 1;
    case SPAWNS: return tree_size(work->depth, 2);
    case SCOPE: return tree_size(work->depth, 3);
    case SCOPE_GROWING: return tree_size(work->depth, 2);
    case CHAIN: return work->depth + 1;
    default: return 1 + work->depth * 9;
    }
}

/* A request from outside: a pooled task that begins one kind of work. */
static weir_task *request(weir_worker *w, weir_task *self)
{
    struct work *work = weir_task_payload(self);
    switch (work->kind) {
    case FORKS:
        if (forks(w, work->depth, work->salt) != (long)tree_size(work->depth, 3))
            fail("a tree of forks gave a wrong sum");
        count_piece();
        return NULL;
    case SPAWNS: return new_work(w, spawned, *work);
    case SCOPE: return new_work(w, scoped, *work);
    case SCOPE_GROWING: wait_for_growing(w, work); return NULL;
    case CHAIN: return new_work(w, link_of_chain, *work);
    default: return new_work(w, fan, *work);
    }
}

/* --- submitters ----------------------------------------------------------------------------------------------- */

struct submitter {
    pthread_t thread;
    struct rng rng;
    weir_runtime *rt;
    uint32_t requests;
    bool gaps;
    uint64_t accepted; /* requests */
    uint64_t expected; /* pieces */
};

static void call_forks(weir_worker *w, void *arg)
{
    if (forks(w, 3, *(uint32_t *)arg) != 40)
        fail("a called tree of forks gave a wrong sum");
    count_piece();
}

static void *submit_requests(void *arg)
{
    struct submitter *s = arg;
    int r = 0;
    for (uint32_t i = 0; i < s->requests && r != -ESHUTDOWN; i++) {
        struct work work = {(enum kind)rng_below(&s->rng, KINDS), rng_below(&s->rng, DEPTH_MAX), rng_next(&s->rng)};
        if (s->gaps)
            usleep(rng_below(&s->rng, GAP_US_MAX));
        if (rng_below(&s->rng, 8) == 0) {
            uint32_t salt = rng_next(&s->rng);
            r = weir_call(s->rt, call_forks, &salt);
            s->expected += r == 0;
            s->accepted += r == 0 || r == -ECANCELED;
            continue;
        }
        weir_task *t = new_work(NULL, request, work);
        r = weir_submit(s->rt, t, (weir_policy)rng_below(&s->rng, 4), weir_now() + rng_below(&s->rng, 1000000));
        if (r == 0) {
            s->accepted++;
            s->expected += pieces(&work);
        } else {
            weir_task_free(t);
            if (r != -EAGAIN && r != -ETIMEDOUT && r != -ESHUTDOWN)
                fail("a submit gave an unexpected code");
        }
    }
    return NULL;
}

/* --- rounds --------------------------------------------------------------------------------------------------- */

static weir_runtime *start_random(struct rng *rng)
{
    static const uint32_t workers[] = {1, 2, 2, 3, 4, 8, 64};
    weir_config c;
    weir_runtime *rt = NULL;
    if (weir_config_init(&c) != 0)
        exit(2);
    c.workers = workers[rng_below(rng, 7)];
    c.queue_capacity = 1u << rng_below(rng, 8);
    c.deque_capacity = 2u << rng_below(rng, 5);
    c.publish_mode = rng_below(rng, 4) == 0 ? WEIR_PUBLISH_ALWAYS : WEIR_PUBLISH_ON_DEMAND;
    c.steal_order = rng_below(rng, 2) ? WEIR_STEAL_TOPOLOGY : WEIR_STEAL_RANDOM;
    c.spin_us = rng_below(rng, 3) * 50;
    c.guests = rng_below(rng, 4);
    int r = weir_start(&rt, &c);
    if (r != 0) {
        fprintf(stderr, "weir_start: %s\n", weir_strerror(r));
        exit(2);
    }
    return rt;
}

static void stop_random(struct rng *rng, weir_stats *last)
{
    weir_stop_mode mode = may_discard ? WEIR_DISCARD : WEIR_DRAIN;
    int r = -ETIMEDOUT;
    if (rng_below(rng, 3) == 0)
        r = weir_stop_stats(current, WEIR_DRAIN, weir_now() + rng_below(rng, 500000), last);
    if (r == -ETIMEDOUT)
        r = weir_stop_stats(current, mode, WEIR_FOREVER, last);
    if (r != 0)
        fail("the runtime did not stop");
}

static void run_round(struct rng *rng)
{
    static struct submitter s[SUBMITTERS_MAX];
    uint32_t n = 1 + rng_below(rng, SUBMITTERS_MAX);
    bool early = rng_below(rng, 3) == 0;
    weir_stats last = {.size = sizeof last};
    uint64_t accepted = 0, expected = 0;
    __atomic_store_n(&done.v, 0, __ATOMIC_RELAXED);
    may_discard = early && rng_below(rng, 2) == 0;
    phase_name = "start";
    current = start_random(rng);
    phase_name = "work";
    for (uint32_t i = 0; i < n; i++) {
        s[i] = (struct submitter){.rt = current, .requests = 1 + rng_below(rng, REQUESTS_MAX)};
        s[i].gaps = rng_below(rng, 3) == 0;
        rng_seed(&s[i].rng, rng_next(rng));
        if (pthread_create(&s[i].thread, NULL, submit_requests, &s[i]) != 0)
            exit(2);
    }
    if (early) {
        usleep(rng_below(rng, 20000));
        phase_name = "early stop";
        stop_random(rng, &last);
    }
    for (uint32_t i = 0; i < n; i++) {
        pthread_join(s[i].thread, NULL);
        accepted += s[i].accepted;
        expected += s[i].expected;
    }
    if (!early) {
        phase_name = "stop";
        stop_random(rng, &last);
    }
    if (!may_discard && __atomic_load_n(&done.v, __ATOMIC_RELAXED) != expected)
        fail("the work done is not the work that was accepted");
    if (!may_discard && last.total.tasks_discarded != 0)
        fail("a draining stop has discarded");
    if (last.total.submitted != accepted || last.queue_depth != 0)
        fail("the runtime has counted other submits than its users");
    __atomic_fetch_add(&progress.v, 1, __ATOMIC_RELAXED);
}

int main(int argc, char **argv)
{
    uint32_t seconds = SECONDS, rounds = 0;
    struct rng rng;
    pthread_t watchdog;
    seed = (uint64_t)time(NULL);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = (uint32_t)strtoul(argv[i + 1], NULL, 0);
    }
    printf("stress_runtime --seed %llu --seconds %u\n", (unsigned long long)seed, seconds);
    fflush(stdout);
    rng_seed(&rng, seed);
    if (pthread_create(&watchdog, NULL, watch, NULL) != 0)
        return 2;
    uint64_t end = weir_now() + seconds * UINT64_C(1000000000);
    for (; weir_now() < end && __atomic_load_n(&failures.v, __ATOMIC_RELAXED) == 0; rounds++)
        run_round(&rng);
    __atomic_store_n(&over.v, 1, __ATOMIC_RELEASE);
    pthread_join(watchdog, NULL);
    uint32_t bad = __atomic_load_n(&failures.v, __ATOMIC_RELAXED);
    printf("%u rounds, %llu pieces of work: %s\n", rounds, (unsigned long long)progress.v, bad ? "FAILED" : "ok");
    return bad != 0;
}
