/* SPDX-License-Identifier: MIT
 *
 * duty.h - how many workers are on duty, how many of them are blocked, and how many shall run: one packed word.
 *
 *  63     48 47    32 31     16 15     0
 * | version | target | blocked | on duty |
 *
 * on duty  seats whose worker runs, searches, sleeps or is blocked; the others are off duty (elastic.h)
 * blocked  of these, the ones inside weir_block_begin()/end() or in a long wait for a stolen task
 * target   how many should not be blocked, between min and max: the governor raises it, workers that idle lower it
 * version  counts changes of `on duty`: who reads the word twice around another word knows that it stood still
 *
 * "Active" is on duty less blocked. The runtime is short while active < target and a seat is left; it has a surplus
 * while active > target.
 *
 * Threads: any. Invariants: each change is one read-modify-write, so that all decisions about one surplus worker, or
 * one missing one, are made in one order. min <= target <= max <= seats; blocked <= on duty <= seats,
 * but for one more that stands in (duty_stand_in()).
 */
#ifndef WEIR_DUTY_H
#define WEIR_DUTY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomics.h"
#include "base/compiler.h"

#define DUTY_BLOCKED_SHIFT 16
#define DUTY_TARGET_SHIFT 32
#define DUTY_VERSION_SHIFT 48
#define DUTY_FIELD UINT64_C(0xffff)
#define DUTY_VERSION (UINT64_C(1) << DUTY_VERSION_SHIFT)

struct duty {
    weir_atomic_u64 word;
    /* constant */
    uint32_t min;   /* workers that never leave: seats 0 to min - 1 */
    uint32_t max;   /* the target's limit */
    uint32_t seats; /* places for workers, spares included */
};

static inline uint32_t duty_on(uint64_t word)
{
    return (uint32_t)(word & DUTY_FIELD);
}

static inline uint32_t duty_blocked(uint64_t word)
{
    return (uint32_t)(word >> DUTY_BLOCKED_SHIFT & DUTY_FIELD);
}

static inline uint32_t duty_target(uint64_t word)
{
    return (uint32_t)(word >> DUTY_TARGET_SHIFT & DUTY_FIELD);
}

static inline uint32_t duty_active(uint64_t word)
{
    return duty_on(word) - duty_blocked(word);
}

static inline bool duty_is_short(const struct duty *d, uint64_t word)
{
    return duty_active(word) < duty_target(word) && duty_on(word) < d->seats;
}

static inline bool duty_has_surplus(uint64_t word)
{
    return duty_active(word) > duty_target(word);
}

/* All wait or are blocked, and nobody can be called in. */
static inline bool duty_is_deserted(const struct duty *d, uint64_t word)
{
    return duty_active(word) == 0 && duty_on(word) >= d->seats;
}

/* Whether nobody has come on duty or left between two readings. */
static inline bool duty_stood_still(uint64_t before, uint64_t after)
{
    return ((before ^ after) & (DUTY_FIELD << DUTY_VERSION_SHIFT | DUTY_FIELD)) == 0;
}

static inline uint64_t duty_with_target(uint64_t word, uint32_t target)
{
    return (word & ~(DUTY_FIELD << DUTY_TARGET_SHIFT)) | (uint64_t)target << DUTY_TARGET_SHIFT;
}

static inline void duty_init(struct duty *d, uint32_t workers, uint32_t min, uint32_t max, uint32_t seats)
{
    d->min = min;
    d->max = max;
    d->seats = seats;
    /* relaxed: not shared yet */
    atom_store(&d->word, duty_with_target(workers, workers), memory_order_relaxed);
}

/* A look; what is decided by it is decided again by a transition. */
static inline uint64_t duty_read(const struct duty *d)
{
    return atom_load(&d->word, memory_order_relaxed); /* relaxed: a look */
}

/* For all_asleep(): [EL2] acquire: what preceded each change of `on duty`; pairs with duty_replace(). */
static inline uint64_t duty_read_ordered(const struct duty *d)
{
    return atom_load(&d->word, memory_order_acquire);
}

