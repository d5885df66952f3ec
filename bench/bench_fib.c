/* SPDX-License-Identifier: MIT
 *
 * bench/bench_fib.c - fib(n) with a fork at every call and no cutoff: the price of a fork+join pair.
 *
 * Threads: see harness.h.
 * Invariants: the serial twin is the same recursion as a plain function that the compiler may inline into itself.
 */
#include "harness.h"

static long fib_serial(int n)
{
    if (n < 2)
        return n;
    return fib_serial(n - 1) + fib_serial(n - 2);
}

long fork_fib(weir_worker *w, int n); /* fork_fib.c: a file of its own, for it reserves a register */

static double run_serial(void *state, const struct bench_input *in)
{
    (void)state;
    return (double)fib_serial((int)in->n);
}

static void run_weir(weir_worker *w, void *arg)
{
    struct bench_call *call = arg;
    call->answer = (double)fork_fib(w, (int)call->in->n);
}

/* A call with n >= 2 forks once: fib(n + 1) - 1 pairs. */
const struct bench_case bench_fib = {
    .name = "fib",
    .what = "fib(40) without cutoff",
    .op = "fork+join pair",
    .full = {40, 102334155, 165580140},
    .small = {30, 832040, 1346268},
    .peers_small = true,
    .serial = run_serial,
    .weir = run_weir,
};
