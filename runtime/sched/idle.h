/* SPDX-License-Identifier: MIT
 *
 * idle.h - who sleeps, who searches, and who must be woken.
 *
 * A worker that runs out of work searches for a while and then parks. Parking is a promise by the parker: it announces
 * itself, poisons every deque, passes a heavy fence, looks everywhere once more, and only then sleeps. So a pusher
 * needs to look at the sleepers only when its limit is poisoned, and an outside submitter after an ordinary full fence.
 *
 * Threads: every function that takes a worker's number is called by that worker, except the wakes: any thread.
 * Invariants:
 *  P1  A set bit in `asleep` means: announced, not yet claimed. Whoever clears it owns the wake-up: the worker itself
 *      (idle_retract) or a waker, which then counts it as searching and hands it TOKEN_SEARCH; or one that has a task
 *      for it, fills its hand (handoff.h) and hands it TOKEN_HANDED: nobody counts on that one to look for more.
 *  P2  While somebody sleeps and nobody searches, every running worker's limit is poisoned, or the worker is on its way
 *      through weir_push_slow(), where it looks at the sleepers after a fence.
 *  P3  The last searcher to leave with work looks at all queues after a fence and wakes one more if anything is there.
 * A sleeper need not have a thread: a seat may be announced by another worker, which makes the parker's promise in its
 * place (elastic.c). Who claims its bit starts the thread; if that fails, the claimer leaves the search in its place
 * (P3).
 *
 * Source: the searching count follows Go's scheduler (spinning Ms) and tokio's; docs/memory-model.md has the proof.
 */
#ifndef WEIR_IDLE_H
#define WEIR_IDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "base/compiler.h"

#define IDLE_WORKERS_MAX 1088u /* WEIR_WORKERS_MAX workers and 64 guests */
#define IDLE_WORDS (IDLE_WORKERS_MAX / 64u)
#define IDLE_NOBODY UINT32_MAX

struct poller;

/* Where one worker sleeps. */
struct parking {
    /* a waker writes, and the worker reads it first */
    weir_atomic_u32 token;   /* TOKEN_*: wakers set, the worker clears; the futex word */
    weir_atomic_ptr hand;    /* a task given to the worker: see handoff.h */
    bool stands_in;          /* worker's: it waits, and is announced as well: who ends its wait wakes it (search.c) */
    /* the worker writes while it runs: what all tasks in its deque descend from, or NULL (see wait.c) */
    weir_atomic_ptr serving ALIGNED(CACHE_LINE);
    weir_atomic_ptr awaits;  /* worker writes: what it waits for while its bit in `waiting` is set */
} ALIGNED(CACHE_LINE);

struct idle {
    /* read by every slow push; a wake-up of one of the first 256 workers touches this line and no other of these */
    weir_atomic_u64 sleepers ALIGNED(CACHE_LINE); /* announced workers, and what they have promised: see below */
    weir_atomic_u32 waiters;   /* workers asleep in a join or a scope */
    weir_atomic_u32 searching; /* workers looking for work */
    weir_atomic_u32 handed;    /* the worker that was woken last with a task in its hand: a hint */
    weir_atomic_u64 keeper;    /* the sleeper that wakes up by itself for timers: see below */
    weir_atomic_u64 asleep[IDLE_WORDS];
    weir_atomic_u64 waiting[IDLE_WORDS];
    /* constant */
    struct parking **parking;  /* of each seat and guest */
    uint32_t workers;          /* seats of workers, which search and sleep (elastic.h) */
    uint32_t all;              /* guests included: they wait in joins and scopes */
    uint32_t searchers;        /* at most so many search */
    /* Starts the thread of an absent seat that was claimed; false: it can't. NULL where no seat is ever absent. */
    bool (*bring)(struct idle *idle, uint32_t id);
    /* Wakes who sleeps in the poller (io.h). NULL where nobody ever does. */
    void (*ring)(struct idle *idle);
};

/*
 * The sleepers' word.
 *
 *  63    17   16      15        0
 * | era   | fenced | announced   |
 *
 * era     ends, and the next one begins, when nobody is announced any more
 * fenced  somebody who was announced in this era has since then poisoned every limit and passed the heavy fence. As
 *         long as somebody is announced a worker that clears its limit poisons it again at once, so who announces
 *         itself later in the era need do neither.
 */
#define IDLE_FENCED (UINT64_C(1) << 16)
#define IDLE_ERA (UINT64_C(1) << 17)
static_assert(IDLE_WORKERS_MAX < IDLE_FENCED, "all workers can be announced");

