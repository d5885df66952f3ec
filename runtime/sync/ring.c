/* SPDX-License-Identifier: MIT
 *
 * ring.c - the steps of ring.h: find the position, make the step, sometimes move a cursor on.
 *
 * Threads, Invariants, Source: see ring.h.
 */
#include "sync/ring.h"

#include <errno.h>

#include "base/util.h"
#include "os/os.h"

/*
 * A slot:                                                  A cursor:
 *   63      49 48      45 44               0                 63           25 24        0
 *   | lap     | tasks - 1 | address / 8     |                | position      | tasks    |
 *
 * A free slot has no address; it keeps the number of tasks of the entry before, for R4.
 */
#define ADDRESS_BITS 45u
#define CHAIN_BITS 4u
#define LAP_SHIFT (ADDRESS_BITS + CHAIN_BITS)
#define ADDRESS_MASK ((UINT64_C(1) << ADDRESS_BITS) - 1)
#define LAP_MASK ((UINT64_C(1) << RING_LAP_BITS) - 1)
#define CLOSED_ADDRESS ADDRESS_MASK /* no task lies there */
#define TASK_BITS 25u
#define TASK_MASK ((UINT64_C(1) << TASK_BITS) - 1)
#define CHAINED_SLOTS_MAX (1u << 20) /* beyond that, RING_CHAIN times the slots would not fit into TASK_BITS */

#define AHEAD UINT64_C(12) /* entries: the line of slots behind the one that is being filled, or the next */

static_assert(RING_CHAIN == 1u << CHAIN_BITS, "a slot holds the length of every chain");
static_assert(LAP_SHIFT + RING_LAP_BITS <= 64, "a slot is one word");
static_assert(RING_CAPACITY_MAX <= TASK_MASK, "differences of counts are unambiguous");
static_assert(sizeof(uintptr_t) == 8 && _Alignof(weir_task) == 8, "an address without its lower three bits");

/* What a slot says of a position that a thread looks for. */
enum slot_state {
    SLOT_FREE,  /* not filled yet */
    SLOT_HELD,  /* filled, not taken */
    SLOT_TAKEN, /* filled and taken */
    SLOT_OTHER  /* it is in another lap: the thread's cursor, or this word, is out of date */
};

/* --- words ---------------------------------------------------------------------------------------------------- */

static inline uint64_t position(uint64_t cursor)
{
    return cursor >> TASK_BITS;
}

/* How far cursor a is ahead of b, in entries. */
static inline int64_t ahead(uint64_t a, uint64_t b)
{
    return (int64_t)((a & ~TASK_MASK) - (b & ~TASK_MASK)) >> TASK_BITS;
}

static inline uint32_t tasks_between(uint64_t from, uint64_t to)
{
    return (uint32_t)((to - from) & TASK_MASK);
}

static inline uint32_t tasks_of(uint64_t word)
{
    return (uint32_t)(word >> ADDRESS_BITS & (RING_CHAIN - 1)) + 1;
}

/* The cursor behind an entry. */
static inline uint64_t behind(uint64_t cursor, uint64_t word)
{
    return (position(cursor) + 1) << TASK_BITS | ((cursor + tasks_of(word)) & TASK_MASK);
}

static inline uint64_t lap_of(const struct ring *r, uint64_t cursor)
{
    return position(cursor) >> r->order & LAP_MASK;
}

static inline uint64_t word_of(uint64_t lap, uint32_t tasks, uint64_t address)
{
    return (lap & LAP_MASK) << LAP_SHIFT | (uint64_t)(tasks - 1) << ADDRESS_BITS | address;
}

static inline weir_atomic_u64 *slot_of(const struct ring *r, uint64_t cursor)
{
    return &r->slots[position(cursor) & r->mask];
}

static inline bool is_close_mark(uint64_t word)
{
    return (word & ADDRESS_MASK) == CLOSED_ADDRESS;
}

static inline enum slot_state state_of(const struct ring *r, uint64_t cursor, uint64_t word)
{
    uint64_t laps = ((word >> LAP_SHIFT) - lap_of(r, cursor)) & LAP_MASK;
    bool held = (word & ADDRESS_MASK) != 0;
    if (laps == 0)
        return held ? SLOT_HELD : SLOT_FREE;
    return laps == 1 && !held ? SLOT_TAKEN : SLOT_OTHER;
}

