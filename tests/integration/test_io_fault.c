/* SPDX-License-Identifier: MIT
 *
 * test_io_fault.c - what must hold when the poller can't be made: another kind, or a code, nothing left behind, and the
 * next operation tries again.
 *
 * The faults exist in builds with -Dfault_injection=true only; elsewhere these tests are skipped.
 *
 * Threads: as support.h.
 */
#include "io_rig.h"
#include "os/os_fault.h"

TestSuite(io_fault, .timeout = 60);

#ifdef WEIR_FAULT_INJECTION
static void fail_always(enum os_fault_kind kind)
{
    os_fault_arm_always(kind);
}

static void fail_nth_allocation(unsigned nth)
{
    os_fault_arm(OS_FAULT_ALLOC, nth);
}

static void fail_no_more(void)
{
    for (int kind = 0; kind < OS_FAULT_KINDS; kind++)
        os_fault_disarm((enum os_fault_kind)kind);
}

static void need_faults(void)
{
}
#else
static void fail_always(enum os_fault_kind kind)
{
    (void)kind;
}

static void fail_nth_allocation(unsigned nth)
{
    (void)nth;
}

static void fail_no_more(void)
{
}

static void need_faults(void)
{
    cr_skip_test("this build injects no faults");
}
#endif

struct attempt {
    int code;
    weir_io_kind kind;
};

static void attempt_on(weir_worker *w, void *arg)
{
    struct attempt *a = arg;
    struct one o = {.fd = NOT_OPEN};
    weir_task_init(&o.task, ended);
    weir_io_init(&o.io, &o.task);
    a->code = weir_io_read(w, &o.io, o.fd, o.buffer, 1, WEIR_IO_HERE);
    a->kind = weir_io_kind_of(w);
}

/* The first operation is refused with the code, and nothing is left of it. */
static void is_refused(int code)
{
    struct attempt a = {0};
    unsigned before = descriptors_now();
    call(rt, attempt_on, &a);
    cr_assert_eq(a.code, code, "%d", a.code);
    cr_assert_eq(a.kind, WEIR_IO_NONE);
    cr_assert_eq(descriptors_now(), before);
}

/* An operation goes its way. Returns the kind of poller that carried it. */
static weir_io_kind reads(void)
{
    struct one o = {0};
    weir_io_kind kind = WEIR_IO_NONE;
    int p[2];
    cr_assert_eq(pipe(p), 0);
    run(&o, start_read, p[0]);
    let_it_begin();
    cr_assert_eq(write(p[1], "x", 1), 1);
    cr_assert(reaches(&o.over, 1));
    cr_assert_eq(o.result, 1);
    call(rt, kind_is, &kind);
    close(p[0]);
    close(p[1]);
    return kind;
}

Test(io_fault, without_an_eventfd_operations_are_refused_until_there_is_one)
{
    need_faults();
    begin(2);
    fail_always(OS_FAULT_EVENTFD);
    is_refused(-EMFILE);
    is_refused(-EMFILE);
    fail_no_more();
    cr_assert_neq(reads(), WEIR_IO_NONE);
    stop(rt);
}

Test(io_fault, without_a_ring_epoll_carries_the_operations)
{
    need_faults();
    unsigned before = descriptors_now();
    begin(2);
    fail_always(OS_FAULT_RING);
    cr_assert_eq(reads(), WEIR_IO_EPOLL);
    fail_no_more();
    stop(rt);
    cr_assert_eq(descriptors_now(), before);
}

Test(io_fault, without_a_ring_and_an_epoll_set_operations_are_refused)
{
    need_faults();
    begin(2);
    fail_always(OS_FAULT_RING);
    fail_always(OS_FAULT_EPOLL);
    is_refused(-EMFILE);
    fail_no_more();
    cr_assert_neq(reads(), WEIR_IO_NONE);
    stop(rt);
}

Test(io_fault, without_an_epoll_set_operations_are_refused_where_there_shall_be_no_ring)
{
    need_faults();
    no_uring = 1;
    begin(2);
    fail_always(OS_FAULT_EPOLL);
    is_refused(-EMFILE);
    fail_no_more();
    cr_assert_eq(reads(), WEIR_IO_EPOLL);
    stop(rt);
}

