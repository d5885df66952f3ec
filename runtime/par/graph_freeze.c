/* SPDX-License-Identifier: MIT
 *
 * graph_freeze.c - checks a graph and lays it out: topological order, rows of successors, the sources.
 *
 * Threads: the builder.
 * Invariants: in a graph that is not frozen `row`, `strong`, INFO_ENTERED and INFO_FOLLOWS of all nodes are 0; a freeze
 * that fails makes them so again, puts edges back that it has laid out in place, and has written nothing else of the
 * graph. Nodes that were added in an order that suits keep it. If the edges came row by row, too, one pass does it all.
 * Source: topological order after Kahn (CACM 1962), newest first, so that a chain of successors stays together.
 */
#include "par/graph_freeze.h"

#include <errno.h>
#include <string.h>

/* False: no memory. */
static bool need_scratch(struct freeze *f)
{
    if (f->scratch == NULL)
        f->scratch = os_alloc(words(f->n) + sizeof *f->scratch, CACHE_LINE);
    return f->scratch != NULL;
}

static void name_in_fault(struct freeze *f, uint32_t node)
{
    weir_graph_fault *fault = f->fault;
    if (fault != NULL && fault->nodes != NULL && fault->count < fault->room)
        fault->nodes[fault->count] = (weir_node){f->g->id, node};
    if (fault != NULL)
        fault->count++;
}

/* --- degrees and rows ----------------------------------------------------------------------------------------- */

static bool is_source(const struct node *n)
{
    return n->strong == 0 && (n->info & INFO_ENTERED) == 0;
}

/* Room for a word a node and one more: behind the edges as they were added, which have pages there, or on its own. */
static bool need_cursor(struct freeze *f)
{
    size_t bytes = words(f->n) + sizeof *f->cursor;
    if ((f->g->raw.room - f->m) * sizeof *f->raw >= bytes)
        f->cursor = (uint32_t *)(f->raw + f->m);
    else
        f->cursor = stock_alloc(bytes, &f->cursor_size);
    return f->cursor != NULL;
}

/* Counts each node's row, in `cursor`, and its strong predecessors. */
static void count_degrees(struct freeze *f)
{
    struct node *nodes = f->nodes;
    uint32_t *length = f->cursor, last = 0, entered = 0;
    bool forward = true, by_rows = true, weak = f->g->weak;
    memset(length, 0, words(f->n) + sizeof *length);
    for (uint32_t i = 0; i < f->m; i++) {
        struct raw_edge e = f->raw[i];
        by_rows &= e.from >= last;
        last = e.from;
        length[e.from]++;
        if (UNLIKELY(weak && node_is_weak(&nodes[e.from]))) {
            nodes[e.to].info |= INFO_ENTERED;
        } else {
            entered += nodes[e.to].strong++ == 0;
            forward &= e.from < e.to;
        }
    }
    f->forward = forward;
    f->by_rows = by_rows;
    f->sources = f->n - entered; /* at most: some are entered by weak edges */
}

bool freeze_need_edges(struct freeze *f)
{
    size_t bytes = edges_bytes(f->m, f->sources), n = (size_t)f->n + 1;
    if ((f->g->nodes.room - n) * sizeof *f->nodes >= bytes)
        f->edges = (uint32_t *)(f->nodes + n);
    else
        f->edges = stock_alloc(bytes, &f->edges_size);
    return f->edges != NULL;
}

/* Lays out the rows, with the edges in them in the order in which they were added. `cursor` tells where they begin. */
static void fill_rows(struct freeze *f)
{
    uint32_t begin = 0, *cursor = f->cursor, *edges = f->edges;
    for (uint32_t i = 0; i <= f->n; i++) {
        uint32_t length = cursor[i];
        cursor[i] = f->by_rows ? begin : begin + length;
        begin += length;
    }
    for (uint32_t i = 0; f->by_rows && i < f->m; i++)
        edges[i] = f->raw[i].to;
    for (uint32_t i = f->by_rows ? 0 : f->m; i-- > 0;) /* from behind: each row shrinks down to its beginning */
        edges[--cursor[f->raw[i].from]] = f->raw[i].to;
}

