/* SPDX-License-Identifier: MIT
 *
 * poller_uring.c - poller.h with io_uring: started operations gather in the submission ring and are entered together.
 *
 * Threads: see poller.h. Any thread enters. A completion has to run in the thread that entered the operation; it is not
 * interrupted for that, which would cost more than a hop through a pipe (decisions/0016), but does it at its next call,
 * and IORING_SQ_TASKRUN says that there is something. Who computes all the time is interrupted by the keeper
 * (sched/io_seats.c), through a membarrier: where there is none, the ring is of the plain kind.
 * Invariants: UR-A an operation's user_data is its record until its completion was seen; requests of our own have none.
 * UR-B -ECANCELED for which there is no mark means that the thread that entered the operation has ended: it is entered
 * anew. UR-C what the kernel does not take now is not refused: it waits in the ring, or with POLLER_HELD where that is
 * full, and is tried at each look.
 * Source: io_uring(7), liburing.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <sys/socket.h>

#include "os/os_fault.h"
#include "os/poller.h"

#define ENTRIES 256u          /* submissions that gather at most: 64 bytes each */
#define COMPLETIONS 4096u     /* more than these the kernel keeps in a list of its own */
#define COMPLETIONS_AT_ONCE 64u
#define FLAGS (IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL)
#define LAZY (IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG)
#define ROUNDS 16u /* so often per call: a choice, so that what is found gets to work */

struct uring {
    struct io_uring ring;
    bool again; /* the ring had no room for a start (POLLER_HELD) or a cancel */
};

static inline struct uring *own_of(const struct poller *p)
{
    return p->own;
}

static inline struct io_uring *ring_of(const struct poller *p)
{
    return &own_of(p)->ring;
}

static inline bool is_marked(const weir_io *io)
{
    return (io->marks & (POLLER_CANCELLED | POLLER_LATE)) != 0;
}

/* --- entering ------------------------------------------------------------------------------------------------- */

/* What could not be entered now (-EBUSY, -EAGAIN: the kernel is short of something) stays for the next call. */
static void enter(struct poller *p)
{
    struct io_uring *ring = ring_of(p);
    while (io_uring_sq_ready(ring) != 0 && !os_fault(OS_FAULT_ENTER) && io_uring_submit(ring) > 0)
        continue;
}

/* NULL: the ring is full, and the kernel takes nothing for now. */
static struct io_uring_sqe *new_entry(struct poller *p)
{
    struct io_uring_sqe *e = io_uring_get_sqe(ring_of(p));
    if (e == NULL) {
        enter(p);
        e = io_uring_get_sqe(ring_of(p));
    }
    return e;
}

static void prepare_poll(struct io_uring_sqe *e, const weir_io *io)
{
    io_uring_prep_poll_add(e, io->fd, io_call_events(io));
}

static void prepare(struct io_uring_sqe *e, const weir_io *io)
{
    void *address = (void *)(uintptr_t)io->address;
    int flags = (int)io->flags;
    switch ((enum poller_op)io->op) {
    case POLLER_POLL:
        prepare_poll(e, io);
        break;
    case POLLER_READ:
        io_uring_prep_read(e, io->fd, address, io->length, (uint64_t)io->offset);
        break;
    case POLLER_WRITE:
        io_uring_prep_write(e, io->fd, address, io->length, (uint64_t)io->offset);
        break;
    case POLLER_READV:
        io_uring_prep_readv(e, io->fd, address, io->length, (uint64_t)io->offset);
        break;
    case POLLER_WRITEV:
        io_uring_prep_writev(e, io->fd, address, io->length, (uint64_t)io->offset);
        break;
    case POLLER_ACCEPT:
        io_uring_prep_accept(e, io->fd, address, (socklen_t *)(uintptr_t)io->second, flags);
        break;
    case POLLER_CONNECT:
        io_uring_prep_connect(e, io->fd, address, io->length);
        break;
    case POLLER_RECV:
        io_uring_prep_recv(e, io->fd, address, io->length, flags);
        break;
    case POLLER_SEND:
        io_uring_prep_send(e, io->fd, address, io->length, flags);
        break;
    case POLLER_FSYNC:
        io_uring_prep_fsync(e, io->fd, flags != 0 ? IORING_FSYNC_DATASYNC : 0);
        break;
    case POLLER_OPENAT:
        io_uring_prep_openat(e, io->fd, address, flags, io->length);
        break;
    case POLLER_STATX:
        io_uring_prep_statx(e, io->fd, address, flags, io->length, (struct statx *)(uintptr_t)io->second);
        break;
    case POLLER_CLOSE:
        io_uring_prep_close(e, io->fd);
        break;
    }
}

static void uring_start(struct poller *p, weir_io *io)
{
    struct io_uring_sqe *e = new_entry(p);
    if (UNLIKELY(e == NULL)) {
        io->marks |= POLLER_HELD;
        own_of(p)->again = true;
        return;
    }
    if (io->marks & POLLER_WAITS)
        prepare_poll(e, io);
    else
        prepare(e, io);
    io_uring_sqe_set_data(e, io);
}

