/* SPDX-License-Identifier: MIT
 *
 * lifecycle.h - building a runtime, ending it, and reading its counts.
 *
 * Threads: create, destroy: one thread. begin_stop: any. await_end: one at a time. read: any that holds the runtime.
 */
#ifndef WEIR_LIFECYCLE_H
#define WEIR_LIFECYCLE_H

#include "sched/worker.h"

/* config is valid. 0, -ENOMEM, -EAGAIN (no threads); *out is written on success only. */
int runtime_create(struct runtime **out, const weir_config *config);
/* Refuses submits from now on and lets the workers run dry, or drop what has not begun. */
void runtime_begin_stop(struct runtime *rt, weir_stop_mode mode);
/* Waits until all workers have left. 0 or -ETIMEDOUT. */
int runtime_await_end(struct runtime *rt, uint64_t deadline);
/* Joins the threads and frees everything. All workers have left and nobody holds the runtime. */
void runtime_destroy(struct runtime *rt);
/* Sums the counts (stats.c). per_worker: NULL or room for n. */
void runtime_read(const struct runtime *rt, weir_stats *s, weir_counts *per_worker, uint32_t n);

#endif
