/* SPDX-License-Identifier: MIT
 *
 * elastic.h - workers that come and go: seats, who sits on them, and who calls or dismisses whom.
 *
 * A runtime has a constant number of seats. Seats 0 to min - 1 always have a worker on duty. Each other seat is
 *
 *   on duty     its worker runs, searches, is blocked, or is announced as asleep (idle.h); one announced by proxy may
 *               be absent: without a thread, which its waker then starts
 *   spare       off duty; its thread sleeps and ends after `retire_after_ms`
 *   vacant      off duty, without a thread
 *
 * A surplus worker (duty.h) steps down when it runs dry, a sleeping one is withdrawn by the worker whose return made it
 * a surplus. A worker that sleeps for `retire_after_ms` leaves. Nobody wakes up twice for that: a sleeper that is still
 * needed at its deadline sleeps on without one, until it is nudged.
 *
 * Threads: see each function.
 * Invariants:
 *  S1  A seat is its thread's while that runs; otherwise it belongs to who cleared its bit, in `asleep`, `spare` or
 *      `vacant`, until that sets the next bit or starts or wakes the thread.
 *  S2  Only a worker with nothing on its deque leaves duty, and it is no searcher then: nobody relies on it.
 *  S3  While the runtime is short, somebody is announced as asleep, or searches, or is on its way to call one in: who
 *      blocks, and the last searcher who leaves with work while nobody sleeps. (Not if no seat or thread was to be had:
 *      then the next submit or the governor tries again.) So work that comes finds somebody to wake.
 *  S4  on duty is raised before the seat is announced, and lowered after its announcement was taken back: while
 *      something runs, fewer sleep than are on duty.
 */
#ifndef WEIR_ELASTIC_H
#define WEIR_ELASTIC_H

#include "sched/duty.h"
#include "sched/idle.h"

struct runtime;
struct worker;

struct elastic {
    struct duty duty ALIGNED(CACHE_LINE);
    weir_atomic_u64 spare[IDLE_WORDS] ALIGNED(CACHE_LINE);
    weir_atomic_u64 vacant[IDLE_WORDS];
    weir_atomic_u64 retry_at; /* ns: no thread could be started; not again before that */
    weir_atomic_u64 called;   /* workers called to duty, spares of blocked ones and the governor's */
    weir_atomic_u64 grown;    /* of these, by the governor */
    weir_atomic_u64 retired;  /* threads that ended for want of work */
    uint64_t retire_ns;       /* constant */
};

/* Who may look around before it calls: a worker of the runtime; others call only when they know of work. */
enum elastic_caller { CALLER_WORKER, CALLER_OUTSIDE };

/* Seats from `workers` on are vacant. */
void elastic_init(struct runtime *rt, uint32_t workers);
/* The runtime is short and nobody sleeps or searches: one more comes on duty. Any thread that holds the runtime. */
void elastic_call(struct runtime *rt, enum elastic_caller caller);
/* One more, although the runtime is not short: there is work that waits too long. False: no more may come. */
bool elastic_grow(struct runtime *rt);
/* An active worker more than are wanted: one that sleeps goes off duty. Worker. */
void elastic_withdraw(struct runtime *rt);

enum elastic_rest { REST_WOKEN, REST_HANDED, REST_AGAIN, REST_RETIRED };

/* The worker sleeps, announced or off duty. REST_WOKEN: counts as searching. REST_HANDED: does not, and has got a task
 * (handoff.h). REST_AGAIN: not announced any more, nor searching. REST_RETIRED: off duty for good, the thread ends. */
enum elastic_rest elastic_sleep(struct worker *w, bool announced);
/* A worker with nothing to do, not searching, goes off duty if it is a surplus, and sleeps. REST_AGAIN: it is not. */
enum elastic_rest elastic_step_down(struct worker *w);
/* First thing of a thread that was started for a seat: takes its place. False: no memory, the thread shall end. */
bool elastic_arrive(struct worker *w) MUST_USE;
/* Last thing of a thread that shall end: vacates the seat. The record is another thread's on return. */
void elastic_vacate(struct worker *w);
/* Wakes all spares: the runtime has ended. */
void elastic_dismiss_spares(struct runtime *rt);

#endif
