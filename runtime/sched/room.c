/* SPDX-License-Identifier: MIT
 *
 * room.c - patient and eager submitters behind room.h.
 *
 * Threads, Invariants: see room.h.
 */
#include "sched/room.h"

#include <errno.h>

#include "os/os.h"

#define ROOM_SHARE 2u /* the patient are woken when one part in so many is free */
#define ROOM_LONG 16u /* tasks: who waits for a shorter queue is woken by any free slot. By the time half of it is free
                         workers run dry: through 4 entries 170,000 tasks of 5 us a second, with half of it 120,000;
                         through 16 entries 155,000, with half of it 200,000 (bench `capacity`, 2 CPUs) */
#define NEAR_NS UINT64_C(20000) /* what a sleep and a wake-up take, about; and twice that is as long as anybody looks */
#define LOOK_NS UINT64_C(2000)  /* a choice: the rate at which a ring is emptied is known by then; lost if it is slow */
#define LOOK_RELAXES 32u        /* a choice: pauses of some 50 ns between two looks, which take `head` from workers */
#define VAIN 4u                 /* a choice: sleeps without a look after a look in vain */

static bool is_patient(const struct room_wait *w)
{
    return w->patient_until != 0;
}

static struct eventcount *place_of(const struct room_wait *w)
{
    return is_patient(w) ? &w->room->patient : &w->room->eager;
}

/* How many free slots wake the patient. */
static inline uint32_t free_enough(const struct ring *r)
{
    return r->capacity < ROOM_LONG ? 1 : r->capacity / ROOM_SHARE;
}

/* --- submitters ------------------------------------------------------------------------------------------------- */

/* Whether it is worth a look: not right after one in vain. Workers that are that fast stay so for some time. */
static inline bool has_hope(struct room *room)
{
    uint32_t vain = atom_load(&room->vain, memory_order_relaxed); /* relaxed, both: a hint */
    if (LIKELY(vain == 0))
        return true;
    atom_store(&room->vain, vain - 1, memory_order_relaxed);
    return false;
}

bool room_is_near(struct room *room, struct ring *r)
{
    if (eventcount_has_waiters(&room->eager) || eventcount_has_waiters(&room->patient))
        return false; /* who came first goes first */
    if (!has_hope(room))
        return false;
    uint64_t from = os_now();
    for (;;) {
        for (unsigned i = 0; i < LOOK_RELAXES; i++)
            os_relax();
        uint64_t free_slots = r->capacity - ring_depth(r);
        if (free_slots >= free_enough(r))
            return true;
        uint64_t looked = os_now() - from;
        uint64_t left = free_enough(r) - free_slots;
        if (looked >= 2 * NEAR_NS || (looked >= LOOK_NS && looked * left > NEAR_NS * free_slots)) {
            atom_store(&room->vain, VAIN, memory_order_relaxed); /* relaxed: a hint */
            return false;
        }
    }
}

void room_begin(struct room_wait *w, struct room *room, uint64_t deadline)
{
    *w = (struct room_wait){.room = room, .deadline = deadline, .patient_until = os_now() + ROOM_PATIENCE_NS};
}

/* Whoever was called last runs, or is not there any more: the next take may call. */
static void forget_call(struct room *room)
{
    /* relaxed, both: a hint; a call that comes to light late has changed the key */
    if (atom_load(&room->called, memory_order_relaxed) != 0)
        atom_store(&room->called, 0u, memory_order_relaxed);
}

void room_prepare(struct room_wait *w)
{
    if (is_patient(w))
        forget_call(w->room);
    w->key = eventcount_prepare(place_of(w));
}

void room_cancel(struct room_wait *w)
{
    eventcount_cancel(place_of(w));
}

int room_sleep(struct room_wait *w)
{
    bool until_deadline = !is_patient(w) || w->deadline <= w->patient_until;
    int r = eventcount_wait(place_of(w), w->key, until_deadline ? w->deadline : w->patient_until);
    if (is_patient(w))
        forget_call(w->room);
    if (r == 0 || until_deadline)
        return r;
    w->patient_until = 0;
    return 0;
}

/* --- takers ----------------------------------------------------------------------------------------------------- */

static void call_patient(struct room *room, struct ring *r)
{
    uint32_t free_slots = r->capacity - ring_depth(r);
    if (free_slots < free_enough(r))
        return;
    /* relaxed: a hint, which saves system calls until those who were woken run; a patient one that it hides is not
     * asleep for long (room.h) */
    atom_store(&room->called, 1u, memory_order_relaxed);
    eventcount_notify_slow(&room->patient, (int)free_slots);
}

void room_notify_slow(struct room *room, struct ring *r, uint32_t n)
{
    if (eventcount_has_waiters(&room->eager))
        eventcount_notify_slow(&room->eager, (int)n);
    /* relaxed: as above */
    if (eventcount_has_waiters(&room->patient) && atom_load(&room->called, memory_order_relaxed) == 0)
        call_patient(room, r);
}

void room_notify_all(struct room *room)
{
    eventcount_notify_all(&room->eager);
    eventcount_notify_all(&room->patient);
}
