/* SPDX-License-Identifier: MIT
 *
 * io.c - operations on descriptors on their way to the poller and back, and who sleeps in it.
 *
 * Threads and invariants: see io.h.
 * Source: the lock word is that of a combining lock (Hendler et al., SPAA 2010): who can't have it leaves its request to
 * the holder.
 */
#include "sched/io.h"

#include <errno.h>

#include "os/poller.h"
#include "sched/worker.h"

#define LOCK_HELD 1u
#define LOCK_MORE 2u /* look again: the inbox has something new, or a seat was left */

#define GATHERED_MAX 64u              /* operations that a worker keeps back at most: a choice, a quarter of a ring */
#define DEPUTY_NS UINT64_C(1000000)   /* how long the seat may be empty while somebody could take it: a choice, half of what
                                         a 99th percentile of 2 ms has to give */

static struct poller *poller_of(const struct io *io)
{
    /* [IO1] acquire: the poller before the pointer to it; pairs with make_poller(). */
    return atom_load(&io->poller, memory_order_acquire);
}

/* --- the lock ------------------------------------------------------------------------------------------------- */

/* Takes the lock, if it is free. more: and if it is not, its holder shall look again. */
static bool try_lock(struct io *io, bool more)
{
    /* [IO2] acquire: the poller as its last holder left it; pairs with unlock(). [IO3] release: the request in the inbox, or
     * the seat that was left, before the mark; pairs with unlock(). */
    return (atom_or(&io->lock, more ? LOCK_HELD | LOCK_MORE : LOCK_HELD, memory_order_acq_rel) & LOCK_HELD) == 0;
}

/* False: there is more to do first. */
static bool unlock(struct io *io)
{
    uint32_t held = LOCK_HELD;
    /* [IO2] release: pairs with try_lock(). relaxed on failure: the AND acquires. */
    if (LIKELY(atom_cas(&io->lock, &held, 0u, memory_order_release, memory_order_relaxed)))
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

/* The task that an operation leads to, if it is ready now. The record is its owner's from here on. */
static weir_task *pay(const weir_io *op)
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
    weir_task *t = pay(op);
    if (t != NULL)
        append(&io->ready, t);
}

/* --- requests ------------------------------------------------------------------------------------------------- */

static void begin(struct io *io, struct poller *p, weir_io *op, bool cancelled)
{
    if (UNLIKELY(cancelled || io->discarding))
        op->result = -ECANCELED;
    else if (UNLIKELY(op->deadline != OS_FOREVER && op->deadline <= os_now()))
        op->result = -ETIME;
    else {
        poller_start(p, op);
        return;
    }
    complete(io, op);
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
        oldest->request = head;
        /* [IO4] release: the records before the list; pairs with empty_inbox(). They may be gone at once. */
    } while (!atom_cas_weak(&io->inbox, &head, (void *)newest, memory_order_release, memory_order_relaxed));
}

/* --- seats ---------------------------------------------------------------------------------------------------- */

static bool sits(const weir_atomic_u32 *seat, const struct worker *w)
{
    return atom_load(seat, memory_order_relaxed) == w->id + 1; /* relaxed: only the worker itself leaves its seat */
}

static bool is_empty(const weir_atomic_u32 *seat)
{
    return atom_load(seat, memory_order_relaxed) == 0; /* relaxed: who leaves a seat marks the lock after that (IO-C) */
}

static void leave(weir_atomic_u32 *seat)
{
    atom_store(seat, 0u, memory_order_relaxed); /* relaxed: ordered by the mark in the lock [IO3] */
}

/* IO-D: somebody else who sleeps becomes deputy. One without a thread gets it, and searches. */
static void appoint(const struct worker *w)
{
    struct runtime *rt = w->rt;
    struct io *io = &rt->io;
    if (!is_empty(&io->keeper) || !is_empty(&io->deputy) || poller_of(io)->in_flight == 0)
        return;
    /* [IO5] forbids: a sleeper, or who announces one, misses the operations in flight while it is missed here; pairs with
     * idle_announce(). */
    atom_fence(memory_order_seq_cst);
    uint32_t id = idle_has_sleepers(&rt->idle) ? idle_any_sleeper(&rt->idle, w->id) : IDLE_NOBODY;
    if (id == IDLE_NOBODY)
        return;
    if (idle_is_absent(&rt->idle, id)) {
        (void)idle_wake(&rt->idle, id);
        return;
    }
    atom_store(&io->deputy, id + 1, memory_order_relaxed); /* relaxed: its own number, and a look at the lock, tell it */
    idle_rouse(&rt->idle, id);
}

/* A worker that is announced looks whether it shall sit. */
static void sit(struct io *io, const struct poller *p, struct worker *w)
{
    bool deputy = sits(&io->deputy, w);
    if (io->ready.first != NULL)
        return;
    if (p->in_flight != 0 && is_empty(&io->keeper))
        atom_store(&io->keeper, w->id + 1, memory_order_relaxed); /* relaxed: claims are ordered by the lock */
    else if (deputy && p->in_flight != 0 && io->rounds - w->io.rounds > 1)
        deputy = false; /* a coming and going: it stays */
    if (deputy)
        leave(&io->deputy);
    w->io.rounds = io->rounds;
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
    if (earlier && !is_empty(&io->keeper))
        poller_wake(p);
}

