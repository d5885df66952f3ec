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

#define FLOW_EDGES 3u /* predecessors that need no block of their own */

struct flow_task;

/*
 * A link: the first or the next of the successors that wait for a task.
 *  63          2 1 0
 * | address      |e|c|
 *
 * address  the successor, whose own `edge` is the next link; or (e) a flow_edge, which names it; 0: no more
 * closed   the task has ended: nobody can wait for it any more
 */
typedef uint64_t flow_link;
#define LINK_CLOSED UINT64_C(1)
#define LINK_EDGE UINT64_C(2)

/* One predecessor of a task that has several: in the predecessor's list, in the successor's memory. */
struct flow_edge {
    flow_link next;
    struct flow_task *task; /* the successor; the predecessor, until it is linked */
};

struct flow_block {
    size_t count;
    struct flow_edge edge[];
};

/* The edges of a record whose task has more than one predecessor. */
struct flow_more {
    struct flow_edge edge[FLOW_EDGES] ALIGNED(CACHE_LINE);
    struct flow_block *block; /* when that is not enough; stays with the record */
};

struct flow_task {
    weir_task task;          /* owed a completion by each predecessor; member of the flow's scope */
    union {
        weir_node_fn *fn;
        struct flow_task *link; /* in a stack of free records */
    };
    void *arg;
    weir_atomic_u64 after;   /* the first link; LINK_CLOSED: the task has ended */
    flow_link edge;          /* its only predecessor, then the next link of that one's list */
};

static_assert(sizeof(struct flow_task) == CACHE_LINE, "what a worker gets of a task, and what comes back, is one line");
static_assert(sizeof(struct flow_more) == CACHE_LINE, "the edges are another one");

/* Producer: puts t, which owes it a completion, before the end of `before`: by its own edge, or by e (which is not
 * NULL). False: `before` has ended, and all that it did is seen. */
bool flow_join(struct flow_task *before, struct flow_task *t, struct flow_edge *e) MUST_USE;
/* Finisher: no more successors. Returns those that there are. */
flow_link flow_close(struct flow_task *t) MUST_USE;
/* Finisher: takes the first successor out of a list that is not empty. */
struct flow_task *flow_next(flow_link *list);

/* Producer: puts t behind its n predecessors, each of which it owes a completion from the start: one, in t->edge, or
 * those of `edge`. True: all have ended, t is ready; if not, it may have run already. */
bool flow_join_all(struct flow_task *t, struct flow_edge *edge, uint32_t n) MUST_USE;
/* Finisher: one predecessor of t has ended. Returns t if it was the last. */
weir_task *flow_release(weir_task *t) MUST_USE;

/* Whether the calling thread is the flow's producer. */
bool flow_is_producer(const weir_flow *f);
weir_runtime *flow_handle(const weir_flow *f);
/* weir_flow_add() with checked arguments, by the producer. rt: the flow's runtime, held by the caller; unused on a
 * worker. */
int flow_add(weir_flow *f, struct runtime *rt, weir_node_fn *fn, void *arg, const weir_dep *deps, uint32_t n,
             uint64_t deadline) MUST_USE;
/* For weir_flow_create(): w is the calling worker of rt, or NULL. */
int flow_create(weir_runtime *h, struct worker *w, uint32_t live, weir_flow **out) MUST_USE;

#endif
