/* SPDX-License-Identifier: MIT
 *
 * weir/io.h - operations on descriptors that complete a task instead of blocking a worker.
 *
 * A request that waits holds no worker and no stack: it is a record of its own, with a weir_io inside. Start an
 * operation, return from the task; when the operation is over, its task runs on some worker and finds the result in the
 * record.
 *
 *     weir_io_init(&r->io, &r->task);             // once
 *     r->task.run = got_header;                   // what comes next
 *     int e = weir_io_recv(w, &r->io, fd, r->buffer, sizeof r->buffer, 0);
 *     if (e != 0) ...                             // not started: got_header won't run for it
 *     return NULL;                                // got_header finds r->io.result
 *
 * A worker that waits in a join or a scope looks at no completions: another worker does, or a spare one (spare_workers
 * of weir_config), as for a task that was submitted. If all workers wait or are blocked and no spare one is left, one
 * that waits does after all, and runs what they lead to inside its wait, whatever that is: hold no lock in such a wait
 * that other tasks take.
 *
 * Carried by io_uring where the kernel and the build have it, else by epoll; the promises are the same (docs/io.md).
 * A runtime that starts no operation has no descriptor for it and makes no call.
 *
 * Threads: functions that take a `weir_worker *` are called on that worker, from inside a task.
 * Source: io_uring(7), epoll(7).
 */
#ifndef WEIR_IO_H
#define WEIR_IO_H

#include <weir/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of the system's headers, which a program includes that makes use of them. A socklen_t is an unsigned int here. */
struct iovec;
struct sockaddr;
struct statx;

/*
 * One operation: intrusive and owned by the caller, 120 bytes, no allocation. From a successful start until its task
 * runs the record and everything that it refers to (buffers, vectors, paths, addresses) belong to the runtime. Then it
 * is the caller's again: it may be freed or started anew, from inside the task. One operation at a time per record.
 */
typedef struct weir_io {
    weir_task *then;       /* what completes with the operation, see weir_io_init; may be changed between operations */
    uint64_t deadline;     /* absolute CLOCK_MONOTONIC time in ns, or WEIR_FOREVER; read at each start */
    int64_t result;        /* of the last operation: bytes, a descriptor, poll events or 0, or a negative errno */
    /* private */
    weir_atomic_u32 state; /* packed, see runtime/sched/io.h: in flight, queued, cancelled */
    int32_t fd;
    uint64_t address;      /* buffer, vector, path or socket address */
    uint64_t second;       /* where a length or a struct statx goes */
    int64_t offset;
    uint32_t length;       /* bytes, vectors or mode */
    uint32_t flags;        /* of the operation */
    uint8_t op;            /* enum poller_op */
    uint8_t marks;         /* of the poller */
    uint16_t events;       /* of a poll */
    uint32_t number;       /* of the poller */
    struct weir_io *request;                 /* list of what has not come to the poller */
    struct weir_io *next, *prev;             /* list of its descriptor */
    struct weir_io *child, *sibling, *above; /* heap of deadlines */
} weir_io;

/* offset: at the file's own position; the only one for pipes, sockets and the like (another one is ignored there when
 * io_uring reads, else refused: -ESPIPE). */
#define WEIR_IO_HERE (-1)

/*
 * Prepares a record. then: a ready task, which the completion makes runnable; or a continuation that owes completions,
 * of which the operation pays one, so that several operations make one continuation ready. NULL is refused at the
 * start. No deadline.
 */
WEIR_INLINE void weir_io_init(weir_io *io, weir_task *then)
{
    io->then = then;
    io->deadline = WEIR_FOREVER;
    io->result = 0;
    io->state.v = 0;
}

/*
 * All functions below that start an operation return
 *   0           started: it completes exactly once, whatever happens. Another worker may run its task before the
 *               function has returned;
 *   -EINVAL     w is not the calling worker, NULL io, `then` or buffer, or an argument that makes no sense;
 *   -EBADF      a negative descriptor;
 *   -EBUSY      the record's operation is still in flight;
 *   -ENOMEM, -EMFILE, -ENFILE   no memory or descriptor for the runtime's poller (at the first operation, or as more
 *               descriptors are in use);
 *   -ESHUTDOWN  a discarding stop is under way;
 * and change nothing unless 0. What the kernel says of the operation comes as `result`, also a descriptor that is not
 * open (-EBADF) or of the wrong kind (-ENOTSOCK, -EISDIR, -EPERM, -ESPIPE ...); -ETIME: the deadline passed first;
 * -ECANCELED: cancelled (weir_io_cancel, weir_io_close, a discarding stop, which then drops the task, too).
 *
 * Operations that are started in one task are entered together, when the worker has run out of tasks or after some more
 * tasks; weir_io_flush does it at once. Several on one descriptor are done in no promised order: who writes a stream
 * starts the next when the last is over. Descriptors may be blocking or not. Transfers may be short, as those of the
 * system are. No signal comes of a broken pipe (on workers, which block SIGPIPE): the result is -EPIPE.
 *
 * Close a descriptor with weir_io_close, or cancel what awaits it first: close(2) alone is not told to those who wait.
 * The operation then goes on with the open file (io_uring), or ends with -EBADF when the number is used again, with
 * -ECANCELED when it is cancelled, or at its deadline (epoll).
 */

