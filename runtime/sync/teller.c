/* SPDX-License-Identifier: MIT
 *
 * teller.c - how changes of a level reach the listener.
 *
 * Threads and invariants: see teller.h.
 *
 * Why the last change is told: who makes it passes the fence below, then finds the level told, or the teller busy, or
 * free. If it is busy, the holder lets go later, passes the same fence, and looks at the level again: by [TL1] one of
 * the two sees the other. The same holds for `told`: a value read behind the fence is older than the last one only if
 * its writer has yet to pass the fence and look. Looking must not change anything: a change after the fence would need
 * another.
 */
#include "sync/teller.h"

bool teller_hold(struct teller *t)
{
    /* [TL2] acquire: the listener, and what the last holder did; pairs with teller_release(). */
    return atom_xchg(&t->busy, 1u, memory_order_acquire) == 0;
}

void teller_release(struct teller *t)
{
    atom_store(&t->busy, 0u, memory_order_release); /* [TL2] release: pairs with teller_hold() */
}

/* The holder's. */
static void tell(struct teller *t, teller_level_fn *get, const void *of)
{
    uint32_t told = atom_load(&t->told, memory_order_relaxed); /* relaxed: written by holders only */
    uint32_t level = get(of, told);
    if (level == told)
        return;
    atom_store(&t->told, level, memory_order_relaxed); /* relaxed: read behind [TL1] */
    if (t->fn == NULL)
        return;
    atom_count(&t->calls, 1);
    t->fn(t->arg, (int)level);
}

void teller_tell(struct teller *t, teller_level_fn *level, const void *of)
{
    for (;;) {
        /* [TL1] forbids: who changed the level finds the teller busy (or an older level told) while the holder, having
         * let go, misses the change. Both sides pass here. */
        atom_fence(memory_order_seq_cst);
        uint32_t told = atom_load(&t->told, memory_order_relaxed); /* relaxed: ordered by the fence */
        if (level(of, told) == told || !teller_hold(t))
            return;
        tell(t, level, of);
        teller_release(t);
    }
}

void teller_listen(struct teller *t, weir_level_fn *fn, void *arg)
{
    t->fn = fn;
    t->arg = arg;
    atom_store(&t->told, 0u, memory_order_relaxed); /* relaxed: read behind [TL1] */
}
