/* SPDX-License-Identifier: MIT
 *
 * weir/flow.h - tasks ordered by the data that they name, and pipelines.
 *
 * Threads: a flow belongs to the thread, or the worker's task, that made it; its own tasks neither add to it nor wait
 * for it (-EINVAL). weir_pipeline may be called by any thread.
 * Source: dependences on addresses as in OpenMP 4.0 `depend`; token-bounded pipelines as in MacDonald, Szafron,
 * Schaeffer (IPDPS 2004) and oneTBB.
 */
#ifndef WEIR_FLOW_H
#define WEIR_FLOW_H

#include <weir/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- dataflow ------------------------------------------------------------------------------------------------- */

typedef struct weir_flow weir_flow;

typedef enum weir_access {
    WEIR_IN = 1,   /* after the last task that wrote there */
    WEIR_OUT = 2,  /* after the last task that wrote there, and all that have read since */
    WEIR_INOUT = 3 /* the same */
} weir_access;

typedef struct weir_dep {
    const void *address; /* only compared: name a datum by one address, always the same */
    weir_access access;
} weir_dep;

#define WEIR_FLOW_LIVE_MAX (1u << 24) /* tasks alive at once in one flow */
#define WEIR_FLOW_LIVE_DEFAULT 4096u /* 256 KiB of records: they and the table stay in a second-level cache */

/*
 * A stream of tasks on `rt`. live: how many tasks may be there at once, begun or not, 1 to WEIR_FLOW_LIVE_MAX; 0: the
 * default. That many records of 64 bytes, and as many again once a task has more than one predecessor, are all the
 * memory that tasks with up to three predecessors use.
 * -EINVAL, -ENOMEM, -ESHUTDOWN, -EOWNERDEAD; -EDEADLK: called on a worker of another runtime.
 */
WEIR_API int weir_flow_create(weir_runtime *rt, uint32_t live, weir_flow **out) WEIR_MUST_USE;
/*
 * Adds fn(w, arg), to run when the tasks added before it allow. When `live` tasks are there it waits for room: a worker
 * runs tasks of the flow meanwhile, another thread sleeps, until the absolute time `deadline` (WEIR_FOREVER; 0: not at
 * all). fn returns 0 or a negative errno, after which tasks that have not begun are skipped.
 * On a worker a task that need not wait, and whose fn is known to be short (some 100 ns: less than to hand it over),
 * may have run when this returns, unless `deadline` is 0: with 0 no task runs within this call. So who adds with
 * another deadline holds nothing that a task needs.
 * -EAGAIN (deadline 0) or -ETIMEDOUT: no room; -EINVAL, -ENOMEM; -ESHUTDOWN, -ECANCELED or a task's error: the flow has
 * ended. Nothing was added then.
 */
WEIR_API int weir_flow_add(weir_flow *f, weir_node_fn *fn, void *arg, const weir_dep *deps, uint32_t n,
                           uint64_t deadline);
/* Waits for all tasks added so far; the flow may then be used again. Returns the first error of a task, -ECANCELED
 * (weir_flow_cancel), or 0. -EINVAL. */
WEIR_API int weir_flow_wait(weir_flow *f);
/* Skips what has not begun. From any thread. NULL: nothing. */
WEIR_API void weir_flow_cancel(weir_flow *f);
/* Waits, and gives everything back. The result of the wait. */
WEIR_API int weir_flow_destroy(weir_flow *f);

/* --- pipelines ------------------------------------------------------------------------------------------------ */

#define WEIR_STAGES_MAX 64u
#define WEIR_TOKENS_MAX (1u << 20)

/*
 * A stage's work on one item. The first stage finds *item NULL and makes one; it returns 1 instead of 0 when there is
 * no more (the item is then none). The others take *item and may put another in its place. A negative errno ends the
 * pipeline.
 */
typedef int weir_stage_fn(weir_worker *w, void **item, void *arg);

typedef enum weir_stage_kind {
    WEIR_STAGE_SERIAL = 0,  /* one item at a time, in the order in which the first stage made them */
    WEIR_STAGE_PARALLEL = 1 /* any number at once, in any order */
} weir_stage_kind;

typedef struct weir_stage {
    weir_stage_fn *fn;
    void *arg;
    weir_stage_kind kind; /* of the first stage: serial */
} weir_stage;

/*
 * Runs items through n stages (1 to WEIR_STAGES_MAX), at most `tokens` (1 to WEIR_TOKENS_MAX) in flight, and waits for
 * the end. On a worker it runs work of this pipeline meanwhile. *items (may be NULL): how many the first stage has
 * made. Returns 0; a stage's error; -ECANCELED (a discarding stop); -EINVAL, -ENOMEM, -ESHUTDOWN, -EOWNERDEAD, -EDEADLK
 * (called on a worker of another runtime).
 */
WEIR_API int weir_pipeline(weir_runtime *rt, const weir_stage *stages, uint32_t n, uint32_t tokens, uint64_t *items);

#ifdef __cplusplus
}
#endif

#endif
