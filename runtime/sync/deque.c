/* SPDX-License-Identifier: MIT
 *
 * deque.c - the slow paths of the owner, the thieves' side, and the move from buffer to buffer.
 *
 * Threads and invariants: see deque.h. Source: Le et al. (PPoPP 2013); docs/deque.md.
 */
#include "sync/deque.h"

#include <errno.h>

#include "os/os.h"

/*
 * split:  63..48 revoker + 1, or 0: no mark | 47..0 position
 * Positions are user-space addresses below 2^48 (buffer_new() checks).
 */
#define MARK_SHIFT 48
#define POSITION_MASK ((UINT64_C(1) << MARK_SHIFT) - 1)
#define SPLIT_NOTHING UINT64_C(0) /* the deque is moving: nothing public, nothing to force */
#define STEP sizeof(weir_slot)
#define RECLAIM_AT_ONCE ((size_t)1 << 20) /* bytes: buffers of this size do not wait for a batch (rcu.h counts nodes) */
#define GROWTH 4u /* times: all moves of a flood together copy a third of it (bench `flat`: 2 is 10 % slower) */

static_assert(offsetof(struct deque, end) == offsetof(struct weir_worker, end), "a worker begins with its deque");
static_assert(offsetof(struct deque, spawned) == offsetof(struct weir_worker, spawned), "weir_spawn() counts here");
static_assert(offsetof(struct deque, top) % LINE_PAIR == 0, "top has its own lines");

/*
 * limit:  a slot's address | 1 + who is hungry | NULL: somebody is
 * The last two are poison: below every position, so that each push goes slow.
 */
static weir_slot *poison_of(uint32_t by)
{
    return by < DEQUE_POISONERS ? (weir_slot *)(uintptr_t)(by + 1u) : NULL;
}

static uint64_t position_of(uint64_t split)
{
    return split & POSITION_MASK;
}

static uint64_t position(const weir_slot *slot)
{
    return (uint64_t)(uintptr_t)slot;
}

static uint64_t position_of_bottom(uint64_t bottom)
{
    return bottom - WEIR_TASK_FORKED;
}

static weir_slot *slot_at(uint64_t pos)
{
    return (weir_slot *)(uintptr_t)pos;
}

/* The task in a slot's word. */
static weir_task *task_in(uintptr_t slot)
{
    return (weir_task *)(slot & ~(uintptr_t)WEIR_SLOT_FORKED);
}

/* The task at the owner's end. */
static weir_task *own_task(const weir_slot *b)
{
    return task_in(atom_load(b, memory_order_relaxed)); /* relaxed: the owner wrote it */
}

/* The position that halves [from, to), rounded up. */
static uint64_t half_way(uint64_t from, uint64_t to)
{
    return from + ((to - from) / STEP + 1) / 2 * STEP;
}

static uint32_t reserve_of(uint32_t capacity)
{
    return capacity / 2 < DEQUE_RESERVE ? capacity / 2 : DEQUE_RESERVE;
}

static struct deque_buffer *buffer_new(uint32_t capacity)
{
    /* One slot more than is used: a thief whose top stands at the end of a buffer left since may read there. */
    size_t slots = (size_t)capacity + reserve_of(capacity) + 1;
    size_t bytes = sizeof(struct deque_buffer) + slots * sizeof(weir_slot);
    struct deque_buffer *buffer = os_alloc(bytes, CACHE_LINE);
    if (buffer == NULL)
        return NULL;
    if ((position(buffer->slots) + slots * STEP) >> MARK_SHIFT != 0) {
        os_free(buffer, bytes);
        return NULL;
    }
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return buffer;
}

static void buffer_reclaim(struct rcu_node *node)
{
    struct deque_buffer *buffer = CONTAINER_OF(node, struct deque_buffer, rcu);
    os_free(buffer, buffer->bytes);
}

/* --- owner ---------------------------------------------------------------------------------------------------- */

static void set_bottom(struct deque *d, weir_slot *b)
{
    /* [DQ1] release: a revoker that reads this bottom sees every slot below it; pairs with acquire in deque_force(). */
    atom_store(&d->end.bottom, position(b) | WEIR_TASK_FORKED, memory_order_release);
}

