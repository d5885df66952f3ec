/* SPDX-License-Identifier: MIT
 *
 * bench/bench_submit.c - from outside the runtime: how long a submitted task takes to start, and what a stream of
 * empty ones costs.
 *
 * Threads: the main thread submits, workers run.
 * Invariants: latency samples are taken with an idle runtime, the submitter spins meanwhile; the reference, in turns
 * with them, is a bare futex wake. The stream is submitted one by one and in batches, sleeping while the injector is
 * full, and through a queue that is never full, with guards and without. Each worker counts the tasks that it ran in a
 * line of its own. The reference, in turns with it: the same stream through a ring under a mutex with two condition
 * variables.
 */
#include "floors.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LATENCY_SAMPLES 1000u
#define LATENCY_SAMPLES_QUICK 200u
#define IDLE_US 1000u
#define PATIENCE_MS 2000u
#define STREAM 1000000u
#define STREAM_QUICK 100000u
#define BATCH 64u
#define LINE 128u           /* bytes: what two processors must not share */
#define POOL_SHARE 10u      /* the reference gets a tenth of the stream: it is slow */
#define POOL_CAPACITY 1024u /* as weir's default */
#define GUARD_TIME_NS UINT64_C(10000000000) /* no task waits that long */

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

/* Tasks that each worker ran: written by it, read by the submitter. */
static struct {
    uint64_t n;
    char pad[LINE - sizeof(uint64_t)];
} ran[WEIR_WORKERS_MAX] __attribute__((aligned(LINE)));

static void count_one(unsigned worker)
{
    __atomic_store_n(&ran[worker].n, ran[worker].n + 1, __ATOMIC_RELAXED);
}

/* Waits until all workers together have run n tasks. */
static void await_tasks(unsigned workers, uint64_t n)
{
    uint64_t from = bench_now();
    for (;;) {
        uint64_t sum = 0;
        for (unsigned i = 0; i < workers; i++)
            sum += __atomic_load_n(&ran[i].n, __ATOMIC_RELAXED);
        if (sum == n)
            return;
        if (sum > n || bench_now() - from > PATIENCE_MS * UINT64_C(1000000))
            bench_fail("submit: %llu tasks ran, %llu were submitted", (unsigned long long)sum, (unsigned long long)n);
        sched_yield();
    }
}

static void forget_tasks(unsigned workers)
{
    for (unsigned i = 0; i < workers; i++)
        __atomic_store_n(&ran[i].n, 0, __ATOMIC_RELAXED);
}

static weir_task *run_empty(weir_worker *w, weir_task *self)
{
    (void)self;
    count_one(weir_worker_index(w));
    return NULL;
}

static void must(int error, const char *call)
{
    if (error != 0)
        bench_fail("submit: %s: %s", call, weir_strerror(error));
}

static void sleep_idle(void)
{
    struct timespec pause = {0, IDLE_US * 1000};
    nanosleep(&pause, NULL);
}

static double submit_to_start(weir_runtime *rt)
{
    struct noted task = {.started = 0};
    uint64_t started;
    weir_task_init(&task.task, note_start);
    uint64_t from = bench_now();
    must(weir_submit(rt, &task.task, WEIR_BLOCK, 0), "weir_submit");
    while ((started = __atomic_load_n(&task.started, __ATOMIC_ACQUIRE)) == 0) {
        bench_relax();
        if (bench_now() - from > PATIENCE_MS * UINT64_C(1000000))
            bench_fail("submit: a task did not start for %u ms", PATIENCE_MS);
    }
    return started > from ? (double)(started - from) : 0.0;
}

/* In turns with a bare futex wake. */
static void measure_latency(weir_runtime *rt, double *ns, double *raw, unsigned samples)
{
    struct bench_sleeper *sleeper = bench_sleeper_start();
    for (unsigned i = 0; i < samples; i++) {
        sleep_idle();
        ns[i] = submit_to_start(rt);
        sleep_idle();
        raw[i] = bench_sleeper_wake(sleeper);
    }
    bench_sleeper_stop(sleeper);
}

