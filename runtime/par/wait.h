/* SPDX-License-Identifier: MIT
 *
 * wait.h - waiting for a stolen task or for a scope, on a worker or on another thread.
 *
 * Threads: the waiter.
 */
#ifndef WEIR_WAIT_H
#define WEIR_WAIT_H

#include "sched/worker.h"

/* Worker: until forked task t, which a thief has taken, is done. Runs only tasks that descend from t. */
void wait_forked(struct worker *w, weir_task *t);
/* Worker: until the scope's members have finished. Runs only tasks that descend from the scope. */
void wait_scope(struct worker *w, weir_scope *s);
/* A thread that is no worker: the same, asleep. */
void wait_scope_outside(weir_scope *s);

#endif
