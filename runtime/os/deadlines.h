/* SPDX-License-Identifier: MIT
 *
 * deadlines.h - the deadlines of operations in flight: a pairing heap through the records, earliest first.
 *
 * Threads: the caller's lock.
 * Invariants: a record's deadline is not later than its children's. `above` is the parent of a first child, else the
 * sibling before it; the first record has none. In the order of rising deadlines, the usual one, adding a record and
 * removing any but the first are O(1); removing the first is O(log n) amortised.
 * Source: Fredman, Sedgewick, Sleator, Tarjan: The pairing heap (1986).
 */
#ifndef WEIR_DEADLINES_H
#define WEIR_DEADLINES_H

#include <weir/io.h>

#include "os/os.h"

struct deadlines {
    weir_io *first;
};

static inline uint64_t deadlines_first(const struct deadlines *d)
{
    return d->first != NULL ? d->first->deadline : OS_FOREVER;
}

/* Both are roots, or NULL. */
static inline weir_io *deadlines_meld(weir_io *a, weir_io *b)
{
    if (a == NULL || b == NULL)
        return a != NULL ? a : b;
    if (b->deadline < a->deadline) {
        weir_io *later = a;
        a = b;
        b = later;
    }
    b->above = a;
    b->sibling = a->child;
    if (b->sibling != NULL)
        b->sibling->above = b;
    a->child = b;
    return a;
}

static inline void deadlines_add(struct deadlines *d, weir_io *io)
{
    io->child = io->sibling = io->above = NULL;
    d->first = deadlines_meld(d->first, io);
}

/* Makes one heap of a list of siblings: in pairs from left to right, then the pairs from right to left. */
static inline weir_io *deadlines_join(weir_io *list)
{
    weir_io *pairs = NULL;
    while (list != NULL) {
        weir_io *a = list, *b = a->sibling;
        list = b != NULL ? b->sibling : NULL;
        a->sibling = a->above = NULL;
        if (b != NULL)
            b->sibling = b->above = NULL;
        a = deadlines_meld(a, b);
        a->sibling = pairs;
        pairs = a;
    }
    weir_io *all = NULL;
    while (pairs != NULL) {
        weir_io *next = pairs->sibling;
        pairs->sibling = NULL;
        all = deadlines_meld(all, pairs);
        pairs = next;
    }
    return all;
}

/* io was added and not removed since. */
static inline void deadlines_remove(struct deadlines *d, weir_io *io)
{
    weir_io *rest = deadlines_join(io->child);
    if (d->first == io) {
        d->first = rest;
        return;
    }
    if (io->above->child == io)
        io->above->child = io->sibling;
    else
        io->above->sibling = io->sibling;
    if (io->sibling != NULL)
        io->sibling->above = io->above;
    d->first = deadlines_meld(d->first, rest);
}

#endif
