/* SPDX-License-Identifier: MIT
 *
 * weir/task.h - the task record, continuations, pooled records, scopes and latches.
 *
 * Threads: functions that take a `weir_worker *` are called on that worker only, that is, from inside a task that the
 * worker is running. Functions without one may be called from any thread.
 * Source: continuation counting after Cilk's join counters (Blumofe et al., PPoPP 1995).
 */
#ifndef WEIR_TASK_H
#define WEIR_TASK_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_task weir_task;
typedef struct weir_worker weir_worker;
typedef struct weir_runtime weir_runtime;

/*
 * Does a task's work on worker `w`. Returns the task to run next on this worker, or NULL. The returned task runs as a
 * tail call: chains of any length need neither stack nor queue. It must be ready (it owes no completions) and must not
 * be queued elsewhere.
 */
typedef weir_task *weir_task_fn(weir_worker *w, weir_task *self);

/*
 * A task: intrusive and owned by the caller, 32 bytes. Embed it in your own record; it must stay valid until `run` is
 * called. The runtime reads `then` before it calls `run` and does not touch the record after that, so `run` may free
 * the record it is embedded in, or make it runnable again (with `then` NULL, or owed once more). (Pooled and forked
 * tasks are the runtime's to finish: see weir_task_new, weir_fork.)
 */
struct weir_task {
    weir_task_fn *run;     /* does the work */
    weir_task *then;       /* continuation: one of its owed completions is paid when this task has run; or NULL */
    weir_atomic_u64 state; /* packed, see runtime/task/state.h: owed completions, flags, worker */
    uint64_t stamp;        /* for the runtime: submit time, or a link while the record is queued or pooled */
};

#define WEIR_TASK_OWED_SHIFT 32 /* state: the upper half counts the completions still owed */

/* Prepares a task that is ready at once. Always succeeds; `run` must not be NULL. */
WEIR_INLINE void weir_task_init(weir_task *t, weir_task_fn *run)
{
    t->run = run;
    t->then = NULL;
    t->state.v = 0;
    t->stamp = 0;
}

/*
 * Prepares a continuation that becomes ready after `owed` completions (1 to 2^31 - 1). Point the `then` of that many
 * tasks at it (weir_task_then), or pay completions by hand with weir_release. It runs on the worker that pays the last.
 */
WEIR_INLINE void weir_continuation_init(weir_task *t, weir_task_fn *run, uint32_t owed)
{
    t->run = run;
    t->then = NULL;
    t->state.v = (uint64_t)owed << WEIR_TASK_OWED_SHIFT;
    t->stamp = 0;
}

/* Makes `cont` the continuation of `t`. Before `t` is spawned, submitted or returned, by the thread that owns `t`. */
WEIR_INLINE void weir_task_then(weir_task *t, weir_task *cont)
{
    t->then = cont;
}

/*
 * Adds `n` owed completions to a continuation that still owes at least one (so that it can't become ready meanwhile),
 * or to a task that only the caller knows yet: so a pooled task becomes a continuation.
 * A task that runs as one of the payers may thereby put children of its own in front of the same continuation.
 */
WEIR_API void weir_owe(weir_task *cont, uint32_t n);

/*
 * Pays one owed completion of `cont`. Returns `cont` when that was the last one: it is now ready and the caller's to
 * spawn, submit or return from `run`. Otherwise returns NULL and `cont` must not be touched any more.
 */
WEIR_API weir_task *weir_release(weir_task *cont) WEIR_MUST_USE;

/* The worker that runs the calling thread, or NULL when it is no worker. */
WEIR_API weir_worker *weir_self(void);
/* The runtime that a worker belongs to, and the worker's number in it: below max_workers + spare_workers of its config
 * (with spare_workers == 0 and fixed workers: 0 to workers - 1), or above for a thread that runs as a guest. */
WEIR_API weir_runtime *weir_worker_runtime(const weir_worker *w);
WEIR_API unsigned weir_worker_index(const weir_worker *w);

/*
 * Around a call that blocks (a lock, a file, a sleep) inside a task, on the calling worker w: what is on the worker's
 * deque is offered to the others, and while other work is there, or comes, another worker takes the processor. At most
 * spare_workers are replaced at a time: beyond that, begin succeeds without effect. Between the two, nothing else of
 * this worker may be called. A task that returns without weir_block_end is ended for (one that its own join calls:
 * when the task that joins it returns). Costs an atomic operation each where no worker is missing.
 * begin: 0, -EINVAL (w NULL or not the calling worker), -EALREADY (begun before). end: 0, -EINVAL (also: not begun).
 */
WEIR_API int weir_block_begin(weir_worker *w);
WEIR_API int weir_block_end(weir_worker *w);

/* --- pooled records ------------------------------------------------------------------------------------------- */

#define WEIR_PAYLOAD_MAX 4032u /* bytes of payload that a pooled task may carry */

/*
 * A task from the worker's pool with `size` bytes (0 to WEIR_PAYLOAD_MAX) of payload behind it, aligned to 16, contents
 * undefined. The record goes back to the pool by itself after its run; one that is never run is given back with
 * weir_task_free. w: the calling worker, or NULL on a thread that is no worker: 64 such threads have pools of their
 * own, until they end; those of further ones come from the C library. A pool keeps up to 1 MiB of records.
 * What other threads have freed comes back to it when its worker runs dry; outside, little by little as its thread
 * makes records, and all at once by weir_memory_trim.
 * Errors: -EINVAL (out, run NULL; size too large), -ENOMEM; *out is then unchanged.
 */
