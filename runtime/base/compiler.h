/* SPDX-License-Identifier: MIT
 *
 * compiler.h - attributes, cache-line constants and assertions.
 *
 * Invariants: weir_assert() checks internal invariants in debug builds only; no public argument check uses it.
 */
#ifndef WEIR_COMPILER_H
#define WEIR_COMPILER_H

#include <assert.h>
#include <stddef.h>

#define CACHE_LINE 64u  /* bytes */
#define LINE_PAIR 128u  /* bytes: what the adjacent-line prefetcher moves together */

#define NOINLINE __attribute__((noinline))
#define COLD __attribute__((cold, noinline))
#define MUST_USE __attribute__((warn_unused_result))
#define ALIGNED(n) __attribute__((aligned(n)))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p) - offsetof(type, member)))

/* Fetches a line that is about to be changed, while something else is done. A hint: nothing faults. */
#if defined(__x86_64__)
#define PREFETCH_OWNED(p) __asm__ __volatile__("prefetchw %0" : : "m"(*(const char *)(p)))
#else
#define PREFETCH_OWNED(p) __builtin_prefetch(p, 1)
#endif

#define weir_assert(x) assert(x)

#endif
