/* SPDX-License-Identifier: MIT
 *
 * test_algo.c - what must hold for loops and invocations: each index once, errors, cancel, nesting.
 *
 * Threads: see support.h.
 */
#include "support.h"

#define MANY 100000u

/* --- loops ------------------------------------------------------------------------------------------------------ */

struct marks {
    weir_atomic_u32 *seen; /* one per index, from `first` */
    size_t first;
    size_t slow_at;        /* this index takes a millisecond */
    size_t fail_at;        /* this index fails */
    weir_atomic_u32 calls;
    size_t longest;        /* a range that is longer than this is counted in `too_long` */
    weir_atomic_u32 too_long;
};

static struct marks *marks_new(size_t n)
{
    struct marks *m = calloc(1, sizeof *m);
    m->seen = calloc(n + 1, sizeof *m->seen);
    m->slow_at = m->fail_at = m->longest = SIZE_MAX;
    return m;
}

static void marks_free(struct marks *m)
{
    free(m->seen);
    free(m);
}

static int mark(weir_worker *w, void *arg, size_t begin, size_t end)
{
    struct marks *m = arg;
    (void)w;
    add(&m->calls, 1);
    if (end - begin > m->longest)
        add(&m->too_long, 1);
    for (size_t i = begin; i < end; i++) {
        if (i == m->slow_at)
            sleep_ms(1);
        if (i == m->fail_at)
            return -EILSEQ;
        add(&m->seen[i - m->first], 1);
    }
    return 0;
}

static bool each_once(const struct marks *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (m->seen[i].v != 1)
            return false;
    return true;
}

Test(algo_for, each_index_is_visited_once)
{
    static const size_t sizes[] = {0, 1, 2, 3, 7, 63, 64, 65, 511, 512, 513, 4099, MANY};
    for (unsigned workers = 1; workers <= 5; workers += 2) {
        weir_runtime *rt = start(workers);
        weir_algo_options o = {.rt = rt};
        for (unsigned round = 0; round < 3; round++) {
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
                struct marks *m = marks_new(sizes[i]);
                m->first = 10 * round;
                cr_assert_eq(weir_for(NULL, &o, m->first, m->first + sizes[i], mark, m), 0);
                cr_assert(each_once(m, sizes[i]), "%zu indices, %u workers", sizes[i], workers);
                marks_free(m);
            }
        }
        stop(rt);
    }
}

Test(algo_for, grain_bounds_what_a_body_gets)
{
    weir_runtime *rt = start(2);
    for (size_t grain = 1; grain < 2000; grain = grain * 3 + 1) {
        weir_algo_options o = {.rt = rt, .grain = grain};
        struct marks *m = marks_new(MANY);
        m->longest = grain;
        for (unsigned round = 0; round < 2; round++) /* of unknown, then of known duration */
            cr_assert_eq(weir_for(NULL, &o, 0, MANY, mark, m), 0);
        cr_assert_geq(m->calls.v, 2 * (MANY / grain));
        cr_assert_eq(m->too_long.v, 0);
        marks_free(m);
    }
    stop(rt);
}

static int count_only(weir_worker *w, void *arg, size_t begin, size_t end)
{
    (void)w;
    add(arg, (uint32_t)(end - begin));
    return 0;
}

Test(algo_for, ranges_at_the_end_of_the_index_space_do_not_wrap)
{
    weir_runtime *rt = start(2);
    weir_algo_options o = {.rt = rt};
    weir_atomic_u32 n = {0};
    for (unsigned round = 0; round < 20; round++)
        cr_assert_eq(weir_for(NULL, &o, SIZE_MAX - 5000, SIZE_MAX, count_only, &n), 0);
    cr_assert_eq(n.v, 20 * 5000);
    stop(rt);
}

static int stop_early(weir_worker *w, void *arg, size_t begin, size_t end)
{
    (void)w, (void)begin, (void)end;
    add(arg, 1);
    return -ENOSPC;
}