/* Turns on every guard, with numbers at which none refuses anything; or all off. */
static void set_guards(weir_runtime *rt, bool on)
{
    weir_admission a;
    must(weir_admission_init(&a), "weir_admission_init");
    a.depth_high = STREAM + 1;
    a.depth_low = STREAM;
    a.target_ns = GUARD_TIME_NS;
    a.interval_ns = 2 * GUARD_TIME_NS;
    a.feeds = WEIR_FEED_QUEUE_TIME;
    a.slow_ns = GUARD_TIME_NS;
    a.guards = on ? WEIR_GUARD_DEPTH | WEIR_GUARD_TIME | WEIR_GUARD_BREAKER : 0;
    must(weir_admission_set(rt, &a), "weir_admission_set");
}

/* A queue that is never full: the depth guard must have nothing to refuse. */
static weir_runtime *start_with_long_queue(unsigned workers)
{
    weir_config config;
    weir_runtime *rt;
    must(weir_config_init(&config), "weir_config_init");
    config.workers = workers;
    config.queue_capacity = STREAM + 1;
    must(weir_start(&rt, &config), "weir_start");
    return rt;
}

/* ns per task, from the first submit to the last task's end. */
static double measure_stream(weir_runtime *rt, unsigned workers, weir_task *tasks, unsigned n, unsigned batch)
{
    weir_task *list[BATCH];
    forget_tasks(workers);
    uint64_t from = bench_now();
    for (unsigned i = 0; i < n; i += batch) {
        unsigned k = 0;
        for (; k < batch && i + k < n; k++) {
            list[k] = &tasks[i + k];
            weir_task_init(list[k], run_empty);
        }
        if (batch == 1)
            must(weir_submit(rt, list[0], WEIR_BLOCK, 0), "weir_submit");
        else
            must(weir_submit_batch(rt, list, k, WEIR_BLOCK, 0, NULL), "weir_submit_batch");
    }
    await_tasks(workers, n);
    return (double)(bench_now() - from) / n;
}

/* --- the reference ---------------------------------------------------------------------------------------------- */

typedef void pool_fn(unsigned worker);

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work, room;
    pool_fn *ring[POOL_CAPACITY];
    unsigned head, tail; /* tasks taken and put, for ever */
    unsigned workers;
    bool stop;
    pthread_t thread[BENCH_WORKERS_MAX];
};

struct pool_worker {
    struct pool *pool;
    unsigned id;
};

static void *pool_main(void *arg)
{
    struct pool_worker *w = arg;
    struct pool *p = w->pool;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (p->head == p->tail && !p->stop)
            pthread_cond_wait(&p->work, &p->lock);
        if (p->head == p->tail)
            break;
        pool_fn *fn = p->ring[p->head++ % POOL_CAPACITY];
        pthread_cond_signal(&p->room);
        pthread_mutex_unlock(&p->lock);
        fn(w->id);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void pool_submit(struct pool *p, unsigned n)
{
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < n; i++) {
        while (p->tail - p->head == POOL_CAPACITY)
            pthread_cond_wait(&p->room, &p->lock);
        p->ring[p->tail++ % POOL_CAPACITY] = count_one;
        pthread_cond_signal(&p->work);
    }
    pthread_mutex_unlock(&p->lock);
}

static double measure_pool(unsigned workers, unsigned n, unsigned batch)
{
    struct pool *p = calloc(1, sizeof *p);
    struct pool_worker w[BENCH_WORKERS_MAX];
    if (p == NULL)
        bench_fail("submit: no memory");
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->room, NULL);
    for (unsigned i = 0; i < workers; i++) {
        w[i] = (struct pool_worker){p, i};
        if (pthread_create(&p->thread[i], NULL, pool_main, &w[i]) != 0)
            bench_fail("submit: no thread");
    }
    forget_tasks(workers);
    uint64_t from = bench_now();
    for (unsigned i = 0; i < n; i += batch)
        pool_submit(p, n - i < batch ? n - i : batch);
    await_tasks(workers, n);
    double ns = (double)(bench_now() - from) / n;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < workers; i++)
        pthread_join(p->thread[i], NULL);
    free(p);
    return ns;
}

/* --- all of it -------------------------------------------------------------------------------------------------- */

