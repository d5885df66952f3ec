/* SPDX-License-Identifier: MIT
 *
 * task.h - running one task and paying what it owes to others.
 *
 * Threads: task_finish: the worker that ran the task.
 * Invariants: what is needed after the run (struct task_debt) is read before it, because `run` may free the record.
 */
#ifndef WEIR_TASK_INTERNAL_H
#define WEIR_TASK_INTERNAL_H

#include "task/scope.h"
#include "task/state.h"

/* What a task leaves to be done when it has run; read before the run. */
struct task_debt {
    uint64_t flags; /* its state word */
    weir_task *then;
};

static inline struct task_debt task_debt_of(const weir_task *t)
{
    struct task_debt debt;
    debt.flags = atom_load(&t->state, memory_order_relaxed); /* relaxed: got with the task itself */
    debt.then = NULL;
    if (debt.flags & STATE_FORKED)
        debt.flags = STATE_FORKED; /* the rest may be a slot's address, and its `then` was never set */
    else
        debt.then = t->then;
    return debt;
}

/* Whether the task is a member of a cancelled scope: then it is finished without being run. */
static inline bool task_is_cancelled(const struct task_debt *debt)
{
    return (debt->flags & STATE_SCOPED) != 0 && scope_is_cancelled(scope_of_done(debt->then));
}

/* Pays the debt of a task that has run or was skipped. Forked tasks: `t` may be gone on return. */
static inline MUST_USE struct finish task_finish(weir_task *t, const struct task_debt *debt, const weir_worker *w)
{
    struct finish f = {NULL, 0};
    if (debt->flags & STATE_FORKED) {
        uint64_t old = state_finish_forked(t);
        f.wake = old & STATE_WAITS ? state_waiter(old) : 0;
    } else if (debt->flags & STATE_SCOPED) {
        f = scope_member_done(scope_of_done(debt->then), w);
    } else if (debt->then != NULL && state_was_last(state_pay(debt->then, 1), 1)) {
        f.ready = debt->then;
    }
    return f;
}

#endif
