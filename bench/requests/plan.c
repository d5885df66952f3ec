/* SPDX-License-Identifier: MIT
 *
 * bench/requests/plan.c - the workloads, and who takes part in each with how many workers.
 *
 * Threads: main thread only.
 * Invariants: a pool's queue holds as many requests per worker, whoever's pool it is: 64 where the submitter sleeps
 * while it is full (docs/queue-capacity.md), the article's 10 where requests are rejected. What needs a CPU and nothing
 * else is served by few workers, what waits by 24, or by 24 to 48: the article's numbers.
 */
#include "plan.h"

#include <stdio.h>
#include <string.h>

#define QUEUE_PER_WORKER 10u
#define QUEUE_PER_WORKER_BLOCK 64u
#define POOL 24u         /* workers of a pool whose requests wait */
#define POOL_DOUBLED 48u
#define POOL_LARGE 256u
#define IN_FLIGHT 4096u       /* suspended requests at once */
#define IN_FLIGHT_SMALL 512u  /* 6 KiB each in 6 MB, with room; at 300,000/s and 1 ms each 320 wait at a time */
#define BURN_BEFORE 600u /* iterations, 1.65 ns each on the machine of the first measurements: 1 us */
#define BURN_AFTER 2400u /* 4 us */
#define BURN_LONG 29700u /* 49 us */
#define OVER_CPU_RATE 40000u /* requests/s of 50 us per CPU: twice what it can do */

const struct figure_kind figure_kinds[FIGURES] = {
    [RATE] = {"requests", "1/s"},      [P50] = {"p50", "ms"},
    [P99] = {"p99", "ms"},             [P999] = {"p999", "ms"},
    [MEMORY] = {"rss_growth", "MB"},   [CPU] = {"cpu_per_million", "s"},
    [REJECTED] = {"rejected", "%"},    [PAUSE] = {"reclamation_pause", "ms"},
    [OVER_FLOOR] = {"over_floor", "ratio"}, [GROW] = {"grow", "ms"},
    [SHRINK] = {"shrink", "ms"},
};

/* --- arrivals -------------------------------------------------------------------------------------------------- */

static void two_bursts(const struct workload *w, bool quick, char *text)
{
    unsigned n = quick ? w->quick_count : w->count;
    snprintf(text, SEGMENTS_TEXT, "%u:0:100000,%u:0:0", n, n);
}

static void one_burst(const struct workload *w, bool quick, char *text)
{
    snprintf(text, SEGMENTS_TEXT, "%u:0:0", quick ? w->quick_count : w->count);
}

/* 16,000/s: every 100 ms 400 at once, the others evenly. */
static void steady(const struct workload *w, bool quick, char *text)
{
    size_t used = 0;
    (void)w;
    for (unsigned i = 0; i < (quick ? 5u : 20u); i++)
        used += (size_t)snprintf(text + used, SEGMENTS_TEXT - used, "%s400:0:-1,1200:100000:-1", i > 0 ? "," : "");
}

static void even(const struct workload *w, bool quick, char *text)
{
    unsigned part = quick ? 4 : 1;
    snprintf(text, SEGMENTS_TEXT, "%u:%u:-1", w->count / part, 1000000 / part);
}

static void even_per_cpu(const struct workload *w, bool quick, char *text)
{
    unsigned part = quick ? 4 : 1;
    (void)w;
    snprintf(text, SEGMENTS_TEXT, "%u:%u:-1", OVER_CPU_RATE * weir_usable_cpus() / part, 1000000 / part);
}

static void up_and_down(const struct workload *w, bool quick, char *text)
{
    unsigned part = quick ? 4 : 1;
    (void)w;
    snprintf(text, SEGMENTS_TEXT, "%u:%u:-1,%u:%u:-1,%u:%u:-1", 6000 / part, 750000 / part, 32000 / part,
             1000000 / part, 6000 / part, 750000 / part);
}

void plan_floor_segments(const struct workload *w, bool quick, char *text)
{
    const unsigned long long us = quick ? 100000 : 250000; /* of CPU time per CPU, about */
    unsigned each_ns = (w->burn_before + w->burn_after) * 165 / 100;
    snprintf(text, SEGMENTS_TEXT, "%llu:0:0", us * 1000 / each_ns * weir_usable_cpus());
}

/* --- who takes part -------------------------------------------------------------------------------------------- */

static void add(struct entrant *list, unsigned *n, const char *name, const char *program, enum role role,
                unsigned workers, unsigned max_workers)
{
    if (*n == ENTRANTS_MAX)
        bench_fail("more than %u implementations", ENTRANTS_MAX);
    struct entrant *e = &list[(*n)++];
    memset(e, 0, sizeof *e);
    *e = (struct entrant){.name = name, .program = program, .role = role, .peer = role != ROLE_WEIR &&
                          role != ROLE_FLOOR, .workers = workers, .max_workers = max_workers};
}

static void add_naive(struct entrant *list, unsigned *n)
{
    add(list, n, "thread", "requests-c", ROLE_NAIVE, 0, 0);
    add(list, n, "goroutine", "requests-go", ROLE_NAIVE, 0, 0);
}

/* The three pools with blocking handlers, of `workers` to `max_workers`. */
static void add_pools(struct entrant *list, unsigned *n, unsigned workers, unsigned max_workers)
{
    add(list, n, "pool", "requests-c", ROLE_POOL, workers, max_workers);
    add(list, n, "go-pool", "requests-go", ROLE_POOL, workers, max_workers);
    add(list, n, workers < max_workers ? "weir-elastic" : "weir", "requests-c", ROLE_WEIR, workers, max_workers);
}

