/* SPDX-License-Identifier: MIT
 *
 * rest.h - tells the program's eventfd when all workers have gone to sleep.
 *
 * Threads: rest_tell: the worker that parks last; rest_set: one at a time, any thread.
 * Invariants: who rings has counted itself in `ringing` before it reads the descriptor; rest_set() changes the
 * descriptor before it looks at the count. So the old one is not written any more once rest_set() has returned.
 */
#ifndef WEIR_REST_H
#define WEIR_REST_H

#include <stdbool.h>

#include "base/atomics.h"
#include "base/compiler.h"

struct rest {
    weir_atomic_u32 fd;      /* the descriptor + 1; 0: none */
    weir_atomic_u32 ringing; /* workers that may be about to write it */
};

void rest_tell_slow(struct rest *r);
/* fd: checked, or -1. */
void rest_set(struct rest *r, int fd);

static inline bool rest_is_set(const struct rest *r)
{
    return UNLIKELY(atom_load(&r->fd, memory_order_relaxed) != 0); /* relaxed: a hint; rest_tell_slow() looks again */
}

static inline void rest_tell(struct rest *r)
{
    if (rest_is_set(r))
        rest_tell_slow(r);
}

#endif
