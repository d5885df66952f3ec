/* SPDX-License-Identifier: MIT
 *
 * model_main.c - the engine's life: memory, failures, crashes, and the command line of a test program.
 *
 * Threads: the engine's one thread.
 */
#include "model_int.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct model *M;

#define EXECUTIONS_NORMAL UINT64_C(60000) /* per client, when it names no limit */
#define EXECUTIONS_RANDOM UINT64_C(20000)
#define SECONDS_NORMAL 1.0 /* of processor time, per client */
#define SECONDS_DEEP 900.0
#define ARENA_ADDRESS ((void *)UINT64_C(0x200000000000))

void model_die(const char *what)
{
    fprintf(stderr, "model: %s%s%s\n", what, M != NULL && M->client != NULL ? " in client " : "",
            M != NULL && M->client != NULL ? M->client->name : "");
    _exit(2);
}

void model_vfail(const char *file, int line, const char *format, va_list ap)
{
    char what[400];
    if (M == NULL || M->res == NULL)
        model_die("a client function was called outside of a check");
    vsnprintf(what, sizeof what, format, ap);
    const char *base = strrchr(file, '/');
    snprintf(M->res->message, sizeof M->res->message, "%s:%d: thread %d: %s", base != NULL ? base + 1 : file, line,
             M->self - 1, what);
    M->failed = true;
    __builtin_longjmp(M->jmp, 1);
}

void model_fail(const char *file, int line, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    model_vfail(file, line, format, ap);
}

/* assert() in the sources under test ends the execution like any other failure. */
void __assert_fail(const char *what, const char *file, unsigned line, const char *function)
{
    (void)function;
    model_fail(file, (int)line, "assertion failed: %s", what);
}

static void on_crash(int sig)
{
    char token[4096];
    printf("\n%s: signal %d in thread %d\n", M->client != NULL ? M->client->name : "?", sig, M->self - 1);
    if (M->client != NULL) {
        trace_print(stdout);
        trace_token(token, sizeof token);
        printf("  replay with: --only %s --replay %s\n", M->client->name, token);
    }
    fflush(stdout);
    _exit(1);
}

static void *map(void *at, size_t n)
{
    void *p = mmap(at, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        model_die("out of memory");
    return p;
}

static void engine_init(void)
{
    if (M != NULL)
        return;
    M = map(NULL, sizeof *M);
    M->arena = map(ARENA_ADDRESS, ARENA_SIZE);
    M->pool = map(NULL, POOL_SIZE);
    stack_t ss = {.ss_sp = map(NULL, 65536), .ss_size = 65536};
    sigaltstack(&ss, NULL);
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = on_crash;
    sa.sa_flags = SA_ONSTACK;
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
    sigaction(SIGFPE, &sa, NULL);
    sigaction(SIGABRT, &sa, NULL);
    setvbuf(stdout, NULL, _IOLBF, 1 << 16);
    sched_init();
}

__attribute__((constructor)) static void start(void)
{
    engine_init();
}

/* --- command line ----------------------------------------------------------------------------------------------- */

static void usage(const char *program)
{
    printf("usage: %s [--list] [--only NAME,...] [--deep] [--pct N] [--seed N] [--seconds S] [--executions N]\n"
           "       [--replay TOKEN] [--quiet] [--verbose] [--stop-at-failure] [--mutant MUTANT] [--sites]\n", program);
}

/* Whether a name is in a list of names with commas between. */
static bool listed(const char *names, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = names; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, n) == 0 && (at[n] == 0 || at[n] == ','))
            return true;
    }
    return false;
}

static void print_result(const struct model_client *c, const struct model_result *r, bool pct, bool ok)
{
    char how[160] = "";
    size_t n = 0;
    if (r->exhausted)
        n += (size_t)snprintf(how + n, sizeof how - n, " all");
    if (pct)
        n += (size_t)snprintf(how + n, sizeof how - n, " random");
    if (r->cut_limit && !pct)
        n += (size_t)snprintf(how + n, sizeof how - n, " BOUND: stopped at the limit");
    if (r->cut_preemption > 0)
        n += (size_t)snprintf(how + n, sizeof how - n, " BOUND: %llu preemptions not followed",
                              (unsigned long long)r->cut_preemption);
    if (r->cut_stale > 0)
        n += (size_t)snprintf(how + n, sizeof how - n, " BOUND: %llu stale reads not repeated",
                              (unsigned long long)r->cut_stale);
    printf("%-6s %-38s %9llu executions, %8llu redundant, %4u steps, %7.2f s,%s\n", ok ? "ok" : "FAILED", c->name,
           (unsigned long long)r->executions, (unsigned long long)r->redundant, r->longest, r->seconds, how);
    if (c->expect != NULL && r->verdict == MODEL_FAIL)
        printf("       found: %s\n", r->message);
    else if (!ok)
        printf("       %s\n", r->verdict == MODEL_PASS ? "a seeded bug was not found" : r->message);
}

