/* SPDX-License-Identifier: MIT
 *
 * test_gate.c - what must hold for gates: the limit, those who wait for room, and requests that are suspended.
 */
#include "support.h"

TestSuite(gate, .timeout = 120);

Test(gate, limit_is_kept)
{
    weir_gate g;
    weir_pass p[3];
    cr_assert_eq(weir_gate_init(&g, 2), 0);
    cr_assert_eq(weir_gate_enter(&g, &p[0]), 0);
    cr_assert_eq(weir_gate_enter(&g, &p[1]), 0);
    cr_assert_eq(weir_gate_enter(&g, &p[2]), -EAGAIN);
    cr_assert_eq(weir_gate_inside(&g), 2);
    weir_gate_leave(&p[0]);
    cr_assert_eq(weir_gate_enter(&g, &p[2]), 0);
    weir_gate_leave(&p[1]);
    weir_gate_leave(&p[2]);
    cr_assert_eq(weir_gate_inside(&g), 0);
}

Test(gate, bad_arguments_are_refused)
{
    weir_gate g = {.limit = 7};
    weir_pass p;
    cr_assert_eq(weir_gate_init(NULL, 1), -EINVAL);
    cr_assert_eq(weir_gate_init(&g, 0), -EINVAL);
    cr_assert_eq(weir_gate_init(&g, WEIR_GATE_MAX + 1), -EINVAL);
    cr_assert_eq(g.limit, 7);
    cr_assert_eq(weir_gate_init(&g, 1), 0);
    cr_assert_eq(weir_gate_enter(NULL, &p), -EINVAL);
    cr_assert_eq(weir_gate_enter(&g, NULL), -EINVAL);
    cr_assert_eq(weir_gate_enter_until(&g, NULL, 0), -EINVAL);
    weir_gate_leave(NULL);
    cr_assert_eq(weir_gate_inside(NULL), 0);
    cr_assert_eq(weir_gate_inside(&g), 0);
}

Test(gate, wait_for_room_ends_at_its_deadline)
{
    weir_gate g;
    weir_pass p[2];
    cr_assert_eq(weir_gate_init(&g, 1), 0);
    cr_assert_eq(weir_gate_enter_until(&g, &p[0], in_ms(1)), 0);
    uint64_t end = in_ms(20);
    cr_assert_eq(weir_gate_enter_until(&g, &p[1], end), -ETIMEDOUT);
    cr_assert_geq(weir_now(), end);
}

static void enter_on_worker(weir_worker *w, void *arg)
{
    weir_pass p;
    (void)w;
    cr_assert_eq(weir_gate_enter_until(arg, &p, WEIR_FOREVER), -EDEADLK);
}

Test(gate, worker_does_not_wait_for_room)
{
    weir_gate g;
    weir_pass p;
    weir_runtime *rt = start(1);
    cr_assert_eq(weir_gate_init(&g, 1), 0);
    cr_assert_eq(weir_gate_enter(&g, &p), 0);
    call(rt, enter_on_worker, &g);
    stop(rt);
}

#define THREADS 4
#define ROUNDS 20000
#define LIMIT 2u

static weir_gate shared;
static weir_atomic_u32 inside, most;

static void *come_and_go(void *arg)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        weir_pass p;
        cr_assert_eq(weir_gate_enter_until(&shared, &p, WEIR_FOREVER), 0);
        uint32_t n = add(&inside, 1);
        if (n > get(&most))
            set(&most, n);
        if (i % 64 == 0)
            sched_yield();
        __atomic_sub_fetch(&inside.v, 1, __ATOMIC_ACQ_REL);
        weir_gate_leave(&p);
    }
    return arg;
}

Test(gate, threads_that_wait_all_come_in_and_never_too_many)
{
    pthread_t t[THREADS];
    cr_assert_eq(weir_gate_init(&shared, LIMIT), 0);
    for (unsigned i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&t[i], NULL, come_and_go, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    cr_assert_leq(get(&most), LIMIT);
    cr_assert_eq(weir_gate_inside(&shared), 0);
}

/* A request that reads, and is counted until the task that found what it read has run. */
struct request {
    weir_task task;
    weir_io io;
    weir_pass pass;
    int fd;
    char byte;
    bool waited;
};

static weir_atomic_u32 served;

static weir_task *step(weir_worker *w, weir_task *t)
{
    struct request *r = (struct request *)t;
    if (r->waited) {
        cr_assert_eq(r->io.result, 1);
        add(&served, 1);
        return weir_release(&r->pass.task);
    }
    r->waited = true;
    weir_io_init(&r->io, t);
    cr_assert_eq(weir_io_read(w, &r->io, r->fd, &r->byte, 1, WEIR_IO_HERE), 0);
    return NULL;
}

Test(gate, suspended_requests_are_counted)
{
    enum { N = 8 };
    static struct request r[N + 1];
    weir_gate g;
    int p[2];
    weir_runtime *rt = start(2);
    cr_assert_eq(pipe(p), 0);
    cr_assert_eq(weir_gate_init(&g, N), 0);
    for (unsigned i = 0; i < N; i++) {
        r[i].fd = p[0];
        weir_task_init(&r[i].task, step);
        cr_assert_eq(weir_gate_enter(&g, &r[i].pass), 0);
        cr_assert_eq(weir_submit(rt, &r[i].task, WEIR_BLOCK, 0), 0);
    }
    sleep_ms(20); /* they have begun: no queue holds them any more */
    cr_assert_eq(weir_gate_enter(&g, &r[N].pass), -EAGAIN);
    cr_assert_eq(write(p[1], "abc", 3), 3);
    cr_assert(reaches(&served, 3));
    cr_assert_eq(weir_gate_enter_until(&g, &r[N].pass, in_ms(LONG_TIME_MS)), 0);
    weir_gate_leave(&r[N].pass);
    cr_assert_eq(write(p[1], "defgh", N - 3), N - 3);
    stop(rt);
    cr_assert_eq(weir_gate_inside(&g), 0);
}
