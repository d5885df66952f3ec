/* SPDX-License-Identifier: MIT
 *
 * test_stand_in.c - waits on workers that are all that is left: what they need is served while they wait.
 *
 * Threads: the test's own, and workers. Invariants: no runtime here has a spare worker.
 */
#include "support.h"

#define MANY 100u
#define DELAY_NS (2 * NS_PER_MS)

static weir_atomic_u32 ran, wrong;

static void count(weir_atomic_u32 *c)
{
    __atomic_add_fetch(&c->v, 1, __ATOMIC_SEQ_CST);
}

static uint32_t counted(const weir_atomic_u32 *c)
{
    return __atomic_load_n(&c->v, __ATOMIC_SEQ_CST);
}

static weir_runtime *start_without_spares(unsigned workers, bool no_uring)
{
    weir_config c = config_of(workers);
    c.spare_workers = 0;
    c.no_uring = no_uring;
    ran.v = wrong.v = 0;
    return start_config(&c);
}

static void end(weir_runtime *rt)
{
    cr_assert_eq(weir_stop(rt, WEIR_DRAIN, in_ms(LONG_TIME_MS)), 0);
    cr_assert_eq(counted(&wrong), 0);
}

static weir_task *leaf(weir_worker *w, weir_task *t)
{
    (void)w, (void)t;
    count(&ran);
    return NULL;
}

/* --- timers ------------------------------------------------------------------------------------------------------- */

struct alarm {
    weir_timer timer;
    weir_task task;
};

/* A scope whose only task is a timer's. */
static void wait_for_a_timer(weir_worker *w, void *arg)
{
    struct alarm a;
    weir_scope s;
    (void)arg;
    weir_scope_init(w, &s);
    weir_timer_init(&a.timer);
    weir_task_init(&a.task, leaf);
    weir_scope_add(&s, &a.task);
    if (weir_after(w, DELAY_NS, &a.timer, &a.task) != 0 || weir_scope_wait(w, &s) != 0)
        count(&wrong);
}

Test(stand_in, a_wait_on_the_only_worker_fires_its_timer)
{
    weir_runtime *rt = start_without_spares(1, false);
    cr_assert_eq(weir_call(rt, wait_for_a_timer, NULL), 0);
    cr_assert_eq(counted(&ran), 1);
    end(rt);
}

static weir_task *request(weir_worker *w, weir_task *t)
{
    (void)t;
    wait_for_a_timer(w, NULL);
    count(&ran);
    return NULL;
}

Test(stand_in, requests_that_all_wait_for_timers_come_to_an_end)
{
    static weir_task tasks[MANY];
    for (unsigned workers = 1; workers <= 3; workers++) {
        weir_runtime *rt = start_without_spares(workers, false);
        for (unsigned i = 0; i < MANY; i++) {
            weir_task_init(&tasks[i], request);
            cr_assert_eq(weir_submit(rt, &tasks[i], WEIR_BLOCK, 0), 0);
        }
        end(rt);
        cr_assert_eq(counted(&ran), 2 * MANY);
    }
}

/* --- operations --------------------------------------------------------------------------------------------------- */

struct reader {
    weir_task task;
    weir_io io;
    int fd[2];
    char byte;
};

static weir_task *has_read(weir_worker *w, weir_task *t)
{
    struct reader *r = (struct reader *)(void *)t;
    (void)w;
    count(r->io.result == 1 && r->byte == 'x' ? &ran : &wrong);
    return NULL;
}

static void wait_for_a_byte(weir_worker *w, void *arg)
{
    struct reader *r = arg;
    weir_scope s;
    weir_scope_init(w, &s);
    weir_task_init(&r->task, has_read);
    weir_io_init(&r->io, &r->task);
    weir_scope_add(&s, &r->task);
    if (weir_io_read(w, &r->io, r->fd[0], &r->byte, 1, WEIR_IO_HERE) != 0 || weir_scope_wait(w, &s) != 0)
        count(&wrong);
}

static void *write_later(void *arg)
{
    struct reader *r = arg;
    sleep_ms(20);
    if (write(r->fd[1], "x", 1) != 1)
        count(&wrong);
    return NULL;
}

static void read_on_the_only_worker(bool no_uring)
{
    struct reader r;
    pthread_t writer;
    weir_runtime *rt = start_without_spares(1, no_uring);
    cr_assert_eq(pipe(r.fd), 0);
    cr_assert_eq(pthread_create(&writer, NULL, write_later, &r), 0);
    cr_assert_eq(weir_call(rt, wait_for_a_byte, &r), 0);
    cr_assert_eq(counted(&ran), 1);
    pthread_join(writer, NULL);
    end(rt);
    close(r.fd[0]);
    close(r.fd[1]);
}

