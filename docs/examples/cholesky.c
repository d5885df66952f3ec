/* SPDX-License-Identifier: MIT
 *
 * cholesky - factors a dense symmetric matrix, A = L * L^T, in tiles: as a task graph, as dataflow, and with OpenMP.
 *
 * usage: cholesky [-n ORDER] [-t TILE] [-r ROUNDS] [-p WORKERS] [-g]
 *
 * All ways run the same kernels on the same tiles (cholesky_tiles.h) and take turns, ROUNDS times each. The first
 * result of each way is verified whole, by ||A - L * L^T|| / ||A|| in Frobenius norms; later ones are equal to it bit
 * by bit, because what is subtracted from a tile is so in a fixed order. A table of times follows; the runtime, the
 * flow and the team of OpenMP are there before the clock starts. With -g the graph is printed in DOT instead, coloured
 * by time. Exit status: 0, 1 (a result is wrong, or something failed), 2 (bad option).
 */
#include "cholesky_omp.h"
#include "cholesky_tiles.h"

#include <weir/weir.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ORDER_DEFAULT 1024u
#define ORDER_MAX 65536u
#define TILE_DEFAULT 64u
#define ROUNDS_DEFAULT 5u
#define ROUNDS_MAX 99u
#define NAME_BYTES 48

/* A call of one kernel on tile (i, j), at step k. */
struct step {
    const struct matrix *m;
    uint32_t i, j, k;
};

struct work {
    weir_runtime *rt;
    unsigned workers;
    struct matrix m;
    struct step *steps;     /* in an order that a single thread could run them in */
    size_t n_steps;
    weir_node *last_writer; /* of each tile, while a graph is built */
    bool named;             /* the graph's nodes get names */
    weir_graph *graph;
    weir_run *run;
    weir_flow *flow;
};

static _Noreturn void fail(const char *what, int error)
{
    fprintf(stderr, "cholesky: %s: %s\n", what, weir_strerror(error));
    exit(1);
}

static void must(const char *what, int r)
{
    if (r < 0)
        fail(what, r);
}

/* --- the tasks -------------------------------------------------------------------------------------------------- */

static int step_run(weir_worker *w, void *arg)
{
    const struct step *s = arg;
    (void)w;
    if (s->i == s->k)
        return tile_factor(s->m, s->k); /* an error stops the run, which names the node */
    if (s->j == s->k)
        tile_solve(s->m, s->i, s->k);
    else
        tile_update(s->m, s->i, s->j, s->k);
    return 0;
}

static void plan(struct work *x)
{
    size_t t = x->m.tiles;
    x->steps = calloc(t * (t + 1) * (t + 2) / 6, sizeof *x->steps);
    x->last_writer = calloc(t * (t + 1) / 2, sizeof *x->last_writer);
    if (x->steps == NULL || x->last_writer == NULL)
        fail("steps", -ENOMEM);
    for (uint32_t k = 0; k < t; k++)
        for (uint32_t j = k; j < t; j++) /* column k first: what the rest of the step reads */
            for (uint32_t i = j; i < t; i++)
                x->steps[x->n_steps++] = (struct step){&x->m, i, j, k};
}

/* --- as a static graph ------------------------------------------------------------------------------------------ */

static weir_node *writer(const struct work *x, size_t i, size_t j)
{
    return &x->last_writer[i * (i + 1) / 2 + j];
}

/* A step reads tiles (i, k) and (j, k) and changes (i, j): it follows who wrote them last. */
static int add_edges(const struct work *x, const struct step *s, weir_node node)
{
    weir_node before[] = {*writer(x, s->i, s->j), *writer(x, s->i, s->k), *writer(x, s->j, s->k)};
    weir_edge edges[3];
    size_t n = 0;
    for (size_t b = 0; b < 3; b++) {
        bool known = before[b].graph == 0; /* nobody has written there yet */
        for (size_t e = 0; e < n; e++)
            known |= edges[e].before.index == before[b].index;
        if (!known)
            edges[n++] = (weir_edge){before[b], node};
    }
    return weir_graph_edges(x->graph, edges, n);
}

static int add_step(struct work *x, struct step *s)
{
    static const char *const kinds[] = {"update", "solve", "factor"};
    char name[NAME_BYTES];
    weir_node_spec spec = {.size = sizeof spec, .fn = step_run, .arg = s, .name = x->named ? name : NULL};
    weir_node node;
    if (x->named)
        snprintf(name, sizeof name, "%s %u,%u", kinds[(s->i == s->k) + (s->j == s->k)], s->i, s->j);
    int r = weir_graph_add_spec(x->graph, &spec, &node);
    if (r == 0)
        r = add_edges(x, s, node);
    *writer(x, s->i, s->j) = node;
    return r;
}

