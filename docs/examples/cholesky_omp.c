/* SPDX-License-Identifier: MIT
 *
 * cholesky_omp.c - the factorisation as OpenMP tasks with `depend`: what cholesky.c is measured beside.
 *
 * Threads: one thread of the team makes all tasks, the others run them.
 */
#include "cholesky_omp.h"

#include <omp.h>

static void add_tasks(const struct matrix *m, int *error)
{
    for (size_t k = 0; k < m->tiles; k++) {
        double *diagonal = matrix_tile(m, k, k);
        (void)diagonal; /* compilers without OpenMP's pragmas see no use */
#pragma omp task depend(inout : diagonal[0]) firstprivate(k, error)
        if (tile_factor(m, k) < 0) {
#pragma omp atomic write
            *error = -EDOM;
        }
        for (size_t i = k + 1; i < m->tiles; i++) {
            double *below = matrix_tile(m, i, k);
            (void)below;
#pragma omp task depend(in : diagonal[0]) depend(inout : below[0]) firstprivate(i, k)
            tile_solve(m, i, k);
        }
        for (size_t i = k + 1; i < m->tiles; i++)
            for (size_t j = k + 1; j <= i; j++) {
                double *left = matrix_tile(m, i, k), *above = matrix_tile(m, j, k), *target = matrix_tile(m, i, j);
                (void)left;
                (void)above;
                (void)target;
#pragma omp task depend(in : left[0], above[0]) depend(inout : target[0]) firstprivate(i, j, k)
                tile_update(m, i, j, k);
            }
    }
}

void cholesky_omp_wake(unsigned threads)
{
#pragma omp parallel num_threads(threads)
    {
    }
}

void cholesky_omp_rest(void)
{
    omp_pause_resource_all(omp_pause_soft);
}

int cholesky_omp(const struct matrix *m, unsigned threads)
{
    int error = 0;
#pragma omp parallel num_threads(threads) shared(m, error)
#pragma omp single
    add_tasks(m, &error);
    return error;
}
