/* SPDX-License-Identifier: MIT
 *
 * test_eventcount.c - what must hold for the eventcount: deadlines, keys that are out of date, no lost wake-up.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>

#include "os/os.h"
#include "sync/eventcount.h"

#define MS UINT64_C(1000000) /* ns */
#define WAITERS 4u
#define HANDOVERS 2000u

static struct eventcount ec;
static weir_atomic_u32 tokens; /* the condition: tokens > 0 */
static weir_atomic_u32 arrived;

static void setup(void)
{
    ec = (struct eventcount){{0}, {0}};
    tokens = (weir_atomic_u32){0};
    arrived = (weir_atomic_u32){0};
}

TestSuite(eventcount, .init = setup);

static uint32_t waiters(void)
{
    return atom_load(&ec.waiters, memory_order_relaxed); /* any order: polled */
}

Test(eventcount, wait_ends_at_its_deadline)
{
    uint64_t deadline = os_now() + 20 * MS;
    uint32_t key = eventcount_prepare(&ec);
    cr_assert_eq(waiters(), 1);
    int result;
    /* A wait may end early for no reason, then it starts again. */
    while ((result = eventcount_wait(&ec, key, deadline)) == 0)
        key = eventcount_prepare(&ec);
    cr_assert_eq(result, -ETIMEDOUT);
    cr_assert_geq(os_now(), deadline);
    cr_assert_eq(waiters(), 0);
}

Test(eventcount, deadline_in_the_past_returns_at_once)
{
    uint32_t key = eventcount_prepare(&ec);
    cr_assert_eq(eventcount_wait(&ec, key, 1), -ETIMEDOUT);
    cr_assert_eq(waiters(), 0);
}

Test(eventcount, notification_after_the_key_ends_the_wait)
{
    uint32_t key = eventcount_prepare(&ec);
    eventcount_notify(&ec, 1);
    cr_assert_eq(eventcount_wait(&ec, key, OS_FOREVER), 0);
    key = eventcount_prepare(&ec);
    eventcount_notify_all(&ec);
    cr_assert_eq(eventcount_wait(&ec, key, 1), 0, "notified, though the deadline has passed as well");
    cr_assert_eq(waiters(), 0);
}

Test(eventcount, cancel_takes_the_announcement_back)
{
    uint32_t key = eventcount_prepare(&ec);
    cr_assert_eq(waiters(), 1);
    eventcount_cancel(&ec);
    cr_assert_eq(waiters(), 0);
    eventcount_notify(&ec, 1);
    cr_assert_eq(atom_load(&ec.epoch, memory_order_relaxed), key, "nobody waits: nothing to do");
}

static bool take_token(void)
{
    uint32_t n = atom_load(&tokens, memory_order_acquire);
    while (n > 0)
        if (atom_cas(&tokens, &n, n - 1, memory_order_acq_rel, memory_order_acquire))
            return true;
    return false;
}

/* Waits for a token without a deadline. */
static void wait_token(void)
{
    while (!take_token()) {
        uint32_t key = eventcount_prepare(&ec);
        if (take_token()) {
            eventcount_cancel(&ec);
            break;
        }
        cr_assert_eq(eventcount_wait(&ec, key, OS_FOREVER), 0);
    }
}

static void *consume(void *count)
{
    for (uintptr_t i = 0; i < (uintptr_t)count; i++) {
        wait_token();
        atom_add(&arrived, 1, memory_order_release);
    }
    return NULL;
}

static void await(uint32_t n)
{
    while (atom_load(&arrived, memory_order_acquire) < n)
        os_yield();
}

Test(eventcount, notify_all_wakes_everybody, .timeout = 30)
{
    pthread_t t[WAITERS];
    for (unsigned i = 0; i < WAITERS; i++)
        cr_assert_eq(pthread_create(&t[i], NULL, consume, (void *)1), 0);
    while (waiters() < WAITERS)
        os_yield();
    atom_add(&tokens, WAITERS, memory_order_release);
    eventcount_notify_all(&ec);
    await(WAITERS);
    for (unsigned i = 0; i < WAITERS; i++)
        pthread_join(t[i], NULL);
    cr_assert_eq(waiters(), 0);
}

Test(eventcount, every_single_notification_reaches_someone, .timeout = 60)
{
    pthread_t t[WAITERS];
    for (unsigned i = 0; i < WAITERS; i++)
        cr_assert_eq(pthread_create(&t[i], NULL, consume, (void *)(uintptr_t)(HANDOVERS / WAITERS)), 0);
    for (uint32_t i = 0; i < HANDOVERS; i++) {
        atom_add(&tokens, 1, memory_order_release);
        eventcount_notify(&ec, 1);
        if (i % 3 == 0)
            await(i + 1); /* nobody else notifies: a lost wake-up would hang here */
    }
    for (unsigned i = 0; i < WAITERS; i++)
        pthread_join(t[i], NULL);
    cr_assert_eq(atom_load(&arrived, memory_order_relaxed), HANDOVERS); /* relaxed: joined */
    cr_assert_eq(waiters(), 0);
}
