/* SPDX-License-Identifier: MIT
 *
 * test_algo_fold.c - what must hold for reductions and scans: order, the same bits each time, one final pass, errors.
 *
 * Threads: see support.h.
 */
#include "support.h"

/* --- reductions ------------------------------------------------------------------------------------------------- */

/* Intervals under concatenation: not commutative, and a gap or an overlap shows. */
struct interval {
    size_t begin, end;
    bool empty, broken;
};

static const struct interval nothing = {0, 0, true, false};

static void join_intervals(void *arg, void *value, const void *right)
{
    struct interval *a = value;
    const struct interval *b = right;
    (void)arg;
    if (b->empty)
        return;
    if (a->empty) {
        *a = *b;
        return;
    }
    a->broken = a->broken || b->broken || a->end != b->begin;
    a->end = b->end;
}

static int interval_body(weir_worker *w, void *arg, size_t begin, size_t end, void *value)
{
    struct interval here = {begin, end, false, false};
    (void)w;
    if (arg != NULL && begin % 64 == 0)
        sleep_ms(1);
    join_intervals(NULL, value, &here);
    return 0;
}

Test(algo_reduce, elements_are_folded_in_order)
{
    static const weir_fold fold = {sizeof(struct interval), &nothing, join_intervals};
    static const size_t grains[] = {0, 1, 100};
    for (unsigned workers = 1; workers <= 4; workers++) {
        weir_runtime *rt = start(workers);
        for (size_t n = 0; n < 200000; n = n * 7 + 1) {
            for (unsigned variant = 0; variant < 6; variant++) {
                weir_algo_options o = {.rt = rt, .grain = grains[variant / 2]};
                struct interval all = {77, 77, false, true};
                o.flags = variant % 2 ? WEIR_ALGO_FIXED_ORDER : 0;
                cr_assert_eq(weir_reduce(NULL, &o, 5, 5 + n, &fold, interval_body, NULL, &all), 0);
                cr_assert_eq(all.empty, n == 0);
                cr_assert_not(all.broken);
                cr_assert(n == 0 || (all.begin == 5 && all.end == 5 + n));
            }
        }
        stop(rt);
    }
}

static void add_doubles(void *arg, void *value, const void *right)
{
    (void)arg;
    *(double *)value += *(const double *)right;
}

static int sum_body(weir_worker *w, void *arg, size_t begin, size_t end, void *value)
{
    double sum = *(double *)value;
    (void)w, (void)arg;
    for (size_t i = begin; i < end; i++)
        sum += 1.0 / (double)(i + 1);
    *(double *)value = sum;
    return 0;
}

Test(algo_reduce, fixed_order_gives_the_same_bits_on_any_number_of_workers)
{
    static const double zero = 0.0;
    static const weir_fold fold = {sizeof(double), &zero, add_doubles};
    double first = 0.0;
    for (unsigned workers = 1; workers <= 4; workers++) {
        weir_runtime *rt = start(workers);
        weir_algo_options o = {.rt = rt, .flags = WEIR_ALGO_FIXED_ORDER};
        for (unsigned round = 0; round < 20; round++) {
            double sum = -1.0;
            cr_assert_eq(weir_reduce(NULL, &o, 0, 300000, &fold, sum_body, NULL, &sum), 0);
            if (first == 0.0)
                first = sum;
            cr_assert(memcmp(&sum, &first, sizeof sum) == 0, "%.17g after %.17g", sum, first);
        }
        stop(rt);
    }
    cr_assert_float_eq(first, 13.188755085205672, 1e-9);
}

static int reduce_fails(weir_worker *w, void *arg, size_t begin, size_t end, void *value)
{
    (void)w, (void)arg, (void)value;
    return begin <= 5000 && 5000 < end ? -ERANGE : 0;
}

Test(algo_reduce, result_is_untouched_after_an_error)
{
    static const double zero = 0.0;
    weir_fold fold = {sizeof(double), &zero, add_doubles}, bad = fold;
    weir_runtime *rt = start(2);
    weir_algo_options o = {.rt = rt};
    double sum = 42.0;
    cr_assert_eq(weir_reduce(NULL, &o, 0, 10000, &fold, reduce_fails, NULL, &sum), -ERANGE);
    bad.size = WEIR_FOLD_MAX + 1;
    cr_assert_eq(weir_reduce(NULL, &o, 0, 1, &bad, sum_body, NULL, &sum), -EINVAL);
    bad = (weir_fold){sizeof(double), NULL, add_doubles};
    cr_assert_eq(weir_reduce(NULL, &o, 0, 1, &bad, sum_body, NULL, &sum), -EINVAL);
    bad = (weir_fold){sizeof(double), &zero, NULL};
    cr_assert_eq(weir_reduce(NULL, &o, 0, 1, &bad, sum_body, NULL, &sum), -EINVAL);
    cr_assert_eq(weir_reduce(NULL, &o, 0, 1, NULL, sum_body, NULL, &sum), -EINVAL);
    cr_assert_eq(weir_reduce(NULL, &o, 1, 0, &fold, sum_body, NULL, &sum), -EINVAL);
    cr_assert_eq(weir_reduce(NULL, &o, 0, 1, &fold, NULL, NULL, &sum), -EINVAL);
    cr_assert_eq(weir_reduce(NULL, &o, 0, 1, &fold, sum_body, NULL, NULL), -EINVAL);
    cr_assert_eq(sum, 42.0);
    stop(rt);
}

