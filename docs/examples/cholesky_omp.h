/* SPDX-License-Identifier: MIT
 *
 * cholesky_omp.h - the same factorisation in OpenMP tasks, where the compiler has OpenMP (WITH_OPENMP).
 */
#ifndef CHOLESKY_OMP_H
#define CHOLESKY_OMP_H

#include "cholesky_tiles.h"

#include <errno.h>

#ifdef WITH_OPENMP
/* Factors on `threads` threads. 0; -EDOM: not positive definite. */
int cholesky_omp(const struct matrix *m, unsigned threads);
/* Makes the team ready, and gives it back, so that its threads do not spin while others are measured. */
void cholesky_omp_wake(unsigned threads);
void cholesky_omp_rest(void);
#else
static inline int cholesky_omp(const struct matrix *m, unsigned threads)
{
    (void)m;
    (void)threads;
    return -ENOSYS;
}
static inline void cholesky_omp_wake(unsigned threads)
{
    (void)threads;
}
static inline void cholesky_omp_rest(void)
{
}
#endif

#endif
