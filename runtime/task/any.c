/* SPDX-License-Identifier: MIT
 *
 * any.c - the first of several: which branch ended first, and when all have.
 *
 * Threads: each branch ends on a thread of its own.
 * Invariants: A1 `first` changes once. A2 a branch is open until its part in `decide` is over, and so is the record
 * until weir_any_begun(); who counts the last one out alone goes on to `then`, and nobody touches the record after
 * counting itself out.
 */
#include <weir/await.h>

#include <errno.h>

#include "base/compiler.h"
#include "task/state.h"

/* A branch is over. What is to run next, if it was the last. */
static weir_task *count_out(weir_any *any)
{
    weir_task *then = any->then;
    /* [AW1] release: what this branch did; acquire: what all others did, for `then` and for who frees the record: the
     * subtractions pair with each other. */
    if (atom_sub(&any->open, 1u, memory_order_acq_rel) != 1)
        return NULL;
    return state_owed(then) == 0 ? then : weir_release(then);
}

static weir_task *end_branch(weir_worker *w, weir_task *self)
{
    weir_branch *b = CONTAINER_OF(self, weir_branch, task);
    weir_any *any = b->any;
    uint32_t number = (uint32_t)(b - any->branches) + 1, none = 0;
    /* relaxed, both: one wins, which the word alone decides; what the branches did is ordered by `open` */
    if (atom_cas(&any->first, &none, number, memory_order_relaxed, memory_order_relaxed) && any->decide != NULL) {
        /* [AW2] forbids: `decide` misses a branch that is just being started, while its starter misses that one has
         * ended; pairs with weir_any_first(). */
        atom_fence(memory_order_seq_cst);
        any->decide(w, any, number - 1);
    }
    return count_out(any);
}

int weir_any_init(weir_any *any, weir_branch *branches, unsigned count, weir_any_fn *decide, weir_task *then)
{
    if (any == NULL || branches == NULL || count == 0 || then == NULL)
        return -EINVAL;
    any->then = then;
    any->decide = decide;
    any->branches = branches;
    any->count = count;
    /* relaxed, both: not shared yet */
    atom_store(&any->first, 0u, memory_order_relaxed);
    atom_store(&any->open, count + 1, memory_order_relaxed);
    for (unsigned i = 0; i < count; i++) {
        weir_task_init(&branches[i].task, end_branch);
        branches[i].any = any;
    }
    return 0;
}

weir_task *weir_any_task(weir_any *any, unsigned i)
{
    return any != NULL && i < any->count ? &any->branches[i].task : NULL;
}

weir_task *weir_any_begun(weir_any *any)
{
    return any != NULL ? count_out(any) : NULL;
}

weir_task *weir_any_withdraw(weir_any *any, unsigned i)
{
    return any != NULL && i < any->count ? count_out(any) : NULL;
}

unsigned weir_any_first(const weir_any *any)
{
    /* [AW2] what the caller has started, then the look; pairs with end_branch(). */
    atom_fence(memory_order_seq_cst);
    /* relaxed: ordered by the fence; `decide` runs on who set it, `then` comes after all branches [AW1] */
    uint32_t first = any != NULL ? atom_load(&any->first, memory_order_relaxed) : 0;
    return first != 0 ? first - 1 : WEIR_ANY_NONE;
}
