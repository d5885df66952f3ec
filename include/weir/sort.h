/* SPDX-License-Identifier: MIT
 *
 * weir/sort.h - parallel sorts for a type, with the comparison inlined.
 *
 *     #define BY_KEY(ctx, a, b) ((a)->key < (b)->key)
 *     WEIR_SORTABLE(by_key, struct record, BY_KEY);
 *     by_key_sort(w, options, records, n, NULL);
 *
 * Threads: as weir/algo.h.
 * Invariants: the serial parts below never read outside what they are given, whatever the comparison answers. Merges
 * and small sorts have no branch that depends on keys.
 * Source: merges from both ends at once and moves without branches after quadsort (van den Hoven 2021) and
 * BlockQuicksort (Edelkamp, Weiss 2016); splitting of merges by Deo and Sarkar (1991).
 */
#ifndef WEIR_SORT_H
#define WEIR_SORT_H

#include <string.h>
#include <weir/algo.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The serial parts of a sort, that know the type; the library calls them on pieces of the array. ctx: the caller's. */
typedef struct weir_sort_ops {
    size_t size;  /* of an element */
    size_t leaf;  /* elements that the serial parts sort in one go */
    /* Sorts n elements stably; leaves them in `to`, which is `keys` or `room`. Both are written. */
    void (*sort)(const void *ctx, void *keys, void *room, size_t n, void *to);
    /* Merges x and y, each sorted, into out, which overlaps neither; x goes first among equals. */
    void (*merge)(const void *ctx, const void *x, size_t nx, const void *y, size_t ny, void *out);
    /* How many of the first k elements of the merge come from x. */
    size_t (*rank)(const void *ctx, const void *x, size_t nx, const void *y, size_t ny, size_t k);
    /* Moves what is below a pivot before *low, what is above it behind *high, and what is equal between. n >= 8. */
    void (*partition)(const void *ctx, void *keys, size_t n, size_t *low, size_t *high);
    /* Sorts n elements in place, not stably; `heap`: in O(n log n) whatever they are. */
    void (*sort_in_place)(const void *ctx, void *keys, size_t n, bool heap);
} weir_sort_ops;

/* What the sort of a type calls. Arguments and errors as weir_sort. */
WEIR_API int weir_sort_with(weir_worker *w, const weir_algo_options *o, void *base, size_t n, const weir_sort_ops *ops,
                            const void *ctx);

#define WEIR_SORT_RUN_ 8u      /* elements that are sorted by counting */
#define WEIR_SORT_SMALL_ 24u   /* elements: a quicksort ends in insertion here */
#define WEIR_SORT_LOCAL_ __attribute__((aligned(16))) /* a T whose type does not tell how it is aligned */
#define WEIR_SORT_LEAF_ 65536u /* bytes: a leaf and its room fit into a second-level cache */

/*
 * Defines, for a type T and `less(ctx, a, b)` (function or macro; a, b: const T *; a strict weak order):
 *     int name_sort(weir_worker *w, const weir_algo_options *o, T *base, size_t n, const void *ctx)
 */
