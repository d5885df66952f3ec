/* SPDX-License-Identifier: MIT
 *
 * cholesky_tiles.c - the tiles of a matrix and what is done to them: cholesky_tiles.h.
 */
#include "cholesky_tiles.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define DEPTH 4 /* columns that one pass over a target column subtracts: fewer loads and stores of the target */

int matrix_create(struct matrix *m, size_t n, size_t side)
{
    size_t tiles = (n + side - 1) / side, numbers;
    *m = (struct matrix){.n = n, .side = side, .tiles = tiles};
    if (__builtin_mul_overflow(tiles * (tiles + 1) / 2, side * side, &numbers) || numbers > SIZE_MAX / sizeof(double))
        return -EOVERFLOW;
    m->tile = malloc(numbers * sizeof *m->tile);
    return m->tile == NULL ? -ENOMEM : 0;
}

void matrix_destroy(struct matrix *m)
{
    free(m->tile);
    m->tile = NULL;
}

size_t matrix_bytes(const struct matrix *m)
{
    return m->tiles * (m->tiles + 1) / 2 * m->side * m->side * sizeof *m->tile;
}

/* Number (row, column), row >= column, of the matrix: mixed from its place (splitmix64). */
static double number(const struct matrix *m, size_t row, size_t column)
{
    if (row == column)
        return row < m->n ? 1 + 2 * sqrt((double)m->n) : 1;
    if (row >= m->n)
        return 0;
    uint64_t z = ((uint64_t)row << 32 | column) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)(int64_t)(z ^ (z >> 31)) * 0x1p-63;
}

static double entry(const struct matrix *m, size_t row, size_t column)
{
    return row >= column ? number(m, row, column) : number(m, column, row);
}

void matrix_fill(struct matrix *m)
{
    for (size_t i = 0; i < m->tiles; i++)
        for (size_t j = 0; j <= i; j++)
            for (size_t c = 0; c < m->side; c++)
                for (size_t r = 0; r < m->side; r++)
                    matrix_tile(m, i, j)[c * m->side + r] = entry(m, i * m->side + r, j * m->side + c);
}

int tile_factor(const struct matrix *m, size_t k)
{
    size_t side = m->side;
    double *a = matrix_tile(m, k, k);
    for (size_t c = 0; c < side; c++) {
        double *column = a + c * side;
        for (size_t t = 0; t < c; t++)
            for (size_t r = c; r < side; r++)
                column[r] -= a[t * side + r] * a[t * side + c];
        if (!(column[c] > 0)) /* also what is no number */
            return -EDOM;
        column[c] = sqrt(column[c]);
        for (size_t r = c + 1; r < side; r++)
            column[r] /= column[c];
        for (size_t r = 0; r < c; r++)
            column[r] = 0;
    }
    return 0;
}

/* Subtracts from rows `from` to side of a column: the first `depth` columns of `a`, times numbers of row c of `b`. */
static void subtract(double *restrict column, const double *a, const double *b, size_t c, size_t from, size_t side,
                     size_t depth)
{
    size_t t = 0;
    for (; t + DEPTH <= depth; t += DEPTH) {
        const double *x = a + t * side, *y = b + t * side + c;
        double y0 = y[0], y1 = y[side], y2 = y[2 * side], y3 = y[3 * side];
        for (size_t r = from; r < side; r++)
            column[r] -= x[r] * y0 + x[side + r] * y1 + x[2 * side + r] * y2 + x[3 * side + r] * y3;
    }
    for (; t < depth; t++)
        for (size_t r = from; r < side; r++)
            column[r] -= a[t * side + r] * b[t * side + c];
}

void tile_solve(const struct matrix *m, size_t i, size_t k)
{
    size_t side = m->side;
    double *a = matrix_tile(m, i, k);
    const double *l = matrix_tile(m, k, k);
    for (size_t c = 0; c < side; c++) {
        double *column = a + c * side;
        subtract(column, a, l, c, 0, side, c);
        for (size_t r = 0; r < side; r++)
            column[r] /= l[c * side + c];
    }
}

void tile_update(const struct matrix *m, size_t i, size_t j, size_t k)
{
    size_t side = m->side;
    for (size_t c = 0; c < side; c++)
        subtract(matrix_tile(m, i, j) + c * side, matrix_tile(m, i, k), matrix_tile(m, j, k), c, i == j ? c : 0, side,
                 side);
}

struct tile_norms tile_verify(const struct matrix *l, size_t i, size_t j, double *scratch)
{
    size_t side = l->side;
    struct tile_norms sum = {0, 0};
    for (size_t c = 0; c < side; c++)
        for (size_t r = 0; r < side; r++)
            scratch[c * side + r] = entry(l, i * side + r, j * side + c);
    for (size_t at = 0; at < side * side; at++)
        sum.matrix += scratch[at] * scratch[at];
    for (size_t k = 0; k <= j; k++)
        for (size_t c = 0; c < side; c++)
            for (size_t t = 0; t < side; t++)
                for (size_t r = 0; r < side; r++)
                    scratch[c * side + r] -= matrix_tile(l, i, k)[t * side + r] * matrix_tile(l, j, k)[t * side + c];
    for (size_t at = 0; at < side * side; at++)
        sum.error += scratch[at] * scratch[at];
    if (i != j) { /* its mirror image above the diagonal */
        sum.matrix *= 2;
        sum.error *= 2;
    }
    return sum;
}