static inline uint32_t idle_announced(uint64_t sleepers)
{
    return (uint32_t)(sleepers & (IDLE_FENCED - 1));
}

static inline bool idle_is_fenced(uint64_t sleepers)
{
    return (sleepers & IDLE_FENCED) != 0;
}

/*
 * The keeper's word (timers.h). Who wakes somebody leaves the keeper for last.
 *
 *  63                     12 11          0
 * | until when it sleeps    | worker + 1  |    ns without its low 12 bits; IDLE_NO_KEEPER: there is none
 */
#define IDLE_NO_KEEPER UINT64_C(0)
#define IDLE_KEEPER_ID UINT64_C(0xfff)
static_assert(IDLE_WORKERS_MAX < IDLE_KEEPER_ID, "a worker's number fits");

static inline uint32_t idle_keeper_id(uint64_t keeper)
{
    return (uint32_t)(keeper & IDLE_KEEPER_ID) - 1;
}

static inline uint64_t idle_keeper_until(uint64_t keeper)
{
    return keeper & ~IDLE_KEEPER_ID;
}

/* The bit of worker `id` in word id / 64 of a bitmap. */
static inline uint64_t bit_of(uint32_t id)
{
    return UINT64_C(1) << (id % 64);
}

void idle_init(struct idle *idle, struct parking **parking, uint32_t workers, uint32_t guests);

/* Begins to search; false: enough others do (`searchers`), park instead. */
bool idle_begin_search(struct idle *idle) MUST_USE;
/* Leaves the search with work. True: nobody searches any more while others sleep; the caller looks around (P3). */
bool idle_end_search(struct idle *idle) MUST_USE;
/* Begins to search, whoever else does: who was woken for a task that another has taken. */
void idle_search_again(struct idle *idle);
/* Leaves the search for good, at the end of the runtime: no duty to pass on. */
void idle_abandon_search(struct idle *idle);

/* Announces that worker `id` is about to sleep and ends its search, if it did search. A full fence. Returns the
 * sleepers' word: unless that is fenced, the caller poisons all limits, passes the heavy fence, and says so. */
uint64_t idle_announce(struct idle *idle, uint32_t id, bool searching);
/* It has done so. */
void idle_set_fenced(struct idle *idle, uint64_t sleepers);
/* Takes the announcement back; the worker searches again. */
void idle_retract(struct idle *idle, uint32_t id);
/* Sleeps until woken; on return the worker counts as searching. */
void idle_sleep(struct idle *idle, uint32_t id);

/* Whether somebody sleeps; after a fence that orders it behind the caller's push. */
bool idle_has_sleepers(const struct idle *idle);
bool idle_has_waiters(const struct idle *idle);
/* Whether somebody is awake and looks for work: a hint. */
static inline bool idle_has_searchers(const struct idle *idle)
{
    return atom_load(&idle->searching, memory_order_relaxed) != 0; /* relaxed: a hint */
}
static inline uint32_t idle_searching(const struct idle *idle)
{
    return atom_load(&idle->searching, memory_order_relaxed); /* relaxed: a hint */
}
/* Whether nobody sleeps and nobody searches: what comes now has to wait for a worker. After a fence, as above. */
bool idle_all_busy(const struct idle *idle);
/* Wakes one sleeper unless somebody searches. After a full fence that follows the push. Returns wakes sent (0, 1). */
unsigned idle_notify(struct idle *idle);
/* Wakes worker `id` if it sleeps. After a full fence. Returns wakes sent (0, 1). */
unsigned idle_wake(struct idle *idle, uint32_t id);
/* Wakes sleeper `id`, which the caller has claimed by idle_withdraw(), for the task in its hand (handoff.h). It has a
 * thread, and does not count as searching. */
void idle_wake_handed(struct idle *idle, uint32_t id);
/* Wakes one sleeper. Returns wakes sent (0, 1). */
unsigned idle_wake_one(struct idle *idle);
/* Wakes everybody who sleeps now: shutdown. */
void idle_wake_all(struct idle *idle);

/* Worker `id` is about to sleep in a wait for `key`. A full fence. */
void idle_begin_wait(struct idle *idle, uint32_t id, void *key);
void idle_end_wait(struct idle *idle, uint32_t id);
/* Sleeps until somebody calls idle_wake_waiter() for this worker, or returns at once if somebody did since the last. */
void idle_wait(struct idle *idle, uint32_t id);
/* The same until a deadline; false: it has passed, and nobody did. */
bool idle_wait_until(struct idle *idle, uint32_t id, uint64_t deadline) MUST_USE;
/* Wakes worker `id` in its wait: what it waits for is done, or there is work that it may run. */
void idle_wake_waiter(struct idle *idle, uint32_t id);
/* Makes one waiter look again, whatever it waits for. After a fence. */
void idle_wake_any_waiter(struct idle *idle);
/* Whether worker `id` was told to look at what it waits for. Called by the worker. */
bool idle_is_told(const struct idle *idle, uint32_t id);
/* Wakes one waiter that may run tasks descending from `serving`. Returns wakes sent. After a full fence. */
unsigned idle_notify_waiter(struct idle *idle, const void *serving);

