/* SPDX-License-Identifier: MIT
 *
 * pieces.h - what stress_graph plays: pieces drawn from a seed, and what they share.
 *
 * Threads: a piece is played by one player at a time; failing and telling of progress is for any.
 */
#ifndef WEIR_TESTS_PIECES_H
#define WEIR_TESTS_PIECES_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weir/weir.h>

#include "base/util.h"

extern weir_runtime *rt; /* where all pieces are played */
extern uint32_t workers; /* that it has */

/* Something does not hold: the program fails, and goes on. */
void fail(const char *what);
/* Ends the program unless r is 0: what is tested elsewhere. */
void must(int r, const char *what);
/* Something has happened: nothing hangs. */
void moved(void);
void *zeroed(size_t n, size_t size);
uint64_t mix(uint64_t a, uint64_t b);
/* Takes a while, now and then a long one. */
void dawdle(uint64_t salt);

/* Cancels a run or a flow from another thread, later. */
struct cancel {
    pthread_t thread;
    weir_run *run;
    weir_flow *flow;
    uint32_t after_us;
};
void *cancel_later(void *arg);

/* One run of a graph, again and again: whole, cancelled, failing. */
void play_graph(struct rng *rng);
/* Several runs of a graph at once; not on a worker. */
void play_overlap(struct rng *rng);
void play_flow(struct rng *rng);
void play_pipeline(struct rng *rng);

#endif