static void uring_cancel(struct poller *p, weir_io *io)
{
    if (UNLIKELY((io->marks & POLLER_HELD) != 0)) { /* the kernel does not know it */
        poller_done(p, io, -ECANCELED);
        return;
    }
    struct io_uring_sqe *e = new_entry(p);
    if (e == NULL) {
        own_of(p)->again = true;
        return;
    }
    io_uring_prep_cancel(e, io, 0);
    io_uring_sqe_set_data(e, NULL);
}

/* Starts and cancels once more what had no room, until there is none again. */
static COLD void try_again(struct poller *p)
{
    bool *again = &own_of(p)->again;
    *again = false;
    for (uint32_t i = 0; i < p->size; i++) {
        for (weir_io *io = p->fds[i].ops; io != NULL && !*again; io = io->next) {
            if (io->marks & POLLER_HELD) {
                io->marks &= (uint8_t)~POLLER_HELD;
                uring_start(p, io);
            } else if (is_marked(io)) {
                uring_cancel(p, io);
            }
        }
    }
}

/* --- completions ---------------------------------------------------------------------------------------------- */

/* Kinds of descriptors that are non-blocking and that the kernel does not wait for by itself. A local socket that can't
 * be connected now is always ready: waiting would not help. */
static bool must_wait(const weir_io *io, int result)
{
    return result == -EAGAIN && io->op < POLLER_FSYNC && io->op != POLLER_CONNECT;
}

static void complete(struct poller *p, weir_io *io, int result)
{
    bool waited = (io->marks & POLLER_WAITS) != 0;
    if (!is_marked(io) && (result == -ECANCELED || must_wait(io, result) || (waited && result > 0))) {
        io->marks = must_wait(io, result) ? POLLER_WAITS : 0; /* UR-B: from the beginning */
        uring_start(p, io);
        return;
    }
    poller_done(p, io, result);
}

static void uring_collect(struct poller *p)
{
    struct io_uring *ring = ring_of(p);
    struct io_uring_cqe *found[COMPLETIONS_AT_ONCE];
    unsigned n = 1;
    for (unsigned round = 0; n != 0 && round < ROUNDS; round++) {
        enter(p);
        n = io_uring_peek_batch_cqe(ring, found, COMPLETIONS_AT_ONCE);
        for (unsigned i = 0; i < n; i++) {
            weir_io *io = io_uring_cqe_get_data(found[i]);
            if (io != NULL)
                complete(p, io, found[i]->res);
        }
        io_uring_cq_advance(ring, n);
    }
    if (UNLIKELY(own_of(p)->again))
        try_again(p);
    enter(p);
    p->stuck = own_of(p)->again || io_uring_sq_ready(ring) != 0;
}

/* A word that the kernel writes, too. */
static inline uint32_t shared_word(const unsigned *word)
{
    /* relaxed: a hint; who collects reads the tail anew, with an acquire against the kernel's release */
    return atom_load((const weir_atomic_u32 *)(const void *)word, memory_order_relaxed);
}

static bool uring_has_news(const struct poller *p)
{
    const struct io_uring *ring = ring_of(p);
    return shared_word(ring->cq.ktail) != shared_word(ring->cq.khead) ||
           (shared_word(ring->sq.kflags) & IORING_SQ_TASKRUN) != 0;
}

/* --- lifecycle ------------------------------------------------------------------------------------------------ */

static int set_up(struct uring *u, struct io_uring_params *params, unsigned flags)
{
    *params = (struct io_uring_params){.flags = flags, .cq_entries = COMPLETIONS};
    return os_fault(OS_FAULT_RING) ? -ENOMEM : io_uring_queue_init_params(ENTRIES, &u->ring, params);
}

static int uring_init(struct poller *p)
{
    struct uring *u = os_alloc(sizeof(*u), CACHE_LINE);
    if (u == NULL)
        return -ENOMEM;
    struct io_uring_params params;
    p->lazy = os_membarrier_init();
    int r = set_up(u, &params, p->lazy ? FLAGS | LAZY : FLAGS);
    if (r == -EINVAL && p->lazy) { /* a kernel before 5.19 */
        p->lazy = false;
        r = set_up(u, &params, FLAGS);
    }
    if (r == 0 && (params.features & IORING_FEAT_NODROP) == 0) {
        io_uring_queue_exit(&u->ring);
        r = -ENOSYS;
    }
    if (r != 0) {
        os_free(u, sizeof(*u));
        return r;
    }
    p->own = u;
    p->fd = u->ring.ring_fd;
    return 0;
}

static void uring_destroy(struct poller *p)
{
    io_uring_queue_exit(ring_of(p));
    os_free(p->own, sizeof(struct uring));
}

const struct poller_kind poller_uring = {
    .name = WEIR_IO_URING,
    .init = uring_init,
    .destroy = uring_destroy,
    .start = uring_start,
    .cancel = uring_cancel,
    .collect = uring_collect,
    .has_news = uring_has_news,
};
