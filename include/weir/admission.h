/* SPDX-License-Identifier: MIT
 *
 * weir/admission.h - guards that refuse or shed work before it piles up: watermarks, queue time, a circuit breaker.
 *
 * Each guard is a record of the caller's that works alone, with the caller's clock and on any queue; a runtime carries
 * one of each, set by weir_config.admission or weir_admission_set. What each decides is told in docs/admission.md.
 *
 * Threads: every function may be called from any thread at any time, except the _init functions: before the record is
 * shared. No function blocks or allocates. Times are ns of one monotonic clock (weir_now(), or a test's own).
 * Source: Nichols and Jacobson, "Controlling Queue Delay" (CACM 2012); Nygard, "Release It!" (2007) for the breaker.
 */
#ifndef WEIR_ADMISSION_H
#define WEIR_ADMISSION_H

#include <weir/task.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_GUARD_TIME_MAX UINT64_C(3600000000000) /* ns: an hour; a longer time (or a negative one) is refused */

/* --- watermark: a level with hysteresis ------------------------------------------------------------------------- */

/* Above from the moment that a depth of `high` or more is seen until one of `low` or less is. */
typedef struct weir_watermark {
    weir_atomic_u64 levels; /* high in the upper half, low in the lower: both change at once */
    weir_atomic_u32 above;  /* 1: above */
} weir_watermark;

typedef enum weir_crossing {
    WEIR_CROSSED_NOT = 0,
    WEIR_CROSSED_UP = 1,  /* this call took it from below to above */
    WEIR_CROSSED_DOWN = 2 /* this call took it from above to below */
} weir_crossing;

/* -EINVAL: NULL, high == 0, or low not below high; nothing changed. */
WEIR_API int weir_watermark_init(weir_watermark *m, uint32_t high, uint32_t low);
/* Moves the levels; whether it is above stays as it is until the next update. Errors as above. */
WEIR_API int weir_watermark_set(weir_watermark *m, uint32_t high, uint32_t low);
/* Says how deep the queue is now. For each crossing exactly one call says so. Wait-free. */
WEIR_API weir_crossing weir_watermark_update(weir_watermark *m, uint64_t depth);
WEIR_API bool weir_watermark_is_above(const weir_watermark *m);
/* Where a mark with these levels, `above` or not, is at that depth. Changes nothing: for a state kept elsewhere. */
WEIR_API bool weir_watermark_next(const weir_watermark *m, bool above, uint64_t depth);

/* --- queue time: CoDel ------------------------------------------------------------------------------------------ */

/*
 * Finds a standing queue: one in which, for a whole interval, nothing waited less than the target. Then it sheds: work
 * that has waited longer than the target, and new work beyond the depth that can be served within the target. It ends
 * when an interval without a standing queue has passed in which nothing was refused or shed.
 */
typedef struct weir_codel {
    weir_atomic_u64 target;   /* ns of waiting that are fine */
    weir_atomic_u64 interval; /* ns: length of a window */
    weir_atomic_u64 end;      /* ns: when the window ends; whoever moves it on judges the window. 0: none began */
    weir_atomic_u64 least;    /* ns: the shortest wait seen in the window; UINT64_MAX: none */
    weir_atomic_u64 served;   /* taken from the queue in the window and not shed */
    weir_atomic_u64 allowed;  /* depth up to which work is let in while shedding */
    weir_atomic_u32 shedding; /* 1: shedding */
    weir_atomic_u32 refused;  /* 1: something was refused or shed in the window */
} weir_codel;

/* -EINVAL: NULL, target == 0, target >= interval, interval above WEIR_GUARD_TIME_MAX; nothing changed. */
WEIR_API int weir_codel_init(weir_codel *c, uint64_t target_ns, uint64_t interval_ns);
/* Changes the times; state and window go on. Errors as above. */
WEIR_API int weir_codel_set(weir_codel *c, uint64_t target_ns, uint64_t interval_ns);
/* May one more come in behind `depth` others? 0, or -ETIME. */
WEIR_API int weir_codel_admit(weir_codel *c, uint64_t now, uint64_t depth) WEIR_MUST_USE;
/* Is something that was taken after waited_ns to be shed? The caller may serve it all the same. */
WEIR_API bool weir_codel_sheds(weir_codel *c, uint64_t waited_ns) WEIR_MUST_USE;
/* Work was taken from the queue: waited_ns is the shortest wait among it, and `served` is how much of it is served. */
WEIR_API void weir_codel_taken(weir_codel *c, uint64_t now, uint64_t waited_ns, uint64_t served);
WEIR_API bool weir_codel_is_shedding(const weir_codel *c);

