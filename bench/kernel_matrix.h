/* SPDX-License-Identifier: MIT
 *
 * bench/kernel_matrix.h - the serial parts of two recursive matrix products, for all implementations alike.
 *
 * Threads: pure functions on blocks that the caller owns.
 * Invariants: matrices are square, their size a power of two; entries are small integers, so that every order of
 * summation gives the same, exact result.
 * Source: Strassen, "Gaussian elimination is not optimal" (Numerische Mathematik 1969).
 */
#ifndef BENCH_KERNEL_MATRIX_H
#define BENCH_KERNEL_MATRIX_H

#include <stddef.h>
#include <stdlib.h>

#define MATMUL_LEAF 32u   /* rows: blocks of this size are multiplied by loops */
#define STRASSEN_LEAF 64u

/* A block: its corner, and the distance between rows. */
struct matrix_block {
    double *at;
    size_t pitch;
};

/* c += a b (matmul) or c = a b (strassen), all of size n. */
struct matrix_product {
    struct matrix_block c, a, b;
    size_t n;
};

/* Quarter number 0 to 3, in reading order, of a block of size n. */
static inline struct matrix_block matrix_quarter(struct matrix_block m, size_t n, unsigned which)
{
    struct matrix_block q;
    q.at = m.at + (which / 2) * (n / 2) * m.pitch + (which % 2) * (n / 2);
    q.pitch = m.pitch;
    return q;
}

/* Out of line: the same code for all. */
__attribute__((noinline, unused)) static void matrix_multiply_add(struct matrix_product p)
{
    for (size_t i = 0; i < p.n; i++) {
        double *out = p.c.at + i * p.c.pitch;
        for (size_t k = 0; k < p.n; k++) {
            double x = p.a.at[i * p.a.pitch + k];
            const double *row = p.b.at + k * p.b.pitch;
            for (size_t j = 0; j < p.n; j++)
                out[j] += x * row[j];
        }
    }
}

static inline void matrix_multiply(struct matrix_product p)
{
    for (size_t i = 0; i < p.n; i++)
        for (size_t j = 0; j < p.n; j++)
            p.c.at[i * p.c.pitch + j] = 0.0;
    matrix_multiply_add(p);
}

/* The four products of step 0 or 1 of a recursive product: each adds to a quarter of c of its own. */
static inline void matmul_split(struct matrix_product p, unsigned step, struct matrix_product part[4])
{
    for (unsigned i = 0; i < 4; i++) {
        part[i].c = matrix_quarter(p.c, p.n, i);
        part[i].a = matrix_quarter(p.a, p.n, (i & 2u) + step);
        part[i].b = matrix_quarter(p.b, p.n, 2 * step + (i & 1u));
        part[i].n = p.n / 2;
    }
}

/* out = x + sign * y, with `out` dense. */
static inline struct matrix_block strassen_sum(double *out, struct matrix_block x, double sign, struct matrix_block y,
                                               size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            out[i * n + j] = x.at[i * x.pitch + j] + sign * y.at[i * y.pitch + j];
    struct matrix_block sum;
    sum.at = out;
    sum.pitch = n;
    return sum;
}

#define STRASSEN_PRODUCTS 7u
#define STRASSEN_SUMS 10u

/* The seven products of a step, in memory that strassen_combine frees; NULL when there is none. */
static inline double *strassen_split(struct matrix_product p, struct matrix_product part[STRASSEN_PRODUCTS])
{
    size_t h = p.n / 2, area = h * h;
    double *room = (double *)malloc((STRASSEN_PRODUCTS + STRASSEN_SUMS) * area * sizeof *room);
    if (room == NULL)
        return NULL;
    struct matrix_block a[4], b[4];
    for (unsigned i = 0; i < 4; i++) {
        a[i] = matrix_quarter(p.a, p.n, i);
        b[i] = matrix_quarter(p.b, p.n, i);
    }
    double *sums = room + STRASSEN_PRODUCTS * area;
    for (unsigned i = 0; i < STRASSEN_PRODUCTS; i++) {
        part[i].c.at = room + i * area;
        part[i].c.pitch = h;
        part[i].n = h;
    }
    part[0].a = strassen_sum(sums, a[0], 1, a[3], h);
    part[0].b = strassen_sum(sums + area, b[0], 1, b[3], h);
    part[1].a = strassen_sum(sums + 2 * area, a[2], 1, a[3], h);
    part[1].b = b[0];
    part[2].a = a[0];
    part[2].b = strassen_sum(sums + 3 * area, b[1], -1, b[3], h);
    part[3].a = a[3];
    part[3].b = strassen_sum(sums + 4 * area, b[2], -1, b[0], h);
    part[4].a = strassen_sum(sums + 5 * area, a[0], 1, a[1], h);
    part[4].b = b[3];
    part[5].a = strassen_sum(sums + 6 * area, a[2], -1, a[0], h);
    part[5].b = strassen_sum(sums + 7 * area, b[0], 1, b[1], h);
    part[6].a = strassen_sum(sums + 8 * area, a[1], -1, a[3], h);
    part[6].b = strassen_sum(sums + 9 * area, b[2], 1, b[3], h);
    return room;
}

/* Puts the result together and frees the room. */
static inline void strassen_combine(struct matrix_product p, double *room)
{
    size_t h = p.n / 2, area = h * h;
    const double *m = room;
    struct matrix_block c[4];
    for (unsigned i = 0; i < 4; i++)
        c[i] = matrix_quarter(p.c, p.n, i);
    for (size_t i = 0; i < h; i++) {
        for (size_t j = 0; j < h; j++) {
            size_t k = i * h + j, at = i * p.c.pitch + j;
            double m1 = m[k], m2 = m[area + k], m3 = m[2 * area + k], m4 = m[3 * area + k], m5 = m[4 * area + k],
                   m6 = m[5 * area + k], m7 = m[6 * area + k];
            c[0].at[at] = m1 + m4 - m5 + m7;
            c[1].at[at] = m3 + m5;
            c[2].at[at] = m2 + m4;
            c[3].at[at] = m1 - m2 + m3 + m6;
        }
    }
    free(room);
}

#endif
