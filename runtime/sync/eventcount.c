/* SPDX-License-Identifier: MIT
 *
 * eventcount.c - sleeping and waking behind eventcount.h.
 *
 * Threads, Invariants, Source: see eventcount.h.
 *
 * Why no wake-up is lost: by [EC1] either the notifier sees the waiter, or the waiter's second check sees the
 * condition. In the first case the epoch moves on. If the waiter's key is from before that, the futex refuses to sleep
 * or is woken; if it is from after, [EC2] shows the condition to the waiter's second check.
 */
#include "sync/eventcount.h"

#include <errno.h>

#include "os/os.h"

/* --- waiters -------------------------------------------------------------------------------------------------- */

uint32_t eventcount_prepare(struct eventcount *ec)
{
    atom_add(&ec->waiters, 1, memory_order_relaxed); /* relaxed: ordered by the fence */
    /* [EC1] seq_cst: add waiters, load condition | store condition, load waiters; pairs with eventcount_notify(). */
    atom_fence(memory_order_seq_cst);
    /* [EC2] acquire: the key before the second check of the condition; pairs with eventcount_notify_slow(). */
    return atom_load(&ec->epoch, memory_order_acquire);
}

void eventcount_cancel(struct eventcount *ec)
{
    atom_sub(&ec->waiters, 1, memory_order_relaxed); /* relaxed: a notifier that still sees us wakes nobody, no more */
}

int eventcount_wait(struct eventcount *ec, uint32_t key, uint64_t deadline)
{
    int result = os_futex_wait(&ec->epoch, key, deadline);
    /*
     * [EC2] acquire: what was done before the notification is visible to the waiter, which is told so with 0 even if
     * the deadline has passed as well; pairs with eventcount_notify_slow().
     */
    if (atom_load(&ec->epoch, memory_order_acquire) != key)
        result = 0;
    eventcount_cancel(ec);
    return result;
}

/* --- notifiers ------------------------------------------------------------------------------------------------ */

void eventcount_notify_slow(struct eventcount *ec, int n)
{
    /* [EC2] relaxed: the fence in eventcount_notify() releases the condition with this epoch; pairs with
     * eventcount_prepare() and eventcount_wait(). */
    atom_add(&ec->epoch, 1, memory_order_relaxed);
    os_futex_wake(&ec->epoch, n);
}
