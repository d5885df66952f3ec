/* SPDX-License-Identifier: MIT
 *
 * wheel.h - a hierarchical timing wheel: timers by the tick at which they are due, any number at a constant price.
 *
 * Level k has 64 slots of 64^k ticks each. A timer lies at the level of the highest digit (base 64) in which its tick
 * differs from the wheel's present, in the slot that this digit of its tick names; so the slots of a level lie ahead of
 * the present and never wrap, and the lowest level that is not empty holds what is due next. When the present reaches a
 * slot of a level above 0, the slot's timers are spread over the levels below, a bounded number per call.
 *
 * Threads: one at a time; who shares a wheel locks it (sched/timers.c).
 * Invariants:
 *  W1  No timer's tick is before `now`. Every timer is where level and slot of its tick, seen from `now`, say, but for
 *      those of the slot that is just being spread, which begins at `now`.
 *  W2  A slot that holds timers has its bit in `filled`; a bit may be left over from timers that were taken out.
 *
 * Source: Varghese and Lauck, "Hashed and hierarchical timing wheels" (SOSP 1987), scheme 7; the placement by the
 * highest differing digit follows tokio's time driver.
 */
#ifndef WEIR_WHEEL_H
#define WEIR_WHEEL_H

#include <stdbool.h>
#include <stdint.h>
#include <weir/time.h>

#define WHEEL_TICK_SHIFT 14u /* log2 of the ns in a tick: 16.4 us, on average half of it late (bench `timers`) */
#define WHEEL_BITS 6u        /* log2 of the slots in a level: the bits of a word */
#define WHEEL_SLOTS (1u << WHEEL_BITS)
#define WHEEL_LEVELS 9u      /* 14 + 9 * 6 bits: every time in ns */
#define WHEEL_TICK_MAX (UINT64_MAX >> WHEEL_TICK_SHIFT)
#define WHEEL_NEVER UINT64_MAX

struct wheel {
    uint64_t now;      /* tick: everything before it was taken out */
    uint64_t pending;  /* timers */
    uint32_t spreading; /* the level whose slot at `now` is being spread; 0: none */
    uint64_t filled[WHEEL_LEVELS];
    struct weir_timer_link slot[WHEEL_LEVELS][WHEEL_SLOTS]; /* rings: oldest behind the head */
};

/* The first tick that begins at `ns` or later, at most WHEEL_TICK_MAX. */
static inline uint64_t wheel_tick_from(uint64_t ns)
{
    uint64_t part = ns & ((UINT64_C(1) << WHEEL_TICK_SHIFT) - 1);
    uint64_t tick = (ns >> WHEEL_TICK_SHIFT) + (part != 0);
    return tick < WHEEL_TICK_MAX ? tick : WHEEL_TICK_MAX;
}

/* The tick that `ns` is in. */
static inline uint64_t wheel_tick_at(uint64_t ns)
{
    return ns >> WHEEL_TICK_SHIFT;
}

static inline uint64_t wheel_ns(uint64_t tick)
{
    return tick << WHEEL_TICK_SHIFT;
}

/* An empty wheel at tick `now`. */
void wheel_init(struct wheel *w, uint64_t now);
/* Moves an empty wheel's present on, so that what comes lies near. */
void wheel_advance_empty(struct wheel *w, uint64_t now);
/* Adds a timer for `tick`; one in the past is due at `now`. The tick it got is in timer->due. */
void wheel_add(struct wheel *w, weir_timer *timer, uint64_t tick);
/* Takes a timer out that is in the wheel. */
void wheel_remove(struct wheel *w, weir_timer *timer);
/*
 * Takes up to `most` timers out that are due at tick `now`, in the order of their ticks. Fewer, even none, although
 * more are due: enough was moved for one call; wheel_next() is then not after `now`.
 */
uint32_t wheel_expire(struct wheel *w, uint64_t now, weir_timer **out, uint32_t most);
/* A tick not after that of any timer: of the earliest, unless many are near each other. WHEEL_NEVER: it is empty. */
uint64_t wheel_next(struct wheel *w);

#endif
