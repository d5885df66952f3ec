/* SPDX-License-Identifier: MIT
 *
 * table.h - the workers that have a thread: what a thief sweeps over.
 *
 * A table is constant once it is published; a worker that comes or goes publishes a changed copy and retires the old
 * one through RCU. The records themselves stay until the runtime is freed (docs/decisions/0010).
 *
 * Threads: table_read: an online reader (rcu.h), which uses the table until it goes offline. add, remove: the worker
 * that comes or goes, offline. init, destroy: while nobody else is there.
 * Invariants: a worker that has or may get tasks is in the table; one that is in it has a deque. Who enters looks for
 * sleepers behind a fence: a parker that has not seen it is seen by it (P2 of idle.h).
 */
#ifndef WEIR_TABLE_H
#define WEIR_TABLE_H

#include "base/atomics.h"
#include "base/compiler.h"
#include "os/rcu.h"

struct runtime;
struct worker;

struct table_entry {
    struct worker *worker;
    uint32_t domain; /* its cache domain: here, because the record's lines are its owner's */
};

struct table {
    struct rcu_node rcu;
    size_t bytes;
    uint32_t count;
    struct table_entry at[];
};

/* With workers 0 to n - 1. 0 or -ENOMEM. */
int table_init(struct runtime *rt, uint32_t n) MUST_USE;
void table_destroy(struct runtime *rt);
const struct table *table_read(const struct runtime *rt);
/* False: no memory, unchanged. A worker that is in it already, or not in it any more, changes nothing. */
bool table_add(struct worker *w) MUST_USE;
bool table_remove(struct worker *w) MUST_USE;

#endif
