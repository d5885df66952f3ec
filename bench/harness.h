/* SPDX-License-Identifier: MIT
 *
 * bench/harness.h - runs benchmarks in turns, checks their answers and reports medians, ratios and memory.
 *
 * Threads: main thread only, except bench_fail and the clocks, which any thread may use.
 * Invariants: implementations take turns within one process, so that a phase of the machine hits all of them alike;
 * ratios are taken between neighbours in time and only then reduced to a median; a wrong answer ends the program.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weir/weir.h>

#include "peers/peer.h"

#define BENCH_RUNS_MAX 100u
#define BENCH_WORKERS_MAX 16u /* worker counts in one call of the program */

struct bench_options {
    unsigned workers[BENCH_WORKERS_MAX];
    unsigned n_workers; /* 0: the benchmark's own choice */
    unsigned runs;      /* 0: the benchmark's own choice */
    bool json;
    bool quick;        /* small sizes */
    bool peers;        /* peers take part when `impls` does not say */
    bool memory;       /* measure peak memory too */
    const char *impls; /* comma list of implementations, or NULL */
    const char *workloads; /* `requests`, `http`: comma list, or NULL: all */
    const char *launcher;  /* `requests`: the command that starts each implementation, or NULL */
    unsigned seconds;      /* `http`: of each run; 0: the benchmark's own choice */
    const char *plots;     /* `requests`: folder for a plot per workload, or NULL: none */
};

/* A problem size with the answer it must give. */
struct bench_size {
    int64_t n;
    double expect; /* the answer, exact up to `tolerance` of its case */
    double ops;    /* tasks, nodes or iterations in it: times are also given per op */
};

/* A weir run: enters with weir_call on a worker. */
struct bench_call {
    const struct bench_input *in;
    double answer;
    int error; /* a weir call's negative errno: fails the benchmark */
};
typedef void bench_weir_fn(weir_worker *w, void *call);

/* One benchmark. A timed one has `serial` or `weir`; another one has `custom` and does all by itself. */
struct bench_case {
    const char *name;
    const char *what;         /* for the heading of its table */
    const char *op;           /* what `ops` counts, singular */
    struct bench_size full;   /* for the serial twin and weir */
    struct bench_size small;  /* for --quick */
    bool peers_small;         /* peers run `small` in any case: `full` would take them minutes */
    double tolerance;         /* relative; 0: exact */
    peer_run_fn *serial;      /* the plain serial twin, or NULL */
    bench_weir_fn *weir;
    void (*setup)(struct bench_input *in, const struct bench_size *size); /* untimed, before each run; or NULL */
    void (*setup_weir)(struct bench_input *in);                           /* the same, weir only; or NULL */
    double (*check)(struct bench_input *in, double answer);               /* untimed: the answer to compare; or NULL */
    void (*teardown)(struct bench_input *in);                             /* after the last run; or NULL */
    void (*custom)(const struct bench_case *c, const struct bench_options *o);
};

/* Runs one benchmark with everything that takes part in it, and reports. */
void bench_run_case(const struct bench_case *c, const struct bench_options *o);

/* Reports the figures of one metric, one sample per run, as a JSON line or as a row of a plain table. */
void bench_report(const struct bench_options *o, const char *bench, const char *impl, unsigned workers,
                  const char *metric, const char *unit, const double *samples, unsigned n);

/* Whether an implementation takes part. */
bool bench_takes_part(const struct bench_options *o, const char *impl, bool by_default);

/* Says what went wrong and ends the program with status 1. */
_Noreturn void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A runtime with default settings but `workers` workers; ends the program when it can't be had. */
weir_runtime *bench_start_weir(unsigned workers);
void bench_stop_weir(weir_runtime *rt);

/* calloc-like, touched (so that no run pays for page faults), ends the program when memory is short. */
void *bench_alloc(size_t bytes);

uint64_t bench_now(void);                               /* ns, monotonic */
double bench_cpu_seconds(void);                         /* CPU time that this process has used */
double bench_median(const double *samples, unsigned n); /* samples stay as they are */
double bench_percentile(double *samples, size_t n, double p); /* sorts samples; p in [0, 1] */

/* Loads the peers that were built. Returns their number; *peers stays valid. */
unsigned bench_load_peers(const struct peer *const **peers);

/* Cheap pseudo-random numbers (splitmix64) for inputs. */
static inline uint64_t bench_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Keeps the processor from starving its hyper-thread neighbour while a thread spins. */
#if defined(__x86_64__) || defined(__i386__)
static inline void bench_relax(void)
{
    __builtin_ia32_pause();
}
#elif defined(__aarch64__)
static inline void bench_relax(void)
{
    __asm__ __volatile__("yield");
}
#else
static inline void bench_relax(void)
{
}
#endif

/* The benchmarks; the table in main.c gives their order. */
extern const struct bench_case bench_fib, bench_nqueens, bench_uts_t1, bench_uts_t3, bench_sort, bench_matmul,
    bench_strassen, bench_integrate, bench_skynet, bench_flat, bench_flat_then, bench_loop, bench_idle, bench_wake,
    bench_pingpong, bench_timers, bench_echo_pipe, bench_echo,
    bench_submit, bench_capacity, bench_requests, bench_http,
    bench_graph_chain, bench_graph_chain_rerun, bench_graph_fan, bench_graph_fan_rerun,
    bench_graph_wavefront, bench_graph_wavefront_rerun, bench_graph_tree, bench_graph_tree_rerun, bench_flow_chain,
    bench_flow_tree, bench_flow_live, bench_flow_work, bench_floors,
    bench_saxpy, bench_saxpy_other, bench_each, bench_loopcall,
    bench_sort_stable, bench_sort_in_place, bench_sort_compare;

/* Random keys to sort, shared by the sorts. */
void bench_sort_setup(struct bench_input *in, const struct bench_size *size);
double bench_sort_check(struct bench_input *in, double answer);
void bench_sort_teardown(struct bench_input *in);

#endif
