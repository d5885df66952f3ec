/* SPDX-License-Identifier: MIT
 *
 * dataflow.h - tasks ordered by the addresses that they name: records and their links.
 *
 * Threads: see dataflow.c.
 */
#ifndef WEIR_DATAFLOW_H
#define WEIR_DATAFLOW_H

#include <weir/flow.h>

#include "sched/worker.h"

#define FLOW_EDGES 3u /* predecessors that a record has room for */

struct flow_task;

/* One predecessor of a task: in the predecessor's list, in the successor's memory. */
struct flow_edge {
    struct flow_edge *next;
    struct flow_task *task; /* the successor; the predecessor, until it is linked */
};

struct flow_block {
    size_t count;
    struct flow_edge edge[];
};

struct flow_task {
    weir_task task;           /* owed a completion by each predecessor; member of the flow's scope */
    weir_node_fn *fn;
    void *arg;
    weir_atomic_ptr after;    /* edges to successors; FLOW_CLOSED: the task has ended */
    uint64_t serial;          /* which task the record is, now: written by the producer */
    struct flow_task *link;   /* in the stack of free records */
    struct flow_block *more;  /* edges, when FLOW_EDGES are not enough; stays with the record */
    struct flow_edge edge[FLOW_EDGES];
};

#define FLOW_CLOSED ((void *)(uintptr_t)1)

static_assert(sizeof(struct flow_task) == 128, "two cache lines");

/* Producer: links e before the end of `before`. False: it has ended, and all that it did is seen. */
bool flow_link(struct flow_task *before, struct flow_edge *e, struct flow_task *after) MUST_USE;
/* Finisher: no more successors. Returns those that there are. */
struct flow_edge *flow_close(struct flow_task *t) MUST_USE;

/* Producer: puts t behind its n predecessors, each of which owes it one completion from the start. True: all have ended,
 * t is ready; if not, it may have run already. */
bool flow_link_all(struct flow_task *t, struct flow_edge *edge, uint32_t n) MUST_USE;
/* Finisher: one predecessor of t has ended. Returns t if it was the last. */
weir_task *flow_release(weir_task *t) MUST_USE;

/* Whether the calling thread is the flow's producer. */
bool flow_is_producer(const weir_flow *f);
weir_runtime *flow_handle(const weir_flow *f);
/* weir_flow_add() with checked arguments, by the producer. rt: the flow's runtime, held by the caller; unused on a worker. */
int flow_add(weir_flow *f, struct runtime *rt, weir_node_fn *fn, void *arg, const weir_dep *deps, uint32_t n,
             uint64_t deadline) MUST_USE;
/* For weir_flow_create(): w is the calling worker of rt, or NULL. */
int flow_create(weir_runtime *h, struct worker *w, uint32_t live, weir_flow **out) MUST_USE;

#endif
