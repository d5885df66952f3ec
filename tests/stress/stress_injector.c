/* SPDX-License-Identifier: MIT
 *
 * stress_injector.c - producers and consumers on small injectors that are closed at a random moment: every task that
 * was accepted comes out once, in its producer's order, with its stamp; nothing comes out after "drained".
 *
 * Each round draws its capacity, its numbers of threads and the way they work from the seed. Producers that find the
 * queue full sleep on an eventcount, so that a lost wake-up shows as a hang.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "os/os.h"
#include "sync/eventcount.h"
#include "sync/injector.h"

#define PRODUCERS_MAX 5u
#define CONSUMERS_MAX 5u
#define ITEMS_MAX 3000u    /* tasks of a producer in a round */
#define CAPACITY_LOG_MAX 8u
#define BATCH_MAX 100u     /* more than one draw of tickets */
#define ROUNDS 600u
#define HANG_LIMIT 150u    /* seconds for all rounds */

struct item {
    weir_task task;
    uint32_t producer;
    uint32_t number; /* in the producer's order */
    weir_atomic_u32 popped;
};

struct producer {
    struct rng rng;
    uint32_t id;
    uint32_t accepted; /* items[id][0] to items[id][accepted - 1] */
    uint32_t single; /* percent of the pushes that are single ones */
};

struct consumer {
    struct rng rng;
    uint64_t popped;
    uint32_t next[PRODUCERS_MAX]; /* smallest number that may still come from each */
};

static struct injector q;
static struct eventcount room;
static struct item items[PRODUCERS_MAX][ITEMS_MAX];
static uint32_t item_count;
static uint32_t pause_below; /* out of 1024: how often a thread gives up its processor between calls */
static weir_atomic_u32 failures, producers_left;
static uint64_t seed;

static void fail(const char *what)
{
    fprintf(stderr, "FAILED: %s (--seed %llu)\n", what, (unsigned long long)seed);
    atom_add(&failures, 1u, memory_order_relaxed); /* counted, read after the joins */
}

static void maybe_pause(struct rng *rng)
{
    if (rng_below(rng, 1024) < pause_below)
        os_yield();
}

/* --- producers ------------------------------------------------------------------------------------------------ */

static enum inject_result push_some(struct producer *p)
{
    weir_task *list[BATCH_MAX];
    enum inject_result why;
    uint32_t left = item_count - p->accepted;
    if (rng_below(&p->rng, 100) < p->single) {
        why = injector_push(&q, &items[p->id][p->accepted].task, p->accepted);
        p->accepted += why == INJECT_OK;
        return why;
    }
    uint32_t n = 1 + rng_below(&p->rng, left < BATCH_MAX ? left : BATCH_MAX);
    for (uint32_t i = 0; i < n; i++)
        list[i] = &items[p->id][p->accepted + i].task;
    size_t done = injector_push_batch(&q, list, n, p->accepted, &why);
    if ((done == n) != (why == INJECT_OK))
        fail("the batch's reason does not fit its count");
    p->accepted += (uint32_t)done;
    return why;
}

static void *produce(void *arg)
{
    struct producer *p = arg;
    enum inject_result why = INJECT_OK;
    while (p->accepted < item_count && why != INJECT_CLOSED) {
        maybe_pause(&p->rng);
        why = push_some(p);
        if (why != INJECT_FULL)
            continue;
        uint32_t key = eventcount_prepare(&room);
        why = push_some(p);
        if (why != INJECT_FULL)
            eventcount_cancel(&room);
        else if (rng_below(&p->rng, 8) == 0)
            (void)!eventcount_wait(&room, key, os_now() + rng_below(&p->rng, 100000));
        else
            (void)!eventcount_wait(&room, key, OS_FOREVER);
    }
    eventcount_notify(&room, 1); /* a wake that came to us and was not needed goes on to another */
    atom_sub(&producers_left, 1, memory_order_release); /* its pushes before; pairs with close_now() */
    return NULL;
}

/* --- consumers ------------------------------------------------------------------------------------------------ */

static void check(struct consumer *c, weir_task *t, const uint64_t *stamp)
{
    struct item *it = CONTAINER_OF(t, struct item, task);
    if (atom_add(&it->popped, 1, memory_order_relaxed) != 0) /* relaxed: an RMW finds every second pop */
        fail("a task came out twice");
    if (it->number < c->next[it->producer])
        fail("a producer's tasks came out of order");
    if (stamp && (*stamp > it->number || it->number - *stamp >= BATCH_MAX))
        fail("a task has another one's stamp");
    c->next[it->producer] = it->number + 1;
    c->popped++;
}

static void *consume(void *arg)
{
    struct consumer *c = arg;
    weir_task *list[BATCH_MAX];
    for (;;) {
        uint64_t stamp;
        size_t got;
        maybe_pause(&c->rng);
        if (rng_below(&c->rng, 2)) {
            list[0] = injector_pop(&q, &stamp);
            got = list[0] != NULL;
            if (got)
                check(c, list[0], &stamp);
        } else {
            got = injector_pop_batch(&q, list, 1 + rng_below(&c->rng, BATCH_MAX));
            for (size_t i = 0; i < got; i++)
                check(c, list[i], NULL);
        }
        if (got > 0)
            eventcount_notify(&room, (int)got);
        else if (injector_drained(&q))
            break;
        else
            os_yield();
    }
    if (injector_pop(&q, NULL))
        fail("a task came out after the queue was drained");
    return NULL;
}

