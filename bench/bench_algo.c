/* SPDX-License-Identifier: MIT
 *
 * bench/bench_algo.c - the algorithms of weir/algo.h: saxpy of 100 million floats, a loop body called for each index,
 * the call of a loop that has next to nothing to do, and a sort of 10 million ints, each beside its peers' own.
 *
 * Threads: see harness.h.
 * Invariants: results are checked whole after each run, outside the time taken.
 */
#include "harness.h"
#include "kernel_loop.h"

#include <stdlib.h>
#include <string.h>

/* --- saxpy ------------------------------------------------------------------------------------------------------ */

static int saxpy_range(weir_worker *w, void *arg, size_t begin, size_t end)
{
    const struct bench_input *in = arg;
    (void)w;
    saxpy(in->y, in->x, (int64_t)begin, (int64_t)end);
    return 0;
}

static double saxpy_serial(void *state, const struct bench_input *in)
{
    (void)state;
    saxpy_range(NULL, (void *)(uintptr_t)in, 0, (size_t)in->n);
    return 1.0;
}

static void saxpy_weir(weir_worker *w, void *arg)
{
    struct bench_call *call = arg;
    call->error = weir_for(w, NULL, 0, (size_t)call->in->n, saxpy_range, (void *)(uintptr_t)call->in);
    call->answer = 1.0;
}

static void saxpy_setup(struct bench_input *in, const struct bench_size *size)
{
    size_t n = (size_t)size->n;
    if (in->x == NULL) {
        in->x = bench_alloc(n * sizeof *in->x);
        in->y = bench_alloc(n * sizeof *in->y);
    }
    for (size_t i = 0; i < n; i++) {
        in->x[i] = (float)(i % 1024);
        in->y[i] = 1.0f;
    }
}

static double saxpy_check(struct bench_input *in, double answer)
{
    for (size_t i = 0; i < (size_t)in->n; i++)
        if (in->y[i] != 1.0f + SAXPY_FACTOR * (float)(i % 1024))
            return 0.0;
    return answer;
}

static void saxpy_teardown(struct bench_input *in)
{
    free(in->x);
    free(in->y);
}

#define SAXPY_CASE(label, text) \
    { \
        .name = label, .what = text, .op = "iteration", .full = {100000000, 1.0, 1e8}, .small = {10000000, 1.0, 1e7}, \
        .serial = saxpy_serial, .weir = saxpy_weir, .setup = saxpy_setup, .check = saxpy_check, \
        .teardown = saxpy_teardown, \
    }

const struct bench_case bench_saxpy =
    SAXPY_CASE("saxpy", "y += a * x over 100,000,000 floats (libgomp: static, tbb: auto_partitioner)");
const struct bench_case bench_saxpy_other =
    SAXPY_CASE("saxpy_other", "the same (libgomp: dynamic, tbb: static_partitioner)");

/* --- a body for each index -------------------------------------------------------------------------------------- */

static inline int each_body(weir_worker *w, void *arg, size_t i)
{
    uint8_t *flags = arg;
    (void)w;
    flags[i]++;
    __asm__ __volatile__("" : : "r"(i)); /* one iteration at a time: no vectors in the serial twin */
    return 0;
}
WEIR_FOR_EACH(for_each_flag, each_body);

static double each_serial(void *state, const struct bench_input *in)
{
    (void)state;
    for (size_t i = 0; i < (size_t)in->n; i++)
        each_body(NULL, in->flags, i);
    return 1.0;
}

static void each_weir(weir_worker *w, void *arg)
{
    struct bench_call *call = arg;
    call->error = for_each_flag(w, NULL, 0, (size_t)call->in->n, call->in->flags);
    call->answer = 1.0;
}

static void each_setup(struct bench_input *in, const struct bench_size *size)
{
    if (in->flags == NULL)
        in->flags = bench_alloc((size_t)bench_each.full.n);
    memset(in->flags, 0, (size_t)size->n);
}

static double each_check(struct bench_input *in, double answer)
{
    for (int64_t i = 0; i < in->n; i++)
        if (in->flags[i] != 1)
            return 0.0;
    return answer;
}

