/* SPDX-License-Identifier: MIT
 *
 * test_io.c - what must hold for operations on descriptors: each completes once, whoever sleeps, works, blocks or stops.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "support.h"

#define SHORT_MS 20u
#define NOT_OPEN 5000 /* a number that nothing here has */

TestSuite(io, .timeout = 120);

static weir_runtime *rt;
static unsigned no_uring;

static weir_config config(unsigned workers)
{
    weir_config c = config_of(workers);
    c.no_uring = no_uring;
    return c;
}

static void begin(unsigned workers)
{
    weir_config c = config(workers);
    rt = start_config(&c);
}

/* Each test runs with io_uring, where it may be had, and with epoll. */
#define BOTH(case_) \
    static void case_(void); \
    Test(io, case_##_with_uring) \
    { \
        case_(); \
    } \
    Test(io, case_##_with_epoll) \
    { \
        no_uring = 1; \
        case_(); \
    } \
    static void case_(void)

/* One operation, started by a function on a worker, and its end. */
struct one {
    weir_task task, first;
    weir_io io;
    int (*start)(weir_worker *w, struct one *o);
    int fd, started;
    unsigned long_run_ms; /* its end takes so long */
    char buffer[16];
    weir_atomic_u32 over;
    int64_t result;
};

static weir_task *ended(weir_worker *w, weir_task *t)
{
    struct one *o = (struct one *)t;
    (void)w;
    o->result = o->io.result;
    uint64_t until = in_ms(o->long_run_ms);
    add(&o->over, 1);
    while (o->long_run_ms != 0 && weir_now() < until)
        continue;
    return NULL;
}

static weir_task *start_it(weir_worker *w, weir_task *t)
{
    struct one *o = (struct one *)(t - 1);
    o->started = o->start(w, o);
    return NULL;
}

static void run(struct one *o, int (*how)(weir_worker *, struct one *), int fd)
{
    weir_task_init(&o->task, ended);
    weir_task_init(&o->first, start_it);
    uint64_t deadline = o->io.deadline;
    weir_io_init(&o->io, &o->task);
    if (deadline != 0)
        o->io.deadline = deadline;
    o->start = how;
    o->fd = fd;
    cr_assert_eq(weir_submit(rt, &o->first, WEIR_BLOCK, 0), 0);
}

static int start_read(weir_worker *w, struct one *o)
{
    return weir_io_read(w, &o->io, o->fd, o->buffer, sizeof o->buffer, WEIR_IO_HERE);
}

static int start_readable(weir_worker *w, struct one *o)
{
    return weir_when_readable(w, o->fd, &o->io);
}

/* Waits until an operation has been started and handed over. */
static void let_it_begin(void)
{
    sleep_ms(SHORT_MS);
}

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

static void *nothing(void *arg)
{
    return arg;
}

BOTH(runtime_without_operations_opens_nothing)
{
    begin(2);
    unsigned before = descriptors_now();
    call(rt, (void (*)(weir_worker *, void *))(uintptr_t)nothing, NULL);
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

static void kind_is(weir_worker *w, void *arg)
{
    *(weir_io_kind *)arg = weir_io_kind_of(w);
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

static void *write_later(void *arg)
{
    sleep_ms(SHORT_MS);
    cr_assert_eq(write(*(int *)arg, "later", 5), 5);
    return NULL;
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

/* --- who looks ------------------------------------------------------------------------------------------------ */

BOTH(long_task_of_the_keeper_holds_nobody_up)
{
    enum { LONG_MS = 2000, SOON_MS = 1000 };
    struct one first = {0}, second = {0};
    int p[2], q[2];
    cr_assert_eq(pipe(p), 0);
    cr_assert_eq(pipe(q), 0);
    begin(2);
    first.long_run_ms = LONG_MS;
    run(&first, start_read, p[0]);
    run(&second, start_read, q[0]);
    sleep_ms(100);
    uint64_t begin_ns = weir_now();
    cr_assert_eq(write(p[1], "x", 1), 1);
    cr_assert(reaches(&first.over, 1));
    cr_assert_eq(write(q[1], "x", 1), 1);
    cr_assert(reaches(&second.over, 1));
    cr_assert_lt(weir_now() - begin_ns, SOON_MS * NS_PER_MS, "it waited for the long task");
    stop(rt);
}

struct stuck {
    weir_task task;
    struct one *o;
    weir_atomic_u32 done;
};

static weir_task *block_until_over(weir_worker *w, weir_task *t)
{
    struct stuck *s = (struct stuck *)t;
    cr_assert_eq(start_read(w, s->o), 0);
    cr_assert_eq(weir_block_begin(w), 0);
    cr_assert(reaches(&s->o->over, 1));
    cr_assert_eq(weir_block_end(w), 0);
    add(&s->done, 1);
    return NULL;
}

BOTH(operations_complete_while_all_workers_block)
{
    struct one o = {0};
    struct stuck s = {.o = &o};
    int p[2];
    cr_assert_eq(pipe(p), 0);
    begin(1);
    weir_task_init(&o.task, ended);
    weir_io_init(&o.io, &o.task);
    o.fd = p[0];
    weir_task_init(&s.task, block_until_over);
    cr_assert_eq(weir_submit(rt, &s.task, WEIR_BLOCK, 0), 0);
    let_it_begin();
    cr_assert_eq(write(p[1], "x", 1), 1);
    cr_assert(reaches(&s.done, 1));
    stop(rt);
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

BOTH(runtime_that_waits_uses_no_processor)
{
    struct one o = {0};
    int p[2];
    cr_assert_eq(pipe(p), 0);
    begin(2);
    o.io.deadline = in_ms(3600000);
    run(&o, start_read, p[0]);
    sleep_ms(200);
    uint64_t before = cpu_ns();
    sleep_ms(1000);
    cr_assert_lt(cpu_ns() - before, 20 * NS_PER_MS);
    cr_assert_eq(write(p[1], "x", 1), 1);
    cr_assert(reaches(&o.over, 1));
    stop(rt);
}

BOTH(submits_reach_a_runtime_that_sleeps_in_the_poller)
{
    struct one o = {0};
    int p[2];
    cr_assert_eq(pipe(p), 0);
    begin(1);
    run(&o, start_read, p[0]);
    for (unsigned i = 0; i < 50; i++) {
        weir_io_kind kind;
        usleep(i * 50);
        call(rt, kind_is, &kind);
    }
    cr_assert_eq(get(&o.over), 0);
    cr_assert_eq(write(p[1], "x", 1), 1);
    cr_assert(reaches(&o.over, 1));
    stop(rt);
}

BOTH(workers_that_retire_leave_their_operations)
{
    enum { N = 8 };
    static struct one o[N];
    int p[N][2];
    weir_config c = config(4);
    c.min_workers = 1;
    c.retire_after_ms = 5;
    rt = start_config(&c);
    for (unsigned i = 0; i < N; i++) {
        cr_assert_eq(pipe(p[i]), 0);
        run(&o[i], start_read, p[i][0]);
    }
    sleep_ms(200);
    for (unsigned i = 0; i < N; i++)
        cr_assert_eq(write(p[i][1], "abc", 3), 3);
    for (unsigned i = 0; i < N; i++) {
        cr_assert(reaches(&o[i].over, 1));
        cr_assert_eq(o[i].result, 3);
    }
    stop(rt);
}

/* --- stops ---------------------------------------------------------------------------------------------------- */

BOTH(drain_waits_for_what_is_in_flight)
{
    struct one o = {0};
    int p[2];
    pthread_t t;
    cr_assert_eq(pipe(p), 0);
    begin(2);
    run(&o, start_read, p[0]);
    let_it_begin();
    cr_assert_eq(weir_stop(rt, WEIR_DRAIN, in_ms(SHORT_MS)), -ETIMEDOUT);
    cr_assert_eq(pthread_create(&t, NULL, write_later, &p[1]), 0);
    stop(rt);
    pthread_join(t, NULL);
    cr_assert_eq(get(&o.over), 1);
    cr_assert_eq(o.result, 5);
}

BOTH(discard_cancels_what_is_in_flight)
{
    enum { N = 300 };
    static struct one o[N];
    int p[2];
    cr_assert_eq(pipe(p), 0);
    begin(2);
    for (unsigned i = 0; i < N; i++)
        run(&o[i], start_read, p[0]);
    let_it_begin();
    weir_stats last = stop_and_read(rt, WEIR_DISCARD);
    unsigned ran = 0;
    for (unsigned i = 0; i < N; i++)
        ran += get(&o[i].over);
    cr_assert_eq(ran, 0);
    cr_assert_geq(last.total.tasks_discarded, N);
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

/* --- connections ---------------------------------------------------------------------------------------------- */

#define ECHO_CONNECTIONS 50
#define ECHO_ROUNDS 200

struct echo {
    weir_task task;
    weir_io io;
    int fd;
    bool has_bytes;
    char buffer[64];
};

static weir_atomic_u32 echoes_ended;

static weir_task *echo_step(weir_worker *w, weir_task *t)
{
    struct echo *e = (struct echo *)t;
    if (e->io.result <= 0 && e->has_bytes) {
        add(&echoes_ended, 1);
        return NULL;
    }
    bool sends = e->has_bytes && e->io.result > 0;
    int64_t n = e->io.result;
    e->has_bytes = true;
    if (sends && e->buffer[63] == 0) {
        e->buffer[63] = 1; /* sent next */
        cr_assert_eq(weir_io_send(w, &e->io, e->fd, e->buffer, (size_t)n, 0), 0);
    } else {
        e->buffer[63] = 0;
        cr_assert_eq(weir_io_recv(w, &e->io, e->fd, e->buffer, 32, 0), 0);
    }
    return NULL;
}

BOTH(connections_echo)
{
    static struct echo e[ECHO_CONNECTIONS];
    static int s[ECHO_CONNECTIONS][2];
    set(&echoes_ended, 0);
    begin(3);
    for (unsigned i = 0; i < ECHO_CONNECTIONS; i++) {
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s[i]), 0);
        e[i] = (struct echo){.fd = s[i][0]};
        weir_task_init(&e[i].task, echo_step);
        weir_io_init(&e[i].io, &e[i].task);
        cr_assert_eq(weir_submit(rt, &e[i].task, WEIR_BLOCK, 0), 0);
    }
    for (unsigned round = 0; round < ECHO_ROUNDS; round++) {
        for (unsigned i = 0; i < ECHO_CONNECTIONS; i++)
            cr_assert_eq(write(s[i][1], &(uint32_t){round * 1000 + i}, 4), 4);
        for (unsigned i = 0; i < ECHO_CONNECTIONS; i++) {
            uint32_t got = 0;
            cr_assert_eq(read(s[i][1], &got, 4), 4);
            cr_assert_eq(got, round * 1000 + i);
        }
    }
    for (unsigned i = 0; i < ECHO_CONNECTIONS; i++)
        close(s[i][1]);
    cr_assert(reaches(&echoes_ended, ECHO_CONNECTIONS));
    stop(rt);
}

BOTH(task_of_a_guest_starts_operations)
{
    struct one o = {0};
    int p[2];
    weir_config c = config(1);
    c.queue_capacity = 1;
    rt = start_config(&c);
    cr_assert_eq(pipe(p), 0);
    weir_task_init(&o.task, ended);
    weir_task_init(&o.first, start_it);
    weir_io_init(&o.io, &o.task);
    o.start = start_read;
    o.fd = p[0];
    cr_assert_eq(weir_submit(rt, &o.first, WEIR_RUN_IN_CALLER, 0), 0);
    let_it_begin();
    cr_assert_eq(write(p[1], "x", 1), 1);
    cr_assert(reaches(&o.over, 1));
    stop(rt);
}
