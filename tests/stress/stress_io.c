/* SPDX-License-Identifier: MIT
 *
 * stress_io.c - operations on descriptors under random writes, cancels, deadlines, long tasks and stops: each that was
 * started completes exactly once, with a result that can be.
 *
 * Threads: tasks on all workers, which disturb each other's operations.
 * Invariants: a slot has one operation in flight at most; its step takes the mark that the start has set, once. A lost
 * completion ends the program after HANG_LIMIT_MS.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <weir/weir.h>

#include "base/util.h"

#define SECONDS 5u
#define HANG_LIMIT_MS UINT64_C(30000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_US UINT64_C(1000)
#define SLOTS 48u
#define MISCHIEFS 3u
#define OPERATIONS 150u /* per slot and round */
#define WORKERS_MAX 4u

struct slot {
    weir_task task;
    weir_io io;
    weir_atomic_u32 in_flight;
    struct rng rng;
    int ends[2];
    unsigned left;
    char bytes[8];
};

struct mischief {
    weir_task task;
    struct rng rng;
};

static struct slot slots[SLOTS];
static struct mischief mischiefs[MISCHIEFS];
static weir_latch ended;
static weir_atomic_u32 over;
static uint64_t seed, completions;

static void fail(const char *what, long long value)
{
    fprintf(stderr, "stress_io: %s: %lld (--seed %llu)\n", what, value, (unsigned long long)seed);
    abort();
}

static uint32_t draw(struct rng *rng, uint32_t below)
{
    return (uint32_t)(rng_next(rng) % below);
}

/* None, in the past, or soon. */
static uint64_t draw_deadline(struct rng *rng)
{
    switch (draw(rng, 4)) {
    case 0:
        return weir_now() + draw(rng, 2000) * NS_PER_US;
    case 1:
        return 1 + draw(rng, 100);
    default:
        return WEIR_FOREVER;
    }
}

static weir_task *step(weir_worker *w, weir_task *self)
{
    struct slot *s = (struct slot *)(void *)self;
    if (__atomic_exchange_n(&s->in_flight.v, 0, __ATOMIC_ACQ_REL) != 1)
        fail("a step without an operation", s->io.result);
    int64_t r = s->io.result;
    if (r <= 0 && r != -ETIME && r != -ECANCELED)
        fail("a result that can't be", r);
    if (s->left-- == 0) {
        weir_latch_arrive(&ended, 1);
        return NULL;
    }
    s->io.deadline = draw_deadline(&s->rng);
    __atomic_store_n(&s->in_flight.v, 1, __ATOMIC_RELEASE);
    int e = draw(&s->rng, 3) == 0 ? weir_when_readable(w, s->ends[0], &s->io)
                                  : weir_io_recv(w, &s->io, s->ends[0], s->bytes, sizeof s->bytes, 0);
    if (e != 0)
        fail("not started", e);
    return NULL;
}

static void burn(uint64_t ns)
{
    uint64_t end = weir_now() + ns;
    while (weir_now() < end)
        continue;
}

/* Disturbs one slot, or all that is behind it on its worker. */
static weir_task *disturb(weir_worker *w, weir_task *self)
{
    struct mischief *m = (struct mischief *)(void *)self;
    struct slot *s = &slots[draw(&m->rng, SLOTS)];
    if (__atomic_load_n(&over.v, __ATOMIC_ACQUIRE) != 0)
        return NULL;
    switch (draw(&m->rng, 8)) {
    case 0:
        (void)weir_io_cancel(w, &s->io);
        break;
    case 1:
        burn(draw(&m->rng, 300) * NS_PER_US);
        break;
    case 2:
        weir_block_begin(w);
        usleep(draw(&m->rng, 200));
        weir_block_end(w);
        break;
    case 3:
        (void)weir_io_flush(w);
        break;
    default:
        (void)send(s->ends[1], "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    return self;
}

static void submit(weir_runtime *rt, weir_task *t)
{
    int e = weir_submit(rt, t, WEIR_BLOCK, 0);
    if (e != 0)
        fail("weir_submit", e);
}

static void run_round(struct rng *rng)
{
    weir_config c;
    weir_runtime *rt;
    if (weir_config_init(&c) != 0)
        fail("weir_config_init", 0);
    c.workers = 1 + draw(rng, WORKERS_MAX);
    c.no_uring = draw(rng, 2);
    c.spin_us = draw(rng, 2) * 50;
    c.min_workers = 1 + draw(rng, c.workers);
    c.retire_after_ms = 1;
    int e = weir_start(&rt, &c);
    if (e != 0)
        fail("weir_start", e);
    weir_latch_init(&ended, SLOTS);
    __atomic_store_n(&over.v, 0, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *s = &slots[i];
        *s = (struct slot){.left = OPERATIONS};
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s->ends) != 0)
            fail("socketpair", errno);
        rng_seed(&s->rng, rng_next(rng));
        weir_task_init(&s->task, step);
        weir_io_init(&s->io, &s->task);
        s->io.result = -ECANCELED; /* the first step comes from here */
        s->in_flight.v = 1;
    }
    for (unsigned i = 0; i < SLOTS; i++)
        submit(rt, &slots[i].task);
    for (unsigned i = 0; i < MISCHIEFS; i++) {
        rng_seed(&mischiefs[i].rng, rng_next(rng));
        weir_task_init(&mischiefs[i].task, disturb);
        submit(rt, &mischiefs[i].task);
    }
    e = weir_latch_wait(&ended, weir_now() + HANG_LIMIT_MS * NS_PER_MS);
    if (e != 0)
        fail(c.no_uring ? "HANG with epoll" : "HANG with io_uring", (long long)c.workers);
    __atomic_store_n(&over.v, 1, __ATOMIC_RELEASE);
    e = weir_stop(rt, draw(rng, 2) == 0 ? WEIR_DRAIN : WEIR_DISCARD, weir_now() + HANG_LIMIT_MS * NS_PER_MS);
    if (e != 0)
        fail("weir_stop", e);
    for (unsigned i = 0; i < SLOTS; i++) {
        close(slots[i].ends[0]);
        close(slots[i].ends[1]);
    }
    completions += SLOTS * OPERATIONS;
}

int main(int argc, char **argv)
{
    seed = argc == 3 && strcmp(argv[1], "--seed") == 0 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    struct rng rng;
    rng_seed(&rng, seed);
    unsigned rounds = 0;
    for (uint64_t end = weir_now() + SECONDS * 1000 * NS_PER_MS; weir_now() < end; rounds++)
        run_round(&rng);
    printf("%u rounds, %llu operations\n", rounds, (unsigned long long)completions);
    return 0;
}
