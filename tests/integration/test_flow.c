/* SPDX-License-Identifier: MIT
 *
 * test_flow.c - what must hold for dataflow tasks: order by address, bounded memory, ends.
 */
#include "graph_support.h"

TestSuite(flow, .timeout = 100);

/* A flow on a runtime of its own. */
struct flow_rig {
    weir_runtime *rt;
    weir_flow *f;
};

static struct flow_rig start_flow(unsigned workers, uint32_t live)
{
    struct flow_rig r = {.rt = start(workers)};
    OK(weir_flow_create(r.rt, live, &r.f));
    return r;
}

static void end_flow(struct flow_rig r)
{
    OK(weir_flow_destroy(r.f));
    stop(r.rt);
}

#define DATA 16u
#define TASKS 4000u

/* What a task must find where it reads: what a serial execution would have found. */
static struct {
    long value[DATA];
    long shadow[DATA];
    struct op {
        uint32_t from, to;
        long expect;
    } op[TASKS];
    weir_atomic_u32 wrong, ran;
} data;

static int move(weir_worker *w, void *arg)
{
    struct op *op = arg;
    (void)w;
    if (data.value[op->from] != op->expect)
        add(&data.wrong, 1);
    data.value[op->to] = (op->expect * 3 + 1) % 65536;
    add(&data.ran, 1);
    return 0;
}

struct flow_job {
    weir_runtime *rt;
    uint32_t live;
    unsigned seed;
};

static void moves_in_a_flow(struct flow_job *job)
{
    weir_flow *f;
    OK(weir_flow_create(job->rt, job->live, &f));
    memset(&data, 0, sizeof data);
    for (uint32_t i = 0; i < TASKS; i++) {
        struct op *op = &data.op[i];
        op->from = (uint32_t)rand_r(&job->seed) % DATA;
        op->to = (uint32_t)rand_r(&job->seed) % DATA;
        op->expect = data.shadow[op->from];
        data.shadow[op->to] = (op->expect * 3 + 1) % 65536;
    }
    for (uint32_t i = 0; i < TASKS; i++) {
        struct op *op = &data.op[i];
        weir_dep deps[] = {{&data.value[op->from], WEIR_IN}, {&data.value[op->to], WEIR_INOUT}};
        OK(weir_flow_add(f, move, op, deps, 2, WEIR_FOREVER));
    }
    OK(weir_flow_wait(f));
    cr_assert_eq(get(&data.wrong), 0);
    cr_assert_eq(get(&data.ran), TASKS);
    OK(weir_flow_destroy(f));
}

static void moves_on_a_worker(weir_worker *w, void *job)
{
    (void)w;
    moves_in_a_flow(job);
}

Test(flow, each_task_finds_what_a_serial_execution_would_have_left)
{
    for (unsigned i = 0; i < 12; i++) {
        weir_runtime *rt = start(1 + i % 3);
        struct flow_job job = {rt, i % 2 ? 8 : 1000, i};
        if (i < 6)
            moves_in_a_flow(&job);
        else
            call(rt, moves_on_a_worker, &job);
        stop(rt);
    }
}

static struct {
    weir_atomic_u32 readers, writers, wrong, ran;
    weir_atomic_u32 gate; /* 1: the first task may end */
} share;

static int reads(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    add(&share.readers, 1);
    if (get(&share.writers) != 0)
        add(&share.wrong, 1);
    usleep(10);
    add(&share.readers, UINT32_MAX);
    add(&share.ran, 1);
    return 0;
}

static int writes(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    if (add(&share.writers, 1) != 1 || get(&share.readers) != 0)
        add(&share.wrong, 1);
    add(&share.writers, UINT32_MAX);
    add(&share.ran, 1);
    return 0;
}

Test(flow, a_writer_excludes_all_readers_however_many)
{
    struct flow_rig r = start_flow(4, 200);
    weir_dep in = {&share, WEIR_IN}, out = {&share, WEIR_OUT};
    for (uint32_t i = 0; i < 3000; i++)
        OK(weir_flow_add(r.f, i % 30 == 0 ? writes : reads, NULL, i % 30 == 0 ? &out : &in, 1, WEIR_FOREVER));
    OK(weir_flow_wait(r.f));
    cr_assert_eq(get(&share.wrong), 0);
    cr_assert_eq(get(&share.ran), 3000);
    end_flow(r);
}

