/* SPDX-License-Identifier: MIT
 *
 * reduce.c - folds a range: in the order of its elements, bracketed as the run wants it or in a fixed way.
 *
 * Threads: see algo.h.
 * Invariants: a value is folded into by one worker at a time; a stolen half has a value of its own, which is added to
 * that of what lies before it once both are there.
 */
#include <string.h>

#include "par/algo.h"
#include "par/range.h"

#define FIXED_LEAVES 1024u /* of a fold in fixed order: enough for any machine, few enough for cheap elements */

static int reduce_leaf(const struct range_job *job, weir_worker *w, size_t begin, size_t end, void *value)
{
    const struct reduce_call *c = job->self;
    return c->body(w, c->arg, begin, end, value);
}

int algo_reduce(struct worker *w, void *call)
{
    struct reduce_call *c = call;
    struct range_job job = range_job_of(reduce_leaf, c, c->o);
    char value[WEIR_FOLD_MAX] ALIGNED(16);
    job.key = (const void *)(uintptr_t)c->body;
    job.fold = c->fold;
    job.fold_arg = c->arg;
    if (c->o->flags & WEIR_ALGO_FIXED_ORDER) {
        job.fixed = true;
        job.key = NULL;
        if (c->o->grain == 0)
            job.grain = (c->end - c->begin) / FIXED_LEAVES + 1;
    }
    memcpy(value, c->fold->identity, c->fold->size);
    int r = range_run(w, &job, c->begin, c->end, value);
    if (r == 0)
        memcpy(c->result, value, c->fold->size);
    return r;
}
