/* SPDX-License-Identifier: MIT
 *
 * for.c - loops over one and two dimensions.
 *
 * Threads: see algo.h. Invariants: tiles are numbered row by row; each is in exactly one leaf.
 */
#include <errno.h>

#include "par/algo.h"
#include "par/range.h"

static int for_leaf(const struct range_job *job, weir_worker *w, size_t begin, size_t end, void *value)
{
    const struct for_call *c = job->self;
    (void)value;
    return c->body(w, c->arg, begin, end);
}

int algo_for(struct worker *w, void *call)
{
    struct for_call *c = call;
    struct range_job job = range_job_of(for_leaf, c, c->o);
    job.key = (const void *)(uintptr_t)c->body;
    return range_run(w, &job, c->begin, c->end, NULL);
}

/* --- two dimensions --------------------------------------------------------------------------------------------- */

#define EDGE 64u       /* elements: rows of a tile of doubles are half a page, the tile fits a first-level cache */
#define TILES_MIN 256u /* where there are fewer, they are made smaller */

static size_t ceil_div(size_t n, size_t by)
{
    return n / by + (n % by != 0);
}

/* False: they can't be counted. */
static bool count_tiles(struct for_2d_call *c)
{
    size_t rows = ceil_div(c->all.row_end - c->all.row_begin, c->edge);
    c->columns = ceil_div(c->all.col_end - c->all.col_begin, c->edge);
    return !__builtin_mul_overflow(rows, c->columns, &c->tiles);
}

int algo_for_2d_plan(struct for_2d_call *c)
{
    c->merge = c->o->grain == 0;
    c->edge = c->merge ? EDGE : c->o->grain;
    bool countable = count_tiles(c);
    for (; countable && c->merge && c->tiles < TILES_MIN && c->edge > 1; countable = count_tiles(c))
        c->edge /= 2;
    return countable ? 0 : -EINVAL;
}

static size_t bounded(size_t from, size_t length, size_t end)
{
    return end - from < length ? end : from + length;
}

/* Tiles begin to end - 1, those beside each other as one where that is allowed. */
static int for_2d_leaf(const struct range_job *job, weir_worker *w, size_t begin, size_t end, void *value)
{
    const struct for_2d_call *c = job->self;
    (void)value;
    for (size_t at = begin; at < end;) {
        size_t row = at / c->columns, column = at % c->columns;
        size_t n = c->merge ? bounded(0, end - at, c->columns - column) : 1;
        weir_tile tile = {.row_begin = c->all.row_begin + row * c->edge,
                          .col_begin = c->all.col_begin + column * c->edge};
        tile.row_end = bounded(tile.row_begin, c->edge, c->all.row_end);
        tile.col_end = bounded(tile.col_begin, n * c->edge, c->all.col_end);
        int r = c->body(w, c->arg, &tile);
        if (r < 0)
            return r;
        at += n;
    }
    return 0;
}

int algo_for_2d(struct worker *w, void *call)
{
    struct for_2d_call *c = call;
    struct range_job job = range_job_of(for_2d_leaf, c, c->o);
    job.key = (const char *)(uintptr_t)c->body + c->edge; /* tiles of another size take another time */
    job.grain = SIZE_MAX;
    return range_run(w, &job, 0, c->tiles, NULL);
}
