/* SPDX-License-Identifier: MIT
 *
 * bench/fork_fib.c - the weir side of fib: compiled with a register for the fork path.
 *
 * Threads: workers. Invariants: as in bench_fib.c; `inline`: the compiler inlines it into itself, like its serial twin.
 */
#define WEIR_FORK_REGISTER
#include <weir/weir.h>

long fork_fib(weir_worker *w, int n);

static inline long fib(weir_worker *w, int n);
WEIR_FORKABLE(fib, long, int);

static inline long fib(weir_worker *w, int n)
{
    if (n < 2)
        return n;
    struct fib_task left;
    fib_fork(w, &left, n - 1);
    long right = fib(w, n - 2);
    return fib_join(w, &left) + right;
}

long fork_fib(weir_worker *w, int n)
{
    return fib(w, n);
}
