/* SPDX-License-Identifier: MIT
 *
 * algo.h - the algorithms of weir/algo.h on a worker, their arguments checked.
 *
 * Threads: the worker that calls; callbacks run on any.
 * Invariants: a call's record lives in its caller's frame and is constant while it runs.
 */
#ifndef WEIR_PAR_ALGO_H
#define WEIR_PAR_ALGO_H

#include <weir/algo.h>
#include <weir/sort.h>

#include "sched/worker.h"

struct for_call {
    const weir_algo_options *o;
    size_t begin, end;
    weir_for_fn *body;
    void *arg;
};
int algo_for(struct worker *w, void *call);

struct for_2d_call {
    const weir_algo_options *o;
    weir_tile all;
    weir_for_2d_fn *body;
    void *arg;
    size_t edge;    /* of a tile */
    size_t columns; /* tiles in a row of tiles */
    size_t tiles;
    bool merge;     /* tiles beside each other may come as one */
};
/* Chooses the tiles. -EINVAL: there would be more than SIZE_MAX. */
int algo_for_2d_plan(struct for_2d_call *c) MUST_USE;
int algo_for_2d(struct worker *w, void *call);

struct invoke_call {
    const weir_algo_options *o;
    const weir_invocation *list;
    size_t n;
};
int algo_invoke(struct worker *w, void *call);

struct reduce_call {
    const weir_algo_options *o;
    size_t begin, end;
    const weir_fold *fold;
    weir_reduce_fn *body;
    void *arg;
    void *result;
};
int algo_reduce(struct worker *w, void *call);

struct scan_call {
    const weir_algo_options *o;
    size_t begin, end;
    const weir_fold *fold;
    weir_scan_fn *body;
    void *arg;
    void *result; /* or NULL */
};
int algo_scan(struct worker *w, void *call);

struct sort_call {
    const weir_algo_options *o;
    void *base;
    size_t n;
    const weir_sort_ops *ops;
    const void *ctx;
};
int algo_sort(struct worker *w, void *call);
struct sort_compare {
    weir_compare_fn *compare;
    void *arg;
    size_t size;
};
/* Fills in the operations on elements of `size` bytes with the user's own comparison; ctx is a struct sort_compare. */
void sort_ops_of(size_t size, weir_sort_ops *ops);

struct partition_call {
    const weir_algo_options *o;
    const char *base;
    size_t n, size;
    weir_predicate_fn *likes;
    void *arg;
    char *out;  /* where the liked go, in their order */
    bool whole; /* weir_partition: out is base, the others follow */
    size_t *count;
};
int algo_partition(struct worker *w, void *call);

#endif
