/* SPDX-License-Identifier: MIT
 *
 * bench/harness.c - lets implementations of one benchmark take turns, times them and measures their memory.
 *
 * Threads: main thread only.
 * Invariants: memory is measured first, each implementation in a forked child, while no runtime of this benchmark has
 * begun in the parent. Then every round runs each implementation once; ratios are taken within a round.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "process.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

_Noreturn void bench_fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fputs("weir-bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    _Exit(1);
}

uint64_t bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

double bench_cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void *bench_alloc(size_t bytes)
{
    void *p = malloc(bytes);
    if (p == NULL)
        bench_fail("out of memory: %zu bytes", bytes);
    memset(p, 1, bytes); /* not zero: a calloc would be allowed to leave the pages untouched */
    return p;
}

bool bench_takes_part(const struct bench_options *o, const char *impl, bool by_default)
{
    if (o->impls == NULL)
        return by_default;
    size_t length = strlen(impl);
    for (const char *at = o->impls; *at != '\0';) {
        size_t n = strcspn(at, ",");
        if (n == length && memcmp(at, impl, n) == 0)
            return true;
        at += n + (at[n] == ',');
    }
    return false;
}

/* --- weir and the serial twin as peers ------------------------------------------------------------------------- */

static weir_runtime *start_weir(unsigned workers, weir_publish_mode mode)
{
    weir_config config;
    int r = weir_config_init(&config);
    if (r != 0)
        bench_fail("weir_config_init: %s (%s)", weir_strerror(r), weir_config_error());
    config.workers = workers;
    if (mode == WEIR_PUBLISH_ALWAYS)
        config.publish_mode = mode;
    weir_runtime *rt;
    r = weir_start(&rt, &config);
    if (r != 0)
        bench_fail("weir_start with %u workers: %s", workers, weir_strerror(r));
    return rt;
}

weir_runtime *bench_start_weir(unsigned workers)
{
    return start_weir(workers, WEIR_PUBLISH_ON_DEMAND);
}

void bench_stop_weir(weir_runtime *rt)
{
    int r = weir_stop(rt, WEIR_DRAIN, WEIR_FOREVER);
    if (r != 0)
        bench_fail("weir_stop: %s", weir_strerror(r));
}

static int begin_serial(unsigned workers, void **state)
{
    (void)workers;
    (void)state;
    return 0;
}

static void quiet_nothing(void *state)
{
    (void)state;
}

static void warm_weir(weir_worker *w, void *arg)
{
    (void)w;
    (void)arg;
}

static int begin_mode(unsigned workers, void **state, weir_publish_mode mode)
{
    if (*state == NULL)
        *state = start_weir(workers, mode);
    return weir_call(*state, warm_weir, NULL);
}

static int begin_weir(unsigned workers, void **state)
{
    return begin_mode(workers, state, WEIR_PUBLISH_ON_DEMAND);
}

static int begin_weir_always(unsigned workers, void **state)
{
    return begin_mode(workers, state, WEIR_PUBLISH_ALWAYS);
}

static void end_weir(void *state)
{
    bench_stop_weir(state);
}

static const struct peer serial_peer = {
    .version = PEER_VERSION, .name = "serial", .begin = begin_serial, .quiet = quiet_nothing, .end = quiet_nothing};
static const struct peer weir_peer = {
    .version = PEER_VERSION, .name = "weir", .begin = begin_weir, .quiet = quiet_nothing, .end = end_weir};
static const struct peer weir_always_peer = {.version = PEER_VERSION,
                                             .name = "weir-always",
                                             .begin = begin_weir_always,
                                             .quiet = quiet_nothing,
                                             .end = end_weir};

/* --- contestants ----------------------------------------------------------------------------------------------- */

#define CONTESTANTS_MAX 64u

struct field {
    const struct bench_case *c;
    struct contestant list[CONTESTANTS_MAX];
    unsigned n;
};

static peer_run_fn *find_run(const struct peer *peer, const char *bench)
{
    for (const struct peer_case *k = peer->cases; k->bench != NULL; k++)
        if (strcmp(k->bench, bench) == 0)
            return k->run;
    return NULL;
}

static peer_run_fn *find_prepare(const struct peer *peer, const char *bench)
{
    char name[64];
    snprintf(name, sizeof name, "%s/prepare", bench);
    return find_run(peer, name);
}

static void enter(struct field *f, const struct peer *peer, peer_run_fn *run, unsigned workers, bool small)
{
    if (f->n == CONTESTANTS_MAX)
        bench_fail("more than %u contestants", CONTESTANTS_MAX);
    struct contestant *k = &f->list[f->n++];
    memset(k, 0, sizeof *k);
    k->peer = peer;
    k->run = run;
    k->prepare = run != NULL && peer->cases != NULL ? find_prepare(peer, f->c->name) : NULL;
    k->workers = workers;
    k->size = small ? &f->c->small : &f->c->full;
    k->memory = -1.0;
}

