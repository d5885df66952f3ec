/* SPDX-License-Identifier: MIT
 *
 * bench/bench_sort.c - cilksort: merge sort of 10 million ints in four parts, with parallel merges.
 *
 * Threads: see harness.h.
 * Invariants: the result is sorted and has the input's sum and exclusive-or.
 */
#include "harness.h"
#include "kernel_sort.h"

#include <stdlib.h>

static void merge_serial(struct sort_merge m)
{
    if (m.nx + m.ny <= SORT_SERIAL) {
        sort_merge_serial(m);
        return;
    }
    struct sort_merge half[2];
    sort_split(m, half);
    merge_serial(half[0]);
    merge_serial(half[1]);
}

static void range_serial(struct sort_range r)
{
    if (r.n <= SORT_SERIAL) {
        sort_serial(r.keys, r.n);
        return;
    }
    struct sort_range quarter[4];
    struct sort_merge pair[2], whole;
    sort_plan(r, quarter, pair, &whole);
    for (int i = 0; i < 4; i++)
        range_serial(quarter[i]);
    merge_serial(pair[0]);
    merge_serial(pair[1]);
    merge_serial(whole);
}

static int merge_weir(weir_worker *w, struct sort_merge m);
WEIR_FORKABLE(merge_weir, int, struct sort_merge);

static int merge_weir(weir_worker *w, struct sort_merge m)
{
    if (m.nx + m.ny <= SORT_SERIAL) {
        sort_merge_serial(m);
        return 0;
    }
    struct sort_merge half[2];
    struct merge_weir_task first;
    sort_split(m, half);
    merge_weir_fork(w, &first, half[0]);
    merge_weir(w, half[1]);
    return merge_weir_join(w, &first);
}

static int range_weir(weir_worker *w, struct sort_range r);
WEIR_FORKABLE(range_weir, int, struct sort_range);

static int range_weir(weir_worker *w, struct sort_range r)
{
    if (r.n <= SORT_SERIAL) {
        sort_serial(r.keys, r.n);
        return 0;
    }
    struct sort_range quarter[4];
    struct sort_merge pair[2], whole;
    struct range_weir_task part[3];
    struct merge_weir_task first;
    sort_plan(r, quarter, pair, &whole);
    for (int i = 0; i < 3; i++)
        range_weir_fork(w, &part[i], quarter[i]);
    range_weir(w, quarter[3]);
    for (int i = 2; i >= 0; i--)
        range_weir_join(w, &part[i]);
    merge_weir_fork(w, &first, pair[0]);
    merge_weir(w, pair[1]);
    merge_weir_join(w, &first);
    return merge_weir(w, whole);
}

static double run_serial(void *state, const struct bench_input *in)
{
    (void)state;
    range_serial((struct sort_range){in->keys, in->room, (size_t)in->n});
    return 1.0;
}

static void run_weir(weir_worker *w, void *arg)
{
    struct bench_call *call = arg;
    range_weir(w, (struct sort_range){call->in->keys, call->in->room, (size_t)call->in->n});
    call->answer = 1.0;
}

struct digest {
    uint64_t sum, mix;
};

static struct digest wanted;

static struct digest digest_of(const int32_t *keys, size_t n)
{
    struct digest d = {0, 0};
    for (size_t i = 0; i < n; i++) {
        d.sum += (uint32_t)keys[i];
        d.mix ^= (uint64_t)(uint32_t)keys[i] * UINT64_C(0x9e3779b97f4a7c15);
    }
    return d;
}

#define SEED 7u

void bench_sort_setup(struct bench_input *in, const struct bench_size *size)
{
    size_t n = (size_t)size->n;
    if (in->keys == NULL) {
        in->keys = bench_alloc(n * sizeof *in->keys);
        in->room = bench_alloc(n * sizeof *in->room);
    }
    uint64_t random = SEED;
    for (size_t i = 0; i < n; i++)
        in->keys[i] = (int32_t)(uint32_t)bench_random(&random);
    wanted = digest_of(in->keys, n);
}

double bench_sort_check(struct bench_input *in, double answer)
{
    size_t n = (size_t)in->n;
    struct digest d = digest_of(in->keys, n);
    for (size_t i = 1; i < n; i++)
        if (in->keys[i - 1] > in->keys[i])
            return 0.0;
    return d.sum == wanted.sum && d.mix == wanted.mix ? answer : 0.0;
}

void bench_sort_teardown(struct bench_input *in)
{
    free(in->keys);
    free(in->room);
}

const struct bench_case bench_sort = {
    .name = "cilksort",
    .what = "merge sort of 10,000,000 ints with parallel merges",
    .op = "key",
    .full = {10000000, 1.0, 1e7},
    .small = {1000000, 1.0, 1e6},
    .serial = run_serial,
    .weir = run_weir,
    .setup = bench_sort_setup,
    .check = bench_sort_check,
    .teardown = bench_sort_teardown,
};
