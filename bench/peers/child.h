/* SPDX-License-Identifier: MIT
 *
 * bench/peers/child.h - peers that are programs of their own, because their runtimes own the process.
 *
 * Threads: main thread only.
 */
#ifndef BENCH_PEERS_CHILD_H
#define BENCH_PEERS_CHILD_H

#include "peer.h"

/* The peer that runs the program at `path` (which stays valid), or NULL when no program of that name is known. */
const struct peer *child_peer(const char *name, const char *path);

#endif
