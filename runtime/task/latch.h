/* SPDX-License-Identifier: MIT
 *
 * latch.h - the waiting half of weir_latch, for callers that have checked that they are no workers.
 *
 * Threads: any thread that is no worker.
 */
#ifndef WEIR_LATCH_H
#define WEIR_LATCH_H

#include <weir/task.h>

/* Sleeps until the latch is open. 0, or -ETIMEDOUT at the absolute deadline (ns, OS_FOREVER). The latch may be freed on
 * return. */
int latch_wait(weir_latch *l, uint64_t deadline);

#endif
