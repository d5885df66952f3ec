/* SPDX-License-Identifier: MIT
 *
 * poller_epoll.c - poller.h with epoll: an operation is tried, and tried again when its descriptor is ready.
 *
 * Threads: see poller.h.
 * Invariants: a descriptor's registration is one-shot and armed for what its operations wait for, whenever one waits.
 * It is armed anew at each start, by a call that tells a descriptor that was closed and opened again: EP-A nobody waits
 * for a registration that is gone, once its number is used again.
 * Source: epoll(7).
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "os/poller.h"

#define EVENTS_MAX 256 /* events per epoll_wait(): a choice, 3 KiB of stack */

/* --- registrations -------------------------------------------------------------------------------------------- */

static uint32_t wanted(const struct poller_fd *fd)
{
    uint32_t events = 0;
    for (const weir_io *io = fd->ops; io != NULL; io = io->next)
        events |= io_call_events(io);
    return events;
}

static void end_all(struct poller *p, struct poller_fd *fd, const weir_io *but, int error)
{
    for (weir_io *io = fd->ops, *next; io != NULL; io = next) {
        next = io->next;
        if (io != but)
            poller_done(p, io, error);
    }
}

/* Waits for what the operations on the descriptor want. 0 or -errno. */
static int arm(struct poller *p, struct poller_fd *fd, uint32_t events)
{
    int number = (int)(fd - p->fds) - 1;
    /* The bits of poll(2) are those of epoll. The error conditions always come, but with nothing else to wait for the
     * registration must be armed all the same. */
    struct epoll_event e = {.events = events | (uint32_t)EPOLLONESHOT, .data.fd = number};
    int r = epoll_ctl(p->fd, EPOLL_CTL_MOD, number, &e) == 0 ? 0 : -errno;
    if (r == -ENOENT)
        r = epoll_ctl(p->fd, EPOLL_CTL_ADD, number, &e) == 0 ? 0 : -errno;
    fd->armed = r == 0 ? events : 0;
    return r;
}

/* The same for one more operation: the others waited for a registration that must be there. */
static int arm_for(struct poller *p, struct poller_fd *fd, weir_io *io)
{
    struct epoll_event e = {.events = wanted(fd) | (uint32_t)EPOLLONESHOT, .data.fd = io->fd};
    if (fd->armed != 0 && epoll_ctl(p->fd, EPOLL_CTL_MOD, io->fd, &e) == 0) {
        fd->armed = e.events & ~(uint32_t)EPOLLONESHOT;
        return 0;
    }
    if (fd->armed != 0)
        end_all(p, fd, io, -EBADF); /* EP-A: closed behind our back */
    return arm(p, fd, wanted(fd));
}

/* --- starting and ending -------------------------------------------------------------------------------------- */

static void epoll_start(struct poller *p, weir_io *io)
{
    struct poller_fd *fd = poller_fd_of(p, io);
    if (io->op == POLLER_CLOSE) {
        fd->armed = 0; /* the kernel forgets it with the descriptor */
        (void)epoll_ctl(p->fd, EPOLL_CTL_DEL, io->fd, NULL);
        poller_done(p, io, io_call_do(io));
        return;
    }
    int r = arm_for(p, fd, io);
    if (r != 0)
        poller_done(p, io, r);
}

/* The registration may stay armed for more than is wanted: an event for nobody is passed over. */
static void epoll_cancel(struct poller *p, weir_io *io)
{
    poller_done(p, io, -ECANCELED);
}

/* The descriptor is ready: each of its operations is tried. */
static void serve(struct poller *p, struct poller_fd *fd, uint32_t events)
{
    fd->armed = 0;
    for (weir_io *io = fd->ops, *next; io != NULL; io = next) {
        next = io->next;
        if ((events & (io_call_events(io) | EPOLLERR | EPOLLHUP)) == 0)
            continue;
        int64_t r = io_call_try(io);
        if (r != -EAGAIN)
            poller_done(p, io, r);
    }
    uint32_t more = wanted(fd);
    int r = fd->ops != NULL ? arm(p, fd, more) : 0;
    if (r != 0)
        end_all(p, fd, NULL, r);
}

static void epoll_collect(struct poller *p)
{
    struct epoll_event events[EVENTS_MAX];
    int n = p->in_flight == 0 ? 0 : epoll_wait(p->fd, events, EVENTS_MAX, 0);
    for (int i = 0; i < n; i++) {
        serve(p, &p->fds[events[i].data.fd + 1], events[i].events);
    }
}

static bool epoll_has_news(const struct poller *p)
{
    (void)p;
    return true; /* only a call can tell */
}

/* --- lifecycle ------------------------------------------------------------------------------------------------ */

static int epoll_init(struct poller *p)
{
    p->fd = epoll_create1(EPOLL_CLOEXEC);
    return p->fd < 0 ? -errno : 0;
}

static void epoll_destroy(struct poller *p)
{
    close(p->fd);
}

const struct poller_kind poller_epoll = {
    .name = WEIR_IO_EPOLL,
    .init = epoll_init,
    .destroy = epoll_destroy,
    .start = epoll_start,
    .cancel = epoll_cancel,
    .collect = epoll_collect,
    .has_news = epoll_has_news,
};