static int graph_make(struct work *x, uint32_t flags)
{
    size_t t = x->m.tiles;
    memset(x->last_writer, 0, t * (t + 1) / 2 * sizeof *x->last_writer);
    int r = weir_graph_create(&x->graph);
    for (size_t s = 0; r == 0 && s < x->n_steps; s++)
        r = add_step(x, &x->steps[s]);
    if (r == 0)
        r = weir_graph_freeze(x->graph, NULL);
    return r == 0 ? weir_run_create(x->graph, flags, &x->run) : r;
}

static void graph_free(struct work *x)
{
    if (x->run != NULL)
        must("run", weir_run_destroy(x->run));
    if (x->graph != NULL)
        must("graph", weir_graph_destroy(x->graph));
    x->run = NULL;
    x->graph = NULL;
}

static int by_new_graph(struct work *x)
{
    int r = graph_make(x, 0);
    return r == 0 ? weir_run_once(x->rt, x->run) : r;
}

static int by_graph_again(struct work *x)
{
    return weir_run_once(x->rt, x->run);
}

/* --- as dataflow ------------------------------------------------------------------------------------------------ */

static int by_flow(struct work *x)
{
    int r = 0;
    for (size_t n = 0; r == 0 && n < x->n_steps; n++) {
        struct step *s = &x->steps[n];
        weir_dep deps[] = {{matrix_tile(&x->m, s->i, s->j), WEIR_INOUT},
                           {matrix_tile(&x->m, s->j, s->k), WEIR_IN},
                           {matrix_tile(&x->m, s->i, s->k), WEIR_IN}};
        uint32_t reads = s->j == s->k ? s->i != s->k : 1 + (s->i != s->j); /* each tile is named once */
        r = weir_flow_add(x->flow, step_run, s, deps, 1 + reads, WEIR_FOREVER);
    }
    int end = weir_flow_wait(x->flow);
    return end < 0 ? end : r;
}

/* --- beside them ------------------------------------------------------------------------------------------------ */

static int by_one_thread(struct work *x)
{
    int r = 0;
    for (size_t n = 0; r == 0 && n < x->n_steps; n++)
        r = step_run(NULL, &x->steps[n]);
    return r;
}

static int by_openmp(struct work *x)
{
    return cholesky_omp(&x->m, x->workers);
}

static void wake_openmp(struct work *x)
{
    cholesky_omp_wake(x->workers);
}

static void rest_openmp(struct work *x)
{
    (void)x;
    cholesky_omp_rest();
}

static const struct way {
    const char *name;
    int (*factor)(struct work *x);
    void (*before)(struct work *x); /* not timed; NULL: nothing */
    void (*after)(struct work *x);
} ways[] = {
    {"one thread", by_one_thread, NULL, NULL},
    {"graph: build and run", by_new_graph, graph_free, NULL},
    {"graph: run again", by_graph_again, NULL, NULL},
    {"dataflow", by_flow, NULL, NULL},
    {"OpenMP depend", by_openmp, wake_openmp, rest_openmp},
};
enum { WAYS = sizeof ways / sizeof ways[0] };

/* --- verifying -------------------------------------------------------------------------------------------------- */

static int verify_row(weir_worker *w, void *arg, size_t begin, size_t end)
{
    struct tile_norms *rows = ((void **)arg)[0];
    const struct matrix *l = ((void **)arg)[1];
    double *scratch = malloc(l->side * l->side * sizeof *scratch);
    (void)w;
    if (scratch == NULL)
        return -ENOMEM;
    for (size_t i = begin; i < end; i++)
        for (size_t j = 0; j <= i; j++) {
            struct tile_norms sum = tile_verify(l, i, j, scratch);
            rows[i].matrix += sum.matrix;
            rows[i].error += sum.error;
        }
    free(scratch);
    return 0;
}

struct verification {
    void *arg[2];
    size_t rows;
    int error;
};

static void verify_on_worker(weir_worker *w, void *arg)
{
    struct verification *v = arg;
    v->error = weir_for(w, NULL, 0, v->rows, verify_row, v->arg);
}

/* ||A - L * L^T|| / ||A||: all numbers, without the kernels' code. */
static double residual(const struct work *x)
{
    struct tile_norms *rows = calloc(x->m.tiles, sizeof *rows), sum = {0, 0};
    struct verification v = {{rows, (void *)(uintptr_t)&x->m}, x->m.tiles, rows == NULL ? -ENOMEM : 0};
    if (rows != NULL)
        must("verification", weir_call(x->rt, verify_on_worker, &v));
    must("verification", v.error);
    for (size_t i = 0; i < x->m.tiles; i++) {
        sum.matrix += rows[i].matrix;
        sum.error += rows[i].error;
    }
    free(rows);
    return sqrt(sum.error / sum.matrix);
}

/* --- rounds and the table --------------------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Whether the result is right: the first one of a way by its residual, which is kept, others by the first of all. */
static bool right(const struct work *x, double *first, double *error)
{
    if (*error < 0)
        *error = residual(x);
    if (*first == 0)
        memcpy(first, x->m.tile, matrix_bytes(&x->m));
    return *error <= (double)x->m.n * DBL_EPSILON && memcmp(first, x->m.tile, matrix_bytes(&x->m)) == 0;
}

