/* SPDX-License-Identifier: MIT
 *
 * test_poller.c - what must hold for both pollers: results, deadlines, cancels, closed descriptors, wakes.
 */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "os/poller.h"

#ifdef WEIR_HAVE_URING
#include <linux/io_uring.h>
#endif

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

static void start(weir_io *io, enum poller_op op, int fd, void *buffer, size_t bytes)
{
    *io = (weir_io){.deadline = io->deadline != 0 ? io->deadline : OS_FOREVER, .op = (uint8_t)op, .fd = fd,
                    .address = (uintptr_t)buffer, .length = (uint32_t)bytes, .offset = -1, .events = POLLIN,
                    .result = INT64_MIN};
    poller_start(&p, io);
}

/* Waits for one completion, the only one. */
static weir_io *one(void)
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

static void make_pipe(void)
{
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
}

static void make_pair(void)
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
}

#ifdef WEIR_HAVE_URING
/* Else both halves of each test would be the same, and nobody would know. */
Test(poller, io_uring_is_taken_where_the_system_has_it)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SUBMIT_ALL};
    int fd = (int)syscall(SYS_io_uring_setup, 1, &params);
    cr_assert_eq(poller_init(&p, WEIR_IO_URING), 0);
    cr_assert_eq(p.kind->name, fd >= 0 ? WEIR_IO_URING : WEIR_IO_EPOLL);
    poller_destroy(&p);
    if (fd >= 0)
        close(fd);
}
#endif

BOTH(read_of_a_pipe_completes_when_bytes_come)
{
    char buffer[8] = "";
    weir_io io = {0};
    make_pipe();
    start(&io, POLLER_READ, ends[0], buffer, sizeof buffer);
    cr_assert_null(poller_reap(&p));
    cr_assert_eq(write(ends[1], "abc", 3), 3);
    cr_assert_eq(one(), &io);
    cr_assert_eq(io.result, 3);
    cr_assert_str_eq(buffer, "abc");
    cr_assert_eq(p.in_flight, 0);
}

BOTH(read_of_a_non_blocking_pipe_waits_too)
{
    char buffer[8] = "";
    weir_io io = {0};
    cr_assert_eq(pipe2(ends, O_NONBLOCK), 0);
    start(&io, POLLER_READ, ends[0], buffer, sizeof buffer);
    cr_assert_null(poller_reap(&p));
    cr_assert_eq(write(ends[1], "abcd", 4), 4);
    cr_assert_eq(one()->result, 4);
}

/* A kind of file that can't be read without waiting but by its own flag: older kernels do not wait by themselves. */
BOTH(non_blocking_inotify_is_awaited_cancelled_and_late)
{
    char buffer[512], name[] = "/tmp/weir-poller-XXXXXX";
    weir_io io = {0}, cancelled = {0}, late = {0};
    int watched = mkstemp(name), fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    cr_assert(watched >= 0 && fd >= 0 && inotify_add_watch(fd, name, IN_MODIFY) >= 0);
    start(&io, POLLER_READ, fd, buffer, sizeof buffer);
    cr_assert_null(poller_reap(&p));
    cr_assert_eq(write(watched, "x", 1), 1);
    cr_assert_eq(one()->result, sizeof(struct inotify_event));
    start(&cancelled, POLLER_READ, fd, buffer, sizeof buffer);
    poller_cancel(&p, &cancelled); /* together with the first try */
    cr_assert_eq(one()->result, -ECANCELED);
    late.deadline = os_now() + 20 * MS;
    start(&late, POLLER_READ, fd, buffer, sizeof buffer);
    cr_assert_eq(one()->result, -ETIME);
    close(fd);
    close(watched);
    unlink(name);
}

BOTH(end_of_file_is_a_result_of_zero)
{
    char buffer[8];
    weir_io io = {0};
    make_pipe();
    start(&io, POLLER_READ, ends[0], buffer, sizeof buffer);
    cr_assert_null(poller_reap(&p));
    close(ends[1]);
    cr_assert_eq(one()->result, 0);
}

BOTH(write_waits_for_room)
{
    static char bytes[1 << 20];
    weir_io io = {0};
    make_pipe();
    ssize_t n;
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while ((n = write(ends[1], bytes, sizeof bytes)) > 0)
        continue;
    fcntl(ends[1], F_SETFL, 0);
    start(&io, POLLER_WRITE, ends[1], bytes, 100);
    cr_assert_null(poller_reap(&p));
    cr_assert_gt(read(ends[0], bytes, sizeof bytes), 0);
    cr_assert_eq(one()->result, 100);
}