/* --- circuit breaker -------------------------------------------------------------------------------------------- */

typedef enum weir_breaker_state {
    WEIR_BREAKER_CLOSED = 0,   /* calls pass; failures are counted */
    WEIR_BREAKER_OPEN = 1,     /* calls are refused for open_ns */
    WEIR_BREAKER_HALF_OPEN = 2 /* `probes` calls pass: all succeed: closed; one fails: open again */
} weir_breaker_state;

typedef struct weir_breaker_config {
    uint32_t failure_percent; /* opens when this share of a window's calls has failed: 1 to 100 */
    uint32_t min_calls;       /* and the window has at least so many: 1 to 65,535 */
    uint32_t probes;          /* calls that pass while half-open: 1 to 1,023 */
    uint64_t window_ns;       /* failures are counted in windows of this length, one after the other */
    uint64_t open_ns;         /* how long it stays open. Probes that have not reported after as long again are given up,
                                 and others may pass in their place */
} weir_breaker_config;

typedef struct weir_breaker {
    weir_atomic_u64 word;   /* state, probes, time: runtime/sync/breaker.c */
    weir_atomic_u64 counts; /* the window's number, calls and failures */
    weir_atomic_u64 limits; /* failure_percent, min_calls, probes */
    weir_atomic_u64 window_ns;
    weir_atomic_u64 open_ns;
    weir_atomic_u64 opened;  /* how often it opened */
    weir_atomic_u64 probed;  /* probes that passed */
    weir_atomic_u64 refused; /* calls refused */
} weir_breaker;

typedef struct weir_breaker_counts {
    uint64_t opened;
    uint64_t probed;
    uint64_t refused;
} weir_breaker_counts;

/* -EINVAL: NULL, a number or time out of range (times: 1 to WEIR_GUARD_TIME_MAX); nothing changed. */
WEIR_API int weir_breaker_init(weir_breaker *b, const weir_breaker_config *c);
/* Changes the numbers; the state stays. Errors as above. */
WEIR_API int weir_breaker_set(weir_breaker *b, const weir_breaker_config *c);
/*
 * May a call pass? 0, or -ECONNREFUSED. *probe: whether the call is a probe; who made it says how it ended, with that
 * mark, by weir_breaker_result, or that it was not made after all, by weir_breaker_cancel.
 */
WEIR_API int weir_breaker_allow(weir_breaker *b, uint64_t now, bool *probe) WEIR_MUST_USE;
/* A call has ended. Once the breaker has opened, only probes count until it closes again. */
WEIR_API void weir_breaker_result(weir_breaker *b, uint64_t now, bool probe, bool success);
/* A probe that passed was not made: another may pass in its place. */
WEIR_API void weir_breaker_cancel(weir_breaker *b);
/* The state now: an open breaker whose time is over says open until the next call asks. */
WEIR_API weir_breaker_state weir_breaker_get(const weir_breaker *b);
WEIR_API void weir_breaker_read(const weir_breaker *b, weir_breaker_counts *out);

/* --- the guards of a runtime ------------------------------------------------------------------------------------ */

/* What is on, in weir_admission.guards. */
#define WEIR_MARKS (UINT32_C(1) << 0)         /* callbacks at two depths of the queue; refuses nothing */
#define WEIR_GUARD_DEPTH (UINT32_C(1) << 1)   /* refuses with -ENOBUFS from one depth until a lower one */
#define WEIR_GUARD_TIME (UINT32_C(1) << 2)    /* refuses with -ETIME, and sheds requests that allow it */
#define WEIR_GUARD_BREAKER (UINT32_C(1) << 3) /* refuses with -ECONNREFUSED */