static unsigned failing; /* the n-th allocation */
static weir_atomic_u32 told; /* 1: started; 2: refused, for want of memory */

static int start_without_memory(weir_worker *w, struct one *o)
{
    fail_nth_allocation(failing);
    int r = start_read(w, o);
    set(&told, r == 0 ? 1 : r == -ENOMEM ? 2 : 3);
    return r;
}

/* Each allocation of the first operation fails once: it is refused, or ends with an error, or does without (epoll takes
 * less than a ring). */
Test(io_fault, every_allocation_of_a_first_operation_may_fail)
{
    need_faults();
    unsigned before = descriptors_now();
    unsigned refused = 0;
    for (failing = 1; failing <= 8; failing++) {
        struct one o = {0};
        set(&told, 0);
        begin(1);
        run(&o, start_without_memory, NOT_OPEN);
        while (get(&told) == 0)
            sleep_ms(1);
        cr_assert(get(&told) == 2 || (get(&told) == 1 && reaches(&o.over, 1)));
        cr_assert(get(&told) == 2 || o.result == -EBADF || o.result == -ENOMEM);
        fail_no_more();
        refused += get(&told) == 2;
        cr_assert_neq(reads(), WEIR_IO_NONE);
        stop(rt);
        cr_assert_eq(descriptors_now(), before);
    }
    cr_assert_gt(refused, 0);
}

#define MORE_THAN_A_RING_HOLDS 600u

/* What a ring has no room for, and the kernel does not take, is no error of the operation: it begins later. */
Test(io_fault, operations_that_the_kernel_does_not_take_begin_when_it_does)
{
    need_faults();
    static struct one o[MORE_THAN_A_RING_HOLDS];
    int p[2];
    begin(2);
    cr_assert_neq(reads(), WEIR_IO_NONE);
    cr_assert_eq(pipe(p), 0);
    fail_always(OS_FAULT_ENTER);
    for (unsigned i = 0; i < MORE_THAN_A_RING_HOLDS; i++)
        run(&o[i], start_readable, p[0]);
    let_it_begin();
    cr_assert_eq(write(p[1], "x", 1), 1);
    let_it_begin();
    fail_no_more();
    for (unsigned i = 0; i < MORE_THAN_A_RING_HOLDS; i++) {
        cr_assert(reaches(&o[i].over, 1));
        cr_assert_eq(o[i].started, 0);
        cr_assert(o[i].result > 0, "%lld", (long long)o[i].result);
    }
    stop(rt);
    close(p[0]);
    close(p[1]);
}

/* Meanwhile they end as others do: by a cancel, or at their deadline. */
Test(io_fault, operations_that_the_kernel_does_not_take_end_at_their_deadline_and_with_their_runtime)
{
    need_faults();
    static struct one o[MORE_THAN_A_RING_HOLDS];
    int p[2];
    begin(2);
    if (reads() != WEIR_IO_URING)
        cr_skip_test("no io_uring here");
    cr_assert_eq(pipe(p), 0);
    fail_always(OS_FAULT_ENTER);
    for (unsigned i = 0; i < MORE_THAN_A_RING_HOLDS; i++) {
        o[i].io.deadline = i % 2 == 0 ? in_ms(SHORT_MS) : WEIR_FOREVER;
        run(&o[i], start_readable, p[0]);
    }
    /* A ring's worth of them waits for the kernel, which knows of neither them nor their cancels. */
    let_it_begin();
    let_it_begin();
    unsigned late = 0;
    for (unsigned i = 0; i < MORE_THAN_A_RING_HOLDS; i += 2)
        late += get(&o[i].over) != 0 && o[i].result == -ETIME;
    cr_assert_gt(late, 0);
    fail_no_more();
    for (unsigned i = 0; i < MORE_THAN_A_RING_HOLDS; i += 2) {
        cr_assert(reaches(&o[i].over, 1));
        cr_assert_eq(o[i].result, -ETIME, "%lld", (long long)o[i].result);
    }
    cr_assert_eq(weir_stop(rt, WEIR_DISCARD, in_ms(LONG_TIME_MS)), 0);
    close(p[0]);
    close(p[1]);
}
