/* SPDX-License-Identifier: MIT
 *
 * bench/peers/omp.c - the suite in OpenMP tasks. Compiled by gcc it is the peer libgomp, by clang the peer libomp.
 *
 * Threads: the harness's main thread opens a parallel region of `workers` threads, one of which runs the benchmark.
 * Invariants: between runs the team is given back (omp_pause_resource), so that its threads don't spin meanwhile.
 */
#include "peer.h"

#include "../kernel_integrate.h"
#include "../kernel_loop.h"
#include "../kernel_matrix.h"
#include "../kernel_nqueens.h"
#include "../kernel_sort.h"
#include "../kernel_uts.h"

#include <errno.h>
#include <omp.h>

static int team_size(void *state)
{
    return (int)(intptr_t)state;
}

static long fib(int n)
{
    if (n < 2)
        return n;
    long left, right;
#pragma omp task shared(left) firstprivate(n)
    left = fib(n - 1);
    right = fib(n - 2);
#pragma omp taskwait
    return left + right;
}

static long below(const struct nqueens_board *b, int n, int row)
{
    if (row == n)
        return 1;
    struct nqueens_board next[NQUEENS_MAX];
    long found[NQUEENS_MAX], sum = 0;
    int branches = 0;
    for (int c = 0; c < n; c++) {
        if (nqueens_place(b, row, c, &next[branches])) {
#pragma omp task shared(next, found) firstprivate(branches, n, row)
            found[branches] = below(&next[branches], n, row + 1);
            branches++;
        }
    }
#pragma omp taskwait
    while (branches-- > 0)
        sum += found[branches];
    return sum;
}

static long visit(enum uts_tree tree, const struct uts_node *node)
{
    unsigned n = uts_children(tree, node);
    if (n == 0)
        return 1;
    struct {
        struct uts_node node;
        long nodes;
    } child[n], *list = child;
    for (unsigned i = 0; i < n; i++) {
        uts_child(node, i, &child[i].node);
#pragma omp task firstprivate(tree, list, i)
        list[i].nodes = visit(tree, &list[i].node);
    }
#pragma omp taskwait
    long nodes = 1;
    for (unsigned i = 0; i < n; i++)
        nodes += child[i].nodes;
    return nodes;
}

static void merge(struct sort_merge m)
{
    if (m.nx + m.ny <= SORT_SERIAL) {
        sort_merge_serial(m);
        return;
    }
    struct sort_merge half[2];
    sort_split(m, half);
#pragma omp task shared(half)
    merge(half[0]);
    merge(half[1]);
#pragma omp taskwait
}

static void sort(struct sort_range r)
{
    if (r.n <= SORT_SERIAL) {
        sort_serial(r.keys, r.n);
        return;
    }
    struct sort_range quarter[4];
    struct sort_merge pair[2], whole;
    sort_plan(r, quarter, pair, &whole);
    for (int i = 0; i < 3; i++) {
#pragma omp task shared(quarter) firstprivate(i)
        sort(quarter[i]);
    }
    sort(quarter[3]);
#pragma omp taskwait
#pragma omp task shared(pair)
    merge(pair[0]);
    merge(pair[1]);
#pragma omp taskwait
    merge(whole);
}

static void matmul(struct matrix_product p)
{
    if (p.n <= MATMUL_LEAF) {
        matrix_multiply_add(p);
        return;
    }
    for (unsigned step = 0; step < 2; step++) {
        struct matrix_product part[4];
        matmul_split(p, step, part);
        for (int i = 0; i < 3; i++) {
#pragma omp task shared(part) firstprivate(i)
            matmul(part[i]);
        }
        matmul(part[3]);
#pragma omp taskwait
    }
}

static void strassen(struct matrix_product p)
{
    struct matrix_product part[STRASSEN_PRODUCTS];
    double *room = p.n <= STRASSEN_LEAF ? NULL : strassen_split(p, part);
    if (room == NULL) {
        matrix_multiply(p);
        return;
    }
    for (unsigned i = 0; i < STRASSEN_PRODUCTS - 1; i++) {
#pragma omp task shared(part) firstprivate(i)
        strassen(part[i]);
    }
    strassen(part[STRASSEN_PRODUCTS - 1]);
#pragma omp taskwait
    strassen_combine(p, room);
}

