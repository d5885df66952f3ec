/* SPDX-License-Identifier: MIT
 *
 * bench/kernel_integrate.h - one step of an adaptive quadrature of x^3 + x, for all implementations alike.
 *
 * Threads: pure functions.
 */
#ifndef BENCH_KERNEL_INTEGRATE_H
#define BENCH_KERNEL_INTEGRATE_H

#include <math.h>
#include <stdbool.h>

#define INTEGRATE_ERROR 1e-9 /* of an interval's area, below which it is not split */

struct integrate_part {
    double x1, y1, x2, y2; /* the ends and the function's values there */
    double area;           /* of the trapezoid between them */
};

static inline double integrate_f(double x)
{
    return (x * x + 1.0) * x;
}

static inline struct integrate_part integrate_whole(double to)
{
    double y = integrate_f(to);
    struct integrate_part whole = {0.0, 0.0, to, y, y * to / 2.0};
    return whole;
}

/* Halves a part. True: the halves' sum is still too far from the whole, they must be refined. */
static inline bool integrate_split(struct integrate_part p, struct integrate_part half[2])
{
    double width = (p.x2 - p.x1) / 2.0, x = p.x1 + width, y = integrate_f(x);
    struct integrate_part left = {p.x1, p.y1, x, y, (p.y1 + y) / 2.0 * width};
    struct integrate_part right = {x, y, p.x2, p.y2, (y + p.y2) / 2.0 * width};
    half[0] = left;
    half[1] = right;
    return fabs(left.area + right.area - p.area) >= INTEGRATE_ERROR;
}

#endif
