/* SPDX-License-Identifier: MIT
 *
 * bench/bench_wake.c - from a fork to its start on another worker: after idleness (`wake`, beside a raw futex wake
 * measured in turns with it) and while both workers are hot (`pingpong`, beside a bare cache line, run by run).
 *
 * Threads: a task on one worker forks and watches; the forked task notes when it began, on the other worker, which is
 * the only one that can run it meanwhile. The raw wake is sent by the same worker to a plain thread.
 * Invariants: a fork that nobody takes within PATIENCE_MS ends the program: the runtime would not be work-conserving.
 */
#include "floors.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PATIENCE_MS 2000u
#define WAKE_SAMPLES 1000u
#define WAKE_SAMPLES_QUICK 200u
#define PINGPONG_SAMPLES 200000u
#define PINGPONG_SAMPLES_QUICK 20000u
#define IDLE_US 300u   /* between parked and the fork: the core of the sleeper is really idle */
#define JITTER_US 200u /* random, so that samples do not run in step with a timer tick */

struct hand_off {
    weir_task task;
    uint64_t started; /* ns; 0: not yet. Atomic */
};

static weir_task *note_start(weir_worker *w, weir_task *self)
{
    (void)w;
    /* Release is not needed: nothing but the time itself is read from it. */
    __atomic_store_n(&((struct hand_off *)self)->started, bench_now(), __ATOMIC_RELAXED);
    return NULL;
}

/* Forks, and returns how long it took, in ns, until another worker ran the task. */
static double hand_over(weir_worker *w)
{
    struct hand_off h = {.task.run = note_start};
    uint64_t from = bench_now(), started;
    weir_fork(w, &h.task);
    for (unsigned spins = 0; (started = __atomic_load_n(&h.started, __ATOMIC_RELAXED)) == 0; spins++) {
        bench_relax();
        if (spins % 65536 == 65535 && bench_now() - from > PATIENCE_MS * UINT64_C(1000000))
            bench_fail("no worker took a forked task for %u ms", PATIENCE_MS);
    }
    weir_join(w, &h.task);
    return started > from ? (double)(started - from) : 0.0;
}

/* --- wake ------------------------------------------------------------------------------------------------------ */

struct measurement {
    unsigned samples;
    double *weir;
    double *raw;
    struct bench_sleeper *sleeper;
};

static void sleep_us(unsigned us)
{
    struct timespec t = {0, (long)us * 1000};
    while (nanosleep(&t, &t) != 0)
        ;
}

/* Sleeps until every other worker sleeps, and then for IDLE_US and a random bit. */
static void await_idle(weir_worker *w, uint64_t *random)
{
    weir_stats s = {.size = sizeof s};
    uint64_t from = bench_now();
    do {
        sleep_us(IDLE_US);
        if (weir_stats_read(weir_worker_runtime(w), &s, NULL, 0) != 0)
            bench_fail("wake: weir_stats_read failed");
        if (bench_now() - from > PATIENCE_MS * UINT64_C(1000000))
            bench_fail("wake: only %u of %u workers fell asleep", s.parked, s.workers - 1);
    } while (s.parked + 1 < s.workers);
    sleep_us(IDLE_US + (unsigned)(bench_random(random) % JITTER_US));
}

static void measure_wake(weir_worker *w, void *arg)
{
    struct measurement *m = arg;
    uint64_t random = 1;
    for (unsigned i = 0; i < m->samples; i++) {
        await_idle(w, &random);
        m->weir[i] = hand_over(w);
        await_idle(w, &random);
        m->raw[i] = bench_sleeper_wake(m->sleeper);
    }
}

static double *samples_of(unsigned n)
{
    double *p = bench_alloc(n * sizeof *p);
    return p;
}