static void enter_all(struct field *f, const struct bench_options *o)
{
    static const unsigned one_and_two[] = {1, 2};
    const unsigned *workers = o->n_workers != 0 ? o->workers : one_and_two;
    unsigned n = o->n_workers != 0 ? o->n_workers : 2;
    const struct peer *const *peers = NULL;
    unsigned n_peers = o->peers || o->impls != NULL ? bench_load_peers(&peers) : 0;

    if (f->c->serial != NULL && bench_takes_part(o, "serial", true))
        enter(f, &serial_peer, f->c->serial, 1, o->quick);
    for (unsigned i = 0; i < n && f->c->weir != NULL; i++) {
        if (bench_takes_part(o, "weir", true))
            enter(f, &weir_peer, NULL, workers[i], o->quick);
        if (bench_takes_part(o, "weir-always", false))
            enter(f, &weir_always_peer, NULL, workers[i], o->quick);
    }
    for (unsigned p = 0; p < n_peers; p++) {
        peer_run_fn *run = find_run(peers[p], f->c->name);
        for (unsigned i = 0; i < n && run != NULL; i++)
            if (bench_takes_part(o, peers[p]->name, o->peers))
                enter(f, peers[p], run, workers[i], o->quick || f->c->peers_small);
    }
}

static void begin(struct contestant *k)
{
    int r = k->peer->begin(k->workers, &k->state);
    if (r != 0)
        bench_fail("%s with %u workers can't start: %s", k->peer->name, k->workers, strerror(-r));
}

/* One run, kept as that of `round`. The answer is checked. */
static void run_once(const struct bench_case *c, struct contestant *k, struct bench_input *in, unsigned round)
{
    struct bench_call call = {.in = in};
    double answer;
    double cpu = bench_cpu_seconds();
    uint64_t from = bench_now();
    if (k->run != NULL) {
        answer = k->run(k->state, in);
    } else {
        int r = weir_call(k->state, c->weir, &call);
        if (r == 0)
            r = call.error;
        if (r != 0)
            bench_fail("%s: %s with %u workers: %s", c->name, k->peer->name, k->workers, weir_strerror(r));
        answer = call.answer;
    }
    k->seconds[round] = (double)(bench_now() - from) * 1e-9;
    k->cpu[round] = bench_cpu_seconds() - cpu;
    if (k->peer->seconds != NULL)
        k->seconds[round] = k->peer->seconds(k->state);
    k->peer->quiet(k->state);
    if (c->check != NULL)
        answer = c->check(in, answer);
    double off = answer - k->size->expect;
    double limit = c->tolerance * k->size->expect;
    if (!(off <= limit && off >= -limit))
        bench_fail("%s: wrong answer from %s with %u workers: %.17g instead of %.17g", c->name, k->peer->name,
                   k->workers, answer, k->size->expect);
}

static void set_up(const struct bench_case *c, const struct contestant *k, struct bench_input *in)
{
    in->n = k->size->n;
    if (c->setup != NULL)
        c->setup(in, k->size);
}

/* What only this contestant needs, with its threads up. */
static void prepare(const struct bench_case *c, const struct contestant *k, struct bench_input *in)
{
    if (k->run == NULL && c->setup_weir != NULL)
        c->setup_weir(in);
    if (k->prepare != NULL)
        (void)k->prepare(k->state, in);
}

/* --- memory ---------------------------------------------------------------------------------------------------- */

/* In the child: how far the peak of the resident set rises above its size after the input and the threads are there. */
static double measure_memory(const struct bench_case *c, struct contestant *k)
{
    struct bench_input in = {0};
    set_up(c, k, &in);
    begin(k);
    process_reset_peak();
    double before = process_status_bytes(getpid(), "VmRSS:");
    prepare(c, k, &in);
    run_once(c, k, &in, 0);
    if (k->peer->memory != NULL)
        return k->peer->memory(k->state);
    double peak = process_status_bytes(getpid(), "VmHWM:");
    return before < 0 || peak < 0 ? -1.0 : peak > before ? peak - before : 0.0;
}

static double memory_in_child(const struct bench_case *c, struct contestant *k)
{
    int channel[2];
    if (pipe2(channel, O_CLOEXEC) != 0)
        bench_fail("pipe: %s", strerror(errno));
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        bench_fail("fork: %s", strerror(errno));
    if (child == 0) {
        weir_memory_trim(); /* what benchmarks before have left is not this one's */
        double bytes = measure_memory(c, k);
        _exit(write(channel[1], &bytes, sizeof bytes) == sizeof bytes ? 0 : 1);
    }
    close(channel[1]);
    double bytes;
    ssize_t got = read(channel[0], &bytes, sizeof bytes);
    close(channel[0]);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (got != sizeof bytes || status != 0)
        bench_fail("%s: the memory run of %s with %u workers failed", c->name, k->peer->name, k->workers);
    return bytes;
}

/* --- one benchmark --------------------------------------------------------------------------------------------- */

#define RUNS_DEFAULT 5u

void bench_run_case(const struct bench_case *c, const struct bench_options *o)
{
    if (c->custom != NULL) {
        c->custom(c, o);
        return;
    }
    struct field f = {.c = c};
    enter_all(&f, o);
    unsigned runs = o->runs != 0 ? o->runs : RUNS_DEFAULT;
    for (unsigned i = 0; i < f.n && o->memory; i++)
        f.list[i].memory = memory_in_child(c, &f.list[i]);

    struct bench_input in = {0};
    for (unsigned round = 0; round < runs; round++) {
        for (unsigned i = 0; i < f.n; i++) {
            struct contestant *k = &f.list[i];
            set_up(c, k, &in);
            begin(k);
            prepare(c, k, &in);
            run_once(c, k, &in, round);
        }
    }
    for (unsigned i = 0; i < f.n; i++)
        f.list[i].peer->end(f.list[i].state);
    if (c->teardown != NULL)
        c->teardown(&in);
    report_case(c, f.list, f.n, runs, o);
}