/* As many workers as CPUs; a request that waits holds none. */
static void add_suspended(struct entrant *list, unsigned *n, unsigned in_flight)
{
    unsigned cpus = weir_usable_cpus();
    add(list, n, "weir-suspend", "requests-c", ROLE_WEIR, cpus, cpus);
    list[*n - 1].queue = in_flight;
}

static void enter_cpu(const struct workload *w, struct entrant *list, unsigned *n)
{
    unsigned cpus = weir_usable_cpus();
    (void)w;
    add(list, n, "floor", "requests-c", ROLE_FLOOR, cpus, cpus);
    add_naive(list, n);
    add_pools(list, n, 2 * cpus, 2 * cpus);
    add(list, n, "weir", "requests-c", ROLE_WEIR, cpus, cpus);
}

static void add_waiting(struct entrant *list, unsigned *n)
{
    add_naive(list, n);
    add_pools(list, n, POOL, POOL);
    add(list, n, "weir-elastic", "requests-c", ROLE_WEIR, POOL, POOL_DOUBLED);
    add(list, n, "weir-block", "requests-c", ROLE_WEIR, POOL, POOL);
}

static void enter_io(const struct workload *w, struct entrant *list, unsigned *n)
{
    (void)w;
    add_waiting(list, n);
    add_suspended(list, n, IN_FLIGHT);
}

static void enter_burst_io(const struct workload *w, struct entrant *list, unsigned *n)
{
    unsigned cpus = weir_usable_cpus();
    add(list, n, "floor", "requests-c", ROLE_FLOOR, cpus, cpus);
    (void)w;
    add_waiting(list, n);
    /* What follows can't be faster, but for Go. */
    add(list, n, "floor-io", "requests-c", ROLE_POOL, POOL_LARGE, POOL_LARGE);
    add_pools(list, n, POOL_LARGE, POOL_LARGE);
    add_suspended(list, n, IN_FLIGHT_SMALL);
}

/* Nobody whose requests hold a worker while they wait has that many at once. */
static void enter_concurrent(const struct workload *w, struct entrant *list, unsigned *n)
{
    add_naive(list, n);
    add_suspended(list, n, w->count);
}

static void enter_scale(const struct workload *w, struct entrant *list, unsigned *n)
{
    (void)w;
    add_naive(list, n);
    add_pools(list, n, POOL, POOL);
    add_pools(list, n, POOL_DOUBLED, POOL_DOUBLED);
    add_pools(list, n, POOL, POOL_DOUBLED);
    add(list, n, "weir-block", "requests-c", ROLE_WEIR, POOL, POOL);
    add_suspended(list, n, IN_FLIGHT);
}

void plan_enter(const struct workload *w, struct entrant *list, unsigned *n)
{
    w->enter(w, list, n);
    for (unsigned i = 0; i < *n; i++)
        if (list[i].queue == 0) /* suspended requests have a limit of their own */
            list[i].queue = list[i].max_workers * (w->block ? QUEUE_PER_WORKER_BLOCK : QUEUE_PER_WORKER);
}

const struct workload workloads[] = {
    {.name = "burst50k", .what = "twice 50,000 at once, the second burst 100 ms after the first is served",
     .burn_before = BURN_BEFORE, .burn_after = BURN_AFTER, .block = true, .segments = two_bursts, .count = 50000,
     .quick_count = 10000, .enter = enter_cpu},
    {.name = "burst50k_io", .what = "the same with 1 ms of I/O", .burn_before = BURN_BEFORE, .burn_after = BURN_AFTER,
     .io_us = 1000, .block = true, .segments = two_bursts, .count = 50000, .quick_count = 5000,
     .enter = enter_burst_io},
    {.name = "conc50k_io", .what = "50,000 at once with 500 ms of I/O, all in flight together",
     .burn_before = BURN_BEFORE, .burn_after = BURN_AFTER, .io_us = 500000, .quick_io_us = 100000, .block = true,
     .segments = one_burst, .count = 50000, .quick_count = 5000, .enter = enter_concurrent},
    {.name = "steady16k", .what = "16,000/s for 2 s, 400 of them at once every 100 ms, 1 ms of I/O",
     .burn_before = BURN_BEFORE, .burn_after = BURN_AFTER, .io_us = 1000, .block = true, .segments = steady,
     .enter = enter_io},
    {.name = "over_io", .what = "48,000/s for 1 s with 1 ms of I/O, rejected when the queue is full",
     .burn_before = BURN_BEFORE, .burn_after = BURN_AFTER, .io_us = 1000, .segments = even, .count = 48000,
     .enter = enter_io},
    {.name = "over_cpu", .what = "40,000/s per CPU of 50 us each for 1 s, rejected when the queue is full",
     .burn_before = BURN_BEFORE, .burn_after = BURN_LONG, .segments = even_per_cpu, .enter = enter_cpu},
    {.name = "scale", .what = "8,000/s, after 0.75 s 32,000/s, after 1 s again 8,000/s, 1 ms of I/O",
     .burn_before = BURN_BEFORE, .burn_after = BURN_AFTER, .io_us = 1000, .block = true, .segments = up_and_down,
     .enter = enter_scale},
};
const unsigned n_workloads = sizeof workloads / sizeof *workloads;
