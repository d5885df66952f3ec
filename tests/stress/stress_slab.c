/* SPDX-License-Identifier: MIT
 *
 * stress_slab.c - owners allocate, everybody frees: contents must survive, memory must come back.
 *
 * Each thread owns a slab and exchanges objects with the others through a table of mailboxes; an object carries a
 * pattern made from its address and size that whoever frees it checks.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "sync/outside.h"
#include "sync/slab.h"

#define THREADS 4u
#define FOREIGN 1u       /* further threads, without a slab */
#define MAILBOXES 512u
#define ROUNDS 400000u   /* operations per thread */
#define BURST 3000u      /* objects allocated at once now and then */

static weir_atomic_ptr mailbox[MAILBOXES];
static struct slab slabs[THREADS];
static weir_atomic_u32 failures;
static uint64_t seed;
static unsigned rounds = ROUNDS;

struct record {
    char header[32]; /* the slab's while free */
    uint32_t size;
    uint32_t check;
    unsigned char payload[];
};

static uint32_t pattern(const struct record *r)
{
    return (uint32_t)((uintptr_t)r >> 5) * 2654435761u ^ r->size;
}

static void fail(const char *what)
{
    fprintf(stderr, "FAILED: %s\n", what);
    atom_add(&failures, 1u, memory_order_relaxed); /* counted, read after the joins */
}

static struct record *make(struct slab *mine, struct rng *rng)
{
    uint32_t size = (uint32_t)sizeof(struct record) + rng_below(rng, rng_below(rng, 8) ? 88 : 4000);
    struct record *r = mine ? slab_alloc(mine, size) : slab_alloc_foreign(size);
    if (r == NULL) {
        fail("out of memory");
        return NULL;
    }
    memset(r, 0xee, size);
    r->size = size;
    r->check = pattern(r);
    return r;
}

static void destroy(struct slab *mine, struct record *r)
{
    if (r == NULL)
        return;
    if (r->check != pattern(r))
        fail("an object changed while it was out");
    for (uint32_t i = 0; i < r->size - sizeof *r; i++) {
        if (r->payload[i] != 0xee) {
            fail("a payload changed while it was out");
            break;
        }
    }
    slab_free(mine, r);
}

static void *work(void *arg)
{
    static _Thread_local struct record *burst[BURST];
    uintptr_t index = (uintptr_t)arg;
    bool works = index < THREADS; /* the others: half with a slab for threads that are no workers, half without */
    struct slab *mine = works ? &slabs[index] : index % 2 != 0 ? outside_slab() : NULL;
    struct rng rng;
    rng_seed(&rng, seed * 1000 + index);
    if (works && slab_init(mine, (unsigned)index) != 0)
        fail("slab_init");
    for (unsigned i = 0; i < rounds; i++) {
        weir_atomic_ptr *box = &mailbox[rng_below(&rng, MAILBOXES)];
        /* acq_rel: hands our record over, takes another's: its contents before the exchange that put it there. */
        destroy(mine, atom_xchg(box, (void *)make(mine, &rng), memory_order_acq_rel));
        if (rng_below(&rng, 20000) == 0) {
            for (unsigned j = 0; j < BURST; j++)
                burst[j] = make(mine, &rng);
            for (unsigned j = 0; j < BURST; j++)
                destroy(mine, burst[j]);
        }
        if (mine && rng_below(&rng, 5000) == 0)
            slab_collect(mine);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    seed = (uint64_t)time(NULL);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--rounds") == 0)
            rounds = (unsigned)strtoul(argv[i + 1], NULL, 0);
    }
    printf("stress_slab --seed %llu\n", (unsigned long long)seed);
    pthread_t t[THREADS + FOREIGN];
    for (uintptr_t i = 0; i < THREADS + FOREIGN; i++)
        if (pthread_create(&t[i], NULL, work, (void *)i) != 0)
            return 2;
    for (unsigned i = 0; i < THREADS + FOREIGN; i++)
        pthread_join(t[i], NULL);
    for (unsigned i = 0; i < MAILBOXES; i++)
        destroy(NULL, atom_load(&mailbox[i], memory_order_relaxed)); /* the threads are joined */
    for (unsigned i = 0; i < THREADS; i++) {
        slab_collect(&slabs[i]);
        if (slabs[i].chunks > SLAB_CLASSES + SLAB_IDLE_MAX)
            fail("memory did not come back");
        slab_destroy(&slabs[i]);
    }
    unsigned bad = atom_load(&failures, memory_order_relaxed);
    printf("%u threads, %u objects each: %s\n", THREADS + FOREIGN, rounds, bad ? "FAILED" : "ok");
    return bad != 0;
}
