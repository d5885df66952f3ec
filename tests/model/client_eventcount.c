/* SPDX-License-Identifier: MIT
 *
 * client_eventcount.c - waiters and notifiers of an eventcount: nobody sleeps past a condition that has become true.
 *
 * Threads: waiters and notifiers.
 */
#include <errno.h>

#include "model.h"
#include "os/os.h"
#include "sync/eventcount.h"

static struct eventcount ec;
static weir_atomic_u32 room; /* the condition: tokens that may be taken */
static unsigned taken;
static int payload;

static void setup(void)
{
    model_name(&ec.epoch, "epoch");
    model_name(&ec.waiters, "waiters");
    model_name(&room, "room");
}

static bool try_take(void)
{
    uint32_t n = atom_load(&room, memory_order_relaxed);
    while (n > 0)
        if (atom_cas(&room, &n, n - 1, memory_order_acquire, memory_order_relaxed)) {
            taken++;
            return true;
        }
    return false;
}

static int take(uint64_t deadline)
{
    for (;;) {
        if (try_take())
            return 0;
        uint32_t key = eventcount_prepare(&ec);
        if (try_take()) {
            eventcount_cancel(&ec);
            return 0;
        }
        if (eventcount_wait(&ec, key, deadline) != 0)
            return -ETIMEDOUT;
    }
}

static void waiter(void)
{
    MODEL_ASSERT(take(OS_FOREVER) == 0);
}

/* One that gives up at a deadline: a wake that was meant for it must not be lost to the other. */
static void waiter_deadline(void)
{
    (void)take(5000);
}

static void give_one(void)
{
    atom_add(&room, 1u, memory_order_release);
    eventcount_notify(&ec, 1);
}

static void give_two(void)
{
    give_one();
    give_one();
}

static void give_two_at_once(void)
{
    atom_add(&room, 2u, memory_order_release);
    eventcount_notify_all(&ec);
}

/* What was done before the notification is known to a waiter that was told, without another look at the condition. */
static void tell(void)
{
    MODEL_WRITE(payload, 7);
    eventcount_notify(&ec, 1);
}

static void told(void)
{
    uint32_t key = eventcount_prepare(&ec);
    if (eventcount_wait(&ec, key, 5000) == 0)
        MODEL_ASSERT(MODEL_READ(payload) == 7);
}

static void check(void)
{
    MODEL_ASSERT(atom_load(&ec.waiters, memory_order_relaxed) == 0);
}

#define CLIENT(client, ...) {.name = client, .setup = setup, .check = check, .thread = {__VA_ARGS__}, \
                             .spurious_wake = 1, .timeouts = 1}
static const struct model_client clients[] = {
    CLIENT("wait_against_notify", waiter, give_one),
    CLIENT("two_waiters", waiter, waiter, give_two),
    CLIENT("two_waiters_two_notifiers", waiter, waiter, give_one, give_one),
    CLIENT("notify_all", waiter, waiter, give_two_at_once),
    CLIENT("deadline_against_notify", waiter_deadline, waiter, give_two),
    {.name = "told_what_happened", .setup = setup, .check = check, .thread = {told, tell}, .timeouts = 1},
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