/* --- cursors -------------------------------------------------------------------------------------------------- */

static inline void move_on(weir_atomic_u64 *cursor, uint64_t from, uint64_t to)
{
    /* [IQ1] release: the entries before `to` were filled (taken); pairs with the acquires in ring_push(), front()
     * and ring_take(). relaxed on failure: somebody else has moved it on. Weak: a cursor may lag (R3). */
    (void)atom_cas_weak(cursor, &from, to, memory_order_release, memory_order_relaxed);
}

/* Moves head on over what was taken and returns it: it stood at a held or a free position (R5). */
static uint64_t front(struct ring *r)
{
    for (;;) {
        uint64_t head = atom_load(&r->head, memory_order_acquire); /* [IQ1] acquire: pairs with move_on() */
        /* [IQ3] acquire: in another lap, whoever filled it has seen a later head; pairs with ring_push().
         * [IQ6] as in ring_take(), for those who begin where this head is moved on to. */
        uint64_t word = atom_load(slot_of(r, head), memory_order_acquire);
        switch (state_of(r, head, word)) {
        case SLOT_FREE:
        case SLOT_HELD:
            return head;
        case SLOT_TAKEN:
            move_on(&r->head, head, behind(head, word));
            break;
        case SLOT_OTHER:
            break;
        }
    }
}

/* Whether a cursor's position can be filled, with how many of n tasks; 0: not according to this `head`. */
static inline uint32_t room_for(const struct ring *r, uint64_t cursor, uint64_t head, uint32_t n)
{
    int64_t used = ahead(cursor, head);
    if (used < 0 || used > r->mask)
        return 0;
    uint32_t room = r->capacity - tasks_between(head, cursor);
    return n < room ? n : room;
}

/* --- push ----------------------------------------------------------------------------------------------------- */

/*
 * From `cursor`, which was tail, to the first position that is not filled; moves tail on when it lags. Returns the
 * slot's word; RING_CLOSED's mark if the ring ends there.
 */
static inline uint64_t find_free(struct ring *r, uint64_t *tail, uint64_t *cursor)
{
    for (;;) {
        /* [IQ4] seq_cst: a filled slot that is passed here counts as filled before this push's own step; pairs with
         * the parker's fence in idle_announce(). */
        uint64_t word = atom_load(slot_of(r, *cursor), memory_order_seq_cst);
        enum slot_state state = state_of(r, *cursor, word);
        if (is_close_mark(word) || state == SLOT_FREE || state == SLOT_OTHER)
            return word;
        *cursor = behind(*cursor, word);
        if (ahead(*cursor, *tail) >= (int64_t)RING_STRIDE) {
            move_on(&r->tail, *tail, *cursor);
            *tail = *cursor;
        }
    }
}

/* Links the tasks to a chain. */
static inline void link_chain(weir_task *const *tasks, uint32_t n, uint64_t stamp)
{
    for (uint32_t i = 0; i + 1 < n; i++)
        tasks[i]->stamp = (uint64_t)(uintptr_t)tasks[i + 1];
    tasks[n - 1]->stamp = stamp;
}

/* Whether the entry before a free position, which find_free() has passed on the way there, still waits. */
static inline bool is_behind_another(const struct ring *r, uint64_t tail, uint64_t cursor)
{
    /* relaxed: a guess */
    return cursor != tail &&
           (atom_load(slot_of(r, cursor - (UINT64_C(1) << TASK_BITS)), memory_order_relaxed) & ADDRESS_MASK) != 0;
}

/* R6: after a fill. True: the entry is in its place, or was taken; false: it has been withdrawn. */
static inline bool stays(struct ring *r, uint64_t cursor, uint64_t word)
{
    /* relaxed: since the slot was filled in the lap before, tail has come near; the fill read that step or a later
     * one. */
    uint64_t tail = atom_load(&r->tail, memory_order_relaxed);
    if (LIKELY(ahead(tail, cursor) <= (int64_t)r->mask))
        return true;
    uint64_t taken = word_of(lap_of(r, cursor) + 1, tasks_of(word), 0);
    /* relaxed: the tasks are the caller's own; on failure somebody has taken them. */
    return !atom_cas(slot_of(r, cursor), &word, taken, memory_order_relaxed, memory_order_relaxed);
}