BOTH(reader_and_writer_of_one_socket_wait_at_once)
{
    static char bytes[1 << 22];
    char buffer[4] = "";
    weir_io reader = {0}, writer = {0};
    make_pair();
    while (send(ends[0], bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        continue;
    start(&reader, POLLER_RECV, ends[0], buffer, sizeof buffer);
    start(&writer, POLLER_SEND, ends[0], bytes, 10);
    cr_assert_null(poller_reap(&p));
    cr_assert_eq(send(ends[1], "x", 1, 0), 1);
    cr_assert_eq(one(), &reader);
    cr_assert_eq(reader.result, 1);
    while (recv(ends[1], bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        continue;
    cr_assert_eq(one(), &writer);
    cr_assert_eq(writer.result, 10);
}

BOTH(vectors_are_filled_in_order)
{
    char a[2], b[4];
    struct iovec v[] = {{a, sizeof a}, {b, sizeof b}};
    weir_io io = {0};
    make_pair();
    cr_assert_eq(write(ends[1], "abcdef", 6), 6);
    start(&io, POLLER_READV, ends[0], v, 2);
    cr_assert_eq(one()->result, 6);
    cr_assert_arr_eq(a, "ab", 2);
    cr_assert_arr_eq(b, "cdef", 4);
    start(&io, POLLER_WRITEV, ends[0], v, 2);
    cr_assert_eq(one()->result, 6);
}

BOTH(readiness_is_told_with_its_events)
{
    weir_io io = {0};
    make_pipe();
    start(&io, POLLER_POLL, ends[0], NULL, 0);
    cr_assert_null(poller_reap(&p));
    cr_assert_eq(write(ends[1], "a", 1), 1);
    cr_assert(one()->result & POLLIN);
    close(ends[1]);
    start(&io, POLLER_POLL, ends[0], NULL, 0);
    cr_assert(one()->result & (POLLIN | POLLHUP));
}

static int listener(struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t size = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
    cr_assert_eq(listen(fd, 8), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)address, &size), 0);
    return fd;
}

BOTH(connection_is_made_and_accepted)
{
    struct sockaddr_in address;
    weir_io accepts = {0}, connects = {0};
    int server = listener(&address), client = socket(AF_INET, SOCK_STREAM, 0);
    start(&accepts, POLLER_ACCEPT, server, NULL, 0);
    cr_assert_null(poller_reap(&p));
    start(&connects, POLLER_CONNECT, client, &address, sizeof address);
    unsigned seen = 0;
    while (p.in_flight != 0 || seen < 2) {
        for (weir_io *io = poller_reap(&p); io != NULL; io = io->next)
            seen++;
        if (seen < 2)
            poller_wait(&p, os_now() + 100 * MS);
    }
    cr_assert_eq(connects.result, 0);
    cr_assert_geq(accepts.result, 0);
    cr_assert_eq(send(client, "q", 1, 0), 1);
    char c;
    cr_assert_eq(recv((int)accepts.result, &c, 1, 0), 1);
}

BOTH(refused_connection_is_told)
{
    struct sockaddr_in address;
    weir_io io = {0};
    close(listener(&address));
    start(&io, POLLER_CONNECT, socket(AF_INET, SOCK_STREAM, 0), &address, sizeof address);
    cr_assert_eq(one()->result, -ECONNREFUSED);
}

BOTH(descriptor_that_is_not_open_gives_ebadf)
{
    char c;
    weir_io io = {0};
    make_pipe();
    close(ends[0]);
    start(&io, POLLER_READ, ends[0], &c, 1);
    cr_assert_eq(one()->result, -EBADF);
    start(&io, POLLER_READ, 100000, &c, 1);
    cr_assert_eq(one()->result, -EBADF);
    cr_assert_eq(p.in_flight, 0);
}

BOTH(pipe_is_no_socket)
{
    char c = 0;
    weir_io io = {0};
    make_pipe();
    start(&io, POLLER_SEND, ends[1], &c, 1);
    cr_assert_eq(one()->result, -ENOTSOCK);
}

BOTH(cancelled_operation_completes_once)
{
    char c;
    weir_io io = {0}, other = {0};
    make_pipe();
    start(&io, POLLER_READ, ends[0], &c, 1);
    cr_assert_null(poller_reap(&p));
    poller_cancel(&p, &io);
    cr_assert_eq(one()->result, -ECANCELED);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert_null(poller_reap(&p));
    start(&other, POLLER_READ, ends[0], &c, 1);
    cr_assert_eq(one(), &other);
    cr_assert_eq(other.result, 1);
}

BOTH(cancel_before_the_kernel_knows)
{
    char c;
    weir_io io = {0};
    make_pipe();
    start(&io, POLLER_READ, ends[0], &c, 1);
    poller_cancel(&p, &io);
    cr_assert_eq(one()->result, -ECANCELED);
}

BOTH(all_are_cancelled_at_once)
{
    enum { N = 400 }; /* more than a ring holds */
    static weir_io io[N];
    char c;
    make_pipe();
    for (unsigned i = 0; i < N; i++)
        start(&io[i], POLLER_READ, ends[0], &c, 1);
    poller_cancel_all(&p);
    unsigned seen = 0;
    for (uint64_t end = os_now() + LONG_WAIT; seen < N && os_now() < end;)
        for (weir_io *done = poller_reap(&p); done != NULL; done = done->next, seen++)
            cr_assert_eq(done->result, -ECANCELED);
    cr_assert_eq(seen, N);
    cr_assert_eq(p.in_flight, 0);
}

/* Each costs the same, whatever waits already: what grows with that would take minutes here. */
BOTH(a_descriptor_may_be_awaited_by_very_many)
{
    enum { N = 100000 };
    static weir_io io[N];
    make_pipe();
    uint64_t end = os_now() + LONG_WAIT;
    for (unsigned i = 0; i < N; i++)
        start(&io[i], POLLER_POLL, ends[0], NULL, 0);
    cr_assert_null(poller_reap(&p));
    cr_assert_eq(write(ends[1], "x", 1), 1);
    unsigned seen = 0;
    while (seen < N && os_now() < end)
        for (weir_io *done = poller_reap(&p); done != NULL; done = done->next, seen++)
            cr_assert_eq(done->result & POLLIN, POLLIN);
    cr_assert_eq(seen, N);
}

/* The kernel's ring has an order of its own. */
Test(poller, epoll_serves_who_has_waited_longest_first)
{
    enum { N = 5 };
    weir_io io[N] = {0};
    char bytes[N];
    cr_assert_eq(poller_init(&p, WEIR_IO_EPOLL), 0);
    make_pipe();
    for (unsigned i = 0; i < N; i++)
        start(&io[i], POLLER_READ, ends[0], &bytes[i], 1);
    cr_assert_null(poller_reap(&p));
    poller_cancel(&p, &io[0]); /* the first, one in the middle and the last leave the line */
    poller_cancel(&p, &io[2]);
    poller_cancel(&p, &io[4]);
    for (unsigned seen = 0; seen < 3;)
        for (weir_io *done = poller_reap(&p); done != NULL; done = done->next, seen++)
            cr_assert_eq(done->result, -ECANCELED);
    start(&io[0], POLLER_READ, ends[0], &bytes[0], 1);
    const unsigned line[] = {1, 3, 0};
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(write(ends[1], "123" + i, 1), 1);
        cr_assert_eq(one(), &io[line[i]]);
        cr_assert_eq(bytes[line[i]], "123"[i]);
    }
    poller_destroy(&p);
}

BOTH(deadlines_pass_in_their_order)
{
    enum { N = 50 };
    static weir_io io[N];
    char c;
    make_pipe();
    uint64_t begin = os_now();
    for (unsigned i = 0; i < N; i++) {
        io[i].deadline = begin + 2 * MS + (uint64_t)(i * 7 % N) * MS / 4;
        start(&io[i], POLLER_READ, ends[0], &c, 1);
    }
    uint64_t last = 0;
    for (unsigned seen = 0; seen < N;) {
        weir_io *done = poller_reap(&p);
        cr_assert_lt(os_now(), begin + LONG_WAIT);
        for (; done != NULL; done = done->next, seen++) {
            cr_assert_eq(done->result, -ETIME);
            cr_assert_geq(os_now(), done->deadline);
            cr_assert_geq(done->deadline, last);
            last = p.kind->name == WEIR_IO_EPOLL ? done->deadline : 0;
        }
        if (seen < N)
            poller_wait(&p, poller_deadline(&p));
    }
    cr_assert_eq(poller_deadline(&p), OS_FOREVER);
}

BOTH(deadline_that_is_not_reached_is_forgotten)
{
    char c;
    weir_io io = {.deadline = os_now() + LONG_WAIT};
    make_pipe();
    start(&io, POLLER_READ, ends[0], &c, 1);
    cr_assert_null(poller_reap(&p));
    cr_assert_neq(poller_deadline(&p), OS_FOREVER);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert_eq(one()->result, 1);
    cr_assert_eq(poller_deadline(&p), OS_FOREVER);
}

BOTH(close_ends_what_awaits_the_descriptor)
{
    char c;
    weir_io io[3] = {{0}};
    make_pair();
    start(&io[0], POLLER_RECV, ends[0], &c, 1);
    start(&io[1], POLLER_POLL, ends[0], NULL, 0);
    cr_assert_null(poller_reap(&p));
    start(&io[2], POLLER_CLOSE, ends[0], NULL, 0);
    unsigned seen = 0;
    for (uint64_t end = os_now() + LONG_WAIT; seen < 3 && os_now() < end;)
        for (weir_io *done = poller_reap(&p); done != NULL; done = done->next)
            seen++;
    cr_assert_eq(seen, 3);
    cr_assert_eq(io[0].result, -ECANCELED);
    cr_assert_eq(io[1].result, -ECANCELED);
    cr_assert_eq(io[2].result, 0);
    cr_assert_eq(fcntl(ends[0], F_GETFD), -1);
}

BOTH(number_that_is_used_again_is_a_new_descriptor)
{
    char c = 0;
    weir_io io = {0};
    make_pipe();
    int number = ends[0];
    start(&io, POLLER_READ, number, &c, 1);
    cr_assert_null(poller_reap(&p));
    poller_cancel(&p, &io);
    (void)one();
    close(ends[0]);
    close(ends[1]);
    make_pipe();
    cr_assert_eq(ends[0], number);
    start(&io, POLLER_READ, number, &c, 1);
    cr_assert_null(poller_reap(&p));
    cr_assert_eq(write(ends[1], "y", 1), 1);
    cr_assert_eq(one()->result, 1);
    cr_assert_eq(c, 'y');
}

Test(poller, epoll_ends_waits_for_a_closed_descriptor_when_its_number_is_used_again)
{
    char c = 0;
    weir_io old = {0}, new = {0};
    cr_assert_eq(poller_init(&p, WEIR_IO_EPOLL), 0);
    make_pipe();
    int number = ends[0];
    start(&old, POLLER_READ, number, &c, 1);
    cr_assert_null(poller_reap(&p));
    close(ends[0]);
    close(ends[1]);
    make_pipe();
    cr_assert_eq(ends[0], number);
    start(&new, POLLER_READ, number, &c, 1);
    cr_assert_eq(one(), &old);
    cr_assert_eq(old.result, -EBADF);
    cr_assert_eq(write(ends[1], "y", 1), 1);
    cr_assert_eq(one(), &new);
    cr_assert_eq(new.result, 1);
    poller_destroy(&p);
}

Test(poller, epoll_does_not_tell_who_has_a_number_of_the_file_that_had_it_before)
{
    weir_io old = {0}, new = {0};
    int other, before;
    cr_assert_eq(poller_init(&p, WEIR_IO_EPOLL), 0);
    make_pair();
    int number = ends[0];
    before = ends[1];
    start(&old, POLLER_POLL, number, NULL, 0);
    cr_assert_null(poller_reap(&p));
    other = fcntl(number, F_DUPFD_CLOEXEC, 100); /* its registration stays */
    close(number);
    make_pair();
    cr_assert_eq(ends[0], number);
    start(&new, POLLER_POLL, number, NULL, 0);
    cr_assert_eq(one(), &old);
    cr_assert_eq(old.result, -EBADF);
    cr_assert_eq(write(before, "x", 1), 1);
    (void)poller_wait(&p, os_now() + 20 * MS);
    cr_assert_null(poller_reap(&p));
    cr_assert_eq(write(ends[1], "y", 1), 1);
    cr_assert_eq(one(), &new);
    cr_assert_eq(new.result, POLLIN);
    close(other);
    poller_destroy(&p);
}

/* --- waits that go on where the last one ended ---------------------------------------------------------------- */

static int quiet_pipe[2];
static weir_io quiet; /* waits all the while, or the poller would not look */

static void start_again(weir_io *io, int fd)
{
    *io = (weir_io){.deadline = io->deadline != 0 ? io->deadline : OS_FOREVER, .op = POLLER_POLL, .fd = fd,
                    .events = POLLIN, .flags = WEIR_POLL_AGAIN, .result = INT64_MIN};
    poller_start(&p, io);
}

/* Sends a byte, is told, and takes all there is. */
static void hear_one(weir_io *io)
{
    char buffer[8];
    cr_assert_null(poller_reap(&p));
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert_eq(one(), io);
    cr_assert((io->result & POLLIN) != 0);
    cr_assert_eq(recv(ends[0], buffer, sizeof(buffer), MSG_DONTWAIT), 1);
}

/* Up to a wait that needs no call, with epoll: the second that goes on. */
static void go_on(weir_io *io)
{
    cr_assert_eq(pipe2(quiet_pipe, O_CLOEXEC), 0);
    start(&quiet, POLLER_POLL, quiet_pipe[0], NULL, 0);
    make_pair();
    start(io, POLLER_POLL, ends[0], NULL, 0);
    hear_one(io);
    start_again(io, ends[0]);
    hear_one(io);
}

static void close_pair(void)
{
    close(ends[0]);
    close(ends[1]);
}

static void end_quiet(void)
{
    poller_cancel(&p, &quiet);
    cr_assert_eq(one(), &quiet);
    close(quiet_pipe[0]);
    close(quiet_pipe[1]);
    close_pair();
}

BOTH(wait_that_goes_on_is_told_each_time)
{
    weir_io io = {0};
    go_on(&io);
    for (int i = 0; i < 5; i++) {
        start_again(&io, ends[0]);
        hear_one(&io);
    }
    end_quiet();
}

BOTH(wait_that_goes_on_misses_nothing_that_came_before_it)
{
    weir_io io = {0};
    go_on(&io);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(write(ends[1], "x", 1), 1);
        if (i % 2 == 0)
            cr_assert_null(poller_reap(&p)); /* the event is seen, and is nobody's */
        start_again(&io, ends[0]);
        cr_assert_eq(one(), &io);
        cr_assert_eq(recv(ends[0], &(char){0}, 1, MSG_DONTWAIT), 1);
    }
    end_quiet();
}

