/* SPDX-License-Identifier: MIT
 *
 * test_poller_again.c - what must hold for waits that go on where the last one ended (WEIR_POLL_AGAIN), with both
 * pollers.
 */
#include "poller_rig.h"

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
