/* SPDX-License-Identifier: MIT
 *
 * worker.h - the worker, the runtime that it belongs to, and what the files of this folder ask of each other.
 *
 * Threads: a worker's fields belong to its thread, except the deque's public end, `park` and the counters. A guest is a
 * worker whose thread comes and goes (guest.c); it takes part in stealing as a victim like any other.
 * Invariants: workers[] and everything in struct runtime above `phase` is constant between start and stop. A seat
 * without a thread has a record all the same; it has a deque once its first thread was started, and is in the table
 * (table.h) while it has one.
 */
#ifndef WEIR_WORKER_H
#define WEIR_WORKER_H

#include <weir/runtime.h>

#include "base/util.h"
#include "obs/counters.h"
#include "os/os.h"
#include "sched/admission.h"
#include "sched/elastic.h"
#include "sched/governor.h"
#include "sched/handoff.h"
#include "sched/idle.h"
#include "sched/io.h"
#include "sched/rest.h"
#include "sched/room.h"
#include "sched/table.h"
#include "sched/timers.h"
#include "sync/deque.h"
#include "sync/injector.h"
#include "sync/slab.h"
#include "task/task.h"

#define INJECTOR_INTERVAL 61u /* tasks between two looks at the injector while there is own work: as Go's scheduler */
#define RELAXES_MAX 1u        /* pauses between two looks: 40 ns where one takes 140 cycles; bench `pingpong` */
#define THREAD_NAME_MAX 16    /* bytes, the kernel's limit, terminator included */
#define RUNTIME_NAME_MAX 10   /* bytes, terminator included: leaves room for a slash and five digits */

struct runtime;

/* A seat's thread, as far as who joins it is concerned. */
enum thread_state { THREAD_NONE, THREAD_STARTING, THREAD_JOINABLE };

/* Whether a task runs inside a push to the full deque, and has needed the deque's reserve: see push.c. */
enum within { WITHIN_NONE, WITHIN_PUSH, WITHIN_RESERVE };

struct worker {
    struct deque dq; /* first: a weir_worker is the private end of its deque */
    struct parking park;
    struct counters counters;
    /* owner only */
    struct runtime *rt;
    uint32_t id;
    uint32_t ticks;          /* tasks since the injector was last looked at */
    uint32_t short_loops;    /* loops run as a plain call: now and then one is timed (range.c) */
    enum within within_push;
    uint64_t reserve_base;   /* logical bottom when the deque's reserve was opened */
    uint32_t full_pushes;    /* to a full deque until it looks for room again: see push.c */
    uint32_t looks;          /* at outside work, since timers are in use */
    bool inbox_first;        /* the last look at outside work began with the inbox */
    bool oldest_first;       /* the last look ahead of own work began with the oldest task of the deque */
    bool has_taken;          /* tasks from outside may lie on the deque, above taken_base */
    uint64_t taken_base;     /* logical bottom before they were pushed */
    uint64_t last_take;      /* ticks: when it last took from an injector or the inbox */
    bool more;               /* its last take was a full one: the next need not wait */
    uint32_t trickle;        /* small takes in a row, each soon after the last: see intake.c */
    struct rng rng;
    uintptr_t stack_reserve; /* below this address a wait no longer takes on tasks */
    void *lineage;           /* what everything in the deque descends from, or NULL: see loop.c */
    struct worker *host;     /* a guest's: the worker of another runtime that its thread also is, or NULL */
    uint32_t domain;         /* cache domain, whose injector it looks at first; constant */
    int cpu;                 /* to which the thread is bound, or -1; constant */
    uint32_t dry;            /* times that the deque ran dry */
    bool blocked;            /* between weir_block_begin() and weir_block_end() */
    bool listed;             /* in the table */
    bool called;             /* its thread was started to a wake-up, for a seat that was announced */
    bool retiring;           /* its thread leaves the seat */
    weir_atomic_u32 thread_state; /* enum thread_state */
    struct os_thread thread;
    struct io_worker io;
    struct slab slab;
    weir_task *pinned; /* taken from `sent`, oldest first */
    /* Tasks sent to this worker: others push, the worker takes. Only of workers that never leave. */
    weir_atomic_ptr sent; /* by workers: a stack, linked through `stamp`; they can't wait for room */
    struct ring inbox;
    struct room inbox_room; /* submitters wait here for it */
};

/* Life of a runtime: only forwards. */
enum phase {
    PHASE_RUNNING,
    PHASE_DRAINING,   /* no more submits; workers go on until nothing is left */
    PHASE_DISCARDING, /* no more submits; tasks not begun are dropped */
    PHASE_ENDED       /* nothing is left: workers leave */
};

