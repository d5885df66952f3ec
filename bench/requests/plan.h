/* SPDX-License-Identifier: MIT
 *
 * bench/requests/plan.h - which workloads there are, who takes part in them, and what each of them has reached.
 *
 * Threads: main thread only.
 * Invariants: figures are per round; a negative one does not apply to that implementation.
 */
#ifndef BENCH_REQUESTS_PLAN_H
#define BENCH_REQUESTS_PLAN_H

#include "../harness.h"

#define ENTRANTS_MAX 24u
#define SEGMENTS_TEXT 2048u /* bytes */

enum figure {
    RATE, P50, P99, P999, MEMORY, CPU, REJECTED, PAUSE, OVER_FLOOR, GROW, SHRINK, FIGURES
};

/* Name of a figure in JSON lines, and its unit. */
struct figure_kind {
    const char *name, *unit;
};
extern const struct figure_kind figure_kinds[FIGURES];

/* What an implementation is in the article's terms. */
enum role { ROLE_FLOOR, ROLE_NAIVE, ROLE_POOL, ROLE_WEIR };

struct entrant {
    const char *name;    /* --impl */
    const char *program; /* beside weir-bench */
    enum role role;
    bool peer;           /* left out by --no-peers */
    unsigned workers;    /* 0: as many as requests */
    unsigned max_workers;
    unsigned queue;      /* requests that may wait; 0: no limit */
    double v[FIGURES][BENCH_RUNS_MAX];
};

struct workload {
    const char *name, *what;
    uint32_t burn_before, burn_after; /* iterations */
    uint32_t io_us;
    bool block; /* submits wait for room; else they are rejected */
    void (*segments)(const struct workload *w, bool quick, char *text); /* see server.c */
    uint32_t count, quick_count; /* of requests, where `segments` wants it */
    bool cpu_only;
    bool floor;  /* the floor takes part */
    void (*enter)(const struct workload *w, struct entrant *list, unsigned *n);
    uint32_t quick_io_us; /* 0: as io_us */
};

extern const struct workload workloads[];
extern const unsigned n_workloads;

/* Who takes part, with how long a queue. */
void plan_enter(const struct workload *w, struct entrant *list, unsigned *n);
/* The segments of the floor's run: one burst of as much work as keeps the CPUs busy for a while. */
void plan_floor_segments(const struct workload *w, bool quick, char *text);

/* Prints one workload's result: a table, the article's form, or JSON lines. */
void requests_report(const struct workload *w, const struct entrant *list, unsigned n, unsigned runs,
                     const struct bench_options *o);
/* Draws it into DIR/requests-WORKLOAD.svg. */
void requests_plot(const struct workload *w, const struct entrant *list, unsigned n, unsigned runs, const char *dir);

#endif