Test(stand_in, a_wait_on_the_only_worker_completes_its_operation_with_uring)
{
    read_on_the_only_worker(false);
}

Test(stand_in, a_wait_on_the_only_worker_completes_its_operation_with_epoll)
{
    read_on_the_only_worker(true);
}

/* --- submitted work ----------------------------------------------------------------------------------------------- */

struct from_outside {
    weir_runtime *rt;
    weir_task task;
};

static void *submit_later(void *arg)
{
    struct from_outside *o = arg;
    sleep_ms(20);
    if (weir_submit(o->rt, &o->task, WEIR_BLOCK, 0) != 0)
        count(&wrong);
    return NULL;
}

/* A scope whose only task is submitted by another thread. */
static void wait_for_submitter(weir_worker *w, struct from_outside *o, void *(*submit)(void *))
{
    pthread_t submitter;
    weir_scope s;
    weir_scope_init(w, &s);
    weir_task_init(&o->task, leaf);
    weir_scope_add(&s, &o->task);
    if (pthread_create(&submitter, NULL, submit, o) != 0 || weir_scope_wait(w, &s) != 0)
        count(&wrong);
    pthread_join(submitter, NULL);
}

static void wait_for_a_submit(weir_worker *w, void *arg)
{
    wait_for_submitter(w, arg, submit_later);
}

Test(stand_in, a_wait_on_the_only_worker_runs_what_is_submitted)
{
    struct from_outside o = {.rt = start_without_spares(1, false)};
    cr_assert_eq(weir_call(o.rt, wait_for_a_submit, &o), 0);
    cr_assert_eq(counted(&ran), 1);
    end(o.rt);
}

/* --- what lies beneath -------------------------------------------------------------------------------------------- */

static weir_latch beneath_ran;

static weir_task *arrive_at_latch(weir_worker *w, weir_task *t)
{
    (void)w, (void)t;
    count(&ran);
    weir_latch_arrive(&beneath_ran, 1);
    return NULL;
}

static void *submit_after_latch(void *arg)
{
    struct from_outside *o = arg;
    if (weir_latch_wait(&beneath_ran, WEIR_FOREVER) != 0 || weir_submit(o->rt, &o->task, WEIR_BLOCK, 0) != 0)
        count(&wrong);
    return NULL;
}

/* The task that ends the wait comes only after one that the waiter has pushed before. */
static void wait_above_a_task(weir_worker *w, void *arg)
{
    static weir_task below;
    weir_task_init(&below, arrive_at_latch);
    weir_push(w, &below);
    wait_for_submitter(w, arg, submit_after_latch);
}

Test(stand_in, a_wait_on_the_only_worker_runs_what_lies_beneath_it)
{
    struct from_outside o = {.rt = start_without_spares(1, false)};
    cr_assert_eq(weir_latch_init(&beneath_ran, 1), 0);
    cr_assert_eq(weir_call(o.rt, wait_above_a_task, &o), 0);
    end(o.rt);
    cr_assert_eq(counted(&ran), 2);
}

/* --- beside a blocked worker -------------------------------------------------------------------------------------- */

static int blocked_on[2];

static weir_task *write_byte(weir_worker *w, weir_task *t)
{
    (void)w, (void)t;
    count(write(blocked_on[1], "x", 1) == 1 ? &ran : &wrong);
    return NULL;
}

/* Blocks until a task has run for which only the other worker is left, which waits for this one. */
static weir_task *block_for_a_byte(weir_worker *w, weir_task *t)
{
    char byte;
    (void)t;
    static struct alarm a;
    weir_timer_init(&a.timer);
    weir_task_init(&a.task, write_byte);
    sleep_ms(20); /* by then the other worker waits */
    if (weir_after(w, 20 * NS_PER_MS, &a.timer, &a.task) != 0 || weir_block_begin(w) != 0 ||
        read(blocked_on[0], &byte, 1) != 1 || weir_block_end(w) != 0)
        count(&wrong);
    return NULL;
}

static void wait_for_the_blocked(weir_worker *w, void *arg)
{
    static weir_task t;
    weir_scope s;
    (void)arg;
    weir_scope_init(w, &s);
    weir_task_init(&t, block_for_a_byte);
    weir_scope_add(&s, &t);
    if (weir_submit_to(weir_worker_runtime(w), 1 - weir_worker_index(w), &t, WEIR_TRY, 0) != 0 ||
        weir_scope_wait(w, &s) != 0)
        count(&wrong);
}

Test(stand_in, a_waiter_takes_over_when_the_last_other_worker_blocks)
{
    weir_runtime *rt = start_without_spares(2, false);
    cr_assert_eq(pipe(blocked_on), 0);
    cr_assert_eq(weir_call(rt, wait_for_the_blocked, NULL), 0);
    cr_assert_eq(counted(&ran), 1);
    end(rt);
}
