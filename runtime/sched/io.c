/* SPDX-License-Identifier: MIT
 *
 * io.c - operations on descriptors on their way to the poller and back.
 *
 * Threads and invariants: see io.h.
 * Source: the lock word is that of a combining lock (Hendler et al., SPAA 2010): who can't have it leaves its request
 * to the holder.
 */
#include "sched/io.h"

#include <errno.h>

#include "os/poller.h"
#include "sched/worker.h"

#define OWN_MAX 16u  /* a choice: so often a worker goes on with what it could do at once before it asks the poller */
#define LOCK_HELD 1u
#define LOCK_MORE 2u /* look again: the inbox has something new, or a seat was left */

/* --- the lock ------------------------------------------------------------------------------------------------- */

/* Takes the lock, if it is free. more: and if it is not, its holder shall look again. */
static bool try_lock(struct io *io, bool more)
{
    /* [IO2] acquire: the poller as its last holder left it; pairs with unlock(). [IO3] release: the request in the
     * inbox, or the seat that was left, before the mark; pairs with unlock(). */
    return (atom_or(&io->lock, more ? LOCK_HELD | LOCK_MORE : LOCK_HELD, memory_order_acq_rel) & LOCK_HELD) == 0;
}

/* False: there is more to do first. */
static bool unlock(struct io *io)
{
    uint32_t held = LOCK_HELD;
    /* [IO2] release: pairs with try_lock(). relaxed on failure: the AND acquires. Weak: may look again. */
    if (LIKELY(atom_cas_weak(&io->lock, &held, 0u, memory_order_release, memory_order_relaxed)))
        return true;
    atom_and(&io->lock, ~LOCK_MORE, memory_order_acquire); /* [IO3] acquire: pairs with try_lock() */
    return false;
}

/* --- completions ---------------------------------------------------------------------------------------------- */

static weir_task **link_of(weir_task *t)
{
    return (weir_task **)(void *)&t->stamp;
}

static_assert(sizeof(uint64_t) == sizeof(weir_task *), "a stamp has room for a link");

static void append(struct io_ready *list, weir_task *t)
{
    *link_of(t) = NULL;
    if (list->first == NULL)
        list->first = t;
    else
        *link_of(list->last) = t;
    list->last = t;
}

weir_task *io_pay(const weir_io *op)
{
    weir_task *t = op->then;
    return state_owed(t) == 0 || state_was_last(state_pay(t, 1), 1) ? t : NULL;
}

/* An operation has its result. */
static void complete(struct io *io, weir_io *op)
{
    uint32_t now = atom_load(&op->state, memory_order_relaxed); /* relaxed: the CAS decides */
    uint32_t then;
    do
        then = now & IO_QUEUED ? now | IO_OVER : 0; /* IO-A */
    /* relaxed: all else in the record is the holder's; who cancels looks at this word alone */
    while (!atom_cas_weak(&op->state, &now, then, memory_order_relaxed, memory_order_relaxed));
    if (then != 0)
        return;
    io->over++;
    weir_task *t = io_pay(op);
    if (t != NULL)
        append(&io->ready, t);
}

/* --- requests ------------------------------------------------------------------------------------------------- */

static void begin(struct io *io, struct poller *p, weir_io *op, bool cancelled)
{
    if (op->marks & POLLER_OVER) { /* it was done at once, and has its result */
        complete(io, op);
    } else if (UNLIKELY(cancelled || io->discarding)) {
        op->result = -ECANCELED;
        complete(io, op);
    } else if (UNLIKELY(op->deadline != OS_FOREVER && op->deadline <= os_now())) {
        op->result = -ETIME;
        complete(io, op);
    } else {
        poller_start(p, op);
    }
}

/* A request, to begin or to cancel, is taken. */
static void obey(struct io *io, struct poller *p, weir_io *op)
{
    uint32_t now = atom_load(&op->state, memory_order_relaxed); /* relaxed: the CAS decides */
    /* [IO6] release: the record's link was read; pairs with io_cancel(). relaxed on failure: tried again. */
    while (!atom_cas_weak(&op->state, &now, (now & ~IO_QUEUED) | IO_BEGUN, memory_order_release, memory_order_relaxed))
        continue;
    if (now & IO_OVER)
        complete(io, op);
    else if (now & IO_BEGUN)
        poller_cancel(p, op);
    else
        begin(io, p, op, (now & IO_CANCELLED) != 0);
}

static void obey_all(struct io *io, struct poller *p, weir_io *list)
{
    for (weir_io *op = list, *next; op != NULL; op = next) {
        plain_reads(op->request); /* [IO6] */
        next = op->request;
        obey(io, p, op);
    }
}

/* The same list, backwards. */
static weir_io *reversed(weir_io *list)
{
    weir_io *out = NULL;
    for (weir_io *next; list != NULL; list = next) {
        next = list->request;
        list->request = out;
        out = list;
    }
    return out;
}

