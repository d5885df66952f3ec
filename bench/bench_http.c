/* SPDX-License-Identifier: MIT
 *
 * bench/bench_http.c - docs/examples/httpd beside Go's net/http and, for the smallest request, a bare epoll loop that
 * answers with a constant, all driven by wrk on the loopback interface.
 *
 * Threads: main thread only; servers and wrk are processes of their own, on the same processors.
 * Invariants: in a round each server runs once with each number of connections, in turns, started anew for each; a run
 * counts only if all answers were 2xx and no connection failed.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUNS_DEFAULT 5u
#define SECONDS 10u      /* of each run, unless --seconds says otherwise: in 3 s much of it is Go's start */
#define SECONDS_QUICK 1u
#define FILE_BYTES 1024u /* of the file that is served */
#define LINE_TEXT 512u   /* bytes */
#define LIMIT_TEXT "16384" /* of httpd: more than there are, as Go's server has no limits */
#define WORDS 16u
#define SPARE_DESCRIPTORS 100u /* of a process, beyond its connections */

extern char **environ;

enum figure { RATE, P50, P99, MEMORY, CPU, CLIENT_CPU, FIGURES };

static const struct {
    const char *name, *unit;
} figure_kinds[FIGURES] = {
    [RATE] = {"requests", "1/s"}, [P50] = {"p50", "ms"}, [P99] = {"p99", "ms"}, [MEMORY] = {"rss_peak", "MB"},
    [CPU] = {"cpu_per_million", "s"}, [CLIENT_CPU] = {"client_cpu_per_million", "s"},
};

static const struct {
    const char *name, *path;
    bool bare; /* is what the bare loop answers */
} requests[] = {
    {"small", "/work", true},                /* nothing to do: the cost of a request itself */
    {"file", "/file.txt", false},            /* FILE_BYTES of them */
    {"wait", "/work?us=5&io_us=1000", false}, /* 5 us of computing, then 1 ms of waiting */
};
#define REQUESTS (sizeof requests / sizeof *requests)

static const unsigned connections[] = {64, 1000, 10000};
#define SIZES (sizeof connections / sizeof *connections)

enum side { WEIR, GO, BARE, SIDES };

static const char *const names[SIDES] = {"weir", "go", "bare"};
static const char *const files[SIDES] = {"../docs/examples/httpd/httpd", "httpd-go", "httpd-bare"};

/* What one round has shown of one server. */
struct sample {
    double v[FIGURES];
};

struct process {
    pid_t pid;
    FILE *out;
};

/* --- processes --------------------------------------------------------------------------------------------------- */

static struct process start(char *const *words)
{
    struct process p;
    int channel[2], error;
    posix_spawn_file_actions_t actions;
    if (pipe2(channel, O_CLOEXEC) != 0)
        bench_fail("pipe: %s", strerror(errno));
    fflush(NULL);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, channel[1], STDOUT_FILENO);
    error = posix_spawnp(&p.pid, words[0], &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(channel[1]);
    p.out = error == 0 ? fdopen(channel[0], "r") : NULL;
    if (p.out == NULL)
        bench_fail("%s: %s", words[0], strerror(error));
    return p;
}

/* Waits for its end; *cpu is what it has used, in seconds. Returns whether its exit status was 0. */
static bool finish(struct process *p, double *cpu)
{
    struct rusage used;
    int status = 1;
    fclose(p->out);
    while (wait4(p->pid, &status, 0, &used) < 0 && errno == EINTR)
        ;
    *cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
    return status == 0;
}

/* MB of the peak of a process's resident memory. */
static double peak_mb(pid_t pid)
{
    double peak = process_status_bytes(pid, "VmHWM:");
    return peak < 0 ? 0 : peak / PROCESS_MB;
}

/* --- one run ----------------------------------------------------------------------------------------------------- */

/* wrk's "1.23ms" in ms. */
static double milliseconds(const char *text)
{
    char *unit;
    double v = strtod(text, &unit);
    return strncmp(unit, "us", 2) == 0 ? v * 1e-3 : strncmp(unit, "ms", 2) == 0 ? v : v * 1e3;
}

