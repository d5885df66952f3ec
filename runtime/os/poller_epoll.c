/* SPDX-License-Identifier: MIT
 *
 * poller_epoll.c - poller.h with epoll: an operation is tried, and tried again when its descriptor is ready.
 *
 * Threads: see poller.h.
 * Invariants: a descriptor's registration is one-shot and armed for what its operations wait for, whenever one waits.
 * It is armed anew at each start, by a call that tells a descriptor that was closed and opened again: EP-A nobody waits
 * for a registration that is gone, once its number is used again. EP-B An event of a registration that is not a
 * descriptor's last, of a file that was closed under this number and is open under another, is nobody's: it says
 * nothing about the file that has the number now, and who waits for readiness is told without a second look.
 * WEIR_POLL_AGAIN is the caller's word that neither need be asked. Then the registration is edge-triggered and kept:
 * EP-C as long as `kept` is set, whatever comes has not come yet or is in the kernel's list. An event that comes while
 * nobody waits, or that is the last one of its descriptor (its end, an error), clears it: the next wait arms anew,
 * which asks.
 * Source: epoll(7).
 */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/os_fault.h"
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

static uint32_t number_of(const struct poller *p, const struct poller_fd *fd)
{
    return (uint32_t)(fd - p->fds) - 1;
}

/* events: those of epoll, of which the lower ones are those of poll(2). */
static struct epoll_event event_of(const struct poller *p, const struct poller_fd *fd, uint32_t events)
{
    return (struct epoll_event){.events = events, .data.u64 = (uint64_t)fd->epoch << 32 | number_of(p, fd)};
}

/* Changes the registration of a descriptor (EPOLL_CTL_MOD), or makes it. 0 or -errno. */
static int control(struct poller *p, const struct poller_fd *fd, int how, uint32_t events)
{
    struct epoll_event e = event_of(p, fd, events);
    return epoll_ctl(p->fd, how, (int)number_of(p, fd), &e) == 0 ? 0 : -errno;
}

static int change_or_make(struct poller *p, struct poller_fd *fd, uint32_t events)
{
    int r = control(p, fd, EPOLL_CTL_MOD, events);
    if (r != -ENOENT)
        return r;
    fd->epoch++;
    return control(p, fd, EPOLL_CTL_ADD, events);
}

/* Waits for what the operations on the descriptor want. 0 or -errno. */
static int arm(struct poller *p, struct poller_fd *fd, uint32_t events)
{
    /* Errors always come, but with nothing else to wait for the registration must be armed all the same. */
    int r = change_or_make(p, fd, events | (uint32_t)EPOLLONESHOT);
    fd->armed = r == 0 ? (uint16_t)events : 0;
    fd->kept = 0;
    return r;
}

static bool is_alone(const weir_io *io)
{
    return io->prev == io;
}

/* The same for one more operation: the others waited for a registration that must be there, and is armed for what they
 * want, or more: they need not be asked, however many they are. */
static int arm_for(struct poller *p, struct poller_fd *fd, weir_io *io)
{
    uint32_t events = (is_alone(io) ? 0 : fd->armed) | io_call_events(io);
    if (fd->armed != 0 && control(p, fd, EPOLL_CTL_MOD, events | (uint32_t)EPOLLONESHOT) == 0) {
        fd->armed = (uint16_t)events;
        fd->kept = 0;
        return 0;
    }
    if (fd->armed != 0)
        end_all(p, fd, io, -EBADF); /* EP-A: closed behind our back */
    return arm(p, fd, io_call_events(io)); /* nobody else waits now */
}

/* The same for one that goes on where the last one ended, and is alone: EP-C. */
static int keep(struct poller *p, struct poller_fd *fd, const weir_io *io)
{
    uint32_t end = io->events & EPOLLIN ? (uint32_t)EPOLLRDHUP : 0; /* which may have come with the last bytes */
    int r = fd->kept == io->events ? 0 : change_or_make(p, fd, io->events | end | (uint32_t)EPOLLET);
    fd->armed = fd->kept = r == 0 ? io->events : 0;
    return r;
}

/* --- starting and ending -------------------------------------------------------------------------------------- */

static void epoll_start(struct poller *p, weir_io *io)
{
    struct poller_fd *fd = poller_fd_of(p, io);
    if (io->op == POLLER_CLOSE) {
        fd->armed = fd->kept = 0; /* the kernel forgets it with the descriptor */
        (void)epoll_ctl(p->fd, EPOLL_CTL_DEL, io->fd, NULL);
        poller_done(p, io, io_call_do(io));
        return;
    }
    bool again = io->op == POLLER_POLL && (io->flags & WEIR_POLL_AGAIN) != 0 && is_alone(io);
    int r = again ? keep(p, fd, io) : arm_for(p, fd, io);
    if (r != 0)
        poller_done(p, io, r);
}

/* The registration may stay armed for more than is wanted: an event for nobody is passed over. */
static void epoll_cancel(struct poller *p, weir_io *io)
{
    poller_done(p, io, -ECANCELED);
}

/* What a ready descriptor means for an operation: who waits for readiness has what it waited for; others are tried. */
static int64_t try_again(weir_io *io, uint32_t events)
{
    return io->op == POLLER_POLL ? (int64_t)events : io_call_try(io);
}

/* Disarms a registration that nobody waits for. Its owner may have closed the file, and the number may be another
 * one's: then the kernel knows none under that number, since nothing is registered before this returns, and nothing is
 * changed. The call itself, as epoll_ctl() would be taken for a use of the descriptor that must come before its close
 * (the thread sanitizer does). */
static void disarm(const struct poller *p, const struct poller_fd *fd)
{
    struct epoll_event e = event_of(p, fd, (uint32_t)EPOLLONESHOT);
    (void)syscall(SYS_epoll_ctl, p->fd, EPOLL_CTL_MOD, (int)number_of(p, fd), &e);
}

/* An event of a registration that is kept: whether it still may be. */
static void note_kept(struct poller *p, struct poller_fd *fd, uint32_t events)
{
    if (fd->ops == NULL) /* for nobody: it shall not go on like that */
        disarm(p, fd);
    if (fd->ops == NULL || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        fd->kept = 0;
}

/* The descriptor is ready: each of its operations is tried, the oldest first. */
static void serve(struct poller *p, struct poller_fd *fd, uint32_t events)
{
    fd->armed = 0;
    if (fd->kept != 0)
        note_kept(p, fd, events);
    for (weir_io *io = fd->ops, *next; io != NULL; io = next) {
        next = io->next;
        uint32_t its = events & (io_call_events(io) | EPOLLERR | EPOLLHUP);
        if (its == 0)
            continue;
        int64_t r = try_again(io, its);
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
        struct poller_fd *fd = &p->fds[(uint32_t)events[i].data.u64 + 1];
        if (fd->epoch == events[i].data.u64 >> 32) /* EP-B */
            serve(p, fd, events[i].events);
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
    if (os_fault(OS_FAULT_EPOLL))
        return -EMFILE;
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
