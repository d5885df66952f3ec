/* SPDX-License-Identifier: MIT
 *
 * io_start.c - operations on descriptors begin and are cancelled; the poller's life.
 *
 * Threads and invariants: see io.h.
 */
#include "sched/io.h"

#include <errno.h>

#include "os/poller.h"
#include "sched/worker.h"

#define GATHERED_MAX 64u /* operations that a worker keeps back at most: a choice, a quarter of a ring */

/* --- starting and cancelling ---------------------------------------------------------------------------------- */

/* It has its result before it is handed over. */
static void end_at_once(struct worker *w, weir_io *op, int64_t result)
{
    op->result = result;
    op->marks = POLLER_OVER;
    w->io.over++;
}

/* Whether it is tried by who holds the poller only: between the question and the call another worker might take the
 * connection, and the call would wait for the next. */
static bool wants_holder(const weir_io *op)
{
    return op->op == POLLER_ACCEPT && io_call_may_block(op);
}

/* Whether -EAGAIN is the answer and no wait: of a local socket whose listener has no room, since nothing would tell
 * when there is. */
static bool is_refused(const weir_io *op)
{
    return op->op == POLLER_CONNECT && (op->marks & POLLER_BEGUN) == 0;
}

/* What can be done here and now is, where the poller would only wait for the moment to do it. */
static void do_at_once(struct worker *w, weir_io *op)
{
    int64_t r;
    if (wants_holder(op))
        return;
    if (op->deadline != OS_FOREVER && op->deadline <= os_now()) {
        r = -ETIME;
    } else if ((r = io_call_try(op)) == -EAGAIN && !is_refused(op)) {
        if (!io_call_must_block(op))
            return;
        bool blocked = block_begin(w) != 0; /* by the task itself */
        r = io_call_do(op);
        if (!blocked)
            (void)block_end(w);
    }
    end_at_once(w, op, r);
}

/* The same where the poller has calls of its own: what it would do in the call that hands it over, at twice the price
 * (bench `echo_pipe`). What has to wait costs a call in vain, so only what hardly ever does is tried. */
static void write_at_once(struct worker *w, weir_io *op)
{
    if (op->deadline != OS_FOREVER && op->deadline <= os_now())
        return;
    int64_t r = io_call_try_write(op);
    if (r != -EAGAIN)
        end_at_once(w, op, r);
}

static void gather(struct worker *w, weir_io *op)
{
    /* relaxed: handed over by what hands over the record */
    atom_store(&op->state, w->rt->handle << IO_RUNTIME_SHIFT | IO_FLIGHT | IO_QUEUED, memory_order_relaxed);
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
    /* [IO1] release: the poller before the pointer to it; pairs with io_poller(). relaxed on failure: read again. */
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
    if (UNLIKELY(io_poller(&rt->io) == NULL)) {
        int r = make_poller(rt);
        if (r != 0)
            return r;
    }
    op->marks = 0;
    /* If it could be done, what is gathered is its completion: a push would wake somebody for it. */
    if (io_poller(&rt->io)->kind->name == WEIR_IO_URING)
        write_at_once(w, op);
    else if (op->op != POLLER_CLOSE)
        do_at_once(w, op);
    gather(w, op);
    return 0;
}

int io_cancel(struct worker *w, weir_io *op)
{
    uint32_t now = atom_load(&op->state, memory_order_relaxed); /* relaxed: the CAS decides */
    do {
        if ((now & IO_FLIGHT) == 0)
            return -ENOENT;
        if (UNLIKELY(now >> IO_RUNTIME_SHIFT != w->rt->handle))
            return -EINVAL;
        if (now & IO_CANCELLED)
            return -EALREADY;
        /* [IO6] acquire: the last use of the record's link; pairs with obey(). relaxed on failure: tried again. */
    } while (!atom_cas_weak(&op->state, &now, now | IO_CANCELLED | IO_QUEUED, memory_order_acquire,
                            memory_order_relaxed));
    if (now & IO_QUEUED)
        return 0; /* who takes the request to begin sees it */
    io_request(w, op);
    return 0;
}

/* --- lifecycle ------------------------------------------------------------------------------------------------ */

static void ring(struct idle *idle)
{
    poller_wake(io_poller(&CONTAINER_OF(idle, struct runtime, idle)->io));
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
    const struct poller *p = io_poller(&rt->io);
    return p != NULL ? p->kind->name : WEIR_IO_NONE;
}
