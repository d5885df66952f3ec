/* SPDX-License-Identifier: MIT
 *
 * teller.h - tells one listener of the changes of a level: calls don't overlap, and the last one is for what holds.
 *
 * Threads: teller_tell: any, after a change that it has made itself. teller_hold, teller_release: any, in pairs.
 * Invariants: T1 the listener is called, and the plain fields are touched, by who holds `busy`. T2 `told` is what the
 * listener was told last (0 at first), and it is never told the same level twice in a row. T3 once everybody has left
 * teller_tell(), `told` is the level, unless somebody holds the teller. Nobody waits: who finds it busy leaves the
 * change to the holder, who looks again after letting go.
 */
#ifndef WEIR_TELLER_H
#define WEIR_TELLER_H

#include <weir/admission.h>

#include "base/atomics.h"
#include "base/compiler.h"

/* Zeroed is ready to use: nobody listens. */
struct teller {
    weir_atomic_u32 busy; /* 1: somebody is telling, or holds it */
    weir_atomic_u32 told; /* level told last; holder writes */
    weir_atomic_u64 calls; /* holder writes; a statistic */
    weir_level_fn *fn;    /* holder only */
    void *arg;            /* holder only */
};

/* The level now, from 0. told: the level told last, for levels with hysteresis. Changes nothing. */
typedef uint32_t teller_level_fn(const void *of, uint32_t told);
/* Tells what the level is now, unless that is known or somebody else is about to. */
void teller_tell(struct teller *t, teller_level_fn *level, const void *of);
/* Keeps the listener from being called and lets the holder change it. False: somebody is telling or holds it. */
bool teller_hold(struct teller *t) MUST_USE;
void teller_release(struct teller *t);
/* The holder's: a new listener, which has been told level 0. */
void teller_listen(struct teller *t, weir_level_fn *fn, void *arg);

#endif