/* The owner's last slot was public: both sides may want it. Leaves the deque empty. */
static weir_task *pop_last(struct deque *d, weir_slot *b, uint64_t top)
{
    uint64_t pos = position(b);
    bool mine = top == pos &&
                /* [DQ5] seq_cst: owner and thieves agree on who takes the last task; pairs with deque_steal(). */
                atom_cas(&d->top, &top, pos + STEP, memory_order_seq_cst, memory_order_relaxed);
    /* top is pos + STEP now, so all below is gone; a revoker's mark, if any, is overwritten and its CAS fails. */
    /* relaxed: a revoker that marks this split has a heavy fence behind this pop's light one: it sees its bottom. */
    atom_store(&d->end.split, pos + STEP, memory_order_relaxed);
    set_bottom(d, b + 1);
    return mine ? own_task(b) : NULL;
}

/* Where to lower split to so that pos becomes private: the middle, with at least the slot at top left public. */
static uint64_t lowered_split(const struct deque *d, uint64_t top, uint64_t pos)
{
    if (d->always_public || top == pos)
        return pos;
    return top + STEP + (pos - top - STEP) / (2 * STEP) * STEP;
}

/*
 * bottom is b already, and b is not known to be private. Either a revoker has marked split (it is hungry: give it
 * half),
 * or b is public: lower split to the middle, so that the next pops are fast again, then see how far thieves came.
 */
static NOINLINE weir_task *pop_slow(struct deque *d, weir_slot *b)
{
    uint64_t pos = position(b);
    for (;;) {
        uint64_t split = atom_load(&d->end.split, memory_order_relaxed); /* relaxed: only the CAS below decides */
        uint64_t public_end = position_of(split);
        if (pos >= public_end) {
            if (split == public_end)
                return own_task(b); /* the revoker is through and left b to us */
            /* [DQ7] release: the slots in the given half; pairs with the acquire of split in deque_steal(). */
            if (atom_cas_weak(&d->end.split, &split, half_way(public_end, pos), memory_order_release,
                              memory_order_relaxed))
                return own_task(b);
            continue;
        }
        uint64_t top = atom_load(&d->top, memory_order_relaxed); /* relaxed: a guess, checked after the fence */
        if (top > pos)
            return pop_last(d, b, top); /* top never returns: the deque is empty */
        uint64_t keep = lowered_split(d, top, pos);
        /* relaxed: the fence below orders it; an RMW, so thieves that read it still acquire from the publish before. */
        if (!atom_cas_weak(&d->end.split, &split, keep, memory_order_relaxed, memory_order_relaxed))
            continue;
        /* [DQ9] forbids: owner lowers split, then misses a new top, while a thief that read that top misses split. */
        atom_fence(memory_order_seq_cst);
        top = atom_load(&d->top, memory_order_relaxed); /* relaxed: ordered by the fence */
        if (top < keep)
            return own_task(b);
        if (top >= pos)
            return pop_last(d, b, top);
        /* Thieves came to `keep` or past it and one may be at `top` now: that slot stays public, what lies above is
         * ours. A revoker may have raised split meanwhile; it does not know of thieves, so at or below top is still too
         * low. */
        uint64_t now = keep;
        do {
            /* relaxed: gives nothing that was not public before; an RMW, as above */
            if (atom_cas_weak(&d->end.split, &now, top + STEP, memory_order_relaxed, memory_order_relaxed))
                return own_task(b);
        } while (position_of(now) <= top);
    }
}

weir_task *deque_pop_only_fork(struct deque *d)
{
    weir_slot *b = deque_bottom(d) - 1;
    uint64_t pos = position(b);
    /* relaxed, all: the owner wrote the slot, top does not pass split, and split is read again */
    bool only = atom_load(&d->end.split, memory_order_relaxed) == pos &&
                (atom_load(b, memory_order_relaxed) & WEIR_SLOT_FORKED) != 0 &&
                atom_load(&d->top, memory_order_relaxed) == pos;
    if (!only)
        return NULL;
    set_bottom(d, b); /* [DQ3] */
    atom_light();     /* [DQ4] light: as in deque_pop() */
    if (LIKELY(atom_load(&d->end.split, memory_order_relaxed) == pos)) /* relaxed: as in deque_pop() */
        return own_task(b);
    set_bottom(d, b + 1); /* a revoker wants it, or has published it: it lay there all the time */
    return NULL;
}

