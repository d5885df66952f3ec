/* SPDX-License-Identifier: MIT
 *
 * bench/bench_submit.c - from outside the runtime: how long a submitted task takes to start, and what a stream of
 * empty ones costs.
 *
 * Threads: the main thread submits, workers run.
 * Invariants: latency samples are taken with an idle runtime, the submitter spins meanwhile; the stream is submitted
 * one by one and in batches, sleeping while the injector is full.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LATENCY_SAMPLES 1000u
#define LATENCY_SAMPLES_QUICK 200u
#define IDLE_US 1000u
#define PATIENCE_MS 2000u
#define STREAM 1000000u
#define STREAM_QUICK 100000u
#define BATCH 256u

struct noted {
    weir_task task;
    uint64_t started; /* ns; 0: not yet. Atomic */
};

static weir_task *note_start(weir_worker *w, weir_task *self)
{
    (void)w;
    __atomic_store_n(&((struct noted *)self)->started, bench_now(), __ATOMIC_RELEASE);
    return NULL;
}

static weir_task *run_empty(weir_worker *w, weir_task *self)
{
    (void)w;
    (void)self;
    return NULL;
}

static void must(int error, const char *call)
{
    if (error != 0)
        bench_fail("submit: %s: %s", call, weir_strerror(error));
}

static void measure_latency(weir_runtime *rt, double *ns, unsigned samples)
{
    for (unsigned i = 0; i < samples; i++) {
        struct noted task = {.started = 0};
        struct timespec pause = {0, IDLE_US * 1000};
        uint64_t started;
        nanosleep(&pause, NULL);
        weir_task_init(&task.task, note_start);
        uint64_t from = bench_now();
        must(weir_submit(rt, &task.task, WEIR_BLOCK, 0), "weir_submit");
        while ((started = __atomic_load_n(&task.started, __ATOMIC_ACQUIRE)) == 0) {
            bench_relax();
            if (bench_now() - from > PATIENCE_MS * UINT64_C(1000000))
                bench_fail("submit: a task did not start for %u ms", PATIENCE_MS);
        }
        ns[i] = started > from ? (double)(started - from) : 0.0;
    }
}

/* ns per task, from the first submit to the last task's end. */
static double measure_stream(weir_runtime *rt, weir_task *tasks, unsigned n, unsigned batch)
{
    weir_task *list[BATCH];
    weir_scope scope;
    weir_scope_init(NULL, &scope);
    uint64_t from = bench_now();
    for (unsigned i = 0; i < n; i += batch) {
        unsigned k = 0;
        for (; k < batch && i + k < n; k++) {
            list[k] = &tasks[i + k];
            weir_task_init(list[k], run_empty);
            weir_scope_add(&scope, list[k]);
        }
        if (batch == 1)
            must(weir_submit(rt, list[0], WEIR_BLOCK, 0), "weir_submit");
        else
            must(weir_submit_batch(rt, list, k, WEIR_BLOCK, 0, NULL), "weir_submit_batch");
    }
    must(weir_scope_wait(NULL, &scope), "weir_scope_wait");
    return (double)(bench_now() - from) / n;
}

static void run(const struct bench_case *c, const struct bench_options *o)
{
    enum { P50, P99, SINGLE, BATCHED, METRICS };
    double v[METRICS][BENCH_RUNS_MAX];
    static const unsigned one_and_two[] = {1, 2};
    const unsigned *workers = o->n_workers != 0 ? o->workers : one_and_two;
    unsigned counts = o->n_workers != 0 ? o->n_workers : 2;
    unsigned runs = o->runs != 0 ? o->runs : 3;
    unsigned samples = o->quick ? LATENCY_SAMPLES_QUICK : LATENCY_SAMPLES;
    unsigned n = o->quick ? STREAM_QUICK : STREAM;
    double *ns = bench_alloc(samples * sizeof *ns);
    weir_task *tasks = bench_alloc(n * sizeof *tasks);

    if (!o->json)
        printf("submit: %s\n", c->what);
    for (unsigned i = 0; i < counts; i++) {
        weir_runtime *rt = bench_start_weir(workers[i]);
        for (unsigned r = 0; r < runs; r++) {
            measure_latency(rt, ns, samples);
            v[P50][r] = bench_percentile(ns, samples, 0.5) * 1e-3;
            v[P99][r] = bench_percentile(ns, samples, 0.99) * 1e-3;
            v[SINGLE][r] = measure_stream(rt, tasks, n, 1);
            v[BATCHED][r] = measure_stream(rt, tasks, n, BATCH);
        }
        bench_stop_weir(rt);
        bench_report(o, "submit", "weir", workers[i], "submit_to_start_p50", "us", v[P50], runs);
        bench_report(o, "submit", "weir", workers[i], "submit_to_start_p99", "us", v[P99], runs);
        bench_report(o, "submit", "weir", workers[i], "empty_task", "ns", v[SINGLE], runs);
        bench_report(o, "submit", "weir", workers[i], "empty_task_batched", "ns", v[BATCHED], runs);
    }
    free(tasks);
    free(ns);
    if (!o->json)
        putchar('\n');
}

const struct bench_case bench_submit = {
    .name = "submit",
    .what = "from outside: submit to start with idle workers, and a stream of empty tasks",
    .custom = run,
};
