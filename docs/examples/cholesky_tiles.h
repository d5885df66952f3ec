/* SPDX-License-Identifier: MIT
 *
 * cholesky_tiles.h - a symmetric matrix in square tiles, and the kernels of its Cholesky factorisation A = L * L^T.
 *
 * Threads: a kernel may run beside others that do not touch the tile that it writes; which order is right is the
 * caller's business.
 * Invariants: the lower half is stored, tile by tile, a tile column by column. A matrix whose order is no multiple of
 * the tile's side is filled up with ones on the diagonal, which changes nothing in the rest.
 */
#ifndef CHOLESKY_TILES_H
#define CHOLESKY_TILES_H

#include <stddef.h>
#include <stdint.h>

struct matrix {
    size_t n;      /* rows that count */
    size_t side;   /* rows of a tile */
    size_t tiles;  /* tiles down one side */
    double *tile;  /* side * side numbers each; those of a row of tiles stand next to each other */
};

/* -ENOMEM, -EOVERFLOW. */
int matrix_create(struct matrix *m, size_t n, size_t side);
void matrix_destroy(struct matrix *m);
/* A positive definite matrix: numbers from -1 to 1, on the diagonal 1 + 2 * sqrt(n). */
void matrix_fill(struct matrix *m);
size_t matrix_bytes(const struct matrix *m);

/* Tile (i, j), j <= i. */
static inline double *matrix_tile(const struct matrix *m, size_t i, size_t j)
{
    return m->tile + (i * (i + 1) / 2 + j) * m->side * m->side;
}

/* Tile (k, k) becomes its own factor; zeros above the diagonal. -EDOM: not positive definite. */
int tile_factor(const struct matrix *m, size_t k);
/* A[i][k] = A[i][k] * L[k][k]^-T */
void tile_solve(const struct matrix *m, size_t i, size_t k);
/* A[i][j] -= A[i][k] * A[j][k]^T. Of a tile on the diagonal only the lower half is touched. */
void tile_update(const struct matrix *m, size_t i, size_t j, size_t k);

/* What tile (i, j), j <= i, adds to the squares of the norms: of A, as matrix_fill made it, and of A - L * L^T. */
struct tile_norms {
    double matrix;
    double error;
};
/* scratch: a tile. It shares no code with the kernels. */
struct tile_norms tile_verify(const struct matrix *l, size_t i, size_t j, double *scratch);

#endif
