/* SPDX-License-Identifier: MIT
 *
 * rcu.c - rcu.h over liburcu's quiescent-state flavour, safe in processes that fork.
 *
 * liburcu's own thread, the helper, runs the reclaim functions (call_rcu); it starts at the first retire and sleeps
 * when idle.
 *
 * Threads: as rcu.h. reclaim functions run on the helper, and may retire more but not call rcu_barrier_all().
 * Invariants:
 * - `members` lists exactly the threads that rcu_register() put into liburcu's registry, so that a forked child can
 *   take the dead ones out. It changes, and callbacks are queued, under `lock` only: a fork happens with the lock held
 *   and copies neither a half-linked registry nor a half-linked queue.
 * - All callbacks go through one queue, in the order of their retires: `reclaimed` follows `retired`, in a child too.
 * - Who holds `lock` waits neither for a grace period nor for call_rcu's mutex: the fork handlers hold the latter.
 * - A thread that its user registered with liburcu stays as it was: registered, and online if it was online.
 * Source: Desnoyers et al., "User-Level Implementations of Read-Copy Update", IEEE TPDS 2012.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/rcu.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <urcu/urcu-qsbr.h>
#include <urcu/static/urcu-qsbr.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "os/os.h"
#include "os/sanitizer.h"

#define HELPER_NAME "weir/rcu"

static_assert(sizeof(struct rcu_head) <= sizeof ((struct rcu_node *)0)->opaque, "rcu_node holds an rcu_head");
static_assert(offsetof(struct rcu_node, opaque) == 0, "an rcu_head is the beginning of its rcu_node");

struct member {
    struct cds_list_head link;       /* in `members`; guarded by `lock` */
    struct urcu_qsbr_reader *reader; /* the thread's record in liburcu's registry */
    bool listed;                     /* registered by us; the thread itself */
    bool was_online;                 /* before rcu_online(); the thread itself */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static CDS_LIST_HEAD(members);         /* guarded by `lock` */
static bool handlers_installed;        /* guarded by `lock` */
static uint32_t retired;               /* how many were queued, wraps; guarded by `lock` */
static weir_atomic_u32 reclaimed;      /* how many of them are through, in the same order; written by the helper */
static weir_atomic_u32 helper_started; /* 1: the helper exists; only ever set */
static _Thread_local struct member self;
static _Thread_local bool helper_named;    /* on the helper: it has its name */
static _Thread_local bool fork_was_online; /* from fork_prepare() to its partner */
static char readers_done; /* an address for ThreadSanitizer */

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

/* The helper inherits the name of the worker that started it; in a profile its time is not the worker's. */
static COLD void helper_name(void)
{
    helper_named = true;
    pthread_setname_np(pthread_self(), HELPER_NAME);
}

static void reclaim_one(struct rcu_head *head)
{
    struct rcu_node *node = (struct rcu_node *)(void *)head;

    if (UNLIKELY(!helper_named))
        helper_name();
    tsan_acquire(&readers_done);
    tsan_acquire(node);
    node->reclaim(node); /* the node may be gone */
    /* [RC1] release: the reclaim before the count; pairs with acquire in rcu_barrier_all() */
    atom_add(&reclaimed, 1, memory_order_release);
    os_futex_wake(&reclaimed, INT_MAX);
}

/*
 * Starts the helper with all signals blocked, as it inherits them: none of the program's may land there. Outside
 * `lock`, because liburcu takes call_rcu's mutex.
 */
static COLD void helper_start(void)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    urcu_qsbr_get_default_call_rcu_data();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    /* relaxed: liburcu's mutex orders its data; who sees 0 comes here as well */
    atom_store(&helper_started, 1, memory_order_relaxed);
}

/*
 * Queues head. call_rcu wants its caller registered and online. It prefers a helper of the thread or the CPU, if the
 * program has set one; the default helper keeps all callbacks in one queue. The caller's state is the same afterwards.
 */
static void retire_locked(struct rcu_head *head)
{
    struct call_rcu_data *own = urcu_qsbr_get_thread_call_rcu_data();
    bool was_registered = registered();
    bool was_online = online();

    if (!was_registered)
        register_locked();
    else if (!was_online)
        urcu_qsbr_thread_online();
    urcu_qsbr_set_thread_call_rcu_data(urcu_qsbr_get_default_call_rcu_data());
    urcu_qsbr_call_rcu(head, reclaim_one);
    urcu_qsbr_set_thread_call_rcu_data(own);
    if (!was_registered)
        unregister_locked();
    else if (!was_online)
        urcu_qsbr_thread_offline();
    retired++;
}

void rcu_retire(struct rcu_node *node, void (*reclaim)(struct rcu_node *node))
{
    /* relaxed: liburcu reads its own data in the right order */
    if (UNLIKELY(atom_load(&helper_started, memory_order_relaxed) == 0))
        helper_start();
    node->reclaim = reclaim;
    tsan_release(node);
    pthread_mutex_lock(&lock);
    retire_locked((struct rcu_head *)(void *)node->opaque);
    pthread_mutex_unlock(&lock);
}

void rcu_synchronize(void)
{
    urcu_qsbr_synchronize_rcu();
    tsan_acquire(&readers_done);
}

/* liburcu's own barrier allocates memory and ends the process when there is none. */
void rcu_barrier_all(void)
{
    uint32_t target, now;

    pthread_mutex_lock(&lock);
    target = retired;
    pthread_mutex_unlock(&lock);
    /* [RC1] acquire: what was reclaimed is seen; pairs with release in reclaim_one() */
    while ((int32_t)((now = atom_load(&reclaimed, memory_order_acquire)) - target) < 0)
        os_futex_wait(&reclaimed, now, OS_FOREVER);
}

/* --- fork --- */

/* Waits for the helper to pause, which ends its grace period first: this thread may not be what it waits for. */
static void fork_prepare(void)
{
    fork_was_online = online();
    if (fork_was_online)
        go_offline();
    urcu_qsbr_call_rcu_before_fork();
    pthread_mutex_lock(&lock);
}

static void fork_end_online(void)
{
    if (fork_was_online)
        urcu_qsbr_thread_online();
}

static void fork_parent(void)
{
    pthread_mutex_unlock(&lock);
    urcu_qsbr_call_rcu_after_fork_parent();
    fork_end_online();
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
    sigset_t all, before;

    unlink_dead_readers();
    pthread_mutex_unlock(&lock);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* a new helper inherits it */
    urcu_qsbr_call_rcu_after_fork_child();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    fork_end_online();
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
