/* SPDX-License-Identifier: MIT
 *
 * pipeline.h - running items through stages: for the public entry point, and for the model checker's clients.
 *
 * Threads: see pipeline.c.
 */
#ifndef WEIR_PIPELINE_H
#define WEIR_PIPELINE_H

#include <weir/flow.h>

#include "sched/worker.h"

#define GATE_TURN ((void *)(uintptr_t)1) /* in a gate: the turn is there, the item is not */

/* A place in the order of a serial stage: whoever comes second, the item or its turn, goes on with the item. */
static inline bool gate_item_comes(weir_atomic_ptr *gate, void *token)
{
    void *there = NULL;
    /* [PI1] release: the item before its token. On failure acquire: what the stage did with the items before. Pairs
     * with the other. */
    if (atom_cas(gate, &there, token, memory_order_release, memory_order_acquire))
        return false;
    atom_store(gate, NULL, memory_order_relaxed); /* relaxed: both have come; the next pair is ordered by [PI2] */
    return true;
}

/* The same for the turn. Returns the item that is there, or NULL. */
static inline void *gate_turn_comes(weir_atomic_ptr *gate)
{
    void *there = NULL;
    /* [PI1] release: what the stage did. On failure acquire: the item. Pairs with the other. */
    if (atom_cas(gate, &there, GATE_TURN, memory_order_release, memory_order_acquire))
        return NULL;
    atom_store(gate, NULL, memory_order_relaxed); /* relaxed: as above */
    return there;
}

/* The next place in the order of the first stage, for a token that is through all stages. */
static inline uint64_t gate_next_number(weir_atomic_u64 *numbers)
{
    /* [PI2] acq_rel: whoever drew an earlier number has left the gates that this one will use; pairs with itself. */
    return atom_add(numbers, UINT64_C(1), memory_order_acq_rel);
}

/* weir_pipeline() with checked arguments; w: the calling worker of rt, or NULL. */
int pipeline_run(struct runtime *rt, struct worker *w, const weir_stage *stages, uint32_t n, uint32_t tokens,
                 uint64_t *items) MUST_USE;

#endif
