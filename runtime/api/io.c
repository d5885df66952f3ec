/* SPDX-License-Identifier: MIT
 *
 * io.c - public entry points of weir/io.h: argument checks, and the records' fields.
 *
 * Threads: the worker that is named.
 * Invariants: a record that is in flight is not written: what is asked for is put together first, and copied when the
 * record is free.
 */
#define _GNU_SOURCE
#include <weir/io.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>

#include "os/poller.h"
#include "sched/worker.h"

#define BYTES_MAX ((size_t)INT32_MAX - 4095) /* what the kernel moves at once */

/* What an operation needs. */
struct request {
    enum poller_op op;
    int fd;
    const void *address, *second;
    int64_t offset;
    uint32_t length, flags;
    uint16_t events;
};

static bool is_caller(const weir_worker *w)
{
    return w != NULL && worker_self() == worker_of(w);
}

/* No field but these is written before the record is known to be free. */
static int start_any(weir_worker *w, weir_io *io, const struct request *r)
{
    if (!is_caller(w) || io == NULL || io->then == NULL)
        return -EINVAL;
    if (atom_load(&io->state, memory_order_relaxed) != 0) /* relaxed: the caller's, unless it breaks the rules */
        return -EBUSY;
    io->op = (uint8_t)r->op;
    io->fd = r->fd;
    io->address = (uintptr_t)r->address;
    io->second = (uintptr_t)r->second;
    io->offset = r->offset;
    io->length = r->length;
    io->flags = r->flags;
    io->events = r->events;
    return io_start(worker_of(w), io);
}

static int start(weir_worker *w, weir_io *io, const struct request *r)
{
    if (r->fd < 0)
        return is_caller(w) && io != NULL ? -EBADF : -EINVAL;
    return start_any(w, io, r);
}

/* --- readiness ------------------------------------------------------------------------------------------------ */

int weir_io_poll(weir_worker *w, weir_io *io, int fd, unsigned events)
{
    unsigned awaited = events & ~WEIR_POLL_AGAIN;
    if (awaited == 0 || awaited > INT16_MAX)
        return -EINVAL;
    return start(w, io, &(struct request){.op = POLLER_POLL, .fd = fd, .events = (uint16_t)awaited,
                                          .flags = events & WEIR_POLL_AGAIN});
}

int weir_when_readable(weir_worker *w, int fd, weir_io *io)
{
    return weir_io_poll(w, io, fd, POLLIN);
}

int weir_when_writable(weir_worker *w, int fd, weir_io *io)
{
    return weir_io_poll(w, io, fd, POLLOUT);
}

/* --- reading and writing -------------------------------------------------------------------------------------- */

static int transfer(weir_worker *w, weir_io *io, enum poller_op op, int fd, const void *buffer, size_t bytes,
                    int64_t offset)
{
    if ((buffer == NULL && bytes != 0) || offset < WEIR_IO_HERE)
        return -EINVAL;
    uint32_t length = (uint32_t)(bytes < BYTES_MAX ? bytes : BYTES_MAX);
    return start(w, io, &(struct request){.op = op, .fd = fd, .address = buffer, .length = length, .offset = offset});
}

static int transfer_vectors(weir_worker *w, weir_io *io, enum poller_op op, int fd, const struct iovec *v,
                            unsigned vectors, int64_t offset)
{
    if (v == NULL || vectors == 0 || vectors > IOV_MAX || offset < WEIR_IO_HERE)
        return -EINVAL;
    return start(w, io, &(struct request){.op = op, .fd = fd, .address = v, .length = vectors, .offset = offset});
}

int weir_io_read(weir_worker *w, weir_io *io, int fd, void *buffer, size_t bytes, int64_t offset)
{
    return transfer(w, io, POLLER_READ, fd, buffer, bytes, offset);
}

int weir_io_write(weir_worker *w, weir_io *io, int fd, const void *buffer, size_t bytes, int64_t offset)
{
    return transfer(w, io, POLLER_WRITE, fd, buffer, bytes, offset);
}

