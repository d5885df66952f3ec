/* SPDX-License-Identifier: MIT
 *
 * gate.c - a limit on requests in flight.
 *
 * Threads: any.
 * Invariants: the count changes by read-modify-writes of one word, so it never passes the limit; who leaves and finds
 * the mark of a sleeper takes it away and wakes all of them. The gate hands no data from one request to another: every
 * access is relaxed.
 */
#include <weir/gate.h>

#include <errno.h>
#include <limits.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "os/os.h"

#define SLEEPERS (UINT32_C(1) << 31)

int weir_gate_init(weir_gate *gate, uint32_t limit)
{
    if (gate == NULL || limit == 0 || limit > WEIR_GATE_MAX)
        return -EINVAL;
    gate->limit = limit;
    atom_store(&gate->state, 0u, memory_order_relaxed); /* relaxed: not shared yet */
    return 0;
}

static weir_task *leave(weir_worker *w, weir_task *t)
{
    (void)w;
    weir_gate_leave(CONTAINER_OF(t, weir_pass, task));
    return NULL;
}

int weir_gate_enter(weir_gate *gate, weir_pass *pass)
{
    if (gate == NULL || pass == NULL)
        return -EINVAL;
    uint32_t now = atom_load(&gate->state, memory_order_relaxed); /* relaxed: the CAS decides */
    do {
        if ((now & ~SLEEPERS) >= gate->limit)
            return -EAGAIN;
        /* relaxed, both: a count */
    } while (!atom_cas_weak(&gate->state, &now, now + 1, memory_order_relaxed, memory_order_relaxed));
    weir_continuation_init(&pass->task, leave, 1);
    pass->gate = gate;
    return 0;
}

int weir_gate_enter_until(weir_gate *gate, weir_pass *pass, uint64_t deadline)
{
    for (;;) {
        int r = weir_gate_enter(gate, pass);
        if (r != -EAGAIN)
            return r;
        if (weir_self() != NULL)
            return -EDEADLK;
        /* relaxed: who leaves changes this very word, and sees the mark or makes the wait below return */
        uint32_t now = atom_or(&gate->state, SLEEPERS, memory_order_relaxed) | SLEEPERS;
        if ((now & ~SLEEPERS) >= gate->limit && os_futex_wait(&gate->state, now, deadline) == -ETIMEDOUT)
            return -ETIMEDOUT;
    }
}

void weir_gate_leave(weir_pass *pass)
{
    if (pass == NULL)
        return;
    weir_gate *gate = pass->gate; /* the request may be gone when somebody else may come in */
    uint32_t now = atom_load(&gate->state, memory_order_relaxed); /* relaxed: the CAS decides */
    /* relaxed, both: a count; the gate may be gone after the last one, the futex uses its address only */
    while (!atom_cas_weak(&gate->state, &now, (now & ~SLEEPERS) - 1, memory_order_relaxed, memory_order_relaxed))
        continue;
    if (UNLIKELY(now & SLEEPERS))
        os_futex_wake(&gate->state, INT_MAX);
}

uint32_t weir_gate_inside(const weir_gate *gate)
{
    return gate != NULL ? atom_load(&gate->state, memory_order_relaxed) & ~SLEEPERS : 0; /* relaxed: a hint */
}
