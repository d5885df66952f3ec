/* SPDX-License-Identifier: MIT
 *
 * rest.c - the descriptor that learns of a runtime at rest.
 *
 * Threads and invariants: see rest.h.
 */
#include "sched/rest.h"

#include "os/eventfd.h"
#include "os/os.h"

void rest_tell_slow(struct rest *r)
{
    /* [RS1] seq_cst, both: count in, then read the descriptor; pairs with rest_set(). */
    atom_add(&r->ringing, 1u, memory_order_seq_cst);
    uint32_t fd = atom_load(&r->fd, memory_order_seq_cst);
    if (fd != 0)
        (void)eventfd_ring((int)fd - 1);
    /* [RS2] release: the write is over; pairs with rest_set(). */
    atom_sub(&r->ringing, 1u, memory_order_release);
}

void rest_set(struct rest *r, int fd)
{
    /* [RS1] seq_cst, both: change the descriptor, then read the count; forbids that the worker reads the old descriptor
     * while we miss its count. Pairs with rest_tell_slow(). */
    atom_store(&r->fd, (uint32_t)(fd + 1), memory_order_seq_cst);
    /* [RS2] acquire is in seq_cst: the worker's write is over. */
    while (atom_load(&r->ringing, memory_order_seq_cst) != 0)
        os_yield();
}
