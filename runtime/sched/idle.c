/* SPDX-License-Identifier: MIT
 *
 * idle.c - the sleepers' bitmap and the searchers' count; waits in a join or a scope are in idle_wait.c.
 *
 * Threads and invariants: see idle.h.
 */
#include "sched/idle.h"

#include <errno.h>

#include "os/poller.h"
#include "sched/idle_token.h"

void idle_init(struct idle *idle, struct parking **parking, uint32_t workers, uint32_t guests)
{
    /* relaxed: not shared yet */
    atom_store(&idle->sleepers, UINT64_C(0), memory_order_relaxed);
    atom_store(&idle->waiters, 0u, memory_order_relaxed);
    atom_store(&idle->searching, 0u, memory_order_relaxed);
    atom_store(&idle->handed, 0u, memory_order_relaxed);
    for (unsigned i = 0; i < IDLE_WORDS; i++) {
        atom_store(&idle->asleep[i], UINT64_C(0), memory_order_relaxed);
        atom_store(&idle->waiting[i], UINT64_C(0), memory_order_relaxed);
    }
    atom_store(&idle->keeper, IDLE_NO_KEEPER, memory_order_relaxed);
    idle->parking = parking;
    idle->workers = workers;
    idle->all = workers + guests;
    idle->searchers = workers > 1 ? workers / 2 : 1;
    idle->bring = NULL;
    idle->ring = NULL;
}

/* --- searching ------------------------------------------------------------------------------------------------ */

bool idle_begin_search(struct idle *idle)
{
    /* relaxed: a limit, not a lock; one too many does no harm */
    if (atom_load(&idle->searching, memory_order_relaxed) >= idle->searchers)
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
    return idle_announced(atom_load(&idle->sleepers, memory_order_relaxed)) != 0; /* relaxed: ordered by the fence */
}

void idle_search_again(struct idle *idle)
{
    atom_add(&idle->searching, 1u, memory_order_relaxed); /* relaxed: as in idle_begin_search() */
}

void idle_abandon_search(struct idle *idle)
{
    atom_sub(&idle->searching, 1u, memory_order_relaxed); /* relaxed: nobody relies on it any more */
}

/* --- parking -------------------------------------------------------------------------------------------------- */

uint64_t idle_announce(struct idle *idle, uint32_t id, bool searching)
{
    /* The count, then the bit: who claims the bit counts it out, and there are never fewer counted than asleep.
     * [EL2] release: the seat's place on duty before the sleeper; pairs with all_asleep(). */
    uint64_t before = atom_add(&idle->sleepers, UINT64_C(1), memory_order_release);
    /* [PK5] release: the count before the bit; pairs with claim().
     * [EL8] release: a seat that has no thread, as its last owner left it; pairs with claim(), and is used by bring().
     * [EL6] release: that the worker is not settled; pairs with claim(). The rest is ordered by the fence below. */
    atom_or(&idle->asleep[id / 64], bit_of(id), memory_order_release);
    if (searching)
        atom_sub(&idle->searching, 1u, memory_order_relaxed); /* relaxed: as above */
    /* [EL7] the announcement, then the look at who is on duty; pairs with check_rest_behind() in elastic.c.
     * [TM2] [TM4] the same, then the look at timers; pairs with tell() and timers_hand_on() in timers.c, and
     * end_if_dry().
     * [PK4] forbids: the parker misses a task in its last sweep while the task's pusher misses the sleeper; pairs with
     * the fences in weir_push_slow() and submit.c; the heavy fence of the parker, or of one before it in the same era,
     * covers pushes that go fast. */
    atom_fence(memory_order_seq_cst);
    return before;
}

void idle_set_fenced(struct idle *idle, uint64_t sleepers)
{
    uint64_t now = atom_load(&idle->sleepers, memory_order_relaxed); /* relaxed: the CAS decides */
    while (now / IDLE_ERA == sleepers / IDLE_ERA && !idle_is_fenced(now))
        /* relaxed, both: what was pushed before the heavy fence the caller sees, takes, or passes on as any searcher;
         * what comes later is pushed slowly */
        if (atom_cas_weak(&idle->sleepers, &now, now | IDLE_FENCED, memory_order_relaxed, memory_order_relaxed))
            return;
}

/* An announcement was taken back or claimed. */
static void count_out(struct idle *idle)
{
    uint64_t next, now = atom_load(&idle->sleepers, memory_order_relaxed); /* relaxed: the CAS decides */
    do
        next = idle_announced(now) == 1 ? (now / IDLE_ERA + 1) * IDLE_ERA : now - 1;
    /* relaxed, both: who relied on the sleeper finds one fewer to wake */
    while (!atom_cas_weak(&idle->sleepers, &now, next, memory_order_relaxed, memory_order_relaxed));
}

