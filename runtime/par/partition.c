/* SPDX-License-Identifier: MIT
 *
 * partition.c - stable partition and filter: mark, count, then copy each stretch to its place.
 *
 * Threads: see algo.h.
 * Invariants: nothing of the caller's is written before all predicates have returned and no error has stopped the call.
 * A partition first copies to its buffer, then the whole buffer back.
 */
#include <errno.h>
#include <string.h>

#include "par/algo.h"
#include "par/range.h"
#include "sync/stock.h"

#define STRETCHES_PER_WORKER 16u
#define STRETCH_MIN 1024u /* elements */

struct partition {
    const struct partition_call *c;
    bool *liked;    /* a mark per element */
    size_t *counts; /* liked elements in each stretch, then in all before it */
    size_t stretch; /* elements in one */
    size_t stretches;
    size_t total;   /* liked elements */
    char *out;
};

static void bounds(const struct partition *p, size_t i, size_t *begin, size_t *end)
{
    *begin = i * p->stretch;
    *end = p->c->n - *begin < p->stretch ? p->c->n : *begin + p->stretch;
}

static int mark_leaf(const struct range_job *job, weir_worker *w, size_t begin, size_t end, void *value)
{
    const struct partition *p = job->self;
    (void)w;
    (void)value;
    for (size_t i = begin; i < end; i++)
        p->liked[i] = p->c->likes(p->c->base + i * p->c->size, p->c->arg);
    return 0;
}

static int count_leaf(const struct range_job *job, weir_worker *w, size_t i, size_t unused, void *value)
{
    const struct partition *p = job->self;
    size_t at, end, count = 0;
    (void)w;
    (void)unused;
    (void)value;
    for (bounds(p, i, &at, &end); at < end; at++)
        count += p->liked[at];
    p->counts[i] = count;
    return 0;
}

/* Copies one stretch; inlined for the common sizes. */
static inline __attribute__((always_inline)) void copy_stretch(const struct partition *p, size_t i, size_t size)
{
    size_t at, end;
    bounds(p, i, &at, &end);
    char *liked = p->out + p->counts[i] * size;
    char *others = p->out + (p->total + at - p->counts[i]) * size;
    for (; at < end; at++) {
        const char *from = p->c->base + at * size;
        if (p->liked[at]) {
            memcpy(liked, from, size);
            liked += size;
        } else if (p->c->whole) {
            memcpy(others, from, size);
            others += size;
        }
    }
}

static int copy_leaf(const struct range_job *job, weir_worker *w, size_t i, size_t unused, void *value)
{
    const struct partition *p = job->self;
    (void)w;
    (void)unused;
    (void)value;
    switch (p->c->size) {
    case 4: copy_stretch(p, i, 4); break;
    case 8: copy_stretch(p, i, 8); break;
    case 16: copy_stretch(p, i, 16); break;
    default: copy_stretch(p, i, p->c->size); break;
    }
    return 0;
}

static int copy_back_leaf(const struct range_job *job, weir_worker *w, size_t i, size_t unused, void *value)
{
    const struct partition *p = job->self;
    size_t begin, end, size = p->c->size;
    (void)w;
    (void)unused;
    (void)value;
    bounds(p, i, &begin, &end);
    memcpy(p->c->out + begin * size, p->out + begin * size, (end - begin) * size);
    return 0;
}

/* One pass over all stretches, each a leaf. */
static int pass(struct worker *w, struct partition *p, range_leaf_fn *leaf, const weir_scope *scope)
{
    struct range_job job = {.leaf = leaf, .self = p, .scope = scope, .grain = 1};
    return range_run(w, &job, 0, p->stretches, NULL);
}

static int mark_and_copy(struct worker *w, struct partition *p)
{
    const struct partition_call *c = p->c;
    struct range_job mark = range_job_of(mark_leaf, p, c->o);
    mark.key = (const void *)(uintptr_t)c->likes;
    int r = range_run(w, &mark, 0, c->n, NULL);
    if (r == 0)
        r = pass(w, p, count_leaf, c->o->scope);
    if (r != 0)
        return r;
    for (size_t i = 0; i < p->stretches; i++) {
        size_t here = p->counts[i];
        p->counts[i] = p->total;
        p->total += here;
    }
    r = pass(w, p, copy_leaf, c->o->scope);
    if (r == 0 && c->whole)
        r = pass(w, p, copy_back_leaf, NULL); /* not to be stopped: half of it would lose elements */
    if (r == 0)
        *c->count = p->total;
    return r;
}

int algo_partition(struct worker *w, void *call)
{
    struct partition_call *c = call;
    struct partition p = {.c = c, .out = c->out};
    size_t liked_size, out_size, stretch = c->n / (STRETCHES_PER_WORKER * runtime_width(w->rt)) + 1;
    p.stretch = stretch < STRETCH_MIN ? STRETCH_MIN : stretch;
    p.stretches = c->n / p.stretch + (c->n % p.stretch != 0);
    if (c->n == 0) {
        *c->count = 0;
        return range_scope_error(c->o->scope);
    }
    size_t counts_bytes = p.stretches * sizeof *p.counts; /* stretches <= n */
    if (p.stretches > SIZE_MAX / sizeof *p.counts)
        return -ENOMEM;
    p.liked = stock_alloc(c->n, &liked_size);
    p.counts = os_alloc(counts_bytes, CACHE_LINE);
    if (c->whole)
        p.out = stock_alloc(c->n * c->size, &out_size);
    int r = p.liked != NULL && p.counts != NULL && p.out != NULL ? mark_and_copy(w, &p) : -ENOMEM;
    if (c->whole)
        stock_free(p.out, out_size);
    os_free(p.counts, counts_bytes);
    stock_free(p.liked, liked_size);
    return r;
}
