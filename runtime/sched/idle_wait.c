/* SPDX-License-Identifier: MIT
 *
 * idle_wait.c - who sleeps in a join or a scope, and who is told to look again.
 *
 * Threads and invariants: see idle.h.
 */
#include <errno.h>

#include "sched/idle.h"
#include "sched/idle_token.h"

void idle_begin_wait(struct idle *idle, uint32_t id, void *key)
{
    /* relaxed, all: ordered by the fence. Who sees the bit but not yet `awaits` has fenced before us: our look sees
     * what he has pushed. */
    atom_store(&idle->parking[id]->awaits, key, memory_order_relaxed);
    atom_or(&idle->waiting[id / 64], bit_of(id), memory_order_relaxed);
    atom_add(&idle->waiters, 1u, memory_order_relaxed);
    /* [PK4] as in idle_announce(). [EL9] release: the wait, before the worker is counted as blocked; pairs with
     * desert(). */
    atom_fence(memory_order_seq_cst);
}

void idle_end_wait(struct idle *idle, uint32_t id)
{
    if (claim(idle->waiting, id))
        atom_sub(&idle->waiters, 1u, memory_order_relaxed); /* relaxed: a count of hints */
}

void idle_wait(struct idle *idle, uint32_t id)
{
    (void)take_token(idle, id, TOKEN_WAIT);
}

bool idle_wait_until(struct idle *idle, uint32_t id, uint64_t deadline)
{
    struct parking *p = idle->parking[id];
    for (;;) {
        uint32_t now = atom_load(&p->token, memory_order_relaxed); /* relaxed: take_token() acquires */
        if (now & TOKEN_WAIT)
            break;
        if (os_futex_wait(&p->token, now, deadline) == -ETIMEDOUT)
            return false;
    }
    (void)take_token(idle, id, TOKEN_WAIT);
    return true;
}

void idle_wake_waiter(struct idle *idle, uint32_t id)
{
    (void)hand_token(idle, id, TOKEN_WAIT); /* who waits has a thread */
}

bool idle_is_told(const struct idle *idle, uint32_t id)
{
    /* relaxed: as in idle_wait() */
    return (atom_load(&idle->parking[id]->token, memory_order_relaxed) & TOKEN_WAIT) != 0;
}

void idle_wake_any_waiter(struct idle *idle)
{
    for (uint32_t i = 0; i < IDLE_WORDS && i * 64 < idle->workers; i++) {
        /* relaxed: the caller has fenced */
        uint64_t map = atom_load(&idle->waiting[i], memory_order_relaxed);
        if (map != 0) {
            (void)hand_token(idle, i * 64 + (uint32_t)__builtin_ctzll(map), TOKEN_WAIT);
            return;
        }
    }
}

unsigned idle_notify_waiter(struct idle *idle, const void *serving)
{
    if (serving == NULL)
        return 0;
    for (uint32_t i = 0; i < IDLE_WORDS && i * 64 < idle->all; i++) {
        uint64_t map = atom_load(&idle->waiting[i], memory_order_relaxed); /* relaxed: the caller has fenced */
        for (; map != 0; map &= map - 1) {
            uint32_t id = i * 64 + (uint32_t)__builtin_ctzll(map);
            /* relaxed: see idle_begin_wait(); a stale key costs the waiter one look */
            if (atom_load(&idle->parking[id]->awaits, memory_order_relaxed) == serving && claim(idle->waiting, id)) {
                atom_sub(&idle->waiters, 1u, memory_order_relaxed); /* relaxed: as in idle_end_wait() */
                (void)hand_token(idle, id, TOKEN_WAIT);
                return 1;
            }
        }
    }
    return 0;
}
