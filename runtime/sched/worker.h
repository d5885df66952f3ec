/* SPDX-License-Identifier: MIT
 *
 * worker.h - the worker, the runtime that it belongs to, and what the files of this folder ask of each other.
 *
 * Threads: a worker's fields belong to its thread, except the deque's public end, `park` and the counters. A guest is a
 * worker whose thread comes and goes (guest.c); it takes part in stealing as a victim like any other.
 * Invariants: workers[] and everything in struct runtime above `phase` is constant between start and stop.
 */
#ifndef WEIR_WORKER_H
#define WEIR_WORKER_H

#include <weir/runtime.h>

#include "base/util.h"
#include "obs/counters.h"
#include "os/os.h"
#include "sched/idle.h"
#include "sync/deque.h"
#include "sync/eventcount.h"
#include "sync/injector.h"
#include "sync/slab.h"
#include "task/task.h"

#define INJECTOR_INTERVAL 61u /* tasks between two looks at the injector while there is own work (DESIGN section 7) */
#define RELAXES_MAX 1u        /* pause instructions between two looks: 40 ns where one takes 140 cycles; bench `pingpong` */
#define INJECTOR_BATCH 16u    /* tasks that a worker takes from the injector at once */

struct runtime;

struct worker {
    struct deque dq; /* first: a weir_worker is the private end of its deque */
    struct parking park;
    struct counters counters;
    /* owner only */
    struct runtime *rt;
    uint32_t id;
    uint32_t ticks;          /* tasks since the injector was last looked at */
    uint32_t short_loops;    /* loops run as a plain call: now and then one is timed (range.c) */
    struct rng rng;
    uintptr_t stack_reserve; /* below this address a wait no longer takes on tasks */
    void *lineage;           /* what everything in the deque descends from, or NULL: see loop.c */
    struct worker *host;     /* a guest's: the worker of another runtime that its thread also is, or NULL */
    uint32_t *victims;       /* the other workers, nearest first */
    uint32_t near;           /* how many of them share the worker's cache domain */
    struct os_thread thread;
    struct slab slab;
};

/* Life of a runtime: only forwards. */
enum phase {
    PHASE_RUNNING,
    PHASE_DRAINING,   /* no more submits; workers go on until nothing is left */
    PHASE_DISCARDING, /* no more submits; tasks not begun are dropped */
    PHASE_ENDED       /* nothing is left: workers leave */
};

struct runtime {
    struct worker **workers; /* `count` workers, then `guests` guests */
    uint32_t count;
    uint32_t guests;
    uint32_t handle;         /* its place in the table of handles */
    bool membarrier;         /* the asymmetric fence is there: deques have a private end */
    bool crowded;            /* more workers than CPUs: who spins offers its processor to others */
    weir_config config;
    struct parking **parking;
    /* read mostly */
    weir_atomic_u32 phase ALIGNED(CACHE_LINE);
    weir_atomic_u32 exited;  /* workers that have left; futex word of weir_stop() */
    weir_atomic_u64 guest_map; /* guests taken */
    struct idle idle;
    struct injector injector;
    struct eventcount room;  /* submitters wait here for the injector */
    weir_atomic_u64 rejected;
    weir_atomic_u64 inline_runs; /* submits that a guest ran */
    weir_atomic_u64 outside_wakes;
};

static inline struct worker *worker_of(const weir_worker *w)
{
    return (struct worker *)(uintptr_t)w;
}

static inline weir_worker *worker_public(struct worker *w)
{
    return (weir_worker *)(void *)w;
}

static inline enum phase runtime_phase(const struct runtime *rt)
{
    /* relaxed: workers act on it sooner or later; who must act now was woken after it was set */
    return (enum phase)atom_load(&rt->phase, memory_order_relaxed);
}

/* Whether the worker's stack is so deep that it should take on no more tasks. */
static inline bool worker_stack_is_low(const struct worker *w)
{
    return (uintptr_t)__builtin_frame_address(0) < w->stack_reserve;
}

/* The worker of the calling thread, or NULL (loop.c). */
struct worker *worker_self(void);
void worker_set_self(struct worker *w);

/* loop.c: a worker thread's main function; runs one task and returns the next; runs a chain to its end on this stack. */
void *worker_main(void *worker);
weir_task *worker_run_one(struct worker *w, weir_task *t);
void worker_run_chain(struct worker *w, weir_task *t);
/* loop.c: runs a task that was stolen for a wait, with all that descends from it visible as such to leapfroggers. */
void worker_run_stolen(struct worker *w, weir_task *t);

/* steal.c: one look at every other deque, public parts first, then (force) private ones; NULL: nothing found. */
weir_task *steal_sweep(struct worker *w, bool force);
/* steal.c: one try at one victim while it serves `key`; NULL: nothing found. */
weir_task *steal_descendant(struct worker *w, struct worker *victim, void *key);
/* steal.c: whether any deque or the injector holds a task, private parts included. */
bool steal_anything_left(struct runtime *rt);

/* search.c: looks for work, and parks, until a task is found; NULL: the runtime has ended. */
weir_task *worker_search(struct worker *w);
/* search.c: takes tasks from the injector: returns one, puts more on the own deque; NULL: empty. */
weir_task *worker_take_injected(struct worker *w);

/* A pause between two looks of a spinning worker: 1, 2, 4 ... times os_relax(). */
static inline void worker_pause(const struct runtime *rt, unsigned *relaxes)
{
    if (rt->crowded) {
        os_yield();
        return;
    }
    for (unsigned i = 0; i < *relaxes; i++)
        os_relax();
    if (*relaxes < RELAXES_MAX)
        *relaxes *= 2;
}

/* Publishes what the running task and all tasks in the deque are part of; NULL: nothing that anybody waits for. */
static inline void worker_serve(struct worker *w, void *key)
{
    if (atom_load(&w->park.serving, memory_order_relaxed) == key) /* relaxed: own word */
        return;
    /* [DQ12] release: later pushes carry this key or a newer one; pairs with deque_steal(). */
    atom_store(&w->park.serving, key, memory_order_release);
    if (key == NULL)
        return;
    /* [PK4] forbids: a waiter for `key` misses this worker while the worker's pushes go fast past the waiter; pairs with
     * idle_begin_wait(). */
    atom_fence(memory_order_seq_cst);
    if (UNLIKELY(idle_has_waiters(&w->rt->idle)))
        deque_poison(&w->dq);
}

/* submit.c: hands a ready task to the runtime; see weir_submit() and weir_submit_batch(). */
int runtime_submit(struct runtime *rt, weir_task *t, weir_policy policy, uint64_t deadline);
int runtime_submit_batch(struct runtime *rt, weir_task *const *tasks, size_t n, weir_policy policy, uint64_t deadline,
                         size_t *accepted);
/* guest.c: runs t and what it leaves on its deque on the calling thread. False: all guests are taken. */
bool guest_run(struct runtime *rt, weir_task *t);

#endif
