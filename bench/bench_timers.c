/* SPDX-License-Identifier: MIT
 *
 * bench/bench_timers.c - timers: what starting, cancelling and firing one costs among a million, how late they are on
 * an idle runtime beside bare sleeps, and what an idle runtime with many of them uses.
 *
 * Threads: see harness.h. Costs are taken on the only worker of a runtime, inside one task, so that nothing expires
 * meanwhile. Invariants: every timer that was started has run or was cancelled, or the program fails.
 */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define PENDING 1000000u
#define PENDING_QUICK 100000u
#define BATCH 1000u       /* timers between two readings of the clock */
#define BATCHES 200u
#define EXPIRED 200000u
#define EXPIRED_QUICK 20000u
#define SPREAD_NS UINT64_C(20000000) /* over which those that expire are spread */
#define LATE_SAMPLES 1000u
#define LATE_SAMPLES_QUICK 100u
#define DELAY_NS UINT64_C(1000000)
#define HOUR_NS UINT64_C(3600000000000)
#define FAR_TIMERS 100000u
#define SETTLE_MS 200u
#define IDLE_MS 5000u
#define IDLE_MS_QUICK 500u

struct alarm {
    weir_timer timer;
    weir_task task;
    uint64_t deadline;
};

static struct {
    struct alarm *alarm;
    uint32_t pending;
    uint32_t samples;
    double start, cancel, start_many, cancel_many, expire; /* ns */
    double *late, *bare;                                  /* ns */
    uint32_t taken;
    weir_atomic_u32 ran;
    weir_latch done;
} m;

static void check(int r, const char *what)
{
    if (r != 0)
        bench_fail("timers: %s: %s", what, weir_strerror(r));
}

static void sleep_ms(unsigned ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) != 0)
        ;
}

static weir_task *count_run(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    if (__atomic_add_fetch(&m.ran.v, 1, __ATOMIC_RELAXED) == m.pending)
        check(weir_latch_arrive(&m.done, 1), "arrive");
    return NULL;
}

static void prepare(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        weir_timer_init(&m.alarm[i].timer);
        weir_task_init(&m.alarm[i].task, count_run);
    }
}

/* --- what starting and cancelling cost -------------------------------------------------------------------------- */

static void start_batch(weir_worker *w, uint32_t from, uint32_t n, uint64_t *random)
{
    for (uint32_t i = from; i < from + n; i++)
        check(weir_after(w, HOUR_NS + bench_random(random) % HOUR_NS, &m.alarm[i].timer, &m.alarm[i].task), "start");
}

static void cancel_batch(uint32_t from, uint32_t n)
{
    for (uint32_t i = from; i < from + n; i++)
        check(weir_timer_cancel(&m.alarm[i].timer), "cancel");
}

/* A million stays pending; a thousand more come and go. */
static void measure_costs(weir_worker *w, void *arg)
{
    uint64_t random = 1;
    (void)arg;
    uint64_t t0 = bench_now();
    start_batch(w, 0, m.pending, &random);
    uint64_t t1 = bench_now();
    uint64_t starting = 0, cancelling = 0;
    for (unsigned b = 0; b < BATCHES; b++) {
        uint64_t from = bench_now();
        start_batch(w, m.pending, BATCH, &random);
        uint64_t between = bench_now();
        cancel_batch(m.pending, BATCH);
        starting += between - from;
        cancelling += bench_now() - between;
    }
    uint64_t t2 = bench_now();
    cancel_batch(0, m.pending);
    uint64_t t3 = bench_now();
    m.start = (double)starting / (BATCHES * BATCH);
    m.cancel = (double)cancelling / (BATCHES * BATCH);
    m.start_many = (double)(t1 - t0) / m.pending;
    m.cancel_many = (double)(t3 - t2) / m.pending;
}

/* --- what firing costs -------------------------------------------------------------------------------------------- */

/* All are due when the task ends. */
static void start_expiring(weir_worker *w, void *arg)
{
    uint64_t random = 2, from = bench_now(), *end = arg;
    for (uint32_t i = 0; i < m.pending; i++)
        check(weir_at(w, from + bench_random(&random) % SPREAD_NS, &m.alarm[i].timer, &m.alarm[i].task), "start");
    while (bench_now() < from + SPREAD_NS)
        bench_relax();
    *end = bench_now();
}

