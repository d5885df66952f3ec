/* SPDX-License-Identifier: MIT
 *
 * cholesky_graph.c - a tiled Cholesky factorisation as a task graph; prints the graph in DOT, coloured by time.
 *
 * docs/cholesky.svg is its output through `dot -Tsvg`.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <weir/weir.h>

#define TILES 4 /* tiles a side */
#define SIDE 64 /* numbers a tile's side */

typedef double tile[SIDE][SIDE];

static tile a[TILES][TILES]; /* the lower half is used */

struct step {
    int i, j, k;
};
static struct step steps[TILES * TILES * TILES];
static weir_node last_writer[TILES][TILES];

static void must(int r)
{
    if (r == 0)
        return;
    fprintf(stderr, "cholesky_graph: %s\n", weir_strerror(r));
    exit(1);
}

/* A[i][j] -= A[i][k] * A[j][k]^T */
static int update(weir_worker *w, void *arg)
{
    const struct step *s = arg;
    (void)w;
    for (int r = 0; r < SIDE; r++)
        for (int c = 0; c < SIDE; c++)
            for (int t = 0; t < SIDE; t++)
                a[s->i][s->j][r][c] -= a[s->i][s->k][r][t] * a[s->j][s->k][c][t];
    return 0;
}

/* A[i][k] = A[i][k] * L[k][k]^-T */
static int solve(weir_worker *w, void *arg)
{
    const struct step *s = arg;
    (void)w;
    for (int r = 0; r < SIDE; r++)
        for (int c = 0; c < SIDE; c++) {
            for (int t = 0; t < c; t++)
                a[s->i][s->k][r][c] -= a[s->i][s->k][r][t] * a[s->k][s->k][c][t];
            a[s->i][s->k][r][c] /= a[s->k][s->k][c][c];
        }
    return 0;
}

/* A[k][k] = L * L^T */
static int factor(weir_worker *w, void *arg)
{
    const struct step *s = arg;
    (void)w;
    for (int c = 0; c < SIDE; c++)
        for (int r = c; r < SIDE; r++) {
            for (int t = 0; t < c; t++)
                a[s->k][s->k][r][c] -= a[s->k][s->k][r][t] * a[s->k][s->k][c][t];
            if (r == c && a[s->k][s->k][c][c] <= 0)
                return -EDOM; /* not positive definite: the run stops and names this node */
            a[s->k][s->k][r][c] = r == c ? sqrt(a[s->k][s->k][c][c]) : a[s->k][s->k][r][c] / a[s->k][s->k][c][c];
        }
    return 0;
}

/* A step that reads tiles (i, k) and (j, k) and writes (i, j). */
static void add_step(weir_graph *g, weir_node_fn *fn, const char *what, struct step *s, int i, int j, int k)
{
    char name[32];
    snprintf(name, sizeof name, "%s %d%d", what, i, j);
    *s = (struct step){i, j, k};
    weir_node_spec spec = {.size = sizeof spec, .fn = fn, .arg = s, .name = name};
    weir_node node, *before[] = {&last_writer[i][j], &last_writer[i][k], &last_writer[j][k]};
    must(weir_graph_add_spec(g, &spec, &node));
    for (int b = 0; b < 3; b++) {
        int same = 0;
        for (int c = 0; c < b; c++)
            same |= before[c]->index == before[b]->index;
        if (before[b]->graph != 0 && !same)
            must(weir_graph_precede(g, *before[b], node));
    }
    last_writer[i][j] = node;
}

static void build(weir_graph *g)
{
    struct step *s = steps;
    for (int k = 0; k < TILES; k++) {
        add_step(g, factor, "factor", s++, k, k, k);
        for (int i = k + 1; i < TILES; i++)
            add_step(g, solve, "solve", s++, i, k, k);
        for (int i = k + 1; i < TILES; i++)
            for (int j = k + 1; j <= i; j++)
                add_step(g, update, "update", s++, i, j, k);
    }
}

int main(void)
{
    weir_runtime *rt;
    weir_graph *g;
    weir_run *run;
    for (int i = 0; i < TILES * SIDE; i++)
        for (int j = 0; j < TILES * SIDE; j++)
            a[i / SIDE][j / SIDE][i % SIDE][j % SIDE] = i == j ? TILES * SIDE : 1.0 / (1 + abs(i - j));
    must(weir_start(&rt, NULL));
    must(weir_graph_create(&g));
    build(g);
    must(weir_graph_freeze(g, NULL));
    must(weir_run_create(g, WEIR_RUN_TIMED, &run));
    must(weir_run_once(rt, run));
    must(weir_graph_dot(g, run, stdout));
    must(weir_run_destroy(run));
    must(weir_graph_destroy(g));
    must(weir_stop(rt, WEIR_DRAIN, WEIR_FOREVER));
    double sum = 0; /* a diagonal entry of L * L^T is the matrix's */
    int last = TILES * SIDE - 1;
    for (int t = 0; t <= last; t++)
        sum += pow(a[last / SIDE][t / SIDE][last % SIDE][t % SIDE], 2);
    return fabs(sum - TILES * SIDE) < 1e-9 ? 0 : 1;
}
