/* SPDX-License-Identifier: MIT
 *
 * bench/bench_requests.c - 50,000 requests at once, steady load with bursts, overload, changing load: a thread or a
 * goroutine per request, pools, and weir.
 *
 * Threads: main thread only; whoever serves requests is a process of its own (requests/server.c, requests/go/main.go).
 * Invariants: in a round each implementation runs once, one at a time. A run counts only if its account balances and,
 * where nothing is rejected, if its results are those of all the others.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "process.h"
#include "requests/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS_DEFAULT 5u
#define LAUNCHER_WORDS 16u
#define NUMBER_TEXT 16u /* bytes */
#define LINE_TEXT 512u  /* bytes */
#define MILLION 1e6

extern char **environ;

/* What a program prints, in its order. */
struct account {
    uint64_t offered, completed, rejected, shed, discarded, checksum;
    double busy_s, p50, p99, p999, rss_mb, cpu_s, pause, grow, shrink;
};

static pid_t spawn(char **arguments, int output)
{
    pid_t pid;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    int error = posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        bench_fail("%s: %s", arguments[0], strerror(error));
    return pid;
}

/* Runs a program; what it prints goes to line[]. Returns whether its status was 0. */
static bool run_program(char **arguments, char line[LINE_TEXT])
{
    int channel[2], status = 0;
    if (pipe2(channel, O_CLOEXEC) != 0)
        bench_fail("pipe: %s", strerror(errno));
    fflush(NULL);
    pid_t pid = spawn(arguments, channel[1]);
    close(channel[1]);
    FILE *from = fdopen(channel[0], "r");
    if (from == NULL)
        bench_fail("fdopen: %s", strerror(errno));
    line[0] = '\0';
    while (fgets(line, LINE_TEXT, from) == NULL && errno == EINTR)
        ;
    fclose(from);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status == 0;
}

/* Whether the program is there and knows the implementation. */
static bool is_there(const struct entrant *e)
{
    char path[PATH_MAX], line[LINE_TEXT];
    char *arguments[] = {path, (char *)(uintptr_t)e->name, NULL};
    return process_sibling(e->program, X_OK, path) && run_program(arguments, line);
}

/* The words of --launcher, split at blanks; *text is kept in pieces. Returns their number. */
static unsigned launcher_words(char *text, char **words)
{
    unsigned n = 0;
    for (char *rest, *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        if (n == LAUNCHER_WORDS)
            bench_fail("--launcher has more than %u words", LAUNCHER_WORDS);
        words[n++] = word;
    }
    return n;
}

static struct account run_entrant(const struct workload *w, const struct entrant *e, const struct bench_options *o)
{
    enum { NUMBERS = 6 };
    char path[PATH_MAX], segments[SEGMENTS_TEXT], line[LINE_TEXT], launcher[LINE_TEXT], number[NUMBERS][NUMBER_TEXT];
    char *arguments[LAUNCHER_WORDS + NUMBERS + 5], block[] = "block", try[] = "try";
    uint32_t io_us = o->quick && w->quick_io_us != 0 ? w->quick_io_us : w->io_us;
    const unsigned values[NUMBERS] = {e->workers, e->max_workers, e->queue, w->burn_before, w->burn_after,
                                      e->role == ROLE_FLOOR ? 0 : io_us};
    if (!process_sibling(e->program, X_OK, path))
        bench_fail("%s is gone", e->program);
    (e->role == ROLE_FLOOR ? plan_floor_segments : w->segments)(w, o->quick, segments);
    snprintf(launcher, sizeof launcher, "%s", o->launcher != NULL ? o->launcher : "");
    for (unsigned i = 0; i < NUMBERS; i++)
        snprintf(number[i], NUMBER_TEXT, "%u", values[i]);
    unsigned n = launcher_words(launcher, arguments);
    char *rest[] = {path, (char *)(uintptr_t)e->name, number[0], number[1], number[2], w->block ? block : try,
                    number[3], number[4], number[5], segments, NULL};
    memcpy(arguments + n, rest, sizeof rest);

