/* SPDX-License-Identifier: MIT
 *
 * weir/stats.h - what the workers did: counts per worker and in total.
 *
 * Threads: any thread may read at any time. Counts are single-writer cells, read without stopping anyone: each is
 * exact up to the moment it was read, and they are not a snapshot of one instant.
 */
#ifndef WEIR_STATS_H
#define WEIR_STATS_H

#include <weir/task.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_counts {
    uint64_t tasks_run;      /* tasks run by a scheduling decision; a forked task that its own join called is a call */
    uint64_t tasks_spawned;  /* tasks made runnable on this worker other than by fork */
    uint64_t tasks_skipped;  /* tasks of a cancelled scope that were not begun */
    uint64_t tasks_discarded;/* tasks dropped by a stop that was asked to discard */
    uint64_t tasks_shed;     /* requests shed: they waited too long, and `shed` was called in the place of `run` */
    uint64_t steals;         /* tasks taken from other workers' deques */
    uint64_t steal_fails;    /* attempts that found nothing or lost the race */
    uint64_t forced;         /* times this worker published another one's private tasks */
    uint64_t parks;          /* times the worker went to sleep */
    uint64_t wakes;          /* wake-ups this worker (in the total: anybody) sent */
    uint64_t injected;       /* tasks taken from the injector or the inbox */
    uint64_t rejected;       /* submits refused because the lane or inbox was full, at once or until the deadline, or by
                                a guard (total only); a batch counts once */
    uint64_t submitted;      /* submits accepted, from outside or on a worker (total only) */
} weir_counts;

/* What the guards of a runtime did (weir/admission.h), and how they stand. */
typedef struct weir_guard_counts {
    uint64_t refused_depth;   /* submits refused by the depth guard (all three kinds are part of `rejected`) */
    uint64_t refused_time;    /* by the queue-time guard */
    uint64_t refused_breaker; /* by the circuit breaker */
    uint64_t mark_calls;      /* calls of on_mark */
    uint64_t breaker_opened;  /* times the breaker opened */
    uint64_t breaker_probes;  /* submits that passed as probes */
    uint32_t guards;          /* WEIR_MARKS, WEIR_GUARD_*: on now */
    uint32_t above;           /* 1: the depth guard refuses: it was above when it was asked last */
    uint32_t shedding;        /* 1: the queue-time guard sheds */
    uint32_t breaker;         /* weir_breaker_state */
} weir_guard_counts;

typedef struct weir_stats {
    uint32_t size;           /* set by the caller: sizeof(struct weir_stats) */
    uint32_t workers;        /* workers on duty now: running, looking for work, asleep or blocked */
    uint64_t queue_depth;    /* tasks in the injector and the inboxes now */
    uint64_t queue_capacity; /* tasks that each lane of the injector can hold */
    uint32_t parked;         /* workers asleep now */
    uint32_t blocked;        /* workers between weir_block_begin and weir_block_end, or in a long wait, now */
    uint32_t min_workers;    /* workers that are always there */
    uint32_t max_workers;    /* workers that the governor may let run at once */
    uint32_t target;         /* workers that shall run at once now */
    uint32_t seats;          /* worker numbers are below this: max_workers and spare_workers */
    uint32_t threads;        /* threads of workers now, spare ones included */
    uint32_t reserved;
    uint64_t called;         /* workers called to duty since the start: in place of blocked ones, or by the governor */
    uint64_t grown;          /* of these, called by the governor */
    uint64_t retired;        /* threads of workers that ended for want of work */
    weir_counts total;
    weir_guard_counts guards;
} weir_stats;

/*
 * Reads the totals. `s->size` must be sizeof(weir_stats).
 * per_worker: NULL, or room for `n` records, filled for workers 0 to min(n, seats) - 1.
 * Errors: -EINVAL, -ESHUTDOWN (the runtime was stopped), -EOWNERDEAD (this process is a fork of the runtime's).
 */
WEIR_API int weir_stats_read(weir_runtime *rt, weir_stats *s, weir_counts *per_worker, uint32_t n);

#ifdef __cplusplus
}
#endif

#endif
