/* SPDX-License-Identifier: MIT
 *
 * handle.c - the table of runtimes of this process.
 *
 * Threads and invariants: see handle.h.
 */
#include "api/handle.h"

#include <errno.h>

#define INDEX_BITS 8
#define INDEX_MASK 0xffu
#define CLOSING (UINT32_C(1) << 31) /* users: the closer waits for the count to fall to itself */

struct entry {
    weir_atomic_u64 generation; /* of the handle that is open, 0: none */
    weir_atomic_u64 dead;       /* last generation that a fork made unusable here */
    weir_atomic_u32 users;      /* callers inside, and CLOSING */
    weir_atomic_u32 taken;      /* 1: reserved */
    weir_atomic_u32 stopping;   /* 1: somebody is in weir_stop() */
    uint64_t last;              /* generation given out last; holder of `taken` only */
    struct runtime *rt;
} ALIGNED(LINE_PAIR);

static struct entry table[WEIR_RUNTIMES_MAX];

static weir_runtime *encode(uint32_t index, uint64_t generation)
{
    return (weir_runtime *)(uintptr_t)(generation << INDEX_BITS | (index + 1));
}

static uint64_t generation_of(weir_runtime *h)
{
    return (uint64_t)(uintptr_t)h >> INDEX_BITS;
}

static struct entry *entry_of(weir_runtime *h)
{
    uintptr_t index = ((uintptr_t)h & INDEX_MASK) - 1;
    return index >= WEIR_RUNTIMES_MAX || generation_of(h) == 0 ? NULL : &table[index];
}

int handle_reserve(uint32_t *index)
{
    for (uint32_t i = 0; i < WEIR_RUNTIMES_MAX; i++) {
        uint32_t no = 0;
        /* [HA1] acquire: the entry as its last holder left it; pairs with handle_unreserve(). */
        if (atom_cas(&table[i].taken, &no, 1u, memory_order_acquire, memory_order_relaxed)) {
            *index = i;
            return 0;
        }
    }
    return -EMFILE;
}

void handle_unreserve(uint32_t index)
{
    atom_store(&table[index].taken, 0u, memory_order_release); /* [HA1] release: pairs with handle_reserve() */
}

weir_runtime *handle_open(uint32_t index, struct runtime *rt)
{
    struct entry *e = &table[index];
    e->rt = rt;
    rt->handle = index;
    e->last++;
    /* [HA2] release: the runtime before its generation; pairs with handle_enter(). */
    atom_store(&e->generation, e->last, memory_order_release);
    return encode(index, e->last);
}

weir_runtime *handle_of(uint32_t index)
{
    /* relaxed: the caller runs on one of the runtime's workers */
    return encode(index, atom_load(&table[index].generation, memory_order_relaxed));
}

int handle_enter(weir_runtime *h, struct runtime **rt)
{
    struct entry *e = entry_of(h);
    if (e == NULL)
        return -EINVAL;
    /* [HA3] acquire: who counts in behind the closer sees the closed generation; pairs with handle_close(). */
    atom_add(&e->users, 1u, memory_order_acquire);
    /* [HA2] acquire: the runtime behind the generation; pairs with handle_open(). */
    if (atom_load(&e->generation, memory_order_acquire) == generation_of(h)) {
        *rt = e->rt;
        return 0;
    }
    handle_leave(h);
    /* relaxed: written before this process had a second thread */
    return atom_load(&e->dead, memory_order_relaxed) >= generation_of(h) ? -EOWNERDEAD : -ESHUTDOWN;
}

void handle_leave(weir_runtime *h)
{
    struct entry *e = entry_of(h);
    /* [HA4] release: what the caller did inside; pairs with handle_close(). */
    if (atom_sub(&e->users, 1u, memory_order_release) == (CLOSING | 2))
        os_futex_wake(&e->users, 1); /* the table is static: always there */
}

int handle_close(weir_runtime *h, uint64_t deadline)
{
    struct entry *e = entry_of(h);
    atom_store(&e->generation, UINT64_C(0), memory_order_relaxed); /* relaxed: released with CLOSING */
    /* [HA3] release: the closed generation before CLOSING. Of a caller's addition and this one is first: then either
     * its count is seen below, or it sees the closed generation; pairs with handle_enter(). */
    atom_or(&e->users, CLOSING, memory_order_release);
    for (;;) {
        uint32_t users = atom_load(&e->users, memory_order_acquire); /* [HA4] acquire: pairs with handle_leave() */
        if (users == (CLOSING | 1))
            break;
        if (os_futex_wait(&e->users, users, deadline) == -ETIMEDOUT) {
            atom_and(&e->users, ~CLOSING, memory_order_relaxed); /* relaxed: nobody waits for the count any more */
            /* [HA2] release: as in handle_open(). */
            atom_store(&e->generation, generation_of(h), memory_order_release);
            return -ETIMEDOUT;
        }
    }
    e->rt = NULL;
    atom_sub(&e->users, CLOSING | 1u, memory_order_relaxed); /* relaxed: late callers only count in and out */
    atom_store(&e->stopping, 0u, memory_order_relaxed);      /* relaxed: released by handle_unreserve() */
    handle_unreserve((uint32_t)(e - table));
    return 0;
}

bool handle_begin_stop(weir_runtime *h)
{
    /* [HA5] acquire: what the last stopper did; pairs with handle_end_stop(). */
    return atom_xchg(&entry_of(h)->stopping, 1u, memory_order_acquire) == 0;
}

void handle_end_stop(weir_runtime *h)
{
    atom_store(&entry_of(h)->stopping, 0u, memory_order_release); /* [HA5] release: pairs with handle_begin_stop() */
}

void handle_after_fork(void)
{
    /* relaxed, all: the child has one thread */
    for (uint32_t i = 0; i < WEIR_RUNTIMES_MAX; i++) {
        struct entry *e = &table[i];
        uint64_t open = atom_load(&e->generation, memory_order_relaxed);
        if (open != 0)
            atom_store(&e->dead, open, memory_order_relaxed);
        atom_store(&e->generation, UINT64_C(0), memory_order_relaxed);
        atom_store(&e->users, 0u, memory_order_relaxed);
        atom_store(&e->stopping, 0u, memory_order_relaxed);
        atom_store(&e->taken, 0u, memory_order_relaxed);
        e->rt = NULL;
    }
    worker_set_self(NULL);
}