/* [EL2] release: a sleeper who takes its announcement back does so before it leaves duty; pairs with
 * duty_read_ordered(). */
static inline bool duty_replace(struct duty *d, uint64_t *word, uint64_t next)
{
    return atom_cas_weak(&d->word, word, next, memory_order_release, memory_order_relaxed);
}

/* A worker is about to block, or has been. Both return the new word. */
static inline uint64_t duty_block(struct duty *d)
{
    /* relaxed: who must see it is behind a fence (block.c) */
    return atom_add(&d->word, UINT64_C(1) << DUTY_BLOCKED_SHIFT, memory_order_relaxed) +
           (UINT64_C(1) << DUTY_BLOCKED_SHIFT);
}

static inline uint64_t duty_unblock(struct duty *d)
{
    /* relaxed: a surplus is nobody's to wait for */
    return atom_sub(&d->word, UINT64_C(1) << DUTY_BLOCKED_SHIFT, memory_order_relaxed) -
           (UINT64_C(1) << DUTY_BLOCKED_SHIFT);
}

/* One more on duty if `wanted` says so of the word. */
static inline MUST_USE bool duty_join(struct duty *d, bool (*wanted)(const struct duty *, uint64_t))
{
    uint64_t word = duty_read(d);
    do {
        if (!wanted(d, word))
            return false;
    } while (!duty_replace(d, &word, word + 1 + DUTY_VERSION));
    return true;
}

/* One more on duty because the runtime is short. The caller then finds a seat for it, or calls duty_dismiss(). */
static inline MUST_USE bool duty_reserve(struct duty *d)
{
    return duty_join(d, duty_is_short);
}

/* Nobody is active, and no seat is left: a worker that waits stands in for one that would be called (search.c), as one
 * more on duty. It ends with duty_dismiss(). */
static inline MUST_USE bool duty_stand_in(struct duty *d)
{
    return duty_join(d, duty_is_deserted);
}

/* One more on duty, and the target raised so that it is wanted. False: as many as there may be are active. */
static inline MUST_USE bool duty_grow(struct duty *d)
{
    uint64_t word = duty_read(d);
    uint64_t next;
    do {
        uint32_t active = duty_active(word) + 1;
        if (active > d->max || duty_on(word) >= d->seats)
            return false;
        next = active > duty_target(word) ? duty_with_target(word, active) : word;
    } while (!duty_replace(d, &word, next + 1 + DUTY_VERSION));
    return true;
}

/* One fewer on duty: it could not be found a seat or a thread. */
static inline void duty_dismiss(struct duty *d)
{
    uint64_t word = duty_read(d);
    while (!duty_replace(d, &word, word - 1 + DUTY_VERSION))
        continue;
}

/* One fewer on duty if there is a surplus. */
static inline MUST_USE bool duty_withdraw(struct duty *d)
{
    uint64_t word = duty_read(d);
    do {
        if (!duty_has_surplus(word))
            return false;
    } while (!duty_replace(d, &word, word - 1 + DUTY_VERSION));
    return true;
}

/* A worker that has idled for long leaves, and the target with it. False: no more than the minimum are active. */
static inline MUST_USE bool duty_leave(struct duty *d)
{
    uint64_t word = duty_read(d);
    uint64_t next;
    do {
        uint32_t left = duty_active(word) - 1;
        if (left < d->min)
            return false;
        next = left < duty_target(word) ? duty_with_target(word, left) : word;
    } while (!duty_replace(d, &word, next - 1 + DUTY_VERSION));
    return true;
}

/* A worker that has idled for long stays: no more than the minimum are wanted, or are there. False: it may leave. */
static inline MUST_USE bool duty_stay(struct duty *d)
{
    uint64_t word = duty_read(d);
    do {
        if (duty_active(word) > d->min)
            return false;
    } while (!duty_replace(d, &word, duty_with_target(word, d->min)));
    return true;
}

#endif
