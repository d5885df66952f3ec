/* SPDX-License-Identifier: MIT
 *
 * semaphore.c - sets of counting semaphores: see semaphore.h for the protocol.
 *
 * Threads and invariants: see semaphore.h.
 */
#include "par/semaphore.h"

#include <errno.h>

#include "os/os.h"

#define AT_WORK ((struct permit *)(uintptr_t)1) /* in `inbox`: somebody serves, nothing has come in */

struct line {
    struct permit *first;
    struct permit *last;
};

static void append(struct permit **first, struct permit **last, struct permit *p)
{
    p->next = NULL;
    if (*first == NULL)
        *first = p;
    else
        (*last)->next = p;
    *last = p;
}

/* --- serving -------------------------------------------------------------------------------------------------- */

/* A semaphore in the set of bits that has no permit free, or NULL. */
static struct semaphore *lacking(weir_semaphores *set, uint64_t wants)
{
    for (; wants != 0; wants &= wants - 1) {
        struct semaphore *s = &set->s[__builtin_ctzll(wants)];
        if (s->free == 0)
            return s;
    }
    return NULL;
}

/* All or none: takes the permits, or queues where one is lacking. */
static void ask(weir_semaphores *set, struct permit *p, struct line *out)
{
    struct semaphore *without = lacking(set, p->wants);
    if (without != NULL) {
        append(&without->first, &without->last, p);
        return;
    }
    for (uint64_t wants = p->wants; wants != 0; wants &= wants - 1)
        set->s[__builtin_ctzll(wants)].free--;
    append(&out->first, &out->last, p);
}

static void give_back(weir_semaphores *set, struct permit *p, struct line *out)
{
    uint64_t wants = p->wants;
    for (uint64_t i = wants; i != 0; i &= i - 1)
        set->s[__builtin_ctzll(i)].free++;
    append(&out->first, &out->last, p);
    for (; wants != 0; wants &= wants - 1) {
        struct semaphore *s = &set->s[__builtin_ctzll(wants)];
        while (s->free > 0 && s->first != NULL) { /* M1; who lacks another one queues there */
            struct permit *next = s->first;
            s->first = next->next;
            ask(set, next, out);
        }
    }
}

static void serve(weir_semaphores *set, struct permit *p, struct line *out)
{
    plain_writes(set->s[0]); /* and the others: all are of who serves [SM2] */
    if (p->returns)
        give_back(set, p, out);
    else
        ask(set, p, out);
}

/* Serves what has come in, oldest first. */
static void serve_all(weir_semaphores *set, struct permit *newest, struct line *out)
{
    struct permit *oldest = NULL;
    while (newest != NULL) {
        struct permit *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct permit *next = oldest->next;
        serve(set, oldest, out);
        oldest = next;
    }
}

/* Leaves the request with whoever serves. False: nobody does, so the caller serves from now on. */
static bool delegate(weir_semaphores *set, struct permit *p)
{
    void *old = atom_load(&set->inbox, memory_order_relaxed); /* relaxed: the CAS decides */
    for (;;) {
        p->next = old == AT_WORK ? NULL : old;
        void *now = old == NULL ? (void *)AT_WORK : (void *)p;
        /* [SM1] release: the request before it is in the inbox, for submit(). [SM2] acquire: the set as the last one to
         * serve has left it; pairs with submit(). */
        if (atom_cas_weak(&set->inbox, &old, now, memory_order_acq_rel, memory_order_relaxed))
            return old != NULL;
    }
}

static struct permit *submit(weir_semaphores *set, struct permit *p)
{
    struct line out = {NULL, NULL};
    if (delegate(set, p))
        return NULL; /* p may be anybody's by now */
    serve(set, p, &out);
    for (;;) {
        void *expected = AT_WORK;
        /* [SM2] release: the set before it is at rest; pairs with delegate(). */
        if (atom_cas(&set->inbox, &expected, NULL, memory_order_release, memory_order_relaxed))
            return out.first;
        /* [SM1] acquire: the requests; pairs with delegate(). */
        serve_all(set, atom_xchg(&set->inbox, (void *)AT_WORK, memory_order_acquire), &out);
    }
}

struct permit *semaphore_ask(weir_semaphores *set, struct permit *p)
{
    p->returns = false;
    return submit(set, p);
}

struct permit *semaphore_return(weir_semaphores *set, struct permit *p)
{
    p->returns = true;
    return submit(set, p);
}

/* --- lifecycle ------------------------------------------------------------------------------------------------ */

static weir_atomic_u64 last_rank;

static size_t bytes_of(uint32_t n)
{
    return sizeof(weir_semaphores) + n * sizeof(struct semaphore);
}

int weir_semaphores_create(weir_runtime *rt, const uint32_t *permits, uint32_t n, weir_semaphores **out)
{
    if (rt == NULL || permits == NULL || out == NULL || n == 0 || n > WEIR_SEMAPHORES_MAX)
        return -EINVAL;
    for (uint32_t i = 0; i < n; i++)
        if (permits[i] == 0)
            return -EINVAL;
    weir_semaphores *set = os_alloc(bytes_of(n), CACHE_LINE);
    if (set == NULL)
        return -ENOMEM;
    set->n = n;
    set->rt = rt;
    set->rank = atom_add(&last_rank, UINT64_C(1), memory_order_relaxed) + 1; /* relaxed: different numbers, rising */
    for (uint32_t i = 0; i < n; i++)
        set->s[i].free = permits[i];
    *out = set;
    return 0;
}

int weir_semaphores_destroy(weir_semaphores *set)
{
    if (set == NULL)
        return -EINVAL;
    /* [GR2] acquire: the last use before the memory goes; pairs with weir_graph_destroy(). */
    if (atom_load(&set->users, memory_order_acquire) != 0)
        return -EBUSY;
    os_free(set, bytes_of(set->n));
    return 0;
}
