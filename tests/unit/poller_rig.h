/* SPDX-License-Identifier: MIT
 *
 * poller_rig.h - what the tests of the pollers share: each runs with both kinds, on a pipe or a pair of sockets.
 *
 * Threads: the test's.
 */
#ifndef WEIR_TEST_POLLER_RIG_H
#define WEIR_TEST_POLLER_RIG_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/poller.h"

#define MS UINT64_C(1000000) /* ns */
#define LONG_WAIT (UINT64_C(20000) * MS) /* ns: longer than any test should take */

static struct poller p;
static int ends[2];

TestSuite(poller, .timeout = 60);

/* Each test runs twice. A machine that forbids io_uring runs both with epoll. */
#define BOTH(case_) \
    static void case_(void); \
    Test(poller, case_##_with_uring) \
    { \
        cr_assert_eq(poller_init(&p, WEIR_IO_URING), 0); \
        case_(); \
        poller_destroy(&p); \
    } \
    Test(poller, case_##_with_epoll) \
    { \
        cr_assert_eq(poller_init(&p, WEIR_IO_EPOLL), 0); \
        cr_assert_eq(p.kind->name, WEIR_IO_EPOLL); \
        case_(); \
        poller_destroy(&p); \
    } \
    static void case_(void)

static inline void start(weir_io *io, enum poller_op op, int fd, void *buffer, size_t bytes)
{
    *io = (weir_io){.deadline = io->deadline != 0 ? io->deadline : OS_FOREVER, .op = (uint8_t)op, .fd = fd,
                    .address = (uintptr_t)buffer, .length = (uint32_t)bytes, .offset = -1, .events = POLLIN,
                    .result = INT64_MIN};
    poller_start(&p, io);
}

/* Waits for one completion, the only one. */
static inline weir_io *one(void)
{
    uint64_t end = os_now() + LONG_WAIT;
    weir_io *io;
    while ((io = poller_reap(&p)) == NULL && os_now() < end) {
        uint64_t until = poller_deadline(&p);
        poller_wait(&p, until < end ? until : end);
    }
    cr_assert_not_null(io);
    cr_assert_null(io->next);
    return io;
}

static inline void make_pipe(void)
{
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
}

static inline void make_pair(void)
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
}

#endif