Test(algo_for, first_error_stops_what_has_not_begun)
{
    weir_runtime *rt = start(3);
    weir_algo_options o = {.rt = rt};
    weir_atomic_u32 calls = {0};
    cr_assert_eq(weir_for(NULL, &o, 0, SIZE_MAX, stop_early, &calls), -ENOSPC); /* would never end otherwise */
    cr_assert_leq(calls.v, 3);
    struct marks *m = marks_new(MANY);
    m->fail_at = MANY / 2;
    cr_assert_eq(weir_for(NULL, &o, 0, MANY, mark, m), -EILSEQ);
    cr_assert_eq(m->seen[MANY / 2].v, 0);
    marks_free(m);
    stop(rt);
}

struct cancelling {
    weir_scope scope;
    weir_atomic_u32 calls;
};

static int cancel_scope(weir_worker *w, void *arg, size_t begin, size_t end)
{
    struct cancelling *c = arg;
    (void)w, (void)begin, (void)end;
    add(&c->calls, 1);
    weir_scope_cancel(&c->scope);
    return 0;
}

Test(algo_for, cancel_of_the_scope_ends_the_loop)
{
    weir_runtime *rt = start(2);
    struct cancelling c = {.calls = {0}};
    weir_algo_options o = {.rt = rt, .scope = &c.scope};
    weir_scope_init(NULL, &c.scope);
    cr_assert_eq(weir_for(NULL, &o, 0, SIZE_MAX, cancel_scope, &c), -ECANCELED);
    cr_assert_leq(c.calls.v, 2);
    uint32_t before = c.calls.v;
    cr_assert_eq(weir_for(NULL, &o, 0, 1, cancel_scope, &c), -ECANCELED);
    cr_assert_eq(c.calls.v, before, "a loop of a cancelled scope began");
    cr_assert_eq(weir_scope_wait(NULL, &c.scope), -ECANCELED);
    weir_scope_init(NULL, &c.scope);
    weir_scope_fail(&c.scope, -ENOTTY);
    cr_assert_eq(weir_for(NULL, &o, 0, 10, cancel_scope, &c), -ENOTTY);
    cr_assert_eq(weir_scope_wait(NULL, &c.scope), -ENOTTY);
    stop(rt);
}

struct meeting {
    weir_atomic_u32 here;
    weir_atomic_u32 met;
};

/* Each iteration waits until all are under way: they must be on workers of their own. */
static int meet(weir_worker *w, void *arg, size_t begin, size_t end)
{
    struct meeting *m = arg;
    (void)w;
    for (size_t i = begin; i < end; i++) {
        add(&m->here, 1);
        if (reaches(&m->here, 2))
            add(&m->met, 1);
    }
    return 0;
}

Test(algo_for, two_dear_iterations_run_on_two_workers)
{
    weir_runtime *rt = start(2);
    weir_algo_options o = {.rt = rt};
    struct meeting m = {{0}, {0}};
    cr_assert_eq(weir_for(NULL, &o, 0, 2, meet, &m), 0);
    cr_assert_eq(m.met.v, 2);
    stop(rt);
}

struct two_speeds {
    weir_atomic_u32 dear;
    struct meeting m;
};

static int cheap_then_dear(weir_worker *w, void *arg, size_t begin, size_t end)
{
    struct two_speeds *t = arg;
    if (get(&t->dear) == 0)
        return 0;
    if (begin == 0 && end == 4) { /* taken for a short loop: one call */
        sleep_ms(1);
        return 0;
    }
    return meet(w, &t->m, begin, end);
}

Test(algo_for, a_body_that_becomes_dear_is_soon_shared)
{
    weir_runtime *rt = start(2);
    weir_algo_options o = {.rt = rt};
    struct two_speeds t = {.dear = {0}};
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(weir_for(NULL, &o, 0, 4, cheap_then_dear, &t), 0);
    set(&t.dear, 1);
    for (unsigned i = 0; i < 100 && t.m.met.v == 0; i++)
        cr_assert_eq(weir_for(NULL, &o, 0, 4, cheap_then_dear, &t), 0);
    cr_assert_neq(t.m.met.v, 0, "still one call after a hundred slow ones");
    stop(rt);
}

