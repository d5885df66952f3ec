/* SPDX-License-Identifier: MIT
 *
 * test_poller.c - what must hold for both pollers: results, errors, readiness, wakes.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "poller_rig.h"

#ifdef WEIR_HAVE_URING
#include <linux/io_uring.h>
#endif

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
