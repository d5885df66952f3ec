/* SPDX-License-Identifier: MIT
 *
 * hint.h - how long callbacks took the last times, remembered by their address for the whole process.
 *
 * Threads: any. Source: Fibonacci hashing (Knuth, TAOCP 3, 6.4), without chains.
 * Invariants: a hint is a guess: two relaxed words, which may not match, or be another callback's whose address falls
 * on the same place. Who goes by one must be right whatever it says, and correct it by the clock.
 */
#ifndef WEIR_HINT_H
#define WEIR_HINT_H

#include "base/atomics.h"
#include "base/compiler.h"

#define HINT_PS_PER_NS UINT64_C(1000)

#define HINTS 256u /* remembered callbacks; a power of two */

struct hint {
    weir_atomic_ptr key;
    weir_atomic_u64 cost;
};
extern struct hint hint_table[HINTS];

static inline struct hint *hint_of(const void *key)
{
    uint64_t x = (uint64_t)(uintptr_t)key * UINT64_C(0x9e3779b97f4a7c15);
    return &hint_table[x >> 56 & (HINTS - 1)];
}

/* ps per iteration of a loop's body, or per call of another callback; 0: not known. */
static inline uint64_t hint_cost(const void *key)
{
    const struct hint *h = hint_of(key);
    /* relaxed, both: a guess, and a wrong one is corrected by the clock */
    return atom_load(&h->key, memory_order_relaxed) == key ? atom_load(&h->cost, memory_order_relaxed) : 0;
}

void hint_remember(const void *key, uint64_t cost);

/* The cost of that many iterations that took so long; never 0. */
static inline uint64_t hint_cost_of(uint64_t ns, size_t iterations)
{
    uint64_t cost = ns * HINT_PS_PER_NS / iterations;
    return cost != 0 ? cost : 1;
}

/* What to believe after `cost` where `old` was believed (0: nothing): dearer at once, cheaper by halves, since the
 * clock's own time weighs on what is short. */
static inline uint64_t hint_blend(uint64_t old, uint64_t cost)
{
    return cost >= old ? cost : (old + cost + 1) / 2;
}

#endif
