/* SPDX-License-Identifier: MIT
 *
 * test_io_bad_input.c - descriptors of the wrong kind, closed behind the runtime's back, times that have passed,
 * cancels for nothing: a code or a completion with the error, and nothing lost.
 *
 * Threads: as support.h. Descriptors that are not open, arguments that are refused, two cancels in a row: test_io.c.
 */
#define _GNU_SOURCE
#include "io_rig.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define PATIENCE_MS 100u
#define SMALL_PAGES (1u << 18) /* of address space: 1 GiB */
#define ACCEPTS 300u           /* rounds: one in sixty found a worker inside the call */
#define MEET_MS 5000u

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

/* Pages of address space. */
static unsigned long address_space(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    cr_assert_not_null(f);
    cr_assert_eq(fscanf(f, "%lu", &pages), 1);
    fclose(f);
    return pages;
}

BOTH(numbers_that_no_descriptor_can_have_cost_nothing)
{
    static const int numbers[] = {NOT_OPEN, 1 << 30, INT_MAX - 1, INT_MAX};
    begin(2);
    unsigned long before = address_space();
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
        cr_assert_eq(result_of(start_readable, numbers[i]), -EBADF, "%d", numbers[i]);
    cr_assert_lt(address_space() - before, SMALL_PAGES);
    stop(rt);
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

static struct sockaddr_un local = {.sun_family = AF_UNIX};

/* A listener without a file, and with room for so many connections and one more. */
static int listener_of(int room)
{
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(local.sun_path + 1, sizeof local.sun_path - 1, "weir-test-%d", getpid());
    cr_assert_eq(bind(listener, (struct sockaddr *)&local, sizeof local), 0);
    cr_assert_eq(listen(listener, room), 0);
    return listener;
}

static int start_connect(weir_worker *w, struct one *o)
{
    return weir_io_connect(w, &o->io, o->fd, (struct sockaddr *)&local, sizeof local);
}

BOTH(local_listener_without_room_is_told_by_the_result)
{
    int listener = listener_of(0);
    int first = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int second = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    begin(2);
    cr_assert_eq(result_of(start_connect, first), 0);
    cr_assert_eq(result_of(start_connect, second), -EAGAIN);
    stop(rt);
    close(listener);
    close(first);
    close(second);
}

static int connected(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&local, sizeof local), 0);
    return fd;
}

static weir_atomic_u32 met, missed;

/* Two of these end at once on two workers that are free. */
static weir_task *meet(weir_worker *w, weir_task *t)
{
    uint64_t until = in_ms(MEET_MS);
    (void)w, (void)t;
    uint32_t both = (add(&met, 1) + 1) / 2 * 2;
    while (get(&met) < both && weir_now() < until)
        usleep(20);
    if (get(&met) < both)
        add(&missed, 1);
    return NULL;
}

/* Both accepts may find the one connection; who comes second must not wait for another inside the call. */
BOTH(accepts_beyond_the_connections_hold_no_worker)
{
    static struct one all[2 * ACCEPTS];
    static weir_task tasks[ACCEPTS][2];
    int listener = listener_of(16);
    begin(2);
    for (unsigned i = 0; i < 2 * ACCEPTS; i += 2) {
        int first = connected();
        weir_task *both = tasks[i / 2];
        run(&all[i], start_accept, listener);
        run(&all[i + 1], start_accept, listener);
        while (get(&all[i].over) + get(&all[i + 1].over) == 0)
            usleep(20);
        for (unsigned k = 0; k < 2; k++) {
            weir_task_init(&both[k], meet);
            cr_assert_eq(weir_submit(rt, &both[k], WEIR_BLOCK, 0), 0);
        }
        cr_assert(reaches(&met, i + 2));
        cr_assert_eq(get(&missed), 0, "round %u", i / 2);
        int second = connected();
        cr_assert(reaches(&all[i].over, 1) && reaches(&all[i + 1].over, 1));
        close((int)all[i].result);
        close((int)all[i + 1].result);
        close(first);
        close(second);
    }
    stop(rt);
    close(listener);
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