/* --- rounds --------------------------------------------------------------------------------------------------- */

static void close_now(struct rng *rng)
{
    if (rng_below(rng, 2)) {
        for (uint32_t spins = rng_below(rng, 200); spins > 0; spins--)
            os_yield();
    } else {
        while (atom_load(&producers_left, memory_order_acquire) > 0) /* pairs with produce() */
            os_yield();
    }
    injector_close(&q);
    eventcount_notify_all(&room);
}

static void reset_items(uint32_t producers)
{
    for (uint32_t i = 0; i < producers; i++) {
        for (uint32_t j = 0; j < item_count; j++) {
            items[i][j].producer = i;
            items[i][j].number = j;
            atom_store(&items[i][j].popped, 0, memory_order_relaxed); /* relaxed: no thread is running */
        }
    }
}

/* Takes what is free and counts it. The depth would not do: a ticket that met a stalled taker's slot counts there too. */
static uint32_t free_indices(void)
{
    uint32_t n = 0, index;
    while (scq_take(&q.free, &index, 1) != 0)
        n++;
    return n;
}

static void check_round(uint32_t producers, uint32_t consumers, const struct producer *p, const struct consumer *c)
{
    uint64_t accepted = 0, popped = 0;
    for (uint32_t i = 0; i < producers; i++) {
        accepted += p[i].accepted;
        for (uint32_t j = 0; j < item_count; j++)
            if (atom_load(&items[i][j].popped, memory_order_relaxed) != (j < p[i].accepted)) /* relaxed: joined */
                fail("a task was accepted and did not come out, or the other way round");
    }
    for (uint32_t i = 0; i < consumers; i++)
        popped += c[i].popped;
    if (accepted != popped)
        fail("the counts differ");
    /* The pop passes the tickets of pushes that were refused after the last consumer had left. */
    if (injector_pop(&q, NULL) || !injector_drained(&q) || !injector_is_empty(&q) || free_indices() != q.capacity)
        fail("the queue is not as it was at the start");
    if (atom_load(&room.waiters, memory_order_relaxed) != 0) /* relaxed: joined */
        fail("a waiter was left over");
}

static uint64_t run_round(struct rng *rng)
{
    static struct producer p[PRODUCERS_MAX];
    static struct consumer c[CONSUMERS_MAX];
    pthread_t pt[PRODUCERS_MAX], ct[CONSUMERS_MAX];
    uint32_t producers = 1 + rng_below(rng, PRODUCERS_MAX), consumers = 1 + rng_below(rng, CONSUMERS_MAX);
    uint32_t single = rng_below(rng, 101);
    uint64_t accepted = 0;
    item_count = 1 + rng_below(rng, ITEMS_MAX);
    pause_below = rng_below(rng, 4) ? 0 : rng_below(rng, 128);
    reset_items(producers);
    atom_store(&producers_left, producers, memory_order_relaxed); /* relaxed: no thread is running */
    if (injector_init(&q, 1u << rng_below(rng, CAPACITY_LOG_MAX + 1)) != 0)
        exit(2);
    for (uint32_t i = 0; i < producers; i++) {
        p[i] = (struct producer){.id = i, .single = single};
        rng_seed(&p[i].rng, rng_next(rng));
        if (pthread_create(&pt[i], NULL, produce, &p[i]) != 0)
            exit(2);
    }
    for (uint32_t i = 0; i < consumers; i++) {
        c[i] = (struct consumer){.popped = 0};
        rng_seed(&c[i].rng, rng_next(rng));
        if (pthread_create(&ct[i], NULL, consume, &c[i]) != 0)
            exit(2);
    }
    close_now(rng);
    for (uint32_t i = 0; i < producers; i++)
        pthread_join(pt[i], NULL);
    for (uint32_t i = 0; i < consumers; i++)
        pthread_join(ct[i], NULL);
    check_round(producers, consumers, p, c);
    for (uint32_t i = 0; i < producers; i++)
        accepted += p[i].accepted;
    injector_destroy(&q);
    return accepted;
}

int main(int argc, char **argv)
{
    uint32_t rounds = ROUNDS;
    uint64_t accepted = 0;
    struct rng rng;
    seed = (uint64_t)time(NULL);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--rounds") == 0)
            rounds = (uint32_t)strtoul(argv[i + 1], NULL, 0);
    }
    printf("stress_injector --seed %llu --rounds %u\n", (unsigned long long)seed, rounds);
    fflush(stdout);
    alarm(HANG_LIMIT);
    rng_seed(&rng, seed);
    for (uint32_t i = 0; i < rounds && atom_load(&failures, memory_order_relaxed) == 0; i++) /* relaxed: joined */
        accepted += run_round(&rng);
    uint32_t bad = atom_load(&failures, memory_order_relaxed);
    printf("%u rounds, %llu tasks: %s\n", rounds, (unsigned long long)accepted, bad ? "FAILED" : "ok");
    return bad != 0;
}
