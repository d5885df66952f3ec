/* SPDX-License-Identifier: MIT
 *
 * sort_bytes.c - the serial parts of sorts that know an element's size and a comparison function only.
 *
 * Sizes of 4, 8 and 16 bytes are instances of weir/sort.h; all others move elements with memcpy().
 *
 * Threads: pure functions on what they are given.
 * Invariants: nothing outside is read or written, whatever the comparison answers; elements stay whole.
 */
#include <string.h>

#include "par/algo.h"

static inline bool before(const void *ctx, const void *a, const void *b)
{
    const struct sort_compare *c = ctx;
    return c->compare(a, b, c->arg) < 0;
}

struct bytes4 {
    char b[4];
};
struct bytes8 {
    char b[8];
};
struct bytes16 {
    char b[16];
};
WEIR_SORTABLE(bytes4, struct bytes4, before);
WEIR_SORTABLE(bytes8, struct bytes8, before);
WEIR_SORTABLE(bytes16, struct bytes16, before);

/* --- any size ----------------------------------------------------------------------------------------------------- */

#define INSERTION 16u /* elements: quicksort ends here */

static size_t size_of(const void *ctx)
{
    return ((const struct sort_compare *)ctx)->size;
}

static void merge_any(const void *ctx, const void *x_, size_t nx, const void *y_, size_t ny, void *out_)
{
    size_t size = size_of(ctx);
    const char *x = x_, *y = y_;
    char *out = out_;
    for (; nx > 0 && ny > 0; out += size) {
        if (before(ctx, y, x)) {
            memcpy(out, y, size);
            y += size;
            ny--;
        } else {
            memcpy(out, x, size);
            x += size;
            nx--;
        }
    }
    memcpy(out, x, nx * size);
    memcpy(out + nx * size, y, ny * size);
}

static size_t rank_any(const void *ctx, const void *x, size_t nx, const void *y, size_t ny, size_t k)
{
    size_t size = size_of(ctx), low = k > ny ? k - ny : 0, high = k < nx ? k : nx;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (before(ctx, (const char *)y + (k - middle - 1) * size, (const char *)x + middle * size))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void sort_any(const void *ctx, void *keys, void *room, size_t n, void *to)
{
    size_t size = size_of(ctx);
    char *from = keys, *into = room;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t i = 0; i < n; i += 2 * width) {
            size_t nx = smaller(width, n - i), ny = smaller(width, n - i - nx);
            merge_any(ctx, from + i * size, nx, from + (i + nx) * size, ny, into + i * size);
        }
        char *t = from;
        from = into;
        into = t;
    }
    if (from != to)
        memcpy(to, from, n * size);
}

static void swap(char *a, char *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char t = a[i];
        a[i] = b[i];
        b[i] = t;
    }
}

static void partition_any(const void *ctx, void *keys_, size_t n, size_t *low, size_t *high)
{
    size_t size = size_of(ctx), next = 0, equal;
    char *keys = keys_, *last = keys + (n - 1) * size, *a = keys, *b = keys + n / 2 * size;
    char *middle = before(ctx, a, b) ? (before(ctx, b, last) ? b : before(ctx, a, last) ? last : a)
                                     : (before(ctx, a, last) ? a : before(ctx, b, last) ? last : b);
    if (middle != last)
        swap(middle, last, size); /* the pivot */
    for (char *at = keys; at != last; at += size)
        if (before(ctx, at, last))
            swap(at, keys + next++ * size, size);
    swap(last, keys + next * size, size);
    equal = next + 1;
    for (size_t i = equal; next < n / 8 && i < n; i++)
        if (!before(ctx, keys + next * size, keys + i * size))
            swap(keys + i * size, keys + equal++ * size, size);
    *low = next;
    *high = equal;
}

static void sink(const void *ctx, char *keys, size_t at, size_t n)
{
    size_t size = size_of(ctx);
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(ctx, keys + child * size, keys + (child + 1) * size))
            child++;
        if (!before(ctx, keys + at * size, keys + child * size))
            return;
        swap(keys + at * size, keys + child * size, size);
    }
}

static void heap_any(const void *ctx, char *keys, size_t n)
{
    size_t size = size_of(ctx);
    for (size_t i = n / 2; i > 0; i--)
        sink(ctx, keys, i - 1, n);
    for (size_t last = n; last > 1; last--) {
        swap(keys, keys + (last - 1) * size, size);
        sink(ctx, keys, 0, last - 1);
    }
}

static void quick_any(const void *ctx, char *keys, size_t n, unsigned depth)
{
    size_t size = size_of(ctx), low, high;
    while (n > INSERTION) {
        if (depth-- == 0) {
            heap_any(ctx, keys, n);
            return;
        }
        partition_any(ctx, keys, n, &low, &high);
        quick_any(ctx, keys, low, depth);
        keys += high * size;
        n -= high;
    }
    for (size_t i = 1; i < n; i++)
        for (char *at = keys + i * size; at != keys && before(ctx, at, at - size); at -= size)
            swap(at, at - size, size);
}

static void sort_in_place_any(const void *ctx, void *keys, size_t n, bool heap)
{
    unsigned depth = 0;
    for (size_t i = n; i > 1 && !heap; i /= 2)
        depth += 2;
    quick_any(ctx, keys, n, depth);
}

void sort_ops_of(size_t size, weir_sort_ops *ops)
{
    static const weir_sort_ops any = {0, 0, sort_any, merge_any, rank_any, partition_any, sort_in_place_any};
    switch (size) {
    case sizeof(struct bytes4): *ops = bytes4_sort_ops; break;
    case sizeof(struct bytes8): *ops = bytes8_sort_ops; break;
    case sizeof(struct bytes16): *ops = bytes16_sort_ops; break;
    default:
        *ops = any;
        ops->size = size;
        ops->leaf = WEIR_SORT_LEAF_ / size + INSERTION;
        break;
    }
}