    struct account a;
    if (!run_program(arguments, line) ||
        sscanf(line,
               "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
               " %lf %lf %lf %lf %lf %lf %lf %lf %lf",
               &a.offered, &a.completed, &a.rejected, &a.shed, &a.discarded, &a.checksum, &a.busy_s, &a.p50, &a.p99,
               &a.p999, &a.rss_mb, &a.cpu_s, &a.pause, &a.grow, &a.shrink) != 15)
        bench_fail("%s: %s with %u workers failed", w->name, e->name, e->workers);
    return a;
}

/* Where everything is served, all must come to the same sum of results. */
static void check(const struct workload *w, const struct entrant *e, const struct account *a, uint64_t *checksum)
{
    if (a->offered != a->completed + a->rejected + a->shed + a->discarded)
        bench_fail("%s: %s: of %" PRIu64 " requests %" PRIu64 " were served, %" PRIu64 " rejected, %" PRIu64
                   " shed, %" PRIu64 " discarded", w->name, e->name, a->offered, a->completed, a->rejected, a->shed,
                   a->discarded);
    if (!w->block || e->role == ROLE_FLOOR)
        return;
    if (a->completed != a->offered)
        bench_fail("%s: %s did not serve all requests", w->name, e->name);
    if (*checksum == 0)
        *checksum = a->checksum;
    if (*checksum != a->checksum)
        bench_fail("%s: the results of %s are not those of the others", w->name, e->name);
}

static void keep(struct entrant *e, const struct account *a, double floor_rate, unsigned round)
{
    const double v[FIGURES] = {
        [RATE] = a->busy_s > 0 ? (double)a->completed / a->busy_s : 0,
        [P50] = a->p50,
        [P99] = a->p99,
        [P999] = a->p999,
        [MEMORY] = a->rss_mb,
        [CPU] = a->completed > 0 ? a->cpu_s / (double)a->completed * MILLION : -1,
        [REJECTED] = 100.0 * (double)(a->rejected + a->shed) / (double)a->offered,
        [PAUSE] = a->pause,
        [OVER_FLOOR] = floor_rate > 0 ? (double)a->completed / a->busy_s / floor_rate : -1,
        [GROW] = a->grow,
        [SHRINK] = a->shrink,
    };
    for (unsigned f = 0; f < FIGURES; f++)
        e->v[f][round] = v[f];
}

static unsigned select_entrants(const struct workload *w, const struct bench_options *o, struct entrant *list)
{
    unsigned n = 0, kept = 0;
    plan_enter(w, list, &n);
    for (unsigned i = 0; i < n; i++)
        if (bench_takes_part(o, list[i].name, o->peers || !list[i].peer) && is_there(&list[i]))
            list[kept++] = list[i];
    return kept;
}

static void run_workload(const struct workload *w, const struct bench_options *o, struct entrant *list)
{
    unsigned runs = o->runs != 0 ? o->runs : RUNS_DEFAULT;
    unsigned n = select_entrants(w, o, list);
    uint64_t checksum = 0;
    for (unsigned round = 0; round < runs; round++) {
        double floor_rate = -1;
        for (unsigned i = 0; i < n; i++) {
            struct account a = run_entrant(w, &list[i], o);
            check(w, &list[i], &a, &checksum);
            keep(&list[i], &a, floor_rate, round);
            if (list[i].role == ROLE_FLOOR)
                floor_rate = list[i].v[RATE][round];
        }
    }
    if (n == 0)
        return;
    requests_report(w, list, n, runs, o);
    if (o->plots != NULL)
        requests_plot(w, list, n, runs, o->plots);
}

static bool is_named(const struct bench_options *o, const char *name)
{
    struct bench_options as_impls = {.impls = o->workloads};
    return bench_takes_part(&as_impls, name, true);
}

static void run(const struct bench_case *c, const struct bench_options *o)
{
    struct entrant *list = bench_alloc(ENTRANTS_MAX * sizeof *list);
    bool any = false;
    if (!o->json)
        printf("requests: %s\n", c->what);
    for (unsigned i = 0; i < n_workloads; i++) {
        if (!is_named(o, workloads[i].name))
            continue;
        any = true;
        run_workload(&workloads[i], o, list);
    }
    if (!any)
        bench_fail("no workload of that name: %s", o->workloads);
    free(list);
}

const struct bench_case bench_requests = {
    .name = "requests",
    .what = "served by a thread or goroutine each, by pools, by weir; every request's account balances",
    .custom = run,
};
