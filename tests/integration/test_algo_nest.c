/* SPDX-License-Identifier: MIT
 *
 * test_algo_nest.c - what must hold for algorithms that are called on workers: within loops, tasks and each other, with
 * errors and cancels that go through all of them.
 */
#include "support.h"

TestSuite(algo_nest, .timeout = 100);

#define PIECES 24u
#define LENGTH 20000u

static long plus(long a, long b)
{
    return a + b;
}
WEIR_SCANNABLE(sums, long, 0, plus);

#define LESS(ctx, a, b) (*(a) < *(b))
WEIR_SORTABLE(longs, long, LESS);

struct piece {
    long keys[LENGTH], out[LENGTH];
    weir_scope *scope; /* cancels, or NULL */
    int result;        /* what the calls came to */
    uint32_t wrong;
};

static void add_long(void *arg, void *value, const void *right)
{
    (void)arg;
    *(long *)value += *(const long *)right;
}

static int sum_of_keys(weir_worker *w, void *arg, size_t begin, size_t end, void *value)
{
    const struct piece *p = arg;
    (void)w;
    for (size_t i = begin; i < end; i++)
        *(long *)value += p->keys[i];
    return 0;
}

static bool is_even(const void *element, void *arg)
{
    (void)arg;
    return *(const long *)element % 2 == 0;
}

static void fill(struct piece *p, uint32_t seed)
{
    for (size_t i = 0; i < LENGTH; i++)
        p->keys[i] = (long)((i * 7919 + seed * 31) % 10007);
}

/* Everything there is, on the worker that calls. The first error ends it. */
static int all_on(weir_worker *w, struct piece *p)
{
    static const long zero = 0;
    static const weir_fold fold = {sizeof(long), &zero, add_long};
    weir_algo_options o = {.scope = p->scope}, stable = {.scope = p->scope, .flags = WEIR_ALGO_STABLE};
    long expected = 0, sum = 0;
    size_t even = 0, filtered = 0, count = 0;
    for (size_t i = 0; i < LENGTH; i++) {
        expected += p->keys[i];
        count += p->keys[i] % 2 == 0;
    }
    int r = weir_reduce(w, &o, 0, LENGTH, &fold, sum_of_keys, p, &sum);
    if (r == 0)
        r = sums_inclusive(w, &o, p->keys, p->out, LENGTH);
    p->wrong += r == 0 && (sum != expected || p->out[LENGTH - 1] != expected || p->out[0] != p->keys[0]);
    if (r == 0)
        r = weir_filter(w, &o, p->keys, LENGTH, sizeof(long), is_even, NULL, p->out, &filtered);
    if (r == 0)
        r = weir_partition(w, &o, p->keys, LENGTH, sizeof(long), is_even, NULL, &even);
    p->wrong += r == 0 && (even != count || filtered != count || memcmp(p->keys, p->out, count * sizeof(long)) != 0);
    if (r == 0)
        r = longs_sort(w, &stable, p->keys, even, NULL);
    if (r == 0)
        r = longs_sort(w, &o, p->keys + even, LENGTH - even, NULL);
    for (size_t i = 1; r == 0 && i < LENGTH; i++)
        p->wrong += i != even && p->keys[i - 1] > p->keys[i];
    return r;
}

static int piece_in_a_loop(weir_worker *w, void *arg, size_t begin, size_t end)
{
    struct piece *p = arg;
    for (size_t i = begin; i < end; i++)
        if ((p[i].result = all_on(w, &p[i])) != 0)
            return p[i].result;
    return 0;
}

static struct piece *pieces(weir_scope *scope)
{
    struct piece *p = calloc(PIECES, sizeof *p);
    for (uint32_t i = 0; i < PIECES; i++) {
        fill(&p[i], i);
        p[i].scope = scope;
    }
    return p;
}

static void none_wrong(const struct piece *p)
{
    for (uint32_t i = 0; i < PIECES; i++)
        cr_assert_eq(p[i].wrong, 0, "piece %u", i);
}

Test(algo_nest, every_algorithm_works_on_workers_within_a_loop)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        weir_runtime *rt = start(workers);
        weir_algo_options o = {.rt = rt, .grain = 1};
        struct piece *p = pieces(NULL);
        cr_assert_eq(weir_for(NULL, &o, 0, PIECES, piece_in_a_loop, p), 0);
        none_wrong(p);
        free(p);
        stop(rt);
    }
}

