/* SPDX-License-Identifier: MIT
 *
 * client_smallest.c - the smallest client there is: a message that is handed over with release and acquire.
 *
 * Threads: a sender and a receiver.
 */
#include "base/atomics.h"
#include "model.h"

static weir_atomic_u32 ready;
static int message;

static void sender(void)
{
    MODEL_WRITE(message, 42);
    atom_store(&ready, 1u, memory_order_release);
}

static void receiver(void)
{
    if (atom_load(&ready, memory_order_acquire) == 1)
        MODEL_ASSERT(MODEL_READ(message) == 42);
}

static void setup(void)
{
    model_name(&ready, "ready");
}

static const struct model_client clients[] = {
    {.name = "message", .setup = setup, .thread = {sender, receiver}},
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