bool idle_try_retract(struct idle *idle, uint32_t id)
{
    if (!claim(idle->asleep, id))
        return false;
    atom_add(&idle->searching, 1u, memory_order_relaxed); /* relaxed: as in idle_begin_search() */
    count_out(idle);
    return true;
}

void idle_retract(struct idle *idle, uint32_t id)
{
    /* If not, a waker has claimed us: its token is on the way. */
    if (!idle_try_retract(idle, id) && take_token(idle, id, TOKENS_OF_WAKER) == TOKEN_HANDED)
        idle_search_again(idle);
}

void idle_sleep(struct idle *idle, uint32_t id)
{
    (void)take_token(idle, id, TOKEN_SEARCH);
}

/* --- waking --------------------------------------------------------------------------------------------------- */

bool idle_has_sleepers(const struct idle *idle)
{
    return idle_announced(atom_load(&idle->sleepers, memory_order_relaxed)) != 0; /* relaxed: the caller has fenced */
}

bool idle_has_waiters(const struct idle *idle)
{
    return atom_load(&idle->waiters, memory_order_relaxed) != 0; /* relaxed: the caller has fenced */
}

bool idle_all_busy(const struct idle *idle)
{
    /* relaxed, both: the caller has fenced */
    return idle_announced(atom_load(&idle->sleepers, memory_order_relaxed)) == 0 &&
           atom_load(&idle->searching, memory_order_relaxed) == 0;
}

enum wake_result { WAKE_SENT, WAKE_NOT_ASLEEP, WAKE_FAILED };

/* Wakes worker id if it sleeps and nobody else is at it. WAKE_FAILED: the seat was absent and stays so; it is no longer
 * announced, and the caller is behind a fence in the place of the searcher that it was to become. */
static enum wake_result wake(struct idle *idle, uint32_t id)
{
    if (!claim(idle->asleep, id))
        return WAKE_NOT_ASLEEP;
    atom_add(&idle->searching, 1u, memory_order_relaxed); /* relaxed: as in idle_begin_search() */
    count_out(idle);
    if (LIKELY(hand_token(idle, id, TOKEN_SEARCH)))
        return WAKE_SENT;
    bool last = idle_end_search(idle);
    (void)last; /* the caller looks at the sleepers in any case */
    return WAKE_FAILED;
}

/* Tries the sleepers of one word of the map; the keeper last: another one would have to be woken to take its place. */
static enum wake_result wake_one_of(struct idle *idle, uint32_t word)
{
    uint64_t map = atom_load(&idle->asleep[word], memory_order_relaxed); /* relaxed: claim() decides */
    uint32_t keeper = idle_keeper_id(idle_keeper(idle));
    uint64_t last = keeper / 64 == word ? map & bit_of(keeper) : 0;
    enum wake_result r = WAKE_NOT_ASLEEP;
    for (map &= ~last; r == WAKE_NOT_ASLEEP && map != 0; map &= map - 1)
        r = wake(idle, word * 64 + (uint32_t)__builtin_ctzll(map));
    return r == WAKE_NOT_ASLEEP && last != 0 ? wake(idle, keeper) : r;
}

unsigned idle_wake(struct idle *idle, uint32_t id)
{
    return wake(idle, id) == WAKE_SENT ? 1 : 0;
}

void idle_wake_handed(struct idle *idle, uint32_t id)
{
    atom_store(&idle->handed, id, memory_order_relaxed); /* relaxed: a hint */
    (void)hand_token(idle, id, TOKEN_HANDED);
}

unsigned idle_wake_one(struct idle *idle)
{
    for (uint32_t i = 0; i < IDLE_WORDS && i * 64 < idle->workers; i++) {
        enum wake_result r = wake_one_of(idle, i);
        if (r == WAKE_SENT)
            return 1;
        if (r == WAKE_FAILED)
            i = UINT32_MAX; /* anew: who came meanwhile may have relied on that searcher (P3); one seat fewer is left */
    }
    return 0;
}

unsigned idle_notify(struct idle *idle)
{
    /* relaxed, both: the caller's fence orders them behind its push [PK3] [PK4] */
    if (idle_announced(atom_load(&idle->sleepers, memory_order_relaxed)) == 0 ||
        atom_load(&idle->searching, memory_order_relaxed) != 0)
        return 0;
    return idle_wake_one(idle);
}