void deque_push_back(struct deque *d)
{
    set_bottom(d, deque_bottom(d) + 1);
}

bool deque_is_dry(const struct deque *d)
{
    uint64_t bottom = position(deque_bottom(d));
    /* relaxed, both: top never passes an unmarked split that is at bottom, and the owner alone raises bottom */
    return atom_load(&d->end.split, memory_order_relaxed) == bottom &&
           atom_load(&d->top, memory_order_relaxed) == bottom;
}

weir_task *deque_pop_lowered(struct deque *d)
{
    return pop_slow(d, deque_bottom(d));
}

uint64_t deque_room(const struct deque *d)
{
    const weir_slot *b = deque_bottom(d);
    return b < d->last ? (uint64_t)(d->last - b) : 0;
}

static void publish(struct deque *d, bool all)
{
    uint64_t bottom = position(deque_bottom(d));
    uint64_t split = atom_load(&d->end.split, memory_order_relaxed); /* relaxed: the CAS decides */
    for (;;) {
        uint64_t from = position_of(split);
        uint64_t to = all ? bottom : half_way(from, bottom);
        if (to <= from && split == from)
            return;
        /* [DQ7] release: the slots below `to`; pairs with the acquire of split in deque_steal(). */
        if (atom_cas_weak(&d->end.split, &split, to, memory_order_release, memory_order_relaxed))
            return;
    }
}

void deque_publish(struct deque *d)
{
    publish(d, d->always_public);
}

void deque_publish_all(struct deque *d)
{
    publish(d, true);
}

void deque_clear_poison(struct deque *d)
{
    /* relaxed: the caller's fence orders it before its second look at the sleepers. */
    if (!d->always_public)
        atom_store(&d->end.limit, d->last, memory_order_relaxed);
}

static weir_slot *last_before_reserve(const struct deque *d)
{
    return d->buffer->slots + d->buffer->capacity - 1;
}

static void set_last(struct deque *d, weir_slot *last, bool in_reserve)
{
    weir_slot *old = d->last;
    d->last = last;
    d->reserve_is_open = in_reserve;
    /* relaxed, both: as deque_clear_poison(), but of a deque that is not poisoned. Weak: whatever slot stands there,
     * the push to it looks at `last`. */
    atom_cas_weak(&d->end.limit, &old, last, memory_order_relaxed, memory_order_relaxed);
}

bool deque_open_reserve(struct deque *d)
{
    if (d->reserve_is_open)
        return false;
    set_last(d, last_before_reserve(d) + reserve_of(d->buffer->capacity), true);
    return true;
}

void deque_close_reserve(struct deque *d)
{
    weir_slot *last = last_before_reserve(d);
    if (d->reserve_is_open && deque_bottom(d) <= last) /* else it would seem full */
        set_last(d, last, false);
}

/* Forked tasks know their place, as the bottom above them (see weir_unfork()): tells those that have moved. */
static void retell_slots(weir_slot *slots, uint64_t live)
{
    for (uint64_t i = 0; i < live; i++) {
        uintptr_t slot = atom_load(&slots[i], memory_order_relaxed); /* relaxed, both: private to the owner here */
        if (slot & WEIR_SLOT_FORKED)
            atom_store(&task_in(slot)->state, position(&slots[i + 1]) | WEIR_TASK_FORKED, memory_order_relaxed);
    }
}

/* The capacity for `live` tasks and room for more; above `most` if there is none. */
static uint32_t fitting_capacity(const struct deque *d, uint64_t live, uint32_t most)
{
    uint32_t capacity = d->buffer->capacity;
    if (live > capacity / 2)
        return capacity < most && capacity * GROWTH > most ? most : capacity * GROWTH;
    while (capacity > d->first_capacity && live < capacity / 8)
        capacity /= 2;
    return capacity;
}

static void adopt(struct deque *d, struct deque_buffer *buffer, uint64_t live)
{
    d->buffer = buffer;
    d->last = last_before_reserve(d);
    d->reserve_is_open = false;
    set_bottom(d, buffer->slots + live);
}

