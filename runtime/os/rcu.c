/* SPDX-License-Identifier: MIT
 *
 * rcu.c - rcu.h over liburcu's quiescent-state flavour, safe in processes that fork.
 *
 * Retired nodes wait in one list of the process. Who takes the list waits for a grace period and reclaims it.
 *
 * Threads: as rcu.h.
 * Invariants:
 * - `grace` is held from before the list is taken until all of it is reclaimed: who gets `grace` finds nothing retired
 *   earlier but what is in the list, and no batch under way. At most RCU_RETIRED_MAX nodes wait and as many are being
 *   reclaimed, and one more for each thread that waits in rcu_retire(); more only by retires that may not wait.
 * - `members` lists exactly the threads that rcu_register() put into liburcu's registry, so that a forked child can
 *   take the dead ones out. It changes under `lock` only.
 * - A fork happens with `grace` and `lock` held: it copies neither a registry in the middle of a change or of a grace
 *   period nor a half-linked list, and what waits in the list waits in both processes, each with its own copy.
 * - Order: `grace`, then `lock`. Who holds `lock` waits for nothing but liburcu's registry; who waits for `grace` is
 *   offline, so that its holder does not wait for it.
 * - A thread that its user registered with liburcu stays as it was: registered, and online if it was online.
 * Source: Desnoyers et al., "User-Level Implementations of Read-Copy Update", IEEE TPDS 2012.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/rcu.h"

#include <pthread.h>
#include <urcu/urcu-qsbr.h>
#include <urcu/static/urcu-qsbr.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "os/sanitizer.h"

struct member {
    struct cds_list_head link;       /* in `members`; guarded by `lock` */
    struct urcu_qsbr_reader *reader; /* the thread's record in liburcu's registry */
    bool listed;                     /* registered by us; the thread itself */
    bool was_online;                 /* before rcu_online(); the thread itself */
};

static pthread_mutex_t grace = PTHREAD_MUTEX_INITIALIZER; /* held by who waits for readers */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;  /* held for a few instructions */
static CDS_LIST_HEAD(members);                            /* guarded by `lock` */
static bool handlers_installed;                           /* guarded by `lock` */
static struct rcu_node *retired;                          /* newest first; guarded by `lock` */
static weir_atomic_u32 waiting;                           /* how many `retired` has; written under `lock` */
static _Thread_local struct member self;
static _Thread_local bool reclaiming;      /* inside a reclaim function */
static _Thread_local bool fork_was_online; /* from fork_prepare() to its partner */
static char readers_done;                  /* an address for ThreadSanitizer */

/* --- readers --- */

static bool registered(void)
{
    return URCU_TLS(urcu_qsbr_reader).registered;
}

static bool online(void)
{
    return URCU_TLS(urcu_qsbr_reader).ctr != 0;
}

static void go_offline(void)
{
    tsan_release(&readers_done);
    urcu_qsbr_thread_offline();
}

static void register_locked(void)
{
    urcu_qsbr_register_thread(); /* leaves the thread online */
    self.reader = &URCU_TLS(urcu_qsbr_reader);
    self.listed = true;
    cds_list_add(&self.link, &members);
}

static void unregister_locked(void)
{
    cds_list_del(&self.link);
    self.listed = false;
    urcu_qsbr_unregister_thread();
}

void rcu_register(void)
{
    if (registered())
        return;
    pthread_mutex_lock(&lock);
    register_locked();
    pthread_mutex_unlock(&lock);
    go_offline();
}

void rcu_unregister(void)
{
    if (!self.listed)
        return;
    tsan_release(&readers_done);
    pthread_mutex_lock(&lock);
    unregister_locked();
    pthread_mutex_unlock(&lock);
}

void rcu_online(void)
{
    self.was_online = online();
    if (LIKELY(!self.was_online))
        urcu_qsbr_thread_online();
}

void rcu_offline(void)
{
    if (LIKELY(!self.was_online))
        go_offline();
}

/* --- reclamation --- */

static void put(struct rcu_node *node)
{
    pthread_mutex_lock(&lock);
    node->next = retired;
    retired = node;
    atom_add(&waiting, 1u, memory_order_relaxed); /* relaxed: `lock` orders it for those who must know */
    pthread_mutex_unlock(&lock);
}

/* Takes the list, if at least that many wait in it. */
static struct rcu_node *take(uint32_t at_least)
{
    struct rcu_node *list = NULL;

