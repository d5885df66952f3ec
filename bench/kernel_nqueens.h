/* SPDX-License-Identifier: MIT
 *
 * bench/kernel_nqueens.h - boards of the n queens problem, for all implementations alike.
 *
 * Threads: pure functions.
 * Invariants: as in the program of the Cilk distribution, a branch is checked before it becomes a task, every pair of
 * queens anew: that check is the work of this benchmark.
 */
#ifndef BENCH_KERNEL_NQUEENS_H
#define BENCH_KERNEL_NQUEENS_H

#include <stdbool.h>
#include <stdint.h>

#define NQUEENS_MAX 16

/* The columns of the queens, row by row. */
struct nqueens_board {
    int8_t column[NQUEENS_MAX];
};

/* Whether no two of the queens in the first `rows` rows attack each other. */
static inline bool nqueens_peaceful(const struct nqueens_board *b, int rows)
{
    for (int upper = 0; upper < rows; upper++) {
        for (int lower = upper + 1; lower < rows; lower++) {
            int aside = b->column[lower] - b->column[upper];
            if (aside == 0 || aside == lower - upper || aside == upper - lower)
                return false;
        }
    }
    return true;
}

/* Makes `next` the board with one more queen. Whether it is worth looking at. Out of line: the same code for all. */
__attribute__((noinline, unused)) static bool nqueens_place(const struct nqueens_board *b, int row, int column,
                                                            struct nqueens_board *next)
{
    for (int i = 0; i < row; i++)
        next->column[i] = b->column[i];
    next->column[row] = (int8_t)column;
    return nqueens_peaceful(next, row + 1);
}

#endif
