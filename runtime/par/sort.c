/* SPDX-License-Identifier: MIT
 *
 * sort.c - the parallel structure of both sorts: where to fork, when to merge in pieces, what a cancel leaves behind.
 *
 * Stable: halves are sorted into the other one of two buffers and merged back. A merge is cut into pieces of equal
 * output, whose inputs are found by binary search, so that the last merge has work for all. In place: quicksort.
 *
 * Threads: see algo.h.
 * Invariants: a piece of the output is written from the same elements of the input whether it is merged or, after a
 * cancel, only copied: so at the end the array holds each of its elements once.
 * Source: merge path (Deo and Sarkar 1991); introsort (Musser 1997).
 */
#include <errno.h>
#include <string.h>

#include "par/algo.h"
#include "par/range.h"
#include "sync/stock.h"

#define PIECES_PER_WORKER 16u /* of the last merge: what one waits for is a thirty-second of it with two workers */
#define PIECE_BYTES 131072u   /* a merge of less is not cut: finding the cut costs 0.3 us of 20 */

struct sort {
    const weir_sort_ops *ops;
    const void *ctx;
    const weir_scope *scope;
    size_t piece; /* elements of a merge that is not cut */
};

static bool stopped(const struct sort *s)
{
    return s->scope != NULL && UNLIKELY(scope_is_cancelled(s->scope));
}

static char *at(const struct sort *s, const void *base, size_t i)
{
    return (char *)(uintptr_t)base + i * s->ops->size;
}

/* --- stable ----------------------------------------------------------------------------------------------------- */

struct piece {
    weir_task task;
    const struct sort *s;
    const char *x, *y;
    size_t nx, ny;
    char *out;
};

static void merge(weir_worker *w, const struct piece *p);

static weir_task *run_merge(weir_worker *w, weir_task *self)
{
    merge(w, CONTAINER_OF(self, struct piece, task));
    return NULL;
}

static void merge_here(const struct piece *p)
{
    const struct sort *s = p->s;
    if (!stopped(s)) {
        s->ops->merge(s->ctx, p->x, p->nx, p->y, p->ny, p->out);
        return;
    }
    memcpy(p->out, p->x, p->nx * s->ops->size);
    memcpy(at(s, p->out, p->nx), p->y, p->ny * s->ops->size);
}

static void merge(weir_worker *w, const struct piece *p)
{
    const struct sort *s = p->s;
    if (p->nx + p->ny <= s->piece || stopped(s)) {
        merge_here(p);
        return;
    }
    size_t k = (p->nx + p->ny) / 2, i = s->ops->rank(s->ctx, p->x, p->nx, p->y, p->ny, k), j = k - i;
    struct piece left = {.s = s, .x = p->x, .y = p->y, .nx = i, .ny = j, .out = p->out};
    struct piece right = {.task = {.run = run_merge}, .s = s, .x = at(s, p->x, i), .y = at(s, p->y, j),
                          .nx = p->nx - i, .ny = p->ny - j, .out = at(s, p->out, k)};
    weir_fork(w, &right.task);
    merge(w, &left);
    if (weir_unfork(w, &right.task) == WEIR_UNFORK_MINE)
        merge(w, &right);
}

/* A stretch to be sorted, with room for as many; the result goes where `to_room` says. */
struct stretch {
    weir_task task;
    const struct sort *s;
    char *keys, *room;
    size_t n;
    bool to_room;
};

static void sort_stretch(weir_worker *w, const struct stretch *r);

static weir_task *run_stretch(weir_worker *w, weir_task *self)
{
    sort_stretch(w, CONTAINER_OF(self, struct stretch, task));
    return NULL;
}

static void sort_stretch(weir_worker *w, const struct stretch *r)
{
    const struct sort *s = r->s;
    if (stopped(s)) {
        if (r->to_room)
            memcpy(r->room, r->keys, r->n * s->ops->size);
        return;
    }
    if (r->n <= s->ops->leaf) {
        s->ops->sort(s->ctx, r->keys, r->room, r->n, r->to_room ? r->room : r->keys);
        return;
    }
    size_t half = r->n / 2;
    struct stretch left = {.s = s, .keys = r->keys, .room = r->room, .n = half, .to_room = !r->to_room};
    struct stretch right = {.task = {.run = run_stretch}, .s = s, .keys = at(s, r->keys, half),
                            .room = at(s, r->room, half), .n = r->n - half, .to_room = !r->to_room};
    weir_fork(w, &right.task);
    sort_stretch(w, &left);
    if (weir_unfork(w, &right.task) == WEIR_UNFORK_MINE)
        sort_stretch(w, &right);
    char *from = r->to_room ? r->keys : r->room;
    struct piece whole = {.s = s, .x = from, .nx = half, .y = at(s, from, half), .ny = r->n - half,
                          .out = r->to_room ? r->room : r->keys};
    merge(w, &whole);
}

static int sort_stable(struct worker *w, struct sort *s, void *base, size_t n)
{
    s->piece = n / (PIECES_PER_WORKER * runtime_width(w->rt));
    if (s->piece * s->ops->size < PIECE_BYTES)
        s->piece = PIECE_BYTES / s->ops->size + 1;
    size_t room_size;
    char *room = stock_alloc(n * s->ops->size, &room_size);
    if (room == NULL)
        return -ENOMEM;
    struct stretch all = {.s = s, .keys = base, .room = room, .n = n};
    sort_stretch(worker_public(w), &all);
    stock_free(room, room_size);
    return 0;
}

/* --- in place ----------------------------------------------------------------------------------------------------- */

struct part {
    weir_task task;
    const struct sort *s;
    char *keys;
    size_t n;
    unsigned depth; /* partitions that may still follow: more mean bad pivots */
};

static void sort_part(weir_worker *w, struct part p);

static weir_task *run_part(weir_worker *w, weir_task *self)
{
    sort_part(w, *CONTAINER_OF(self, struct part, task));
    return NULL;
}

static void sort_part(weir_worker *w, struct part p)
{
    const struct sort *s = p.s;
    if (stopped(s))
        return;
    if (p.n <= s->ops->leaf || p.depth == 0) {
        s->ops->sort_in_place(s->ctx, p.keys, p.n, p.n > s->ops->leaf);
        return;
    }
    size_t low, high;
    s->ops->partition(s->ctx, p.keys, p.n, &low, &high);
    struct part left = {.s = s, .keys = p.keys, .n = low, .depth = p.depth - 1};
    struct part right = {.task = {.run = run_part}, .s = s, .keys = at(s, p.keys, high), .n = p.n - high,
                         .depth = p.depth - 1};
    weir_fork(w, &right.task);
    sort_part(w, left);
    if (weir_unfork(w, &right.task) == WEIR_UNFORK_MINE)
        sort_part(w, right);
}

static void sort_in_place(struct worker *w, const struct sort *s, void *base, size_t n)
{
    struct part all = {.s = s, .keys = base, .n = n};
    for (size_t i = n; i > 1; i /= 2)
        all.depth += 2;
    sort_part(worker_public(w), all);
}

int algo_sort(struct worker *w, void *call)
{
    struct sort_call *c = call;
    struct sort s = {.ops = c->ops, .ctx = c->ctx, .scope = c->o->scope};
    int r = range_scope_error(s.scope);
    if (r != 0 || c->n < 2)
        return r;
    if (c->o->flags & WEIR_ALGO_STABLE)
        r = sort_stable(w, &s, c->base, c->n);
    else
        sort_in_place(w, &s, c->base, c->n);
    return r != 0 ? r : range_scope_error(s.scope);
}
