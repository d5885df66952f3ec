/* SPDX-License-Identifier: MIT
 *
 * weir/algo.h - parallel loops, reductions, scans, sorts and partitions.
 *
 * Threads: every function may be called on a worker (w: that worker, or NULL) and, with `rt` in its options, on a
 * thread that is no worker: that thread sleeps while a worker does the work. Calls nest in each other and in tasks. A
 * call on a worker waits as a join does: it runs nothing but its own work meanwhile.
 * Errors, of all functions: -EINVAL (bad argument, nothing changed), the first error that a callback returned (a
 * negative errno; what has not begun is then left out), -ECANCELED or the scope's own error when the scope in the
 * options was cancelled, and from outside what weir_call() returns. What callbacks did before an error stays done.
 * Source: lazy binary splitting (Tzannes, Caragea, Barua, Vishkin, PPoPP 2010), on deques that thieves open themselves.
 */
#ifndef WEIR_ALGO_H
#define WEIR_ALGO_H

#include <weir/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What each call takes besides its own arguments. NULL, or all zero but what is set: {.rt = rt}. */
typedef struct weir_algo_options {
    weir_runtime *rt;        /* where to work, for callers that are no workers; NULL: the caller is a worker */
    const weir_scope *scope; /* its cancel ends the call, between two callbacks; NULL: nothing does */
    size_t grain;            /* most iterations in one call of a body; 0: as many as take a few microseconds */
    uint32_t flags;          /* WEIR_ALGO_* */
    uint32_t reserved;       /* 0 */
} weir_algo_options;

/* weir_reduce: the same order of operations at every run, on any number of workers. */
#define WEIR_ALGO_FIXED_ORDER 1u
/* weir_sort: equal elements stay in their order. Takes a buffer as large as the array. */
#define WEIR_ALGO_STABLE 2u

/* --- loops ---------------------------------------------------------------------------------------------------- */

/* Does iterations `begin` to `end - 1` on worker `w`. Returns 0, or a negative errno that ends the whole loop. */
typedef int weir_for_fn(weir_worker *w, void *arg, size_t begin, size_t end);

/*
 * Calls body on ranges that together are [begin, end), each index once, in no order. The inner loop is the body's own,
 * so it can be vectorised. Ranges begin large and are split while somebody may take a part; how long a body took is
 * remembered by its address, so that a short loop is a plain call the next time and wakes nobody.
 * -EINVAL: begin > end, body NULL.
 */
WEIR_API int weir_for(weir_worker *w, const weir_algo_options *o, size_t begin, size_t end, weir_for_fn *body,
                      void *arg);

/*
 * A loop over single indices: for `int body(weir_worker *w, void *arg, size_t i)`, declared before,
 *     WEIR_FOR_EACH(each, body)
 * defines `int each(weir_worker *w, const weir_algo_options *o, size_t begin, size_t end, void *arg)`, the body
 * inlined. Only a negative errno ends the loop.
 */
