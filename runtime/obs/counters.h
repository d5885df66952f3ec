/* SPDX-License-Identifier: MIT
 *
 * counters.h - what a worker counts about itself.
 *
 * Threads: the worker writes its own cells (atom_count), anybody reads.
 */
#ifndef WEIR_COUNTERS_H
#define WEIR_COUNTERS_H

#include "base/atomics.h"

struct counters {
    weir_atomic_u64 tasks_run;
    weir_atomic_u64 tasks_skipped;
    weir_atomic_u64 tasks_discarded;
    weir_atomic_u64 tasks_shed;
    weir_atomic_u64 steals;
    weir_atomic_u64 steal_fails;
    weir_atomic_u64 forced;
    weir_atomic_u64 parks;
    weir_atomic_u64 wakes;
    weir_atomic_u64 injected;
    weir_atomic_u64 pinned; /* of these, from the own inbox */
    /* How long the oldest task of each take from outside had waited, in ticks (os.h). */
    weir_atomic_u64 queue_ticks_last;
    weir_atomic_u64 queue_ticks_max;
    weir_atomic_u64 queue_ticks_sum;
    weir_atomic_u64 queue_samples;
};

#endif
