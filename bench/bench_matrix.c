/* SPDX-License-Identifier: MIT
 *
 * bench/bench_matrix.c - recursive matrix products: matmul (eight halves, in two steps of four) and Strassen's.
 *
 * Threads: see harness.h.
 * Invariants: the product is checked exactly, as C x = A (B x) for a random vector of small integers (Freivalds).
 */
#include "harness.h"
#include "kernel_matrix.h"

#include <stdlib.h>
#include <string.h>

static void matmul_serial(struct matrix_product p)
{
    if (p.n <= MATMUL_LEAF) {
        matrix_multiply_add(p);
        return;
    }
    for (unsigned step = 0; step < 2; step++) {
        struct matrix_product part[4];
        matmul_split(p, step, part);
        for (int i = 0; i < 4; i++)
            matmul_serial(part[i]);
    }
}

static int matmul_weir(weir_worker *w, const struct matrix_product *p);
WEIR_FORKABLE(matmul_weir, int, const struct matrix_product *);

static int matmul_weir(weir_worker *w, const struct matrix_product *p)
{
    if (p->n <= MATMUL_LEAF) {
        matrix_multiply_add(*p);
        return 0;
    }
    for (unsigned step = 0; step < 2; step++) {
        struct matrix_product part[4];
        struct matmul_weir_task task[3];
        matmul_split(*p, step, part);
        for (int i = 0; i < 3; i++)
            matmul_weir_fork(w, &task[i], &part[i]);
        matmul_weir(w, &part[3]);
        for (int i = 2; i >= 0; i--)
            matmul_weir_join(w, &task[i]);
    }
    return 0;
}

static void strassen_serial(struct matrix_product p)
{
    struct matrix_product part[STRASSEN_PRODUCTS];
    double *room = p.n <= STRASSEN_LEAF ? NULL : strassen_split(p, part);
    if (room == NULL) {
        matrix_multiply(p);
        return;
    }
    for (unsigned i = 0; i < STRASSEN_PRODUCTS; i++)
        strassen_serial(part[i]);
    strassen_combine(p, room);
}

static int strassen_weir(weir_worker *w, const struct matrix_product *p);
WEIR_FORKABLE(strassen_weir, int, const struct matrix_product *);

static int strassen_weir(weir_worker *w, const struct matrix_product *p)
{
    struct matrix_product part[STRASSEN_PRODUCTS];
    struct strassen_weir_task task[STRASSEN_PRODUCTS - 1];
    double *room = p->n <= STRASSEN_LEAF ? NULL : strassen_split(*p, part);
    if (room == NULL) {
        matrix_multiply(*p);
        return 0;
    }
    for (unsigned i = 0; i < STRASSEN_PRODUCTS - 1; i++)
        strassen_weir_fork(w, &task[i], &part[i]);
    strassen_weir(w, &part[STRASSEN_PRODUCTS - 1]);
    for (unsigned i = STRASSEN_PRODUCTS - 1; i-- > 0;)
        strassen_weir_join(w, &task[i]);
    strassen_combine(*p, room);
    return 0;
}

static struct matrix_product product_of(const struct bench_input *in)
{
    size_t n = (size_t)in->n;
    return (struct matrix_product){{in->c, n}, {in->a, n}, {in->b, n}, n};
}

static double run_matmul_serial(void *state, const struct bench_input *in)
{
    (void)state;
    matmul_serial(product_of(in));
    return 1.0;
}

static void run_matmul_weir(weir_worker *w, void *arg)
{
    struct bench_call *call = arg;
    struct matrix_product p = product_of(call->in);
    matmul_weir(w, &p);
    call->answer = 1.0;
}

static double run_strassen_serial(void *state, const struct bench_input *in)
{
    (void)state;
    strassen_serial(product_of(in));
    return 1.0;
}

static void run_strassen_weir(weir_worker *w, void *arg)
{
    struct bench_call *call = arg;
    struct matrix_product p = product_of(call->in);
    strassen_weir(w, &p);
    call->answer = 1.0;
}

#define SEED 11u
#define ENTRY_MASK 7u /* entries are 0 to 7: products of 1024 x 1024 stay exact in a double */

static void setup(struct bench_input *in, const struct bench_size *size)
{
    size_t area = (size_t)size->n * (size_t)size->n;
    if (in->a == NULL) {
        uint64_t random = SEED;
        in->a = bench_alloc(area * sizeof *in->a);
        in->b = bench_alloc(area * sizeof *in->b);
        in->c = bench_alloc(area * sizeof *in->c);
        for (size_t i = 0; i < area; i++) {
            in->a[i] = (double)(bench_random(&random) & ENTRY_MASK);
            in->b[i] = (double)(bench_random(&random) & ENTRY_MASK);
        }
    }
    for (size_t i = 0; i < area; i++)
        in->c[i] = 0.0;
}

static void times_vector(const double *m, const double *x, double *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = 0.0;
        for (size_t j = 0; j < n; j++)
            out[i] += m[i * n + j] * x[j];
    }
}

static double check(struct bench_input *in, double answer)
{
    size_t n = (size_t)in->n;
    uint64_t random = SEED + 1;
    double *x = bench_alloc(4 * n * sizeof *x), *bx = x + n, *abx = bx + n, *cx = abx + n;
    for (size_t i = 0; i < n; i++)
        x[i] = (double)(bench_random(&random) & ENTRY_MASK);
    times_vector(in->b, x, bx, n);
    times_vector(in->a, bx, abx, n);
    times_vector(in->c, x, cx, n);
    bool right = memcmp(abx, cx, n * sizeof *cx) == 0;
    free(x);
    return right ? answer : 0.0;
}

static void teardown(struct bench_input *in)
{
    free(in->a);
    free(in->b);
    free(in->c);
}

const struct bench_case bench_matmul = {
    .name = "matmul",
    .what = "recursive product of 1024 x 1024 doubles",
    .op = "multiply-add",
    .full = {1024, 1.0, 1024.0 * 1024.0 * 1024.0},
    .small = {256, 1.0, 256.0 * 256.0 * 256.0},
    .serial = run_matmul_serial,
    .weir = run_matmul_weir,
    .setup = setup,
    .check = check,
    .teardown = teardown,
};

const struct bench_case bench_strassen = {
    .name = "strassen",
    .what = "Strassen's product of 1024 x 1024 doubles",
    .op = "multiply-add of the plain product",
    .full = {1024, 1.0, 1024.0 * 1024.0 * 1024.0},
    .small = {256, 1.0, 256.0 * 256.0 * 256.0},
    .serial = run_strassen_serial,
    .weir = run_strassen_weir,
    .setup = setup,
    .check = check,
    .teardown = teardown,
};
