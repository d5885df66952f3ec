/* SPDX-License-Identifier: MIT
 *
 * rcu.h - deferred reclamation for what thieves may still be reading: urcu-qsbr behind a few functions.
 *
 * A registered thread is offline unless it is between rcu_online() and rcu_offline(); it holds references to retired
 * memory only while online. Workers go online for a sweep over other workers' deques, never while a task runs, so a
 * long task delays no reclamation (docs/decisions/0002).
 *
 * Threads: register, online, offline, unregister: the thread itself. Not nested. retire: any thread, on- or offline.
 * Source: Desnoyers et al., "User-Level Implementations of Read-Copy Update", IEEE TPDS 2012.
 */
#ifndef WEIR_RCU_H
#define WEIR_RCU_H

#include <stdbool.h>

/* Embedded in what is retired; opaque room for struct rcu_head. */
struct rcu_node {
    void *opaque[2];
    void (*reclaim)(struct rcu_node *node);
};

/* Installs the fork handlers, once per process. 0 or -errno. */
int rcu_init(void);
void rcu_register(void);
void rcu_unregister(void);
void rcu_online(void);
void rcu_offline(void);
/* Calls node->reclaim(node) on some thread after every thread that is online now has been offline once. */
void rcu_retire(struct rcu_node *node, void (*reclaim)(struct rcu_node *node));
/* Waits until every thread that is online now has been offline once. The caller is offline. Needs no memory. */
void rcu_synchronize(void);
/* Waits until everything retired so far has been reclaimed. The calling thread is offline or not registered. */
void rcu_barrier_all(void);

#endif
