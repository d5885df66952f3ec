/* SPDX-License-Identifier: MIT
 *
 * thread_record.c - who gets which record, and gives it back.
 *
 * Threads, Invariants: see thread_record.h.
 */
#include "sync/thread_record.h"

void thread_record_release(struct thread_record *r)
{
    atom_store(&r->taken, 0u, memory_order_release); /* [TR1] release: the record as it is; pairs with try_claim() */
}

static bool try_claim(struct thread_record *r)
{
    uint32_t no = 0;
    /* relaxed: a hint. [TR1] acquire: the record as its last thread left it; pairs with thread_record_release(). Weak:
     * another will do. */
    return atom_load(&r->taken, memory_order_relaxed) == 0 &&
           atom_cas_weak(&r->taken, &no, 1u, memory_order_acquire, memory_order_relaxed);
}

struct thread_record *thread_record_claim(void *records, size_t size, uint32_t n, void (*leave)(void *record))
{
    for (uint32_t i = 0; i < n; i++) {
        struct thread_record *r = (struct thread_record *)(void *)((char *)records + i * size);
        if (!try_claim(r))
            continue;
        r->exit = (struct os_exit){.fn = leave, .arg = r};
        if (os_at_thread_exit(&r->exit))
            return r;
        thread_record_release(r);
        return NULL;
    }
    return NULL;
}