bool deque_relocate(struct deque *d, uint32_t most)
{
    struct deque_buffer *old = d->buffer;
    weir_slot *b = deque_bottom(d);
    /* relaxed: a guess at the number of live tasks; it can only shrink */
    uint64_t live = (position(b) - atom_load(&d->top, memory_order_relaxed)) / STEP;
    uint32_t capacity = fitting_capacity(d, live, most);
    struct deque_buffer *new = capacity > most ? NULL : buffer_new(capacity);
    if (new == NULL)
        return false;
    /* From here nobody finds anything public, and a revoker's CAS fails; thieves on their way lose the CAS on top.
     * relaxed: carried to whoever reads the new top by its release [DQ11]. */
    atom_store(&d->end.split, SPLIT_NOTHING, memory_order_relaxed);
    uint64_t top = atom_load(&d->top, memory_order_relaxed); /* relaxed: the CAS below decides */
    do {
        live = (position(b) - top) / STEP;
        for (uint64_t i = 0; i < live; i++) {
            uintptr_t slot = atom_load(slot_at(top) + i, memory_order_relaxed); /* relaxed: the owner wrote it */
            atom_store(&new->slots[i], slot, memory_order_relaxed);             /* relaxed: published with split */
        }
        /* A thief that read the old top fails; one that reads the new top has split == NOTHING before it.
         * [DQ11] release: SPLIT_NOTHING before the new top; pairs with the fence behind top in deque_steal(). */
    } while (!atom_cas_weak(&d->top, &top, position(new->slots), memory_order_release, memory_order_relaxed));
    d->origin += (uint64_t)(slot_at(top) - old->slots);
    adopt(d, new, live);
    retell_slots(new->slots, live);
    /* relaxed: the old limit means nothing any more; the next push goes slow and sets a new one. */
    atom_store(&d->end.limit, NULL, memory_order_relaxed);
    /* [DQ6] release: a revoker that reads this split sees the new bottom; pairs with acquire in deque_force(). */
    atom_store(&d->end.split, position(new->slots), memory_order_release);
    bool large = old->bytes >= RECLAIM_AT_ONCE;
    rcu_retire(&old->rcu, buffer_reclaim); /* old may be gone */
    if (large)
        rcu_flush();
    return true;
}

void deque_rewind(struct deque *d)
{
    uint64_t first = position(d->buffer->slots);
    /* relaxed, as top below: the grace period orders them. Thieves that come online later find nothing public; those
     * before are waited for, so none is left that has read `first` in top (I4). */
    atom_store(&d->end.split, SPLIT_NOTHING, memory_order_relaxed);
    rcu_synchronize();
    d->origin += (uint64_t)(deque_bottom(d) - d->buffer->slots);
    atom_store(&d->top, first, memory_order_relaxed);
    set_bottom(d, d->buffer->slots);
    atom_store(&d->end.split, first, memory_order_release); /* [DQ6] as in deque_relocate() */
    deque_close_reserve(d);
}

void deque_shrink(struct deque *d)
{
    if (d->buffer->capacity > d->first_capacity)
        (void)deque_relocate(d, DEQUE_CAPACITY_MAX); /* without memory it stays as large as it is */
}

/* --- thief ---------------------------------------------------------------------------------------------------- */

enum steal_result deque_steal(struct deque *d, const struct steal_guard *guard, weir_task **out)
{
    uint64_t top = atom_load(&d->top, memory_order_relaxed); /* relaxed: acquired by the fence */
    /* [DQ9] forbids: see pop_slow(). [DQ11] acquire: what preceded this top; pairs with deque_relocate(). */
    atom_fence(memory_order_seq_cst);
    /* [DQ7] acquire: the slots below split and the tasks in them; pairs with the owner's and the revokers' CAS. */
    uint64_t split = position_of(atom_load(&d->end.split, memory_order_acquire));
    if (top >= split)
        return STEAL_EMPTY;
    uintptr_t slot = atom_load(slot_at(top), memory_order_relaxed); /* relaxed: used only if the CAS succeeds */
    /* [DQ12] acquire: while top stands, the deque holds what its owner made since it set this word; pairs with the
     * release in worker_serve(). */
    if (guard != NULL && atom_load(guard->word, memory_order_acquire) != guard->value)
        return STEAL_EMPTY;
    /* [DQ5] seq_cst: one taker per position; pairs with pop_last() and other thieves. */
    if (!atom_cas(&d->top, &top, top + STEP, memory_order_seq_cst, memory_order_relaxed))
        return STEAL_LOST;
    *out = task_in(slot);
    return STEAL_OK;
}

