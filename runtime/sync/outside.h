/* SPDX-License-Identifier: MIT
 *
 * outside.h - slabs for threads that are no workers: task records made outside are pooled like those of workers.
 *
 * Threads: any; a slab is its thread's until that ends.
 * Invariants: a slab is never destroyed, so records may be freed by any thread at any time; one whose thread has ended
 * keeps only the chunks of which something is still out, and the next thread that needs one takes it over with them.
 */
#ifndef WEIR_SYNC_OUTSIDE_H
#define WEIR_SYNC_OUTSIDE_H

#include "sync/slab.h"

/* The calling thread's slab. NULL: OUTSIDE_SLABS_MAX threads have one. */
struct slab *outside_slab(void);
/* The same if it has one already. */
struct slab *outside_slab_if_any(void);

#endif
