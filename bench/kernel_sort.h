/* SPDX-License-Identifier: MIT
 *
 * bench/kernel_sort.h - the serial parts of a merge sort with parallel merges, for all implementations alike.
 *
 * Threads: pure functions on ranges that the caller owns.
 * Invariants: `sort_split` gives two merges that share no element, in front of and behind the same place.
 * Source: the algorithm of the Cilk distribution's cilksort (Frigo, Leiserson, Randall, PLDI 1998), written anew.
 */
#ifndef BENCH_KERNEL_SORT_H
#define BENCH_KERNEL_SORT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SORT_SERIAL 2048u   /* keys: ranges up to here are sorted and merged without forks, as cilksort does */
#define SORT_INSERTION 16u  /* keys: ranges up to here are sorted by insertion */

/* Merges x and y into out, which has room for both. */
struct sort_merge {
    const int32_t *x, *y;
    int32_t *out;
    size_t nx, ny;
};

/* Sorts keys[0..n), with room for n more. */
struct sort_range {
    int32_t *keys, *room;
    size_t n;
};

static inline void sort_insertion(int32_t *keys, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        int32_t key = keys[i];
        size_t at = i;
        for (; at > 0 && keys[at - 1] > key; at--)
            keys[at] = keys[at - 1];
        keys[at] = key;
    }
}

static inline int32_t sort_middle(int32_t a, int32_t b, int32_t c)
{
    if (a > b) {
        int32_t t = a;
        a = b;
        b = t;
    }
    return c < a ? a : c > b ? b : c;
}

/* Quicksort with the middle of three as pivot, for small ranges. Out of line: the same code for all. */
__attribute__((noinline, unused)) static void sort_serial(int32_t *keys, size_t n)
{
    while (n > SORT_INSERTION) {
        int32_t pivot = sort_middle(keys[0], keys[n / 2], keys[n - 1]);
        size_t low = 0, high = n - 1;
        for (;;) {
            while (keys[low] < pivot)
                low++;
            while (keys[high] > pivot)
                high--;
            if (low >= high)
                break;
            int32_t t = keys[low];
            keys[low++] = keys[high];
            keys[high--] = t;
        }
        sort_serial(keys, low); /* all at most pivot */
        keys += low;            /* all at least pivot */
        n -= low;
    }
    sort_insertion(keys, n);
}

/* Out of line and without branches on keys, so that all implementations run the same code. */
__attribute__((noinline, unused)) static void sort_merge_serial(struct sort_merge m)
{
    const int32_t *x = m.x, *x_end = x + m.nx, *y = m.y, *y_end = y + m.ny;
    int32_t *out = m.out;
    while (x != x_end && y != y_end) {
        int32_t kx = *x, ky = *y;
        size_t from_y = ky < kx;
        *out++ = ky < kx ? ky : kx;
        x += 1 - from_y;
        y += from_y;
    }
    memcpy(out, x, (size_t)(x_end - x) * sizeof *out);
    memcpy(out + (x_end - x), y, (size_t)(y_end - y) * sizeof *out);
}

/* Splits a merge in two at the middle of the longer input. */
static inline void sort_split(struct sort_merge m, struct sort_merge half[2])
{
    if (m.nx < m.ny) {
        struct sort_merge t = m;
        m.x = t.y;
        m.nx = t.ny;
        m.y = t.x;
        m.ny = t.nx;
    }
    size_t at = m.nx / 2, low = 0, high = m.ny;
    while (low < high) { /* the first in y that is not below x[at] */
        size_t middle = (low + high) / 2;
        if (m.y[middle] < m.x[at])
            low = middle + 1;
        else
            high = middle;
    }
    half[0].x = m.x;
    half[0].y = m.y;
    half[0].out = m.out;
    half[0].nx = at;
    half[0].ny = low;
    half[1].x = m.x + at;
    half[1].y = m.y + low;
    half[1].out = m.out + at + low;
    half[1].nx = m.nx - at;
    half[1].ny = m.ny - low;
}

/* The four quarters to sort, the two merges that join them pairwise in `room`, and the merge back into `keys`. */
static inline void sort_plan(struct sort_range r, struct sort_range quarter[4], struct sort_merge pair[2],
                             struct sort_merge *whole)
{
    size_t q = r.n / 4, half = 2 * q;
    for (size_t i = 0; i < 4; i++) {
        quarter[i].keys = r.keys + i * q;
        quarter[i].room = r.room + i * q;
        quarter[i].n = i < 3 ? q : r.n - 3 * q;
    }
    for (size_t i = 0; i < 2; i++) {
        pair[i].x = quarter[2 * i].keys;
        pair[i].nx = quarter[2 * i].n;
        pair[i].y = quarter[2 * i + 1].keys;
        pair[i].ny = quarter[2 * i + 1].n;
        pair[i].out = r.room + i * half;
    }
    whole->x = r.room;
    whole->nx = half;
    whole->y = r.room + half;
    whole->ny = r.n - half;
    whole->out = r.keys;
}

#endif