/* What pushers know of `head` is brought up to date. */
static uint64_t look_at_front(struct ring *r)
{
    uint64_t head = front(r);
    /* [IQ3] release: what was taken before this head; pairs with the acquire in ring_push(). An old value that comes
     * late is a head that was: it only makes others look again. */
    atom_store(&r->seen, head, memory_order_release);
    return head;
}

/* What a push at `cursor` gets when the copy of head says that there is no room. */
static NOINLINE uint32_t room_after_all(struct ring *r, uint64_t cursor, uint32_t n, bool *full)
{
    uint64_t head = look_at_front(r);
    uint32_t room = room_for(r, cursor, head, n);
    *full = room == 0 && ahead(cursor, head) >= 0;
    return room;
}

/* R8 */
static inline void note_use(struct ring *r)
{
    /* [IQ7] seq_cst: another pusher's mark counts as made before this push's own step, for whoever has fenced; pairs
     * with the store below. An acquire load does not put the two in one order with the parker's fence. */
    if (LIKELY(atom_load(&r->used, memory_order_seq_cst) != 0))
        return;
    /* [IQ7] seq_cst: the mark, then the look at the sleepers behind the push; forbids that the parker misses the mark
     * and the pusher the parker; pairs with the load above and the fence in idle_announce(). */
    atom_store(&r->used, 1u, memory_order_seq_cst);
}

static inline bool was_used(const struct ring *r)
{
    return atom_load(&r->used, memory_order_relaxed) != 0; /* relaxed: who must not miss a push has fenced [IQ7] */
}

/* ring_push(), for its two callers: one knows n. */
WEIR_INLINE enum ring_result push(struct ring *r, weir_task *const *tasks, uint32_t n, uint64_t stamp, uint32_t *pushed)
{
    uint32_t linked = 0;
    note_use(r);
    for (;;) {
        uint64_t tail = atom_load(&r->tail, memory_order_acquire); /* [IQ1] acquire: pairs with move_on() */
        uint64_t cursor = tail;
        uint64_t word = find_free(r, &tail, &cursor);
        if (UNLIKELY(is_close_mark(word)))
            return RING_CLOSED;
        /* [IQ3] acquire: slots before this head were taken; pairs with look_at_front(). */
        uint32_t room = room_for(r, cursor, atom_load(&r->seen, memory_order_acquire), n);
        if (UNLIKELY(room < n)) {
            bool full = false;
            room = room_after_all(r, cursor, n, &full);
            if (full)
                return RING_FULL;
        }
        if (room == 0 || state_of(r, cursor, word) != SLOT_FREE)
            continue; /* out of date: look again */
        if (linked != room) {
            if (stamp == RING_NOW && !is_behind_another(r, tail, cursor))
                stamp = os_ticks();
            linked = room;
            link_chain(tasks, n == 1 ? 1 : room, stamp);
        }
        uint64_t held = word_of(lap_of(r, cursor), room, (uint64_t)(uintptr_t)tasks[0] >> 3);
        /* [IQ2] release: the tasks; pairs with ring_take(). [IQ4] seq_cst: the fill, then the look at the sleepers;
         * pairs with idle_announce(). relaxed on failure: somebody else was faster. */
        if (!atom_cas_weak(slot_of(r, cursor), &word, held, memory_order_seq_cst, memory_order_relaxed))
            continue;
        if (UNLIKELY(!stays(r, cursor, held)))
            continue;
        uint64_t next = behind(cursor, held);
        if (ahead(next, tail) >= (int64_t)RING_STRIDE) {
            move_on(&r->tail, tail, next);
            PREFETCH_OWNED(slot_of(r, next + (AHEAD << TASK_BITS))); /* a taker's last; bench `submit`: 2 ns a push */
        }
        *pushed = room;
        return RING_OK; /* the tasks may have run and be gone by now */
    }
}

