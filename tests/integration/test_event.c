/* SPDX-License-Identifier: MIT
 *
 * test_event.c - what must hold for eventfds: scopes, ports, runtimes at rest, and descriptors that are no good.
 */
#include "support.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define REQUESTS 3000u
#define FULL (UINT64_MAX - 1) /* the most an eventfd counts to */

static weir_runtime *rt;
static int fd;

static void open_fd(void)
{
    fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    cr_assert_geq(fd, 0);
}

TestSuite(event, .init = open_fd);

static bool is_readable(int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

static uint64_t read_fd(void)
{
    uint64_t n = 0;
    return read(fd, &n, sizeof n) == sizeof n ? n : 0;
}

static weir_atomic_u32 may_end;

static weir_task *wait_for_leave(weir_worker *w, weir_task *self)
{
    (void)w;
    (void)self;
    reaches(&may_end, 1);
    return NULL;
}

Test(event, scope_makes_its_descriptor_readable_once_when_the_last_task_is_done)
{
    weir_task tasks[8];
    weir_scope scope;
    weir_notify n;
    rt = start(2);
    weir_scope_init(NULL, &scope);
    for (unsigned i = 0; i < 8; i++) {
        weir_task_init(&tasks[i], wait_for_leave);
        weir_scope_add(&scope, &tasks[i]);
        cr_assert_eq(weir_submit(rt, &tasks[i], WEIR_BLOCK, 0), 0);
    }
    cr_assert_eq(weir_scope_notify_fd(&scope, &n, fd), 0);
    cr_assert_not(is_readable(20));
    set(&may_end, 1);
    cr_assert(is_readable((int)LONG_TIME_MS));
    cr_assert_eq(read_fd(), 1);
    cr_assert_eq(weir_scope_wait(NULL, &scope), 0);
    cr_assert_eq(weir_notify_error(&n), 0);
    stop(rt);
    cr_assert_not(is_readable(0));
}

Test(event, scope_that_is_done_already_makes_it_readable_at_once)
{
    weir_scope scope;
    weir_notify n;
    weir_scope_init(NULL, &scope);
    weir_scope_fail(&scope, -EIO);
    cr_assert_eq(weir_scope_notify_fd(&scope, &n, fd), 0);
    cr_assert_eq(read_fd(), 1);
    cr_assert_eq(weir_scope_wait(NULL, &scope), -EIO);
}

Test(event, full_counter_is_no_error)
{
    weir_scope scope;
    weir_notify n;
    uint64_t full = FULL;
    cr_assert_eq(write(fd, &full, sizeof full), (ssize_t)sizeof full);
    weir_scope_init(NULL, &scope);
    cr_assert_eq(weir_scope_notify_fd(&scope, &n, fd), 0);
    cr_assert_eq(weir_notify_error(&n), 0);
    cr_assert_eq(read_fd(), FULL);
}

Test(event, descriptor_closed_too_early_is_reported)
{
    weir_task t;
    weir_scope scope;
    weir_notify n;
    rt = start(1);
    weir_scope_init(NULL, &scope);
    weir_task_init(&t, wait_for_leave);
    weir_scope_add(&scope, &t);
    cr_assert_eq(weir_submit(rt, &t, WEIR_BLOCK, 0), 0);
    cr_assert_eq(weir_scope_notify_fd(&scope, &n, fd), 0);
    close(fd);
    set(&may_end, 1);
    stop(rt);
    cr_assert_eq(weir_notify_error(&n), -EBADF);
    cr_assert_eq(weir_scope_wait(NULL, &scope), 0);
}

static void begin_on_worker(weir_worker *w, void *arg)
{
    weir_notify n;
    weir_scope scope;
    (void)arg;
    weir_scope_init(w, &scope);
    cr_assert_eq(weir_scope_notify_fd(&scope, &n, fd), -EINVAL);
    cr_assert_eq(weir_scope_wait(w, &scope), 0);
}

Test(event, bad_descriptors_are_refused_and_nothing_changes)
{
    weir_scope scope;
    weir_notify n = {.fd = 77};
    weir_port port = {.fd = 77};
    int blocking = eventfd(0, 0);
    rt = start(1);
    weir_scope_init(NULL, &scope);
    cr_assert_eq(weir_scope_notify_fd(NULL, &n, fd), -EINVAL);
    cr_assert_eq(weir_scope_notify_fd(&scope, NULL, fd), -EINVAL);
    cr_assert_eq(weir_scope_notify_fd(&scope, &n, blocking), -EINVAL);
    cr_assert_eq(weir_scope_notify_fd(&scope, &n, -1), -EBADF);
    cr_assert_eq(weir_scope_notify_fd(&scope, &n, 1 << 20), -EBADF);
    cr_assert_eq(n.fd, 77);
    cr_assert_eq(weir_notify_init(NULL, fd), -EINVAL);
    cr_assert_eq(weir_port_init(NULL, fd), -EINVAL);
    cr_assert_eq(weir_port_init(&port, blocking), -EINVAL);
    cr_assert_eq(weir_port_init(&port, -1), -EBADF);
    cr_assert_eq(port.fd, 77);
    cr_assert_eq(weir_idle_fd(rt, blocking), -EINVAL);
    cr_assert_eq(weir_idle_fd(rt, -2), -EBADF);
    cr_assert_eq(weir_idle_fd(NULL, fd), -EINVAL);
    call(rt, begin_on_worker, NULL);
    cr_assert_eq(weir_scope_notify_fd(&scope, &n, fd), 0, "the scope is as it was");
    stop(rt);
    cr_assert_eq(weir_idle_fd(rt, fd), -ESHUTDOWN);
}

/* --- port ------------------------------------------------------------------------------------------------------- */

struct request {
    weir_task task;
    weir_posted posted;
    unsigned seen;
};

static weir_port port;
static struct request requests[REQUESTS];

static weir_task *post(weir_worker *w, weir_task *self)
{
    (void)w;
    cr_assert_eq(weir_port_post(&port, &((struct request *)(void *)self)->posted), 0);
    return NULL;
}

static unsigned note(weir_posted *list)
{
    unsigned n = 0;
    for (; list != NULL; n++) {
        weir_posted *next = list->next;
        ((struct request *)(void *)((char *)list - offsetof(struct request, posted)))->seen++;
        list = next;
    }
    return n;
}

Test(event, every_post_reaches_the_loop_once_with_edge_triggered_epoll)
{
    unsigned submitted = 0, seen = 0;
    int loop = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};
    cr_assert_eq(weir_port_init(&port, fd), 0);
    cr_assert_eq(epoll_ctl(loop, EPOLL_CTL_ADD, fd, &e), 0);
    rt = start(3);
    while (seen < REQUESTS) {
        for (unsigned i = 0; i < 7 && submitted < REQUESTS; i++) {
            weir_task_init(&requests[submitted].task, post);
            cr_assert_eq(weir_submit(rt, &requests[submitted++].task, WEIR_BLOCK, 0), 0);
        }
        int r = epoll_wait(loop, &e, 1, (int)LONG_TIME_MS);
        cr_assert_eq(r, 1, "%u of %u seen, and the loop sleeps", seen, submitted);
        seen += note(weir_port_take(&port));
        if (seen == submitted && submitted < REQUESTS)
            continue;
    }
    for (unsigned i = 0; i < REQUESTS; i++)
        cr_assert_eq(requests[i].seen, 1);
    cr_assert_null(weir_port_end(&port));
    stop(rt);
}

