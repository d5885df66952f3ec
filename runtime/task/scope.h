/* SPDX-License-Identifier: MIT
 *
 * scope.h - what the scheduler needs of scopes: completing members and closing the owner's account.
 *
 * The scope's `done` task owes one completion per member. Its owner starts with a credit of SCOPE_CREDIT and counts the
 * members that it spawns and completes itself in plain memory (s->local): on one worker a scope costs no atomic
 * operation per task. The owner's account is closed when it begins to wait: then all of it is in the atomic count.
 *
 * Threads: scope_member_done: the worker that ran a member. The others: the owner.
 * Invariants: owed == SCOPE_CREDIT + members of others, while open; == unfinished members, once closed. When it reaches
 * 0 the scope may be gone.
 */
#ifndef WEIR_SCOPE_H
#define WEIR_SCOPE_H

#include "task/state.h"

#define SCOPE_CREDIT (UINT32_C(1) << 31)

static_assert(offsetof(weir_scope, base) - offsetof(weir_scope, owner) >= CACHE_LINE + sizeof(weir_worker *),
              "what thieves touch and what the owner writes at each spawn share no line");

/* What the completion of a task leads to. */
struct finish {
    weir_task *ready; /* a task that became ready, or NULL */
    uint32_t wake;    /* worker that waits for it, as its number + 1; 0: nobody */
};

static inline weir_scope *scope_of_done(weir_task *done)
{
    return CONTAINER_OF(done, weir_scope, done);
}

static inline bool scope_is_cancelled(const weir_scope *s)
{
    return atom_load(&s->cancelled, memory_order_relaxed) != 0; /* relaxed: a request, see weir_scope_cancel() */
}

/* Pays a member's completion in the atomic count. */
struct finish scope_member_paid(weir_scope *s) MUST_USE;

/* A member has run on worker w or was skipped; the scope may be gone on return. */
static inline MUST_USE struct finish scope_member_done(weir_scope *s, const weir_worker *w)
{
    if (s->owner == w && !s->closed) { /* `closed` is the owner's: read by it alone */
        s->local--;
        return (struct finish){NULL, 0};
    }
    return scope_member_paid(s);
}

/* Closes the owner's account. True: nothing is left to wait for. */
bool scope_close(weir_scope *s) MUST_USE;
/* The scope's verdict for its waiter: the first error, -ECANCELED or 0. */
int scope_result(const weir_scope *s);

#endif