    pthread_mutex_lock(&lock);
    if (atom_load(&waiting, memory_order_relaxed) >= at_least) { /* relaxed, both: guarded by `lock` */
        list = retired;
        retired = NULL;
        atom_store(&waiting, 0u, memory_order_relaxed);
    }
    pthread_mutex_unlock(&lock);
    return list;
}

static void wait_for_readers(void)
{
    urcu_qsbr_synchronize_rcu();
    tsan_acquire(&readers_done);
}

/* The caller holds `grace`: the fork handlers find either the whole list or nothing of it. */
static void reclaim_grace_held(uint32_t at_least)
{
    struct rcu_node *node = take(at_least);

    if (node == NULL)
        return;
    wait_for_readers();
    reclaiming = true;
    while (node != NULL) {
        struct rcu_node *next = node->next;

        node->reclaim(node); /* the node may be gone */
        node = next;
    }
    reclaiming = false;
}

static COLD void reclaim_full_list(void)
{
    pthread_mutex_lock(&grace);
    reclaim_grace_held(RCU_RETIRED_MAX); /* none, if another thread was here first */
    pthread_mutex_unlock(&grace);
}

void rcu_retire(struct rcu_node *node, void (*reclaim)(struct rcu_node *node))
{
    node->reclaim = reclaim;
    put(node); /* the node may be gone */
    /* relaxed: the retire that made the list full sees that, unless the list has been taken since */
    if (UNLIKELY(atom_load(&waiting, memory_order_relaxed) >= RCU_RETIRED_MAX) && !online() && !reclaiming)
        reclaim_full_list();
}

static bool any_waiting(void)
{
    uint32_t n;

    pthread_mutex_lock(&lock);
    n = atom_load(&waiting, memory_order_relaxed); /* relaxed: guarded by `lock` */
    pthread_mutex_unlock(&lock);
    return n != 0;
}

/*
 * A flush that finds `grace` taken leaves its nodes to the holder. If that one flushes as well it looks again, under
 * `lock`, after it has let go of `grace`: either it sees those nodes, or they came later and `grace` was free for them.
 */
void rcu_flush(void)
{
    /* relaxed: the caller sees its own retires, and those of others are theirs to flush */
    if (LIKELY(atom_load(&waiting, memory_order_relaxed) == 0) || online())
        return;
    do {
        if (pthread_mutex_trylock(&grace) != 0)
            return;
        reclaim_grace_held(1);
        pthread_mutex_unlock(&grace);
    } while (any_waiting());
}

/* Takes `grace`, offline. Returns whether the thread was online. */
static bool grace_begin(void)
{
    bool was_online = online();

    if (was_online)
        go_offline();
    pthread_mutex_lock(&grace);
    return was_online;
}

static void grace_end(bool was_online)
{
    pthread_mutex_unlock(&grace);
    if (was_online)
        urcu_qsbr_thread_online();
}

void rcu_synchronize(void)
{
    bool was_online = grace_begin();

    wait_for_readers();
    grace_end(was_online);
}

void rcu_barrier_all(void)
{
    bool was_online = grace_begin();

    reclaim_grace_held(1);
    grace_end(was_online);
}

/* --- fork --- */

/* Waits for the grace period that is under way, if any, and for its batch. */
static void fork_prepare(void)
{
    fork_was_online = grace_begin();
    pthread_mutex_lock(&lock);
}

static void fork_parent(void)
{
    pthread_mutex_unlock(&lock);
    grace_end(fork_was_online);
}

/* The other threads do not exist here, but their records do: a grace period would wait for them for ever. */
static void unlink_dead_readers(void)
{
    struct member *m, *next;

    cds_list_for_each_entry_safe(m, next, &members, link) {
        if (m == &self)
            continue;
        cds_list_del(&m->reader->node);
        cds_list_del(&m->link);
    }
}

static void fork_child(void)
{
    unlink_dead_readers();
    pthread_mutex_unlock(&lock);
    grace_end(fork_was_online);
}

int rcu_init(void)
{
    int err = 0;

    pthread_mutex_lock(&lock);
    if (!handlers_installed) {
        err = pthread_atfork(fork_prepare, fork_parent, fork_child);
        handlers_installed = err == 0;
    }
    pthread_mutex_unlock(&lock);
    return -err;
}