/* The caller has the lock, and lets go of it. own: what it has gathered. taker: takes what is ready. sits_down: it is announced,
 * and sits down where that is wanted. */
static void hold(struct worker *w, weir_io *own, struct io_ready *taker, bool sits_down)
{
    struct io *io = &w->rt->io;
    struct poller *p = poller_of(io);
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
            sit(io, p, w);
        appoint(w);
        own = NULL;
    } while (!unlock(io));
}

/* What is left behind ready is work, as a push or a submit is. */
static void tell(struct worker *w)
{
    if (LIKELY(atom_load(&w->rt->io.news, memory_order_relaxed) == 0)) /* relaxed: set by this thread, or told by another */
        return;
    /* [PK4] forbids: a parker misses the tasks in its last look while it is missed here; pairs with idle_announce(). */
    atom_fence(memory_order_seq_cst);
    atom_count(&w->counters.wakes, idle_notify(&w->rt->idle));
}

/* --- a worker's visit ----------------------------------------------------------------------------------------- */

/* Hands over what is gathered and looks around; false: leaves that to who is at it. */
static bool visit(struct worker *w, struct io_ready *taker, bool sits_down)
{
    struct io *io = &w->rt->io;
    weir_io *first = w->io.first;
    bool more = first != NULL || sits_down || w->io.left;
    if (first != NULL)
        /* relaxed: before the announcement, which orders it (IO-B), or the fence of [IO5] */
        atom_add(&io->pending, (uint64_t)w->io.count, memory_order_relaxed);
    w->io.first = w->io.last = NULL;
    w->io.count = 0;
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

static NOINLINE void flush(struct worker *w)
{
    (void)visit(w, NULL, false);
    tell(w);
}

void io_flush(struct worker *w)
{
    if (UNLIKELY(w->io.first != NULL))
        flush(w);
}

bool io_has_news(const struct runtime *rt)
{
    const struct io *io = &rt->io;
    const struct poller *p = poller_of(io);
    /* relaxed, all: hints; a parker's last look comes after a fence, which orders them (IO-E) */
    if (p == NULL || atom_load(&io->pending, memory_order_relaxed) == 0)
        return false;
    if (atom_load(&io->news, memory_order_relaxed) != 0 || poller_has_news(p))
        return true;
    uint64_t next = atom_load(&io->next, memory_order_relaxed);
    return next != OS_FOREVER && next <= os_now();
}

static NOINLINE weir_task *take(struct worker *w)
{
    struct io_ready taken = {.one = deque_has_any(&w->dq)};
    (void)visit(w, &taken, false);
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

/* --- sleeping ------------------------------------------------------------------------------------------------- */

static enum idle_slept sleep_as_keeper(struct worker *w, uint64_t deadline)
{
    struct io *io = &w->rt->io;
    uint64_t next = atom_load(&io->next, memory_order_relaxed); /* relaxed: of our own claim; or later, and we are rung */
    enum idle_slept slept = idle_sleep_polling(&w->rt->idle, w->id, poller_of(io), next < deadline ? next : deadline);
    leave(&io->keeper);
    w->io.left = true;
    return slept;
}

static enum idle_slept sleep_as_deputy(struct worker *w, uint64_t deadline)
{
    uint64_t until = os_now() + DEPUTY_NS;
    return idle_sleep_until(&w->rt->idle, w->id, until < deadline ? until : deadline);
}

enum idle_slept io_sleep(struct worker *w, uint64_t deadline)
{
    struct io *io = &w->rt->io;
    enum idle_slept slept;
    /* relaxed: of a poller that comes later its maker thinks [IO5] */
    if (LIKELY(atom_load(&io->poller, memory_order_relaxed) == NULL))
        return idle_sleep_until(&w->rt->idle, w->id, deadline);
    if (!idle_is_announced(&w->rt->idle, w->id)) { /* woken just now, or put off duty */
        io_leave(w);
        return idle_sleep_until(&w->rt->idle, w->id, deadline);
    }
    do {
        bool deputy = sits(&io->deputy, w);
        /* relaxed: ordered by the announcement [IO5] */
        if (!deputy && atom_load(&io->pending, memory_order_relaxed) == 0)
            return idle_sleep_until(&w->rt->idle, w->id, deadline);
        bool looked = (!deputy || w->io.napped) && visit(w, NULL, true);
        w->io.napped = false;
        /* relaxed: set in our visit. Who kept us from it tells us, as its mark says that we are announced. */
        if (looked && atom_load(&io->news, memory_order_relaxed) != 0)
            return SLEPT_NEWS;
        if (sits(&io->keeper, w)) {
            slept = sleep_as_keeper(w, deadline);
        } else if (sits(&io->deputy, w)) {
            slept = sleep_as_deputy(w, deadline);
            w->io.napped = slept == SLEPT_TIMEOUT;
        } else {
            return idle_sleep_until(&w->rt->idle, w->id, deadline);
        }
    } while (slept == SLEPT_TIMEOUT && (deadline == OS_FOREVER || os_now() < deadline));
    return slept;
}

void io_leave(struct worker *w)
{
    struct io *io = &w->rt->io;
    if (sits(&io->deputy, w)) {
        leave(&io->deputy);
        w->io.left = true;
    }
    if (UNLIKELY(w->io.left))
        flush(w);
}

bool io_wants_keeper(const struct runtime *rt)
{
    const struct io *io = &rt->io;
    /* relaxed: after the announcement's fence [IO5] */
    return atom_load(&io->pending, memory_order_relaxed) != 0 && is_empty(&io->keeper) && is_empty(&io->deputy);
}

/* --- starting and cancelling ---------------------------------------------------------------------------------- */

/* What can be done here and now is, where the poller would only wait for the moment to do it. True: it is completed. */
static bool do_at_once(struct worker *w, weir_io *op)
{
    if (op->op == POLLER_CLOSE)
        return false;
    int64_t r;
    if (op->deadline != OS_FOREVER && op->deadline <= os_now()) {
        r = -ETIME;
    } else if ((r = io_call_try(op)) == -EAGAIN) {
        if (!io_call_must_block(op))
            return false;
        bool blocked = block_begin(w) != 0; /* by the task itself */
        r = io_call_do(op);
        if (!blocked)
            (void)block_end(w);
    }
    op->result = r;
    weir_task *t = pay(op);
    if (t != NULL)
        weir_push(worker_public(w), t);
    return true;
}

static void gather(struct worker *w, weir_io *op)
{
    atom_store(&op->state, IO_FLIGHT | IO_QUEUED, memory_order_relaxed); /* relaxed: handed over by what hands over the record */
    op->request = NULL;
    if (w->io.first == NULL)
        w->io.first = op;
    else
        w->io.last->request = op;
    w->io.last = op;
    if (++w->io.count >= GATHERED_MAX)
        io_flush(w);
}

/* Two workers may come at once. */
static int make_poller(struct runtime *rt)
{
    struct poller *p = os_alloc(sizeof(*p), CACHE_LINE);
    if (p == NULL)
        return -ENOMEM;
    int r = poller_init(p, rt->config.no_uring ? WEIR_IO_EPOLL : WEIR_IO_URING);
    void *none = NULL;
    /* [IO1] release: the poller before the pointer to it; pairs with poller_of(). relaxed on failure: read again. */
    if (r == 0 && atom_cas(&rt->io.poller, &none, (void *)p, memory_order_release, memory_order_relaxed))
        return 0;
    if (r == 0)
        poller_destroy(p);
    os_free(p, sizeof(*p));
    return r;
}

int io_start(struct worker *w, weir_io *op)
{
    struct runtime *rt = w->rt;
    if (atom_load(&op->state, memory_order_relaxed) != 0) /* relaxed: the caller's, unless it breaks the rules */
        return -EBUSY;
    if (UNLIKELY(runtime_phase(rt) == PHASE_DISCARDING))
        return -ESHUTDOWN;
    if (UNLIKELY(poller_of(&rt->io) == NULL)) {
        int r = make_poller(rt);
        if (r != 0)
            return r;
    }
    op->marks = 0;
    if (poller_of(&rt->io)->kind->name == WEIR_IO_EPOLL && do_at_once(w, op))
        return 0;
    gather(w, op);
    return 0;
}

int io_cancel(struct worker *w, weir_io *op)
{
    struct io *io = &w->rt->io;
    uint32_t now = atom_load(&op->state, memory_order_relaxed); /* relaxed: the CAS decides */
    do {
        if ((now & IO_FLIGHT) == 0)
            return -ENOENT;
        if (now & IO_CANCELLED)
            return -EALREADY;
        /* [IO6] acquire: the last use of the record's link; pairs with obey(). relaxed on failure: tried again. */
    } while (!atom_cas_weak(&op->state, &now, now | IO_CANCELLED | IO_QUEUED, memory_order_acquire,
                            memory_order_relaxed));
    if (now & IO_QUEUED)
        return 0; /* who takes the request to begin sees it */
    send(io, op, op);
    if (try_lock(io, true))
        hold(w, NULL, NULL, false);
    tell(w);
    return 0;
}

/* --- lifecycle ------------------------------------------------------------------------------------------------ */

static void ring(struct idle *idle)
{
    poller_wake(poller_of(&CONTAINER_OF(idle, struct runtime, idle)->io));
}

void io_init(struct runtime *rt)
{
    atom_store(&rt->io.next, OS_FOREVER, memory_order_relaxed); /* relaxed: not shared yet */
    rt->idle.ring = ring;
}

void io_destroy(struct runtime *rt)
{
    struct poller *p = atom_load(&rt->io.poller, memory_order_relaxed); /* relaxed: all threads have been joined */
    if (p == NULL)
        return;
    poller_destroy(p);
    os_free(p, sizeof(*p));
}

weir_io_kind io_kind(const struct runtime *rt)
{
    const struct poller *p = poller_of(&rt->io);
    return p != NULL ? p->kind->name : WEIR_IO_NONE;
}
