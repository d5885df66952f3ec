/* SPDX-License-Identifier: MIT
 *
 * wheel.c - placing timers, spreading slots, finding what is next.
 *
 * Threads, invariants and source: see wheel.h.
 */
#include "sync/wheel.h"

#include "base/compiler.h"

#define MOVES_MAX 256u /* timers that one call takes out or moves down: some 10 us with the wheel locked */
#define SCAN_MAX 8u    /* timers of a slot that are looked through for the earliest: saves a wake-up per lone timer */

/* --- lists ---------------------------------------------------------------------------------------------------- */

static inline bool is_empty(const struct weir_timer_link *head)
{
    return head->next == head;
}

static inline void append(struct weir_timer_link *head, struct weir_timer_link *l)
{
    l->next = head;
    l->prev = head->prev;
    head->prev->next = l;
    head->prev = l;
}

/* Its successor is what the caller takes next when it empties a slot. */
static inline void unlink_timer(struct weir_timer_link *l)
{
    __builtin_prefetch(l->next->next, 1);
    l->prev->next = l->next;
    l->next->prev = l->prev;
}

static inline weir_timer *timer_of(struct weir_timer_link *l)
{
    return CONTAINER_OF(l, weir_timer, link);
}

/* --- placing -------------------------------------------------------------------------------------------------- */

static inline uint32_t digit(uint64_t tick, uint32_t level)
{
    return (uint32_t)(tick >> (level * WHEEL_BITS)) % WHEEL_SLOTS;
}

static inline uint32_t level_of(const struct wheel *w, uint64_t tick)
{
    uint64_t differs = (tick ^ w->now) | 1;
    return (63u - (uint32_t)__builtin_clzll(differs)) / WHEEL_BITS;
}

static inline void place(struct wheel *w, weir_timer *timer)
{
    uint32_t level = level_of(w, timer->due);
    uint32_t slot = digit(timer->due, level);
    append(&w->slot[level][slot], &timer->link);
    w->filled[level] |= UINT64_C(1) << slot;
}

void wheel_add(struct wheel *w, weir_timer *timer, uint64_t tick)
{
    timer->due = tick > w->now ? tick : w->now;
    place(w, timer);
    w->pending++;
}

void wheel_remove(struct wheel *w, weir_timer *timer)
{
    unlink_timer(&timer->link);
    w->pending--;
}

/* --- what is next --------------------------------------------------------------------------------------------- */

struct place {
    uint32_t level;
    uint32_t slot;
    uint64_t begin; /* tick */
};

/* The earliest slot that holds a timer. False: none does. */
static bool find_next(struct wheel *w, struct place *p)
{
    if (w->spreading != 0 && is_empty(&w->slot[w->spreading][digit(w->now, w->spreading)]))
        w->spreading = 0;
    for (uint32_t level = w->spreading; level < WHEEL_LEVELS; level++) {
        while (w->filled[level] != 0) {
            uint32_t slot = (uint32_t)__builtin_ctzll(w->filled[level]);
            if (is_empty(&w->slot[level][slot])) {
                w->filled[level] &= w->filled[level] - 1;
                continue;
            }
            uint32_t shift = level * WHEEL_BITS;
            p->level = level;
            p->slot = slot;
            p->begin = (w->now >> shift >> WHEEL_BITS << WHEEL_BITS | slot) << shift;
            return true;
        }
    }
    return false;
}

/* The earliest tick in a slot, or where the slot begins if it holds many. */
static uint64_t earliest_in(const struct weir_timer_link *head, uint64_t begin)
{
    uint64_t earliest = WHEEL_NEVER;
    uint32_t n = 0;
    for (struct weir_timer_link *l = head->next; l != head; l = l->next) {
        if (++n > SCAN_MAX)
            return begin;
        if (timer_of(l)->due < earliest)
            earliest = timer_of(l)->due;
    }
    return earliest;
}

uint64_t wheel_next(struct wheel *w)
{
    struct place p;
    if (w->pending == 0 || !find_next(w, &p))
        return WHEEL_NEVER;
    if (p.level == 0 || w->spreading != 0) /* what was spread may be earlier than what is left */
        return p.begin;
    return earliest_in(&w->slot[p.level][p.slot], p.begin);
}

/* --- time goes on --------------------------------------------------------------------------------------------- */

/* Moves a timer of a slot that begins at `now` down. */
static void spread_one(struct wheel *w, const struct place *p)
{
    weir_timer *timer = timer_of(w->slot[p->level][p->slot].next);
    w->spreading = p->level;
    unlink_timer(&timer->link);
    place(w, timer);
}

static void move_to(struct wheel *w, uint64_t now)
{
    if (now > w->now)
        w->now = now;
}

uint32_t wheel_expire(struct wheel *w, uint64_t now, weir_timer **out, uint32_t most)
{
    uint32_t n = 0;
    for (uint32_t moves = 0; n < most && moves < MOVES_MAX; moves++) {
        struct place p;
        if (!find_next(w, &p) || p.begin > now) {
            move_to(w, now);
            break;
        }
        move_to(w, p.begin);
        if (p.level > 0) {
            spread_one(w, &p);
            continue;
        }
        out[n] = timer_of(w->slot[0][p.slot].next);
        wheel_remove(w, out[n++]);
    }
    return n;
}

void wheel_advance_empty(struct wheel *w, uint64_t now)
{
    if (w->pending != 0)
        return;
    move_to(w, now);
    w->spreading = 0;
    for (uint32_t level = 0; level < WHEEL_LEVELS; level++)
        w->filled[level] = 0;
}

void wheel_init(struct wheel *w, uint64_t now)
{
    w->now = now;
    w->pending = 0;
    w->spreading = 0;
    for (uint32_t level = 0; level < WHEEL_LEVELS; level++) {
        w->filled[level] = 0;
        for (uint32_t slot = 0; slot < WHEEL_SLOTS; slot++)
            w->slot[level][slot].next = w->slot[level][slot].prev = &w->slot[level][slot];
    }
}