static int wait_for_gate(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    return reaches(&share.gate, 1) ? 0 : -ETIME;
}

Test(flow, a_full_flow_says_so_and_has_room_again)
{
    struct flow_rig r = start_flow(1, 4);
    weir_dep one = {&share, WEIR_INOUT};
    for (int i = 0; i < 4; i++)
        OK(weir_flow_add(r.f, wait_for_gate, NULL, &one, 1, 0));
    cr_assert_eq(weir_flow_add(r.f, wait_for_gate, NULL, &one, 1, 0), -EAGAIN);
    cr_assert_eq(weir_flow_add(r.f, wait_for_gate, NULL, &one, 1, in_ms(5)), -ETIMEDOUT);
    set(&share.gate, 1);
    OK(weir_flow_add(r.f, wait_for_gate, NULL, &one, 1, WEIR_FOREVER));
    end_flow(r);
}

Test(flow, an_error_skips_what_has_not_begun)
{
    struct flow_rig r = start_flow(2, 0);
    weir_dep one = {&share, WEIR_INOUT};
    OK(weir_flow_add(r.f, wait_for_gate, NULL, &one, 1, 0));
    OK(weir_flow_add(r.f, fails, NULL, &one, 1, 0));
    OK(weir_flow_add(r.f, writes, NULL, &one, 1, 0));
    set(&share.gate, 1);
    cr_assert_eq(weir_flow_wait(r.f), -EIO);
    cr_assert_eq(get(&share.ran), 0);
    OK(weir_flow_add(r.f, writes, NULL, &one, 1, 0));
    OK(weir_flow_wait(r.f));
    cr_assert_eq(get(&share.ran), 1);
    cr_assert_eq(weir_flow_add(r.f, NULL, NULL, &one, 1, 0), -EINVAL);
    one.access = (weir_access)0;
    cr_assert_eq(weir_flow_add(r.f, writes, NULL, &one, 1, 0), -EINVAL);
    end_flow(r);
}

Test(flow, a_runtime_that_stops_ends_the_flow)
{
    struct flow_rig r = start_flow(2, 100);
    weir_dep one = {&share, WEIR_INOUT};
    for (int i = 0; i < 100; i++)
        OK(weir_flow_add(r.f, reads, NULL, &one, 1, WEIR_FOREVER));
    OK(weir_stop(r.rt, WEIR_DISCARD, WEIR_FOREVER));
    cr_assert_eq(weir_flow_add(r.f, reads, NULL, &one, 1, WEIR_FOREVER), -ESHUTDOWN);
    int ended = weir_flow_destroy(r.f);
    cr_assert(ended == -ECANCELED || ended == 0);
}

/* Records are used again and again: more often than a generation has numbers. */
#define GENERATIONS 70000u

static int is_next(weir_worker *w, void *arg)
{
    (void)w;
    if (data.value[0]++ != (long)(uintptr_t)arg)
        add(&data.wrong, 1);
    return 0;
}

Test(flow, records_are_used_again_without_end)
{
    struct flow_rig r = start_flow(2, 2);
    weir_dep deps[] = {{&data.value[0], WEIR_INOUT}, {&data.value[1], WEIR_IN}};
    for (uint32_t i = 0; i < 2 * GENERATIONS; i++)
        OK(weir_flow_add(r.f, is_next, (void *)(uintptr_t)i, deps, 1 + i % 2, WEIR_FOREVER));
    end_flow(r);
    cr_assert_eq(get(&data.wrong), 0);
    cr_assert_eq(data.value[0], 2 * GENERATIONS);
}

#define MOST_BEFORE 40u

static int writes_own(weir_worker *w, void *arg)
{
    (void)w;
    usleep(1);
    *(long *)arg = 1;
    return 0;
}