struct runtime {
    struct worker **workers; /* of `seats` seats, then `guests` guests */
    struct worker *records;  /* what they point to */
    uint32_t count;          /* seats 0 to count - 1 always have a worker on duty: min_workers */
    uint32_t seats;
    uint32_t guests;
    uint32_t domains;        /* cache domains that thieves tell apart, at least 1 */
    uint32_t handle;         /* its place in the table of handles */
    char name[RUNTIME_NAME_MAX]; /* that threads are named after */
    bool membarrier;         /* the asymmetric fence is there: deques have a private end */
    uint32_t processors;     /* CPUs this process may use, as of the start */
    weir_config config;
    struct parking **parking;
    struct injector *injectors; /* one per cache domain */
    size_t injectors_size;      /* bytes */
    uint32_t intakes;           /* injectors */
    bool one_by_one;            /* workers take one task at a time from them: see intake_init() */
    uint32_t cpus;              /* length of domain_of_cpu; 0 where there is one injector only */
    uint32_t *domain_of_cpu;
    /* read mostly */
    weir_atomic_u32 phase ALIGNED(CACHE_LINE);
    weir_atomic_u32 threads; /* of workers, that have not left; futex word of weir_stop() */
    weir_atomic_u64 guest_map; /* guests taken */
    weir_atomic_ptr table;   /* struct table */
    struct idle idle;
    struct elastic elastic;
    struct governor governor;
    struct room room[INJECTOR_LANES]; /* submitters wait here for a lane */
    struct admission admission;
    struct io io;
    struct rest rest;        /* who is told when all workers sleep */
    struct timers timers;
    weir_atomic_u64 rejected;
    weir_atomic_u64 unqueued; /* submits that found no room, and that a guest ran or the submitting worker kept */
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

/* How many workers shall run by now: what work is split for. It changes with time: read it once per call. */
static inline uint32_t runtime_width(const struct runtime *rt)
{
    return duty_target(duty_read(&rt->elastic.duty));
}

/* More workers shall run than there are processors: who spins keeps others from working. */
static inline bool runtime_is_crowded(const struct runtime *rt)
{
    return runtime_width(rt) > rt->processors;
}

/* Whether the worker's stack is so deep that it should take on no more tasks. */
static inline bool worker_stack_is_low(const struct worker *w)
{
    return (uintptr_t)__builtin_frame_address(0) < w->stack_reserve;
}

/* The worker of the calling thread, or NULL (loop.c). */
struct worker *worker_self(void);
void worker_set_self(struct worker *w);
/* The worker of rt that the calling thread is, be it as a guest or beneath a guest of another runtime; or NULL. */
static inline struct worker *worker_self_in(const struct runtime *rt)
{
    struct worker *w = worker_self();
    while (w != NULL && w->rt != rt)
        w = w->host;
    return w;
}

/* loop.c: a worker thread's main function; runs a chain to its end on this stack; runs all that lies above `base`, a
 * position of the deque. */
void *worker_main(void *worker);
void worker_run_above(struct worker *w, uint64_t base);
void worker_run_chain(struct worker *w, weir_task *t);
/* loop.c: runs the newest task of a deque that is full and stays so, if thieves have left it. Unless it is a fork, and
 * there is room in the reserve. */
void worker_run_newest(struct worker *w);
/* loop.c: runs a task that was stolen for a wait, with all that descends from it visible as such to leapfroggers. */
void worker_run_stolen(struct worker *w, weir_task *t);

/* steal.c: one look at all other deques, public parts first, then (force) private ones and hands; NULL: nothing. */
weir_task *steal_sweep(struct worker *w, bool force);
/* steal.c: one try at one victim while it serves `key`; NULL: nothing found. */
weir_task *steal_descendant(struct worker *w, struct worker *victim, void *key);
/* steal.c: the same at each worker and guest that serves `key`. */
weir_task *steal_any_descendant(struct worker *w, void *key);
/* steal.c: whether a task waits on any deque, private parts included, in a hand, in the injector, or completed by an
 * operation. */
bool steal_anything_left(struct runtime *rt);
/* steal.c: sees to it that the next push of each worker and guest goes slow, behind a heavy fence, in the name of
 * worker `by` or of DEQUE_ANYBODY; after idle_announce(), which has returned `sleepers`. */
void steal_promise(struct runtime *rt, uint64_t sleepers, uint32_t by);
/* steal.c: the same for those who serve `key`, after idle_begin_wait(). */
void steal_poison_servers(struct runtime *rt, const void *key);

/* search.c: looks for work, and parks, until a task is found; NULL: the runtime has ended, or the worker
 * is retiring. */
weir_task *worker_search(struct worker *w);
/* search.c: the same for a worker that was woken from outside the search: it counts as searching. */
weir_task *worker_search_woken(struct worker *w);
/* search.c: where tasks block, as there are more workers than processors, each that waits needs one of its own: wakes
 * one more although somebody searches, unless enough do already. True: it has. */
bool runtime_hurry(struct runtime *rt);
/* search.c: for a worker that waits, and that duty_stand_in() has counted: the same, until it is told to look at what
 * it waits for (NULL). */
weir_task *worker_stand_in(struct worker *w);
/* search.c: after one more has gone to sleep or off duty: if all who are on duty sleep, tells who wants to know, and
 * while stopping, if nothing can come, ends the runtime. */
void runtime_check_rest(struct runtime *rt);
/* lifecycle.c: starts worker_main() on a seat's thread; who calls has the seat. 0, -EAGAIN, -ENOMEM. */
int worker_start_thread(struct worker *w) MUST_USE;
/* block.c: around a call of a worker that blocks; weir_block_begin() and weir_block_end(). */
int block_begin(struct worker *w);
int block_end(struct worker *w);
/* block.c: the same for a wait of the runtime's own. */
void block_enter(struct worker *w);
void block_leave(struct worker *w);
/* intake.c: takes tasks from the inbox or an injector: returns one, puts more on the own deque; NULL: nothing there. */
weir_task *worker_take_injected(struct worker *w);
/* intake.c: tasks from outside, more than one, are about to be pushed on the own deque. */
void worker_begin_taken(struct worker *w);
/* intake.c: the same, now and then ahead of own work: outside work that lies beneath it has its turn, too. */
weir_task *worker_take_ahead(struct worker *w);
/* intake.c: a task from outside that did not go through a queue has reached the worker. */
void worker_receive(struct worker *w, weir_task *t);
/* intake.c: whether there is outside work that the worker may take. Not false beside work from before a full fence. */
bool worker_sees_injected(struct worker *w);
/* intake.c: the same for the injectors alone, which any worker may take from. */
bool intake_is_empty(struct runtime *rt);
/* intake.c: tasks in injectors and inboxes, about. */
uint64_t intake_depth(struct runtime *rt);
/* intake.c: tasks in injectors alone, about. */
uint64_t intake_shared_depth(struct runtime *rt);
/* intake.c: about as many or more, for submitters, who don't disturb workers by it; the same number again, and from it
 * on what submitters know of it. */
uint64_t intake_depth_bound(struct runtime *rt);
uint64_t intake_catch_up(struct runtime *rt);
/* intake.c: refuses submits from here on; whether everything accepted before is taken; wakes blocked submitters. */
void intake_close(struct runtime *rt);
bool intake_is_drained(struct runtime *rt);
void intake_notify_lanes(struct runtime *rt);
void intake_notify_all(struct runtime *rt); /* those who wait for an inbox, too */
/* intake.c: makes the injectors for rt->config, shared out among `domains`. 0 or -ENOMEM (destroy all the same). */
int intake_init(struct runtime *rt, uint32_t domains);
void intake_destroy(struct runtime *rt);

/* Whether runtime_check_duty() might do anything: a hint. Who blocks has called somebody, or counts on a searcher, who
 * will; a submit only repeats a call that failed, and arms the governor. */
static inline bool runtime_may_call(const struct runtime *rt)
{
    return rt->governor.present || duty_is_short(&rt->elastic.duty, duty_read(&rt->elastic.duty));
}

/* Nobody sleeps or searches, work may wait: if a processor is free, somebody is called to it. After a full fence. */
static inline void runtime_check_duty(struct runtime *rt, enum elastic_caller caller)
{
    if (UNLIKELY(duty_is_short(&rt->elastic.duty, duty_read(&rt->elastic.duty))))
        elastic_call(rt, caller);
    governor_arm(rt);
}

/* A pause between two looks of a spinning worker: 1, 2, 4 ... times os_relax(). */
static inline void worker_pause(const struct runtime *rt, unsigned *relaxes)
{
    if (runtime_is_crowded(rt)) {
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
    /* [PK4] forbids: a waiter for `key` misses this worker while the worker's pushes go fast past the waiter; pairs
     * with idle_begin_wait(). */
    atom_fence(memory_order_seq_cst);
    if (UNLIKELY(idle_has_waiters(&w->rt->idle)))
        deque_poison(&w->dq, DEQUE_ANYBODY);
}

/* Where one task or a batch goes, and what becomes of it if there is no room. */
struct submission {
    weir_lane lane;
    weir_policy policy;
    uint64_t deadline;
    struct worker *to; /* the worker whose inbox it is for, or NULL */
    uint64_t stamp;    /* ticks: what time it is, or RING_NOW */
};

/* submit.c: hands a ready task to the runtime; see weir_submit_lane(), weir_submit_to(), weir_submit_batch_lane(). */
int runtime_submit_as(struct runtime *rt, weir_task *t, const struct submission *s);
int runtime_submit(struct runtime *rt, weir_task *t, weir_lane lane, weir_policy policy, uint64_t deadline);
int runtime_submit_batch(struct runtime *rt, weir_task *const *tasks, size_t n, weir_lane lane, weir_policy policy,
                         uint64_t deadline, size_t *accepted);
/* submit.c: for a worker of rt: hands a ready task to worker number `worker` < rt->count, which alone will run it. */
void runtime_send(struct runtime *rt, uint32_t worker, weir_task *t);
/* guest.c: runs t, which is marked as queued, and what it leaves on its deque on the calling thread. False: all guests
 * are taken, and nothing changed. */
bool guest_run(struct runtime *rt, weir_task *t);

#endif
