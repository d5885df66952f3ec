/* SPDX-License-Identifier: MIT
 *
 * flow_state.h - a flow, as dataflow.c and flow_pace.c share it.
 *
 * Threads: the comments on its fields.
 * Invariants: see dataflow.c.
 */
#ifndef WEIR_FLOW_STATE_H
#define WEIR_FLOW_STATE_H

#include <errno.h>

#include "par/flow_pace.h"
#include "par/flow_table.h"

struct weir_flow {
    weir_scope scope;          /* of all tasks since the last wait */
    /* constant, but for `failure`; read at each task's end, so beside nothing that the producer writes (bench
     * `flow_chain`) */
    struct worker *w ALIGNED(LINE_PAIR); /* the producer is a task on it; NULL: another thread */
    weir_runtime *handle;      /* of the runtime that it runs on */
    struct flow_task *records; /* `live` of them */
    struct flow_more *more;    /* as many, once a task has had more than one predecessor; else NULL */
    uint32_t live;
    weir_atomic_u32 failure;   /* first error, a positive errno */
    /* producer */
    struct flow_task *ready ALIGNED(LINE_PAIR); /* free records that the producer has in hand */
    struct flow_table table;
    struct flow_task **noted;  /* predecessors of the task that is being added */
    uint32_t n_noted;
    uint32_t noted_room;
    struct flow_pace pace;
    bool inside;               /* a worker's: it runs tasks of the flow within a call; they must not use the flow */
    /* any */
    weir_atomic_ptr freed ALIGNED(LINE_PAIR); /* records that tasks have given back */
};

/* Records an error (a negative errno), if it is the first: what has not begun is skipped. Any worker. */
void flow_fail(weir_flow *f, int error);

static inline bool flow_stops(const weir_flow *f)
{
    return atom_load(&f->failure, memory_order_relaxed) != 0; /* relaxed: as in flow_fail() */
}

/* Whether nothing of the flow is to begin any more. Any worker of rt. */
static inline bool flow_is_over(weir_flow *f, const struct runtime *rt)
{
    if (UNLIKELY(runtime_phase(rt) == PHASE_DISCARDING))
        flow_fail(f, -ECANCELED);
    return flow_stops(f);
}

/* By what the duration of a task's function is remembered. */
static inline const void *flow_key(weir_node_fn *fn)
{
    return (const void *)(uintptr_t)fn;
}

/* The function of a task's record. */
weir_task *flow_run(weir_worker *w, weir_task *task);

/* --- flow_pace.c; the producer --- */

/* Whether a new task is run at once: it is known to be short, and nothing keeps it waiting. */
bool flow_goes_in_place(weir_flow *f, weir_node_fn *fn, const weir_dep *deps, uint32_t n, uint64_t deadline) MUST_USE;
/* Runs a task that has no record and no place in the table: when this returns it has ended, and what is added later
 * need not know of it. 0: it was added, if only to be skipped. */
int flow_run_in_place(weir_flow *f, weir_node_fn *fn, void *arg);

#endif
