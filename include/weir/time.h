/* SPDX-License-Identifier: MIT
 *
 * weir/time.h - timers: a task that runs later, without holding a worker or a thread meanwhile.
 *
 * A timer is a record of 48 bytes that the caller owns; any number may be pending, starting and cancelling one takes
 * the same time however many are. When a timer is due, one of the runtime's workers runs its task: the worker that
 * started it, if that is between two tasks, or any other that has nothing to do. Timers never fire early. On a runtime
 * that has a worker to spare they fire within a slot of the wheel (16 us) and the time that waking a worker takes;
 * while all workers are inside tasks, as soon as one of them is through. Timers that are due in the same slot fire in
 * no particular order.
 *
 * Pending timers are unfinished work of their runtime: WEIR_DRAIN waits until the last has fired, each at its time.
 * WEIR_DISCARD makes all of them due at once and drops their tasks as it drops any task that has not begun (weir_stop).
 * A sleeping runtime with pending timers uses no processor until the first is due.
 *
 * A worker that waits in a join or a scope fires no timers: another worker does, or a spare one, or the waiter when
 * nobody else is left (weir/io.h).
 *
 * Threads: functions that take a `weir_worker *` are called on that worker only. The others: any thread.
 * Source: hierarchical timing wheels, Varghese and Lauck (SOSP 1987).
 */
#ifndef WEIR_TIME_H
#define WEIR_TIME_H

#include <weir/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Neighbours in a slot of the wheel. */
struct weir_timer_link {
    struct weir_timer_link *next;
    struct weir_timer_link *prev;
};

/*
 * A timer. Prepared once (weir_timer_init), started as often as wanted. Owned by the caller; while it is pending it is
 * the runtime's and must stay where it is. It is the caller's again when its task begins to run, or when
 * weir_timer_cancel has returned 0: it may then be freed, or started anew, also from inside that task. All fields are
 * the runtime's.
 */
typedef struct weir_timer {
    struct weir_timer_link link;
    uint64_t due;            /* wheel ticks */
    weir_task *task;
    weir_atomic_ptr runtime; /* the weir_runtime that it was started on last */
    weir_atomic_u64 state;   /* never started, pending in a wheel, cancelled, fired */
} weir_timer;

/* Prepares a timer that is not pending. */
WEIR_INLINE void weir_timer_init(weir_timer *timer)
{
    timer->link.next = NULL;
    timer->link.prev = NULL;
    timer->due = 0;
    timer->task = NULL;
    timer->runtime.v = NULL;
    timer->state.v = 0;
}

/*
 * Starts a timer on the calling worker w. When it is due, `task` is released: a ready task is run, a continuation is
 * paid one of the completions that it owes (weir_continuation_init) and runs if that was the last. The task must stay
 * valid until then, must not be queued or started elsewhere, and may be part of a scope. Tasks that are released
 * together are spread over the workers.
 * weir_after: ns nanoseconds from now; 0 is due at once, as soon as a worker is between two tasks.
 * weir_at: at `deadline`, CLOCK_MONOTONIC ns (weir_now); one in the past is due at once.
 * Deadlines that don't fit (later than 2^64 - 1 ns) mean the last one that does.
 * 0; -EINVAL (NULL, or a task without `run`); -EBUSY: the timer is pending. Nothing changed on an error.
 */
WEIR_API int weir_after(weir_worker *w, uint64_t ns, weir_timer *timer, weir_task *task);
WEIR_API int weir_at(weir_worker *w, uint64_t deadline, weir_timer *timer, weir_task *task);
/*
 * The same on a runtime, from any thread, its workers included.
 * Also -ESHUTDOWN (the runtime is being stopped, or was), -EOWNERDEAD. On one of the runtime's own workers a runtime
 * that is being stopped accepts timers as weir_after does; not from a thread that runs a task as a guest
 * (WEIR_RUN_IN_CALLER), which gets -ESHUTDOWN from all four.
 */
WEIR_API int weir_runtime_after(weir_runtime *rt, uint64_t ns, weir_timer *timer, weir_task *task) WEIR_MUST_USE;
WEIR_API int weir_runtime_at(weir_runtime *rt, uint64_t deadline, weir_timer *timer, weir_task *task) WEIR_MUST_USE;

/*
 * Takes a pending timer back. Exact, against any number of threads that fire and cancel: 0 to one caller, and then the
 * task is not released, and timer and task are the caller's; or the timer fires. Any thread. Waits for a thread
 * that is just moving timers of the same wheel: a few microseconds.
 * -EALREADY: it has fired, or is about to: the task has run, runs or will (in a stop that discards: is dropped).
 * -ENOENT: never started, or cancelled before. -EINVAL: NULL. -EOWNERDEAD: started by this process's parent before a
 * fork.
 */
WEIR_API int weir_timer_cancel(weir_timer *timer);
/* Whether the timer is pending: a hint if other threads start, fire or cancel it at this moment. NULL: false. */
WEIR_API bool weir_timer_is_pending(const weir_timer *timer);

#ifdef __cplusplus
}
#endif

#endif
