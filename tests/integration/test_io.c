/* SPDX-License-Identifier: MIT
 *
 * test_io.c - what must hold for operations on descriptors: each completes once, with the right result or error.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "io_rig.h"

TestSuite(io, .timeout = 120);

BOTH(read_completes_when_bytes_come)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        struct one o = {0};
        int p[2];
        cr_assert_eq(pipe(p), 0);
        begin(workers);
        run(&o, start_read, p[0]);
        let_it_begin();
        cr_assert_eq(get(&o.over), 0);
        cr_assert_eq(write(p[1], "hello", 5), 5);
        cr_assert(reaches(&o.over, 1));
        cr_assert_eq(o.started, 0);
        cr_assert_eq(o.result, 5);
        cr_assert_arr_eq(o.buffer, "hello", 5);
        stop(rt);
        cr_assert_eq(get(&o.over), 1);
        close(p[0]);
        close(p[1]);
    }
}

BOTH(many_that_sleep_are_woken_in_turn)
{
    enum { N = 200 };
    static struct one o[N];
    static int p[N][2];
    begin(2);
    for (unsigned i = 0; i < N; i++) {
        cr_assert_eq(pipe(p[i]), 0);
        run(&o[i], start_readable, p[i][0]);
    }
    let_it_begin();
    for (unsigned i = 0; i < N; i++) {
        cr_assert_eq(write(p[i][1], "x", 1), 1);
        cr_assert(reaches(&o[i].over, 1), "%u", i);
        cr_assert(o[i].result & POLLIN);
    }
    stop(rt);
}

static void nothing(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
}

BOTH(runtime_without_operations_opens_nothing)
{
    begin(2);
    unsigned before = descriptors_now();
    call(rt, nothing, NULL);
    cr_assert_eq(descriptors_now(), before);
    stop(rt);
}

BOTH(stopped_runtime_leaves_no_descriptor)
{
    int p[2];
    cr_assert_eq(pipe(p), 0);
    begin(1);
    stop(rt);
    unsigned before = descriptors_now();
    for (unsigned i = 0; i < 5; i++) {
        struct one o = {0};
        begin(2);
        cr_assert_eq(write(p[1], "x", 1), 1);
        run(&o, start_read, p[0]);
        stop(rt);
        cr_assert_eq(o.result, 1);
    }
    cr_assert_eq(descriptors_now(), before);
}

/* --- refusals ------------------------------------------------------------------------------------------------- */

static void refuse(weir_worker *w, void *arg)
{
    int *p = arg;
    weir_task t;
    weir_io io;
    char c;
    weir_task_init(&t, ended);
    weir_io_init(&io, &t);
    cr_assert_eq(weir_io_read(NULL, &io, p[0], &c, 1, 0), -EINVAL);
    cr_assert_eq(weir_io_read(w, NULL, p[0], &c, 1, 0), -EINVAL);
    cr_assert_eq(weir_io_read(w, &io, p[0], NULL, 1, 0), -EINVAL);
    cr_assert_eq(weir_io_read(w, &io, p[0], &c, 1, -2), -EINVAL);
    cr_assert_eq(weir_io_read(w, &io, -1, &c, 1, 0), -EBADF);
    cr_assert_eq(weir_io_readv(w, &io, p[0], NULL, 1, 0), -EINVAL);
    cr_assert_eq(weir_io_writev(w, &io, p[0], (struct iovec *)&c, 0, 0), -EINVAL);
    cr_assert_eq(weir_io_poll(w, &io, p[0], 0), -EINVAL);
    cr_assert_eq(weir_io_poll(w, &io, p[0], WEIR_POLL_AGAIN), -EINVAL);
    cr_assert_eq(weir_io_poll(w, &io, p[0], 2 * WEIR_POLL_AGAIN | POLLIN), -EINVAL);
    cr_assert_eq(weir_io_accept(w, &io, p[0], NULL, NULL, 1), -EINVAL);
    cr_assert_eq(weir_io_connect(w, &io, p[0], NULL, 1), -EINVAL);
    cr_assert_eq(weir_io_openat(w, &io, AT_FDCWD, NULL, 0, 0), -EINVAL);
    cr_assert_eq(weir_io_statx(w, &io, AT_FDCWD, "/", 0, 0, NULL), -EINVAL);
    cr_assert_eq(weir_io_close(w, &io, -7), -EBADF);
    cr_assert_eq(weir_when_writable(w, -1, &io), -EBADF);
    cr_assert_eq(weir_io_cancel(w, &io), -ENOENT);
    cr_assert_eq(weir_io_cancel(w, NULL), -EINVAL);
    cr_assert_eq(weir_io_cancel(NULL, &io), -EINVAL);
    cr_assert_eq(weir_io_flush(NULL), -EINVAL);
    io.then = NULL;
    cr_assert_eq(weir_when_readable(w, p[0], &io), -EINVAL);
    cr_assert_eq(weir_io_kind_of(w), WEIR_IO_NONE, "refused operations make no poller");
    cr_assert_eq(weir_io_kind_of(NULL), WEIR_IO_NONE);
}

