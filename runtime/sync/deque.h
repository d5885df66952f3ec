/* SPDX-License-Identifier: MIT
 *
 * deque.h - a Chase-Lev deque with a private end: the owner works without fences, thieves take from the public end.
 *
 * Threads: push and unfork are inlined in weir/fork.h; they and the functions marked "owner" belong to the deque's
 * worker. deque_steal, deque_force, deque_poison and the two looks may be called by any registered reader (rcu.h) that
 * is online.
 *
 * Invariants (positions are slot addresses; 0 in `split` means "nothing public"):
 *  I1  top <= split <= bottom, except for moments inside the owner's slow pop and a relocation.
 *  I2  [top, split) is public: taken by a CAS on top only. [split, bottom) is private to the owner.
 *  I3  A position that was public leaves the public part in two ways: top passes it, or the owner lowers split below
 *      it, fences and then finds top still lower than the new split (so no thief can be on its way to it).
 *  I4  A slot address never returns into `top` while a thief that read it is online: a deque that reaches the end of
 *      its buffer moves into another one, and the old one is retired through RCU. So the CAS on top knows no ABA.
 *  I5  A mark in split (revoker + 1 in the top 16 bits) is larger than every position: the owner's pop goes slow.
 *  I6  A push at `last` goes slow, so bottom is never more than one slot behind it. `last` is the last slot before the
 *      reserve or the last one of it; it goes back only while bottom is not in the reserve.
 *
 * Source: Le, Pop, Cohen, Zappa Nardelli (PPoPP 2013) for the public end. The private end, and the argument for each
 * fence, are in docs/deque.md.
 */
#ifndef WEIR_DEQUE_H
#define WEIR_DEQUE_H

#include <weir/fork.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "os/rcu.h"

#define DEQUE_RESERVE 256u /* slots, at most: more than the forks of one task that wait at once, as a rule */
#define DEQUE_POISONERS 4095u /* numbers that fit into a poisoned limit, below every position */
#define DEQUE_ANYBODY UINT32_MAX
#define DEQUE_CAPACITY_MAX (1u << 26) /* slots: 512 MiB of queue, where a flood runs at once instead */

struct deque_buffer {
    struct rcu_node rcu;
    size_t bytes;     /* of the whole block */
    uint32_t capacity; /* slots before the reserve */
    weir_slot slots[];
};

struct deque {
    weir_deque_end end;              /* bottom (owner writes), split and limit: see weir/fork.h */
    weir_atomic_u64 spawned;         /* counted by weir_spawn(): same place as in struct weir_worker */
    char pad0[LINE_PAIR - sizeof(weir_atomic_u64)];
    /* thieves write, all read */
    weir_atomic_u64 top;             /* next position to steal */
    char pad1[LINE_PAIR - sizeof(weir_atomic_u64)];
    /* owner only */
    struct deque_buffer *buffer;
    weir_slot *last;                 /* a push there goes slow: the last slot before the reserve, or of it */
    uint64_t origin;                 /* logical position of slots[0]; grows with every move */
    uint32_t first_capacity;
    bool reserve_is_open;            /* `last` is the last slot of the reserve */
    bool always_public;              /* plain Chase-Lev: every push publishes */
};

enum steal_result { STEAL_OK, STEAL_EMPTY, STEAL_LOST };
enum force_result { FORCE_PUBLISHED, FORCE_NOTHING, FORCE_LOST };

/* A condition on the victim under which a steal may succeed: *word == value (leapfrogging, see wait.c). */
struct steal_guard {
    weir_atomic_ptr *word;
    const void *value;
};

/* capacity: first slots, a power of two >= 2. 0 or -ENOMEM. */
int deque_init(struct deque *d, uint32_t capacity, bool always_public) MUST_USE;
/* Owner's thread or after its end; no thief is online on it any more. */
void deque_destroy(struct deque *d);

/* Owner: where the next push goes. */
static inline weir_slot *deque_bottom(const struct deque *d)
{
    /* relaxed: the owner reads its own word */
    return (weir_slot *)(uintptr_t)(atom_load(&d->end.bottom, memory_order_relaxed) - WEIR_TASK_FORKED);
}

/* Owner, after a push: true if the push filled the last slot, so that deque_relocate() must make room. */
static inline bool deque_is_full(const struct deque *d)
{
    return deque_bottom(d) > d->last;
}

/* Whether this value of `limit` is poison: see deque.c. */
static inline bool deque_is_poison(const weir_slot *limit)
{
    return (uintptr_t)limit <= DEQUE_POISONERS;
}

