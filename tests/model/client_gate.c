/* SPDX-License-Identifier: MIT
 *
 * client_gate.c - a limit on requests in flight: who waits for room against who leaves, and against a deadline.
 *
 * Threads: requests, which come in, stay for a moment and leave.
 * Invariants: never more inside than the limit; whoever waits is let in when somebody leaves, or is refused at its
 * deadline; nobody sleeps beside room.
 */
#include <errno.h>
#include <weir/gate.h>

#include "base/atomics.h"
#include "model.h"
#include "os/os.h"

#define LIMIT 1u
#define DEADLINE UINT64_C(5000) /* ns */

static weir_gate gate;
static weir_pass pass[4];
static weir_atomic_u32 inside, let_in;

/* None of the threads is a worker. */
weir_worker *weir_self(void)
{
    return NULL;
}

static void setup(void)
{
    MODEL_ASSERT(weir_gate_init(&gate, LIMIT) == 0);
    model_name(&gate.state, "gate");
    model_name(&inside, "inside");
}

/* The count is the gate's alone: it orders nothing else. */
static void stay(void)
{
    MODEL_ASSERT(atom_add(&inside, 1u, memory_order_relaxed) < LIMIT);
    atom_sub(&inside, 1u, memory_order_relaxed);
    atom_add(&let_in, 1u, memory_order_relaxed);
    weir_gate_leave(&pass[model_thread()]);
}

static void waits(void)
{
    MODEL_ASSERT(weir_gate_enter_until(&gate, &pass[model_thread()], OS_FOREVER) == 0);
    stay();
}

static void waits_until(void)
{
    int r = weir_gate_enter_until(&gate, &pass[model_thread()], DEADLINE);
    MODEL_ASSERT(r == 0 || r == -ETIMEDOUT);
    if (r == 0)
        stay();
}

static void tries(void)
{
    int r = weir_gate_enter(&gate, &pass[model_thread()]);
    MODEL_ASSERT(r == 0 || r == -EAGAIN);
    if (r == 0)
        stay();
}

/* As many as the tag says wait without a deadline: all of them were let in. */
static void check(void)
{
    MODEL_ASSERT(weir_gate_inside(&gate) == 0);
    MODEL_ASSERT(atom_load(&let_in, memory_order_relaxed) >= (uint32_t)model_tag());
}

#define CLIENT(client, n, ...) {.name = client, .tag = n, .setup = setup, .check = check, .thread = {__VA_ARGS__}, \
                                .timeouts = 1, .spurious_cas = 1, .spurious_wake = 1}
static const struct model_client clients[] = {
    CLIENT("wait_against_leave", 2, waits, waits),
    CLIENT("two_wait_for_one_place", 3, waits, waits, waits),
    CLIENT("deadline_against_leave", 1, waits, waits_until),
    CLIENT("wait_deadline_and_try", 1, waits, waits_until, tries),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
