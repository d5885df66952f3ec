/* SPDX-License-Identifier: MIT
 *
 * poller.c - what both pollers share: operations by descriptor, deadlines, and the choice between the two.
 *
 * Threads and invariants: see poller.h.
 */
#define _GNU_SOURCE
#include "os/poller.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/util.h"
#include "os/eventfd.h"
#include "os/os_fault.h"

#define NS_PER_S UINT64_C(1000000000)
#define FDS_MIN 64u /* entries of the first table: a choice, 1 KiB */

/* --- records -------------------------------------------------------------------------------------------------- */

/* Makes room for the descriptor, if it is one: the table grows with the numbers that are in use, not with those that
 * somebody makes up. 0, -EBADF, -ENOMEM. */
static int reach(struct poller *p, const weir_io *io)
{
    uint32_t need = poller_slot(io) + 1;
    if (LIKELY(need <= p->size))
        return 0;
    if (need > 1 && fcntl(io->fd, F_GETFD) < 0)
        return -EBADF;
    uint32_t size = p->size == 0 ? FDS_MIN : p->size;
    while (size < need)
        size *= 2;
    void *now = os_resize(p->fds, p->size * sizeof(*p->fds), size * sizeof(*p->fds), sizeof(*p->fds));
    if (now == NULL)
        return -ENOMEM;
    p->fds = now;
    p->size = size;
    return 0;
}

static void hand_back(struct poller *p, weir_io *io, int64_t result)
{
    io->result = result;
    io->marks |= POLLER_OVER;
    io->next = NULL;
    *p->done_tail = io;
    p->done_tail = &io->next;
}

/* PO-D */
static void link_op(struct poller *p, weir_io *io)
{
    weir_io **first = &poller_fd_of(p, io)->ops;
    io->prev = *first != NULL ? (*first)->prev : io;
    io->next = NULL;
    if (*first != NULL)
        (*first)->prev = io->prev->next = io;
    else
        *first = io;
    p->in_flight++;
}

static void unlink_op(struct poller *p, weir_io *io)
{
    weir_io **first = &poller_fd_of(p, io)->ops;
    if (io->next != NULL)
        io->next->prev = io->prev;
    else
        (*first)->prev = io->prev;
    if (io == *first)
        *first = io->next;
    else
        io->prev->next = io->next;
    p->in_flight--;
}

static inline bool is_timed(const weir_io *io)
{
    return io->deadline != OS_FOREVER && (io->marks & POLLER_LATE) == 0;
}

/* Why an operation that was ended did so. -EAGAIN: it was to wait for readiness, and shall not any more. */
static int64_t told(const weir_io *io, int64_t result)
{
    if (result != -ECANCELED && result != -EINTR && result != -EAGAIN)
        return result;
    if (io->marks & POLLER_CANCELLED)
        return -ECANCELED;
    return io->marks & POLLER_LATE ? -ETIME : result;
}

void poller_done(struct poller *p, weir_io *io, int64_t result)
{
    unlink_op(p, io);
    if (is_timed(io))
        deadlines_remove(&p->deadlines, io);
    hand_back(p, io, told(io, result));
}

/* --- starting and ending -------------------------------------------------------------------------------------- */

static void cancel_all_of(struct poller *p, struct poller_fd *fd)
{
    for (weir_io *io = fd->ops, *next; io != NULL; io = next) {
        next = io->next;
        if ((io->marks & POLLER_CANCELLED) == 0 && io->op != POLLER_CLOSE)
            poller_cancel(p, io);
    }
}

void poller_start(struct poller *p, weir_io *io)
{
    int r = reach(p, io);
    if (UNLIKELY(r != 0)) {
        hand_back(p, io, r);
        return;
    }
    if (io->op == POLLER_CLOSE) {
        io->deadline = OS_FOREVER;
        cancel_all_of(p, poller_fd_of(p, io));
    }
    link_op(p, io);
    if (is_timed(io))
        deadlines_add(&p->deadlines, io);
    p->kind->start(p, io);
}

void poller_cancel(struct poller *p, weir_io *io)
{
    if (io->marks & POLLER_OVER)
        return;
    io->marks |= POLLER_CANCELLED;
    p->kind->cancel(p, io);
}

void poller_cancel_all(struct poller *p)
{
    for (uint32_t i = 0; i < p->size; i++)
        cancel_all_of(p, &p->fds[i]);
}

static void expire(struct poller *p)
{
    if (LIKELY(p->deadlines.first == NULL))
        return;
    uint64_t now = os_now();
    for (weir_io *io; (io = p->deadlines.first) != NULL && io->deadline <= now;) {
        deadlines_remove(&p->deadlines, io);
        io->marks |= POLLER_LATE;
        p->kind->cancel(p, io);
    }
}

weir_io *poller_reap(struct poller *p)
{
    expire(p);
    p->kind->collect(p);
    weir_io *list = p->done;
    p->done = NULL;
    p->done_tail = &p->done;
    return list;
}

/* --- sleeping ------------------------------------------------------------------------------------------------- */

/* What is there is left for poller_reap(), but for the wake. Readiness is a level: nothing can slip in before the
 * call. */
bool poller_wait(struct poller *p, uint64_t deadline)
{
    struct pollfd fds[] = {{.fd = p->fd, .events = POLLIN}, {.fd = p->wake_fd, .events = POLLIN}};
    struct timespec left = {0};
    uint64_t now = deadline != OS_FOREVER ? os_now() : 0;
    if (now < deadline && deadline != OS_FOREVER) {
        left.tv_sec = (time_t)((deadline - now) / NS_PER_S);
        left.tv_nsec = (long)((deadline - now) % NS_PER_S);
    }
    int saved = errno;
    int n = ppoll(fds, 2, deadline == OS_FOREVER ? NULL : &left, NULL);
    errno = saved;
    if (n > 0 && fds[1].revents != 0)
        eventfd_reset(p->wake_fd);
    return n > 0 && fds[0].revents != 0;
}

void poller_wake(struct poller *p)
{
    (void)eventfd_ring(p->wake_fd);
}

/* --- lifecycle ------------------------------------------------------------------------------------------------ */

static int make_eventfd(void)
{
    if (os_fault(OS_FAULT_EVENTFD))
        return -EMFILE;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

int poller_init(struct poller *p, weir_io_kind prefer)
{
    static const struct poller_kind *const kinds[] = {POLLER_KINDS};
    *p = (struct poller){.wake_fd = make_eventfd()};
    if (p->wake_fd < 0)
        return p->wake_fd;
    p->done_tail = &p->done;
    int r = -ENOSYS;
    for (unsigned i = 0; r != 0 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        p->kind = kinds[i];
        if (prefer != WEIR_IO_EPOLL || p->kind->name == prefer)
            r = p->kind->init(p);
    }
    if (r != 0)
        close(p->wake_fd);
    return r;
}

void poller_destroy(struct poller *p)
{
    p->kind->destroy(p);
    close(p->wake_fd);
    os_free(p->fds, p->size * sizeof(*p->fds));
}