BOTH(bad_arguments_are_refused)
{
    int p[2];
    cr_assert_eq(pipe(p), 0);
    begin(1);
    call(rt, refuse, p);
    stop(rt);
}

BOTH(kind_is_told_and_can_be_forced)
{
    struct one o = {0};
    int p[2];
    weir_io_kind kind = WEIR_IO_NONE;
    cr_assert_eq(pipe(p), 0);
    begin(1);
    close(p[1]);
    run(&o, start_read, p[0]);
    cr_assert(reaches(&o.over, 1));
    call(rt, kind_is, &kind);
    cr_assert(kind == WEIR_IO_EPOLL || (kind == WEIR_IO_URING && !no_uring));
    stop(rt);
}

static int start_twice(weir_worker *w, struct one *o)
{
    int r = start_read(w, o);
    cr_assert_eq(start_read(w, o), -EBUSY);
    cr_assert_eq(weir_io_read(w, &o->io, -1, o->buffer, 1, 0), -EBADF);
    return r;
}

BOTH(record_in_flight_is_busy)
{
    struct one o = {0};
    int p[2];
    cr_assert_eq(pipe(p), 0);
    begin(2);
    run(&o, start_twice, p[0]);
    let_it_begin();
    cr_assert_eq(write(p[1], "ab", 2), 2);
    cr_assert(reaches(&o.over, 1));
    stop(rt);
    cr_assert_eq(o.result, 2);
}

BOTH(descriptors_that_are_no_good_are_told_by_the_result)
{
    struct one closed = {0}, wrong = {0};
    int p[2];
    cr_assert_eq(pipe(p), 0);
    begin(2);
    run(&closed, start_read, NOT_OPEN);
    run(&wrong, start_read, p[1]);
    cr_assert(reaches(&closed.over, 1));
    cr_assert(reaches(&wrong.over, 1));
    stop(rt);
    cr_assert_eq(closed.result, -EBADF);
    cr_assert_eq(wrong.result, -EBADF);
}

/* --- deadlines and cancels ------------------------------------------------------------------------------------ */

BOTH(deadline_that_passes_ends_the_operation)
{
    struct one o = {0}, past = {0};
    int p[2];
    cr_assert_eq(pipe(p), 0);
    begin(2);
    past.io.deadline = 1;
    run(&past, start_read, p[0]);
    cr_assert(reaches(&past.over, 1));
    cr_assert_eq(past.result, -ETIME);
    uint64_t end = in_ms(30);
    o.io.deadline = end;
    run(&o, start_read, p[0]);
    cr_assert(reaches(&o.over, 1));
    cr_assert_geq(weir_now(), end);
    cr_assert_eq(o.result, -ETIME);
    stop(rt);
    cr_assert_eq(get(&o.over), 1);
}

