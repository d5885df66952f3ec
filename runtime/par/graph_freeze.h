/* SPDX-License-Identifier: MIT
 *
 * graph_freeze.h - a freeze under way: what its two layouts share.
 *
 * Threads: the builder.
 */
#ifndef WEIR_GRAPH_FREEZE_H
#define WEIR_GRAPH_FREEZE_H

#include "par/graph.h"

#define SMALL_ROW 8u /* successors: up to here looking for doubles pair by pair is faster than marking */

struct freeze {
    weir_graph *g;
    struct node *nodes;
    struct raw_edge *raw;
    uint32_t n;
    uint32_t m;
    uint32_t sources;
    uint32_t *edges;      /* m edges, room for the sources behind them */
    size_t edges_size;    /* bytes of their block; 0: it is the nodes' */
    uint32_t *cursor;     /* n + 1 words: how long a row is, then where it begins */
    size_t cursor_size;   /* bytes of their block; 0: it is that of `raw` */
    uint32_t *scratch;    /* n words, when asked for: marks, open strong predecessors, room for a row */
    uint32_t *order;      /* n words: nodes in topological order, then (as `rank`) the inverse */
    uint32_t *rank;
    bool forward;         /* all strong edges lead to later nodes */
    bool by_rows;         /* the edges come row by row */
    weir_graph_fault *fault;
};

static inline size_t words(uint32_t n)
{
    return (size_t)n * sizeof(uint32_t);
}

/* The graph is not frozen after all. */
void freeze_forget(struct freeze *f);
/* Puts the direct edges of a row last: they are one range. False: no memory for that. */
bool freeze_direct_last(struct freeze *f, uint32_t *row, uint32_t length);
/* Room for the rows and `sources` more: behind the nodes, where their block has pages that nobody would use, or on its
 * own. False: no memory. */
bool freeze_need_edges(struct freeze *f);
/* graph_one_pass.c: the layout of what came in a good order. -EAGAIN: it does not suit this graph; nothing was done, as
 * with -ENOMEM. */
int freeze_in_one_pass(struct freeze *f);

#endif