enum ring_result ring_push(struct ring *r, weir_task *const *tasks, uint32_t n, uint64_t stamp, uint32_t *pushed)
{
    return push(r, tasks, n, stamp, pushed);
}

enum ring_result ring_push_one(struct ring *r, weir_task *t, uint64_t stamp)
{
    uint32_t pushed;
    return push(r, &t, 1, stamp, &pushed);
}

void ring_close(struct ring *r)
{
    for (;;) {
        uint64_t tail = atom_load(&r->tail, memory_order_relaxed); /* relaxed: no task comes with the mark */
        uint64_t cursor = tail;
        uint64_t word = find_free(r, &tail, &cursor);
        if (is_close_mark(word))
            return;
        if (ahead(cursor, front(r)) > (int64_t)r->mask || state_of(r, cursor, word) != SLOT_FREE)
            continue; /* out of date: there are more slots than tasks */
        uint64_t mark = word_of(lap_of(r, cursor), 1, CLOSED_ADDRESS);
        /* relaxed, both: the mark says no more than that nothing will be pushed; who acts on what the closer did before
         * is behind a fence of its own [PK4]. On failure: look again. */
        if (atom_cas_weak(slot_of(r, cursor), &word, mark, memory_order_relaxed, memory_order_relaxed))
            return;
    }
}

/* --- take ----------------------------------------------------------------------------------------------------- */

/* Writes the chain's tasks to `out`, each with its stamp, which is returned. The chain is the caller's. */
static inline uint64_t unlink_chain(weir_task *t, uint32_t n, weir_task **out)
{
    for (uint32_t i = 0; i + 1 < n; i++) {
        out[i] = t;
        t = (weir_task *)(uintptr_t)t->stamp;
    }
    out[n - 1] = t;
    for (uint32_t i = 0; i + 1 < n; i++)
        out[i]->stamp = t->stamp;
    return t->stamp;
}

uint32_t ring_take(struct ring *r, weir_task **out, uint32_t most, uint64_t *stamp)
{
    if (!was_used(r))
        return 0;
    uint64_t head = atom_load(&r->head, memory_order_acquire); /* [IQ1] acquire: pairs with move_on() */
    uint64_t cursor = head;
    uint64_t oldest = RING_NOW;
    uint32_t got = 0;
    for (;;) {
        /* [IQ3] [IQ6] acquire: as in front(); and what a taker before this one had pushed; pairs with the step
         * below. */
        uint64_t word = atom_load(slot_of(r, cursor), memory_order_acquire);
        enum slot_state state = state_of(r, cursor, word);
        if (state == SLOT_OTHER && got == 0) {
            head = cursor = atom_load(&r->head, memory_order_acquire); /* [IQ1] acquire: as above */
            continue;
        }
        if (state == SLOT_TAKEN) {
            cursor = behind(cursor, word);
            continue;
        }
        uint32_t n = tasks_of(word);
        if (state != SLOT_HELD || is_close_mark(word) || (got > 0 && got + n > most))
            break;
        weir_task *t = (weir_task *)(uintptr_t)((word & ADDRESS_MASK) << 3);
        __builtin_prefetch(t, 1);
        /* [IQ2] acquire: the tasks; pairs with ring_push(). [IQ6] release: what this taker has pushed before, and that
         * it is awake; pairs with the load above, front() and end_if_dry(). relaxed on failure: another was faster. */
        if (!atom_cas_weak(slot_of(r, cursor), &word, word_of(lap_of(r, cursor) + 1, n, 0), memory_order_acq_rel,
                           memory_order_relaxed))
            continue;
        uint64_t time = unlink_chain(t, n, out + got);
        if (oldest == RING_NOW)
            oldest = time;
        got += n;
        cursor = behind(cursor, word);
        if (got >= most)
            break;
    }
    if (ahead(cursor, head) >= (int64_t)RING_STRIDE)
        move_on(&r->head, head, cursor);
    if (got > 0)
        *stamp = oldest;
    return got;
}

/* --- looking -------------------------------------------------------------------------------------------------- */