/* All that came before it has ended; then as at the beginning. */
static int sees_all(weir_worker *w, void *arg)
{
    uint32_t n = (uint32_t)(uintptr_t)arg;
    (void)w;
    for (uint32_t i = 0; i < n; i++) {
        if (((long *)data.op)[i] != 1)
            add(&data.wrong, 1);
        ((long *)data.op)[i] = 0;
    }
    add(&data.ran, 1);
    return 0;
}

Test(flow, a_task_waits_for_all_that_come_before_it_however_many)
{
    struct flow_rig r = start_flow(3, 100);
    weir_dep deps[2 * MOST_BEFORE];
    long *own = (long *)data.op;
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t n = 0; n <= MOST_BEFORE; n++) {
            for (uint32_t i = 0; i < n; i++) {
                weir_dep out = {&own[i], WEIR_OUT};
                OK(weir_flow_add(r.f, writes_own, &own[i], &out, 1, WEIR_FOREVER));
                deps[2 * i] = deps[2 * i + 1] = (weir_dep){&own[i], WEIR_INOUT}; /* each is named twice */
                deps[2 * i + 1].access = i % 2 == 0 ? WEIR_IN : WEIR_OUT;
            }
            OK(weir_flow_add(r.f, sees_all, (void *)(uintptr_t)n, deps, 2 * n, WEIR_FOREVER));
        }
    }
    end_flow(r);
    cr_assert_eq(get(&data.wrong), 0);
    cr_assert_eq(get(&data.ran), 20 * (MOST_BEFORE + 1));
}

static void adds_elsewhere(weir_worker *w, void *flow)
{
    (void)w;
    set(&share.ran, (uint32_t)-weir_flow_add(flow, fails, NULL, NULL, 0, 0));
}

Test(flow, bad_arguments_are_refused_and_nothing_is_added)
{
    weir_runtime *rt = start(1);
    weir_flow *f = NULL, *none = NULL;
    weir_dep one = {&share, WEIR_INOUT};
    cr_assert_eq(weir_flow_create(rt, 0, NULL), -EINVAL);
    cr_assert_eq(weir_flow_create(rt, WEIR_FLOW_LIVE_MAX + 1, &none), -EINVAL);
    cr_assert_eq(weir_flow_create(NULL, 0, &none), -EINVAL);
    cr_assert_null(none);
    OK(weir_flow_create(rt, 1, &f));
    cr_assert_eq(weir_flow_add(NULL, fails, NULL, &one, 1, 0), -EINVAL);
    cr_assert_eq(weir_flow_add(f, NULL, NULL, &one, 1, 0), -EINVAL);
    cr_assert_eq(weir_flow_add(f, fails, NULL, NULL, 1, 0), -EINVAL);
    one.access = (weir_access)7;
    cr_assert_eq(weir_flow_add(f, fails, NULL, &one, 1, 0), -EINVAL);
    call(rt, adds_elsewhere, f);
    cr_assert_eq(get(&share.ran), EINVAL, "not by who made it");
    cr_assert_eq(weir_flow_wait(NULL), -EINVAL);
    OK(weir_flow_destroy(f));
    stop(rt);
}

static weir_flow *own_flow;

static int uses_its_own_flow(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    cr_assert_eq(weir_flow_add(own_flow, fails, NULL, NULL, 0, WEIR_FOREVER), -EINVAL);
    cr_assert_eq(weir_flow_wait(own_flow), -EINVAL);
    cr_assert_eq(weir_flow_destroy(own_flow), -EINVAL);
    add(&share.ran, 1);
    return 0;
}

static void runs_tasks_that_use_their_flow(weir_worker *w, void *arg)
{
    (void)arg;
    OK(weir_flow_create(weir_worker_runtime(w), 1, &own_flow));
    for (int i = 0; i < 3; i++) /* while the second is added the first runs, to make room */
        OK(weir_flow_add(own_flow, uses_its_own_flow, NULL, NULL, 0, WEIR_FOREVER));
    OK(weir_flow_wait(own_flow));
    OK(weir_flow_add(own_flow, uses_its_own_flow, NULL, NULL, 0, WEIR_FOREVER));
    OK(weir_flow_destroy(own_flow));
}

/* Addresses that come and go: the table drops them, moves them to other places and grows; who wrote last and who reads
 * stays known. */
