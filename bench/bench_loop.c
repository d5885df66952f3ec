/* SPDX-License-Identifier: MIT
 *
 * bench/bench_loop.c - a loop with a grain of one: halves are forked down to single iterations.
 *
 * Threads: see harness.h.
 * Invariants: the body counts its iteration in a byte of its own, so that a lost or repeated one shows.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

static inline void body(uint8_t *flags, long i)
{
    flags[i]++;
    __asm__ __volatile__("" : : "r"(i)); /* one iteration at a time: no vectors in the serial twin */
}

static int halves_weir(weir_worker *w, uint8_t *flags, long from, long to);
WEIR_FORKABLE(halves_weir, int, uint8_t *, long, long);

static int halves_weir(weir_worker *w, uint8_t *flags, long from, long to)
{
    if (to - from == 1) {
        body(flags, from);
        return 0;
    }
    long middle = from + (to - from) / 2;
    struct halves_weir_task left;
    halves_weir_fork(w, &left, flags, from, middle);
    halves_weir(w, flags, middle, to);
    return halves_weir_join(w, &left);
}

static double run_serial(void *state, const struct bench_input *in)
{
    (void)state;
    for (long i = 0; i < in->n; i++)
        body(in->flags, i);
    return 1.0;
}

static void run_weir(weir_worker *w, void *arg)
{
    struct bench_call *call = arg;
    halves_weir(w, call->in->flags, 0, call->in->n);
    call->answer = 1.0;
}

static void setup(struct bench_input *in, const struct bench_size *size)
{
    if (in->flags == NULL)
        in->flags = bench_alloc((size_t)bench_loop.full.n);
    memset(in->flags, 0, (size_t)size->n);
}

static double check(struct bench_input *in, double answer)
{
    for (int64_t i = 0; i < in->n; i++)
        if (in->flags[i] != 1)
            return 0.0;
    return answer;
}

static void teardown(struct bench_input *in)
{
    free(in->flags);
}

const struct bench_case bench_loop = {
    .name = "grain1",
    .what = "a loop of 10,000,000 iterations, a task for each",
    .op = "iteration",
    .full = {10000000, 1.0, 1e7},
    .small = {1000000, 1.0, 1e6},
    .peers_small = true,
    .serial = run_serial,
    .weir = run_weir,
    .setup = setup,
    .check = check,
    .teardown = teardown,
};
