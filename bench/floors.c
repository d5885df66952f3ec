/* SPDX-License-Identifier: MIT
 *
 * bench/floors.c - the machine's own prices, as the benchmark `floors` and beside the figures that rest on them.
 *
 * Threads: a measuring thread and one partner, which spins on a cache line or sleeps on a futex.
 * Invariants: a partner lives only as long as it is measured, except a sleeper, which uses no time while it waits.
 */
#define _GNU_SOURCE
#include "floors.h"

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LINE_PAIR 128         /* bytes: what the adjacent-line prefetcher moves together */
#define HAND_OFFS 100000u
#define WAKES 200u
#define WAKE_GAP_US 300       /* so that the sleeper's core is really idle */
#define LOOPS 1000000u        /* of something that takes nanoseconds */
#define BARRIERS 2000u
#define FLOOD 10000000u       /* records, as many as `flat` has */

/* --- a futex --------------------------------------------------------------------------------------------------- */

enum { SLEEPING, WAKE, STOP };

struct bench_sleeper {
    uint32_t word;    /* futex */
    uint64_t started; /* ns */
    pthread_t thread;
};

static long futex(uint32_t *word, int op, uint32_t value)
{
    return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void *sleeper_main(void *arg)
{
    struct bench_sleeper *s = arg;
    for (;;) {
        uint32_t seen;
        while ((seen = __atomic_load_n(&s->word, __ATOMIC_ACQUIRE)) == SLEEPING)
            futex(&s->word, FUTEX_WAIT, SLEEPING);
        if (seen == STOP)
            return NULL;
        __atomic_store_n(&s->word, SLEEPING, __ATOMIC_RELAXED); /* before started: the waker wakes again after that */
        __atomic_store_n(&s->started, bench_now(), __ATOMIC_RELEASE);
    }
}

struct bench_sleeper *bench_sleeper_start(void)
{
    struct bench_sleeper *s = bench_alloc(sizeof *s);
    if (pthread_create(&s->thread, NULL, sleeper_main, s) != 0)
        bench_fail("no thread to wake");
    return s;
}

void bench_sleeper_stop(struct bench_sleeper *s)
{
    __atomic_store_n(&s->word, STOP, __ATOMIC_RELEASE);
    futex(&s->word, FUTEX_WAKE, 1);
    pthread_join(s->thread, NULL);
    free(s);
}

double bench_sleeper_wake(struct bench_sleeper *s)
{
    uint64_t started, from;
    __atomic_store_n(&s->started, 0, __ATOMIC_RELAXED);
    from = bench_now();
    __atomic_store_n(&s->word, WAKE, __ATOMIC_RELEASE);
    futex(&s->word, FUTEX_WAKE, 1);
    while ((started = __atomic_load_n(&s->started, __ATOMIC_ACQUIRE)) == 0)
        bench_relax();
    return started > from ? (double)(started - from) : 0.0;
}

/* --- a cache line ---------------------------------------------------------------------------------------------- */

struct line {
    uint64_t asked __attribute__((aligned(LINE_PAIR))); /* the measuring thread writes; UINT64_MAX: end */
    uint64_t answered __attribute__((aligned(LINE_PAIR))); /* the partner writes: its clock */
};

static void *answer_main(void *arg)
{
    struct line *l = arg;
    uint64_t seen = 0;
    for (;;) {
        uint64_t asked;
        while ((asked = __atomic_load_n(&l->asked, __ATOMIC_ACQUIRE)) == seen)
            continue; /* no pause: the floor */
        if (asked == UINT64_MAX)
            return NULL;
        seen = asked;
        __atomic_store_n(&l->answered, bench_now(), __ATOMIC_RELEASE);
    }
}

void bench_hand_offs(double *samples, unsigned n)
{
    struct line l = {0};
    pthread_t thread;
    uint64_t before = 0;
    if (pthread_create(&thread, NULL, answer_main, &l) != 0)
        bench_fail("no thread to hand over to");
    for (unsigned i = 0; i < n; i++) {
        uint64_t answered, from = bench_now();
        __atomic_store_n(&l.asked, i + UINT64_C(1), __ATOMIC_RELEASE);
        while ((answered = __atomic_load_n(&l.answered, __ATOMIC_ACQUIRE)) == before)
            continue;
        before = answered;
        samples[i] = answered > from ? (double)(answered - from) : 0.0;
    }
    __atomic_store_n(&l.asked, UINT64_MAX, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
}

/* --- one thread ------------------------------------------------------------------------------------------------ */

static double clock_ns(void)
{
    uint64_t from = bench_now();
    for (unsigned i = 0; i < LOOPS; i++)
        bench_now();
    return (double)(bench_now() - from) / LOOPS;
}

static double locked_ns(void)
{
    uint64_t x = 0, from = bench_now();
    for (unsigned i = 0; i < LOOPS; i++)
        __atomic_fetch_add(&x, 1, __ATOMIC_SEQ_CST);
    return (double)(bench_now() - from) / LOOPS;
}

static double fence_ns(void)
{
    uint64_t from = bench_now();
    for (unsigned i = 0; i < LOOPS; i++)
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return (double)(bench_now() - from) / LOOPS;
}

static double relax_ns(void)
{
    uint64_t from = bench_now();
    for (unsigned i = 0; i < LOOPS; i++)
        bench_relax();
    return (double)(bench_now() - from) / LOOPS;
}

/* A membarrier while a partner runs on another core. 0: the kernel has none. */
static double membarrier_ns(void)
{
    struct line l = {0};
    pthread_t thread;
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0) != 0)
        return 0;
    if (pthread_create(&thread, NULL, answer_main, &l) != 0)
        bench_fail("no thread for a barrier");
    __atomic_store_n(&l.asked, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&l.answered, __ATOMIC_ACQUIRE) == 0)
        bench_relax(); /* it runs */
    uint64_t from = bench_now();
    for (unsigned i = 0; i < BARRIERS; i++)
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0);
    double ns = (double)(bench_now() - from) / BARRIERS;
    __atomic_store_n(&l.asked, UINT64_MAX, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    return ns;
}