/* Reads what wrk prints. False: some request failed. */
static bool read_wrk(FILE *from, struct sample *s)
{
    char line[LINE_TEXT], value[32];
    bool good = true;
    while (fgets(line, sizeof line, from) != NULL) {
        if (sscanf(line, " 50%% %31s", value) == 1)
            s->v[P50] = milliseconds(value);
        else if (sscanf(line, " 99%% %31s", value) == 1)
            s->v[P99] = milliseconds(value);
        else if (strncmp(line, "Requests/sec:", 13) == 0)
            s->v[RATE] = strtod(line + 13, NULL);
        else if (strstr(line, "Non-2xx") != NULL || strstr(line, "Socket errors") != NULL)
            good = strstr(line, "connect 0, read 0, write 0") != NULL && good; /* timeouts are slow, not wrong */
    }
    return good;
}

static void set_text(char *to, size_t room, const char *format, unsigned n)
{
    (void)snprintf(to, room, "%s%u", format, n);
}

static struct sample run_one(enum side side, const char *program, char *folder, const char *path, unsigned n,
                             unsigned seconds)
{
    struct sample s = {.v = {0}};
    char url[128], c[16], d[16], server_path[PATH_MAX];
    unsigned port = 0;
    double cpu, wrk_cpu;
    snprintf(server_path, sizeof server_path, "%s", program);
    char *weir_words[] = {server_path, (char[]){"--port"}, (char[]){"0"}, (char[]){"--requests"},
                          (char[]){LIMIT_TEXT}, (char[]){"--connections"}, (char[]){LIMIT_TEXT}, folder, NULL};
    char *other_words[] = {server_path, side == GO ? folder : NULL, NULL};
    struct process server = start(side == WEIR ? weir_words : other_words);
    if (fscanf(server.out, "listening on 127.0.0.1:%u", &port) != 1)
        bench_fail("%s does not start", program);
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, path);
    set_text(c, sizeof c, "-c", n);
    set_text(d, sizeof d, "-d", seconds);
    char *wrk_words[] = {(char[]){"wrk"}, (char[]){"-t2"}, c, d, (char[]){"--latency"}, url, NULL};
    struct process wrk = start(wrk_words);
    bool good = read_wrk(wrk.out, &s);
    good = finish(&wrk, &wrk_cpu) && good;
    s.v[MEMORY] = peak_mb(server.pid);
    kill(server.pid, SIGTERM);
    if (!finish(&server, &cpu) || !good)
        bench_fail("%s with %u connections failed", program, n);
    s.v[CPU] = s.v[RATE] > 0 ? cpu / (s.v[RATE] * seconds) * 1e6 : -1;
    s.v[CLIENT_CPU] = s.v[RATE] > 0 ? wrk_cpu / (s.v[RATE] * seconds) * 1e6 : -1;
    return s;
}

/* --- the benchmark ----------------------------------------------------------------------------------------------- */

/* The figures of one request with so many connections. */
struct series {
    const char *request;
    unsigned connections, runs;
    bool takes_part[SIDES];
    double v[SIDES][FIGURES][BENCH_RUNS_MAX];
    double ratio[SIDES][FIGURES][BENCH_RUNS_MAX]; /* weir's to each other's, in the same round */
};

static void print_json(const struct bench_options *o, const struct series *s)
{
    char bench[64];
    snprintf(bench, sizeof bench, "http.%s.%u", s->request, s->connections);
    for (unsigned f = 0; f < FIGURES; f++) {
        for (unsigned side = 0; side < SIDES; side++)
            if (s->takes_part[side])
                bench_report(o, bench, names[side], 0, figure_kinds[f].name, figure_kinds[f].unit, s->v[side][f],
                             s->runs);
        for (unsigned side = GO; side < SIDES; side++) {
            char pair[32];
            snprintf(pair, sizeof pair, "weir/%s", names[side]);
            if (s->takes_part[WEIR] && s->takes_part[side])
                bench_report(o, bench, pair, 0, figure_kinds[f].name, "ratio", s->ratio[side][f], s->runs);
        }
    }
}

static void print_rows(const struct series *s)
{
    for (unsigned side = 0; side < SIDES; side++) {
        if (!s->takes_part[side])
            continue;
        printf("  %-6s %6u  %-8s", s->request, s->connections, names[side]);
        for (unsigned f = 0; f < FIGURES; f++)
            printf(" %12.4g", bench_median(s->v[side][f], s->runs));
        putchar('\n');
    }
    for (unsigned side = GO; side < SIDES; side++) {
        if (!s->takes_part[WEIR] || !s->takes_part[side])
            continue;
        printf("  %-6s %6u  to %-5s", s->request, s->connections, names[side]);
        for (unsigned f = 0; f < FIGURES; f++)
            printf(" %12.3f", bench_median(s->ratio[side][f], s->runs));
        putchar('\n');
    }
    fflush(stdout);
}

