/* SPDX-License-Identifier: MIT
 *
 * weir/runtime.h - start and stop a runtime, and submit work to it from outside.
 *
 * A thread that its program registered with urcu-qsbr is offline when it makes a call that may sleep, as liburcu asks.
 *
 * Threads: any thread may call any function here at any time; a handle stays safe to use after the runtime was stopped
 * (calls then return -ESHUTDOWN) and in a forked child (-EOWNERDEAD).
 */
#ifndef WEIR_RUNTIME_H
#define WEIR_RUNTIME_H

#include <weir/admission.h>
#include <weir/stats.h>
#include <weir/task.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_WORKERS_MAX 1024u     /* workers in one runtime */
#define WEIR_RUNTIMES_MAX 64u      /* runtimes in one process at the same time */
#define WEIR_CAPACITY_MAX (1u << 24) /* tasks in a lane of the injector or first slots of a deque */
#define WEIR_DEQUE_LIMIT_MAX (1u << 26) /* slots of a deque: 512 MiB */

/* In which order a worker looks at the others when it steals. */
typedef enum weir_steal_order {
    WEIR_STEAL_RANDOM = 0,  /* a new random start at every sweep */
    WEIR_STEAL_TOPOLOGY = 1 /* workers that share a cache first, random within each ring of distance */
} weir_steal_order;

/* When a push makes tasks visible to thieves. */
typedef enum weir_publish_mode {
    WEIR_PUBLISH_ON_DEMAND = 0, /* private until somebody is hungry: needs membarrier */
    WEIR_PUBLISH_ALWAYS = 1     /* plain Chase-Lev: chosen by itself where membarrier is missing */
} weir_publish_mode;

typedef struct weir_config {
    uint32_t size;           /* set by weir_config_init; refused (-EINVAL) if it is not the library's */
    uint32_t workers;        /* at the start; 1 to WEIR_WORKERS_MAX. Default: CPUs this process may use (affinity and
                                cgroup quota). Environment: WEIR_WORKERS */
    uint32_t min_workers;    /* workers that are always there, 1 to `workers`; 0: as many as `workers`. Workers beyond
                                them end after retire_after_ms without work. Default 0. WEIR_MIN_WORKERS */
    uint32_t max_workers;    /* workers that may run at once, `workers` to WEIR_WORKERS_MAX; 0: as many as `workers`.
                                Above min_workers, a governor adds workers while submitted work waits longer than
                                grow_after_us. Default 0. WEIR_MAX_WORKERS */
    uint32_t spare_workers;  /* further workers, in the places of those that are blocked (weir_block_begin, a join that
                                takes long), at most WEIR_WORKERS_MAX; with max_workers no more count.
                                Default 96. With all of them blocked or waiting, a worker that waits runs what comes
                                inside its wait. WEIR_SPARE_WORKERS */
    uint32_t grow_after_us;  /* microseconds that submitted work may wait before a worker is added, 100 to 10,000,000.
                                Default 1000. WEIR_GROW_AFTER_US */
    uint32_t retire_after_ms;/* milliseconds that a worker beyond min_workers stays without work, 1 to 3,600,000.
                                Default 200. WEIR_RETIRE_AFTER_MS */
    uint32_t queue_capacity; /* tasks that may wait in each lane of the injector, and in each worker's inbox, 1 to
                                WEIR_CAPACITY_MAX. Default 1024. WEIR_QUEUE_CAPACITY */
    uint32_t deque_capacity; /* first slots of each deque, rounded up to a power of two, 2 to WEIR_CAPACITY_MAX.
                                Default 1024. WEIR_DEQUE_CAPACITY */
    uint32_t deque_limit;    /* tasks that may wait in a deque, rounded up to a power of two, at least deque_capacity,
                                at most 2^26; 0: 65,536, or deque_capacity if that is more. A task spawned beyond them
                                runs at once, inside the spawn; a forked one beyond them and 256 (or half of them, if
                                that is less) more. Default 0. WEIR_DEQUE_LIMIT */
    size_t stack_size;       /* bytes of stack per worker, at least 64 KiB; pages are used on demand. Default 8 MiB.
                                WEIR_STACK_SIZE */
    uint32_t spin_us;        /* microseconds a worker looks for work before it sleeps, at most 1,000,000; with more
                                workers than usable CPUs it looks twice. Default 50 (docs/decisions/0004).
                                WEIR_SPIN_US */
    uint32_t pin;            /* 1: worker i is bound to the i-th usable CPU (modulo them). Default 0. WEIR_PIN */
    weir_steal_order steal_order;   /* Default random. WEIR_STEAL_ORDER=random|topology */
    weir_publish_mode publish_mode; /* Default on demand. WEIR_PUBLISH=demand|always */
    uint32_t no_uring;       /* 1: operations on descriptors (weir/io.h) use epoll also where io_uring is to be had.
                                Default 0. WEIR_NO_URING */
    uint32_t guests;         /* threads that may run tasks as callers (WEIR_RUN_IN_CALLER) at once, to 64. Default 4 */
    const char *name;        /* thread names are "name/0", ...; at most 9 bytes. Copied. Default "weir" */
    const weir_admission *admission; /* guards from the start on, copied; NULL: none (weir_admission_set) */
} weir_config;