Test(event, posts_come_out_in_order_and_ring_once_per_batch)
{
    cr_assert_eq(weir_port_init(&port, fd), 0);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(weir_port_post(&port, &requests[i].posted), 0);
    uint64_t rings = 0;
    cr_assert_eq(read(fd, &rings, sizeof rings), (ssize_t)sizeof rings);
    cr_assert_eq(rings, 1);
    weir_posted *list = weir_port_take(&port);
    for (unsigned i = 0; i < 3; i++, list = list->next)
        cr_assert_eq(list, &requests[i].posted);
    cr_assert_null(list);
    cr_assert_null(weir_port_take(&port));
}

Test(event, post_to_a_closed_descriptor_says_so_and_keeps_the_record)
{
    cr_assert_eq(weir_port_init(&port, fd), 0);
    close(fd);
    cr_assert_eq(weir_port_post(&port, &requests[0].posted), -EBADF);
    cr_assert_eq(weir_port_end(&port), &requests[0].posted);
}

/* --- rest ------------------------------------------------------------------------------------------------------- */

static weir_task *do_nothing(weir_worker *w, weir_task *self)
{
    (void)w;
    (void)self;
    return NULL;
}

Test(event, runtime_tells_each_time_that_it_comes_to_rest)
{
    weir_task tasks[20];
    rt = start(2);
    cr_assert_eq(weir_idle_fd(rt, fd), 0);
    for (unsigned i = 0; i < 20; i++) {
        weir_task_init(&tasks[i], do_nothing);
        sleep_ms(5);
        read_fd(); /* the rest before */
        cr_assert_eq(weir_submit(rt, &tasks[i], WEIR_BLOCK, 0), 0);
        cr_assert(is_readable((int)LONG_TIME_MS));
    }
    stop(rt);
}

Test(event, runtime_does_not_write_a_descriptor_that_was_taken_back)
{
    weir_task t;
    rt = start(2);
    cr_assert_eq(weir_idle_fd(rt, fd), 0);
    cr_assert_eq(weir_idle_fd(rt, -1), 0);
    read_fd();
    weir_task_init(&t, do_nothing);
    cr_assert_eq(weir_submit(rt, &t, WEIR_BLOCK, 0), 0);
    cr_assert_not(is_readable(20));
    stop(rt);
}
