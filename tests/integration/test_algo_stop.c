/* SPDX-License-Identifier: MIT
 *
 * test_algo_stop.c - what must hold for the end of every algorithm before its time: a scope that was cancelled before
 * or meanwhile, and a callback's error; outside workers and on one.
 */
#include "support.h"

TestSuite(algo_stop, .timeout = 100);

#define ELEMENTS 30000u
#define WHEN_NEVER UINT32_MAX

/* What all callbacks share: they count, and at one call they cancel the scope or fail. */
struct stopper {
    weir_scope scope;
    weir_atomic_u32 calls;
    uint32_t cancel_at;
    uint32_t fail_at;
    long *x;    /* ELEMENTS of them */
    long *out;
    size_t count;
    long sum;
};

static int next_call(struct stopper *s)
{
    uint32_t call = add(&s->calls, 1);
    if (call == s->cancel_at)
        weir_scope_cancel(&s->scope);
    return call == s->fail_at ? -EDOM : 0;
}

/* --- callbacks ---------------------------------------------------------------------------------------------------- */

static int on_range(weir_worker *w, void *arg, size_t begin, size_t end)
{
    (void)w, (void)begin, (void)end;
    return next_call(arg);
}

static int on_index(weir_worker *w, void *arg, size_t i)
{
    (void)w, (void)i;
    return next_call(arg);
}
WEIR_FOR_EACH(each, on_index);

static int on_tile(weir_worker *w, void *arg, const weir_tile *tile)
{
    (void)w, (void)tile;
    return next_call(arg);
}

static int on_invocation(weir_worker *w, void *arg)
{
    (void)w;
    return next_call(arg);
}

static int on_fold(weir_worker *w, void *arg, size_t begin, size_t end, void *value)
{
    (void)w;
    *(long *)value += (long)(end - begin);
    return next_call(arg);
}

static int on_scan(weir_worker *w, void *arg, size_t begin, size_t end, void *value, bool final)
{
    (void)w, (void)final;
    *(long *)value += (long)(end - begin);
    return next_call(arg);
}

static void add_long(void *arg, void *value, const void *right)
{
    (void)arg;
    *(long *)value += *(const long *)right;
}

static int compare(const void *a, const void *b, void *arg)
{
    (void)next_call(arg); /* a comparison can't fail */
    return *(const long *)a < *(const long *)b ? -1 : *(const long *)a > *(const long *)b;
}

static bool likes(const void *element, void *arg)
{
    (void)next_call(arg);
    return *(const long *)element % 2 == 0;
}

/* --- algorithms --------------------------------------------------------------------------------------------------- */

static const long zero = 0;
static const weir_fold fold = {sizeof(long), &zero, add_long};

static int call_for(weir_worker *w, weir_algo_options *o, struct stopper *s)
{
    o->grain = 10;
    return weir_for(w, o, 0, ELEMENTS, on_range, s);
}

static int call_each(weir_worker *w, weir_algo_options *o, struct stopper *s)
{
    return each(w, o, 0, ELEMENTS, s);
}

static int call_for_2d(weir_worker *w, weir_algo_options *o, struct stopper *s)
{
    weir_tile all = {0, 300, 0, 300};
    o->grain = 10;
    return weir_for_2d(w, o, &all, on_tile, s);
}

static int call_invoke(weir_worker *w, weir_algo_options *o, struct stopper *s)
{
    weir_invocation list[500];
    for (size_t i = 0; i < 500; i++)
        list[i] = (weir_invocation){on_invocation, s};
    return weir_invoke(w, o, list, 500);
}

static int call_reduce(weir_worker *w, weir_algo_options *o, struct stopper *s)
{
    o->grain = 10;
    return weir_reduce(w, o, 0, ELEMENTS, &fold, on_fold, s, &s->sum);
}

static int call_reduce_fixed(weir_worker *w, weir_algo_options *o, struct stopper *s)
{
    o->flags = WEIR_ALGO_FIXED_ORDER;
    return call_reduce(w, o, s);
}

static int call_scan(weir_worker *w, weir_algo_options *o, struct stopper *s)
{
    o->grain = 10;
    return weir_scan(w, o, 0, ELEMENTS, &fold, on_scan, s, &s->sum);
}

static int call_sort(weir_worker *w, weir_algo_options *o, struct stopper *s)
{
    return weir_sort(w, o, s->x, ELEMENTS, sizeof *s->x, compare, s);
}

static int call_sort_stable(weir_worker *w, weir_algo_options *o, struct stopper *s)
{
    o->flags = WEIR_ALGO_STABLE;
    return call_sort(w, o, s);
}

static int call_partition(weir_worker *w, weir_algo_options *o, struct stopper *s)
{
    return weir_partition(w, o, s->x, ELEMENTS, sizeof *s->x, likes, s, &s->count);
}

static int call_filter(weir_worker *w, weir_algo_options *o, struct stopper *s)
{
    return weir_filter(w, o, s->x, ELEMENTS, sizeof *s->x, likes, s, s->out, &s->count);
}

static const struct algorithm {
    const char *name;
    int (*call)(weir_worker *w, weir_algo_options *o, struct stopper *s);
    bool fails;  /* its callback can */
    bool keeps;  /* after a cancel the array is as it was; else it has its elements in some order */
} algorithms[] = {
    {"for", call_for, true, true},
    {"for each", call_each, true, true},
    {"for 2d", call_for_2d, true, true},
    {"invoke", call_invoke, true, true},
    {"reduce", call_reduce, true, true},
    {"reduce in fixed order", call_reduce_fixed, true, true},
    {"scan", call_scan, true, true},
    {"sort", call_sort, false, false},
    {"stable sort", call_sort_stable, false, false},
    {"partition", call_partition, false, true},
    {"filter", call_filter, false, true},
};
#define ALGORITHMS (sizeof algorithms / sizeof *algorithms)

