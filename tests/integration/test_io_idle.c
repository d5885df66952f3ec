/* SPDX-License-Identifier: MIT
 *
 * test_io_idle.c - who sees to operations on descriptors: whoever sleeps, works, blocks or stops, none is lost.
 */
#define _GNU_SOURCE
#include <sys/socket.h>

#include "io_rig.h"

TestSuite(io, .timeout = 120);

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

static weir_task *count_one(weir_worker *w, weir_task *t)
{
    (void)w;
    add((weir_atomic_u32 *)(t + 1), 1);
    return NULL;
}

BOTH(timers_reach_a_runtime_that_sleeps_in_the_poller)
{
    struct one o = {0};
    static struct {
        weir_task task;
        weir_atomic_u32 fired;
    } alarm;
    weir_timer timer, far;
    int p[2];
    cr_assert_eq(pipe(p), 0);
    begin(1);
    run(&o, start_read, p[0]);
    let_it_begin();
    weir_task_init(&alarm.task, count_one);
    weir_timer_init(&far);
    cr_assert_eq(weir_runtime_after(rt, 3600 * 1000 * NS_PER_MS, &far, &alarm.task), 0);
    let_it_begin();
    for (unsigned i = 1; i <= 20; i++) { /* each is earlier than what the keeper sleeps for */
        weir_timer_init(&timer);
        weir_task_init(&alarm.task, count_one);
        cr_assert_eq(weir_runtime_after(rt, i % 3 * NS_PER_MS, &timer, &alarm.task), 0);
        cr_assert(reaches(&alarm.fired, i), "%u", i);
    }
    cr_assert_eq(weir_timer_cancel(&far), 0);
    cr_assert_eq(get(&o.over), 0);
    cr_assert_eq(write(p[1], "x", 1), 1);
    cr_assert(reaches(&o.over, 1));
    stop(rt);
}

/* A task that is there again whenever it has run: its worker never runs dry. */
struct restless {
    weir_task task;
    struct one *o;
    weir_atomic_u32 ended;
};

static weir_task *run_again(weir_worker *w, weir_task *t)
{
    struct restless *r = (struct restless *)t;
    if (get(&r->o->over) != 0) {
        add(&r->ended, 1);
        return NULL;
    }
    weir_task_init(t, run_again);
    weir_push(w, t);
    return NULL;
}

BOTH(completions_reach_workers_that_never_run_dry)
{
    enum { WORKERS = 2 };
    struct one o = {0};
    static struct restless r[2 * WORKERS];
    int p[2];
    cr_assert_eq(pipe(p), 0);
    begin(WORKERS);
    for (unsigned i = 0; i < 2 * WORKERS; i++) {
        r[i] = (struct restless){.o = &o};
        weir_task_init(&r[i].task, run_again);
        cr_assert_eq(weir_submit(rt, &r[i].task, WEIR_BLOCK, 0), 0);
    }
    let_it_begin();
    run(&o, start_read, p[0]); /* is submitted, started, handed over and completed beside them */
    let_it_begin();
    cr_assert_eq(write(p[1], "x", 1), 1);
    cr_assert(reaches(&o.over, 1));
    cr_assert_eq(o.result, 1);
    for (unsigned i = 0; i < 2 * WORKERS; i++)
        cr_assert(reaches(&r[i].ended, 1));
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