static int inner(weir_worker *w, void *arg, size_t begin, size_t end)
{
    (void)w;
    add(arg, (uint32_t)(end - begin));
    return 0;
}

static int outer(weir_worker *w, void *arg, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        int r = weir_for(w, NULL, 0, 1000, inner, arg);
        if (r != 0)
            return r;
    }
    return 0;
}

Test(algo_for, loops_nest)
{
    weir_runtime *rt = start(3);
    weir_algo_options o = {.rt = rt};
    weir_atomic_u32 n = {0};
    cr_assert_eq(weir_for(NULL, &o, 0, 1000, outer, &n), 0);
    cr_assert_eq(n.v, 1000000);
    stop(rt);
}

static int plus_one(weir_worker *w, void *arg, size_t i)
{
    (void)w;
    ((unsigned *)arg)[i]++;
    return (int)(i % 2); /* not negative: no error */
}
WEIR_FOR_EACH(add_one_to_each, plus_one);

Test(algo_for, inline_form_visits_each_index_once)
{
    weir_runtime *rt = start(2);
    weir_algo_options o = {.rt = rt};
    unsigned *seen = calloc(MANY, sizeof *seen);
    for (unsigned round = 0; round < 5; round++)
        cr_assert_eq(add_one_to_each(NULL, &o, 0, MANY, seen), 0);
    for (size_t i = 0; i < MANY; i++)
        cr_assert_eq(seen[i], 5);
    free(seen);
    stop(rt);
}

static void misuse(weir_worker *w, void *arg)
{
    weir_algo_options other = {.rt = arg};
    weir_atomic_u32 n = {0};
    cr_assert_eq(weir_for(w, NULL, 0, 3, inner, &n), 0);
    cr_assert_eq(weir_for(NULL, NULL, 0, 3, inner, &n), 0, "NULL on a worker means this worker");
    cr_assert_eq(weir_for(NULL, &other, 0, 3, inner, &n), -EDEADLK, "a worker of another runtime");
    cr_assert_eq(n.v, 6);
}

Test(algo_for, bad_arguments_are_refused_and_nothing_runs)
{
    weir_runtime *rt = start(1), *other = start(1);
    weir_algo_options o = {.rt = rt}, flags = {.rt = rt, .flags = WEIR_ALGO_STABLE};
    weir_algo_options reserved = {.rt = rt, .reserved = 1};
    weir_atomic_u32 n = {0};
    cr_assert_eq(weir_for(NULL, &o, 1, 0, inner, &n), -EINVAL);
    cr_assert_eq(weir_for(NULL, &o, 0, 1, NULL, &n), -EINVAL);
    cr_assert_eq(weir_for(NULL, NULL, 0, 1, inner, &n), -EINVAL);
    cr_assert_eq(weir_for(NULL, &flags, 0, 1, inner, &n), -EINVAL);
    cr_assert_eq(weir_for(NULL, &reserved, 0, 1, inner, &n), -EINVAL);
    call(rt, misuse, other);
    cr_assert_eq(n.v, 0);
    stop(other);
    stop(rt);
    cr_assert_eq(weir_for(NULL, &o, 0, 1, inner, &n), -ESHUTDOWN);
}

/* --- two dimensions, invocations ------------------------------------------------------------------------------ */

struct field {
    weir_atomic_u32 *seen;
    weir_tile all;
    size_t edge; /* tiles are no larger; 0: any */
    weir_atomic_u32 wrong;
};

static int mark_tile(weir_worker *w, void *arg, const weir_tile *t)
{
    struct field *f = arg;
    size_t columns = f->all.col_end - f->all.col_begin;
    (void)w;
    if (f->edge != 0 && (t->row_end - t->row_begin > f->edge || t->col_end - t->col_begin > f->edge))
        add(&f->wrong, 1);
    for (size_t r = t->row_begin; r < t->row_end; r++)
        for (size_t c = t->col_begin; c < t->col_end; c++)
            add(&f->seen[(r - f->all.row_begin) * columns + c - f->all.col_begin], 1);
    return 0;
}

