/* SPDX-License-Identifier: MIT
 *
 * test_room.c - what must hold where submitters sleep while a ring is full: when the patient and the eager are woken.
 */
#include "../integration/support.h"
#include "os/os.h"
#include "sched/room.h"

#define CAPACITY 64u
#define SHORT 8u
#define SOON_NS UINT64_C(1000000)

static struct ring ring;
static struct room room;
static weir_task tasks[CAPACITY];

static void setup(void)
{
    cr_assert_eq(ring_init(&ring, CAPACITY), 0);
    for (unsigned i = 0; i < CAPACITY; i++) {
        weir_task *t = &tasks[i];
        uint32_t pushed;
        cr_assert_eq(ring_push(&ring, &t, 1, 1, &pushed), RING_OK);
    }
}

static void teardown(void)
{
    ring_destroy(&ring);
}

TestSuite(room, .init = setup, .fini = teardown, .timeout = 30);

static void take(uint32_t n)
{
    weir_task *out[CAPACITY];
    uint64_t stamp;
    cr_assert_eq(ring_take(&ring, out, n, &stamp), n);
    room_notify(&room, &ring, n);
}

static uint32_t calls_of(struct eventcount *ec)
{
    return atom_load(&ec->epoch, memory_order_relaxed);
}

/* A submitter that has been patient for as long as it may. */
static void lose_patience(struct room_wait *w)
{
    room_begin(w, &room, OS_FOREVER);
    uint64_t until = os_now() + ROOM_PATIENCE_NS;
    room_prepare(w);
    cr_assert_eq(room_sleep(w), 0);
    cr_assert_geq(os_now() + 1, until);
}

Test(room, patient_submitter_is_woken_when_half_of_the_ring_is_free)
{
    struct room_wait w;
    room_begin(&w, &room, OS_FOREVER);
    room_prepare(&w);
    take(CAPACITY / 2 - 1);
    cr_assert_eq(calls_of(&room.patient), 0);
    take(1);
    cr_assert_eq(calls_of(&room.patient), 1);
    cr_assert_eq(room_sleep(&w), 0, "it does not sleep past the call");
}

Test(room, patient_submitter_is_called_once_until_it_runs)
{
    struct room_wait w;
    room_begin(&w, &room, OS_FOREVER);
    room_prepare(&w);
    take(CAPACITY / 2);
    take(1);
    cr_assert_eq(calls_of(&room.patient), 1);
    cr_assert_eq(room_sleep(&w), 0);
    room_prepare(&w);
    take(1);
    cr_assert_eq(calls_of(&room.patient), 2);
    room_cancel(&w);
}

Test(room, call_for_one_that_found_room_itself_keeps_nobody_asleep)
{
    struct room_wait w;
    room_begin(&w, &room, OS_FOREVER);
    room_prepare(&w);
    take(CAPACITY / 2);
    room_cancel(&w);
    room_prepare(&w);
    take(1);
    cr_assert_eq(calls_of(&room.patient), 2);
    cr_assert_eq(room_sleep(&w), 0);
}

Test(room, submitter_that_was_patient_long_enough_is_woken_by_one_free_slot)
{
    struct room_wait w;
    lose_patience(&w);
    room_prepare(&w);
    take(1);
    cr_assert_eq(calls_of(&room.eager), 1);
    cr_assert_eq(calls_of(&room.patient), 0);
    cr_assert_eq(room_sleep(&w), 0);
    take(1);
    cr_assert_eq(calls_of(&room.eager), 1, "nobody waits any more");
}

/* --- several submitters ----------------------------------------------------------------------------------------- */

#define SLEEPERS 6u
#define SETTLE_US 3000u /* for a wake-up too many to show */

static struct sleeper {
    pthread_t thread;
    weir_atomic_u32 tid;
    unsigned index;
} sleepers[SLEEPERS];
static weir_atomic_u32 woken;
static weir_atomic_u32 places, order[SLEEPERS]; /* who was woken first, second ... */

static void *sleep_once(void *arg)
{
    struct sleeper *s = arg;
    struct room_wait w;
    lose_patience(&w);
    room_prepare(&w);
    atom_store(&s->tid, (uint32_t)gettid(), memory_order_release);
    cr_assert_eq(room_sleep(&w), 0);
    /* release: who has seen the count sees the name in the place before it */
    atom_store(&order[atom_add(&places, 1u, memory_order_relaxed)], s->index, memory_order_relaxed);
    atom_add(&woken, 1u, memory_order_release);
    return NULL;
}