WEIR_API int weir_task_new(weir_worker *w, weir_task_fn *run, size_t size, weir_task **out) WEIR_MUST_USE;
/* Gives back a pooled task that was never made runnable. From any thread, but not while the runtime of the worker that
 * made it is being stopped. NULL is ignored. */
WEIR_API void weir_task_free(weir_task *t);
/* The payload of a pooled task. */
WEIR_INLINE void *weir_task_payload(weir_task *t)
{
    return t + 1;
}

/* --- scopes --------------------------------------------------------------------------------------------------- */

/*
 * A scope groups tasks: spawn many (weir_scope_spawn, in fork.h), wait for all, the first error wins, cancel skips what
 * has not begun. Owned by the caller; it must stay valid until weir_scope_wait has returned (or until its continuation
 * runs), no longer.
 */
typedef struct weir_scope {
    /* who completes a member that it stole writes `done`; all read */
    weir_task done;            /* owes one completion per task of the scope (see runtime/task/scope.h) */
    weir_atomic_u32 error;     /* first error, as a positive errno; 0: none */
    weir_atomic_u32 cancelled; /* 1: tasks that have not begun are skipped */
    weir_worker *owner;        /* worker that initialised the scope, NULL for another thread; constant */
    char pad[64];              /* bytes: so that the two halves share no cache line, wherever the scope lies */
    /* owner only, at each spawn: on the thieves' line every stolen member would cost it a transfer (bench `flat`) */
    uint64_t base;             /* logical bottom of its deque when the scope began */
    int64_t local;             /* members spawned minus members completed by the owner itself */
    bool closed;               /* its account is closed, all members are counted in `done` */
} weir_scope;

/*
 * Begins a scope. w: the calling worker, or NULL on a thread that is no worker. A scope begun on a worker is waited for
 * on the same worker, in the same task.
 */
WEIR_API void weir_scope_init(weir_worker *w, weir_scope *s);
/*
 * Makes `t` part of the scope without making it runnable: the caller spawns, submits or returns it. This is how a
 * thread that is no worker adds tasks (with weir_submit). Undo a failed submit with weir_scope_remove.
 */
WEIR_API void weir_scope_add(weir_scope *s, weir_task *t);
WEIR_API void weir_scope_remove(weir_scope *s, weir_task *t);
/*
 * Waits until every task of the scope has run or was skipped. A worker meanwhile runs work of this scope and nothing
 * else; another thread sleeps. Returns the scope's first error (negative errno), -ECANCELED when it was cancelled
 * without an error, or 0; -EINVAL for NULL or when called on a worker other than the owner (nothing waited for).
 * The scope may be freed on return, or begun again with weir_scope_init.
 */
WEIR_API int weir_scope_wait(weir_worker *w, weir_scope *s);
/*
 * Instead of waiting: runs `cont` (ready or owing exactly one completion) after the last task of the scope. The owner's
 * hand is taken off the scope; the scope must live until `cont` runs. Returns a task that the caller must return from
 * `run` or spawn, or NULL.
 */
WEIR_API weir_task *weir_scope_then(weir_scope *s, weir_task *cont) WEIR_MUST_USE;
/* Records an error (a negative errno; the first one is kept) and cancels the scope. From any thread. */
WEIR_API void weir_scope_fail(weir_scope *s, int error);
/* Skips all tasks of the scope that have not begun. From any thread. */
WEIR_API void weir_scope_cancel(weir_scope *s);
/* Whether the scope was cancelled: a long task of it asks now and then. From any thread. */
WEIR_API bool weir_scope_cancelled(const weir_scope *s);
/* The scope's first error so far (negative errno), or 0. From any thread. */
WEIR_API int weir_scope_error(const weir_scope *s);
/* The scope that a running task is part of, or NULL. */
WEIR_API weir_scope *weir_scope_of(weir_task *t);

/* --- latches -------------------------------------------------------------------------------------------------- */

/* Lets threads that are no workers wait for `count` arrivals. Owned by the caller. */
typedef struct weir_latch {
    weir_atomic_u32 state; /* arrivals owed in the low 31 bits; top bit: somebody sleeps on the word */
} weir_latch;

#define WEIR_LATCH_MAX 0x7fffffffu

/* Prepares a latch that opens after `count` arrivals. -EINVAL: NULL, or count above WEIR_LATCH_MAX. */
WEIR_API int weir_latch_init(weir_latch *l, uint32_t count);
/*
 * One arrival, or `n` at once. From any thread. The waiter may free the latch the moment the last arrival is made.
 * -EINVAL: NULL, n == 0, or more arrivals than are owed (nothing changed).
 */
WEIR_API int weir_latch_arrive(weir_latch *l, uint32_t n);
/*
 * Waits until the latch is open. deadline: absolute CLOCK_MONOTONIC time in ns, or WEIR_FOREVER.
 * -EINVAL: NULL. -ETIMEDOUT: the deadline passed. -EDEADLK: called on a worker, which waits with joins and scopes.
 */
WEIR_API int weir_latch_wait(weir_latch *l, uint64_t deadline);
/* Whether the latch is open. */
WEIR_API bool weir_latch_is_open(const weir_latch *l);

#define WEIR_FOREVER UINT64_MAX

#ifdef __cplusplus
}
#endif

#endif