/* What is in the inbox, oldest first. */
static weir_io *empty_inbox(struct io *io)
{
    if (atom_load(&io->inbox, memory_order_relaxed) == NULL) /* relaxed: IO-C */
        return NULL;
    /* [IO4] acquire: the records; pairs with send(). */
    return reversed(atom_xchg(&io->inbox, NULL, memory_order_acquire));
}

/* Puts a chain into the inbox. */
static void send(struct io *io, weir_io *newest, weir_io *oldest)
{
    void *head = atom_load(&io->inbox, memory_order_relaxed); /* relaxed: the CAS decides */
    do {
        plain_writes(oldest->request); /* [IO6] */
        oldest->request = head;
        /* [IO4] release: the records before the list; pairs with empty_inbox(). They may be gone at once. */
    } while (!atom_cas_weak(&io->inbox, &head, (void *)newest, memory_order_release, memory_order_relaxed));
}

/* --- holding -------------------------------------------------------------------------------------------------- */

static void reap(struct io *io, struct poller *p)
{
    for (weir_io *op = poller_reap(p), *next; op != NULL; op = next) {
        next = op->next;
        complete(io, op);
    }
}

static void cancel_all(struct io *io, struct poller *p)
{
    io->discarding = true;
    poller_cancel_all(p);
}

/* What is ready is the taker's, or for anybody. */
static void hand_out(struct io *io, struct io_ready *taker)
{
    weir_task *first = io->ready.first;
    if (taker->one) {
        if (taker->first == NULL) {
            io->ready.first = *link_of(first);
            append(taker, first);
        }
        return;
    }
    if (taker->first == NULL)
        taker->first = first;
    else
        *link_of(taker->last) = first;
    taker->last = io->ready.last;
    io->ready.first = NULL;
}

static void settle(struct io *io, struct io_ready *taker)
{
    if (taker != NULL && io->ready.first != NULL)
        hand_out(io, taker);
    /* relaxed, both: who must see it is told after a fence (IO-E) */
    atom_store(&io->news, io->ready.first != NULL, memory_order_relaxed);
    if (io->ready.first == NULL && io->over != 0) {
        atom_sub(&io->pending, (uint64_t)io->over, memory_order_relaxed);
        io->over = 0;
    }
}

/* Tells the keeper of an earlier deadline. */
static void set_next(struct io *io, struct poller *p)
{
    uint64_t next = poller_deadline(p);
    /* relaxed, all: a hint to who is awake; the keeper's claim is ordered by the lock, and it is rung after that */
    bool earlier = next < atom_load(&io->next, memory_order_relaxed);
    atom_store(&io->next, next, memory_order_relaxed);
    if (earlier && atom_load(&io->keeper, memory_order_relaxed) != 0)
        poller_wake(p);
}

/* The caller has the lock, and lets go of it. own: what it has gathered. taker: takes what is ready. sits_down: it
 * is announced, and sits down where that is wanted. */
static void hold(struct worker *w, weir_io *own, struct io_ready *taker, bool sits_down)
{
    struct io *io = &w->rt->io;
    struct poller *p = io_poller(io);
    do {
        io->rounds++;
        if (UNLIKELY(runtime_phase(w->rt) == PHASE_DISCARDING) && !io->discarding)
            cancel_all(io, p);
        obey_all(io, p, own);
        obey_all(io, p, empty_inbox(io));
        reap(io, p);
        settle(io, taker);
        set_next(io, p);
        if (sits_down)
            io_sit(w);
        io_appoint(w);
        own = NULL;
    } while (!unlock(io));
}

/* What is left behind ready is work, as a push or a submit is. */
static void tell(struct worker *w)
{
    /* relaxed: set by this thread, or told by another */
    if (LIKELY(atom_load(&w->rt->io.news, memory_order_relaxed) == 0))
        return;
    /* [PK4] forbids: a parker misses the tasks in its last look while it is missed here; pairs with idle_announce(). */
    atom_fence(memory_order_seq_cst);
    atom_count(&w->counters.wakes, idle_notify(&w->rt->idle));
}

/* --- a worker's visit ----------------------------------------------------------------------------------------- */

static inline void forget_gathered(struct worker *w)
{
    w->io.first = w->io.last = NULL;
    w->io.count = w->io.over = w->io.own = 0;
}

/* Hands over what is gathered and looks around; false: leaves that to who is at it. */
bool io_visit(struct worker *w, struct io_ready *taker, bool sits_down)
{
    struct io *io = &w->rt->io;
    weir_io *first = w->io.first;
    bool more = first != NULL || sits_down || w->io.left;
    if (first != NULL)
        /* relaxed: before the announcement, which orders it (IO-B), or the fence of [IO5] */
        atom_add(&io->pending, (uint64_t)w->io.count, memory_order_relaxed);
    forget_gathered(w);
    w->io.left = false;
    if (try_lock(io, false)) {
        hold(w, first, taker, sits_down);
        return true;
    }
    if (first != NULL)
        send(io, reversed(first), first);
    if (!more || !try_lock(io, true))
        return false;
    hold(w, NULL, taker, sits_down);
    return true;
}

