/* SPDX-License-Identifier: MIT
 *
 * bench/kernel_loop.h - the bodies of the loops that are measured, for all implementations alike, in C and in C++.
 *
 * Threads: pure functions on ranges that the caller owns.
 */
#ifndef BENCH_KERNEL_LOOP_H
#define BENCH_KERNEL_LOOP_H

#include <stdint.h>

#define SAXPY_FACTOR 0.5f
#define LOOP_LENGTH 16 /* iterations of a loop that has next to nothing to do */

static inline void saxpy(float *y, const float *x, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++)
        y[i] += SAXPY_FACTOR * x[i];
}

/* One empty iteration at a time: the compiler can neither drop nor join them. */
static inline void loop_empty(int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++)
        __asm__ __volatile__("" : : "r"(i));
}

#endif
