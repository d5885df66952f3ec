/* SPDX-License-Identifier: MIT
 *
 * bench/bench_echo.c - echo servers on weir/io.h beside a bare epoll loop: one hop through pipes (`echo_pipe`), and
 * many connections at once (`echo`).
 *
 * Threads: the main thread is the client. The server is a runtime, with io_uring and with epoll, or one thread with a
 * loop of its own. They take turns within each run.
 * Invariants: the client has one message under way per connection; a server that loses one hangs the program, so the
 * client gives up after PATIENCE_MS.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE 64u /* bytes */
#define PATIENCE_MS 5000
#define CONNECTIONS_MAX 1000u
#define PIPE_HOPS 5000u
#define PIPE_HOPS_QUICK 500u
#define ECHOES 100000u /* per run, over all connections */
#define ECHOES_QUICK 5000u
#define EVENTS 64
#define WORKERS 2u

/* One connection as its server sees it: what is read from `in` is written to `out`. */
struct echo {
    weir_task task;
    weir_io io;
    weir_latch *ended;
    int in, out;
    bool reads;
    char bytes[MESSAGE];
};

/* As its client does. */
struct ends {
    int in, out;
};

enum { BARE, URING, EPOLL, SERVERS };
static const char *const server_names[SERVERS] = {"epoll-loop", "weir", "weir-no-uring"};

struct server {
    struct echo *echo;
    struct ends *client;
    unsigned n;
    weir_runtime *rt; /* NULL: a bare loop */
    weir_latch ended;
    pthread_t thread;
};

/* --- the server on weir ---------------------------------------------------------------------------------------- */

static weir_task *step(weir_worker *w, weir_task *t)
{
    struct echo *e = (struct echo *)(void *)t;
    int64_t n = e->io.result;
    if (n <= 0) {
        weir_latch_arrive(e->ended, 1);
        return NULL;
    }
    e->reads = !e->reads;
    int r = e->reads ? weir_io_read(w, &e->io, e->in, e->bytes, MESSAGE, WEIR_IO_HERE)
                     : weir_io_write(w, &e->io, e->out, e->bytes, (size_t)n, WEIR_IO_HERE);
    if (r != 0)
        bench_fail("echo: %s", weir_strerror(r));
    return NULL;
}

static void start_weir(struct server *s, bool no_uring)
{
    weir_config c;
    if (weir_config_init(&c) != 0)
        bench_fail("echo: weir_config_init failed");
    c.workers = WORKERS;
    c.no_uring = no_uring;
    if (weir_start(&s->rt, &c) != 0 || weir_latch_init(&s->ended, s->n) != 0)
        bench_fail("echo: no runtime");
    for (unsigned i = 0; i < s->n; i++) {
        struct echo *e = &s->echo[i];
        weir_task_init(&e->task, step);
        weir_io_init(&e->io, &e->task);
        e->io.result = 1; /* as if a write had just ended */
        e->reads = false;
        e->ended = &s->ended;
        if (weir_submit(s->rt, &e->task, WEIR_BLOCK, 0) != 0)
            bench_fail("echo: weir_submit failed");
    }
}

/* --- the server without ---------------------------------------------------------------------------------------- */

static void *bare_loop(void *arg)
{
    struct server *s = arg;
    int fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event found[EVENTS];
    unsigned left = s->n;
    for (unsigned i = 0; i < s->n; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &s->echo[i]};
        if (epoll_ctl(fd, EPOLL_CTL_ADD, s->echo[i].in, &e) != 0)
            bench_fail("echo: epoll_ctl failed");
    }
    while (left > 0) {
        int n = epoll_wait(fd, found, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct echo *e = found[i].data.ptr;
            ssize_t got = read(e->in, e->bytes, MESSAGE);
            if (got <= 0) {
                epoll_ctl(fd, EPOLL_CTL_DEL, e->in, NULL);
                left--;
            } else if (write(e->out, e->bytes, (size_t)got) != got) {
                bench_fail("echo: a short write");
            }
        }
    }
    close(fd);
    return NULL;
}

/* --- connections ------------------------------------------------------------------------------------------------ */

static void connect_all(struct server *s, bool pipes)
{
    for (unsigned i = 0; i < s->n; i++) {
        int a[2], b[2];
        if (pipes ? pipe(a) != 0 || pipe(b) != 0 : socketpair(AF_UNIX, SOCK_STREAM, 0, a) != 0)
            bench_fail("echo: no descriptors: raise the limit (ulimit -n)");
        s->echo[i] = (struct echo){.in = a[0], .out = pipes ? b[1] : a[0]};
        s->client[i] = (struct ends){.in = pipes ? b[0] : a[1], .out = a[1]};
    }
}

static void start(struct server *s, unsigned which, bool pipes)
{
    connect_all(s, pipes);
    s->rt = NULL;
    if (which != BARE)
        start_weir(s, which == EPOLL);
    else if (pthread_create(&s->thread, NULL, bare_loop, s) != 0)
        bench_fail("echo: no thread");
}

static void stop(struct server *s)
{
    for (unsigned i = 0; i < s->n; i++)
        close(s->client[i].out); /* the server reads the end */
    if (s->rt != NULL) {
        weir_latch_wait(&s->ended, WEIR_FOREVER);
        bench_stop_weir(s->rt);
    } else {
        pthread_join(s->thread, NULL);
    }
    for (unsigned i = 0; i < s->n; i++) {
        close(s->echo[i].in);
        if (s->echo[i].out != s->echo[i].in) {
            close(s->echo[i].out);
            close(s->client[i].in);
        }
    }
}

/* --- the client ------------------------------------------------------------------------------------------------- */