void freeze_forget(struct freeze *f)
{
    for (uint32_t i = 0; i <= f->n; i++) {
        f->nodes[i].row = 0;
        f->nodes[i].strong = 0;
        f->nodes[i].info &= i < f->n ? ~(INFO_ENTERED | INFO_FOLLOWS) : 0;
    }
}

/* --- checks --------------------------------------------------------------------------------------------------- */

static int check_long_row(struct freeze *f, const uint32_t *row, uint32_t length, uint32_t mark, uint32_t *twice)
{
    if (!need_scratch(f))
        return -ENOMEM;
    for (uint32_t i = 0; i < length; i++) {
        if (f->scratch[row[i]] == mark)
            return *twice = row[i], -EEXIST;
        f->scratch[row[i]] = mark;
    }
    return 0;
}

/* 0, -EEXIST or -ENOMEM. */
static int check_row(struct freeze *f, uint32_t node, uint32_t *twice)
{
    const uint32_t *row = f->edges + f->nodes[node].row;
    uint32_t length = f->nodes[node + 1].row - f->nodes[node].row, rising = 1;
    while (rising < length && row[rising] > row[rising - 1])
        rising++;
    if (rising >= length)
        return 0;
    if (length > SMALL_ROW)
        return check_long_row(f, row, length, node + 1, twice);
    for (uint32_t i = 1; i < length; i++)
        for (uint32_t k = 0; k < i; k++)
            if (row[i] == row[k])
                return *twice = row[i], -EEXIST;
    return 0;
}

static inline int check_doubles(struct freeze *f, uint32_t node)
{
    uint32_t twice;
    bool is_short = f->nodes[node + 1].row - f->nodes[node].row < 2;
    int r = is_short || node_is_weak(&f->nodes[node]) ? 0 : check_row(f, node, &twice);
    if (r != -EEXIST)
        return r;
    name_in_fault(f, node);
    name_in_fault(f, twice);
    return r;
}

/* Names a cycle among the nodes that still have open predecessors: each of them has one such predecessor to go back
 * to. */
static void name_cycle(struct freeze *f)
{
    uint32_t *back = f->order, at = 0, length = 0;
    for (uint32_t i = 0; i < f->n; i++)
        if (f->scratch[i] != 0 && !node_is_weak(&f->nodes[i]))
            for (uint32_t k = f->nodes[i].row; k < f->nodes[i + 1].row; k++)
                if (f->scratch[f->edges[k]] != 0)
                    back[f->edges[k]] = i;
    while (f->scratch[at] == 0)
        at++;
    for (uint32_t i = 0; i < f->n; i++)
        at = back[at]; /* as many steps as there are nodes: now on the cycle */
    uint32_t first = at;
    do {
        length++;
        at = back[at];
    } while (at != first);
    if (f->fault == NULL)
        return;
    f->fault->count = length;
    for (uint32_t i = length; i-- > 0; at = back[at]) /* backwards, so that each is before the next one */
        if (f->fault->nodes != NULL && i < f->fault->room)
            f->fault->nodes[i] = (weir_node){f->g->id, at};
}

/* The topological order; -ELOOP if there is none. The result grows from the front of `order`, the ready nodes from its
 * back: together they are never more than all. */
static int sort(struct freeze *f)
{
    uint32_t done = 0, top = f->n;
    for (uint32_t i = f->n; i-- > 0;) {
        f->scratch[i] = f->nodes[i].strong;
        if (f->scratch[i] == 0)
            f->order[--top] = i;
    }
    while (top < f->n) {
        uint32_t v = f->order[top++];
        f->order[done++] = v;
        if (node_is_weak(&f->nodes[v]))
            continue;
        for (uint32_t k = f->nodes[v + 1].row; k-- > f->nodes[v].row;)
            if (--f->scratch[f->edges[k]] == 0)
                f->order[--top] = f->edges[k];
    }
    if (done == f->n)
        return 0;
    name_cycle(f);
    return -ELOOP;
}

