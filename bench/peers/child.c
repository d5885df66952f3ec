/* SPDX-License-Identifier: MIT
 *
 * bench/peers/child.c - talks to the peers that are programs of their own: Go and rayon.
 *
 * Threads: main thread only.
 * Invariants: a program is started once for each number of workers and lives until `end`. It is asked with a line
 * "BENCH N" and answers with a line "ANSWER SECONDS BYTES"; it takes the time and measures its memory itself.
 */
#define _GNU_SOURCE
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct child {
    pid_t pid;
    FILE *to, *from;
    double seconds, bytes; /* of the last run */
};

static int spawn(struct child *c, const char *path, unsigned workers)
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0)
        return -errno;
    if (pipe2(out, O_CLOEXEC) != 0) {
        int error = errno;
        close(in[0]);
        close(in[1]);
        return -error;
    }
    char count[16], program[] = "peer";
    char *arguments[] = {program, count, NULL};
    snprintf(count, sizeof count, "%u", workers);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    int error = posix_spawn(&c->pid, path, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    c->to = fdopen(in[1], "w");
    c->from = fdopen(out[0], "r");
    return error != 0 ? -error : c->to == NULL || c->from == NULL ? -ENOMEM : 0;
}

/* NaN, which is never right, when the program does not answer. */
static double ask(struct child *c, const char *bench, const struct bench_input *in)
{
    double answer;
    if (fprintf(c->to, "%s %lld\n", bench, (long long)in->n) < 0 || fflush(c->to) != 0 ||
        fscanf(c->from, "%lf %lf %lf", &answer, &c->seconds, &c->bytes) != 3)
        return NAN;
    return answer;
}

static double seconds(void *state)
{
    return ((struct child *)state)->seconds;
}

static double bytes(void *state)
{
    return ((struct child *)state)->bytes;
}

static void quiet(void *state)
{
    (void)state;
}

static void end(void *state)
{
    struct child *c = state;
    int status;
    fclose(c->to);
    fclose(c->from);
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        ;
    free(c);
}

/* The function that asks for one benchmark. */
#define ASKS(function, bench) \
    static double function(void *state, const struct bench_input *in) \
    { \
        return ask(state, bench, in); \
    }
ASKS(run_fib, "fib")
ASKS(run_nqueens, "nqueens")
ASKS(run_uts, "uts_t1") /* the tree is the size */
ASKS(run_integrate, "integrate")
ASKS(run_skynet, "skynet")
ASKS(run_flat, "flat")
ASKS(run_timers_start, "timers_start") /* these answers are figures: ns */
ASKS(run_timers_cancel, "timers_cancel")
ASKS(run_timers_late50, "timers_late50")
ASKS(run_timers_late99, "timers_late99")

static const struct peer_case cases[] = {
    {"fib", run_fib},
    {"nqueens", run_nqueens},
    {"uts_t1", run_uts},
    {"uts_t3", run_uts},
    {"integrate", run_integrate},
    {"skynet", run_skynet},
    {"flat", run_flat},
    {"timers_start", run_timers_start},
    {"timers_cancel", run_timers_cancel},
    {"timers_late50", run_timers_late50},
    {"timers_late99", run_timers_late99},
    {NULL, NULL},
};

static const struct peer_case tasks_only[] = {
    {"fib", run_fib},
    {"nqueens", run_nqueens},
    {"uts_t1", run_uts},
    {"uts_t3", run_uts},
    {"integrate", run_integrate},
    {"skynet", run_skynet},
    {"flat", run_flat},
    {NULL, NULL},
};

static int begin(const char *path, unsigned workers, void **state)
{
    if (*state != NULL)
        return 0;
    struct child *c = calloc(1, sizeof *c);
    if (c == NULL)
        return -ENOMEM;
    int r = spawn(c, path, workers);
    if (r != 0)
        free(c);
    else
        *state = c;
    return r;
}

static const char *go_path, *rayon_path;

static int begin_go(unsigned workers, void **state)
{
    return begin(go_path, workers, state);
}

static int begin_rayon(unsigned workers, void **state)
{
    return begin(rayon_path, workers, state);
}

static const struct peer go_peer = {PEER_VERSION, "go", begin_go, quiet, end, cases, seconds, bytes};
static const struct peer rayon_peer = {PEER_VERSION, "rayon", begin_rayon, quiet, end, tasks_only, seconds, bytes};

const struct peer *child_peer(const char *name, const char *path)
{
    if (strcmp(name, "go") == 0) {
        go_path = path;
        return &go_peer;
    }
    if (strcmp(name, "rayon") == 0) {
        rayon_path = path;
        return &rayon_peer;
    }
    return NULL;
}