#define WEIR_SORTABLE(name, T, less) \
    WEIR_SORT_MERGE_(name, T, less) \
    WEIR_SORT_STABLE_(name, T, less) \
    WEIR_SORT_HEAP_(name, T, less) \
    WEIR_SORT_QUICK_(name, T, less) \
    static const weir_sort_ops name##_sort_ops = { \
        sizeof(T), WEIR_SORT_LEAF_ / sizeof(T) + 1, name##_sort_leaf, name##_sort_merge, name##_sort_rank, \
        name##_sort_partition, name##_sort_in_place}; \
    WEIR_INLINE int name##_sort(weir_worker *w, const weir_algo_options *o, T *base, size_t n, const void *ctx) \
    { \
        return weir_sort_with(w, o, base, n, &name##_sort_ops, ctx); \
    } \
    struct weir_algo_options

/*
 * Merges from both ends at once: two chains of dependences instead of one, and as many steps as the shorter input has
 * elements left need no check for its end.
 */
#define WEIR_SORT_MERGE_(name, T, less) \
    static inline void name##_sort_merge_typed(const void *ctx, const T *x, size_t nx, const T *y, size_t ny, T *out) \
    { \
        const T *x_last = x + nx - 1, *y_last = y + ny - 1; \
        T *last = out + nx + ny - 1; \
        (void)ctx; \
        while (nx > 0 && ny > 0) { \
            size_t steps = nx < ny ? nx : ny; \
            for (size_t i = 0; i < steps; i++) { \
                bool take_y = less(ctx, y, x), take_x = less(ctx, y_last, x_last); \
                T a = *x, b = *y, c = *x_last, d = *y_last; \
                *out++ = take_y ? b : a; \
                y += take_y; \
                x += !take_y; \
                *last-- = take_x ? c : d; \
                x_last -= take_x; \
                y_last -= !take_x; \
            } \
            /* What is left; a comparison that contradicts itself may have taken too much of x or of y. */ \
            ptrdiff_t left = x_last - x + 1; \
            size_t all = nx + ny - 2 * steps; \
            nx = left < 0 ? 0 : (size_t)left < all ? (size_t)left : all; \
            ny = all - nx; \
        } \
        memcpy(out, x, nx * sizeof(T)); \
        memcpy(out, y, ny * sizeof(T)); \
    } \
    static void name##_sort_merge(const void *ctx, const void *x, size_t nx, const void *y, size_t ny, void *out) \
    { \
        const T *tx = (const T *)x, *ty = (const T *)y; \
        if (nx == 0 || ny == 0 || !less(ctx, ty, tx + nx - 1)) { /* in order already */ \
            memcpy(out, x, nx * sizeof(T)); \
            memcpy((T *)out + nx, y, ny * sizeof(T)); \
        } else { \
            name##_sort_merge_typed(ctx, tx, nx, ty, ny, (T *)out); \
        } \
    } \
    static size_t name##_sort_rank(const void *ctx, const void *x, size_t nx, const void *y, size_t ny, size_t k) \
    { \
        size_t low = k > ny ? k - ny : 0, high = k < nx ? k : nx; \
        (void)ctx; \
        while (low < high) { \
            size_t middle = low + (high - low) / 2; \
            if (less(ctx, (const T *)y + (k - middle - 1), (const T *)x + middle)) \
                high = middle; \
            else \
                low = middle + 1; \
        } \
        return low; \
    }

/* Runs of eight by counting how many each element stands behind, the rest by insertion; merges between two buffers. */
#define WEIR_SORT_STABLE_(name, T, less) \
    static inline void name##_sort_run(const void *ctx, const T *keys, T *out) \
    { \
        T v[WEIR_SORT_RUN_] WEIR_SORT_LOCAL_; \
        unsigned place[WEIR_SORT_RUN_] = {0, 1, 2, 3, 4, 5, 6, 7}; \
        (void)ctx; \
        memcpy(v, keys, sizeof v); \
        _Pragma("GCC unroll 8") \
        for (unsigned i = 1; i < WEIR_SORT_RUN_; i++) { \
            _Pragma("GCC unroll 8") \
            for (unsigned j = 0; j < i; j++) { \
                unsigned behind = less(ctx, &v[i], &v[j]); \
                place[j] += behind; \
                place[i] -= behind; \
            } \
        } \
        _Pragma("GCC unroll 8") \
        for (unsigned i = 0; i < WEIR_SORT_RUN_; i++) \
            out[place[i] % WEIR_SORT_RUN_] = v[i]; \
    } \
    static inline void name##_sort_insert(const void *ctx, T *keys, size_t n) \
    { \
        (void)ctx; \
        for (size_t i = 1; i < n; i++) { \
            T key WEIR_SORT_LOCAL_ = keys[i]; \
            size_t at = i; \
            for (; at > 0 && less(ctx, &key, &keys[at - 1]); at--) \
                keys[at] = keys[at - 1]; \
            keys[at] = key; \
        } \
    } \
    static void name##_sort_leaf(const void *ctx, void *keys_, void *room_, size_t n, void *to) \
    { \
        T *keys = (T *)keys_, *from = keys, *into = (T *)room_; \
        size_t levels = 0, run = WEIR_SORT_RUN_, i = 0; \
        for (size_t width = run; width < n; width *= 2) \
            levels++; \
        if ((levels % 2 != 0) == (to == keys_)) { /* so that the last merge ends in `to` */ \
            from = (T *)room_; \
            into = keys; \
        } \
        for (; i + run <= n; i += run) \
            name##_sort_run(ctx, keys + i, from + i); \
        if (from != keys) \
            memcpy(from + i, keys + i, (n - i) * sizeof(T)); \
        name##_sort_insert(ctx, from + i, n - i); \
        for (size_t width = run; width < n; width *= 2) { \
            for (i = 0; i < n; i += 2 * width) { \
                size_t nx = n - i < width ? n - i : width; \
                size_t ny = n - i - nx < width ? n - i - nx : width; \
                name##_sort_merge(ctx, from + i, nx, from + i + nx, ny, into + i); \
            } \
            T *t = from; \
            from = into; \
            into = t; \
        } \
    }

#define WEIR_SORT_HEAP_(name, T, less) \
    static inline void name##_sort_sink(const void *ctx, T *keys, size_t at, size_t n) \
    { \
        T key WEIR_SORT_LOCAL_ = keys[at]; \
        (void)ctx; \
        for (size_t child; (child = 2 * at + 1) < n; at = child) { \
            if (child + 1 < n && less(ctx, &keys[child], &keys[child + 1])) \
                child++; \
            if (!less(ctx, &key, &keys[child])) \
                break; \
            keys[at] = keys[child]; \
        } \
        keys[at] = key; \
    } \
    static inline void name##_sort_heap(const void *ctx, T *keys, size_t n) \
    { \
        for (size_t i = n / 2; i > 0; i--) \
            name##_sort_sink(ctx, keys, i - 1, n); \
        for (size_t last = n; last > 1; last--) { \
            T top = keys[0]; \
            keys[0] = keys[last - 1]; \
            keys[last - 1] = top; \
            name##_sort_sink(ctx, keys, 0, last - 1); \
        } \
    }

/*
 * Quicksort. A partition moves each element and then advances by the comparison's result, without a branch on it. A
 * lopsided one gathers the elements that equal the pivot as well, so that many equal elements are fast.
 */
#define WEIR_SORT_QUICK_(name, T, less) \
    static inline const T *name##_sort_middle(const void *ctx, const T *a, const T *b, const T *c) \
    { \
        (void)ctx; \
        if (less(ctx, b, a)) { \
            const T *t = a; \
            a = b; \
            b = t; \
        } \
        return less(ctx, c, a) ? a : less(ctx, b, c) ? b : c; \
    } \
    static void name##_sort_partition(const void *ctx, void *keys_, size_t n, size_t *low, size_t *high) \
    { \
        T *keys = (T *)keys_; \
        size_t third = n / 3, next = 0, equal; \
        (void)ctx; \
        const T *at = name##_sort_middle( \
            ctx, name##_sort_middle(ctx, keys, keys + third / 2, keys + third), \
            name##_sort_middle(ctx, keys + third + 1, keys + n / 2, keys + 2 * third), \
            name##_sort_middle(ctx, keys + 2 * third + 1, keys + n - 1 - third / 2, keys + n - 1)); \
        T pivot WEIR_SORT_LOCAL_ = *at; \
        *(T *)(keys + (at - keys)) = keys[n - 1]; \
        for (size_t i = 0; i < n - 1; i++) { \
            T key WEIR_SORT_LOCAL_ = keys[i]; \
            keys[i] = keys[next]; \
            keys[next] = key; \
            next += less(ctx, &key, &pivot); \
        } \
        keys[n - 1] = keys[next]; \
        keys[next] = pivot; \
        equal = next + 1; \
        for (size_t i = equal; next < n / 8 && i < n; i++) { \
            T key WEIR_SORT_LOCAL_ = keys[i]; \
            keys[i] = keys[equal]; \
            keys[equal] = key; \
            equal += !less(ctx, &pivot, &key); \
        } \
        *low = next; \
        *high = equal; \
    } \
    static void name##_sort_quick(const void *ctx, T *keys, size_t n, unsigned depth) \
    { \
        while (n > WEIR_SORT_SMALL_) { \
            size_t low, high; \
            if (depth-- == 0) { \
                name##_sort_heap(ctx, keys, n); \
                return; \
            } \
            name##_sort_partition(ctx, keys, n, &low, &high); \
            name##_sort_quick(ctx, keys, low, depth); \
            keys += high; \
            n -= high; \
        } \
        name##_sort_insert(ctx, keys, n); \
    } \
    static void name##_sort_in_place(const void *ctx, void *keys, size_t n, bool heap) \
    { \
        unsigned depth = 0; \
        for (size_t i = n; i > 1 && !heap; i /= 2) \
            depth += 2; \
        name##_sort_quick(ctx, (T *)keys, n, depth); \
    }

#ifdef __cplusplus
}
#endif

#endif