static double expire_ns(weir_runtime *rt)
{
    uint64_t from = 0;
    prepare(m.pending);
    m.ran.v = 0;
    check(weir_latch_init(&m.done, 1), "latch");
    check(weir_call(rt, start_expiring, &from), "call");
    check(weir_latch_wait(&m.done, WEIR_FOREVER), "wait");
    return (double)(bench_now() - from) / m.pending;
}

/* --- how late ----------------------------------------------------------------------------------------------------- */

static weir_task *late_run(weir_worker *w, weir_task *self)
{
    struct alarm *a = &m.alarm[0];
    m.late[m.taken++] = (double)(int64_t)(bench_now() - a->deadline);
    if (m.taken == m.samples) {
        check(weir_latch_arrive(&m.done, 1), "arrive");
        return NULL;
    }
    a->deadline = bench_now() + DELAY_NS;
    check(weir_at(w, a->deadline, &a->timer, self), "start");
    return NULL;
}

static void measure_late(weir_runtime *rt)
{
    struct alarm *a = &m.alarm[0];
    weir_timer_init(&a->timer);
    weir_task_init(&a->task, late_run);
    m.taken = 0;
    check(weir_latch_init(&m.done, 1), "latch");
    a->deadline = bench_now() + DELAY_NS;
    check(weir_runtime_at(rt, a->deadline, &a->timer, &a->task), "start");
    check(weir_latch_wait(&m.done, WEIR_FOREVER), "wait");
    sleep_ms(SETTLE_MS); /* the other sleeps must not meet workers that still look for work */
    int slack = prctl(PR_GET_TIMERSLACK);
    prctl(PR_SET_TIMERSLACK, 1ul);
    for (uint32_t i = 0; i < m.samples; i++) {
        uint64_t deadline = bench_now() + DELAY_NS;
        struct timespec t = {(time_t)(deadline / 1000000000u), (long)(deadline % 1000000000u)};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
            continue;
        m.bare[i] = (double)(bench_now() - deadline);
    }
    prctl(PR_SET_TIMERSLACK, (unsigned long)slack);
}

/* --- idle --------------------------------------------------------------------------------------------------------- */

static double idle_ms(const struct bench_options *o, weir_runtime *rt)
{
    prepare(FAR_TIMERS);
    uint64_t random = 3;
    for (uint32_t i = 0; i < FAR_TIMERS; i++)
        check(weir_runtime_after(rt, HOUR_NS + bench_random(&random) % HOUR_NS, &m.alarm[i].timer, &m.alarm[i].task),
              "start");
    sleep_ms(SETTLE_MS);
    double before = bench_cpu_seconds();
    sleep_ms(o->quick ? IDLE_MS_QUICK : IDLE_MS);
    double used = bench_cpu_seconds() - before;
    cancel_batch(0, FAR_TIMERS);
    return used * 1e3;
}

/* --- Go ----------------------------------------------------------------------------------------------------------- */

static const struct peer *go_peer(const struct bench_options *o)
{
    const struct peer *const *peers = NULL;
    unsigned n = o->peers || o->impls != NULL ? bench_load_peers(&peers) : 0;
    for (unsigned i = 0; i < n; i++)
        if (bench_takes_part(o, peers[i]->name, o->peers) && peers[i]->seconds != NULL)
            for (const struct peer_case *c = peers[i]->cases; c->bench != NULL; c++)
                if (strcmp(c->bench, "timers_start") == 0)
                    return peers[i];
    return NULL;
}

static double ask(const struct peer *p, void *state, const char *what, int64_t n)
{
    const struct bench_input in = {.n = n};
    for (const struct peer_case *c = p->cases; c->bench != NULL; c++)
        if (strcmp(c->bench, what) == 0)
            return c->run(state, &in);
    bench_fail("timers: %s does not know %s", p->name, what);
}

/* --- all ---------------------------------------------------------------------------------------------------------- */

enum { START, CANCEL, START_MANY, CANCEL_MANY, EXPIRE, LATE50, LATE99, BARE50, BARE99, OVER_BARE, IDLE,
       GO_START, GO_CANCEL, GO_LATE50, GO_LATE99, METRICS };
