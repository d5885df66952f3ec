/* SPDX-License-Identifier: MIT
 *
 * room.h - where submitters sleep while a ring is full, and when they are woken.
 *
 * A submitter that comes first looks again and again for as long as workers empty the ring so fast that a sleep and a
 * wake-up would take longer. Then it sleeps in patience, for ROOM_PATIENCE_NS at most: the patient are woken when half
 * of the ring is free (of a short one, when a slot is), so that a fast stream pays for one sleep and one wake-up per
 * half a ring, not per slot. Whoever has been patient for so long without success is eager from then on: woken as soon
 * as a slot is free, one submitter per task taken. So a submitter whose tasks are slow, or needed by others, never
 * waits for more than the room that it needs.
 *
 * Threads: room_wait: submitters. room_notify: who has taken tasks. room_notify_all: any.
 * Invariants: no wake-up of an eager one is lost (eventcount.h). One of a patient one may come late, by its patience
 * at most. Each sort is woken in the order of falling asleep; the eager ones, who came before all patient ones, first.
 */
#ifndef WEIR_ROOM_H
#define WEIR_ROOM_H

#include <stdbool.h>

#include "sync/eventcount.h"
#include "sync/ring.h"

#define ROOM_PATIENCE_NS UINT64_C(200000) /* bench `submit`, `requests`: longer than half a default queue of requests of
                                             some 100 ns takes, or of a small one of 5 us */

/* Zeroed is ready to use. */
struct room {
    struct eventcount eager;
    struct eventcount patient;
    weir_atomic_u32 vain;   /* so many who come sleep at once: the last one that looked has looked in vain */
    weir_atomic_u32 called; /* 1: patient ones were woken, and none has run since */
} ALIGNED(CACHE_LINE);

/* A submitter's wait. */
struct room_wait {
    struct room *room;
    uint64_t deadline; /* ns */
    uint64_t patient_until; /* ns; 0: eager */
    uint32_t key;
};

/* The ring is full: looks until as much of it is free as wakes the patient, if nobody waits yet and that is near.
 * False: it is time to sleep. */
bool room_is_near(struct room *room, struct ring *r);
/* Begins a wait that ends at `deadline` (absolute, ns; OS_FOREVER: never). */
void room_begin(struct room_wait *w, struct room *room, uint64_t deadline);
/* Announces that the submitter is about to sleep; then it tries once more. */
void room_prepare(struct room_wait *w);
/* It has succeeded, or is refused: takes the announcement back. */
void room_cancel(struct room_wait *w);
/* Sleeps. 0: it is time to try again; -ETIMEDOUT: the deadline has passed, and a try since then has failed. */
int room_sleep(struct room_wait *w) MUST_USE;

void room_notify_slow(struct room *room, struct ring *r, uint32_t n);
void room_notify_all(struct room *room);

/* After n tasks were taken from r. A fence and two loads of one line when nobody waits. */
static inline void room_notify(struct room *room, struct ring *r, uint32_t n)
{
    /* [EC1] seq_cst: as in eventcount_notify(): free slot, load waiters | add waiters, try the ring; pairs with the
     * fence in eventcount_prepare(). */
    atom_fence(memory_order_seq_cst);
    if (UNLIKELY(eventcount_has_waiters(&room->eager)) || UNLIKELY(eventcount_has_waiters(&room->patient)))
        room_notify_slow(room, r, n);
}

#endif
