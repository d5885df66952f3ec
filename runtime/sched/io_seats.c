/* SPDX-License-Identifier: MIT
 *
 * io_seats.c - who sleeps in the poller: the keeper, and the deputy that takes its place.
 *
 * Threads and invariants: see io.h.
 */
#include "sched/io.h"

#include "os/poller.h"
#include "sched/worker.h"

#define DEPUTY_NS UINT64_C(1000000) /* how long the seat may be empty while somebody could take it: a choice, half
                                       of what a 99th percentile of 2 ms has to give */

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
void io_appoint(const struct worker *w)
{
    struct runtime *rt = w->rt;
    struct io *io = &rt->io;
    if (!is_empty(&io->keeper) || !is_empty(&io->deputy) || io_poller(io)->in_flight == 0)
        return;
    /* [IO5] forbids: a sleeper, or who announces one, misses the operations in flight while it is missed here; pairs
     * with idle_announce(). */
    atom_fence(memory_order_seq_cst);
    uint32_t id = idle_has_sleepers(&rt->idle) ? idle_any_sleeper(&rt->idle, w->id) : IDLE_NOBODY;
    if (id == IDLE_NOBODY)
        return;
    if (idle_is_absent(&rt->idle, id)) {
        (void)idle_wake(&rt->idle, id);
        return;
    }
    /* relaxed: its own number, and a look at the lock, tell it */
    atom_store(&io->deputy, id + 1, memory_order_relaxed);
    idle_rouse(&rt->idle, id);
}

/* A hint: if it is wrong, a deputy finds out. */
static bool others_are_awake(const struct runtime *rt)
{
    /* relaxed: as above */
    return idle_announced(atom_load(&rt->idle.sleepers, memory_order_relaxed)) <
           duty_active(duty_read(&rt->elastic.duty));
}

/* A worker that is announced looks whether it shall sit. While others are awake and look, it does not sleep in the
 * poller, where each completion that they take would wake it: it is deputy, or nothing. */
void io_sit(struct worker *w)
{
    struct io *io = &w->rt->io;
    bool deputy = sits(&io->deputy, w);
    bool others_look = deputy ? io->rounds - w->io.rounds > 1 : others_are_awake(w->rt);
    if (io->ready.first != NULL)
        return;
    w->io.rounds = io->rounds;
    if (io_poller(io)->in_flight == 0 || !is_empty(&io->keeper)) {
        if (deputy && !others_look)
            leave(&io->deputy);
    } else if (!others_look) {
        atom_store(&io->keeper, w->id + 1, memory_order_relaxed); /* relaxed: claims are ordered by the lock */
        if (deputy)
            leave(&io->deputy);
    } else if (is_empty(&io->deputy)) {
        atom_store(&io->deputy, w->id + 1, memory_order_relaxed); /* relaxed: the same */
    }
}

/* --- sleeping ------------------------------------------------------------------------------------------------- */

/* Sleeps in the poller. While others are awake and do not look, what they have entered may be over and not posted, as
 * they compute: now and then they are interrupted. */
static enum idle_slept sleep_in_poller(struct worker *w, uint64_t deadline)
{
    struct poller *p = io_poller(&w->rt->io);
    for (;;) {
        uint64_t until = deadline;
        if (p->lazy && others_are_awake(w->rt)) {
            os_membarrier();
            until = os_now() + DEPUTY_NS;
        }
        until = until < deadline ? until : deadline;
        enum idle_slept slept = idle_sleep_polling(&w->rt->idle, w->id, p, until);
        if (slept != SLEPT_TIMEOUT || until == deadline)
            return slept;
    }
}

static enum idle_slept sleep_as_keeper(struct worker *w, uint64_t deadline)
{
    struct io *io = &w->rt->io;
    /* relaxed: of our own claim; or later, and we are rung */
    uint64_t next = atom_load(&io->next, memory_order_relaxed);
    enum idle_slept slept = sleep_in_poller(w, next < deadline ? next : deadline);
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
        bool looked = (!deputy || w->io.napped) && io_visit(w, NULL, true);
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
        io_flush_slow(w);
}

bool io_wants_keeper(const struct runtime *rt)
{
    const struct io *io = &rt->io;
    /* relaxed: after the announcement's fence [IO5] */
    return atom_load(&io->pending, memory_order_relaxed) != 0 && is_empty(&io->keeper) && is_empty(&io->deputy);
}