enum force_result deque_force(struct deque *d, uint32_t id)
{
    uint64_t split = atom_load(&d->end.split, memory_order_relaxed); /* relaxed: the CAS decides and acquires */
    if (split != position_of(split))
        return FORCE_LOST;
    /* relaxed: a hint, bottom is read again behind the mark */
    if (split == SPLIT_NOTHING || position_of_bottom(atom_load(&d->end.bottom, memory_order_relaxed)) <= split)
        return FORCE_NOTHING;
    uint64_t marked = split | (uint64_t)(id + 1) << MARK_SHIFT;
    /* [DQ6] acquire: bottom belongs to this split or a later one; pairs with deque_relocate() and deque_rewind(). */
    if (!atom_cas(&d->end.split, &split, marked, memory_order_acquire, memory_order_relaxed))
        return FORCE_LOST;
    /* [DQ4] heavy: from here on the owner either sees the mark or its bottom is visible below; pairs with the light
     * fences in weir_push(), weir_unfork() and deque_pop(). */
    os_membarrier();
    /* [DQ1] acquire: the slots below bottom; pairs with weir_push() and set_bottom(). */
    uint64_t bottom = position_of_bottom(atom_load(&d->end.bottom, memory_order_acquire));
    uint64_t to = bottom > split ? half_way(split, bottom) : split;
    /* [DQ7] release: passes on the slots that bottom's acquire made visible; pairs with deque_steal(). */
    if (!atom_cas(&d->end.split, &marked, to, memory_order_release, memory_order_relaxed))
        return FORCE_LOST;
    return to > split ? FORCE_PUBLISHED : FORCE_NOTHING;
}

void deque_poison(struct deque *d, uint32_t by)
{
    /* relaxed: a hint; where it must not be missed (idle.c) there are fences. Read first: keep the line shared. */
    weir_slot *limit = atom_load(&d->end.limit, memory_order_relaxed);
    weir_slot *poison = poison_of(by);
    if (!deque_is_poison(limit) || (limit == NULL && poison != NULL && !d->always_public))
        atom_store(&d->end.limit, poison, memory_order_relaxed);
}

uint32_t deque_poisoner(const struct deque *d)
{
    /* relaxed: a hint, see deque_poison() */
    uintptr_t limit = (uintptr_t)atom_load(&d->end.limit, memory_order_relaxed);
    return limit != 0 && limit <= DEQUE_POISONERS ? (uint32_t)(limit - 1) : DEQUE_ANYBODY;
}

bool deque_has_public(struct deque *d)
{
    /* relaxed: a look; who must not miss anything has fenced before (idle.c) */
    return atom_load(&d->top, memory_order_relaxed) <
           position_of(atom_load(&d->end.split, memory_order_relaxed));
}

bool deque_has_any(struct deque *d)
{
    /* relaxed: as above. During a move the two may come from different buffers: a wrong yes only costs a look, and
     * after a wrong no the owner, who is in weir_push_slow(), looks for sleepers itself. */
    return atom_load(&d->top, memory_order_relaxed) <
           position_of_bottom(atom_load(&d->end.bottom, memory_order_relaxed));
}

/* --- lifecycle ------------------------------------------------------------------------------------------------ */

int deque_init(struct deque *d, uint32_t capacity, bool always_public)
{
    struct deque_buffer *buffer = buffer_new(capacity);
    if (buffer == NULL)
        return -ENOMEM;
    d->first_capacity = capacity;
    d->always_public = always_public;
    d->origin = 0;
    /* relaxed: the deque is not shared yet */
    atom_store(&d->spawned, UINT64_C(0), memory_order_relaxed);
    atom_store(&d->top, position(buffer->slots), memory_order_relaxed);
    atom_store(&d->end.split, position(buffer->slots), memory_order_relaxed);
    adopt(d, buffer, 0);
    atom_store(&d->end.limit, always_public ? NULL : d->last, memory_order_relaxed);
    return 0;
}

void deque_destroy(struct deque *d)
{
    os_free(d->buffer, d->buffer->bytes);
    d->buffer = NULL;
}