BOTH(earlier_deadline_wakes_who_sleeps_for_a_later_one)
{
    struct one late = {0}, early = {0};
    int p[2];
    cr_assert_eq(pipe(p), 0);
    begin(2);
    late.io.deadline = in_ms(3600000);
    run(&late, start_read, p[0]);
    let_it_begin();
    early.io.deadline = in_ms(30);
    run(&early, start_readable, p[0]);
    cr_assert(reaches(&early.over, 1));
    cr_assert_eq(early.result, -ETIME);
    cr_assert_eq(write(p[1], "x", 1), 1);
    cr_assert(reaches(&late.over, 1));
    cr_assert_eq(late.result, 1);
    stop(rt);
}

static void cancel_it(weir_worker *w, void *arg)
{
    struct one *o = arg;
    o->started = weir_io_cancel(w, &o->io);
}

BOTH(cancel_ends_what_waits)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        struct one o = {0};
        int p[2];
        cr_assert_eq(pipe(p), 0);
        begin(workers);
        run(&o, start_read, p[0]);
        let_it_begin();
        call(rt, cancel_it, &o);
        cr_assert_eq(o.started, 0);
        cr_assert(reaches(&o.over, 1));
        cr_assert_eq(o.result, -ECANCELED);
        call(rt, cancel_it, &o);
        cr_assert_eq(o.started, -ENOENT);
        stop(rt);
        cr_assert_eq(get(&o.over), 1);
        close(p[0]);
        close(p[1]);
    }
}

static int start_and_cancel_twice(weir_worker *w, struct one *o)
{
    int r = start_read(w, o);
    cr_assert_eq(weir_io_cancel(w, &o->io), 0);
    cr_assert_eq(weir_io_cancel(w, &o->io), -EALREADY);
    return r;
}

BOTH(cancel_before_the_operation_is_entered)
{
    struct one o = {0};
    int p[2];
    cr_assert_eq(pipe(p), 0);
    begin(1);
    run(&o, start_and_cancel_twice, p[0]);
    cr_assert(reaches(&o.over, 1));
    cr_assert_eq(o.result, -ECANCELED);
    stop(rt);
    cr_assert_eq(get(&o.over), 1);
}

static int start_close(weir_worker *w, struct one *o)
{
    return weir_io_close(w, &o->io, o->fd);
}

