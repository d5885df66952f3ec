/* SPDX-License-Identifier: MIT
 *
 * client_room.c - submitters that find a ring full, and who takes from it: nobody sleeps beside room.
 *
 * Threads: submitters and takers. Patience ends when nobody else can run, or before that (`timeouts`).
 */
#include <errno.h>

#include "model.h"
#include "os/os.h"
#include "sched/room.h"
#include "sync/ring.h"

static struct ring ring;
static struct room room;
static weir_task tasks[4];
static unsigned taken;

static void setup_of(uint32_t capacity)
{
    MODEL_ASSERT(ring_init(&ring, capacity) == 0);
    model_name(&room.eager.epoch, "eager.epoch");
    model_name(&room.eager.waiters, "eager.waiters");
    model_name(&room.patient.epoch, "patient.epoch");
    model_name(&room.patient.waiters, "patient.waiters");
    for (uint32_t i = 0; i < capacity; i++) {
        uint32_t pushed;
        weir_task *t = &tasks[i];
        MODEL_ASSERT(ring_push(&ring, &t, 1, 1, &pushed) == RING_OK);
    }
}

static void setup_one(void)
{
    setup_of(1);
}

static void setup_two(void)
{
    setup_of(2);
}

static int submit(weir_task *t, uint64_t deadline)
{
    struct room_wait wait;
    uint32_t pushed;
    if (ring_push(&ring, &t, 1, 1, &pushed) == RING_OK)
        return 0;
    room_begin(&wait, &room, deadline);
    for (;;) {
        room_prepare(&wait);
        if (ring_push(&ring, &t, 1, 1, &pushed) == RING_OK) {
            room_cancel(&wait);
            return 0;
        }
        if (room_sleep(&wait) != 0)
            return -ETIMEDOUT;
    }
}

static void submitter(void)
{
    MODEL_ASSERT(submit(&tasks[2], OS_FOREVER) == 0);
}

static void other_submitter(void)
{
    MODEL_ASSERT(submit(&tasks[3], OS_FOREVER) == 0);
}

static void hasty_submitter(void)
{
    (void)submit(&tasks[3], 5000); /* ns: before its patience ends */
}

static void take_one(void)
{
    weir_task *out[RING_CHAIN];
    uint64_t stamp;
    uint32_t n = ring_take(&ring, out, 1, &stamp);
    if (n > 0)
        room_notify(&room, &ring, n);
    taken += n;
}

static void take_two(void)
{
    take_one();
    take_one();
}

static void check(void)
{
    MODEL_ASSERT(atom_load(&room.eager.waiters, memory_order_relaxed) == 0);
    MODEL_ASSERT(atom_load(&room.patient.waiters, memory_order_relaxed) == 0);
    ring_destroy(&ring);
}

#define CLIENT(client, prepare, ...) {.name = client, .setup = prepare, .check = check, .thread = {__VA_ARGS__}, \
                                      .timeouts = 1}
static const struct model_client clients[] = {
    CLIENT("room_against_take", setup_one, submitter, take_one),
    CLIENT("one_of_two_slots", setup_two, submitter, take_one),
    CLIENT("two_submitters", setup_two, submitter, other_submitter, take_two),
    CLIENT("one_gives_up", setup_two, submitter, hasty_submitter, take_two),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
