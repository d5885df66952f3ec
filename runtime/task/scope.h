/* SPDX-License-Identifier: MIT
 *
 * scope.h - what the scheduler needs of scopes: completing members and closing the owner's account.
 *
 * The scope's `done` task owes one completion per member. Its owner starts with a credit of SCOPE_CREDIT and counts the
 * members that it spawns and completes itself in plain memory (s->local): on one worker a scope costs no atomic
 * operation per task. The owner's account is closed when it begins to wait: then all of it is in the atomic count.
 *
 * Threads: scope_member_done: the worker that ran a member. The others: the owner.
 * Invariants: owed == SCOPE_CREDIT + members of others, while open; == unfinished members, once closed. When it reaches 0
 * the scope may be gone.
 */
#ifndef WEIR_SCOPE_H
#define WEIR_SCOPE_H

#include "task/state.h"

#define SCOPE_CREDIT (UINT32_C(1) << 31)

/* What the completion of a task leads to. */
struct finish {
    weir_task *ready; /* a task that became ready, or NULL */
    uint32_t wake;    /* worker that waits for it, as its number + 1; 0: nobody */
};

static inline weir_scope *scope_of_done(weir_task *done)
{
    return CONTAINER_OF(done, weir_scope, done);
}

/* A member has run on worker w or was skipped; the scope may be gone on return. */
struct finish scope_member_done(weir_scope *s, const weir_worker *w) MUST_USE;
/* Closes the owner's account. True: nothing is left to wait for. */
bool scope_close(weir_scope *s) MUST_USE;
/* Whether all members have finished (after scope_close). */
bool scope_is_done(const weir_scope *s);
/* The scope's verdict for its waiter: the first error, -ECANCELED or 0. */
int scope_result(const weir_scope *s);

#endif
