/* SPDX-License-Identifier: MIT
 *
 * graph_start.h - starting runs, for the public entry points.
 *
 * Threads: any; the caller holds the runtime (api/handle.h).
 */
#ifndef WEIR_GRAPH_START_H
#define WEIR_GRAPH_START_H

#include "par/graph.h"

/* weir_run_start(). h is rt's handle. */
int run_start(weir_runtime *h, struct runtime *rt, weir_run *run, const weir_run_how *how) MUST_USE;
/* weir_run_to_end() on the runtime's own worker w. */
int run_on_worker(weir_runtime *h, struct worker *w, weir_run *run, const weir_run_how *how) MUST_USE;

#endif