/* --- laying out ----------------------------------------------------------------------------------------------- */

/* Moves the records into topological order, along the cycles of the permutation, and renames the ends of the edges. */
static void renumber(struct freeze *f)
{
    for (uint32_t i = 0; i < f->n; i++)
        f->rank[f->order[i]] = i;
    for (uint32_t i = 0; i < f->m; i++) {
        f->raw[i].from = f->rank[f->raw[i].from];
        f->raw[i].to = f->rank[f->raw[i].to];
    }
    memset(f->scratch, 0, words(f->n)); /* 1: its place is taken by who belongs there */
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->scratch[i] != 0)
            continue;
        struct node first = f->nodes[i];
        uint32_t at = i;
        for (; f->order[at] != i; at = f->order[at]) {
            f->nodes[at] = f->nodes[f->order[at]];
            f->scratch[at] = 1;
        }
        f->nodes[at] = first;
        f->scratch[at] = 1;
    }
}

static uint32_t priority_of(const struct freeze *f, uint32_t edge)
{
    return f->nodes[edge & EDGE_TARGET].info & INFO_PRIORITY;
}

/* Higher priorities first; equal ones stay in order. A row and the sources have no doubles: scratch has room for
 * them. */
static void sort_by_priority(const struct freeze *f, uint32_t *row, uint32_t length)
{
    uint32_t k = 0;
    if (length < 2)
        return;
    for (uint32_t p = 0; p <= INFO_PRIORITY >> INFO_PRIORITY_SHIFT; p++)
        for (uint32_t i = 0; i < length; i++)
            if (priority_of(f, row[i]) == INFO_PRIORITY - (p << INFO_PRIORITY_SHIFT))
                f->scratch[k++] = row[i];
    memcpy(row, f->scratch, words(length));
    memset(f->scratch, 0, words(length)); /* no marks */
}

bool freeze_direct_last(struct freeze *f, uint32_t *row, uint32_t length)
{
    uint32_t i = 0, direct = 0;
    while (i < length && (row[i] & EDGE_DIRECT) == 0)
        i++;
    uint32_t k = i;
    while (k < length && (row[k] & EDGE_DIRECT) != 0)
        k++;
    if (k == length)
        return true;
    if (!need_scratch(f))
        return false;
    for (; i < length; i++)
        if (row[i] & EDGE_DIRECT)
            f->scratch[direct++] = row[i]; /* a row has no doubles, so no more than n edges */
        else
            row[i - direct] = row[i];
    memcpy(row + length - direct, f->scratch, words(direct));
    return true;
}

/* Whether a plain node has no edge but a direct one to the next record. */
static bool follows(const struct freeze *f, uint32_t node)
{
    const struct node *n = &f->nodes[node];
    return n[1].row - n->row == 1 && f->edges[n->row] == ((node + 1) | EDGE_DIRECT) && (n->info & INFO_SPECIAL) == 0;
}

/* Marks the edges that make their target ready by themselves. False: no memory. */
static inline bool mark_row(struct freeze *f, uint32_t node)
{
    uint32_t *row = f->edges + f->nodes[node].row;
    uint32_t length = f->nodes[node + 1].row - f->nodes[node].row;
    for (uint32_t i = 0; i < length; i++)
        if (f->nodes[row[i]].strong == 1)
            row[i] |= EDGE_DIRECT;
    if (f->g->ranked)
        sort_by_priority(f, row, length);
    else if (length > 1 && !freeze_direct_last(f, row, length))
        return false;
    if (follows(f, node))
        f->nodes[node].info |= INFO_FOLLOWS;
    return true;
}

