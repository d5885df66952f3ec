/* SPDX-License-Identifier: MIT
 *
 * idle.c - the sleepers' bitmap, the searchers' count and the tokens.
 *
 * Threads and invariants: see idle.h.
 */
#include "sched/idle.h"

#include "os/os.h"

#define TOKEN_SEARCH UINT32_C(1) /* claimed from `asleep`: counts as searching */
#define TOKEN_WAIT UINT32_C(2)   /* look at what you wait for */

void idle_init(struct idle *idle, struct parking **parking, uint32_t workers, uint32_t guests)
{
    /* relaxed: not shared yet */
    atom_store(&idle->sleepers, 0u, memory_order_relaxed);
    atom_store(&idle->waiters, 0u, memory_order_relaxed);
    atom_store(&idle->searching, 0u, memory_order_relaxed);
    for (unsigned i = 0; i < IDLE_WORDS; i++) {
        atom_store(&idle->asleep[i], UINT64_C(0), memory_order_relaxed);
        atom_store(&idle->waiting[i], UINT64_C(0), memory_order_relaxed);
    }
    idle->parking = parking;
    idle->workers = workers;
    idle->all = workers + guests;
}

static uint64_t bit_of(uint32_t id)
{
    return UINT64_C(1) << (id % 64);
}

/* Clears a worker's bit; true if this call cleared it. */
static bool claim(weir_atomic_u64 *map, uint32_t id)
{
    /* [PK1] acq_rel: one claimer per announcement; pairs with idle_announce(), idle_begin_wait() and itself. */
    return (atom_and(&map[id / 64], ~bit_of(id), memory_order_acq_rel) & bit_of(id)) != 0;
}

static void hand_token(struct idle *idle, uint32_t id, uint32_t token)
{
    struct parking *p = idle->parking[id];
    /* [PK2] release: what the waker did before; pairs with the acquire in take_token(). */
    if ((atom_or(&p->token, token, memory_order_release) & token) == 0)
        os_futex_wake(&p->token, 1);
}

static void take_token(struct idle *idle, uint32_t id, uint32_t token)
{
    struct parking *p = idle->parking[id];
    for (;;) {
        uint32_t now = atom_load(&p->token, memory_order_relaxed); /* relaxed: the AND below acquires */
        if (now & token) {
            atom_and(&p->token, ~token, memory_order_acquire); /* [PK2] acquire: pairs with hand_token() */
            return;
        }
        os_futex_wait(&p->token, now, OS_FOREVER);
    }
}

/* --- searching ------------------------------------------------------------------------------------------------ */

bool idle_begin_search(struct idle *idle)
{
    uint32_t most = idle->workers > 1 ? idle->workers / 2 : 1;
    /* relaxed: a limit, not a lock; one too many does no harm */
    if (atom_load(&idle->searching, memory_order_relaxed) >= most)
        return false;
    atom_add(&idle->searching, 1u, memory_order_relaxed); /* relaxed: its end is what others rely on */
    return true;
}

bool idle_end_search(struct idle *idle)
{
    if (atom_sub(&idle->searching, 1u, memory_order_relaxed) != 1) /* relaxed: ordered by the fence */
        return false;
    /* [PK3] forbids: the last searcher misses a sleeper or a task while the task's pusher still counts on the searcher;
     * pairs with the fences before idle_notify(). */
    atom_fence(memory_order_seq_cst);
    return atom_load(&idle->sleepers, memory_order_relaxed) != 0; /* relaxed: ordered by the fence */
}

void idle_abandon_search(struct idle *idle)
{
    atom_sub(&idle->searching, 1u, memory_order_relaxed); /* relaxed: nobody relies on it any more */
}

/* --- parking -------------------------------------------------------------------------------------------------- */

void idle_announce(struct idle *idle, uint32_t id, bool searching)
{
    /* [PK1] release: pairs with claim(). */
    atom_or(&idle->asleep[id / 64], bit_of(id), memory_order_release);
    atom_add(&idle->sleepers, 1u, memory_order_relaxed); /* relaxed: ordered by the fence below */
    if (searching)
        atom_sub(&idle->searching, 1u, memory_order_relaxed); /* relaxed: as above */
    /* [PK4] forbids: the parker misses a task in its last sweep while the task's pusher misses the sleeper; pairs with
     * the fences in weir_push_slow() and submit.c; the heavy fence of the parker covers pushes that go fast. */
    atom_fence(memory_order_seq_cst);
}