/* --- scans ------------------------------------------------------------------------------------------------------ */

static long plus(long a, long b)
{
    return a + b;
}
WEIR_SCANNABLE(sums, long, 0, plus);

Test(algo_scan, inclusive_and_exclusive_sums_are_right)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        weir_runtime *rt = start(workers);
        for (size_t n = 0; n < 300000; n = n * 5 + 1) {
            weir_algo_options o = {.rt = rt, .grain = n % 3 == 0 ? 0 : n % 100 + 1};
            long *in = calloc(n + 1, sizeof *in), *out = calloc(n + 1, sizeof *out), sum = 0;
            for (size_t i = 0; i < n; i++)
                in[i] = (long)(i * 7919 % 1000) - 300;
            cr_assert_eq(sums_exclusive(NULL, &o, in, out, n), 0);
            for (size_t i = 0; i < n; sum += in[i++])
                cr_assert_eq(out[i], sum);
            cr_assert_eq(sums_inclusive(NULL, &o, in, in, n), 0); /* in place */
            for (size_t i = 0; i + 1 < n; i++)
                cr_assert_eq(in[i], out[i + 1]);
            cr_assert_eq(n == 0 ? 0 : in[n - 1], sum);
            free(in);
            free(out);
        }
        stop(rt);
    }
}

struct scan_test {
    weir_atomic_u32 finals[1000];
    struct interval before[1000]; /* what the final pass got */
    size_t fail_at;
};

static int interval_scan(weir_worker *w, void *arg, size_t begin, size_t end, void *value, bool final)
{
    struct scan_test *t = arg;
    struct interval here = {begin, end, false, false};
    (void)w;
    if (begin <= t->fail_at && t->fail_at < end)
        return -EXDEV;
    sleep_ms(begin % 20 == 0); /* lets thieves take a half */
    if (final) {
        add(&t->finals[begin], 1);
        t->before[begin] = *(struct interval *)value;
    }
    join_intervals(NULL, value, &here);
    return 0;
}

Test(algo_scan, each_stretch_has_one_final_pass_with_all_before_it)
{
    static const weir_fold fold = {sizeof(struct interval), &nothing, join_intervals};
    for (unsigned workers = 1; workers <= 4; workers++) {
        weir_runtime *rt = start(workers);
        weir_algo_options o = {.rt = rt, .grain = 1};
        struct scan_test *t = calloc(1, sizeof *t);
        struct interval all = nothing;
        t->fail_at = SIZE_MAX;
        cr_assert_eq(weir_scan(NULL, &o, 0, 1000, &fold, interval_scan, t, &all), 0);
        cr_assert(!all.broken && all.begin == 0 && all.end == 1000);
        for (size_t i = 0; i < 1000; i++) {
            cr_assert_eq(t->finals[i].v, 1);
            cr_assert_eq(t->before[i].empty, i == 0);
            cr_assert(i == 0 || (t->before[i].begin == 0 && t->before[i].end == i && !t->before[i].broken));
        }
        t->fail_at = 700;
        all = nothing;
        cr_assert_eq(weir_scan(NULL, &o, 0, 1000, &fold, interval_scan, t, &all), -EXDEV);
        cr_assert(all.empty, "a failed scan has no result");
        free(t);
        stop(rt);
    }
}

Test(algo_scan, bad_arguments_are_refused)
{
    static const weir_fold fold = {sizeof(struct interval), &nothing, join_intervals};
    weir_runtime *rt = start(1);
    weir_algo_options o = {.rt = rt};
    long x = 1;
    cr_assert_eq(weir_scan(NULL, &o, 1, 0, &fold, interval_scan, NULL, NULL), -EINVAL);
    cr_assert_eq(weir_scan(NULL, &o, 0, 1, NULL, interval_scan, NULL, NULL), -EINVAL);
    cr_assert_eq(weir_scan(NULL, &o, 0, 1, &fold, NULL, NULL, NULL), -EINVAL);
    cr_assert_eq(sums_inclusive(NULL, &o, NULL, &x, 1), -EINVAL);
    cr_assert_eq(sums_inclusive(NULL, &o, &x, NULL, 1), -EINVAL);
    stop(rt);
}