int weir_io_readv(weir_worker *w, weir_io *io, int fd, const struct iovec *v, unsigned vectors, int64_t offset)
{
    return transfer_vectors(w, io, POLLER_READV, fd, v, vectors, offset);
}

int weir_io_writev(weir_worker *w, weir_io *io, int fd, const struct iovec *v, unsigned vectors, int64_t offset)
{
    return transfer_vectors(w, io, POLLER_WRITEV, fd, v, vectors, offset);
}

/* --- sockets -------------------------------------------------------------------------------------------------- */

int weir_io_accept(weir_worker *w, weir_io *io, int fd, struct sockaddr *address, unsigned *length, int flags)
{
    if ((address == NULL) != (length == NULL) || (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != 0)
        return -EINVAL;
    return start(w, io, &(struct request){.op = POLLER_ACCEPT, .fd = fd, .address = address, .second = length,
                                          .flags = (uint32_t)flags});
}

int weir_io_connect(weir_worker *w, weir_io *io, int fd, const struct sockaddr *address, unsigned length)
{
    if (address == NULL || length == 0)
        return -EINVAL;
    return start(w, io, &(struct request){.op = POLLER_CONNECT, .fd = fd, .address = address, .length = length});
}

static int message(weir_worker *w, weir_io *io, enum poller_op op, int fd, const void *buffer, size_t bytes, int flags)
{
    if (buffer == NULL && bytes != 0)
        return -EINVAL;
    uint32_t length = (uint32_t)(bytes < BYTES_MAX ? bytes : BYTES_MAX);
    return start(w, io, &(struct request){.op = op, .fd = fd, .address = buffer, .length = length,
                                          .flags = (uint32_t)(flags & ~MSG_DONTWAIT)});
}

int weir_io_recv(weir_worker *w, weir_io *io, int fd, void *buffer, size_t bytes, int flags)
{
    return message(w, io, POLLER_RECV, fd, buffer, bytes, flags);
}

int weir_io_send(weir_worker *w, weir_io *io, int fd, const void *buffer, size_t bytes, int flags)
{
    return message(w, io, POLLER_SEND, fd, buffer, bytes, flags | MSG_NOSIGNAL);
}

/* --- files ---------------------------------------------------------------------------------------------------- */

int weir_io_fsync(weir_worker *w, weir_io *io, int fd, bool data_only)
{
    return start(w, io, &(struct request){.op = POLLER_FSYNC, .fd = fd, .flags = data_only});
}

int weir_io_openat(weir_worker *w, weir_io *io, int dir, const char *path, int flags, unsigned mode)
{
    if (path == NULL)
        return -EINVAL;
    return start_any(w, io, &(struct request){.op = POLLER_OPENAT, .fd = dir, .address = path, .flags = (uint32_t)flags,
                                              .length = mode});
}

int weir_io_statx(weir_worker *w, weir_io *io, int dir, const char *path, int flags, unsigned mask, struct statx *out)
{
    if (path == NULL || out == NULL)
        return -EINVAL;
    return start_any(w, io, &(struct request){.op = POLLER_STATX, .fd = dir, .address = path, .second = out,
                                              .flags = (uint32_t)flags, .length = mask});
}

int weir_io_close(weir_worker *w, weir_io *io, int fd)
{
    return start(w, io, &(struct request){.op = POLLER_CLOSE, .fd = fd});
}

/* --- the rest ------------------------------------------------------------------------------------------------- */

int weir_io_cancel(weir_worker *w, weir_io *io)
{
    return is_caller(w) && io != NULL ? io_cancel(worker_of(w), io) : -EINVAL;
}

int weir_io_flush(weir_worker *w)
{
    if (!is_caller(w))
        return -EINVAL;
    io_flush(worker_of(w));
    return 0;
}

weir_io_kind weir_io_kind_of(const weir_worker *w)
{
    return w != NULL ? io_kind(worker_of(w)->rt) : WEIR_IO_NONE;
}