static void run(const struct bench_case *c, const struct bench_options *o)
{
    enum {
        P50, P99, RAW_50, P50_OVER_RAW, SINGLE, UNGUARDED, GUARDED, BATCHED, POOL_SINGLE, POOL_BATCHED, RATIO_SINGLE,
        RATIO_GUARDED, RATIO_BATCHED, METRICS
    };
    double v[METRICS][BENCH_RUNS_MAX];
    static const unsigned one_and_two[] = {1, 2};
    const unsigned *workers = o->n_workers != 0 ? o->workers : one_and_two;
    unsigned counts = o->n_workers != 0 ? o->n_workers : 2;
    unsigned runs = o->runs != 0 ? o->runs : 5;
    unsigned samples = o->quick ? LATENCY_SAMPLES_QUICK : LATENCY_SAMPLES;
    unsigned n = o->quick ? STREAM_QUICK : STREAM;
    double *ns = bench_alloc(samples * sizeof *ns);
    double *raw = bench_alloc(samples * sizeof *raw);
    weir_task *tasks = bench_alloc(n * sizeof *tasks);

    if (!o->json)
        printf("submit: %s\n", c->what);
    for (unsigned i = 0; i < counts; i++) {
        weir_runtime *rt = bench_start_weir(workers[i]);
        weir_runtime *long_rt = start_with_long_queue(workers[i]);
        for (unsigned r = 0; r < runs; r++) {
            measure_latency(rt, ns, raw, samples);
            v[P50][r] = bench_percentile(ns, samples, 0.5) * 1e-3;
            v[P99][r] = bench_percentile(ns, samples, 0.99) * 1e-3;
            v[RAW_50][r] = bench_percentile(raw, samples, 0.5) * 1e-3;
            v[P50_OVER_RAW][r] = v[P50][r] / v[RAW_50][r];
            v[SINGLE][r] = measure_stream(rt, workers[i], tasks, n, 1);
            v[UNGUARDED][r] = measure_stream(long_rt, workers[i], tasks, n, 1);
            set_guards(long_rt, true);
            v[GUARDED][r] = measure_stream(long_rt, workers[i], tasks, n, 1);
            set_guards(long_rt, false);
            v[RATIO_GUARDED][r] = v[GUARDED][r] / v[UNGUARDED][r];
            v[POOL_SINGLE][r] = measure_pool(workers[i], n / POOL_SHARE, 1);
            v[BATCHED][r] = measure_stream(rt, workers[i], tasks, n, BATCH);
            v[POOL_BATCHED][r] = measure_pool(workers[i], n / POOL_SHARE, BATCH);
            v[RATIO_SINGLE][r] = v[SINGLE][r] / v[POOL_SINGLE][r];
            v[RATIO_BATCHED][r] = v[BATCHED][r] / v[POOL_BATCHED][r];
        }
        bench_stop_weir(long_rt);
        bench_stop_weir(rt);
        bench_report(o, "submit", "weir", workers[i], "submit_to_start_p50", "us", v[P50], runs);
        bench_report(o, "submit", "weir", workers[i], "submit_to_start_p99", "us", v[P99], runs);
        bench_report(o, "submit", "futex", workers[i], "wake_to_run_p50", "us", v[RAW_50], runs);
        bench_report(o, "submit", "weir", workers[i], "p50_over_futex", "ratio", v[P50_OVER_RAW], runs);
        bench_report(o, "submit", "weir", workers[i], "empty_task", "ns", v[SINGLE], runs);
        bench_report(o, "submit", "weir", workers[i], "empty_task_long_queue", "ns", v[UNGUARDED], runs);
        bench_report(o, "submit", "weir", workers[i], "empty_task_guarded", "ns", v[GUARDED], runs);
        bench_report(o, "submit", "weir", workers[i], "guarded_over_unguarded", "ratio", v[RATIO_GUARDED], runs);
        bench_report(o, "submit", "weir", workers[i], "empty_task_batched", "ns", v[BATCHED], runs);
        bench_report(o, "submit", "mutex", workers[i], "empty_task", "ns", v[POOL_SINGLE], runs);
        bench_report(o, "submit", "mutex", workers[i], "empty_task_batched", "ns", v[POOL_BATCHED], runs);
        bench_report(o, "submit", "weir", workers[i], "empty_task_over_mutex", "ratio", v[RATIO_SINGLE], runs);
        bench_report(o, "submit", "weir", workers[i], "batched_over_mutex", "ratio", v[RATIO_BATCHED], runs);
    }
    free(tasks);
    free(raw);
    free(ns);
    if (!o->json)
        putchar('\n');
}

const struct bench_case bench_submit = {
    .name = "submit",
    .what = "from outside: submit to start with idle workers, and a stream of empty tasks",
    .custom = run,
};
