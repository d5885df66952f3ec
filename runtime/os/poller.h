/* SPDX-License-Identifier: MIT
 *
 * poller.h - operations on descriptors: started, cancelled, awaited with a deadline, and handed back when they are
 * over.
 *
 * Two implementations behind one contract, chosen when a poller is made: io_uring (poller_uring.c, where liburing was
 * there at build time and the kernel allows it) and epoll (poller_epoll.c). What they share is in poller.c: which
 * operations are in flight on which descriptor, their deadlines, and what an end without a result means.
 *
 * Threads: poller_wait: one at a time; poller_wake, poller_has_news: any. All others under the caller's lock, which a
 * thread in poller_wait does not hold.
 * Invariants: PO-A every record that was started is handed back by poller_reap() exactly once, with its result. PO-B a
 * record in flight is in the list of its descriptor, and in the heap if it has a deadline that has not passed. PO-C
 * poller_wait() does not sleep while there is something to reap that came after the last poller_reap(), and returns
 * when such comes or poller_wake() was called since its last return. PO-D in a descriptor's list `next` of the last
 * record is NULL, `prev` of the first is the last: so who has waited longest is the first that a ready descriptor
 * serves.
 */
#ifndef WEIR_POLLER_H
#define WEIR_POLLER_H

#include <weir/io.h>

#include "base/compiler.h"
#include "os/deadlines.h"
#include "os/os.h"

enum poller_op {
    POLLER_POLL,
    POLLER_READ,
    POLLER_WRITE,
    POLLER_READV,
    POLLER_WRITEV,
    POLLER_ACCEPT,
    POLLER_CONNECT,
    POLLER_RECV,
    POLLER_SEND,
    POLLER_FSYNC, /* from here on: calls that only io_uring can do without blocking */
    POLLER_OPENAT,
    POLLER_STATX,
    POLLER_CLOSE
};

/* weir_io.marks, the poller's: why an operation in flight shall end. */
#define POLLER_CANCELLED 1u /* somebody asked */
#define POLLER_LATE 2u      /* its deadline has passed */
#define POLLER_WAITS 4u     /* (uring) for readiness, after -EAGAIN */
#define POLLER_BEGUN 8u     /* (epoll) a connect that is under way */
#define POLLER_OVER 16u     /* to be handed back */
#define POLLER_HELD 32u     /* (uring) it waits for room in the ring */

#define POLLER_STUCK_NS UINT64_C(1000000) /* a choice: when the kernel did not take all, the next look comes then */

/* What is known of a descriptor. */
struct poller_fd {
    weir_io *ops;   /* in flight on it, in the order of their starts */
    uint16_t armed; /* (epoll) events that its registration waits for, while somebody waits */
    uint16_t kept;  /* (epoll) events of which the registration tells each time that they come; 0: it is one-shot */
    uint32_t epoch; /* (epoll) which registration that is, counted */
};

struct poller;

struct poller_kind {
    weir_io_kind name;
    int (*init)(struct poller *p);
    void (*destroy)(struct poller *p);
    void (*start)(struct poller *p, weir_io *io);
    /* Shall end soon; poller_done() says how. */
    void (*cancel)(struct poller *p, weir_io *io);
    /* Hands what was started to the kernel, and finds what is over: poller_done() for each. */
    void (*collect)(struct poller *p);
    bool (*has_news)(const struct poller *p);
};

struct poller {
    const struct poller_kind *kind;
    void *own;             /* the implementation's */
    int fd;                /* readable while there is something to collect */
    int wake_fd;           /* an eventfd */
    bool stuck;            /* (uring) the kernel did not take all at the last look, and nothing tells when it will */
    bool lazy;             /* what is over may wait until the thread that entered it makes a call or is interrupted */
    struct poller_fd *fds; /* by number; fds[0] is of operations without a descriptor, fds[n + 1] of descriptor n */
    uint32_t size;
    uint32_t in_flight;
    weir_io *done, **done_tail; /* to be handed back, oldest first, linked by next */
    struct deadlines deadlines;
};

/* Makes a poller. prefer: WEIR_IO_EPOLL keeps it from io_uring. 0, -EMFILE, -ENFILE, -ENOMEM. */
int poller_init(struct poller *p, weir_io_kind prefer) MUST_USE;
/* Nothing is in flight. */
void poller_destroy(struct poller *p);
/* io: op, fd and arguments set, marks cleared, deadline in the future. */
void poller_start(struct poller *p, weir_io *io);
/* io was started and has not been handed back. */
void poller_cancel(struct poller *p, weir_io *io);
void poller_cancel_all(struct poller *p);
/* Enters what was started, and takes what is over: a list linked by next, oldest first, or NULL. */
weir_io *poller_reap(struct poller *p);
/* When poller_wait() should return by itself, for the deadlines' sake: CLOCK_MONOTONIC ns or OS_FOREVER. */
static inline uint64_t poller_deadline(const struct poller *p)
{
    uint64_t first = deadlines_first(&p->deadlines);
    uint64_t again = UNLIKELY(p->stuck) ? os_now() + POLLER_STUCK_NS : OS_FOREVER;
    return first < again ? first : again;
}
/* Sleeps until there is something to reap, a wake, or the deadline. True: there is something. May return early. */
bool poller_wait(struct poller *p, uint64_t deadline);
void poller_wake(struct poller *p);
/* Whether there may be something to reap, as far as that can be told without a call into the kernel. */
static inline bool poller_has_news(const struct poller *p)
{
    return p->kind->has_news(p);
}

/* --- for the implementations --- */

/* io is over: it will be handed back. */
void poller_done(struct poller *p, weir_io *io, int64_t result);
/* Its place in `fds`. */
static inline uint32_t poller_slot(const weir_io *io)
{
    return io->op == POLLER_OPENAT || io->op == POLLER_STATX ? 0 : (uint32_t)io->fd + 1;
}
static inline struct poller_fd *poller_fd_of(const struct poller *p, const weir_io *io)
{
    return &p->fds[poller_slot(io)];
}

extern const struct poller_kind poller_epoll;
extern const struct poller_kind poller_uring;

#ifdef WEIR_HAVE_URING
#define POLLER_KINDS &poller_uring, &poller_epoll /* in the order of trying */
#else
#define POLLER_KINDS &poller_epoll
#endif

/* --- io_call.c: an operation as a plain system call --- */

/* Without blocking, so far as that can be had: the result, or -EAGAIN, as for a wait for readiness: that is asked for
 * by beginning it. */
int64_t io_call_try(weir_io *io);
/* The same for what writes, with one call at most; -EAGAIN for all else. */
int64_t io_call_try_write(const weir_io *io);
/* Does it, however long that takes. */
int64_t io_call_do(const weir_io *io);
/* Whether a call may wait although the descriptor was ready, should somebody else be faster: it is not non-blocking. */
bool io_call_may_block(const weir_io *io);
/* Whether only io_call_do() will do: files that epoll has no use for. */
bool io_call_must_block(const weir_io *io);
/* The poll(2) events that an operation waits for. */
uint32_t io_call_events(const weir_io *io);

#endif