void idle_wake_all(struct idle *idle)
{
    for (uint32_t id = 0; id < idle->workers; id++)
        (void)wake(idle, id);
}

/* --- seats whose workers come and go -------------------------------------------------------------------------- */

/* The token word was `now` when the sleeper took all but a rouse from it. */
static enum idle_slept slept(uint32_t now)
{
    if (now & TOKENS_OF_WAKER)
        return now & TOKEN_SEARCH ? SLEPT_WOKEN : SLEPT_HANDED;
    return SLEPT_NUDGED;
}

enum idle_slept idle_sleep_until(struct idle *idle, uint32_t id, uint64_t deadline)
{
    struct parking *p = idle->parking[id];
    for (;;) {
        uint32_t now = atom_load(&p->token, memory_order_relaxed); /* relaxed: the ANDs below acquire */
        if (now & (TOKENS_OF_WAKER | TOKEN_NUDGE))
            /* [PK2] acquire: pairs with hand_token(). What it takes counts: a token may have come since the load. */
            return slept(atom_and(&p->token, ~(TOKENS_OF_SLEEP | MARK_UNTIMED), memory_order_acquire));
        if (UNLIKELY(p->stands_in) && (now & TOKEN_WAIT) != 0)
            return SLEPT_OVER; /* the token is taken by who waits */
        if (now & TOKEN_ROUSE) {
            atom_and(&p->token, ~TOKEN_ROUSE, memory_order_acquire); /* [TM6] acquire: pairs with idle_rouse() */
            return SLEPT_ROUSED;
        }
        if (os_futex_wait(&p->token, now, deadline) == -ETIMEDOUT)
            return SLEPT_TIMEOUT;
    }
}

enum idle_slept idle_sleep_polling(struct idle *idle, uint32_t id, struct poller *poller, uint64_t deadline)
{
    weir_atomic_u32 *token = &idle->parking[id]->token;
    uint32_t ends = idle->parking[id]->stands_in ? TOKENS_OF_SLEEP | TOKEN_WAIT : TOKENS_OF_SLEEP;
    /* relaxed: the mark and a token meet on one word, and one of the two sees the other */
    uint32_t now = atom_or(token, MARK_POLLING, memory_order_relaxed);
    bool news = (now & ends) == 0 && poller_wait(poller, deadline);
    /* [PK2] [TM6] acquire: pairs with hand_token() and idle_rouse(). */
    now = atom_and(token, ~(TOKENS_OF_SLEEP | MARK_UNTIMED | MARK_POLLING), memory_order_acquire);
    if (now & (TOKENS_OF_WAKER | TOKEN_NUDGE))
        return slept(now);
    if (now & ends & TOKEN_WAIT)
        return SLEPT_OVER;
    if (now & TOKEN_ROUSE)
        return SLEPT_ROUSED;
    return news ? SLEPT_NEWS : SLEPT_TIMEOUT;
}

uint32_t idle_any_sleeper(const struct idle *idle, uint32_t but)
{
    uint32_t absent = IDLE_NOBODY;
    for (uint32_t i = 0; i < IDLE_WORDS && i * 64 < idle->workers; i++) {
        uint64_t map = atom_load(&idle->asleep[i], memory_order_relaxed); /* relaxed: the caller has fenced */
        for (; map != 0; map &= map - 1) {
            uint32_t id = i * 64 + (uint32_t)__builtin_ctzll(map);
            if (id == but)
                continue;
            if (!idle_is_absent(idle, id))
                return id;
            absent = id;
        }
    }
    return absent;
}

bool idle_begin_untimed(struct idle *idle, uint32_t id)
{
    /* relaxed: the mark and the nudge meet on one word, and one of the two sees the other */
    return (atom_or(&idle->parking[id]->token, MARK_UNTIMED, memory_order_relaxed) & TOKEN_NUDGE) == 0;
}

void idle_nudge(struct idle *idle, uint32_t id)
{
    struct parking *p = idle->parking[id];
    /* relaxed: as in idle_begin_untimed(); what the sleeper then reads are words that it changes by RMWs */
    uint32_t old = atom_or(&p->token, TOKEN_NUDGE, memory_order_relaxed);
    if (old & (MARK_UNTIMED | MARK_POLLING))
        wake_thread(idle, p, old);
}

bool idle_withdraw(struct idle *idle, uint32_t id)
{
    if (!claim(idle->asleep, id))
        return false;
    count_out(idle);
    return true;
}

