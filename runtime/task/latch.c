/* SPDX-License-Identifier: MIT
 *
 * latch.c - a count that threads outside the runtime wait for.
 *
 * Threads: any; waiting is for threads that are no workers (weir_latch_wait() in api/ refuses those).
 * Invariants: L1 the word changes only towards open. L2 an arrival that opens the latch touches its memory in one
 * instruction, the CAS; the wake after it uses the address as a key only, because the waiter may have freed it.
 */
#include "task/latch.h"

#include <errno.h>

#include "base/compiler.h"
#include "os/os.h"

/* 31: somebody sleeps on the word | 30..0: arrivals owed */
#define LATCH_SLEEPER (UINT32_C(1) << 31)

int weir_latch_init(weir_latch *l, uint32_t count)
{
    if (l == NULL || count > WEIR_LATCH_MAX)
        return -EINVAL;
    l->state.v = count;
    return 0;
}

int weir_latch_arrive(weir_latch *l, uint32_t n)
{
    if (l == NULL || n == 0)
        return -EINVAL;
    uint32_t old = atom_load(&l->state, memory_order_relaxed); /* relaxed: the CAS decides */
    uint32_t now;
    do {
        if ((old & ~LATCH_SLEEPER) < n)
            return -EINVAL;
        now = (old & ~LATCH_SLEEPER) == n ? 0 : old - n;
        /* [LA1] release: work before the arrival is seen by the waiter, that of earlier arrivals as well: each CAS
         * continues their release sequences; pairs with weir_latch_is_open() and latch_wait(). */
    } while (!atom_cas_weak(&l->state, &old, now, memory_order_release, memory_order_relaxed));
    if (now == 0 && (old & LATCH_SLEEPER) != 0)
        os_futex_wake(&l->state, INT32_MAX); /* the latch may be gone: L2 */
    return 0;
}

bool weir_latch_is_open(const weir_latch *l)
{
    /* [LA1] acquire: pairs with weir_latch_arrive(). */
    return (atom_load(&l->state, memory_order_acquire) & ~LATCH_SLEEPER) == 0;
}

int latch_wait(weir_latch *l, uint64_t deadline)
{
    for (;;) {
        uint32_t state = atom_load(&l->state, memory_order_acquire); /* [LA1] */
        if ((state & ~LATCH_SLEEPER) == 0)
            return 0;
        /* relaxed: the flag carries nothing; futex and CAS agree on the word's value */
        if ((state & LATCH_SLEEPER) == 0 && !atom_cas_weak(&l->state, &state, state | LATCH_SLEEPER,
                                                           memory_order_relaxed, memory_order_relaxed))
            continue;
        if (os_futex_wait(&l->state, state | LATCH_SLEEPER, deadline) == -ETIMEDOUT)
            return weir_latch_is_open(l) ? 0 : -ETIMEDOUT;
    }
}
