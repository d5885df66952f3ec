/* SPDX-License-Identifier: MIT
 *
 * ring.h - a bounded lock-free FIFO of tasks, one compare-and-swap per push: what the injector is made of.
 *
 * An entry is one task or a chain of up to RING_CHAIN tasks that were pushed together, linked through weir_task.stamp;
 * the last one's stamp is the time of the push, if it is known. Positions count entries, for ever; slot (position mod
 * slots) holds the entry of one position at a time. A push fills the first free position, a take empties the first held
 * one. The cursors `tail` and `head` only say where to begin to look.
 *
 * Threads: push, take, depth, is_empty, close, is_drained: any. init, destroy: while nobody else uses the ring.
 * Invariants:
 *  R1  A slot goes FREE, HELD, FREE of the next lap, and so on; each step is one compare-and-swap. Whoever makes a slot
 *      HELD has pushed, whoever makes it FREE again owns the chain. Nothing else is ever needed of a thread: one that
 *      stops before its step has done nothing, one that stops behind it is done.
 *  R2  The positions that were ever filled are 0 to some number, and so are those that were taken: a pusher fills a
 *      position only when it knows that all before it were filled, a taker takes one only if all before it were taken.
 *  R3  tail never passes the first free position, head never the first held one; anybody moves them on.
 *  R4  A position is filled only if head > position - slots. So while head stands at a position, that slot shows how
 *      many tasks it held, and whoever moves head on adds that to head's count.
 *  R5  A cursor's count is the number of tasks before its position. A push fits if tail's count - head's count + its
 *      own <= capacity. head's count is never more than what was taken: there are never more than `capacity` tasks.
 *      Full is said only when head's entry was seen in its place: then there were `capacity` tasks at that moment.
 *  R6  A lap is kept in RING_LAP_BITS bits. A thread that sleeps between reading a slot and its step for exactly a
 *      multiple of 2^RING_LAP_BITS laps may fill (or empty) the slot out of turn. A taker then owns a task that really
 *      was queued. A pusher notices by tail, which is laps ahead, and takes its own entry out again, with the step of
 *      a taker; in between the position counts as filled early, after that as filled and taken: others pass over it.
 *  R7  Closing is filling the first free position with RING_CLOSED: no later position can be filled.
 *  R8  `used` is set before the first push fills a position, and for ever.
 *
 * Source: the array queue of Shann, Huang and Chen (ICPADS 2000), which needs a double-width compare-and-swap for its
 * 64-bit laps; R6 replaces it. Tsigas and Zhang (SPAA 2001): cursors that lag behind.
 */
#ifndef WEIR_RING_H
#define WEIR_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <weir/task.h>

#include "base/atomics.h"
#include "base/compiler.h"

#define RING_CHAIN 16u          /* tasks in an entry, at most: what a worker takes at once */
#define RING_NOW UINT64_C(0)    /* a stamp: see ring_push() */
#define RING_CAPACITY_MAX (1u << 24) /* tasks */
#ifndef RING_SLOTS_MIN
#define RING_SLOTS_MIN 1024u    /* so that 2^RING_LAP_BITS laps take seconds */
#endif
#ifndef RING_LAP_BITS
#define RING_LAP_BITS 15u
#endif
#ifndef RING_STRIDE
#define RING_STRIDE 4u          /* entries: a cursor lags behind by less; it is written at every 4th push only */
#endif

struct ring {
    /* Constant but for `used`. */
    weir_atomic_u64 *slots;
    uint32_t mask;           /* slots - 1 */
    uint32_t order;          /* log2 of the slots */
    uint32_t capacity;       /* tasks */
    uint32_t chain;          /* tasks in an entry, at most */
    weir_atomic_u32 used;    /* something was or is being pushed: a ring that never is costs a look one constant line */
    /* Pushers write, takers don't look. */
    weir_atomic_u64 tail ALIGNED(LINE_PAIR);
    weir_atomic_u64 seen;    /* what some pusher last read from `head` */
    /* Takers write, pushers read when the ring seems full. */
    weir_atomic_u64 head ALIGNED(LINE_PAIR);
};

enum ring_result { RING_OK, RING_FULL, RING_CLOSED };

/* capacity: tasks, 1 to RING_CAPACITY_MAX. 0 or -ENOMEM. */
int ring_init(struct ring *r, uint32_t capacity) MUST_USE;
/* What is still in it is forgotten. */
void ring_destroy(struct ring *r);

/*
 * Pushes tasks[0] to tasks[n - 1], in that order, as one entry: n from 1 to r->chain; fewer, at least one, if there is
 * no room for all. *pushed: how many, with RING_OK; the tasks may have run and be gone by then. A failed push writes to
 * `stamp` of the tasks only. Success is a seq_cst read-modify-write.
 * stamp: the time of the push. RING_NOW: it is read here, but not for an entry that is seen to be behind another one in
 * a queue, and not each fourth at that: it is kept as RING_NOW, not known. Reading the clock takes as long as the
 * push's step.
 */
enum ring_result ring_push(struct ring *r, weir_task *const *tasks, uint32_t n, uint64_t stamp,
                           uint32_t *pushed) MUST_USE;
/* The same for one task. */
enum ring_result ring_push_one(struct ring *r, weir_task *t, uint64_t stamp) MUST_USE;

/*
 * Takes whole entries, oldest first, until there are `most` tasks or the next entry would be beyond that; a first entry
 * is taken whatever its length. out: room for `most` and for RING_CHAIN. Each task's stamp is that of its push, *stamp
 * the oldest one that is known, or RING_NOW. 0: empty.
 */
uint32_t ring_take(struct ring *r, weir_task **out, uint32_t most, uint64_t *stamp) MUST_USE;

/* How many tasks there are, about: between 0 and the capacity, exact while nobody pushes or takes. */
uint32_t ring_depth(struct ring *r);
/* About as many or more, for pushers: reads no line that takers write. ring_catch_up() brings it near again. */
uint32_t ring_depth_bound(struct ring *r);
void ring_catch_up(struct ring *r);
/* Whether there are at least n entries, about. Reads no line that pushers write, but the slots. */
bool ring_has(struct ring *r, uint32_t n);
/*
 * Never true while a task is there whose push happened before the call, or is separated from it by a seq_cst operation
 * (the push's own, and a fence before the call). May be false because of a race.
 */
bool ring_is_empty(struct ring *r);

/* Pushes get RING_CLOSED from here on. Idempotent. */
void ring_close(struct ring *r);
/* Whether the ring is closed and everything was taken. It stays so. */
bool ring_is_drained(struct ring *r);

#endif
