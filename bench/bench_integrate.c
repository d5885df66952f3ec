/* SPDX-License-Identifier: MIT
 *
 * bench/bench_integrate.c - adaptive quadrature: an irregular binary tree of tiny tasks.
 *
 * Threads: see harness.h.
 * Invariants: sums follow the tree, so every schedule gives the serial twin's result.
 */
#include "harness.h"
#include "kernel_integrate.h"

static double part_serial(struct integrate_part p)
{
    struct integrate_part half[2];
    if (!integrate_split(p, half))
        return half[0].area + half[1].area;
    return part_serial(half[0]) + part_serial(half[1]);
}

static double part_weir(weir_worker *w, struct integrate_part p);
WEIR_FORKABLE(part_weir, double, struct integrate_part);

static double part_weir(weir_worker *w, struct integrate_part p)
{
    struct integrate_part half[2];
    if (!integrate_split(p, half))
        return half[0].area + half[1].area;
    struct part_weir_task left;
    part_weir_fork(w, &left, half[0]);
    double right = part_weir(w, half[1]);
    return part_weir_join(w, &left) + right;
}

static double run_serial(void *state, const struct bench_input *in)
{
    (void)state;
    return part_serial(integrate_whole((double)in->n));
}

static void run_weir(weir_worker *w, void *arg)
{
    struct bench_call *call = arg;
    call->answer = part_weir(w, integrate_whole((double)call->in->n));
}

/* The integral from 0 to n is n^4/4 + n^2/2; the tolerance allows for the accepted error of every part. */
const struct bench_case bench_integrate = {
    .name = "integrate",
    .what = "adaptive quadrature of x^3 + x from 0 to 1000",
    .op = "split",
    .full = {1000, 250000500000.0, 15016391},
    .small = {100, 25005000.0, 779923},
    .peers_small = true,
    .tolerance = 1e-9,
    .serial = run_serial,
    .weir = run_weir,
};
