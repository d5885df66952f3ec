/* SPDX-License-Identifier: MIT
 *
 * scan.c - prefix folds in stretches, which cost a second pass only where a second worker takes part.
 *
 * The final pass goes from left to right on the worker that began. It forks the right half of what is left as a first
 * pass: to fold each stretch, so that its prefix can be known. When it comes there and nobody has taken the half, it
 * simply goes on. If somebody has, prefixes follow from the folds, and the final pass of that half is a parallel loop.
 *
 * Threads: see algo.h.
 * Invariants: sums[i] belongs to whoever folds stretch i, then to the worker of the final pass; joins stand between.
 */
#include <string.h>

#include "par/algo.h"
#include "par/range.h"

#define STRETCHES_PER_WORKER 32u /* the last one to be waited for is a sixty-fourth of all with two workers */
#define STRETCH_MIN 512u         /* iterations, unless the caller says how many: few cheap ones are not worth a table */

struct scan {
    const struct scan_call *c;
    struct range_job job; /* its error stops all passes */
    size_t stretch;       /* iterations in one */
    size_t count;
    char *sums;           /* a value per stretch: its fold, later the fold of all before it */
};

/* A right half on its first pass. */
struct first_pass {
    weir_task task;
    struct scan *s;
    size_t begin, end;
};

static char *sum_of(const struct scan *s, size_t i)
{
    return s->sums + i * s->c->fold->size;
}

/* One pass over stretch i. */
static int visit(const struct scan *s, weir_worker *w, size_t i, void *value, bool final)
{
    const struct scan_call *c = s->c;
    size_t begin = c->begin + i * s->stretch;
    size_t end = c->end - begin <= s->stretch ? c->end : begin + s->stretch;
    return c->body(w, c->arg, begin, end, value, final);
}

static int first_leaf(const struct range_job *job, weir_worker *w, size_t begin, size_t end, void *unused)
{
    const struct scan *s = job->self;
    char value[WEIR_FOLD_MAX] ALIGNED(16);
    int r = 0;
    (void)unused;
    for (size_t i = begin; i < end && r == 0; i++) {
        memcpy(value, s->c->fold->identity, s->c->fold->size);
        r = visit(s, w, i, value, false);
        memcpy(sum_of(s, i), value, s->c->fold->size);
    }
    return r;
}

static int final_leaf(const struct range_job *job, weir_worker *w, size_t begin, size_t end, void *unused)
{
    const struct scan *s = job->self;
    char value[WEIR_FOLD_MAX] ALIGNED(16);
    int r = 0;
    (void)unused;
    for (size_t i = begin; i < end && r == 0; i++) {
        memcpy(value, sum_of(s, i), s->c->fold->size);
        r = visit(s, w, i, value, true);
    }
    return r;
}

/* A parallel pass over stretches [begin, end): each a leaf. Its error stops the scan. */
static void pass(struct scan *s, weir_worker *w, range_leaf_fn *leaf, size_t begin, size_t end)
{
    struct range_job job = {.leaf = leaf, .self = s, .scope = s->c->o->scope, .grain = 1};
    int r = range_error(&s->job);
    if (r == 0)
        r = range_run(worker_of(w), &job, begin, end, NULL);
    if (r != 0)
        range_fail(&s->job, r);
}

static weir_task *run_first_pass(weir_worker *w, weir_task *self)
{
    struct first_pass *h = CONTAINER_OF(self, struct first_pass, task);
    pass(h->s, w, first_leaf, h->begin, h->end);
    return NULL;
}

/* Stretches [begin, end) have been folded; value is the fold of all before them: makes prefixes of their folds. */
static void prefixes(const struct scan *s, size_t begin, size_t end, char *value)
{
    const weir_fold *fold = s->c->fold;
    char here[WEIR_FOLD_MAX] ALIGNED(16);
    for (size_t i = begin; i < end; i++) {
        memcpy(here, sum_of(s, i), fold->size);
        memcpy(sum_of(s, i), value, fold->size);
        fold->combine(s->c->arg, value, here);
    }
}

/* The final pass over stretches [begin, end), with value the fold of all before them. */
static void final_pass(struct scan *s, weir_worker *w, size_t begin, size_t end, char *value)
{
    while (end - begin > 1) {
        struct first_pass right = {.task = {.run = run_first_pass}, .s = s, .begin = begin + (end - begin) / 2,
                                   .end = end};
        weir_fork(w, &right.task);
        final_pass(s, w, begin, right.begin, value);
        bool mine = weir_unfork(w, &right.task) == WEIR_UNFORK_MINE;
        if (range_error(&s->job) != 0)
            return;
        if (!mine) {
            prefixes(s, right.begin, end, value);
            pass(s, w, final_leaf, right.begin, end);
            return;
        }
        begin = right.begin;
    }
    if (range_error(&s->job) != 0)
        return;
    int r = visit(s, w, begin, value, true);
    if (r < 0)
        range_fail(&s->job, r);
}

int algo_scan(struct worker *w, void *call)
{
    struct scan_call *c = call;
    struct scan s = {.c = c, .job = range_job_of(NULL, NULL, c->o)};
    char value[WEIR_FOLD_MAX] ALIGNED(16);
    size_t n = c->end - c->begin, bytes = 0;
    int r = range_error(&s.job);
    s.stretch = n / (STRETCHES_PER_WORKER * w->rt->count) + 1;
    if (c->o->grain == 0 && s.stretch < STRETCH_MIN)
        s.stretch = STRETCH_MIN;
    else if (c->o->grain != 0 && s.stretch > c->o->grain)
        s.stretch = c->o->grain;
    s.count = n / s.stretch + (n % s.stretch != 0);
    if (__builtin_mul_overflow(s.count, c->fold->size, &bytes))
        bytes = SIZE_MAX;
    memcpy(value, c->fold->identity, c->fold->size);
    if (s.count > 1 && w->rt->count > 1 && r == 0)
        s.sums = os_alloc(bytes, CACHE_LINE);
    if (s.sums != NULL) {
        final_pass(&s, worker_public(w), 0, s.count, value);
        os_free(s.sums, bytes);
    } else {
        for (size_t i = 0; i < s.count && (r = range_error(&s.job)) == 0; i++)
            if ((r = visit(&s, worker_public(w), i, value, true)) < 0)
                range_fail(&s.job, r);
    }
    r = range_error(&s.job);
    if (r == 0 && c->result != NULL)
        memcpy(c->result, value, c->fold->size);
    return r;
}