/* The first position that is not taken, in *cursor, and what its slot says. */
static enum slot_state at_head(struct ring *r, uint64_t *cursor, uint64_t *word)
{
    /* relaxed, both: a slot's word alone says what became of its position, and a push that happened before is in it.
     * Who relies on what the takers did before has a fence: [IQ6] in end_if_dry(). */
    *cursor = atom_load(&r->head, memory_order_relaxed);
    for (;;) {
        *word = atom_load(slot_of(r, *cursor), memory_order_relaxed);
        enum slot_state state = state_of(r, *cursor, *word);
        if (state != SLOT_TAKEN)
            return state;
        *cursor = behind(*cursor, *word);
    }
}

bool ring_is_empty(struct ring *r)
{
    if (!was_used(r))
        return true;
    uint64_t cursor, word;
    enum slot_state state = at_head(r, &cursor, &word);
    return state == SLOT_FREE || (state == SLOT_HELD && is_close_mark(word));
}

bool ring_is_drained(struct ring *r)
{
    uint64_t cursor, word;
    return at_head(r, &cursor, &word) == SLOT_HELD && is_close_mark(word);
}

bool ring_has(struct ring *r, uint32_t n)
{
    /* relaxed, both: a guess */
    uint64_t cursor = atom_load(&r->head, memory_order_relaxed) + ((uint64_t)(n - 1) << TASK_BITS);
    return n <= r->mask && state_of(r, cursor, atom_load(slot_of(r, cursor), memory_order_relaxed)) == SLOT_HELD;
}

uint32_t ring_depth_bound(struct ring *r)
{
    if (!was_used(r))
        return 0;
    /* relaxed, both: only their numbers count */
    uint64_t seen = atom_load(&r->seen, memory_order_relaxed);
    uint64_t tail = atom_load(&r->tail, memory_order_relaxed);
    return (ahead(tail, seen) > 0 ? tasks_between(seen, tail) : 0) + RING_STRIDE * r->chain; /* tail lags */
}

void ring_catch_up(struct ring *r)
{
    if (was_used(r))
        (void)look_at_front(r);
}

uint32_t ring_depth(struct ring *r)
{
    if (!was_used(r))
        return 0;
    uint64_t head, word;
    (void)at_head(r, &head, &word);
    uint64_t tail = atom_load(&r->tail, memory_order_relaxed); /* relaxed: find_free() reads the slots */
    uint64_t cursor = tail;
    (void)find_free(r, &tail, &cursor);
    if (ahead(cursor, head) <= 0)
        return 0;
    uint32_t n = tasks_between(head, cursor);
    return n < r->capacity ? n : r->capacity;
}

/* --- lifecycle ------------------------------------------------------------------------------------------------ */

static size_t bytes_of(const struct ring *r)
{
    return ((size_t)r->mask + 1) * sizeof(*r->slots);
}

int ring_init(struct ring *r, uint32_t capacity)
{
    /* One slot more than tasks, for the mark of ring_close(). */
    uint64_t slots = pow2_ceil((uint64_t)capacity + 1);
    weir_assert(capacity > 0 && capacity <= RING_CAPACITY_MAX);
    if (slots < RING_SLOTS_MIN)
        slots = RING_SLOTS_MIN;
    r->mask = (uint32_t)slots - 1;
    r->order = (uint32_t)__builtin_ctzll(slots);
    r->capacity = capacity;
    r->chain = slots <= CHAINED_SLOTS_MAX ? RING_CHAIN : 1;
    r->slots = os_alloc_sparse(bytes_of(r), LINE_PAIR); /* all zero: free, lap 0. Most inboxes are never used */
    if (r->slots == NULL)
        return -ENOMEM;
    /* relaxed: not shared yet */
    atom_store(&r->used, 0u, memory_order_relaxed);
    atom_store(&r->tail, UINT64_C(0), memory_order_relaxed);
    atom_store(&r->seen, UINT64_C(0), memory_order_relaxed);
    atom_store(&r->head, UINT64_C(0), memory_order_relaxed);
    return 0;
}

void ring_destroy(struct ring *r)
{
    os_free_sparse(r->slots, bytes_of(r));
    r->slots = NULL;
}