/*
 * Fills in the defaults for this machine, changed by the WEIR_* environment variables named above.
 * -EINVAL: NULL, or an environment variable with a value that makes no sense (weir_config_error names it).
 */
WEIR_API int weir_config_init(weir_config *c);
/* The name of the field or environment variable that made the calling thread's last weir_config_init or weir_start
 * return -EINVAL, or NULL. Static storage. */
WEIR_API const char *weir_config_error(void);

/*
 * Starts a runtime. config: NULL for defaults. *rt is written on success only; give it back with weir_stop.
 * -EINVAL: rt NULL or a bad config field (weir_config_error names it). -ENOMEM. -EAGAIN: threads can't be created.
 * -EMFILE: WEIR_RUNTIMES_MAX runtimes are running.
 */
WEIR_API int weir_start(weir_runtime **rt, const weir_config *config) WEIR_MUST_USE;

typedef enum weir_stop_mode {
    WEIR_DRAIN = 0,  /* run everything that was accepted and all that it leads to, then stop */
    WEIR_DISCARD = 1 /* finish tasks that have begun (and what they join); drop and count the others. A dropped task
                        pays its completion, so its continuation becomes ready and is dropped and counted in turn */
} weir_stop_mode;

/*
 * Stops a runtime: refuses submits at once, drains or discards, joins the threads and frees everything.
 * deadline: absolute CLOCK_MONOTONIC time in ns, or WEIR_FOREVER.
 * -ETIMEDOUT: the deadline passed first; the runtime stays closed to submits and goes on, and weir_stop may be called
 * again, with either mode. -EDEADLK: called on one of its own workers. -EALREADY: another thread is stopping it.
 * -EINVAL, -ESHUTDOWN (was stopped before), -EOWNERDEAD.
 */
WEIR_API int weir_stop(weir_runtime *rt, weir_stop_mode mode, uint64_t deadline);
/* The same, and the runtime's last totals in *last (size set by the caller) when it returns 0. last may be NULL. */
WEIR_API int weir_stop_stats(weir_runtime *rt, weir_stop_mode mode, uint64_t deadline, weir_stats *last);

/* What a submit does when the injector is full. */
typedef enum weir_policy {
    WEIR_TRY = 0,          /* -EAGAIN at once */
    WEIR_BLOCK = 1,        /* sleep until there is room */
    WEIR_BLOCK_UNTIL = 2,  /* the same, -ETIMEDOUT at the deadline */
    WEIR_RUN_IN_CALLER = 3 /* run the task on this thread, as a guest worker; sleeps if all guests are taken */
} weir_policy;

/*
 * A lane of the injector. Higher lanes go first; one that holds work is passed over a bounded number of times, so none
 * starves. Each lane holds queue_capacity tasks: a full one doesn't keep work out of the others.
 */
typedef enum weir_lane {
    WEIR_LANE_HIGH = 0,
    WEIR_LANE_NORMAL = 1, /* where weir_submit and weir_submit_batch put their tasks */
    WEIR_LANE_LOW = 2
} weir_lane;