/* Which is no event of its own if both were there before the look. */
BOTH(wait_that_goes_on_is_told_of_an_end_that_came_with_the_last_bytes)
{
    char buffer[8];
    weir_io io = {0};
    go_on(&io);
    start_again(&io, ends[0]);
    cr_assert_null(poller_reap(&p));
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert_eq(shutdown(ends[1], SHUT_WR), 0);
    cr_assert_eq(one(), &io);
    cr_assert_eq(recv(ends[0], buffer, sizeof(buffer), MSG_DONTWAIT), 1);
    start_again(&io, ends[0]);
    cr_assert_eq(one(), &io);
    cr_assert_eq(recv(ends[0], buffer, sizeof(buffer), MSG_DONTWAIT), 0);
    end_quiet();
}

BOTH(wait_that_goes_on_ends_at_its_deadline_and_by_a_cancel)
{
    weir_io io = {0};
    go_on(&io);
    io.deadline = os_now() + 5 * MS;
    start_again(&io, ends[0]);
    cr_assert_eq(one(), &io);
    cr_assert_eq(io.result, -ETIME);
    io.deadline = 0;
    start_again(&io, ends[0]);
    cr_assert_null(poller_reap(&p));
    poller_cancel(&p, &io);
    cr_assert_eq(one(), &io);
    cr_assert_eq(io.result, -ECANCELED);
    start_again(&io, ends[0]);
    hear_one(&io);
    end_quiet();
}