static void run_wake(const struct bench_case *c, const struct bench_options *o)
{
    enum { WEIR_50, WEIR_99, RAW_50, RAW_99, RATIO, METRICS };
    double v[METRICS][BENCH_RUNS_MAX];
    unsigned runs = o->runs != 0 ? o->runs : 3;
    unsigned workers = o->n_workers != 0 ? o->workers[o->n_workers - 1] : 2;
    if (workers < 2)
        workers = 2;
    struct measurement m = {.samples = o->quick ? WAKE_SAMPLES_QUICK : WAKE_SAMPLES};
    m.weir = samples_of(m.samples);
    m.raw = samples_of(m.samples);
    m.sleeper = bench_sleeper_start();
    weir_runtime *rt = bench_start_weir(workers);
    for (unsigned r = 0; r < runs; r++) {
        int error = weir_call(rt, measure_wake, &m);
        if (error != 0)
            bench_fail("wake: %s", weir_strerror(error));
        v[WEIR_50][r] = bench_percentile(m.weir, m.samples, 0.5) * 1e-3;
        v[WEIR_99][r] = bench_percentile(m.weir, m.samples, 0.99) * 1e-3;
        v[RAW_50][r] = bench_percentile(m.raw, m.samples, 0.5) * 1e-3;
        v[RAW_99][r] = bench_percentile(m.raw, m.samples, 0.99) * 1e-3;
        v[RATIO][r] = v[WEIR_50][r] / v[RAW_50][r];
    }
    bench_stop_weir(rt);
    bench_sleeper_stop(m.sleeper);
    free(m.weir);
    free(m.raw);
    if (!o->json)
        printf("wake: %s, %u samples a run\n", c->what, m.samples);
    bench_report(o, "wake", "weir", workers, "fork_to_start_p50", "us", v[WEIR_50], runs);
    bench_report(o, "wake", "weir", workers, "fork_to_start_p99", "us", v[WEIR_99], runs);
    bench_report(o, "wake", "futex", 1, "wake_to_run_p50", "us", v[RAW_50], runs);
    bench_report(o, "wake", "futex", 1, "wake_to_run_p99", "us", v[RAW_99], runs);
    bench_report(o, "wake", "weir", workers, "p50_over_futex", "ratio", v[RATIO], runs);
    if (!o->json)
        putchar('\n');
}

/* --- pingpong -------------------------------------------------------------------------------------------------- */

static void measure_pingpong(weir_worker *w, void *arg)
{
    struct measurement *m = arg;
    for (unsigned i = 0; i < m->samples; i++)
        m->weir[i] = hand_over(w);
}

static void run_pingpong(const struct bench_case *c, const struct bench_options *o)
{
    enum { P50, P99, LINE, RATIO, METRICS };
    double v[METRICS][BENCH_RUNS_MAX];
    unsigned runs = o->runs != 0 ? o->runs : 5;
    unsigned workers = 2;
    struct measurement m = {.samples = o->quick ? PINGPONG_SAMPLES_QUICK : PINGPONG_SAMPLES};
    m.weir = samples_of(m.samples);
    m.raw = samples_of(m.samples);
    weir_runtime *rt = bench_start_weir(workers);
    for (unsigned r = 0; r < runs; r++) {
        int error = weir_call(rt, measure_pingpong, &m);
        if (error != 0)
            bench_fail("pingpong: %s", weir_strerror(error));
        v[P50][r] = bench_percentile(m.weir, m.samples, 0.5) * 1e-3;
        v[P99][r] = bench_percentile(m.weir, m.samples, 0.99) * 1e-3;
        bench_hand_offs(m.raw, m.samples); /* meanwhile the workers fall asleep */
        v[LINE][r] = bench_percentile(m.raw, m.samples, 0.5) * 1e-3;
        v[RATIO][r] = v[P50][r] / v[LINE][r];
    }
    bench_stop_weir(rt);
    free(m.weir);
    free(m.raw);
    if (!o->json)
        printf("pingpong: %s, %u samples a run, one clock reading included\n", c->what, m.samples);
    bench_report(o, "pingpong", "weir", workers, "fork_to_start_p50", "us", v[P50], runs);
    bench_report(o, "pingpong", "weir", workers, "fork_to_start_p99", "us", v[P99], runs);
    bench_report(o, "pingpong", "line", 1, "hand_off_p50", "us", v[LINE], runs);
    bench_report(o, "pingpong", "weir", workers, "p50_over_line", "ratio", v[RATIO], runs);
    if (!o->json)
        putchar('\n');
}

const struct bench_case bench_wake = {
    .name = "wake",
    .what = "first fork after idleness until another worker runs it, in turns with a raw futex wake",
    .custom = run_wake,
};

const struct bench_case bench_pingpong = {
    .name = "pingpong",
    .what = "a hot hand-off: a fork until the other worker runs it",
    .custom = run_pingpong,
};