/* The last pass: doubles, marks, and the sources as a row of their own. */
static int finish_rows(struct freeze *f)
{
    uint32_t at = f->m;
    for (uint32_t i = 0; i < f->n; i++) {
        f->nodes[i + 1].row = f->cursor[i + 1]; /* row i ends there */
        int r = check_doubles(f, i);
        if (r != 0)
            return r;
        if (!node_is_weak(&f->nodes[i]) && !mark_row(f, i))
            return -ENOMEM;
        if (node_is_weak(&f->nodes[i]))
            for (uint32_t k = f->nodes[i].row; k < f->nodes[i + 1].row; k++)
                f->edges[k] |= EDGE_DIRECT; /* in the order in which the condition counts them */
        if (is_source(&f->nodes[i]))
            f->edges[at++] = i | EDGE_DIRECT;
    }
    f->sources = at - f->m;
    if (f->n != 0 && f->sources == 0)
        return -ENOENT;
    if (f->g->ranked)
        sort_by_priority(f, f->edges + f->m, f->sources);
    return 0;
}

/* Puts nodes that came in another order into a topological one. Everything that can fail comes before the first
 * change. */
static int reorder(struct freeze *f)
{
    uint32_t sources = 0;
    f->order = os_alloc(words(f->n), CACHE_LINE);
    f->rank = os_alloc(words(f->n), CACHE_LINE);
    if (f->order == NULL || f->rank == NULL || !need_scratch(f))
        return -ENOMEM;
    for (uint32_t i = 0; i < f->n; i++)
        f->nodes[i + 1].row = f->cursor[i + 1];
    for (uint32_t i = 0; i < f->n; i++) {
        int r = check_doubles(f, i);
        if (r != 0)
            return r;
        sources += is_source(&f->nodes[i]);
    }
    int r = sort(f);
    if (r != 0 || sources == 0)
        return r != 0 ? r : -ENOENT;
    renumber(f);
    memset(f->scratch, 0, words(f->n)); /* no marks */
    freeze_forget(f);
    count_degrees(f);
    fill_rows(f);
    return 0;
}

/* A layout that copies the edges. */
static int lay_out(struct freeze *f)
{
    if (!need_cursor(f))
        return -ENOMEM;
    count_degrees(f);
    if (!freeze_need_edges(f) || (f->g->ranked && !need_scratch(f)))
        return -ENOMEM;
    fill_rows(f);
    int r = f->forward ? 0 : reorder(f);
    return r != 0 ? r : finish_rows(f);
}

int weir_graph_freeze(weir_graph *g, weir_graph_fault *fault)
{
    if (g == NULL || (fault != NULL && fault->nodes == NULL && fault->room != 0))
        return -EINVAL;
    if (g->frozen)
        return -EPERM;
    if (g->nodes.room == 0 && vector_grow(&g->nodes, 1, sizeof(struct node)) != 0)
        return -ENOMEM;
    struct freeze f = {.g = g, .nodes = graph_nodes(g), .raw = g->raw.data, .n = (uint32_t)g->nodes.count,
                       .m = (uint32_t)g->raw.count, .fault = fault};
    if (fault != NULL)
        fault->count = 0;
    f.nodes[f.n] = (struct node){.row = 0}; /* the end of the last row */
    int r = freeze_in_one_pass(&f);
    if (r == -EAGAIN)
        r = lay_out(&f);
    os_free(f.scratch, words(f.n) + sizeof *f.scratch);
    block_free(f.cursor, f.cursor_size);
    if (r != 0) {
        freeze_forget(&f);
        block_free(f.edges, f.edges_size);
        os_free(f.order, words(f.n));
        os_free(f.rank, words(f.n));
        return r;
    }
    vector_free(&g->raw, sizeof(struct raw_edge));
    g->edges = f.edges;
    g->edges_size = f.edges_size;
    g->rank = f.rank;
    g->index = f.order;
    g->n_edges = f.m;
    g->n_sources = f.sources;
    g->frozen = true;
    return 0;
}