BOTH(wait_that_goes_on_may_have_another_join_it)
{
    weir_io io = {0}, other = {0};
    go_on(&io);
    start_again(&io, ends[0]);
    cr_assert_null(poller_reap(&p));
    start(&other, POLLER_POLL, ends[0], NULL, 0);
    poller_cancel(&p, &other);
    cr_assert_eq(one(), &other);
    hear_one(&io);
    start_again(&io, ends[0]);
    hear_one(&io);
    end_quiet();
}

BOTH(wait_that_goes_on_may_join_another)
{
    static char bytes[4096];
    weir_io io = {0}, other = {0};
    go_on(&io);
    while (send(ends[0], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
    start(&other, POLLER_SEND, ends[0], bytes, 1);
    cr_assert_null(poller_reap(&p));
    start_again(&io, ends[0]);
    cr_assert_null(poller_reap(&p));
    while (recv(ends[1], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
    cr_assert_eq(one(), &other);
    cr_assert_eq(other.result, 1);
    hear_one(&io);
    end_quiet();
}

BOTH(first_wait_on_a_number_that_is_used_again_begins_anew)
{
    weir_io io = {0};
    go_on(&io);
    int number = ends[0];
    close_pair();
    make_pair();
    cr_assert_eq(ends[0], number);
    start(&io, POLLER_POLL, number, NULL, 0);
    hear_one(&io);
    start_again(&io, number);
    hear_one(&io);
    end_quiet();
}

Test(poller, epoll_wakes_once_at_most_for_what_nobody_waits_for)
{
    weir_io io = {0};
    cr_assert_eq(poller_init(&p, WEIR_IO_EPOLL), 0);
    go_on(&io);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert(poller_wait(&p, os_now() + LONG_WAIT));
    cr_assert_null(poller_reap(&p));
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert_not(poller_wait(&p, os_now() + 20 * MS));
    end_quiet();
    poller_destroy(&p);
}

static void *wake_later(void *arg)
{
    (void)arg;
    usleep(20000);
    poller_wake(&p);
    return NULL;
}

BOTH(wake_ends_a_wait)
{
    pthread_t t;
    uint64_t begin = os_now();
    cr_assert_eq(pthread_create(&t, NULL, wake_later, NULL), 0);
    poller_wait(&p, begin + LONG_WAIT);
    pthread_join(t, NULL);
    cr_assert_lt(os_now(), begin + LONG_WAIT);
    begin = os_now();
    poller_wait(&p, begin + 20 * MS);
    cr_assert_geq(os_now(), begin + 19 * MS, "one wake, one return");
}

BOTH(wake_before_the_wait_counts)
{
    uint64_t begin = os_now();
    poller_wake(&p);
    poller_wait(&p, begin + LONG_WAIT);
    cr_assert_lt(os_now(), begin + LONG_WAIT);
}

static void *start_and_end(void *arg)
{
    poller_start(&p, arg);
    (void)poller_reap(&p);
    return NULL;
}

BOTH(operation_outlives_the_thread_that_entered_it)
{
    char c = 0;
    pthread_t t;
    make_pipe();
    weir_io io = {.deadline = OS_FOREVER, .op = POLLER_READ, .fd = ends[0], .address = (uintptr_t)&c, .length = 1,
                  .offset = -1};
    cr_assert_eq(pthread_create(&t, NULL, start_and_end, &io), 0);
    pthread_join(t, NULL);
    usleep(10000);
    cr_assert_null(poller_reap(&p));
    cr_assert_eq(write(ends[1], "z", 1), 1);
    cr_assert_eq(one(), &io);
    cr_assert_eq(io.result, 1);
    cr_assert_eq(c, 'z');
}

BOTH(many_operations_complete)
{
    enum { N = 1000 };
    static weir_io io[N];
    static int fds[N][2];
    static char bytes[N];
    for (unsigned i = 0; i < N; i++) {
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds[i]), 0);
        start(&io[i], POLLER_RECV, fds[i][0], &bytes[i], 1);
    }
    cr_assert_null(poller_reap(&p));
    for (unsigned i = 0; i < N; i++)
        cr_assert_eq(send(fds[i][1], "m", 1, 0), 1);
    unsigned seen = 0;
    for (uint64_t end = os_now() + LONG_WAIT; seen < N && os_now() < end;)
        for (weir_io *done = poller_reap(&p); done != NULL; done = done->next, seen++)
            cr_assert_eq(done->result, 1);
    cr_assert_eq(seen, N);
}
