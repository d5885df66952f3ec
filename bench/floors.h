/* SPDX-License-Identifier: MIT
 *
 * bench/floors.h - what the machine itself takes for the steps that a runtime is made of: the floor under its figures.
 *
 * Threads: main thread or a weir worker, one at a time.
 */
#ifndef BENCH_FLOORS_H
#define BENCH_FLOORS_H

#include "harness.h"

/* A thread that sleeps on a futex until it is woken. */
struct bench_sleeper;
struct bench_sleeper *bench_sleeper_start(void);
void bench_sleeper_stop(struct bench_sleeper *s);
/* Wakes it; ns from before the wake until it runs. It must have had time to fall asleep again. */
double bench_sleeper_wake(struct bench_sleeper *s);

/* Fills samples[n]: ns from before a store until another thread, which spins on the cache line, has read the clock. */
void bench_hand_offs(double *samples, unsigned n);

#endif