#define WEIR_FOR_EACH(name, body) \
    static int name##_range(weir_worker *w, void *arg, size_t begin, size_t end) \
    { \
        for (size_t i = begin; i < end; i++) { \
            int r = body(w, arg, i); \
            if (WEIR_UNLIKELY(r < 0)) \
                return r; \
        } \
        return 0; \
    } \
    WEIR_INLINE int name(weir_worker *w, const weir_algo_options *o, size_t begin, size_t end, void *arg) \
    { \
        return weir_for(w, o, begin, end, name##_range, arg); \
    } \
    struct weir_algo_options /* takes the semicolon */

/* A rectangle of indices: rows row_begin to row_end - 1, columns alike. */
typedef struct weir_tile {
    size_t row_begin, row_end;
    size_t col_begin, col_end;
} weir_tile;

typedef int weir_for_2d_fn(weir_worker *w, void *arg, const weir_tile *tile);

/*
 * Calls body on tiles that together are `all`. options->grain: the edge of a tile; 0: about 64, smaller where there
 * would be few tiles; tiles beside each other may then come as one.
 * -EINVAL: all or body NULL, a begin above its end, more than SIZE_MAX tiles.
 */
WEIR_API int weir_for_2d(weir_worker *w, const weir_algo_options *o, const weir_tile *all, weir_for_2d_fn *body,
                         void *arg);

/* One of several functions that run at the same time. */
typedef struct weir_invocation {
    int (*fn)(weir_worker *w, void *arg); /* returns 0, or a negative errno: those that have not begun are left out */
    void *arg;
} weir_invocation;

/* Calls n functions, each once, and returns when all have returned. -EINVAL: list NULL with n > 0, a function NULL. */
WEIR_API int weir_invoke(weir_worker *w, const weir_algo_options *o, const weir_invocation *list, size_t n);

/* --- reductions and scans ------------------------------------------------------------------------------------- */

#define WEIR_FOLD_MAX 256u /* bytes of a value that is folded; larger ones: fold pointers to them */

/* How values of a type are put together. The operation is associative; it need not be commutative. */
typedef struct weir_fold {
    size_t size;          /* of a value: 1 to WEIR_FOLD_MAX bytes; the library keeps copies, aligned to 16 */
    const void *identity; /* the value that changes nothing */
    void (*combine)(void *arg, void *value, const void *right); /* *value = *value op *right */
} weir_fold;

/* Folds [begin, end) into *value: *value = *value op element[begin] op ... */
typedef int weir_reduce_fn(weir_worker *w, void *arg, size_t begin, size_t end, void *value);

/*
 * Folds [begin, end) into *result, which need not be initialised and is written on success only. Elements keep their
 * order; how they are bracketed depends on the run, unless WEIR_ALGO_FIXED_ORDER is set: then on begin, end and
 * options->grain alone, so that floating-point sums come out equal to the bit.
 * -EINVAL: begin > end, a NULL, fold->size 0 or too large.
 */
WEIR_API int weir_reduce(weir_worker *w, const weir_algo_options *o, size_t begin, size_t end, const weir_fold *fold,
                         weir_reduce_fn *body, void *arg, void *result);

/*
 * One stretch of a scan. *value comes as the fold of what lies before `begin` (in a pass that is not final: of some of
 * it) and leaves as the fold with [begin, end) added. In the final pass, which sees each index once, the body also
 * writes its output; in others it must not.
 */
typedef int weir_scan_fn(weir_worker *w, void *arg, size_t begin, size_t end, void *value, bool final);

/*
 * Prefix folds of [begin, end); the whole fold in *result (may be NULL). Whether they are inclusive or exclusive is the
 * body's business: see WEIR_SCANNABLE. An index is visited at most twice, and only once if nobody helps. Fewer than 512
 * iterations are not spread over workers, unless options->grain says that fewer are worth it.
 * Without memory for its table of stretches it goes from begin to end on one worker. -EINVAL: as weir_reduce.
 */
WEIR_API int weir_scan(weir_worker *w, const weir_algo_options *o, size_t begin, size_t end, const weir_fold *fold,
                       weir_scan_fn *body, void *arg, void *result);

/*
 * Scans of arrays of T: for an operation `T op(T a, T b)` (function or macro) with the identity `zero`,
 *     WEIR_SCANNABLE(sums, long, 0, plus);
 * defines sums_inclusive(w, options, in, out, n): out[i] = in[0] op ... op in[i], and sums_exclusive(...), without
 * in[i]. in == out is allowed. -EINVAL: in or out NULL with n > 0.
 */
#define WEIR_SCANNABLE(name, T, zero, op) \
    struct name##_arrays { \
        const T *in; \
        T *out; \
        bool inclusive; \
    }; \
    static void name##_combine(void *arg, void *value, const void *right) \
    { \
        (void)arg; \
        *(T *)value = op(*(T *)value, *(const T *)right); \
    } \
    static int name##_body(weir_worker *w, void *arg, size_t begin, size_t end, void *value, bool final) \
    { \
        const struct name##_arrays *a = (const struct name##_arrays *)arg; \
        T so_far = *(T *)value; \
        (void)w; \
        if (!final) { \
            for (size_t i = begin; i < end; i++) \
                so_far = op(so_far, a->in[i]); \
        } else if (a->inclusive) { \
            for (size_t i = begin; i < end; i++) \
                a->out[i] = so_far = op(so_far, a->in[i]); \
        } else { \
            for (size_t i = begin; i < end; i++) { \
                T here = a->in[i]; \
                a->out[i] = so_far; \
                so_far = op(so_far, here); \
            } \
        } \
        *(T *)value = so_far; \
        return 0; \
    } \
    static inline int name##_scan(weir_worker *w, const weir_algo_options *o, const T *in, T *out, size_t n, \
                                  bool inclusive) \
    { \
        T identity = zero; \
        struct name##_arrays a = {in, out, inclusive}; \
        weir_fold fold = {sizeof(T), &identity, name##_combine}; \
        if (n > 0 && (in == NULL || out == NULL)) \
            return -WEIR_EINVAL_; \
        return weir_scan(w, o, 0, n, &fold, name##_body, &a, NULL); \
    } \
    WEIR_INLINE int name##_inclusive(weir_worker *w, const weir_algo_options *o, const T *in, T *out, size_t n) \
    { \
        return name##_scan(w, o, in, out, n, true); \
    } \
    WEIR_INLINE int name##_exclusive(weir_worker *w, const weir_algo_options *o, const T *in, T *out, size_t n) \
    { \
        return name##_scan(w, o, in, out, n, false); \
    } \
    struct name##_arrays
#define WEIR_EINVAL_ 22 /* EINVAL, without <errno.h> */

/* --- sorting and partitioning --------------------------------------------------------------------------------- */

/* Below 0, 0, above 0: a comes before b, is equal to it, comes after it. */
typedef int weir_compare_fn(const void *a, const void *b, void *arg);

/*
 * Sorts n elements of `size` bytes. With WEIR_ALGO_STABLE: a merge sort, with a buffer of n * size bytes. Without:
 * a quicksort in place that needs no memory and never takes more than O(n log n) comparisons.
 * compare is called on several workers at the same time; if it contradicts itself, what the array holds afterwards is
 * undefined, but nothing else is touched. After a cancel the array holds its elements in some order.
 * -EINVAL: base NULL with n > 0, size 0, n * size too large, compare NULL. -ENOMEM: stable, no buffer; nothing changed.
 * weir/sort.h has sorts for a type, with the comparison inlined: several times faster.
 */
WEIR_API int weir_sort(weir_worker *w, const weir_algo_options *o, void *base, size_t n, size_t size,
                       weir_compare_fn *compare, void *arg);

typedef bool weir_predicate_fn(const void *element, void *arg);

/*
 * Moves the elements that the predicate likes before the others; both keep their order. *count: how many it likes.
 * The predicate is called once for each element, on several workers at the same time.
 * -EINVAL: as weir_sort, count NULL. -ENOMEM: no buffer of n * (size + 1) bytes. On any error nothing changed.
 */
WEIR_API int weir_partition(weir_worker *w, const weir_algo_options *o, void *base, size_t n, size_t size,
                            weir_predicate_fn *likes, void *arg, size_t *count);
/*
 * Copies the elements that the predicate likes to `out`, in their order; `out` has room for all of them and overlaps
 * nothing. On any error nothing changed, except `out` itself after a cancel. -ENOMEM: no buffer of n bytes.
 */
WEIR_API int weir_filter(weir_worker *w, const weir_algo_options *o, const void *base, size_t n, size_t size,
                         weir_predicate_fn *likes, void *arg, void *out, size_t *count);

#ifdef __cplusplus
}
#endif

#endif