/* Waits until a read (a write) of fd would not block, or fails. result: poll(2) events, among them POLLERR, POLLHUP. */
WEIR_API int weir_when_readable(weir_worker *w, int fd, weir_io *io) WEIR_MUST_USE;
WEIR_API int weir_when_writable(weir_worker *w, int fd, weir_io *io) WEIR_MUST_USE;
/*
 * Beside the events of weir_io_poll: the wait goes on where the last one on fd in this runtime ended. The caller knows
 * that fd is still the same open file, and that since readiness was last told a call has met its end: it would have
 * blocked, or on a stream moved less than it was asked to. Then only what is still to come matters, and epoll, where
 * that carries the operations, stays armed from one wait to the next, which saves a call for each. Without that
 * knowledge such a wait may end late or never.
 */
#define WEIR_POLL_AGAIN 0x10000u
/* Waits for any of poll(2)'s events, with or without WEIR_POLL_AGAIN. A file that is always ready (regular, directory)
 * gives -EPERM with epoll. */
WEIR_API int weir_io_poll(weir_worker *w, weir_io *io, int fd, unsigned events) WEIR_MUST_USE;

/*
 * read(2), write(2) and their siblings. offset: in the file, in bytes, or WEIR_IO_HERE. At most 2^31 - 4096 bytes are
 * moved at once. Vectors: 1 to 1024, which must stay until the completion, as what they point to.
 */
WEIR_API int weir_io_read(weir_worker *w, weir_io *io, int fd, void *buffer, size_t bytes,
                          int64_t offset) WEIR_MUST_USE;
WEIR_API int weir_io_write(weir_worker *w, weir_io *io, int fd, const void *buffer, size_t bytes,
                           int64_t offset) WEIR_MUST_USE;
WEIR_API int weir_io_readv(weir_worker *w, weir_io *io, int fd, const struct iovec *v, unsigned vectors,
                           int64_t offset) WEIR_MUST_USE;
WEIR_API int weir_io_writev(weir_worker *w, weir_io *io, int fd, const struct iovec *v, unsigned vectors,
                            int64_t offset) WEIR_MUST_USE;

/* accept4(2): result is the new descriptor. address and length may both be NULL. flags: SOCK_NONBLOCK, SOCK_CLOEXEC.
 * A listener from which others than this runtime accept, too, is non-blocking, or they may hold up a worker (epoll). */
WEIR_API int weir_io_accept(weir_worker *w, weir_io *io, int fd, struct sockaddr *address, unsigned *length,
                            int flags) WEIR_MUST_USE;
/* connect(2). -EAGAIN: the listener of a local socket has no room (with io_uring only where the descriptor is
 * non-blocking, else it waits): nothing tells when there is, so try again later. */
WEIR_API int weir_io_connect(weir_worker *w, weir_io *io, int fd, const struct sockaddr *address,
                             unsigned length) WEIR_MUST_USE;
/* recv(2), send(2). flags: MSG_*; MSG_NOSIGNAL is added to those of a send, MSG_DONTWAIT is taken out. */
WEIR_API int weir_io_recv(weir_worker *w, weir_io *io, int fd, void *buffer, size_t bytes, int flags) WEIR_MUST_USE;
WEIR_API int weir_io_send(weir_worker *w, weir_io *io, int fd, const void *buffer, size_t bytes,
                          int flags) WEIR_MUST_USE;

/*
 * Calls that have no way but to block: where io_uring is missing, they run on the calling worker between
 * weir_block_begin and weir_block_end, as do reads and writes of files that are always ready. Their deadline is looked
 * at before they begin. `dir`: a descriptor, or AT_FDCWD. Other such calls (directory reads) go between the two by
 * hand.
 */
/* fsync(2), or fdatasync(2) if data_only. */
WEIR_API int weir_io_fsync(weir_worker *w, weir_io *io, int fd, bool data_only) WEIR_MUST_USE;
/* openat(2): result is the descriptor. */
WEIR_API int weir_io_openat(weir_worker *w, weir_io *io, int dir, const char *path, int flags,
                            unsigned mode) WEIR_MUST_USE;
/* statx(2) into *out. */
WEIR_API int weir_io_statx(weir_worker *w, weir_io *io, int dir, const char *path, int flags, unsigned mask,
                           struct statx *out) WEIR_MUST_USE;
/* close(2). Operations of this runtime that await fd complete with -ECANCELED. A deadline is ignored. */
WEIR_API int weir_io_close(weir_worker *w, weir_io *io, int fd) WEIR_MUST_USE;

/*
 * Asks for an operation's end, on a worker of the same runtime, which need not be the one that started it. The
 * operation completes as ever, once: with -ECANCELED, or with its own result if that was faster. The caller keeps the
 * record from being freed until this has returned. 0: asked. -EALREADY: it has been cancelled before and is not over
 * yet. -ENOENT: nothing is in flight. -EINVAL: w is not the calling worker, or one of another runtime; NULL.
 */
WEIR_API int weir_io_cancel(weir_worker *w, weir_io *io);

/* Enters what this worker has started so far: before a long computation. 0, -EINVAL: w is not the calling worker. */
WEIR_API int weir_io_flush(weir_worker *w);

/* What carries the operations of a runtime. */
typedef enum weir_io_kind {
    WEIR_IO_NONE = 0, /* no operation was started so far */
    WEIR_IO_URING = 1,
    WEIR_IO_EPOLL = 2
} weir_io_kind;

/* w: the calling worker. NULL: WEIR_IO_NONE. weir_config.no_uring, or WEIR_NO_URING=1 in the environment, forces
 * epoll. */
WEIR_API weir_io_kind weir_io_kind_of(const weir_worker *w);

#ifdef __cplusplus
}
#endif

#endif