/* What the breaker is fed with, in weir_admission.feeds. */
#define WEIR_FEED_REPORTS (UINT32_C(1) << 0)    /* weir_report() */
#define WEIR_FEED_QUEUE_TIME (UINT32_C(1) << 1) /* a task that waited longer than slow_ns is a failure */
#define WEIR_FEED_REJECTIONS (UINT32_C(1) << 2) /* a submit refused by a full queue, a deadline or a guard is one */

/*
 * Told of a change. Marks: level 1 when the queue has become as deep as mark_high, 0 when it has come down to mark_low.
 * Breaker: level is its state. Calls for one listener never overlap and never repeat a level, the first is never for
 * level 0, and the last one made is for the level that holds: what comes and goes while the listener runs is left out.
 * Called by the thread that caused the change: a submitter, or a worker between two tasks. It must be quick, since that
 * thread waits for it, and must not block; it may submit (on a worker that never sleeps; a submitter uses WEIR_TRY),
 * write to descriptors and open latches. It must not stop the runtime.
 */
typedef void weir_level_fn(void *arg, int level);

typedef struct weir_admission {
    uint32_t size;             /* set by weir_admission_init; refused if it is not the library's */
    uint32_t guards;           /* WEIR_MARKS and WEIR_GUARD_* that are on. Default none */
    uint32_t mark_high;        /* WEIR_MARKS: depths, 0 <= low < high <= the queue's capacity */
    uint32_t mark_low;
    weir_level_fn *on_mark;    /* required with WEIR_MARKS */
    void *mark_arg;
    uint32_t depth_high;       /* WEIR_GUARD_DEPTH: depths, as above */
    uint32_t depth_low;
    uint64_t target_ns;        /* WEIR_GUARD_TIME: see weir_codel. Default 5 ms and 100 ms */
    uint64_t interval_ns;
    weir_breaker_config breaker; /* WEIR_GUARD_BREAKER. Default 50 % of at least 20 calls in 1 s; 1 s; 3 probes */
    uint32_t feeds;            /* WEIR_FEED_*, at least one. Default reports */
    uint32_t reserved;         /* 0 */
    uint64_t slow_ns;          /* WEIR_FEED_QUEUE_TIME: required, at most WEIR_GUARD_TIME_MAX */
    weir_level_fn *on_breaker; /* NULL: nobody is told */
    void *breaker_arg;
} weir_admission;

/* Fills in the defaults: everything off. -EINVAL: NULL. */
WEIR_API int weir_admission_init(weir_admission *a);
/*
 * Sets the guards of a runtime. A guard that stays on keeps its state and goes on with the new numbers; one that is
 * turned on begins afresh. Fields of guards that are off are ignored. Once it has returned, the old callbacks are not
 * called any more, and their arguments may be freed.
 * -EINVAL (NULL, size, an unknown guard or feed, numbers out of range): nothing changed, weir_config_error() names the
 * field. -EBUSY: a callback is running, or another thread is setting guards: nothing changed, try again.
 * -ESHUTDOWN, -EOWNERDEAD.
 */
WEIR_API int weir_admission_set(weir_runtime *rt, const weir_admission *a);

/* --- requests that may be shed ---------------------------------------------------------------------------------- */

/*
 * A task that may be shed at the other end of the queue: accepted, but waited too long. Then `shed` is called in the
 * place of `run`, with the same rights and duties: it answers "too late". An accepted task without it is never dropped.
 */
typedef struct weir_request {
    weir_task task;
    weir_task_fn *shed;
} weir_request;

#define WEIR_TASK_SHEDDABLE (UINT64_C(1) << 8) /* task state: the record is a weir_request */

/* After weir_task_init(&r->task, ...) (or weir_task_new with 8 bytes more) and before it is submitted. */
WEIR_INLINE void weir_request_on_shed(weir_request *r, weir_task_fn *shed)
{
    r->shed = shed;
    r->task.state.v |= WEIR_TASK_SHEDDABLE;
}

/*
 * Tells the breaker of the worker's runtime how the request `self`, which runs on `w`, has gone: 0, or a negative errno
 * (what weir_scope_wait() returned, for example). At most once per request, before `self` is freed.
 * -EINVAL: NULL, or error above 0. 0 also if there is no breaker.
 */
WEIR_API int weir_report(weir_worker *w, const weir_task *self, int error);

#ifdef __cplusplus
}
#endif

#endif