static void each_teardown(struct bench_input *in)
{
    free(in->flags);
}

const struct bench_case bench_each = {
    .name = "each",
    .what = "a loop of 10,000,000 iterations that may each be split off",
    .op = "iteration",
    .full = {10000000, 1.0, 1e7},
    .small = {1000000, 1.0, 1e6},
    .peers_small = true,
    .serial = each_serial,
    .weir = each_weir,
    .setup = each_setup,
    .check = each_check,
    .teardown = each_teardown,
};

/* --- the call of a loop ------------------------------------------------------------------------------------------- */

#define CALLS 200000 /* of a loop of LOOP_LENGTH */

static int empty_range(weir_worker *w, void *arg, size_t begin, size_t end)
{
    (void)w, (void)arg;
    loop_empty((int64_t)begin, (int64_t)end);
    return 0;
}

static __attribute__((noinline)) double calls_serial(void *state, const struct bench_input *in)
{
    weir_for_fn *volatile body = empty_range;
    (void)state;
    for (int64_t i = 0; i < in->n; i++)
        body(NULL, NULL, 0, LOOP_LENGTH);
    return 1.0;
}

static void calls_weir(weir_worker *w, void *arg)
{
    struct bench_call *call = arg;
    for (int64_t i = 0; i < call->in->n && call->error == 0; i++)
        call->error = weir_for(w, NULL, 0, LOOP_LENGTH, empty_range, NULL);
    call->answer = 1.0;
}

const struct bench_case bench_loopcall = {
    .name = "loopcall",
    .what = "200,000 loops of 16 empty iterations, one after another",
    .op = "loop",
    .full = {CALLS, 1.0, CALLS},
    .small = {CALLS / 10, 1.0, CALLS / 10},
    .serial = calls_serial,
    .weir = calls_weir,
};

/* --- sort ------------------------------------------------------------------------------------------------------- */

#define LESS(ctx, a, b) (*(a) < *(b))
WEIR_SORTABLE(ints, int32_t, LESS);

static int compare_ints(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

static int compare_ints_arg(const void *a, const void *b, void *arg)
{
    (void)arg;
    return compare_ints(a, b);
}

static double sort_qsort(void *state, const struct bench_input *in)
{
    (void)state;
    qsort(in->keys, (size_t)in->n, sizeof *in->keys, compare_ints);
    return 1.0;
}

static void sort_weir(weir_worker *w, void *arg)
{
    struct bench_call *call = arg;
    call->error = ints_sort(w, NULL, call->in->keys, (size_t)call->in->n, NULL);
    call->answer = 1.0;
}

static void sort_weir_stable(weir_worker *w, void *arg)
{
    struct bench_call *call = arg;
    weir_algo_options o = {.flags = WEIR_ALGO_STABLE};
    call->error = ints_sort(w, &o, call->in->keys, (size_t)call->in->n, NULL);
    call->answer = 1.0;
}

static void sort_weir_any(weir_worker *w, void *arg)
{
    struct bench_call *call = arg;
    weir_algo_options o = {.flags = WEIR_ALGO_STABLE};
    call->error = weir_sort(w, &o, call->in->keys, (size_t)call->in->n, sizeof *call->in->keys, compare_ints_arg, NULL);
    call->answer = 1.0;
}

#define SORT_CASE(label, text, function) \
    { \
        .name = label, .what = text, .op = "key", .full = {10000000, 1.0, 1e7}, .small = {1000000, 1.0, 1e6}, \
        .serial = sort_qsort, .weir = function, .setup = bench_sort_setup, .check = bench_sort_check, \
        .teardown = bench_sort_teardown, \
    }

const struct bench_case bench_sort_stable =
    SORT_CASE("sort", "10,000,000 ints: weir's stable sort; serial is qsort(), tbb is parallel_sort", sort_weir_stable);
const struct bench_case bench_sort_in_place =
    SORT_CASE("sort_in_place", "the same with weir's sort in place", sort_weir);
const struct bench_case bench_sort_compare =
    SORT_CASE("sort_compare", "the same, stable, through a comparison function", sort_weir_any);
