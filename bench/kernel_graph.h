/* SPDX-License-Identifier: MIT
 *
 * bench/kernel_graph.h - the edges of the graphs that are measured, for all implementations alike, in C and in C++.
 *
 * Threads: pure functions.
 * Invariants: every edge is told once, from the node with the lower number, in the order of those; node 0 precedes all.
 */
#ifndef BENCH_KERNEL_GRAPH_H
#define BENCH_KERNEL_GRAPH_H

#include <stddef.h>

enum graph_shape {
    GRAPH_CHAIN,
    GRAPH_FAN,       /* 1 - many - 1 */
    GRAPH_WAVEFRONT, /* a square, each node after the left one and the one above */
    GRAPH_TREE       /* binary */
};

/* Calls edge(arg, from, to) for each edge of a graph of n nodes. Inlined: it costs what the caller's loop would. */
static inline __attribute__((always_inline)) void
graph_edges(enum graph_shape shape, size_t n, void (*edge)(void *arg, size_t from, size_t to), void *arg)
{
    size_t side = 1;
    while (side * side < n)
        side++;
    for (size_t i = 0; i < n; i++) {
        if (shape == GRAPH_CHAIN && i + 1 < n)
            edge(arg, i, i + 1);
        if (shape == GRAPH_FAN && i > 0 && i + 1 < n) {
            edge(arg, 0, i);
            edge(arg, i, n - 1);
        }
        if (shape == GRAPH_WAVEFRONT && i % side + 1 < side)
            edge(arg, i, i + 1);
        if (shape == GRAPH_WAVEFRONT && i + side < n)
            edge(arg, i, i + side);
        for (size_t k = 2 * i + 1; shape == GRAPH_TREE && k <= 2 * i + 2 && k < n; k++)
            edge(arg, i, k);
    }
}

#endif