void idle_retract(struct idle *idle, uint32_t id)
{
    if (claim(idle->asleep, id)) {
        atom_add(&idle->searching, 1u, memory_order_relaxed); /* relaxed: as in idle_begin_search() */
        atom_sub(&idle->sleepers, 1u, memory_order_relaxed);
    } else {
        take_token(idle, id, TOKEN_SEARCH); /* a waker has claimed us: its token is on the way */
    }
}

void idle_sleep(struct idle *idle, uint32_t id)
{
    take_token(idle, id, TOKEN_SEARCH);
}

/* --- waking --------------------------------------------------------------------------------------------------- */

bool idle_has_sleepers(const struct idle *idle)
{
    return atom_load(&idle->sleepers, memory_order_relaxed) != 0; /* relaxed: the caller has fenced */
}

bool idle_has_waiters(const struct idle *idle)
{
    return atom_load(&idle->waiters, memory_order_relaxed) != 0; /* relaxed: the caller has fenced */
}

/* Wakes worker id if it sleeps and nobody else is at it. */
static bool wake(struct idle *idle, uint32_t id)
{
    if (!claim(idle->asleep, id))
        return false;
    atom_add(&idle->searching, 1u, memory_order_relaxed); /* relaxed: as in idle_begin_search() */
    atom_sub(&idle->sleepers, 1u, memory_order_relaxed);
    hand_token(idle, id, TOKEN_SEARCH);
    return true;
}

unsigned idle_wake(struct idle *idle, uint32_t id)
{
    return wake(idle, id) ? 1 : 0;
}

unsigned idle_wake_one(struct idle *idle)
{
    for (uint32_t i = 0; i < IDLE_WORDS && i * 64 < idle->workers; i++) {
        uint64_t map = atom_load(&idle->asleep[i], memory_order_relaxed); /* relaxed: claim() decides */
        while (map != 0) {
            if (wake(idle, i * 64 + (uint32_t)__builtin_ctzll(map)))
                return 1;
            map &= map - 1;
        }
    }
    return 0;
}

unsigned idle_notify(struct idle *idle)
{
    /* relaxed, both: the caller's fence orders them behind its push [PK3] [PK4] */
    if (atom_load(&idle->sleepers, memory_order_relaxed) == 0 ||
        atom_load(&idle->searching, memory_order_relaxed) != 0)
        return 0;
    return idle_wake_one(idle);
}

void idle_wake_all(struct idle *idle)
{
    for (uint32_t id = 0; id < idle->workers; id++)
        wake(idle, id);
}

/* --- waiting in a join or a scope ----------------------------------------------------------------------------- */

void idle_begin_wait(struct idle *idle, uint32_t id, void *key)
{
    atom_store(&idle->parking[id]->awaits, key, memory_order_relaxed); /* relaxed: released with the bit */
    /* [PK1] release: `awaits` before the bit; pairs with the acquire in idle_notify_waiter(). */
    atom_or(&idle->waiting[id / 64], bit_of(id), memory_order_release);
    atom_add(&idle->waiters, 1u, memory_order_relaxed); /* relaxed: ordered by the fence */
    atom_fence(memory_order_seq_cst);                   /* [PK4] as in idle_announce() */
}

void idle_end_wait(struct idle *idle, uint32_t id)
{
    if (claim(idle->waiting, id))
        atom_sub(&idle->waiters, 1u, memory_order_relaxed); /* relaxed: a count of hints */
}

void idle_wait(struct idle *idle, uint32_t id)
{
    take_token(idle, id, TOKEN_WAIT);
}

void idle_wake_waiter(struct idle *idle, uint32_t id)
{
    hand_token(idle, id, TOKEN_WAIT);
}

unsigned idle_notify_waiter(struct idle *idle, const void *serving)
{
    if (serving == NULL)
        return 0;
    for (uint32_t i = 0; i < IDLE_WORDS && i * 64 < idle->all; i++) {
        /* [PK1] acquire: `awaits`; pairs with idle_begin_wait(). */
        uint64_t map = atom_load(&idle->waiting[i], memory_order_acquire);
        for (; map != 0; map &= map - 1) {
            uint32_t id = i * 64 + (uint32_t)__builtin_ctzll(map);
            /* relaxed: got with the bit; a stale key costs the waiter one look */
            if (atom_load(&idle->parking[id]->awaits, memory_order_relaxed) == serving && claim(idle->waiting, id)) {
                atom_sub(&idle->waiters, 1u, memory_order_relaxed); /* relaxed: as in idle_end_wait() */
                hand_token(idle, id, TOKEN_WAIT);
                return 1;
            }
        }
    }
    return 0;
}