/* Owner: whether somebody has poisoned it. */
static inline bool deque_is_poisoned(const struct deque *d)
{
    /* relaxed: a hint, see deque_poison() */
    return deque_is_poison(atom_load(&d->end.limit, memory_order_relaxed));
}

/* Owner, after a push: whether it was a fork. */
static inline bool deque_newest_is_forked(const struct deque *d)
{
    return (atom_load(deque_bottom(d) - 1, memory_order_relaxed) & WEIR_SLOT_FORKED) != 0; /* relaxed: own word */
}

/* Owner: the rest of a pop that has lowered bottom, as weir_unfork() does, below the private part. */
weir_task *deque_pop_lowered(struct deque *d) MUST_USE;

/* Owner: takes the newest task, or NULL. */
static inline MUST_USE weir_task *deque_pop(struct deque *d)
{
    weir_slot *b = deque_bottom(d) - 1;
    /* [DQ3] release: a thief that reads this bottom sees what was done before; pairs with deque_force(). */
    atom_store(&d->end.bottom, (uint64_t)(uintptr_t)b | WEIR_TASK_FORKED, memory_order_release);
    /* [DQ4] light: bottom before split; pairs with the heavy fence in deque_force(). */
    atom_light();
    /* relaxed: at or above an unmarked split the slot is the owner's alone; which wrote it, too. */
    if (LIKELY((uint64_t)(uintptr_t)b >= atom_load(&d->end.split, memory_order_relaxed)))
        return (weir_task *)(atom_load(b, memory_order_relaxed) & ~(uintptr_t)WEIR_SLOT_FORKED);
    return deque_pop_lowered(d);
}

/* Owner: logical bottom; grows and shrinks with push and pop, comparable across moves. */
static inline uint64_t deque_position(const struct deque *d)
{
    return d->origin + (uint64_t)(deque_bottom(d) - d->buffer->slots);
}

/* Owner: takes the newest task if it is the only one, pushed by a fork, and nobody else wants it just now; or NULL. */
weir_task *deque_pop_only_fork(struct deque *d) MUST_USE;
/* Owner: puts it back into its place; nothing was pushed since. */
void deque_push_back(struct deque *d);
/* Owner: whether the deque is empty, as far as that can be told without a write. */
bool deque_is_dry(const struct deque *d);
/* Owner: how many pushes there is room for before one fills the last slot. */
uint64_t deque_room(const struct deque *d);
/* Owner: lets pushes go on behind the capacity, in the buffer's reserve. False: they do already. */
bool deque_open_reserve(struct deque *d);
/* Owner: the end of that, unless bottom is in the reserve: then later, at the latest with the next move. */
void deque_close_reserve(struct deque *d);
/*
 * Owner: moves into a buffer that fits what is live (growth, wrap and shrinking alike). false: no memory, or it would
 * need more than `most` slots; unchanged.
 */
bool deque_relocate(struct deque *d, uint32_t most);
/* Owner, offline, the deque empty: begins again at the first slot of the same buffer. Waits for a grace period. */
void deque_rewind(struct deque *d);
/* Owner, before it parks: gives back a buffer that a burst has grown. */
void deque_shrink(struct deque *d);
/* Owner: publishes half of the private part, rounded up (all of it where every push publishes). */
void deque_publish(struct deque *d);
/* Owner, before it stops for long: publishes all of the private part. */
void deque_publish_all(struct deque *d);
/* Owner: lets pushes be fast again; the caller then fences and looks for sleepers once more. */
void deque_clear_poison(struct deque *d);
/* Owner: who has poisoned it, or DEQUE_ANYBODY: not known, or it is not poisoned. */
uint32_t deque_poisoner(const struct deque *d);

/* Thief: takes the oldest public task. guard: NULL, or what must hold when it is taken. */
enum steal_result deque_steal(struct deque *d, const struct steal_guard *guard, weir_task **out) MUST_USE;
/* Thief: publishes half of the owner's private part behind its back. id: the calling worker, unique. */
enum force_result deque_force(struct deque *d, uint32_t id);
/* Thief: makes the owner's next push go slow, where it publishes and looks for sleepers. by: who is hungry, below
 * DEQUE_POISONERS, or DEQUE_ANYBODY. Poison that tells somebody already stays as it is. */
void deque_poison(struct deque *d, uint32_t by);
/* Any: whether something public is there. */
bool deque_has_public(struct deque *d);
/* Any: whether anything is there, private part included (reads the owner's line: for starving thieves only). */
bool deque_has_any(struct deque *d);

#endif