/* What `flat` stores and calls, in plain loops: records and pointers to them are written, then called from the end. */
static weir_task *run_empty(weir_worker *w, weir_task *self)
{
    (void)w;
    (void)self;
    return NULL;
}

static double flood_ns(void)
{
    weir_task *tasks = bench_alloc(FLOOD * sizeof *tasks);
    weir_task **slots = bench_alloc(FLOOD * sizeof *slots);
    uint64_t from = bench_now();
    for (size_t i = 0; i < FLOOD; i++) {
        weir_task_init(&tasks[i], run_empty);
        slots[i] = &tasks[i];
    }
    for (size_t i = FLOOD; i-- > 0;)
        slots[i]->run(NULL, slots[i]);
    double ns = (double)(bench_now() - from) / FLOOD;
    free(tasks);
    free(slots);
    return ns;
}

/* --- the benchmark --------------------------------------------------------------------------------------------- */

static double wake_p50(void)
{
    double samples[WAKES];
    struct bench_sleeper *s = bench_sleeper_start();
    for (unsigned i = 0; i < WAKES; i++) {
        struct timespec gap = {0, WAKE_GAP_US * 1000};
        nanosleep(&gap, NULL);
        samples[i] = bench_sleeper_wake(s);
    }
    bench_sleeper_stop(s);
    return bench_percentile(samples, WAKES, 0.5);
}

static double hand_off_p50(void)
{
    double *samples = bench_alloc(HAND_OFFS * sizeof *samples);
    bench_hand_offs(samples, HAND_OFFS);
    double p50 = bench_percentile(samples, HAND_OFFS, 0.5);
    free(samples);
    return p50;
}

static void run(const struct bench_case *c, const struct bench_options *o)
{
    static const struct {
        const char *metric;
        double (*measure)(void);
    } floors[] = {
        {"clock_reading", clock_ns},           {"locked_add", locked_ns},       {"seq_cst_fence", fence_ns},
        {"pause", relax_ns},                   {"line_hand_off_p50", hand_off_p50},
        {"membarrier_peer_runs", membarrier_ns}, {"futex_wake_to_run_p50", wake_p50},
        {"flat_in_plain_loops", flood_ns},
    };
    unsigned runs = o->runs != 0 ? o->runs : 5;
    double v[BENCH_RUNS_MAX];
    if (!o->json)
        printf("floors: %s\n", c->what);
    for (unsigned i = 0; i < sizeof floors / sizeof floors[0]; i++) {
        for (unsigned r = 0; r < runs; r++)
            v[r] = floors[i].measure();
        bench_report(o, "floors", "machine", 1, floors[i].metric, "ns", v, runs);
    }
    if (!o->json)
        putchar('\n');
}

const struct bench_case bench_floors = {
    .name = "floors",
    .what = "what the machine itself takes; a hand-off and a wake include one clock reading",
    .custom = run,
};