/* Both ends of each connection need a descriptor, each in a process of its own. */
static bool enough_descriptors(unsigned n)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max >= n + SPARE_DESCRIPTORS;
}

static void run_series(const struct bench_options *o, struct series *s, char (*programs)[PATH_MAX], char *folder,
                       const char *path, unsigned seconds)
{
    for (unsigned round = 0; round < s->runs; round++) {
        for (unsigned side = 0; side < SIDES; side++) {
            struct sample one = {.v = {0}};
            if (s->takes_part[side])
                one = run_one((enum side)side, programs[side], folder, path, s->connections, seconds);
            for (unsigned f = 0; f < FIGURES; f++)
                s->v[side][f][round] = one.v[f];
        }
        for (unsigned side = 0; side < SIDES; side++)
            for (unsigned f = 0; f < FIGURES; f++)
                s->ratio[side][f][round] = s->v[side][f][round] > 0 ? s->v[WEIR][f][round] / s->v[side][f][round] : 0;
    }
    if (o->json)
        print_json(o, s);
    else
        print_rows(s);
}

static void make_folder(char *folder)
{
    char path[64], content[FILE_BYTES];
    if (mkdtemp(folder) == NULL)
        bench_fail("%s: %s", folder, strerror(errno));
    snprintf(path, sizeof path, "%s/file.txt", folder);
    memset(content, 'x', sizeof content);
    FILE *f = fopen(path, "we");
    if (f == NULL || fwrite(content, sizeof content, 1, f) != 1 || fclose(f) != 0)
        bench_fail("%s: %s", path, strerror(errno));
}

static void remove_folder(const char *folder)
{
    char path[64];
    snprintf(path, sizeof path, "%s/file.txt", folder);
    unlink(path);
    rmdir(folder);
}

/* Whether --workload names the request, or with a dot behind it the number of connections. */
static bool is_named(const struct bench_options *o, const char *name, unsigned n)
{
    struct bench_options as_impls = {.impls = o->workloads};
    char both[64];
    snprintf(both, sizeof both, "%s.%u", name, n);
    return bench_takes_part(&as_impls, name, true) || bench_takes_part(&as_impls, both, true);
}

static void run(const struct bench_case *c, const struct bench_options *o)
{
    static char programs[SIDES][PATH_MAX];
    char folder[] = "/tmp/weir-bench-http-XXXXXX";
    struct series *s = bench_alloc(sizeof *s);
    s->runs = o->runs != 0 ? o->runs : RUNS_DEFAULT;
    unsigned seconds = o->quick ? SECONDS_QUICK : SECONDS;
    if (o->seconds != 0)
        seconds = o->seconds;
    bool there[SIDES];
    for (unsigned side = 0; side < SIDES; side++)
        there[side] = bench_takes_part(o, names[side], side != GO || o->peers) &&
                      process_sibling(files[side], X_OK, programs[side]);
    if (system("command -v wrk >/dev/null 2>&1") != 0) {
        fprintf(stderr, "http: wrk is not here\n");
        return;
    }
    if (!o->json)
        printf("http: %s\n  %-6s %6s  %-8s %12s %12s %12s %12s %12s %12s\n", c->what, "what", "conns", "",
               "requests/s", "p50 ms", "p99 ms", "peak MB", "CPU s/M", "wrk CPU s/M");
    make_folder(folder);
    for (unsigned r = 0; r < REQUESTS; r++)
        for (unsigned k = 0; k < SIZES; k++) {
            s->request = requests[r].name;
            s->connections = connections[k];
            memcpy(s->takes_part, there, sizeof there);
            s->takes_part[BARE] = there[BARE] && requests[r].bare;
            bool named = is_named(o, requests[r].name, connections[k]);
            if (named && enough_descriptors(connections[k]) && !(o->quick && k + 1 == SIZES))
                run_series(o, s, programs, folder, requests[r].path, seconds);
        }
    remove_folder(folder);
    free(s);
}

const struct bench_case bench_http = {
    .name = "http",
    .what = "an HTTP server with 64 to 10,000 connections, driven by wrk, beside Go's net/http and a bare epoll loop",
    .custom = run,
};