static double integrate(struct integrate_part p)
{
    struct integrate_part half[2];
    if (!integrate_split(p, half))
        return half[0].area + half[1].area;
    double left, right;
#pragma omp task shared(left, half)
    left = integrate(half[0]);
    right = integrate(half[1]);
#pragma omp taskwait
    return left + right;
}

#define SKYNET_CHILDREN 10

static long skynet(long first, long leaves)
{
    if (leaves == 1)
        return first;
    long found[SKYNET_CHILDREN], sum = 0, each = leaves / SKYNET_CHILDREN;
    for (int i = 0; i < SKYNET_CHILDREN; i++) {
#pragma omp task shared(found) firstprivate(i, first, each)
        found[i] = skynet(first + i * each, each);
    }
#pragma omp taskwait
    for (int i = 0; i < SKYNET_CHILDREN; i++)
        sum += found[i];
    return sum;
}

/* Runs one expression as the root task of a team. */
#define IN_TEAM(state, expression) \
    double answer = 1.0; \
    _Pragma("omp parallel num_threads(team_size(state))") \
    _Pragma("omp single") \
    expression; \
    return answer

static const struct nqueens_board empty_board;

static double run_fib(void *state, const struct bench_input *in)
{
    IN_TEAM(state, answer = (double)fib((int)in->n));
}

static double run_nqueens(void *state, const struct bench_input *in)
{
    IN_TEAM(state, answer = (double)below(&empty_board, (int)in->n, 0));
}

static double run_uts(void *state, const struct bench_input *in)
{
    struct uts_node root;
    uts_root((enum uts_tree)in->n, &root);
    IN_TEAM(state, answer = (double)visit((enum uts_tree)in->n, &root));
}

static double run_sort(void *state, const struct bench_input *in)
{
    struct sort_range r = {in->keys, in->room, (size_t)in->n};
    IN_TEAM(state, sort(r));
}

static struct matrix_product product_of(const struct bench_input *in)
{
    size_t n = (size_t)in->n;
    struct matrix_product p = {{in->c, n}, {in->a, n}, {in->b, n}, n};
    return p;
}

static double run_matmul(void *state, const struct bench_input *in)
{
    IN_TEAM(state, matmul(product_of(in)));
}

static double run_strassen(void *state, const struct bench_input *in)
{
    IN_TEAM(state, strassen(product_of(in)));
}

static double run_integrate(void *state, const struct bench_input *in)
{
    IN_TEAM(state, answer = integrate(integrate_whole((double)in->n)));
}

static double run_skynet(void *state, const struct bench_input *in)
{
    IN_TEAM(state, answer = (double)skynet(0, in->n));
}

/* The end of the region waits for the tasks. */
static double run_flat(void *state, const struct bench_input *in)
{
#pragma omp parallel num_threads(team_size(state))
#pragma omp single
    for (int64_t i = 0; i < in->n; i++) {
#pragma omp task
        __asm__ __volatile__("");
    }
    return 1.0;
}

/* A loop with a grain of one, as OpenMP writes it. */
static double run_loop(void *state, const struct bench_input *in)
{
    uint8_t *flags = in->flags;
#pragma omp parallel for schedule(dynamic, 1) num_threads(team_size(state))
    for (int64_t i = 0; i < in->n; i++) {
        flags[i]++;
        __asm__ __volatile__("" : : "r"(i));
    }
    return 1.0;
}

/* The compiler makes equal parts of it, one per thread. */
static double run_saxpy(void *state, const struct bench_input *in)
{
    const float *x = in->x;
    float *y = in->y;
#pragma omp parallel for schedule(static) num_threads(team_size(state))
    for (int64_t i = 0; i < in->n; i++)
        y[i] += SAXPY_FACTOR * x[i];
    return 1.0;
}

/* Threads take parts as they come for them. */
static double run_saxpy_dynamic(void *state, const struct bench_input *in)
{
    const float *x = in->x;
    float *y = in->y;
#pragma omp parallel for schedule(dynamic, 16384) num_threads(team_size(state))
    for (int64_t i = 0; i < in->n; i++)
        y[i] += SAXPY_FACTOR * x[i];
    return 1.0;
}

