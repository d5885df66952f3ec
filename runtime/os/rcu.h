/* SPDX-License-Identifier: MIT
 *
 * rcu.h - deferred reclamation for what thieves may still be reading: urcu-qsbr behind a few functions.
 *
 * A registered thread is offline unless it is between rcu_online() and rcu_offline(); it holds references to retired
 * memory only while online. Workers go online for a sweep over other workers' deques, never while a task runs, so a
 * long task delays no reclamation (docs/decisions/0002). No thread of its own reclaims: those that retire do, in
 * batches (docs/decisions/0007). No function needs memory.
 *
 * Threads: register, online, offline, unregister: the thread itself. Not nested. The others: any thread. A thread that
 * its user registered with liburcu, and that is online, is quiescent for a moment in synchronize and barrier_all, as in
 * liburcu's own functions that wait. reclaim functions run in any of the functions that wait; they touch memory only,
 * and may retire more but wait for nothing.
 * Source: Desnoyers et al., "User-Level Implementations of Read-Copy Update", IEEE TPDS 2012.
 */
#ifndef WEIR_RCU_H
#define WEIR_RCU_H

#include <stdbool.h>

/* Nodes: as many wait before a retire pays for a grace period. A choice, see docs/decisions/0007. */
#define RCU_RETIRED_MAX 64u

/* Embedded in what is retired. */
struct rcu_node {
    struct rcu_node *next;
    void (*reclaim)(struct rcu_node *node);
};

/* Installs the fork handlers, once per process. 0 or -errno. */
int rcu_init(void);
void rcu_register(void);
void rcu_unregister(void);
void rcu_online(void);
void rcu_offline(void);
/*
 * node->reclaim(node) is called once every thread that is online now has been offline: by the retire that finds
 * RCU_RETIRED_MAX nodes waiting, which then waits for a grace period, by a flush, or by barrier_all. A caller that is
 * online, or is itself reclaiming, leaves it to the next one.
 */
void rcu_retire(struct rcu_node *node, void (*reclaim)(struct rcu_node *node));
/*
 * Reclaims what waits; returns at once if nothing does, if the caller is online, or if another thread is at it. A
 * worker calls it before it parks, so that no memory lies about while the process is idle; who retires something large
 * calls it then.
 */
void rcu_flush(void);
/* Waits until every thread that is online now has been offline once. */
void rcu_synchronize(void);
/* Waits until everything retired so far has been reclaimed. */
void rcu_barrier_all(void);

#endif
