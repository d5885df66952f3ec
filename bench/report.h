/* SPDX-License-Identifier: MIT
 *
 * bench/report.h - what a benchmark's rounds have measured, and its output.
 *
 * Threads: main thread only.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "harness.h"

/* One implementation with a number of workers, and what it reached. */
struct contestant {
    const struct peer *peer;
    peer_run_fn *run; /* NULL: the benchmark's weir function, entered with weir_call */
    peer_run_fn *prepare; /* untimed, before each run; or NULL */
    unsigned workers;
    const struct bench_size *size;
    void *state;
    double memory;                  /* bytes by which the peak of the resident set rose, or -1: not measured */
    double seconds[BENCH_RUNS_MAX]; /* of each round */
    double cpu[BENCH_RUNS_MAX];     /* CPU seconds of this process in each round; unknown for a peer in its own */
};

/* Reports one benchmark: a table, or JSON lines. */
void report_case(const struct bench_case *c, const struct contestant *list, unsigned n, unsigned runs,
                 const struct bench_options *o);

#endif
