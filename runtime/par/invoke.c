/* SPDX-License-Identifier: MIT
 *
 * invoke.c - several functions at the same time.
 *
 * Threads: see algo.h. Invariants: a function is a leaf of its own, and is offered to others before the first one
 * begins.
 */
#include "par/algo.h"
#include "par/range.h"

static int invoke_leaf(const struct range_job *job, weir_worker *w, size_t begin, size_t end, void *value)
{
    const struct invoke_call *c = job->self;
    (void)value;
    (void)end;
    return c->list[begin].fn(w, c->list[begin].arg);
}

int algo_invoke(struct worker *w, void *call)
{
    struct invoke_call *c = call;
    struct range_job job = range_job_of(invoke_leaf, c, c->o);
    job.grain = 1;
    return range_run(w, &job, 0, c->n, NULL);
}
