/* SPDX-License-Identifier: MIT
 *
 * fib.h - fork/join work with a known answer, for the tests of the public interface.
 *
 * Threads: the worker that it is called on.
 */
#ifndef WEIR_TESTS_FIB_H
#define WEIR_TESTS_FIB_H

#include <weir/weir.h>

static long fib(weir_worker *w, int n);
WEIR_FORKABLE(fib, long, int);

static long fib(weir_worker *w, int n)
{
    if (n < 2)
        return n;
    struct fib_task a;
    fib_fork(w, &a, n - 1);
    long b = fib(w, n - 2);
    return fib_join(w, &a) + b;
}

#endif