BOTH(close_ends_what_waits_for_the_descriptor)
{
    struct one o = {0}, closes = {0};
    int s[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    begin(2);
    run(&o, start_readable, s[0]);
    let_it_begin();
    run(&closes, start_close, s[0]);
    cr_assert(reaches(&o.over, 1));
    cr_assert(reaches(&closes.over, 1));
    cr_assert_eq(o.result, -ECANCELED);
    cr_assert_eq(closes.result, 0);
    cr_assert_eq(fcntl(s[0], F_GETFD), -1);
    stop(rt);
}

/* --- continuations and scopes --------------------------------------------------------------------------------- */

struct pair {
    weir_task start, both;
    weir_io a, b;
    int p[2][2];
    char x, y;
    weir_atomic_u32 over;
};

static weir_task *both_over(weir_worker *w, weir_task *t)
{
    struct pair *d = (struct pair *)(t - 1);
    (void)w;
    cr_assert_eq(d->a.result, 1);
    cr_assert_eq(d->b.result, 1);
    add(&d->over, 1);
    return NULL;
}

static weir_task *start_pair(weir_worker *w, weir_task *t)
{
    struct pair *d = (struct pair *)t;
    weir_continuation_init(&d->both, both_over, 2);
    weir_io_init(&d->a, &d->both);
    weir_io_init(&d->b, &d->both);
    cr_assert_eq(weir_io_read(w, &d->a, d->p[0][0], &d->x, 1, WEIR_IO_HERE), 0);
    cr_assert_eq(weir_io_read(w, &d->b, d->p[1][0], &d->y, 1, WEIR_IO_HERE), 0);
    return NULL;
}

BOTH(continuation_runs_after_all_of_its_operations)
{
    static struct pair d;
    begin(2);
    cr_assert_eq(pipe(d.p[0]), 0);
    cr_assert_eq(pipe(d.p[1]), 0);
    weir_task_init(&d.start, start_pair);
    cr_assert_eq(weir_submit(rt, &d.start, WEIR_BLOCK, 0), 0);
    let_it_begin();
    cr_assert_eq(write(d.p[1][1], "x", 1), 1);
    sleep_ms(SHORT_MS);
    cr_assert_eq(get(&d.over), 0);
    cr_assert_eq(write(d.p[0][1], "x", 1), 1);
    cr_assert(reaches(&d.over, 1));
    stop(rt);
}

static void wait_for_member(weir_worker *w, void *arg)
{
    struct one *o = arg;
    weir_scope s;
    weir_scope_init(w, &s);
    weir_task_init(&o->task, ended);
    weir_io_init(&o->io, &o->task);
    weir_scope_add(&s, &o->task);
    cr_assert_eq(start_read(w, o), 0);
    cr_assert_eq(weir_scope_wait(w, &s), 0);
    cr_assert_eq(get(&o->over), 1);
}

BOTH(scope_waits_for_a_member_that_waits_for_a_descriptor)
{
    struct one o = {0};
    int p[2];
    pthread_t t;
    cr_assert_eq(pipe(p), 0);
    o.fd = p[0];
    begin(1);
    cr_assert_eq(pthread_create(&t, NULL, write_later, &p[1]), 0);
    call(rt, wait_for_member, &o);
    pthread_join(t, NULL);
    cr_assert_eq(o.result, 5);
    stop(rt);
}

/* --- files ---------------------------------------------------------------------------------------------------- */

struct file {
    weir_task task;
    weir_io io;
    unsigned step;
    int fd;
    char buffer[8];
    struct statx status;
    weir_atomic_u32 over;
};

static weir_task *file_step(weir_worker *w, weir_task *t)
{
    struct file *f = (struct file *)t;
    int r = 0;
    if (f->step > 0)
        cr_assert_geq(f->io.result, 0, "step %u: %s", f->step, strerror((int)-f->io.result));
    switch (f->step++) {
    case 0:
        r = weir_io_openat(w, &f->io, AT_FDCWD, "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        break;
    case 1:
        f->fd = (int)f->io.result;
        r = weir_io_write(w, &f->io, f->fd, "abcdef", 6, 0);
        break;
    case 2:
        cr_assert_eq(f->io.result, 6);
        r = weir_io_fsync(w, &f->io, f->fd, true);
        break;
    case 3:
        r = weir_io_statx(w, &f->io, f->fd, "", AT_EMPTY_PATH, STATX_SIZE, &f->status);
        break;
    case 4:
        cr_assert_eq(f->status.stx_size, 6);
        r = weir_io_read(w, &f->io, f->fd, f->buffer, sizeof f->buffer, 2);
        break;
    case 5:
        cr_assert_eq(f->io.result, 4);
        cr_assert_arr_eq(f->buffer, "cdef", 4);
        r = weir_io_read(w, &f->io, f->fd, f->buffer, sizeof f->buffer, 6);
        break;
    case 6:
        cr_assert_eq(f->io.result, 0);
        r = weir_io_close(w, &f->io, f->fd);
        break;
    default:
        cr_assert_eq(fcntl(f->fd, F_GETFD), -1);
        add(&f->over, 1);
    }
    cr_assert_eq(r, 0);
    return NULL;
}

BOTH(files_are_opened_written_read_and_closed)
{
    static struct file f;
    begin(2);
    weir_task_init(&f.task, file_step);
    weir_io_init(&f.io, &f.task);
    cr_assert_eq(weir_submit(rt, &f.task, WEIR_BLOCK, 0), 0);
    cr_assert(reaches(&f.over, 1));
    stop(rt);
}

static int start_open(weir_worker *w, struct one *o)
{
    return weir_io_openat(w, &o->io, AT_FDCWD, "/nowhere/at/all", O_RDONLY, 0);
}

BOTH(missing_file_is_told_by_the_result)
{
    struct one o = {0};
    begin(1);
    run(&o, start_open, 0);
    cr_assert(reaches(&o.over, 1));
    cr_assert_eq(o.result, -ENOENT);
    stop(rt);
}