static bool run_client(const struct model_client *c, struct model_options o, bool verbose, double *seconds,
                       uint64_t *executions)
{
    struct model_result *r = malloc(sizeof *r);
    if (r == NULL)
        model_die("out of memory");
    o.quiet = c->expect != NULL && !verbose;
    model_check(c, &o, r);
    bool ok = c->expect == NULL ? r->verdict == MODEL_PASS
                                : r->verdict == MODEL_FAIL && strstr(r->message, c->expect) != NULL;
    print_result(c, r, o.pct, ok);
    *seconds += r->seconds;
    *executions += r->executions;
    bool partial = r->cut_limit && !o.pct && !o.deep && r->verdict == MODEL_PASS;
    free(r);
    if (!partial)
        return ok;
    /* Depth first has seen one corner only: a look at random at the rest. */
    o.pct = true;
    o.seconds /= 2;
    o.executions = EXECUTIONS_RANDOM;
    return run_client(c, o, verbose, seconds, executions);
}

int model_main(int argc, char **argv, const struct model_client *clients, size_t n)
{
    struct model_options o = {.seed = 1};
    const char *only = NULL;
    bool verbose = false, list = false, stop = false;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(a, "--list") == 0)
            list = true;
        else if (strcmp(a, "--deep") == 0)
            o.deep = true;
        else if (strcmp(a, "--quiet") == 0)
            o.quiet = true;
        else if (strcmp(a, "--stop-at-failure") == 0)
            stop = true;
        else if (strcmp(a, "--verbose") == 0)
            verbose = true;
        else if (strcmp(a, "--only") == 0)
            only = v, i++;
        else if (strcmp(a, "--mutant") == 0)
            mutant_set(v), i++;
        else if (strcmp(a, "--sites") == 0)
            M->list_sites = true;
        else if (strcmp(a, "--replay") == 0)
            o.replay = v, verbose = true, i++;
        else if (strcmp(a, "--seed") == 0)
            o.seed = strtoull(v, NULL, 10), i++;
        else if (strcmp(a, "--pct") == 0)
            o.pct = true, o.executions = strtoull(v, NULL, 10), i++;
        else if (strcmp(a, "--executions") == 0)
            o.executions = strtoull(v, NULL, 10), i++;
        else if (strcmp(a, "--seconds") == 0)
            o.seconds = strtod(v, NULL), i++;
        else {
            usage(argv[0]);
            return 2;
        }
    }
    unsigned ran = 0, failed = 0;
    uint64_t executions = 0;
    double seconds = 0;
    for (size_t i = 0; i < n; i++) {
        const struct model_client *c = &clients[i];
        if (list) {
            printf("%s%s\n", c->name, c->deep_only ? " (deep)" : "");
            continue;
        }
        if (only != NULL ? !listed(only, c->name) : c->deep_only && !o.deep)
            continue;
        struct model_options own = o;
        if (own.seconds <= 0)
            own.seconds = o.deep ? SECONDS_DEEP : SECONDS_NORMAL;
        if (own.executions == 0 && !o.deep)
            own.executions = c->executions > 0 ? c->executions : EXECUTIONS_NORMAL;
        if (c->pct && !o.deep)
            own.pct = true;
        ran++;
        failed += !run_client(c, own, verbose, &seconds, &executions);
        if (M->list_sites)
            sites_print();
        if (failed > 0 && stop)
            break;
    }
    if (list)
        return 0;
    printf("%s: %u clients, %u failed, %llu executions, %.1f s\n", argv[0], ran, failed, (unsigned long long)executions,
           seconds);
    return failed != 0 || ran == 0;
}
