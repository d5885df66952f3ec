/* SPDX-License-Identifier: MIT
 *
 * idle_token.h - the token word of a parking place: what a waker leaves there, and what the sleeper marks there.
 *
 * What idle.c and idle_wait.c share; nobody else includes it.
 *
 * Threads: any thread hands a token; the place's own worker takes it and sets the marks, but for MARK_ABSENT, which is
 * set by who owns the seat. Invariants: see idle.h. Tokens of the waker are handed by who has cleared the worker's bit
 * in `asleep` (P1), and the thread that is woken finds them in the word: a wake-up without a token is spurious.
 */
#ifndef WEIR_IDLE_TOKEN_H
#define WEIR_IDLE_TOKEN_H

#include "os/os.h"
#include "sched/idle.h"

#define TOKEN_SEARCH UINT32_C(1)   /* claimed from `asleep`: counts as searching */
#define TOKEN_WAIT UINT32_C(2)     /* look at what you wait for */
#define TOKEN_NUDGE UINT32_C(4)    /* reckon the deadline of your sleep anew */
#define MARK_UNTIMED UINT32_C(8)   /* the sleeper has no deadline: a nudge must wake it */
#define MARK_ABSENT UINT32_C(16)   /* the seat has no thread */
#define MARK_SETTLED UINT32_C(32)  /* the worker's last look is over: it sleeps to a token, a nudge or its deadline */
#define TOKEN_ROUSE UINT32_C(64)   /* look whether you are the keeper, and until when */
#define MARK_POLLING UINT32_C(128) /* the sleeper is in the poller: it must be rung */
#define TOKEN_HANDED UINT32_C(256) /* claimed from `asleep`: a task is in your hand */
#define TOKENS_OF_WAKER (TOKEN_SEARCH | TOKEN_HANDED)
#define TOKENS_OF_SLEEP (TOKENS_OF_WAKER | TOKEN_NUDGE | TOKEN_ROUSE)

/* Clears a worker's bit; true if this call cleared it. */
static inline bool claim(weir_atomic_u64 *map, uint32_t id)
{
    /* One claimer per announcement, which the word alone decides; what the claimer did goes with the token [PK2].
     * [PK5] [EL6] [EL8] acquire: what was before the announcement; pairs with idle_announce(). */
    return (atom_and(&map[id / 64], ~bit_of(id), memory_order_acquire) & bit_of(id)) != 0;
}

/* The token word was `old` before a token was added. */
static inline void wake_thread(struct idle *idle, struct parking *p, uint32_t old)
{
    if (UNLIKELY(old & MARK_POLLING))
        idle->ring(idle);
    else
        os_futex_wake(&p->token, 1);
}

/* False: the seat has no thread, and none could be started. */
static inline bool hand_token(struct idle *idle, uint32_t id, uint32_t token)
{
    struct parking *p = idle->parking[id];
    /* [PK2] release: what the waker did before; pairs with the acquire in take_token(). */
    uint32_t old = atom_or(&p->token, token, memory_order_release);
    if (UNLIKELY(old & MARK_ABSENT))
        return idle->bring(idle, id);
    if ((old & token) == 0)
        wake_thread(idle, p, old);
    return true;
}

/* Sleeps until there is one of `tokens`, and takes it. Returns which. */
static inline uint32_t take_token(struct idle *idle, uint32_t id, uint32_t tokens)
{
    struct parking *p = idle->parking[id];
    for (;;) {
        uint32_t now = atom_load(&p->token, memory_order_relaxed); /* relaxed: the AND below acquires */
        if (now & tokens) /* [PK2] acquire: pairs with hand_token() */
            return atom_and(&p->token, ~tokens, memory_order_acquire) & tokens;
        os_futex_wait(&p->token, now, OS_FOREVER);
    }
}

#endif
