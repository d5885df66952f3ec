/* SPDX-License-Identifier: MIT
 *
 * algo - loops, a reduction, a scan and a sort over one array, from a thread that is no worker.
 */
#include <weir/weir.h>

#include <errno.h>
#include <stdint.h>
#include <stdio.h>

#define N 1000000u

struct sample {
    uint32_t key;
    uint32_t place;
};

static struct sample samples[N];
static long weights[N], offsets[N];

/* The inner loop is the body's own: the compiler can vectorise it. */
static int fill(weir_worker *w, void *arg, size_t begin, size_t end)
{
    (void)w, (void)arg;
    for (size_t i = begin; i < end; i++) {
        samples[i] = (struct sample){(uint32_t)(i * 2654435761u) >> 12, (uint32_t)i};
        weights[i] = (long)(i % 10);
    }
    return 0; /* a negative errno would end the loop */
}

static void add_longs(void *arg, void *value, const void *right)
{
    (void)arg;
    *(long *)value += *(const long *)right;
}

static int sum_weights(weir_worker *w, void *arg, size_t begin, size_t end, void *value)
{
    long sum = *(long *)value;
    (void)w, (void)arg;
    for (size_t i = begin; i < end; i++)
        sum += weights[i];
    *(long *)value = sum;
    return 0;
}

#define PLUS(a, b) ((a) + (b))
WEIR_SCANNABLE(running, long, 0, PLUS);

#define BY_KEY(ctx, a, b) ((a)->key < (b)->key)
WEIR_SORTABLE(by_key, struct sample, BY_KEY);

static int check_order(weir_worker *w, void *arg, size_t i)
{
    (void)w, (void)arg;
    const struct sample *a = &samples[i], *b = &samples[i + 1];
    return a->key < b->key || (a->key == b->key && a->place < b->place) ? 0 : -EILSEQ;
}
WEIR_FOR_EACH(check_each, check_order);

int main(void)
{
    static const long zero = 0;
    static const weir_fold sum = {sizeof(long), &zero, add_longs};
    weir_runtime *rt;
    long total = 0;
    if (weir_start(&rt, NULL) < 0)
        return 1;
    weir_algo_options options = {.rt = rt}, stable = {.rt = rt, .flags = WEIR_ALGO_STABLE};
    int r = weir_for(NULL, &options, 0, N, fill, NULL);
    if (r == 0)
        r = weir_reduce(NULL, &options, 0, N, &sum, sum_weights, NULL, &total);
    if (r == 0)
        r = running_exclusive(NULL, &options, weights, offsets, N);
    if (r == 0)
        r = by_key_sort(NULL, &stable, samples, N, NULL);
    if (r == 0)
        r = check_each(NULL, &options, 0, N - 1, NULL);
    printf("%ld, %ld before the last, sort: %s\n", total, offsets[N - 1], weir_strerror(r));
    return weir_stop(rt, WEIR_DRAIN, WEIR_FOREVER) < 0 || r < 0 || total != 4500000 || offsets[N - 1] != total - 9;
}
