/* SPDX-License-Identifier: MIT
 *
 * os_fault.c - counts the events of os_linux.c that may fail, and picks those that shall. Only in builds with
 * WEIR_FAULT_INJECTION.
 *
 * Threads: as os_fault.h.
 * Invariants: events of one kind are numbered from 1 without gaps, so an armed number is met by exactly one of them.
 */
#include "os/os_fault.h"

#include "base/atomics.h"

#define FAULT_NONE UINT64_C(0)
#define FAULT_ALWAYS UINT64_MAX

struct fault {
    weir_atomic_u64 events; /* written by every thread */
    weir_atomic_u64 target; /* number of the event that fails, or one of the two above; written by the test */
};

static struct fault faults[OS_FAULT_KINDS];

bool os_fault(enum os_fault_kind kind)
{
    struct fault *f = &faults[kind];
    /* relaxed: the number alone decides, no other memory depends on it */
    uint64_t number = atom_add(&f->events, 1, memory_order_relaxed) + 1;
    uint64_t target = atom_load(&f->target, memory_order_relaxed);

    return target == FAULT_ALWAYS || target == number;
}

void os_fault_arm(enum os_fault_kind kind, uint64_t nth)
{
    struct fault *f = &faults[kind];
    uint64_t target = nth == 0 ? FAULT_NONE : atom_load(&f->events, memory_order_relaxed) + nth;

    /* relaxed: threads that the test starts afterwards see it, others are not promised to */
    atom_store(&f->target, target, memory_order_relaxed);
}

void os_fault_arm_always(enum os_fault_kind kind)
{
    /* relaxed: as in os_fault_arm() */
    atom_store(&faults[kind].target, FAULT_ALWAYS, memory_order_relaxed);
}

void os_fault_disarm(enum os_fault_kind kind)
{
    /* relaxed: as in os_fault_arm() */
    atom_store(&faults[kind].target, FAULT_NONE, memory_order_relaxed);
}

uint64_t os_fault_count(enum os_fault_kind kind)
{
    /* relaxed: a statistic */
    return atom_load(&faults[kind].events, memory_order_relaxed);
}