static double run_loop_calls(void *state, const struct bench_input *in)
{
    for (int64_t k = 0; k < in->n; k++) {
#pragma omp parallel for schedule(static) num_threads(team_size(state))
        for (int64_t i = 0; i < LOOP_LENGTH; i++)
            __asm__ __volatile__("" : : "r"(i));
    }
    return 1.0;
}

/* Tasks ordered by `depend`: each after the last, or a binary tree. */
static double run_flow_chain(void *state, const struct bench_input *in)
{
    uint8_t *flags = in->flags;
#pragma omp parallel num_threads(team_size(state))
#pragma omp single
    for (int64_t i = 0; i < in->n; i++) {
#pragma omp task depend(inout : flags[0]) firstprivate(i)
        flags[i]++;
    }
    return 1.0;
}

static double run_flow_tree(void *state, const struct bench_input *in)
{
    uint8_t *flags = in->flags;
#pragma omp parallel num_threads(team_size(state))
#pragma omp single
    for (int64_t i = 0; i < in->n; i++) {
        int64_t parent = i > 0 ? (i - 1) / 2 : 0;
        if (i == 0) {
#pragma omp task depend(out : flags[0])
            flags[0]++;
        } else {
#pragma omp task depend(out : flags[i]) depend(in : flags[parent]) firstprivate(i)
            flags[i]++;
        }
    }
    return 1.0;
}

/* The shapes of bench_graph.c as tasks in order of their numbers; OpenMP has no graph that could run again.
 * No fan: libgomp looks through all readers of an address for each new one, 0.1 ms a node at 100,000 leaves. */
static void wavefront(uint8_t *flags, int64_t n)
{
    int64_t side = 1;
    while (side * side < n)
        side++;
    for (int64_t i = 0; i < n; i++) {
        int64_t left = i % side != 0 ? i - 1 : i, above = i >= side ? i - side : i;
        if (left != i && above != i) {
#pragma omp task depend(out : flags[i]) depend(in : flags[left], flags[above]) firstprivate(i)
            flags[i]++;
        } else if (left != i || above != i) {
            int64_t before = left != i ? left : above;
#pragma omp task depend(out : flags[i]) depend(in : flags[before]) firstprivate(i)
            flags[i]++;
        } else {
#pragma omp task depend(out : flags[i]) firstprivate(i)
            flags[i]++;
        }
    }
}

static double run_wavefront(void *state, const struct bench_input *in)
{
#pragma omp parallel num_threads(team_size(state))
#pragma omp single
    wavefront(in->flags, in->n);
    return 1.0;
}

static const struct peer_case cases[] = {
    {"fib", run_fib},       {"nqueens", run_nqueens}, {"uts_t1", run_uts},        {"uts_t3", run_uts},
    {"cilksort", run_sort}, {"matmul", run_matmul},   {"strassen", run_strassen}, {"integrate", run_integrate},
    {"skynet", run_skynet}, {"flat", run_flat},       {"grain1", run_loop},       {"each", run_loop},
    {"saxpy", run_saxpy},   {"saxpy_other", run_saxpy_dynamic}, {"loopcall", run_loop_calls},
    {"flow_chain", run_flow_chain}, {"flow_tree", run_flow_tree}, {"graph_chain", run_flow_chain},
    {"graph_wavefront", run_wavefront}, {"graph_tree", run_flow_tree}, {NULL, NULL},
};

static int begin(unsigned workers, void **state)
{
    int up = 0;
    *state = (void *)(intptr_t)workers;
    omp_set_dynamic(0);
#pragma omp parallel num_threads((int)workers) reduction(+ : up)
    up++;
    return up == (int)workers ? 0 : -EAGAIN;
}

static void quiet(void *state)
{
    (void)state;
    omp_pause_resource(omp_pause_hard, omp_get_initial_device());
}

#ifdef __clang__
#define PEER_NAME "libomp"
#else
#define PEER_NAME "libgomp"
#endif

const struct peer *weir_bench_peer(void)
{
    static const struct peer self = {PEER_VERSION, PEER_NAME, begin, quiet, quiet, cases, NULL, NULL};
    return &self;
}