static void send_one(const struct ends *c)
{
    char bytes[MESSAGE] = {1};
    if (write(c->out, bytes, sizeof bytes) != sizeof bytes)
        bench_fail("echo: the client can't write");
}

static void receive_one(const struct ends *c)
{
    char bytes[MESSAGE];
    for (size_t got = 0; got < sizeof bytes;) {
        ssize_t n = read(c->in, bytes, sizeof bytes - got);
        if (n <= 0)
            bench_fail("echo: the client can't read");
        got += (size_t)n;
    }
}

/* There and back, one after the other; ns each. */
static double hop(struct server *s, unsigned hops)
{
    uint64_t from = bench_now();
    for (unsigned i = 0; i < hops; i++) {
        send_one(&s->client[0]);
        receive_one(&s->client[0]);
    }
    return (double)(bench_now() - from) / hops;
}

/* All connections at once; echoes a second. */
static double flood(struct server *s, unsigned echoes)
{
    struct epoll_event found[EVENTS];
    int fd = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < s->n; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &s->client[i]};
        epoll_ctl(fd, EPOLL_CTL_ADD, s->client[i].in, &e);
    }
    unsigned sent = 0, got = 0;
    uint64_t from = bench_now();
    for (; sent < s->n; sent++)
        send_one(&s->client[sent]);
    while (got < echoes) {
        int n = epoll_wait(fd, found, EVENTS, PATIENCE_MS);
        if (n <= 0)
            bench_fail("echo: %u echoes are missing", sent - got);
        for (int i = 0; i < n; i++, got++) {
            receive_one(found[i].data.ptr);
            if (sent < echoes) {
                send_one(found[i].data.ptr);
                sent++;
            }
        }
    }
    double seconds = (double)(bench_now() - from) * 1e-9;
    close(fd);
    return echoes / seconds;
}

/* --- benchmarks ------------------------------------------------------------------------------------------------- */

static struct server *new_server(void)
{
    struct server *s = bench_alloc(sizeof *s);
    s->echo = bench_alloc(CONNECTIONS_MAX * sizeof *s->echo);
    s->client = bench_alloc(CONNECTIONS_MAX * sizeof *s->client);
    return s;
}

static void free_server(struct server *s)
{
    free(s->echo);
    free(s->client);
    free(s);
}

static void run_pipe(const struct bench_case *c, const struct bench_options *o)
{
    double v[SERVERS][BENCH_RUNS_MAX], ratio[SERVERS][BENCH_RUNS_MAX];
    unsigned runs = o->runs != 0 ? o->runs : 5;
    unsigned hops = o->quick ? PIPE_HOPS_QUICK : PIPE_HOPS;
    struct server *s = new_server();
    s->n = 1;
    for (unsigned r = 0; r < runs; r++) {
        for (unsigned i = 0; i < SERVERS; i++) {
            start(s, i, true);
            hop(s, hops / 10);
            v[i][r] = hop(s, hops) * 1e-3;
            ratio[i][r] = v[i][r] / v[BARE][r];
            stop(s);
        }
    }
    free_server(s);
    if (!o->json)
        printf("echo_pipe: %s, %u hops a run\n", c->what, hops);
    for (unsigned i = 0; i < SERVERS; i++)
        bench_report(o, "echo_pipe", server_names[i], i == BARE ? 1 : WORKERS, "round_trip", "us", v[i], runs);
    for (unsigned i = URING; i < SERVERS; i++)
        bench_report(o, "echo_pipe", server_names[i], WORKERS, "over_epoll_loop", "ratio", ratio[i], runs);
    if (!o->json)
        putchar('\n');
}

static void run_sockets(const struct bench_case *c, const struct bench_options *o)
{
    static const unsigned connections[] = {1, 64, CONNECTIONS_MAX};
    unsigned runs = o->runs != 0 ? o->runs : 5;
    unsigned echoes = o->quick ? ECHOES_QUICK : ECHOES;
    struct server *s = new_server();
    if (!o->json)
        printf("echo: %s, %u echoes of %u bytes a run\n", c->what, echoes, MESSAGE);
    for (unsigned k = 0; k < sizeof connections / sizeof *connections; k++) {
        double v[SERVERS][BENCH_RUNS_MAX], ratio[SERVERS][BENCH_RUNS_MAX];
        char metric[48];
        s->n = connections[k];
        for (unsigned r = 0; r < runs; r++) {
            for (unsigned i = 0; i < SERVERS; i++) {
                start(s, i, false);
                v[i][r] = flood(s, connections[k] == 1 ? echoes / 4 : echoes);
                ratio[i][r] = v[i][r] / v[BARE][r];
                stop(s);
            }
        }
        for (unsigned i = 0; i < SERVERS; i++) {
            snprintf(metric, sizeof metric, "echoes_%u_connections", connections[k]);
            bench_report(o, "echo", server_names[i], i == BARE ? 1 : WORKERS, metric, "1/s", v[i], runs);
            snprintf(metric, sizeof metric, "times_epoll_loop_%u", connections[k]);
            if (i != BARE)
                bench_report(o, "echo", server_names[i], WORKERS, metric, "ratio", ratio[i], runs);
        }
    }
    free_server(s);
    if (!o->json)
        putchar('\n');
}

const struct bench_case bench_echo_pipe = {
    .name = "echo_pipe",
    .what = "a message through a pipe and back, in turns with a bare epoll loop",
    .custom = run_pipe,
};

const struct bench_case bench_echo = {
    .name = "echo",
    .what = "echo over local sockets at 1, 64 and 1,000 connections, in turns with a bare epoll loop",
    .custom = run_sockets,
};
