/* SPDX-License-Identifier: MIT
 *
 * bench/bench_capacity.c - throughput and waiting time against the queue's capacity, with a producer that is faster
 * than the workers: how long the default queue should be.
 *
 * Threads: the main thread submits and sleeps while the queue is full; workers run.
 * Invariants: in a round every capacity runs once beside the reference, so that a phase of the machine hits all alike.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

#define REFERENCE 1024u /* entries */
#define REQUESTS 40000u
#define REQUESTS_QUICK 5000u
#define BURN_US 5u      /* the article's request */

static const unsigned capacities[] = {1, 4, 16, 64, 128, 256, 512, 1024, 4096, 16384};
#define CAPACITIES (sizeof capacities / sizeof *capacities)

struct request {
    weir_task task;
    uint64_t submitted, started; /* ns */
    uint64_t burn_ns;
};

static weir_task *serve(weir_worker *w, weir_task *self)
{
    struct request *r = (struct request *)(void *)self;
    (void)w;
    r->started = bench_now();
    while (r->burn_ns != 0 && bench_now() - r->started < r->burn_ns)
        bench_relax();
    return NULL;
}

static weir_runtime *start(unsigned workers, unsigned capacity)
{
    weir_runtime *rt;
    weir_config config;
    int error = weir_config_init(&config);
    config.workers = workers;
    config.queue_capacity = capacity;
    if (error == 0)
        error = weir_start(&rt, &config);
    if (error != 0)
        bench_fail("capacity: %s", weir_strerror(error));
    return rt;
}

/* Requests a second, and in *p99 how long a request waited from its submit to its start, in us. */
static double measure(unsigned workers, unsigned capacity, struct request *requests, unsigned n, uint64_t burn_ns,
                      double *ns, double *p99)
{
    weir_scope scope;
    weir_runtime *rt = start(workers, capacity);
    weir_scope_init(NULL, &scope);
    uint64_t from = bench_now();
    for (unsigned i = 0; i < n; i++) {
        struct request *r = &requests[i];
        weir_task_init(&r->task, serve);
        weir_scope_add(&scope, &r->task);
        r->burn_ns = burn_ns;
        r->submitted = bench_now();
        if (weir_submit(rt, &r->task, WEIR_BLOCK, 0) != 0)
            bench_fail("capacity: a request was refused");
    }
    if (weir_scope_wait(NULL, &scope) != 0)
        bench_fail("capacity: a request was lost");
    double seconds = (double)(bench_now() - from) * 1e-9;
    bench_stop_weir(rt);
    for (unsigned i = 0; i < n; i++)
        ns[i] = (double)(requests[i].started - requests[i].submitted);
    *p99 = bench_percentile(ns, n, 0.99) * 1e-3;
    return n / seconds;
}

static void run_load(const struct bench_options *o, unsigned workers, const char *load, uint64_t burn_ns)
{
    enum { RATE, OVER, P99, METRICS };
    static double v[CAPACITIES][METRICS][BENCH_RUNS_MAX];
    unsigned runs = o->runs != 0 ? o->runs : 5;
    unsigned n = o->quick ? REQUESTS_QUICK : REQUESTS;
    struct request *requests = bench_alloc(n * sizeof *requests);
    double *ns = bench_alloc(n * sizeof *ns);
    double unused;
    for (unsigned r = 0; r < runs; r++) {
        for (size_t c = 0; c < CAPACITIES; c++) {
            double reference = measure(workers, REFERENCE, requests, n, burn_ns, ns, &unused);
            v[c][RATE][r] = measure(workers, capacities[c], requests, n, burn_ns, ns, &v[c][P99][r]);
            v[c][OVER][r] = v[c][RATE][r] / reference;
        }
    }
    for (size_t c = 0; c < CAPACITIES; c++) {
        char impl[32];
        snprintf(impl, sizeof impl, "%s-%u", load, capacities[c]);
        bench_report(o, "capacity", impl, workers, "throughput", "1/s", v[c][RATE], runs);
        bench_report(o, "capacity", impl, workers, "over_reference", "x", v[c][OVER], runs);
        bench_report(o, "capacity", impl, workers, "wait_p99", "us", v[c][P99], runs);
    }
    free(ns);
    free(requests);
}

static void run(const struct bench_case *c, const struct bench_options *o)
{
    static const unsigned two[] = {2};
    const unsigned *workers = o->n_workers != 0 ? o->workers : two;
    unsigned counts = o->n_workers != 0 ? o->n_workers : 1;
    if (!o->json)
        printf("capacity: %s\n", c->what);
    for (unsigned i = 0; i < counts; i++) {
        run_load(o, workers[i], "empty", 0);
        run_load(o, workers[i], "5us", BURN_US * UINT64_C(1000));
    }
}

const struct bench_case bench_capacity = {
    .name = "capacity",
    .what = "a flood of requests: throughput and p99 of waiting, by the queue's capacity (reference: 1024)",
    .custom = run,
};
