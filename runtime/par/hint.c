/* SPDX-License-Identifier: MIT
 *
 * hint.c - the table of remembered durations: see hint.h.
 *
 * Threads and invariants: see hint.h.
 */
#include "par/hint.h"

struct hint hint_table[HINTS];

void hint_remember(const void *key, uint64_t cost)
{
    struct hint *h = hint_of(key);
    uint64_t old = 0;
    /* relaxed, all: as in hint_cost(); words that hardly change are not written, so that the line stays shared */
    if (atom_load(&h->key, memory_order_relaxed) == key)
        old = atom_load(&h->cost, memory_order_relaxed);
    else
        atom_store(&h->key, (void *)(uintptr_t)key, memory_order_relaxed);
    if (cost > old + old / 8 || cost < old - old / 8)
        atom_store(&h->cost, cost, memory_order_relaxed);
}
