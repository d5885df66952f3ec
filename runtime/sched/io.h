/* SPDX-License-Identifier: MIT
 *
 * io.h - the operations of a runtime: gathered by workers, entered and reaped by whoever holds the poller.
 *
 * The poller (os/poller.h) is made at the first operation. Nobody waits for its lock: who finds it taken leaves a
 * request in `inbox` and a mark in the lock word, and the holder looks again before it lets go.
 *
 *  weir_io.state   31       8 7..5   4      3         2           1        0
 *              | runtime     | 0  | over | begun | cancelled | queued | flight |
 *
 * runtime    whose operation it is, by rt->handle: a cancel from another one's worker is refused
 * flight     started and not completed
 * queued     a request for it is gathered, in the inbox, or about to be put there
 * cancelled  weir_io_cancel() has been called
 * begun      the poller has it, or had it (over)
 * over       (queued) its result is there, and the request that refers to it is on its way
 *
 * The keeper is the one worker that sleeps in the poller instead of on its own word: it is announced as any other
 * sleeper (idle.h), and a waker that finds MARK_POLLING in its token rings the poller. Who parks while others are awake
 * does not sit: it becomes deputy, sleeps for DEPUTY_NS at a time, and takes the seat if nobody has looked there
 * meanwhile. So completions that a busy worker takes wake nobody, and one in a long task delays nobody for longer than
 * that. The keeper of timers (timers.h) is another office: one worker may hold both, and sleeps in io_sleep() anyway.
 *
 * Threads: io_start, io_flush, io_take, io_sleep, io_leave: the worker. io_cancel: any worker of the runtime.
 * Invariants:
 *  IO-A  A record whose `queued` is set is completed by nobody but who takes the request: so no request refers to a
 *        record that is its owner's again.
 *  IO-B  `pending` counts the operations handed over and not completed or not taken. A worker hands over what it has
 *        gathered before it announces itself as asleep: so when all are asleep the count is complete.
 *  IO-C  LOCK_MORE is set after a request was put into the inbox, or the seat was left, and taken by a holder who then
 *        looks at both.
 *  IO-D  A holder does not let go while operations are in flight, somebody else is announced as asleep, and there is
 *        neither a keeper nor a deputy.
 *  IO-E  What is ready and not taken is work as any other: `news` is set, and who set it looks for sleepers after a
 *        fence.
 */
#ifndef WEIR_SCHED_IO_H
#define WEIR_SCHED_IO_H

#include <weir/io.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "sched/idle.h"

#define IO_FLIGHT 1u
#define IO_QUEUED 2u
#define IO_CANCELLED 4u
#define IO_BEGUN 8u
#define IO_OVER 16u
#define IO_RUNTIME_SHIFT 8

struct poller;
struct runtime;
struct worker;

/* Tasks made ready, oldest first, linked by their stamps. */
struct io_ready {
    weir_task *first, *last;
    bool one; /* a taker's: only the oldest, the others wait where they are */
};

/* Of a runtime. */
struct io {
    weir_atomic_ptr poller;  /* struct poller, from the first operation on */
    weir_atomic_u32 lock;    /* LOCK_* */
    weir_atomic_u32 news;    /* 1: `ready` is not empty */
    weir_atomic_u64 pending; /* see IO-B */
    weir_atomic_u64 next;    /* the holder writes: the earliest deadline of an operation, ns or OS_FOREVER */
    weir_atomic_ptr inbox;   /* requests, newest first, linked by `request` */
    weir_atomic_u32 keeper;  /* its number + 1; 0: the seat is empty. Claimed under the lock, left without */
    weir_atomic_u32 deputy;  /* the same */
    /* the holder's */
    struct io_ready ready;   /* not taken yet */
    uint32_t over;           /* operations completed, still counted in `pending` */
    uint32_t rounds;         /* how often somebody has held the poller */
    bool discarding;         /* everything was cancelled */
};

static inline struct poller *io_poller(const struct io *io)
{
    /* [IO1] acquire: the poller before the pointer to it; pairs with make_poller(). */
    return atom_load(&io->poller, memory_order_acquire);
}

/* Of a worker. */
struct io_worker {
    weir_io *first, *last; /* started and not handed over, oldest first, linked by `request` */
    uint32_t count;
    uint32_t over;         /* of these, the ones that have their results */
    uint32_t own;          /* times in a row that it took only such */
    uint32_t rounds;       /* a deputy's: as of its last look */
    bool turn;             /* its last look at outside work began here */
    bool napped;           /* a deputy's: it has slept for DEPUTY_NS */
    bool left;             /* it was keeper or deputy, and nobody has been told that it is no more */
};

/* --- io_start.c --- */

/* An operation whose fields are set begins. 0, -EBUSY, -ESHUTDOWN, or an error of poller_init(). */
int io_start(struct worker *w, weir_io *op) MUST_USE;
int io_cancel(struct worker *w, weir_io *op);
weir_io_kind io_kind(const struct runtime *rt);
void io_init(struct runtime *rt);
void io_destroy(struct runtime *rt);

/* --- io.c --- */

/* Hands over what the worker has gathered. */
void io_flush(struct worker *w);
/* The same, and takes what is completed, onto a deque that is empty or of no lineage: returns the oldest task that is
 * ready; the others are pushed if the deque is empty, else they wait for their turn, so that what came before is not
 * buried under what comes after. NULL: none. */
weir_task *io_take(struct worker *w);
/* The same for all work from outside: this, the inbox, the injectors, in turns. */
weir_task *worker_take_outside(struct worker *w);
/* Whether there is something to take, as far as that can be told for free. */
bool io_has_news(const struct runtime *rt);
/* Whether operations are in flight of which only a call can tell (epoll), as far as that can be told for free. */
bool io_looks_by_call(const struct runtime *rt);
/* Whether tasks are ready that nobody has taken. After a full fence. */
static inline bool io_tasks_wait(const struct io *io)
{
    return atom_load(&io->news, memory_order_relaxed) != 0; /* relaxed: the caller has fenced */
}
/* Whether nothing is in flight. Exact when all workers are asleep. */
bool io_is_quiet(const struct runtime *rt);
/* Hands over what is gathered and looks around; false: leaves that to who is at it. taker: takes what is ready, or
 * NULL. sits_down: w is announced, and sits where that is wanted. */
bool io_visit(struct worker *w, struct io_ready *taker, bool sits_down);
/* io_flush(), also where nothing is gathered. */
void io_flush_slow(struct worker *w);
/* A request for an operation that the poller has: its `queued` was set by the caller. */
void io_request(struct worker *w, weir_io *op);
/* The task that an operation leads to, if it is ready now. The record is its owner's from here on. */
weir_task *io_pay(const weir_io *op);

/* --- io_seats.c --- */

/* What elastic.c sleeps with, for a worker that is announced: as idle_sleep_until(), as keeper if there is need for
 * one. SLEPT_NEWS: there is something to take; the announcement stands. */
enum idle_slept io_sleep(struct worker *w, uint64_t deadline) MUST_USE;
/* A worker goes to work, or off duty: if it was keeper or deputy, somebody else may have to be. */
void io_leave(struct worker *w);
/* Whether one more sleeper has to have a thread, for the sake of operations in flight. After a full fence. */
bool io_wants_keeper(const struct runtime *rt);
/* Under the lock: a worker that is announced looks whether it shall sit; somebody else who sleeps becomes deputy. */
void io_sit(struct worker *w);
void io_appoint(const struct worker *w);

#endif