Test(algo_for_2d, tiles_cover_each_cell_once)
{
    static const size_t edges[] = {0, 1, 7, 1000};
    static const weir_tile fields[] = {{0, 0, 0, 5}, {3, 4, 5, 6}, {0, 1, 0, 3000}, {10, 3010, 1, 2}, {5, 405, 7, 310}};
    weir_runtime *rt = start(3);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        for (size_t e = 0; e < sizeof edges / sizeof *edges; e++) {
            struct field f = {.all = fields[i], .edge = edges[e]};
            weir_algo_options o = {.rt = rt, .grain = edges[e]};
            size_t n = (f.all.row_end - f.all.row_begin) * (f.all.col_end - f.all.col_begin);
            f.seen = calloc(n + 1, sizeof *f.seen);
            for (uint32_t round = 1; round <= 3; round++) {
                cr_assert_eq(weir_for_2d(NULL, &o, &f.all, mark_tile, &f), 0);
                for (size_t k = 0; k < n; k++)
                    cr_assert_eq(f.seen[k].v, round);
            }
            cr_assert_eq(f.wrong.v, 0);
            free(f.seen);
        }
    }
    stop(rt);
}

Test(algo_for_2d, bad_arguments_are_refused)
{
    weir_runtime *rt = start(1);
    weir_algo_options o = {.rt = rt}, tiny = {.rt = rt, .grain = 1};
    struct field f = {.all = {0, 1, 0, 1}};
    weir_tile turned = {1, 0, 0, 1}, vast = {0, SIZE_MAX, 0, SIZE_MAX};
    cr_assert_eq(weir_for_2d(NULL, &o, NULL, mark_tile, &f), -EINVAL);
    cr_assert_eq(weir_for_2d(NULL, &o, &f.all, NULL, &f), -EINVAL);
    cr_assert_eq(weir_for_2d(NULL, &o, &turned, mark_tile, &f), -EINVAL);
    cr_assert_eq(weir_for_2d(NULL, &tiny, &vast, mark_tile, &f), -EINVAL);
    stop(rt);
}

static int meet_once(weir_worker *w, void *arg)
{
    return meet(w, arg, 0, 1);
}

static int fail_once(weir_worker *w, void *arg)
{
    (void)w;
    add(arg, 1);
    return -EDOM;
}

static int count_once(weir_worker *w, void *arg)
{
    return inner(w, arg, 0, 1);
}

Test(algo_invoke, functions_run_at_the_same_time)
{
    weir_runtime *rt = start(2);
    weir_algo_options o = {.rt = rt};
    struct meeting m = {{0}, {0}};
    weir_atomic_u32 n = {0};
    weir_invocation list[] = {{meet_once, &m}, {meet_once, &m}, {count_once, &n}, {count_once, &n}, {count_once, &n}};
    cr_assert_eq(weir_invoke(NULL, &o, list, 5), 0);
    cr_assert_eq(m.met.v, 2);
    cr_assert_eq(n.v, 3);
    cr_assert_eq(weir_invoke(NULL, &o, NULL, 0), 0);
    stop(rt);
}

Test(algo_invoke, an_error_leaves_out_what_has_not_begun)
{
    weir_runtime *rt = start(1);
    weir_algo_options o = {.rt = rt};
    weir_atomic_u32 failed = {0}, n = {0};
    weir_invocation list[] = {{fail_once, &failed}, {count_once, &n}, {count_once, &n}};
    cr_assert_eq(weir_invoke(NULL, &o, list, 3), -EDOM);
    cr_assert_eq(failed.v, 1);
    cr_assert_eq(n.v, 0);
    list[1].fn = NULL;
    cr_assert_eq(weir_invoke(NULL, &o, list, 3), -EINVAL);
    cr_assert_eq(weir_invoke(NULL, &o, NULL, 3), -EINVAL);
    cr_assert_eq(failed.v, 1);
    stop(rt);
}
