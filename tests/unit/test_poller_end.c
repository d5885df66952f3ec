/* SPDX-License-Identifier: MIT
 *
 * test_poller_end.c - what must hold for operations that end otherwise: cancelled, late, or their descriptor closed.
 */
#include "poller_rig.h"

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
