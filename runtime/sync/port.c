/* SPDX-License-Identifier: MIT
 *
 * port.c - completed work on its way to one event loop: a list that posters push on and the loop takes as a whole.
 *
 * Threads: post: any; take and end: the loop. Lock-free.
 * Invariants: PT-A the poster that makes the list non-empty rings, after that; the loop resets the descriptor before it
 * takes. So what a take leaves behind was pushed on an empty list, and its ring comes after the reset. PT-B `posting`
 * counts whoever may still touch the port or its descriptor.
 * Source: Treiber's stack (1986), of which only pushes and taking all are used, so that there is no ABA.
 */
#include <weir/event.h>

#include <errno.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "os/eventfd.h"
#include "os/os.h"

int weir_port_init(weir_port *p, int fd)
{
    int r = p == NULL ? -EINVAL : eventfd_check(fd);
    if (r != 0)
        return r;
    *p = (weir_port){.fd = fd};
    return 0;
}

int weir_port_post(weir_port *p, weir_posted *posted)
{
    int r = 0;
    atom_add(&p->posting, 1u, memory_order_relaxed); /* relaxed: weir_port_end() comes after the last record is known */
    void *head = atom_load(&p->head, memory_order_relaxed); /* relaxed: the CAS decides */
    do {
        posted->next = head;
        /* [PT1] release: the record and its link before the head; pairs with weir_port_take(). */
    } while (!atom_cas_weak(&p->head, &head, (void *)posted, memory_order_release, memory_order_relaxed));
    if (head == NULL && (r = eventfd_ring(p->fd)) != 0) /* the record may be gone, not so the port */
        atom_store(&p->error, (uint32_t)-r, memory_order_relaxed); /* relaxed: for the curious */
    /* [PT2] release: our last access before the port is the loop's; pairs with weir_port_end(). */
    atom_sub(&p->posting, 1u, memory_order_release);
    return r;
}

/* Oldest first. */
static weir_posted *reversed(weir_posted *list)
{
    weir_posted *out = NULL;
    while (list != NULL) {
        weir_posted *next = list->next;
        list->next = out;
        out = list;
        list = next;
    }
    return out;
}

static weir_posted *take_all(weir_port *p)
{
    /* [PT1] acquire: all that was posted, each push continues the earlier release; pairs with weir_port_post(). */
    return reversed(atom_xchg(&p->head, NULL, memory_order_acquire));
}

weir_posted *weir_port_take(weir_port *p)
{
    eventfd_reset(p->fd);
    return take_all(p);
}

weir_posted *weir_port_end(weir_port *p)
{
    /* [PT2] acquire: pairs with weir_port_post(). A poster is between two steps, or in one write. */
    while (atom_load(&p->posting, memory_order_acquire) != 0)
        os_yield();
    return weir_port_take(p);
}
