/* SPDX-License-Identifier: MIT
 *
 * model_poller.c - os/poller.h over a device that a client thread plays: an operation completes when device_fire() says
 * so.
 *
 * What the caller's lock has to keep apart is marked as payload, so that a lock that does not is a data race.
 *
 * Threads: device_fire: any; the others as in poller.h.
 * Invariants: bit i of `started` and of `fired` is operation i; both set: there is something to reap.
 */
#include "os/poller.h"

#include <errno.h>

#include "model.h"
#include "model_poller.h"

static weir_atomic_u32 started, fired, rung, bell;
static weir_io *in_poller[DEVICE_OPS];

/* A field that the model's poller has no other use for. */
static void touch(struct poller *p)
{
    MODEL_WRITE(p->size, MODEL_READ(p->size) + 1);
}

static void ring_bell(void)
{
    atom_add(&bell, 1u, memory_order_seq_cst);
    os_futex_wake(&bell, 1);
}

static bool has_ready(void)
{
    return (atom_load(&started, memory_order_seq_cst) & atom_load(&fired, memory_order_seq_cst)) != 0;
}

void device_fire(unsigned op)
{
    atom_or(&fired, 1u << op, memory_order_seq_cst);
    ring_bell();
}

/* --- poller.h ---------------------------------------------------------------------------------------------------- */

static bool has_news(const struct poller *p)
{
    (void)p;
    return has_ready();
}

static const struct poller_kind kind = {.name = WEIR_IO_URING, .has_news = has_news};

int poller_init(struct poller *p, weir_io_kind prefer)
{
    (void)prefer;
    *p = (struct poller){.kind = &kind};
    MODEL_WRITE(p->size, 0);
    return 0;
}

void poller_destroy(struct poller *p)
{
    MODEL_ASSERT(p->in_flight == 0);
}

static void over(struct poller *p, weir_io *io, int64_t result)
{
    in_poller[io->fd] = NULL;
    atom_and(&started, ~(1u << io->fd), memory_order_seq_cst);
    p->in_flight--;
    io->result = result;
    io->marks = POLLER_OVER;
    io->next = p->done;
    p->done = io;
}

void poller_start(struct poller *p, weir_io *io)
{
    touch(p);
    (void)MODEL_READ(io->fd);
    MODEL_ASSERT(in_poller[io->fd] == NULL);
    in_poller[io->fd] = io;
    p->in_flight++;
    atom_or(&started, 1u << io->fd, memory_order_seq_cst);
    if (has_ready())
        ring_bell();
}

void poller_cancel(struct poller *p, weir_io *io)
{
    touch(p);
    if ((io->marks & POLLER_OVER) == 0)
        over(p, io, -ECANCELED);
}

void poller_cancel_all(struct poller *p)
{
    for (unsigned i = 0; i < DEVICE_OPS; i++)
        if (in_poller[i] != NULL)
            poller_cancel(p, in_poller[i]);
}

weir_io *poller_reap(struct poller *p)
{
    touch(p);
    for (unsigned i = 0; i < DEVICE_OPS; i++)
        if (in_poller[i] != NULL && (atom_load(&fired, memory_order_seq_cst) & 1u << i) != 0)
            over(p, in_poller[i], 1);
    weir_io *list = p->done;
    p->done = NULL;
    return list;
}

bool poller_wait(struct poller *p, uint64_t deadline)
{
    (void)p;
    for (;;) {
        uint32_t now = atom_load(&bell, memory_order_seq_cst);
        if (has_ready())
            return true;
        if (atom_xchg(&rung, 0u, memory_order_seq_cst) != 0 || os_futex_wait(&bell, now, deadline) == -ETIMEDOUT)
            return false;
    }
}

void poller_wake(struct poller *p)
{
    (void)p;
    atom_store(&rung, 1u, memory_order_seq_cst);
    ring_bell();
}

/* --- io_call.c: nothing but a write can be done at once ----------------------------------------------------------- */

int64_t io_call_try(weir_io *io)
{
    (void)io;
    return -EAGAIN;
}

int64_t io_call_do(const weir_io *io)
{
    (void)io;
    return 0;
}

int64_t io_call_try_write(const weir_io *io)
{
    return io->op == POLLER_WRITE ? 1 : -EAGAIN; /* what writes is over at once */
}

bool io_call_may_block(const weir_io *io)
{
    (void)io;
    return false;
}

bool io_call_must_block(const weir_io *io)
{
    (void)io;
    return false;
}