/* --- one call, from where it is to come --------------------------------------------------------------------------- */

struct job {
    const struct algorithm *a;
    struct stopper *s;
    int result;
};

static void call_on_worker(weir_worker *w, void *arg)
{
    struct job *job = arg;
    weir_algo_options o = {.scope = &job->s->scope};
    job->result = job->a->call(w, &o, job->s);
}

static int call_it(weir_runtime *rt, const struct algorithm *a, struct stopper *s, bool outside)
{
    weir_algo_options o = {.rt = rt, .scope = &s->scope};
    struct job job = {a, s, 1};
    if (outside)
        return a->call(NULL, &o, s);
    call(rt, call_on_worker, &job);
    return job.result;
}

static struct stopper *stopper_new(uint32_t cancel_at, uint32_t fail_at)
{
    struct stopper *s = calloc(1, sizeof *s);
    s->x = calloc(ELEMENTS, sizeof *s->x);
    s->out = calloc(ELEMENTS, sizeof *s->out);
    for (size_t i = 0; i < ELEMENTS; i++)
        s->x[i] = (long)(i * 7919 % ELEMENTS);
    s->cancel_at = cancel_at;
    s->fail_at = fail_at;
    s->count = 42;
    s->sum = 42;
    weir_scope_init(NULL, &s->scope);
    return s;
}

static void stopper_free(struct stopper *s)
{
    free(s->x);
    free(s->out);
    free(s);
}

/* What an algorithm that did not come to its end leaves behind. */
static void left_well(const struct algorithm *a, const struct stopper *s)
{
    char *seen = calloc(ELEMENTS, 1);
    cr_assert_eq(s->count, 42, "%s: a count", a->name);
    cr_assert_eq(s->sum, 42, "%s: a result", a->name);
    for (size_t i = 0; i < ELEMENTS; i++) {
        cr_assert(s->x[i] >= 0 && s->x[i] < (long)ELEMENTS && seen[s->x[i]]++ == 0, "%s: an element is lost", a->name);
        cr_assert(!a->keeps || s->x[i] == (long)(i * 7919 % ELEMENTS), "%s: the array has changed", a->name);
    }
    free(seen);
}

#define FOR_ALL(rt, a, outside) \
    for (unsigned workers_ = 1; workers_ <= 3; workers_++) \
        for (weir_runtime *rt = start(workers_); rt != NULL; stop(rt), rt = NULL) \
            for (const struct algorithm *a = algorithms; a != algorithms + ALGORITHMS; a++) \
                for (int outside = 0; outside < 2; outside++)

Test(algo_stop, without_an_end_before_its_time_each_comes_to_its_own)
{
    FOR_ALL(rt, a, outside) {
        struct stopper *s = stopper_new(WHEN_NEVER, WHEN_NEVER);
        cr_assert_eq(call_it(rt, a, s, outside), 0, "%s", a->name);
        cr_assert_gt(get(&s->calls), 10, "%s", a->name);
        cr_assert_eq(weir_scope_wait(NULL, &s->scope), 0);
        stopper_free(s);
    }
}

Test(algo_stop, in_a_cancelled_scope_none_begins)
{
    FOR_ALL(rt, a, outside) {
        struct stopper *s = stopper_new(WHEN_NEVER, WHEN_NEVER);
        weir_scope_cancel(&s->scope);
        cr_assert_eq(call_it(rt, a, s, outside), -ECANCELED, "%s", a->name);
        cr_assert_eq(get(&s->calls), 0, "%s", a->name);
        cr_assert_eq(weir_scope_wait(NULL, &s->scope), -ECANCELED);
        left_well(a, s);
        stopper_free(s);
    }
}

Test(algo_stop, a_cancel_meanwhile_ends_each)
{
    FOR_ALL(rt, a, outside) {
        struct stopper *whole = stopper_new(WHEN_NEVER, WHEN_NEVER);
        cr_assert_eq(call_it(rt, a, whole, outside), 0);
        for (uint32_t at = 1; at < 100; at *= 7) {
            struct stopper *s = stopper_new(at, WHEN_NEVER);
            cr_assert_eq(call_it(rt, a, s, outside), -ECANCELED, "%s, at %u", a->name, at);
            cr_assert_lt(get(&s->calls), get(&whole->calls), "%s, at %u, went on to its end", a->name, at);
            cr_assert_eq(weir_scope_wait(NULL, &s->scope), -ECANCELED);
            left_well(a, s);
            stopper_free(s);
        }
        stopper_free(whole);
    }
}

Test(algo_stop, an_error_of_a_callback_ends_each_and_not_the_scope)
{
    FOR_ALL(rt, a, outside) {
        for (uint32_t at = 1; a->fails && at < 100; at *= 7) {
            struct stopper *s = stopper_new(WHEN_NEVER, at);
            cr_assert_eq(call_it(rt, a, s, outside), -EDOM, "%s, at %u", a->name, at);
            cr_assert_eq(weir_scope_wait(NULL, &s->scope), 0);
            left_well(a, s);
            stopper_free(s);
        }
    }
}