/* A loop of loops of loops, down to the pieces: each level on whatever worker came to it. */
struct levels {
    struct piece *p;
    uint32_t depth;
};

static int deeper(weir_worker *w, void *arg, size_t begin, size_t end)
{
    const struct levels *l = arg;
    weir_algo_options o = {.grain = 1};
    struct levels next = {l->p, l->depth - 1};
    if (l->depth == 0)
        return piece_in_a_loop(w, l->p, begin, end);
    return weir_for(w, &o, begin, end, deeper, &next);
}

Test(algo_nest, loops_nest_to_any_depth)
{
    weir_runtime *rt = start(3);
    weir_algo_options o = {.rt = rt, .grain = 6};
    struct piece *p = pieces(NULL);
    struct levels l = {p, 20};
    cr_assert_eq(weir_for(NULL, &o, 0, PIECES, deeper, &l), 0);
    none_wrong(p);
    free(p);
    stop(rt);
}

/* Tasks of a scope, each with algorithms of its own, while a thread outside has a loop running, too. */
static weir_task *piece_as_a_task(weir_worker *w, weir_task *t)
{
    struct piece *p = *(struct piece **)weir_task_payload(t);
    p->result = all_on(w, p);
    return NULL;
}

static int scope_result;

static void pieces_as_tasks(weir_worker *w, void *arg)
{
    struct piece *p = arg;
    weir_scope scope;
    weir_scope_init(w, &scope);
    for (uint32_t i = 0; i < PIECES; i++) {
        weir_task *t;
        if (weir_task_new(w, piece_as_a_task, sizeof p, &t) != 0)
            abort();
        *(struct piece **)weir_task_payload(t) = &p[i];
        weir_scope_spawn(w, &scope, t);
    }
    scope_result = weir_scope_wait(w, &scope);
}

struct outside {
    weir_runtime *rt;
    struct piece *p;
    int result;
};

static void *loop_from_outside(void *arg)
{
    struct outside *x = arg;
    weir_algo_options o = {.rt = x->rt, .grain = 1};
    x->result = weir_for(NULL, &o, 0, PIECES, piece_in_a_loop, x->p);
    return NULL;
}

Test(algo_nest, every_algorithm_works_in_tasks_beside_a_loop_from_outside)
{
    weir_runtime *rt = start(3);
    struct piece *p = pieces(NULL);
    struct outside x = {rt, pieces(NULL), 1};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, loop_from_outside, &x), 0);
    call(rt, pieces_as_tasks, p);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(scope_result, 0);
    cr_assert_eq(x.result, 0);
    for (uint32_t i = 0; i < PIECES; i++)
        cr_assert_eq(p[i].result, 0);
    none_wrong(p);
    none_wrong(x.p);
    free(p);
    free(x.p);
    stop(rt);
}

Test(algo_nest, a_cancel_ends_every_algorithm_in_every_loop)
{
    weir_runtime *rt = start(3);
    weir_algo_options o = {.rt = rt, .grain = 1};
    weir_scope scope;
    weir_scope_init(NULL, &scope);
    weir_scope_cancel(&scope);
    struct piece *p = pieces(&scope);
    cr_assert_eq(weir_for(NULL, &o, 0, PIECES, piece_in_a_loop, p), -ECANCELED);
    for (uint32_t i = 0; i < PIECES; i++)
        cr_assert(p[i].result == -ECANCELED || p[i].result == 0, "the inner call, or it has not begun");
    cr_assert_eq(weir_scope_wait(NULL, &scope), -ECANCELED);
    free(p);
    stop(rt);
}

static int fails_inside(weir_worker *w, void *arg, size_t begin, size_t end)
{
    (void)w, (void)arg;
    return begin <= 500 && 500 < end ? -EDOM : 0;
}

static int calls_what_fails(weir_worker *w, void *arg, size_t begin, size_t end)
{
    weir_algo_options o = {.grain = 1};
    (void)begin, (void)end;
    return weir_for(w, &o, 0, 1000, fails_inside, arg);
}

Test(algo_nest, an_error_goes_out_through_all_loops)
{
    weir_runtime *rt = start(3);
    weir_algo_options o = {.rt = rt, .grain = 1};
    cr_assert_eq(weir_for(NULL, &o, 0, PIECES, calls_what_fails, NULL), -EDOM);
    stop(rt);
}
