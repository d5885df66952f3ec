/* SPDX-License-Identifier: MIT
 *
 * scope.c - grouping of tasks: membership, first error, cancel, and the end of a scope.
 *
 * Threads and invariants: see scope.h. The waiting itself is the scheduler's (par/wait.c).
 * Source: the split account follows the idea of biased reference counting (Choi, Shull, Torrellas, PACT 2018).
 */
#include "task/scope.h"

#include <errno.h>

#include "os/os.h"
#include "sync/deque.h"

void weir_scope_init(weir_worker *w, weir_scope *s)
{
    weir_continuation_init(&s->done, NULL, SCOPE_CREDIT);
    s->error.v = 0;
    s->cancelled.v = 0;
    s->base = w != NULL ? deque_position((struct deque *)w) : 0;
    s->owner = w;
    s->local = 0;
    s->closed = false;
}

static void enlist(weir_scope *s, weir_task *t)
{
    t->then = &s->done;
    /* relaxed: the task is not shared yet */
    atom_store(&t->state, atom_load(&t->state, memory_order_relaxed) | STATE_SCOPED, memory_order_relaxed);
}

void weir_scope_add(weir_scope *s, weir_task *t)
{
    enlist(s, t);
    state_owe(&s->done, 1); /* the owner's credit, or the member that calls, holds the scope open */
}

void weir_scope_remove(weir_scope *s, weir_task *t)
{
    t->then = NULL;
    /* relaxed: as in weir_scope_add() */
    atom_store(&t->state, atom_load(&t->state, memory_order_relaxed) & ~STATE_SCOPED, memory_order_relaxed);
    uint64_t old = state_pay(&s->done, 1);
    weir_assert(!state_was_last(old, 1)); /* the caller still holds the scope open */
    (void)old;
}

/* The last completion is paid. `old` tells who waits; the scope is still there only if it has a continuation. */
static struct finish scope_end(weir_scope *s, uint64_t old)
{
    struct finish f = {NULL, state_waiter(old)};
    if (old & STATE_THEN)
        f.ready = s->done.then; /* [TS2] acquired by state_pay() from weir_scope_then() */
    else if (old & STATE_SLEEPER)
        os_futex_wake(state_owed_word(&s->done), INT32_MAX); /* an address: nothing is read there */
    return f;
}

struct finish scope_member_paid(weir_scope *s)
{
    uint64_t old = state_pay(&s->done, 1);
    /* The scope may be gone here, unless this was not the last or a continuation holds it. */
    if (!state_was_last(old, 1))
        return (struct finish){NULL, 0};
    return scope_end(s, old);
}

bool scope_close(weir_scope *s)
{
    if (s->closed)
        return state_owed(&s->done) == 0; /* whether all members have finished */
    s->closed = true;
    uint32_t credit = (uint32_t)((int64_t)SCOPE_CREDIT - s->local);
    return state_was_last(state_pay(&s->done, credit), credit);
}

weir_task *weir_scope_then(weir_scope *s, weir_task *cont)
{
    /* relaxed: nobody else pays `cont`; the one completion it may owe is the scope's to pay, so it is settled here */
    atom_and(&cont->state, (UINT64_C(1) << STATE_OWED_SHIFT) - 1, memory_order_relaxed);
    s->done.then = cont;
    atom_or(&s->done.state, STATE_THEN, memory_order_relaxed); /* relaxed: released by the payment that follows [TS2] */
    return scope_close(s) ? cont : NULL;
}

void weir_scope_fail(weir_scope *s, int error)
{
    uint32_t none = 0;
    if (error >= 0)
        return;
    /* [SC1] release: what led to the error before it; pairs with weir_scope_error(). */
    atom_cas(&s->error, &none, (uint32_t)-error, memory_order_release, memory_order_relaxed);
    weir_scope_cancel(s);
}

void weir_scope_cancel(weir_scope *s)
{
    /* relaxed: a request; who must see results waits for the scope */
    atom_store(&s->cancelled, 1u, memory_order_relaxed);
}

bool weir_scope_cancelled(const weir_scope *s)
{
    return scope_is_cancelled(s);
}

int weir_scope_error(const weir_scope *s)
{
    /* [SC1] acquire: pairs with weir_scope_fail(). */
    return -(int)atom_load(&s->error, memory_order_acquire);
}

int scope_result(const weir_scope *s)
{
    int error = weir_scope_error(s);
    return error != 0 || !weir_scope_cancelled(s) ? error : -ECANCELED;
}

weir_scope *weir_scope_of(weir_task *t)
{
    /* relaxed: the caller runs the task, nobody writes the flag */
    return atom_load(&t->state, memory_order_relaxed) & STATE_SCOPED ? scope_of_done(t->then) : NULL;
}
