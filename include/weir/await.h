/* SPDX-License-Identifier: MIT
 *
 * weir/await.h - waiting for the first of several things, or for one thing until a deadline, without holding a
 * worker.
 *
 * For all of several things no more is needed than a continuation that owes as many completions
 * (weir_continuation_init): make it what each of them releases. Here are the other two. Both keep to one rule: what
 * was begun comes to an end. The first thing to end decides, the caller then cancels what is left, and `then` is
 * released when all have ended: so the record that holds everything may be freed by `then`, whatever came first.
 *
 * Threads: branches may end on any workers at once. Functions that take a `weir_worker *` are called on that worker.
 * Source: choice and wrapping in Concurrent ML (Reppy, PLDI 1991), with records of the caller's.
 */
#ifndef WEIR_AWAIT_H
#define WEIR_AWAIT_H

#include <weir/time.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_any weir_any;

/*
 * Called once, on the worker on which the first branch ends, with that branch's number; `then` can't run before it
 * has returned. The place to cancel the others: one whose cancel is exact, so that it won't end any more
 * (weir_timer_cancel returned 0), is taken out by weir_any_withdraw; one that ends with -ECANCELED (weir_io_cancel)
 * ends by itself.
 */
typedef void weir_any_fn(weir_worker *w, weir_any *any, unsigned first);

/* One of several things that are awaited. Owned by the caller until `then` is released; private. */
typedef struct weir_branch {
    weir_task task; /* see weir_any_task */
    weir_any *any;
} weir_branch;

/* Several things that are awaited. Owned by the caller until `then` is released; private. */
struct weir_any {
    weir_task *then;
    weir_any_fn *decide;
    weir_branch *branches;
    uint32_t count;
    weir_atomic_u32 first; /* number + 1 of the branch that ended first; 0: none has */
    weir_atomic_u32 open;  /* branches that have not ended, and 1 until weir_any_begun */
};

#define WEIR_ANY_NONE (~0u) /* no branch has ended, or all were withdrawn */

/*
 * Prepares to wait for `count` things, from 1 on, with as many records in `branches`. decide: may be NULL. then: a
 * ready task, which the last end makes runnable, or a continuation, of which it pays one completion. Every branch
 * must then end, or be withdrawn, exactly once; and after all have been started comes weir_any_begun, until which
 * `then` is held back. 0, -EINVAL.
 */
WEIR_API int weir_any_init(weir_any *any, weir_branch *branches, unsigned count, weir_any_fn *decide, weir_task *then);
/*
 * What branch i ends by: the task to give to a timer, to an operation on a descriptor or to whatever else runs a
 * ready task once. Owe it completions (weir_owe) to make the branch wait for all of several. NULL: there is no such
 * branch.
 */
WEIR_API weir_task *weir_any_task(weir_any *any, unsigned i);
/*
 * Said once, by who has started the branches: all are started, or withdrawn. Returns the task to run next (spawn it,
 * submit it or return it from a task) if all are over and `then` is ready by it, else NULL: then `any` must not be
 * touched any more.
 */
WEIR_API weir_task *weir_any_begun(weir_any *any) WEIR_MUST_USE;
/*
 * Takes a branch out: its task will not run, because what it was to wait for did not start, or was cancelled exactly.
 * Any thread; each branch once. Returns what weir_any_begun returns; NULL inside `decide`, and before it.
 */
WEIR_API weir_task *weir_any_withdraw(weir_any *any, unsigned i) WEIR_MUST_USE;
/*
 * Which branch ended first, or WEIR_ANY_NONE. Final in `decide` and in `then`. Branches may end while others are
 * still being started: who starts one looks here afterwards (before weir_any_begun), and if one has ended, cancels
 * what it has just started, as `decide` does. So nothing is missed between the two; an exact cancel succeeds for one
 * of them.
 */
WEIR_API unsigned weir_any_first(const weir_any *any);

typedef struct weir_until weir_until;

/* Called on some worker when the deadline comes first: the place to cancel what is awaited, which still must end. */
typedef void weir_late_fn(weir_worker *w, weir_until *until);

/* One thing that is awaited until a deadline. Owned by the caller until `then` is released; private. */
struct weir_until {
    weir_any any;
    weir_branch branches[2];
    weir_timer timer;
    weir_late_fn *late;
};

/*
 * Begins to wait for one thing, at most until `deadline` (CLOCK_MONOTONIC, ns; one in the past is late at once). Then
 * give weir_until_task(until) to that thing, look whether it is late already, which `late` may have been too early to
 * act on, and say weir_until_begun. If the thing does not start, say weir_until_withdraw before that. late: may be
 * NULL. `then` is released when the thing has ended, late or not; weir_until_is_late tells. Operations on descriptors
 * have deadlines of their own (weir_io).
 * 0; -EINVAL; else as weir_at. Nothing has begun on an error.
 */
WEIR_API int weir_until_init(weir_worker *w, weir_until *until, uint64_t deadline, weir_late_fn *late, weir_task *then);
/* As weir_any_task. NULL for NULL. */
WEIR_API weir_task *weir_until_task(weir_until *until);
/* As weir_any_begun. NULL for NULL. */
WEIR_API weir_task *weir_until_begun(weir_until *until) WEIR_MUST_USE;
/* The thing did not start, or was cancelled exactly: it is taken out, with the deadline. As weir_any_withdraw. */
WEIR_API weir_task *weir_until_withdraw(weir_until *until) WEIR_MUST_USE;
/* Whether the deadline came first. Final in `then`. */
WEIR_API bool weir_until_is_late(const weir_until *until);

#ifdef __cplusplus
}
#endif

#endif
