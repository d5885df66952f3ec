/* SPDX-License-Identifier: MIT
 *
 * bench/requests/request.h - the request that every implementation in C serves, and the ledger that it is entered in.
 *
 * Threads: serve() runs anywhere, once for each request; the ledger's totals are read by the generator (server.c).
 * Invariants: a request's result is never 0, so a record whose result was not 0 before has been served twice. The work
 * is the same in requests/go/main.go, to the last bit of the result.
 */
#ifndef BENCH_REQUESTS_REQUEST_H
#define BENCH_REQUESTS_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define REQUEST_BUFFER 4096u  /* bytes that a request allocates */
#define REQUEST_SCRATCH 2048u /* bytes of stack that it touches, in lines of 64 */
#define LINE 64u              /* bytes */
#define LEDGER_SHARDS 64u     /* so that workers seldom meet on a total */
#define NS_PER_US UINT64_C(1000)
#define NS_PER_S UINT64_C(1000000000)

/* What there is to do, from the command line. */
struct work {
    uint32_t burn_before; /* iterations before the I/O */
    uint32_t burn_after;
    uint32_t io_us;       /* no progress for that long; 0: none */
};

/* One request, when it is done. */
struct entry {
    uint64_t result;
    uint64_t done_ns;
};

struct shard {
    uint64_t count; /* atomic, as is sum */
    uint64_t sum;   /* of results */
    char pad[LINE - 2 * sizeof(uint64_t)];
};

struct ledger {
    struct work work;
    struct entry *entries;    /* one per request offered; written once, by who serves it */
    struct shard *shards;
    uint64_t twice;           /* requests served more than once; atomic */
};

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Work that no compiler shortens and that touches no memory. */
static inline uint64_t burn(uint64_t x, uint32_t n)
{
    while (n-- > 0) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return x;
}

/* What a request keeps while it waits for its I/O. */
struct progress {
    uint64_t *buffer;
    uint8_t scratch[REQUEST_SCRATCH];
};

static inline void request_begin(const struct work *work, uint32_t id, struct progress *p)
{
    p->buffer = malloc(REQUEST_BUFFER);
    if (p->buffer == NULL)
        abort();
    for (uint32_t k = 0; k < REQUEST_SCRATCH / LINE; k++)
        p->scratch[k * LINE] = (uint8_t)(id + k);
    uint64_t x = burn((uint64_t)id + 1, work->burn_before);
    for (uint64_t i = 0; i < REQUEST_BUFFER / LINE; i++)
        p->buffer[i * LINE / sizeof(uint64_t)] = x ^ i;
    __asm__ __volatile__("" : : "r"(p), "r"(p->buffer) : "memory"); /* both are in use during the I/O */
}

static inline uint64_t request_end(const struct work *work, struct progress *p)
{
    uint64_t y = 0;
    for (uint32_t i = 0; i < REQUEST_BUFFER / LINE; i++)
        y += p->buffer[i * LINE / sizeof(uint64_t)];
    for (uint32_t k = 0; k < REQUEST_SCRATCH / LINE; k++)
        y += p->scratch[k * LINE];
    free(p->buffer);
    return burn(y | 1, work->burn_after);
}

/* The I/O of a handler that blocks its thread. */
static inline void request_block(const struct work *work)
{
    struct timespec left = {work->io_us / 1000000, (long)(work->io_us % 1000000) * 1000};
    while (work->io_us != 0 && nanosleep(&left, &left) != 0)
        ;
}

static inline void ledger_enter(struct ledger *l, uint32_t id, uint64_t result)
{
    struct entry *e = &l->entries[id];
    struct shard *s = &l->shards[id % LEDGER_SHARDS];
    if (__atomic_exchange_n(&e->result, result, __ATOMIC_RELAXED) != 0)
        __atomic_fetch_add(&l->twice, 1, __ATOMIC_RELAXED);
    e->done_ns = now_ns();
    __atomic_fetch_add(&s->sum, result, __ATOMIC_RELAXED);
    __atomic_fetch_add(&s->count, 1, __ATOMIC_RELEASE); /* pairs with the acquire in ledger_count() */
}

static inline uint64_t ledger_count(const struct ledger *l)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < LEDGER_SHARDS; i++)
        n += __atomic_load_n(&l->shards[i].count, __ATOMIC_ACQUIRE);
    return n;
}

/* Serves one request on the calling thread, which its I/O blocks. */
static inline void serve(struct ledger *l, uint32_t id)
{
    struct progress p;
    request_begin(&l->work, id, &p);
    request_block(&l->work);
    ledger_enter(l, id, request_end(&l->work, &p));
}

#endif
