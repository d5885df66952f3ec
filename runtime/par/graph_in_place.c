/* SPDX-License-Identifier: MIT
 *
 * graph_in_place.c - lays out a graph whose nodes and edges came in an order that suits, in one pass over the edges and
 * in their own memory.
 *
 * Threads: the builder.
 * Invariants: a node's predecessors come before it, so when the pass comes to its row all that leads there was counted.
 * A pass that meets something wrong puts the edges back as they were.
 */
#include "par/graph_freeze.h"

#include <errno.h>

#define ORDER_BLOCK 256u /* edges looked at before the first answer */

/* Whether every edge leads forward, from a row that is not before the last one's. By blocks: no branch in the loop. */
static bool is_in_order(const struct freeze *f)
{
    const struct raw_edge *raw = f->raw;
    bool in_order = !f->g->weak && !f->g->ranked && raw[0].to > raw[0].from;
    for (uint32_t i = 1, end; i < f->m && in_order; i = end) {
        uint32_t wrong = 0;
        end = f->m - i < ORDER_BLOCK ? f->m : i + ORDER_BLOCK;
        for (uint32_t k = i; k < end; k++)
            wrong |= (uint32_t)(raw[k].from < raw[k - 1].from) | (uint32_t)(raw[k].to <= raw[k].from);
        in_order = wrong == 0;
    }
    return in_order;
}

/* Nodes up to v have their rows; v's predecessors have all been counted, since they come before it. `incoming`: v's
 * `row` until now, the last edge that leads there. */
static inline void enter_row(struct freeze *f, uint32_t v, uint32_t begin, uint32_t *direct)
{
    struct node *n = &f->nodes[v];
    uint32_t incoming = n->row;
    n->row = begin;
    if (n->strong == 0)
        f->sources++;
    if (n->strong != 1)
        return;
    f->edges[incoming] |= EDGE_DIRECT;
    ++*direct;
    if (incoming == begin - 1 && n[-1].row == incoming && (n[-1].info & INFO_SPECIAL) == 0)
        n[-1].info |= INFO_FOLLOWS;
}

/* Whether `to` is in a row already, or perhaps: that of a row that doesn't rise and is long. */
static bool may_be_in_row(const struct freeze *f, uint32_t begin, uint32_t end, uint32_t to)
{
    if (end - begin > SMALL_ROW)
        return true;
    while (begin < end)
        if (f->edges[begin++] == to)
            return true;
    return false;
}

/* Undoes rows_in_place(): the first m edges, of the rows up to node `last`. */
static void raw_again(struct freeze *f, uint32_t last, uint32_t m)
{
    for (uint32_t v = last + 1; v-- > 0;)
        for (; m > f->nodes[v].row; m--) /* from behind: an edge is read before its place is written */
            f->raw[m - 1] = (struct raw_edge){v, f->edges[m - 1] & EDGE_TARGET};
    freeze_forget(f);
}

/* Lays out the rows in the memory of the edges as they were added: the one pass. False: nothing was done. */
static bool rows_in_place(struct freeze *f, uint32_t *direct)
{
    uint32_t v = 0, begin = 0, last = 0;
    enter_row(f, 0, 0, direct);
    for (uint32_t i = 0; i < f->m; i++) {
        struct raw_edge e = f->raw[i];
        if (e.from != v) {
            while (v != e.from)
                enter_row(f, ++v, i, direct);
            begin = i;
        } else if (UNLIKELY(e.to <= last) && may_be_in_row(f, begin, i, e.to)) {
            raw_again(f, v, i);
            f->raw[i] = e;
            return false;
        }
        last = e.to;
        f->edges[i] = e.to;
        f->nodes[e.to].strong++;
        f->nodes[e.to].row = i;
    }
    while (++v < f->n)
        enter_row(f, v, f->m, direct);
    f->nodes[f->n].row = f->m;
    return true;
}

static void list_sources(struct freeze *f)
{
    uint32_t *at = f->edges + f->m, left = f->sources;
    for (uint32_t i = 0; left != 0; i++) {
        if (f->nodes[i].strong == 0) {
            *at++ = i | EDGE_DIRECT;
            left--;
        }
    }
}

/* Makes the block of edges as large as it must be; a large one that is larger stays so, for the next graph. */
static bool fit_edges(struct freeze *f)
{
    size_t now = f->g->raw.room * sizeof *f->raw, least = edges_bytes(f->m, f->sources);
    f->edges_size = now >= STOCK_MIN && now >= least ? now : least;
    uint32_t *edges = now == f->edges_size ? f->edges : os_resize(f->raw, now, least, CACHE_LINE);
    f->edges = edges != NULL ? edges : f->edges;
    return edges != NULL;
}

int freeze_in_place(struct freeze *f)
{
    uint32_t direct = 0;
    if (f->n == 0 || f->m == 0 || !is_in_order(f))
        return -EAGAIN;
    f->edges = (uint32_t *)f->raw;
    if (!rows_in_place(f, &direct)) {
        f->edges = NULL;
        f->sources = 0;
        return -EAGAIN;
    }
    bool done = true;
    for (uint32_t i = 0; direct != 0 && direct != f->m && i < f->n && done; i++)
        done = freeze_direct_last(f, f->edges + f->nodes[i].row, f->nodes[i + 1].row - f->nodes[i].row);
    if (!done || !fit_edges(f)) {
        raw_again(f, f->n - 1, f->m);
        f->edges = NULL;
        return -ENOMEM;
    }
    f->g->raw = (struct vector){NULL, 0, 0, true, f->g->raw.small_pages}; /* the block's, which is `edges` now */
    list_sources(f);
    return 0;
}
