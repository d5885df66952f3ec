/* SPDX-License-Identifier: MIT
 *
 * algo.c - public entry points of weir/algo.h and weir/sort.h: argument checks, and the way to a worker.
 *
 * Threads: see weir/algo.h.
 */
#include <weir/algo.h>
#include <weir/sort.h>

#include <errno.h>

#include "par/algo.h"

typedef int algo_fn(struct worker *w, void *call);

static const weir_algo_options no_options;

/* A call of a thread that is no worker. */
struct visit {
    algo_fn *fn;
    void *call;
    int result;
};

static void visit(weir_worker *w, void *arg)
{
    struct visit *v = arg;
    v->result = v->fn(worker_of(w), v->call);
}

static COLD int from_outside(const weir_algo_options *o, algo_fn *fn, void *call)
{
    struct visit v = {.fn = fn, .call = call};
    int r = weir_call(o->rt, visit, &v);
    return r != 0 ? r : v.result;
}

/* Runs an algorithm on the calling worker, or on one of the runtime in the options. */
static inline int enter(const weir_worker *w, const weir_algo_options *o, algo_fn *fn, void *call)
{
    struct worker *self = worker_self();
    if (LIKELY(w != NULL ? worker_of(w) == self : self != NULL && o->rt == NULL))
        return fn(self, call);
    return w != NULL || o->rt == NULL ? -EINVAL : from_outside(o, fn, call);
}

/* Whether the options make sense; NULL becomes none. */
static inline bool check(const weir_algo_options **o, uint32_t flags)
{
    if (*o == NULL)
        *o = &no_options;
    return ((*o)->flags & ~flags) == 0 && (*o)->reserved == 0;
}

int weir_for(weir_worker *w, const weir_algo_options *o, size_t begin, size_t end, weir_for_fn *body, void *arg)
{
    if (!check(&o, 0) || body == NULL || begin > end)
        return -EINVAL;
    struct for_call c = {o, begin, end, body, arg};
    return enter(w, o, algo_for, &c);
}

int weir_for_2d(weir_worker *w, const weir_algo_options *o, const weir_tile *all, weir_for_2d_fn *body, void *arg)
{
    if (!check(&o, 0) || body == NULL || all == NULL || all->row_begin > all->row_end || all->col_begin > all->col_end)
        return -EINVAL;
    struct for_2d_call c = {.o = o, .all = *all, .body = body, .arg = arg};
    int r = algo_for_2d_plan(&c);
    return r != 0 ? r : enter(w, o, algo_for_2d, &c);
}

int weir_invoke(weir_worker *w, const weir_algo_options *o, const weir_invocation *list, size_t n)
{
    if (!check(&o, 0) || (list == NULL && n > 0))
        return -EINVAL;
    for (size_t i = 0; i < n; i++)
        if (list[i].fn == NULL)
            return -EINVAL;
    struct invoke_call c = {o, list, n};
    return enter(w, o, algo_invoke, &c);
}

static bool is_fold(const weir_fold *fold)
{
    return fold != NULL && fold->size > 0 && fold->size <= WEIR_FOLD_MAX && fold->identity != NULL &&
           fold->combine != NULL;
}

int weir_reduce(weir_worker *w, const weir_algo_options *o, size_t begin, size_t end, const weir_fold *fold,
                weir_reduce_fn *body, void *arg, void *result)
{
    if (!check(&o, WEIR_ALGO_FIXED_ORDER) || begin > end || !is_fold(fold) || body == NULL || result == NULL)
        return -EINVAL;
    struct reduce_call c = {o, begin, end, fold, body, arg, result};
    return enter(w, o, algo_reduce, &c);
}

int weir_scan(weir_worker *w, const weir_algo_options *o, size_t begin, size_t end, const weir_fold *fold,
              weir_scan_fn *body, void *arg, void *result)
{
    if (!check(&o, 0) || begin > end || !is_fold(fold) || body == NULL)
        return -EINVAL;
    struct scan_call c = {o, begin, end, fold, body, arg, result};
    return enter(w, o, algo_scan, &c);
}

/* Whether n elements of `size` bytes at `base` can be an array. */
static bool is_array(const void *base, size_t n, size_t size)
{
    return size > 0 && n <= PTRDIFF_MAX / size && (base != NULL || n == 0);
}

int weir_sort_with(weir_worker *w, const weir_algo_options *o, void *base, size_t n, const weir_sort_ops *ops,
                   const void *ctx)
{
    if (!check(&o, WEIR_ALGO_STABLE) || ops == NULL || !is_array(base, n, ops->size))
        return -EINVAL;
    struct sort_call c = {o, base, n, ops, ctx};
    return enter(w, o, algo_sort, &c);
}

int weir_sort(weir_worker *w, const weir_algo_options *o, void *base, size_t n, size_t size, weir_compare_fn *compare,
              void *arg)
{
    weir_sort_ops ops;
    struct sort_compare ctx = {compare, arg, size};
    if (compare == NULL || !is_array(base, n, size))
        return -EINVAL;
    sort_ops_of(size, &ops);
    return weir_sort_with(w, o, base, n, &ops, &ctx);
}

int weir_partition(weir_worker *w, const weir_algo_options *o, void *base, size_t n, size_t size,
                   weir_predicate_fn *likes, void *arg, size_t *count)
{
    if (!check(&o, 0) || !is_array(base, n, size) || likes == NULL || count == NULL)
        return -EINVAL;
    struct partition_call c = {o, base, n, size, likes, arg, base, true, count};
    return enter(w, o, algo_partition, &c);
}

int weir_filter(weir_worker *w, const weir_algo_options *o, const void *base, size_t n, size_t size,
                weir_predicate_fn *likes, void *arg, void *out, size_t *count)
{
    if (!check(&o, 0) || !is_array(base, n, size) || !is_array(out, n, size) || likes == NULL || count == NULL)
        return -EINVAL;
    struct partition_call c = {o, base, n, size, likes, arg, out, false, count};
    return enter(w, o, algo_partition, &c);
}
