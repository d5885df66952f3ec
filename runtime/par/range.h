/* SPDX-License-Identifier: MIT
 *
 * range.h - the engine under all algorithms: runs a range of iterations in leaves, forking halves that others may take.
 *
 * A job is a range and what to do with a stretch of it. The worker that begins it forks the right half, then the right
 * half of the left half, and so on: forks are private (deque.h) and cost no atomic operation until somebody is hungry,
 * and then the largest half goes first. It stops forking when what is left takes a few microseconds by what the leaves
 * before took, and runs that as one leaf.
 *
 * Threads: range_run: the worker. Leaves run on any worker.
 * Invariants: each index is in exactly one leaf, unless the job is stopped; a frame joins what it forked before it
 * returns, also when the job is stopped.
 */
#ifndef WEIR_RANGE_H
#define WEIR_RANGE_H

#include <weir/algo.h>

#include "sched/worker.h"

struct range_job;

/* Does [begin, end); value: what this stretch is folded into, or NULL. 0, or a negative errno that stops the job. */
typedef int range_leaf_fn(const struct range_job *job, weir_worker *w, size_t begin, size_t end, void *value);

struct range_job {
    /* constant while the job runs */
    range_leaf_fn *leaf;
    void *self;              /* the leaf's own */
    const void *key;         /* whose duration is remembered: the user's callback; NULL: no clock, leaves of `grain` */
    const weir_scope *scope; /* its cancel stops the job; may be NULL */
    size_t grain;            /* most iterations in a leaf */
    const weir_fold *fold;   /* what the values of halves are put together with, or NULL */
    void *fold_arg;
    bool fixed;              /* halves are put together in the same way in each run */
    /* any worker writes */
    weir_atomic_u32 error;   /* the first error, a positive errno; not 0: what has not begun is left out */
};

/* A job without measuring, folding or scope; the caller changes what it wants. */
static inline struct range_job range_job_of(range_leaf_fn *leaf, void *self, const weir_algo_options *o)
{
    return (struct range_job){
        .leaf = leaf, .self = self, .scope = o->scope, .grain = o->grain != 0 ? o->grain : SIZE_MAX};
}

/* Runs the job over [begin, end). Returns its first error, or 0. value: as for a leaf. */
int range_run(struct worker *w, struct range_job *job, size_t begin, size_t end, void *value) MUST_USE;

/* The error that stops the job (a negative errno): its own, or its scope's cancel; 0: none. */
int range_error(struct range_job *job) MUST_USE;
/* Stops the job with an error (a negative errno), unless it has one. */
void range_fail(struct range_job *job, int error);

/* As weir_scope_error(), -ECANCELED for a cancel without an error; 0 for a scope that goes on, or none. */
static inline int range_scope_error(const weir_scope *s)
{
    return s != NULL && UNLIKELY(scope_is_cancelled(s)) ? scope_result(s) : 0;
}

#endif
