/* SPDX-License-Identifier: MIT
 *
 * graph_one_pass.c - lays out a graph whose nodes and edges came in an order that suits, in one pass over the edges:
 * row by row, in the memory that they are in, or row by row but for the edges of the first node that has any, the hub.
 *
 * Threads: the builder.
 * Invariants: a node's predecessors come before it, so when the pass comes to its row all that leads there was counted.
 * A pass that meets something wrong leaves the edges as they were.
 */
#include "par/graph_freeze.h"

#include <errno.h>

#define ORDER_BLOCK 256u /* edges looked at before the first answer */

/* Whether every edge leads forward, from a row that is not before the last one's. By blocks: no branch in the loop. */
static bool is_in_order(const struct freeze *f)
{
    const struct raw_edge *raw = f->raw;
    bool in_order = raw[0].to > raw[0].from;
    for (uint32_t i = 1, end; i < f->m && in_order; i = end) {
        uint32_t wrong = 0;
        end = f->m - i < ORDER_BLOCK ? f->m : i + ORDER_BLOCK;
        for (uint32_t k = i; k < end; k++)
            wrong |= (uint32_t)(raw[k].from < raw[k - 1].from) | (uint32_t)(raw[k].to <= raw[k].from);
        in_order = wrong == 0;
    }
    return in_order;
}

/* The same, but that edges from the hub may come between others. Returns how many there are; 0: it is not so. What
 * comes before and after one from the hub is not compared. */
static uint32_t edges_of_hub(const struct freeze *f)
{
    const struct raw_edge *raw = f->raw;
    uint32_t hub = raw[0].from, length = 1, wrong = raw[0].to <= hub;
    for (uint32_t i = 1, end; i < f->m && wrong == 0; i = end) {
        end = f->m - i < ORDER_BLOCK ? f->m : i + ORDER_BLOCK;
        for (uint32_t k = i; k < end; k++) {
            uint32_t is_hub = raw[k].from == hub;
            length += is_hub;
            wrong |= (uint32_t)(raw[k].to <= raw[k].from) | ((uint32_t)(raw[k].from < raw[k - 1].from) & ~is_hub);
        }
    }
    return wrong == 0 ? length : 0;
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

/* Lays out the rows in memory of their own, the hub's row of that length first: the one pass. False: it is not so. */
static bool rows_beside_hub(struct freeze *f, uint32_t length, uint32_t *direct)
{
    uint32_t hub = f->raw[0].from, in_hub = 0, v = 0, begin = length, end = length, last = 0, last_of_hub = 0, at;
    while (v < hub)
        enter_row(f, v++, 0, direct);
    enter_row(f, v, 0, direct);
    for (uint32_t i = 0; i < f->m; i++) {
        struct raw_edge e = f->raw[i];
        if (e.from == hub) {
            if (e.to <= last_of_hub || e.to <= v)
                return false;
            last_of_hub = e.to;
            at = in_hub++;
        } else {
            if (e.from < v || (e.from == v && e.to <= last && may_be_in_row(f, begin, end, e.to)))
                return false;
            begin = e.from == v ? begin : end;
            while (v != e.from)
                enter_row(f, ++v, end, direct);
            last = e.to;
            at = end++;
        }
        f->edges[at] = e.to;
        f->nodes[e.to].strong++;
        f->nodes[e.to].row = at;
    }
    while (++v < f->n)
        enter_row(f, v, f->m, direct);
    f->nodes[f->n].row = f->m;
    return true;
}

/* The row that edge k is in, which is not before row v: searched for in steps that double, then halve. */
static uint32_t row_of(const struct freeze *f, uint32_t v, uint32_t k)
{
    uint32_t step = 1;
    for (; f->n - v > step && f->nodes[v + step].row <= k; step *= 2)
        v += step;
    for (; step != 0; step /= 2)
        if (f->n - v > step && f->nodes[v + step].row <= k)
            v += step;
    return v;
}

/* Puts the direct edges of all rows last. False: no memory. */
static bool order_rows(struct freeze *f)
{
    for (uint32_t v = 0, k = 1; k < f->m; k++) {
        if ((f->edges[k - 1] & ~f->edges[k] & EDGE_DIRECT) == 0)
            continue;
        v = row_of(f, v, k);
        uint32_t begin = f->nodes[v].row, end = f->nodes[v + 1].row; /* perhaps it begins here, and is in order */
        if (!freeze_direct_last(f, f->edges + begin, end - begin))
            return false;
        k = end - 1;
    }
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

/* In the memory of the edges as they were added. Results of this and the next: see freeze_in_one_pass(). */
static int lay_out_in_place(struct freeze *f)
{
    uint32_t direct = 0;
    f->edges = (uint32_t *)f->raw;
    if (!rows_in_place(f, &direct)) {
        f->edges = NULL;
        f->sources = 0;
        return -EAGAIN;
    }
    if ((direct != 0 && direct != f->m && !order_rows(f)) || !fit_edges(f)) {
        raw_again(f, f->n - 1, f->m);
        f->edges = NULL;
        return -ENOMEM;
    }
    f->g->raw = (struct vector){NULL, 0, 0, true, f->g->raw.small_pages}; /* the block's, which is `edges` now */
    return 0;
}

static int lay_out_beside_hub(struct freeze *f, uint32_t length)
{
    uint32_t direct = 0;
    f->sources = f->n; /* at most: room for them */
    if (!freeze_need_edges(f))
        return -ENOMEM;
    f->sources = 0;
    bool suits = rows_beside_hub(f, length, &direct);
    if (suits && (direct == 0 || direct == f->m || order_rows(f)))
        return 0;
    freeze_forget(f);
    block_free(f->edges, f->edges_size);
    f->edges = NULL;
    f->edges_size = 0;
    f->sources = 0;
    return suits ? -ENOMEM : -EAGAIN;
}

int freeze_in_one_pass(struct freeze *f)
{
    if (f->n == 0 || f->m == 0 || f->g->weak || f->g->ranked)
        return -EAGAIN;
    bool in_order = is_in_order(f);
    uint32_t length = in_order ? 0 : edges_of_hub(f);
    int r = in_order ? lay_out_in_place(f) : length != 0 ? lay_out_beside_hub(f, length) : -EAGAIN;
    if (r == 0)
        list_sources(f);
    return r;
}
