/* SPDX-License-Identifier: MIT
 *
 * wfstack.h - a wait-free stack: any thread pushes, one owner takes everything at once and walks it without waiting.
 *
 * Threads: wfs_push: any. The others: the owner of the stack only.
 * Invariants: a push is one exchange of the head, then one store that links the node to the head before it. Between the
 * two the node's link reads NULL: the owner meets WFS_PENDING, and what lies below that node is out of reach until the
 * pusher goes on. The owner keeps such a node and comes back to it; it never waits.
 * Source: liburcu's urcu/wfstack.h (Desnoyers, Jiangshan). A build with WEIR_ATOMIC_SEAM has the same stack over atom_*
 * operations, so that the model checker sees each of its steps.
 */
#ifndef WEIR_SYNC_WFSTACK_H
#define WEIR_SYNC_WFSTACK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/atomics.h"
#include "base/compiler.h"

/* wfs_next: the pusher of this node has not linked it yet. */
#define WFS_PENDING ((struct wfs_node *)-1)

#ifndef WEIR_ATOMIC_SEAM

#include <urcu/wfstack.h>

#include "os/sanitizer.h" /* liburcu is not instrumented */

struct wfs_node {
    struct cds_wfs_node link; /* the pusher's until it is linked, then the owner's */
    struct wfs_node *later;   /* the owner's: list of nodes to come back to */
};

struct wfs {
    struct __cds_wfs_stack stack;
};

WEIR_INLINE void wfs_init(struct wfs *s)
{
    __cds_wfs_init(&s->stack);
}

WEIR_INLINE bool wfs_empty(struct wfs *s)
{
    /* The value is a hint; wfs_pop_all() decides. */
    return cds_wfs_empty(&s->stack);
}

WEIR_INLINE void wfs_push(struct wfs *s, struct wfs_node *n)
{
    cds_wfs_node_init(&n->link);
    tsan_release(s);
    /* [SL1] full fence in liburcu's exchange: the cleared link before the head; pairs with wfs_pop_all().
     * [SL2] release: the object's last use, and ours of the node, before the link; pairs with wfs_next(). */
    cds_wfs_push(&s->stack, &n->link);
}

/* Takes every node. Returns the newest one, or NULL. */
WEIR_INLINE struct wfs_node *wfs_pop_all(struct wfs *s)
{
    /* [SL1] full fence in liburcu's exchange: head before the links; pairs with wfs_push(). */
    struct cds_wfs_head *head = __cds_wfs_pop_all(&s->stack);
    tsan_acquire(s);
    return head ? CONTAINER_OF(&head->node, struct wfs_node, link) : NULL;
}

/* The node pushed before n, NULL if n is the oldest, or WFS_PENDING. n is the owner's to reuse unless pending. */
WEIR_INLINE struct wfs_node *wfs_next(struct wfs_node *n)
{
    /* [SL2] a link that is not NULL is the last the pusher writes; pairs with wfs_push(). */
    struct cds_wfs_node *next = cds_wfs_next_nonblocking(&n->link);
    if (UNLIKELY(next == CDS_WFS_WOULDBLOCK))
        return WFS_PENDING;
    return next ? CONTAINER_OF(next, struct wfs_node, link) : NULL;
}

#else /* WEIR_ATOMIC_SEAM */

#define WFS_END ((struct wfs_node *)1) /* below the oldest node */

struct wfs_node {
    weir_atomic_ptr link;
    struct wfs_node *later;
};

struct wfs {
    weir_atomic_ptr head;
};

WEIR_INLINE void wfs_init(struct wfs *s)
{
    atom_store(&s->head, (void *)WFS_END, memory_order_relaxed); /* not shared yet */
}

WEIR_INLINE bool wfs_empty(struct wfs *s)
{
    /* relaxed: a hint; wfs_pop_all() decides */
    return atom_load(&s->head, memory_order_relaxed) == (void *)WFS_END;
}

WEIR_INLINE void wfs_push(struct wfs *s, struct wfs_node *n)
{
    atom_store(&n->link, NULL, memory_order_relaxed); /* published by the exchange */
    /* [SL1] release: the cleared link before the head; pairs with wfs_pop_all(). */
    void *below = atom_xchg(&s->head, (void *)n, memory_order_release);
    /* [SL2] release: the object's last use, and ours of the node, before the link; pairs with wfs_next(). */
    atom_store(&n->link, below, memory_order_release);
}

WEIR_INLINE struct wfs_node *wfs_pop_all(struct wfs *s)
{
    /* [SL1] acquire: head before the links, all of them: each push continues the release sequences of the earlier
     * ones; pairs with wfs_push(). */
    void *head = atom_xchg(&s->head, (void *)WFS_END, memory_order_acquire);
    return head == (void *)WFS_END ? NULL : (struct wfs_node *)head;
}

WEIR_INLINE struct wfs_node *wfs_next(struct wfs_node *n)
{
    /* [SL2] acquire: the pusher is through with the node; pairs with wfs_push(). */
    void *next = atom_load(&n->link, memory_order_acquire);
    if (next == NULL)
        return WFS_PENDING;
    return next == (void *)WFS_END ? NULL : (struct wfs_node *)next;
}

#endif

#endif