#define PLACES 20000u
#define WINDOW 3000u /* addresses in use at a time: more than the table holds at first */

static struct {
    uint32_t written[PLACES]; /* how often; plain: ordered by the flow */
    weir_atomic_u32 wrong, ran;
} places;

/* arg: place * 4 + what it must find, modulo 4. Writes there, reads before it. */
static int visits_places(weir_worker *w, void *arg)
{
    uint32_t at = (uint32_t)((uintptr_t)arg / 4), before = at == 0 ? PLACES - 1 : at - 1;
    (void)w;
    if (places.written[at] % 4 != (uintptr_t)arg % 4)
        add(&places.wrong, 1);
    places.written[at]++;
    if (places.written[before] == UINT32_MAX)
        add(&places.wrong, 1);
    add(&places.ran, 1);
    return 0;
}

static void visits_in_a_flow(weir_flow *f, uint32_t seed)
{
    static uint32_t shadow[PLACES];
    uint32_t tasks = 0;
    memset(&places, 0, sizeof places);
    memset(shadow, 0, sizeof shadow);
    for (uint32_t from = 0; from < PLACES; from += WINDOW / 3)
        for (uint32_t i = 0; i < WINDOW; i++, tasks++) {
            uint32_t at = (from + (uint32_t)rand_r(&seed) % WINDOW) % PLACES, before = at == 0 ? PLACES - 1 : at - 1;
            weir_dep deps[] = {{&places.written[at], WEIR_INOUT}, {&places.written[before], WEIR_IN}};
            void *arg = (void *)(uintptr_t)(at * 4 + shadow[at]++ % 4);
            OK(weir_flow_add(f, visits_places, arg, deps, 2, WEIR_FOREVER));
        }
    OK(weir_flow_wait(f));
    cr_assert_eq(get(&places.ran), tasks);
    cr_assert_eq(get(&places.wrong), 0);
    for (uint32_t i = 0; i < PLACES; i++)
        cr_assert_eq(places.written[i], shadow[i]);
}

static void visits_on_a_worker(weir_worker *w, void *f)
{
    OK(weir_flow_create(weir_worker_runtime(w), 5000, (weir_flow **)f));
    visits_in_a_flow(*(weir_flow **)f, 1);
    visits_in_a_flow(*(weir_flow **)f, 2);
    OK(weir_flow_destroy(*(weir_flow **)f));
}

Test(flow, addresses_that_come_and_go_keep_their_order)
{
    static const uint32_t live[] = {16, 700, 20000};
    weir_flow *on_worker;
    for (unsigned i = 0; i < 3; i++) {
        struct flow_rig r = start_flow(1 + i, live[i]);
        visits_in_a_flow(r.f, i);
        end_flow(r);
    }
    weir_runtime *rt = start(2);
    call(rt, visits_on_a_worker, &on_worker);
    stop(rt);
}

/* It would wait for itself. */
Test(flow, a_task_that_waits_for_its_own_flow_is_refused)
{
    weir_runtime *rt = start(1);
    call(rt, runs_tasks_that_use_their_flow, NULL);
    cr_assert_eq(get(&share.ran), 4);
    stop(rt);
}

Test(flow, a_cancel_skips_what_has_not_begun)
{
    struct flow_rig r = start_flow(1, 0);
    weir_dep one = {&share, WEIR_INOUT};
    OK(weir_flow_add(r.f, wait_for_gate, NULL, &one, 1, 0));
    for (int i = 0; i < 100; i++)
        OK(weir_flow_add(r.f, writes, NULL, &one, 1, 0));
    weir_flow_cancel(NULL);
    weir_flow_cancel(r.f);
    cr_assert_eq(weir_flow_add(r.f, writes, NULL, &one, 1, 0), -ECANCELED);
    set(&share.gate, 1);
    cr_assert_eq(weir_flow_wait(r.f), -ECANCELED);
    cr_assert_eq(get(&share.ran), 0);
    OK(weir_flow_add(r.f, writes, NULL, &one, 1, 0));
    end_flow(r);
    cr_assert_eq(get(&share.ran), 1);
}
