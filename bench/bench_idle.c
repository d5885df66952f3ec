/* SPDX-License-Identifier: MIT
 *
 * bench/bench_idle.c - CPU time of the whole process over five seconds in which the runtime has nothing to do.
 *
 * Threads: see harness.h.
 * Invariants: the runtime has run something before, and has had SETTLE_MS to calm down.
 */
#include "harness.h"

#include <stdio.h>
#include <time.h>

#define IDLE_S 5        /* seconds of nothing; --quick: one */
#define SETTLE_MS 200u  /* the promise is about an idle runtime, not about one that has just become idle */
#define FORKS 1000

static long leaf_weir(weir_worker *w, long i)
{
    (void)w;
    return i;
}

WEIR_FORKABLE(leaf_weir, long, long);

static void warm_weir(weir_worker *w, void *arg)
{
    long *sum = arg;
    for (long i = 0; i < FORKS; i++) {
        struct leaf_weir_task task;
        leaf_weir_fork(w, &task, i);
        *sum += leaf_weir_join(w, &task);
    }
}

static void sleep_ms(unsigned ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) != 0)
        ;
}

static double idle_cpu_ms(const struct bench_options *o)
{
    sleep_ms(SETTLE_MS);
    double before = bench_cpu_seconds();
    sleep_ms(o->quick ? 1000 : IDLE_S * 1000);
    return (bench_cpu_seconds() - before) * 1e3;
}

static void measure_weir(const struct bench_options *o, unsigned workers, unsigned runs)
{
    double ms[BENCH_RUNS_MAX];
    weir_runtime *rt = bench_start_weir(workers);
    for (unsigned r = 0; r < runs; r++) {
        long sum = 0;
        int error = weir_call(rt, warm_weir, &sum);
        if (error != 0 || sum != (long)FORKS * (FORKS - 1) / 2)
            bench_fail("idle: the warm-up failed: %s", weir_strerror(error));
        ms[r] = idle_cpu_ms(o);
    }
    bench_stop_weir(rt);
    bench_report(o, "idle", "weir", workers, "cpu", "ms", ms, runs);
}

static void measure_peer(const struct bench_options *o, const struct peer *peer, unsigned workers, unsigned runs)
{
    double ms[BENCH_RUNS_MAX];
    void *state = NULL;
    for (unsigned r = 0; r < runs; r++) {
        int error = peer->begin(workers, &state);
        if (error != 0)
            bench_fail("idle: %s can't start", peer->name);
        ms[r] = idle_cpu_ms(o);
        peer->quiet(state);
    }
    peer->end(state);
    bench_report(o, "idle", peer->name, workers, "cpu", "ms", ms, runs);
}

static void run(const struct bench_case *c, const struct bench_options *o)
{
    static const unsigned few_and_many[] = {2, 64};
    const unsigned *workers = o->n_workers != 0 ? o->workers : few_and_many;
    unsigned n = o->n_workers != 0 ? o->n_workers : 2;
    unsigned runs = o->runs != 0 ? o->runs : 1;
    const struct peer *const *peers = NULL;
    unsigned n_peers = o->peers || o->impls != NULL ? bench_load_peers(&peers) : 0;

    if (!o->json)
        printf("idle: %s\n", c->what);
    for (unsigned i = 0; i < n; i++) {
        if (bench_takes_part(o, "weir", true))
            measure_weir(o, workers[i], runs);
        for (unsigned p = 0; p < n_peers && i == 0; p++)
            if (bench_takes_part(o, peers[p]->name, o->peers) && peers[p]->seconds == NULL)
                measure_peer(o, peers[p], workers[i], runs);
    }
    if (!o->json)
        putchar('\n');
}

const struct bench_case bench_idle = {
    .name = "idle",
    .what = "CPU time of the process over 5 s of nothing to do",
    .custom = run,
};