/* --- seats whose workers come and go (elastic.c) --- */

enum idle_slept { SLEPT_WOKEN, SLEPT_HANDED, SLEPT_NUDGED, SLEPT_ROUSED, SLEPT_TIMEOUT, SLEPT_NEWS, SLEPT_OVER };

/* Like idle_sleep() until a deadline. SLEPT_WOKEN: counts as searching; SLEPT_HANDED: does not. SLEPT_OVER: who stands
 * in shall look at what it waits for. Otherwise the announcement, if any, stands. */
enum idle_slept idle_sleep_until(struct idle *idle, uint32_t id, uint64_t deadline) MUST_USE;
/* The same in a poller: SLEPT_NEWS: it has something. SLEPT_TIMEOUT may come early. */
enum idle_slept idle_sleep_polling(struct idle *idle, uint32_t id, struct poller *p, uint64_t deadline) MUST_USE;
/* Some sleeper other than `but` (IDLE_NOBODY: any), one that has a thread if there is such, or IDLE_NOBODY: a hint. */
uint32_t idle_any_sleeper(const struct idle *idle, uint32_t but);
/* From now on sleeper `id` has no deadline and must be nudged. False: it was nudged just now. */
bool idle_begin_untimed(struct idle *idle, uint32_t id) MUST_USE;
/* Makes sleeper `id` reckon its deadline anew, if it has none. */
void idle_nudge(struct idle *idle, uint32_t id);
/* Takes the announcement of `id` back for good, without searching. False: somebody else has claimed it. */
bool idle_withdraw(struct idle *idle, uint32_t id) MUST_USE;
/* The same for any sleeper whose number is at least `from`; its number, or IDLE_NOBODY. */
uint32_t idle_withdraw_any(struct idle *idle, uint32_t from) MUST_USE;
/* Wakes `id`, which is not announced and is the caller's, as a waker does. False: it is absent and can't be brought. */
bool idle_wake_seat(struct idle *idle, uint32_t id);
/* Takes back the wake-up of an absent seat that could not be brought. The caller is its waker. */
void idle_clear_search(struct idle *idle, uint32_t id);
/* Sleeper `id` has had its last look and sleeps on, or has left its sleep. Called by the worker. */
void idle_set_settled(struct idle *idle, uint32_t id, bool settled);
/* Whether a withdrawn sleeper sleeps for good: one that is still looking may have found a task and must be woken. */
bool idle_is_settled(const struct idle *idle, uint32_t id);

/* --- the keeper (timers.c) --- */

/* Its word, or IDLE_NO_KEEPER. */
uint64_t idle_keeper(const struct idle *idle);
/* Worker `id` becomes the keeper, or changes its deadline. False: somebody else is. Behind a fence, and before one. */
bool idle_keep(struct idle *idle, uint32_t id, uint64_t until) MUST_USE;
/* `id` is not the keeper any more. */
void idle_resign(struct idle *idle, uint32_t id);
/* Makes sleeper `id` look again whether it is the keeper, and until when (SLEPT_ROUSED). After a full fence. */
void idle_rouse(struct idle *idle, uint32_t id);
/* Whether `id` is announced, and nobody has claimed it. */
bool idle_is_announced(const struct idle *idle, uint32_t id);
/* Word `i` of the bitmap of announced workers: a hint. */
static inline uint64_t idle_asleep(const struct idle *idle, uint32_t i)
{
    return atom_load(&idle->asleep[i], memory_order_relaxed); /* relaxed: a claim decides */
}
/* How many bits of the bitmap are set: announced, and not claimed. After a fence. */
uint32_t idle_count_bits(const struct idle *idle);
/* Worker `id` takes its announcement back and searches, as idle_retract(). False: somebody has claimed it. */
bool idle_try_retract(struct idle *idle, uint32_t id) MUST_USE;

/* Whether seat `id` has no thread: who wakes it starts one. The seat is the caller's (elastic.h). */
void idle_set_absent(struct idle *idle, uint32_t id, bool absent);
bool idle_is_absent(const struct idle *idle, uint32_t id);

#endif
