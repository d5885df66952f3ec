/* SPDX-License-Identifier: MIT
 *
 * util.h - small pure functions: powers of two, a random generator.
 *
 * Threads: pure; a struct rng belongs to one thread.
 * Source: xorshift64* (Vigna 2016).
 */
#ifndef WEIR_UTIL_H
#define WEIR_UTIL_H

#include <stdint.h>

struct rng {
    uint64_t s; /* never 0 */
};

static inline void rng_seed(struct rng *r, uint64_t seed)
{
    r->s = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
}

static inline uint32_t rng_next(struct rng *r)
{
    r->s ^= r->s >> 12;
    r->s ^= r->s << 25;
    r->s ^= r->s >> 27;
    return (uint32_t)((r->s * UINT64_C(0x2545f4914f6cdd1d)) >> 32);
}

/* A number in [0, n), n > 0. */
static inline uint32_t rng_below(struct rng *r, uint32_t n)
{
    return (uint32_t)(((uint64_t)rng_next(r) * n) >> 32);
}

/* The smallest power of two that is at least n (n from 1 to 2^63). */
static inline uint64_t pow2_ceil(uint64_t n)
{
    return n <= 1 ? 1 : UINT64_C(1) << (64 - __builtin_clzll(n - 1));
}

#endif