void io_request(struct worker *w, weir_io *op)
{
    struct io *io = &w->rt->io;
    send(io, op, op);
    if (try_lock(io, true))
        hold(w, NULL, NULL, false);
    tell(w);
}

/* Pushed so that the deque's owner takes them in their order. */
static weir_task *push_all_but_first(struct worker *w, weir_task *first)
{
    weir_task *newest = NULL;
    if (*link_of(first) != NULL)
        worker_begin_taken(w);
    for (weir_task *t = *link_of(first), *next; t != NULL; t = next) {
        next = *link_of(t);
        *link_of(t) = newest;
        newest = t;
    }
    for (weir_task *t = newest, *next; t != NULL; t = next) {
        next = *link_of(t);
        weir_push(worker_public(w), t);
    }
    return first;
}

NOINLINE void io_flush_slow(struct worker *w)
{
    (void)io_visit(w, NULL, false);
    tell(w);
}

void io_flush(struct worker *w)
{
    if (UNLIKELY(w->io.first != NULL))
        io_flush_slow(w);
}

bool io_has_news(const struct runtime *rt)
{
    const struct io *io = &rt->io;
    const struct poller *p = io_poller(io);
    /* relaxed, all: hints; a parker's last look comes after a fence, which orders them (IO-E) */
    if (p == NULL || atom_load(&io->pending, memory_order_relaxed) == 0)
        return false;
    if (atom_load(&io->news, memory_order_relaxed) != 0 || poller_has_news(p))
        return true;
    uint64_t next = atom_load(&io->next, memory_order_relaxed);
    return next != OS_FOREVER && next <= os_now();
}

/* All that is gathered has its result, and there is nothing else to look for: it need not go past the poller. Not too
 * often in a row: whether epoll has something is not known without a visit. */
static inline bool has_own_only(struct worker *w)
{
    return w->io.over != 0 && w->io.over == w->io.count && w->io.own < OWN_MAX && !w->io.left &&
           !deque_has_any(&w->dq) && atom_load(&w->rt->io.news, memory_order_relaxed) == 0; /* relaxed: a hint */
}

/* The tasks that the own operations lead to. No poller has seen them, and nobody else knows them but who cancels. */
static weir_task *take_own(struct worker *w)
{
    struct io_ready taken = {0};
    uint32_t own = w->io.own + 1;
    for (weir_io *op = w->io.first, *next; op != NULL; op = next) {
        next = op->request;
        /* relaxed: a cancel comes before, and is overtaken by the result, or finds nothing in flight */
        atom_store(&op->state, 0u, memory_order_relaxed);
        weir_task *t = io_pay(op);
        if (t != NULL)
            append(&taken, t);
    }
    forget_gathered(w);
    w->io.own = own;
    return taken.first != NULL ? push_all_but_first(w, taken.first) : NULL;
}

bool io_looks_by_call(const struct runtime *rt)
{
    const struct poller *p = io_poller(&rt->io);
    /* relaxed: a hint */
    return p != NULL && p->kind->name == WEIR_IO_EPOLL && atom_load(&rt->io.pending, memory_order_relaxed) != 0;
}

static NOINLINE weir_task *take(struct worker *w)
{
    if (has_own_only(w))
        return take_own(w);
    struct io_ready taken = {.one = deque_has_any(&w->dq)};
    (void)io_visit(w, &taken, false);
    if (taken.one)
        tell(w);
    return taken.first != NULL ? push_all_but_first(w, taken.first) : NULL;
}

weir_task *io_take(struct worker *w)
{
    if (LIKELY(atom_load(&w->rt->io.poller, memory_order_relaxed) == NULL)) /* relaxed: a hint */
        return NULL;
    bool must = w->io.first != NULL || w->io.left || runtime_phase(w->rt) == PHASE_DISCARDING;
    return must || io_has_news(w->rt) ? take(w) : NULL;
}

weir_task *worker_take_outside(struct worker *w)
{
    if (LIKELY(atom_load(&w->rt->io.poller, memory_order_relaxed) == NULL)) /* relaxed: a hint */
        return worker_take_injected(w);
    w->io.turn = !w->io.turn; /* neither starves the other */
    weir_task *t = w->io.turn ? io_take(w) : worker_take_injected(w);
    if (t == NULL)
        t = w->io.turn ? worker_take_injected(w) : io_take(w);
    return t;
}

bool io_is_quiet(const struct runtime *rt)
{
    /* relaxed: all are asleep, and their announcements were acquired [EL2] (IO-B) */
    return atom_load(&rt->io.pending, memory_order_relaxed) == 0;
}