/* One way, once, timed. False: its result is wrong. Without OpenMP the time is negative. */
static bool measure(struct work *x, const struct way *way, double *first, double *time, double *error)
{
    matrix_fill(&x->m);
    if (way->before != NULL)
        way->before(x);
    double start = now();
    int r = way->factor(x);
    *time = now() - start;
    if (way->after != NULL)
        way->after(x);
    if (r == -ENOSYS) {
        *time = -1;
        return true;
    }
    must(way->name, r);
    if (right(x, first, error))
        return true;
    fprintf(stderr, "cholesky: %s: wrong result, residual %.3g\n", way->name, *error);
    return false;
}

static void print_table(const struct work *x, size_t rounds, double times[WAYS][ROUNDS_MAX], const double *errors)
{
    printf("%zu x %zu in %zu x %zu tiles of %zu, %zu tasks, %u workers; %zu rounds in turns\n", x->m.n, x->m.n,
           x->m.tiles, x->m.tiles, x->m.side, x->n_steps, x->workers, rounds);
    printf("  %-22s %10s %10s %10s %10s %11s\n", "", "min ms", "median ms", "max ms", "Gflop/s", "residual");
    double flops = pow((double)x->m.n, 3) / 3;
    for (size_t way = 0; way < WAYS; way++) {
        double *t = times[way];
        qsort(t, rounds, sizeof *t, ascending);
        if (t[0] < 0)
            printf("  %-22s (not built)\n", ways[way].name);
        else
            printf("  %-22s %10.3f %10.3f %10.3f %10.2f %11.2e\n", ways[way].name, 1e3 * t[0], 1e3 * t[rounds / 2],
                   1e3 * t[rounds - 1], flops / t[rounds / 2] / 1e9, errors[way]);
    }
}

static bool compare(struct work *x, size_t rounds)
{
    double times[WAYS][ROUNDS_MAX], errors[WAYS];
    double *first = calloc(1, matrix_bytes(&x->m)); /* the first result; its first number is 0 until there is one */
    bool ok = true;
    if (first == NULL)
        fail("matrix", -ENOMEM);
    for (size_t way = 0; way < WAYS; way++)
        errors[way] = -1;
    must("flow", weir_flow_create(x->rt, 0, &x->flow));
    for (size_t round = 0; ok && round < rounds; round++)
        for (size_t way = 0; ok && way < WAYS; way++)
            ok = measure(x, &ways[way], first, &times[way][round], &errors[way]);
    must("flow", weir_flow_destroy(x->flow));
    free(first);
    if (ok)
        print_table(x, rounds, times, errors);
    return ok;
}

static bool print_graph(struct work *x)
{
    x->named = true;
    matrix_fill(&x->m);
    must("graph", graph_make(x, WEIR_RUN_TIMED));
    must("run", weir_run_once(x->rt, x->run));
    must("DOT", weir_graph_dot(x->graph, x->run, stdout));
    return residual(x) <= (double)x->m.n * DBL_EPSILON;
}

/* --- start ------------------------------------------------------------------------------------------------------ */

static unsigned long number(const char *text, unsigned long min, unsigned long max)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || n < min || n > max) {
        fprintf(stderr, "cholesky: '%s' is no number from %lu to %lu\n", text, min, max);
        exit(2);
    }
    return n;
}

int main(int argc, char **argv)
{
    unsigned long n = ORDER_DEFAULT, side = TILE_DEFAULT, rounds = ROUNDS_DEFAULT;
    bool dot = false;
    weir_config config;
    struct work x = {0};
    must("settings", weir_config_init(&config));
    for (int opt; (opt = getopt(argc, argv, "n:t:r:p:g")) != -1;) {
        if (opt == 'n')
            n = number(optarg, 1, ORDER_MAX);
        else if (opt == 't')
            side = number(optarg, 1, ORDER_MAX);
        else if (opt == 'r')
            rounds = number(optarg, 1, ROUNDS_MAX);
        else if (opt == 'p')
            config.workers = (uint32_t)number(optarg, 1, WEIR_WORKERS_MAX);
        else if (opt == 'g')
            dot = true;
        else
            argc = 0; /* getopt has said what is wrong */
    }
    if (optind != argc) {
        fputs("usage: cholesky [-n ORDER] [-t TILE] [-r ROUNDS] [-p WORKERS] [-g]\n", stderr);
        return 2;
    }
    must("matrix", matrix_create(&x.m, n, side));
    plan(&x);
    must("start", weir_start(&x.rt, &config));
    x.workers = config.workers;
    bool ok = dot ? print_graph(&x) : compare(&x, rounds);
    graph_free(&x);
    must("stop", weir_stop(x.rt, WEIR_DRAIN, WEIR_FOREVER));
    free(x.steps);
    free(x.last_writer);
    matrix_destroy(&x.m);
    return ok ? 0 : 1;
}