/*
 * Submits a ready task. deadline: absolute CLOCK_MONOTONIC ns, used by WEIR_BLOCK_UNTIL only; one in the past matters
 * only when there is no room. Submitters that sleep are woken in the order in which they fell asleep: together when
 * half of a queue of 64 and more is free, or else (also if that takes longer than 0.2 ms) one for each task that is
 * taken; one that comes just then may be faster.
 * On one of the runtime's own workers, be it as a guest of another runtime, a blocking policy never blocks: the task
 * goes to the worker's deque when the injector is full. On success the task is the runtime's until its `run` is called;
 * on failure nothing changed.
 * -EINVAL (NULL, bad policy, a task that owes completions), -EBUSY (the task is queued already: submitted before, by
 * any thread, and not begun), -EAGAIN, -ETIMEDOUT, -ESHUTDOWN, -EOWNERDEAD.
 * Guards that are on (weir/admission.h) are asked first and refuse at once, whatever the policy: -ENOBUFS, -ETIME,
 * -ECONNREFUSED.
 */
WEIR_API int weir_submit(weir_runtime *rt, weir_task *t, weir_policy policy, uint64_t deadline) WEIR_MUST_USE;
/* The same, to a lane. -EINVAL also for a lane that does not exist. */
WEIR_API int weir_submit_lane(weir_runtime *rt, weir_task *t, weir_lane lane, weir_policy policy,
                              uint64_t deadline) WEIR_MUST_USE;
/*
 * Submits a ready task to the inbox of worker number `worker`: it runs there and nowhere else; tasks that it spawns
 * and its continuation may be stolen as ever. A worker looks into its inbox as often as at the injector; while it
 * waits in a join or a scope it does not. The inbox holds queue_capacity tasks. On one of the runtime's own workers a
 * full inbox gives -EAGAIN.
 * As weir_submit; -EINVAL also for WEIR_RUN_IN_CALLER, and if `worker` is not below min_workers: others may leave.
 */
WEIR_API int weir_submit_to(weir_runtime *rt, unsigned worker, weir_task *t, weir_policy policy,
                            uint64_t deadline) WEIR_MUST_USE;
/*
 * Submits tasks[0] to tasks[n-1] in order. *accepted (may be NULL): how many were taken, a prefix; the rest is
 * untouched. Returns 0 when all were taken, else as weir_submit; with -EINVAL and -EBUSY (also for a task that is in
 * the batch twice) none was. A guard is asked once for the whole batch, but a breaker that is half-open once for each
 * task; then -EBUSY comes when the batch is at that task.
 */
WEIR_API int weir_submit_batch(weir_runtime *rt, weir_task *const *tasks, size_t n, weir_policy policy,
                               uint64_t deadline, size_t *accepted);
/* The same, to a lane. -EINVAL also for a lane that does not exist. */
WEIR_API int weir_submit_batch_lane(weir_runtime *rt, weir_task *const *tasks, size_t n, weir_lane lane,
                                    weir_policy policy, uint64_t deadline, size_t *accepted);

/*
 * Runs fn(w, arg) on a worker and waits until it has returned. On one of the runtime's own workers: a plain call.
 * 0, -EINVAL, -ESHUTDOWN, -EOWNERDEAD, -ECANCELED (a discarding stop came before it began), -EDEADLK (called on a
 * worker of another runtime).
 */
WEIR_API int weir_call(weir_runtime *rt, void (*fn)(weir_worker *w, void *arg), void *arg);

/* Number of CPUs that this process may really use: affinity and cgroup quotas with all ancestors, at least 1. */
WEIR_API unsigned weir_usable_cpus(void);
/*
 * Gives memory back that waits to be used again: to the system large blocks, 128 MiB at most, that graphs, runs, sorts
 * and partitions have left (the system may take them without being asked, too), and to the C library what is not in use
 * of the calling thread's pool of task records. Returns how many bytes of addresses that were.
 * From any thread, also while runtimes run.
 */
WEIR_API size_t weir_memory_trim(void);
/* CLOCK_MONOTONIC now, in ns: what deadlines are made of. */
WEIR_API uint64_t weir_now(void);

#ifdef __cplusplus
}
#endif

#endif
