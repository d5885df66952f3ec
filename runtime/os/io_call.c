/* SPDX-License-Identifier: MIT
 *
 * io_call.c - an operation as a plain system call: tried without blocking, or done however long it takes.
 *
 * Threads: any, for the record's holder.
 * Invariants: errno is not kept; the result is the call's, or -errno.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "os/poller.h"

static inline void *address_of(const weir_io *io)
{
    return (void *)(uintptr_t)io->address;
}

static int64_t answer(ssize_t r)
{
    return r >= 0 ? r : -errno;
}

static bool is_ready(const weir_io *io)
{
    struct pollfd fd = {.fd = io->fd, .events = (short)io_call_events(io)};
    return poll(&fd, 1, 0) > 0;
}

/* --- reading and writing -------------------------------------------------------------------------------------- */

/* One buffer is a vector of one. */
static int64_t transfer(const weir_io *io, int flags)
{
    struct iovec one = {.iov_base = address_of(io), .iov_len = io->length};
    bool vectored = io->op == POLLER_READV || io->op == POLLER_WRITEV;
    const struct iovec *v = vectored ? address_of(io) : &one;
    int n = vectored ? (int)io->length : 1;
    bool reads = io->op == POLLER_READ || io->op == POLLER_READV;
    return answer(reads ? preadv2(io->fd, v, n, io->offset, flags) : pwritev2(io->fd, v, n, io->offset, flags));
}

static int64_t try_transfer(const weir_io *io)
{
    int64_t r = transfer(io, RWF_NOWAIT);
    if (r == -EOPNOTSUPP) /* a kind of file that does not know how: asked, then done */
        r = !io_call_must_block(io) && is_ready(io) ? transfer(io, 0) : -EAGAIN;
    return r;
}

/* --- sockets -------------------------------------------------------------------------------------------------- */

static int64_t do_accept(const weir_io *io)
{
    return answer(accept4(io->fd, address_of(io), (socklen_t *)(uintptr_t)io->second, (int)io->flags));
}

/* A blocking socket must not block: it is made non-blocking for the moment of the call. */
static int64_t begin_connect(const weir_io *io)
{
    int flags = fcntl(io->fd, F_GETFL);
    if (flags < 0)
        return -errno;
    if ((flags & O_NONBLOCK) == 0)
        (void)fcntl(io->fd, F_SETFL, flags | O_NONBLOCK);
    int64_t r = answer(connect(io->fd, address_of(io), io->length));
    if ((flags & O_NONBLOCK) == 0)
        (void)fcntl(io->fd, F_SETFL, flags);
    return r;
}

static int64_t try_connect(weir_io *io)
{
    if ((io->marks & POLLER_BEGUN) == 0) {
        int64_t r = begin_connect(io);
        if (r != -EINPROGRESS)
            return r; /* -EAGAIN: the queue of a local socket is full */
        io->marks |= POLLER_BEGUN;
        return -EAGAIN;
    }
    if (!is_ready(io))
        return -EAGAIN;
    int error = 0;
    socklen_t size = sizeof(error);
    int64_t r = answer(getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &error, &size));
    return r == 0 ? -error : r;
}

/* --- entry ---------------------------------------------------------------------------------------------------- */

uint32_t io_call_events(const weir_io *io)
{
    switch ((enum poller_op)io->op) {
    case POLLER_POLL:
        return io->events;
    case POLLER_WRITE:
    case POLLER_WRITEV:
    case POLLER_CONNECT:
    case POLLER_SEND:
        return POLLOUT;
    default:
        return POLLIN;
    }
}

int64_t io_call_try(weir_io *io)
{
    switch ((enum poller_op)io->op) {
    case POLLER_READ:
    case POLLER_WRITE:
    case POLLER_READV:
    case POLLER_WRITEV:
        return try_transfer(io);
    case POLLER_ACCEPT:
        return is_ready(io) ? do_accept(io) : -EAGAIN;
    case POLLER_CONNECT:
        return try_connect(io);
    case POLLER_RECV:
        return answer(recv(io->fd, address_of(io), io->length, (int)io->flags | MSG_DONTWAIT));
    case POLLER_SEND:
        return answer(send(io->fd, address_of(io), io->length, (int)io->flags | MSG_DONTWAIT));
    default:
        return -EAGAIN;
    }
}

int64_t io_call_try_write(const weir_io *io)
{
    int64_t r = -EAGAIN;
    if (io->op == POLLER_SEND)
        r = answer(send(io->fd, address_of(io), io->length, (int)io->flags | MSG_DONTWAIT));
    else if (io->op == POLLER_WRITE || io->op == POLLER_WRITEV)
        r = transfer(io, RWF_NOWAIT);
    return r == -EOPNOTSUPP ? -EAGAIN : r;
}

bool io_call_may_block(const weir_io *io)
{
    return (fcntl(io->fd, F_GETFL) & O_NONBLOCK) == 0;
}

bool io_call_must_block(const weir_io *io)
{
    if (io->op >= POLLER_FSYNC)
        return io->op != POLLER_CLOSE;
    struct stat s;
    return io->op >= POLLER_READ && io->op <= POLLER_WRITEV && fstat(io->fd, &s) == 0 &&
           (S_ISREG(s.st_mode) || S_ISDIR(s.st_mode) || S_ISBLK(s.st_mode));
}

int64_t io_call_do(const weir_io *io)
{
    switch ((enum poller_op)io->op) {
    case POLLER_FSYNC:
        return answer(io->flags != 0 ? fdatasync(io->fd) : fsync(io->fd));
    case POLLER_OPENAT:
        return answer(openat(io->fd, address_of(io), (int)io->flags, (mode_t)io->length));
    case POLLER_STATX:
        return answer(statx(io->fd, address_of(io), (int)io->flags, io->length, (struct statx *)(uintptr_t)io->second));
    case POLLER_CLOSE:
        return answer(close(io->fd));
    default:
        return transfer(io, 0);
    }
}
