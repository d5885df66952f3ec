/* SPDX-License-Identifier: MIT
 *
 * test_io_bad_input.c - descriptors of the wrong kind, closed behind the runtime's back, times that have passed, cancels for
 * nothing: a code or a completion with the error, and nothing lost.
 *
 * Threads: as support.h. Descriptors that are not open, arguments that are refused, two cancels in a row: test_io.c.
 */
#define _GNU_SOURCE
#include "io_rig.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define PATIENCE_MS 100u

TestSuite(io, .timeout = 60);

/* Runs one operation to its end. Its record stays: who started it may not have come back yet. */
static int64_t result_of(int (*how)(weir_worker *, struct one *), int fd)
{
    static struct one all[8];
    static unsigned used;
    cr_assert_lt(used, sizeof all / sizeof *all);
    struct one *o = &all[used++];
    run(o, how, fd);
    cr_assert(reaches(&o->over, 1));
    return o->result;
}

static int start_recv(weir_worker *w, struct one *o)
{
    return weir_io_recv(w, &o->io, o->fd, o->buffer, sizeof o->buffer, 0);
}

static int start_send(weir_worker *w, struct one *o)
{
    return weir_io_send(w, &o->io, o->fd, o->buffer, sizeof o->buffer, 0);
}

static int start_accept(weir_worker *w, struct one *o)
{
    return weir_io_accept(w, &o->io, o->fd, NULL, NULL, 0);
}

static int start_write(weir_worker *w, struct one *o)
{
    return weir_io_write(w, &o->io, o->fd, o->buffer, sizeof o->buffer, WEIR_IO_HERE);
}

BOTH(descriptors_of_the_wrong_kind_are_told_by_the_result)
{
    int p[2];
    int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert(folder >= 0 && pipe(p) == 0);
    begin(2);
    cr_assert_eq(result_of(start_recv, p[0]), -ENOTSOCK);
    cr_assert_eq(result_of(start_send, p[1]), -ENOTSOCK);
    cr_assert_eq(result_of(start_read, folder), -EISDIR);
    cr_assert_eq(result_of(start_write, p[0]), -EBADF);
    cr_assert_eq(result_of(start_write, folder), -EBADF);
    cr_assert_eq(write(p[1], "x", 1), 1); /* with epoll the call is made when there is something */
    cr_assert_eq(result_of(start_accept, p[0]), -ENOTSOCK);
    stop(rt);
    close(folder);
    close(p[0]);
    close(p[1]);
}

BOTH(write_to_a_pipe_without_a_reader_is_told_by_the_result)
{
    int p[2];
    cr_assert_eq(pipe(p), 0);
    close(p[0]);
    begin(2);
    cr_assert_eq(result_of(start_write, p[1]), -EPIPE);
    stop(rt);
    close(p[1]);
}

BOTH(write_whose_deadline_has_passed_writes_nothing)
{
    struct one o = {0};
    char byte;
    int p[2];
    cr_assert_eq(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
    begin(2);
    o.io.deadline = weir_now() - 1;
    run(&o, start_write, p[1]);
    cr_assert(reaches(&o.over, 1));
    cr_assert_eq(o.result, -ETIME);
    stop(rt);
    cr_assert_eq(read(p[0], &byte, 1), -1);
    close(p[0]);
    close(p[1]);
}

static void cancel_it(weir_worker *w, void *arg)
{
    struct one *o = arg;
    o->started = weir_io_cancel(w, &o->io);
}

/* Behind the thread sanitizer's back as well, which takes it for the race that it is. */
static void close_behind(int fd)
{
    cr_assert_eq(syscall(SYS_close, fd), 0);
}

BOTH(descriptor_closed_while_awaited_can_be_cancelled)
{
    struct one o = {0};
    int s[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    begin(2);
    run(&o, start_recv, s[0]);
    let_it_begin();
    close_behind(s[0]);
    call(rt, cancel_it, &o);
    cr_assert_eq(o.started, 0);
    cr_assert(reaches(&o.over, 1));
    cr_assert_eq(o.result, -ECANCELED);
    stop(rt);
    cr_assert_eq(get(&o.over), 1);
    close(s[1]);
}

BOTH(descriptor_closed_while_awaited_ends_at_the_deadline)
{
    struct one o = {0};
    int s[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    begin(2);
    o.io.deadline = in_ms(PATIENCE_MS);
    run(&o, start_recv, s[0]);
    let_it_begin();
    close_behind(s[0]);
    cr_assert(reaches(&o.over, 1));
    cr_assert_eq(o.result, -ETIME);
    stop(rt);
    cr_assert_eq(get(&o.over), 1);
    close(s[1]);
}

static void cancel_what_never_began(weir_worker *w, void *arg)
{
    weir_io io;
    weir_io_init(&io, arg);
    cr_assert_eq(weir_io_cancel(w, &io), -ENOENT);
    cr_assert_eq(weir_io_cancel(w, &io), -ENOENT);
    cr_assert_eq(weir_io_cancel(w, NULL), -EINVAL);
    cr_assert_eq(weir_io_cancel(NULL, &io), -EINVAL);
}

BOTH(cancel_of_what_never_began_changes_nothing)
{
    struct one o = {0};
    weir_task_init(&o.task, ended);
    begin(1);
    call(rt, cancel_what_never_began, &o.task);
    stop(rt);
    cr_assert_eq(get(&o.over), 0);
}