static void start_and_await_sleep(unsigned i)
{
    struct sleeper *s = &sleepers[i];
    s->index = i;
    cr_assert_eq(pthread_create(&s->thread, NULL, sleep_once, s), 0);
    uint32_t tid;
    while ((tid = atom_load(&s->tid, memory_order_acquire)) == 0 || !is_asleep(tid))
        usleep(100);
}

Test(room, eager_submitters_are_woken_in_order_one_per_free_slot)
{
    for (unsigned i = 0; i < SLEEPERS; i++)
        start_and_await_sleep(i);
    for (unsigned i = 0; i < SLEEPERS; i++) {
        take(1);
        while (atom_load(&woken, memory_order_acquire) == i)
            usleep(100);
        usleep(SETTLE_US);
        cr_assert_eq(atom_load(&woken, memory_order_acquire), i + 1, "one slot, one wake-up");
        uint32_t who = atom_load(&order[i], memory_order_relaxed);
        cr_assert_eq(who, i, "number %u was woken in the place of %u", who, i);
    }
    for (unsigned i = 0; i < SLEEPERS; i++)
        pthread_join(sleepers[i].thread, NULL);
}

Test(room, slots_that_come_free_together_wake_as_many)
{
    for (unsigned i = 0; i < SLEEPERS; i++)
        start_and_await_sleep(i);
    take(SLEEPERS / 2);
    while (atom_load(&woken, memory_order_acquire) < SLEEPERS / 2)
        usleep(100);
    usleep(SETTLE_US);
    cr_assert_eq(atom_load(&woken, memory_order_acquire), SLEEPERS / 2);
    take(SLEEPERS / 2);
    for (unsigned i = 0; i < SLEEPERS; i++)
        pthread_join(sleepers[i].thread, NULL);
}

Test(room, deadline_ends_patience_and_eagerness)
{
    struct room_wait w;
    uint64_t soon = os_now() + ROOM_PATIENCE_NS / 2;
    room_begin(&w, &room, soon);
    room_prepare(&w);
    cr_assert_eq(room_sleep(&w), -ETIMEDOUT);
    cr_assert_geq(os_now() + 1, soon);
    soon = os_now() + ROOM_PATIENCE_NS + SOON_NS;
    room_begin(&w, &room, soon);
    room_prepare(&w);
    cr_assert_eq(room_sleep(&w), 0, "it tries once more when its patience ends");
    room_prepare(&w);
    cr_assert_eq(room_sleep(&w), -ETIMEDOUT);
    cr_assert_geq(os_now() + 1, soon);
    cr_assert_eq(atom_load(&room.eager.waiters, memory_order_relaxed), 0);
    cr_assert_eq(atom_load(&room.patient.waiters, memory_order_relaxed), 0);
}

Test(room, patient_submitter_of_a_short_queue_is_woken_by_one_free_slot)
{
    struct room_wait w;
    ring.capacity = SHORT;
    take(CAPACITY - SHORT);
    room_begin(&w, &room, OS_FOREVER);
    room_prepare(&w);
    take(1);
    cr_assert_eq(calls_of(&room.patient), 1);
    cr_assert_eq(room_sleep(&w), 0);
}

Test(room, room_is_near_when_half_of_the_queue_is_free)
{
    take(CAPACITY / 2);
    cr_assert(room_is_near(&room, &ring));
}

Test(room, room_is_not_near_while_nobody_takes_and_not_looked_for_at_once_again)
{
    cr_assert_not(room_is_near(&room, &ring));
    take(CAPACITY / 2);
    unsigned sleeps = 0;
    while (!room_is_near(&room, &ring))
        sleeps++;
    cr_assert_gt(sleeps, 0);
}

Test(room, who_comes_later_does_not_look_for_room_past_who_sleeps)
{
    struct room_wait w;
    take(CAPACITY / 2);
    room_begin(&w, &room, OS_FOREVER);
    room_prepare(&w);
    cr_assert_not(room_is_near(&room, &ring));
    room_cancel(&w);
    cr_assert(room_is_near(&room, &ring));
}

Test(room, everybody_is_woken_by_notify_all)
{
    struct room_wait eager, patient;
    lose_patience(&eager);
    room_prepare(&eager);
    room_begin(&patient, &room, OS_FOREVER);
    room_prepare(&patient);
    room_notify_all(&room);
    cr_assert_eq(room_sleep(&eager), 0);
    cr_assert_eq(room_sleep(&patient), 0);
}