uint32_t idle_withdraw_any(struct idle *idle, uint32_t from)
{
    for (uint32_t i = (idle->workers + 63) / 64; i-- > from / 64;) {
        uint64_t map = atom_load(&idle->asleep[i], memory_order_relaxed); /* relaxed: claim() decides */
        if (i == from / 64)
            map &= ~(bit_of(from) - 1);
        while (map != 0) {
            uint32_t id = i * 64 + 63 - (uint32_t)__builtin_clzll(map);
            if (idle_withdraw(idle, id))
                return id;
            map &= ~bit_of(id);
        }
    }
    return IDLE_NOBODY;
}

bool idle_wake_seat(struct idle *idle, uint32_t id)
{
    atom_add(&idle->searching, 1u, memory_order_relaxed); /* relaxed: as in idle_begin_search() */
    if (LIKELY(hand_token(idle, id, TOKEN_SEARCH)))
        return true;
    if (idle_end_search(idle))
        (void)idle_wake_one(idle); /* P3 */
    return false;
}

void idle_clear_search(struct idle *idle, uint32_t id)
{
    atom_and(&idle->parking[id]->token, ~TOKEN_SEARCH, memory_order_relaxed); /* relaxed: the seat is the caller's */
}

void idle_set_settled(struct idle *idle, uint32_t id, bool settled)
{
    weir_atomic_u32 *token = &idle->parking[id]->token;
    /* relaxed, both: who asks has claimed an announcement that came after [EL6]; too old an answer costs a wake-up */
    if (settled)
        atom_or(token, MARK_SETTLED, memory_order_relaxed);
    else
        atom_and(token, ~MARK_SETTLED, memory_order_relaxed);
}

bool idle_is_settled(const struct idle *idle, uint32_t id)
{
    /* relaxed: as above */
    return (atom_load(&idle->parking[id]->token, memory_order_relaxed) & (MARK_SETTLED | MARK_ABSENT)) != 0;
}

void idle_set_absent(struct idle *idle, uint32_t id, bool absent)
{
    weir_atomic_u32 *token = &idle->parking[id]->token;
    /* relaxed, both: the seat is the caller's, who passes it on with a release */
    if (absent)
        atom_or(token, MARK_ABSENT, memory_order_relaxed);
    else
        atom_and(token, ~MARK_ABSENT, memory_order_relaxed);
}

bool idle_is_absent(const struct idle *idle, uint32_t id)
{
    return (atom_load(&idle->parking[id]->token, memory_order_relaxed) & MARK_ABSENT) != 0; /* relaxed: as above */
}

/* --- the keeper ----------------------------------------------------------------------------------------------- */

uint64_t idle_keeper(const struct idle *idle)
{
    return atom_load(&idle->keeper, memory_order_relaxed); /* relaxed: who relies on it has fenced [TM2] */
}

bool idle_keep(struct idle *idle, uint32_t id, uint64_t until)
{
    uint64_t mine = (until & ~IDLE_KEEPER_ID) | (id + 1);
    uint64_t now = idle_keeper(idle);
    while (now == IDLE_NO_KEEPER || idle_keeper_id(now) == id)
        /* relaxed, both: the caller fences on both sides [TM2] */
        if (atom_cas_weak(&idle->keeper, &now, mine, memory_order_relaxed, memory_order_relaxed))
            return true;
    return false;
}

void idle_resign(struct idle *idle, uint32_t id)
{
    uint64_t now = idle_keeper(idle);
    while (now != IDLE_NO_KEEPER && idle_keeper_id(now) == id)
        /* relaxed, both: the caller fences before it looks whether somebody must take its place [TM2] */
        if (atom_cas_weak(&idle->keeper, &now, IDLE_NO_KEEPER, memory_order_relaxed, memory_order_relaxed))
            return;
}

void idle_rouse(struct idle *idle, uint32_t id)
{
    struct parking *p = idle->parking[id];
    /* [TM6] release: what the sleeper is to look at; pairs with idle_sleep_until(). */
    uint32_t old = atom_or(&p->token, TOKEN_ROUSE, memory_order_release);
    if ((old & TOKEN_ROUSE) == 0)
        wake_thread(idle, p, old);
}

uint32_t idle_count_bits(const struct idle *idle)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < IDLE_WORDS && i * 64 < idle->workers; i++)
        n += (uint32_t)__builtin_popcountll(idle_asleep(idle, i));
    return n;
}

bool idle_is_announced(const struct idle *idle, uint32_t id)
{
    /* relaxed: the worker's own announcement; a claim by somebody is seen behind a fence [TM5], or by its token */
    return (atom_load(&idle->asleep[id / 64], memory_order_relaxed) & bit_of(id)) != 0;
}