static const struct {
    const char *impl, *metric, *unit;
} names[METRICS] = {
    [START] = {"weir", "start", "ns"},
    [CANCEL] = {"weir", "cancel", "ns"},
    [START_MANY] = {"weir", "start_all", "ns"},
    [CANCEL_MANY] = {"weir", "cancel_all", "ns"},
    [EXPIRE] = {"weir", "expire", "ns"},
    [LATE50] = {"weir", "late_p50", "us"},
    [LATE99] = {"weir", "late_p99", "us"},
    [BARE50] = {"nanosleep", "late_p50", "us"},
    [BARE99] = {"nanosleep", "late_p99", "us"},
    [OVER_BARE] = {"weir", "p50_over_bare", "ratio"},
    [IDLE] = {"weir", "idle_cpu", "ms"},
    [GO_START] = {"go", "start", "ns"},
    [GO_CANCEL] = {"go", "cancel", "ns"},
    [GO_LATE50] = {"go", "late_p50", "us"},
    [GO_LATE99] = {"go", "late_p99", "us"},
};
static double value[METRICS][BENCH_RUNS_MAX];

static void measure_weir(const struct bench_options *o, unsigned workers, unsigned r)
{
    weir_runtime *one = bench_start_weir(1);
    m.pending = o->quick ? PENDING_QUICK : PENDING;
    prepare(m.pending + BATCH);
    check(weir_call(one, measure_costs, NULL), "call");
    m.pending = o->quick ? EXPIRED_QUICK : EXPIRED;
    value[EXPIRE][r] = expire_ns(one);
    bench_stop_weir(one);
    weir_runtime *rt = bench_start_weir(workers);
    measure_late(rt);
    value[IDLE][r] = idle_ms(o, rt);
    bench_stop_weir(rt);
    value[START][r] = m.start;
    value[CANCEL][r] = m.cancel;
    value[START_MANY][r] = m.start_many;
    value[CANCEL_MANY][r] = m.cancel_many;
    value[LATE50][r] = bench_percentile(m.late, m.samples, 0.5) * 1e-3;
    value[LATE99][r] = bench_percentile(m.late, m.samples, 0.99) * 1e-3;
    value[BARE50][r] = bench_percentile(m.bare, m.samples, 0.5) * 1e-3;
    value[BARE99][r] = bench_percentile(m.bare, m.samples, 0.99) * 1e-3;
    value[OVER_BARE][r] = value[LATE50][r] / value[BARE50][r];
}

static void measure_go(const struct bench_options *o, const struct peer *go, void *state, unsigned r)
{
    int64_t pending = o->quick ? PENDING_QUICK : PENDING;
    value[GO_START][r] = ask(go, state, "timers_start", pending);
    value[GO_CANCEL][r] = ask(go, state, "timers_cancel", pending); /* of the same run */
    value[GO_LATE50][r] = ask(go, state, "timers_late50", m.samples) * 1e-3;
    value[GO_LATE99][r] = ask(go, state, "timers_late99", m.samples) * 1e-3; /* of the same samples */
}

static void run(const struct bench_case *c, const struct bench_options *o)
{
    unsigned runs = o->runs != 0 ? o->runs : 5;
    unsigned workers = o->n_workers != 0 ? o->workers[o->n_workers - 1] : 2;
    const struct peer *go = go_peer(o);
    void *state = NULL;
    m.alarm = bench_alloc((PENDING + BATCH) * sizeof *m.alarm);
    m.samples = o->quick ? LATE_SAMPLES_QUICK : LATE_SAMPLES;
    m.late = bench_alloc(m.samples * sizeof *m.late);
    m.bare = bench_alloc(m.samples * sizeof *m.bare);
    if (go != NULL && go->begin(workers, &state) != 0)
        bench_fail("timers: %s can't start", go->name);
    for (unsigned r = 0; r < runs; r++) {
        measure_weir(o, workers, r);
        if (go != NULL)
            measure_go(o, go, state, r);
    }
    if (!o->json)
        printf("timers: %s, %u pending, %u samples a run\n", c->what, o->quick ? PENDING_QUICK : PENDING, m.samples);
    for (unsigned i = 0; i < (go != NULL ? METRICS : (unsigned)GO_START); i++)
        bench_report(o, "timers", names[i].impl, workers, names[i].metric, names[i].unit, value[i], runs);
    if (go != NULL)
        go->end(state);
    free(m.alarm);
    free(m.late);
    free(m.bare);
    if (!o->json)
        putchar('\n');
}

const struct bench_case bench_timers = {
    .name = "timers",
    .what = "start and cancel among many pending, firing, lateness of 1 ms timers when idle, idle with 100,000",
    .custom = run,
};
