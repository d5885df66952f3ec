/* SPDX-License-Identifier: MIT
 *
 * test_task.c - what must hold for tasks: their state, continuations, tail calls, pooled records, latches.
 */
#include "../integration/support.h"
#include "task/state.h"

TestSuite(task, .timeout = 60);

static weir_atomic_u32 ran, order;

static weir_task *count_one(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    add(&ran, 1);
    return NULL;
}

static weir_task *brief(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    usleep(50);
    add(&ran, 1);
    return NULL;
}

/* --- the state word ------------------------------------------------------------------------------------------- */

Test(task, ready_task_owes_nothing_and_a_continuation_what_it_was_given)
{
    weir_task t;
    weir_task_init(&t, count_one);
    cr_assert_eq(state_owed(&t), 0);
    weir_continuation_init(&t, count_one, 0x7fffffff);
    cr_assert_eq(state_owed(&t), 0x7fffffff);
    cr_assert_null(t.then);
}

Test(task, release_returns_the_continuation_to_the_last_payer_only)
{
    weir_task cont;
    weir_continuation_init(&cont, count_one, 3);
    cr_assert_null(weir_release(&cont));
    weir_owe(&cont, 2);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_null(weir_release(&cont));
    cr_assert_eq(weir_release(&cont), &cont);
}

Test(task, forked_task_changes_its_form_when_it_is_taken)
{
    _Alignas(8) char slot[8];
    for (int waiter_first = 0; waiter_first < 2; waiter_first++) {
        weir_task t;
        t.state.v = (uintptr_t)slot | STATE_FORKED;
        cr_assert_eq(state_thief(t.state.v), 0);
        cr_assert_not(state_is_done(&t));
        if (waiter_first)
            cr_assert_eq(state_begin_wait_forked(&t, 6) & STATE_DONE, 0);
        state_set_thief(&t, 1087);
        cr_assert_eq(state_thief(t.state.v), 1088);
        if (!waiter_first)
            cr_assert_eq(state_begin_wait_forked(&t, 6) & STATE_DONE, 0);
        uint64_t old = state_finish_forked(&t);
        cr_assert(old & STATE_WAITS);
        cr_assert_eq(state_waiter(old), 7);
        cr_assert(state_is_done(&t));
        cr_assert(state_begin_wait_forked(&t, 6) & STATE_DONE, "nothing is left to wait for");
    }
}

Test(task, finisher_that_is_first_finds_nobody_to_wake)
{
    weir_task t;
    t.state.v = STATE_FORKED;
    state_take(&t);
    cr_assert_eq(state_finish_forked(&t) & STATE_WAITS, 0);
    cr_assert(state_begin_wait_forked(&t, 0) & STATE_DONE);
}

/* --- tail calls and continuations ----------------------------------------------------------------------------- */

struct counter {
    weir_task task;
    uint32_t left;
    uintptr_t lowest, highest; /* addresses on the stack */
};

static weir_task *again(weir_worker *w, weir_task *self)
{
    struct counter *c = (struct counter *)self;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    (void)w;
    if (c->lowest == 0 || here < c->lowest)
        c->lowest = here;
    if (here > c->highest)
        c->highest = here;
    add(&ran, 1);
    return --c->left > 0 ? self : NULL;
}

Test(task, million_long_chain_of_returned_tasks_needs_no_stack)
{
    static struct counter c;
    weir_runtime *rt = start(2);
    weir_task_init(&c.task, again);
    c.left = 1000000;
    submit_ready(rt, &c.task);
    weir_stats s = stop_and_read(rt, WEIR_DRAIN);
    cr_assert_eq(get(&ran), 1000000);
    cr_assert_eq(s.total.tasks_run, 1000000);
    cr_assert_eq(c.highest - c.lowest, 0, "the stack has grown");
}

static weir_task chain[300000];
static weir_atomic_u32 out_of_order;

static weir_task *next_in_order(weir_worker *w, weir_task *self)
{
    (void)w;
    if (add(&order, 1) != (uint32_t)(self - chain) + 1)
        set(&out_of_order, 1);
    return NULL;
}

Test(task, long_chain_of_continuations_runs_in_order)
{
    const uint32_t n = sizeof chain / sizeof chain[0];
    weir_config c = config_of(2);
    c.stack_size = 512u << 10;
    weir_runtime *rt = start_config(&c);
    weir_task_init(&chain[0], next_in_order);
    for (uint32_t i = 1; i < n; i++) {
        weir_continuation_init(&chain[i], next_in_order, 1);
        weir_task_then(&chain[i - 1], &chain[i]);
    }
    submit_ready(rt, &chain[0]);
    stop(rt);
    cr_assert_eq(get(&order), n);
    cr_assert_eq(get(&out_of_order), 0);
}

#define PAYERS 64u

struct fan {
    weir_task cont;
    weir_task payer[PAYERS];
    weir_atomic_u32 paid;
    uint32_t paid_before_cont;
};

static weir_task *pay(weir_worker *w, weir_task *self)
{
    struct fan *f = (struct fan *)self->then;
    (void)w;
    add(&f->paid, 1);
    return NULL;
}

static weir_task *collect(weir_worker *w, weir_task *self)
{
    struct fan *f = (struct fan *)self;
    (void)w;
    f->paid_before_cont = get(&f->paid);
    add(&ran, 1);
    return NULL;
}

Test(task, continuation_runs_once_after_all_its_payers)
{
    static struct fan f[200];
    weir_runtime *rt = start(4);
    for (unsigned i = 0; i < 200; i++) {
        weir_continuation_init(&f[i].cont, collect, PAYERS);
        for (unsigned j = 0; j < PAYERS; j++) {
            weir_task_init(&f[i].payer[j], pay);
            weir_task_then(&f[i].payer[j], &f[i].cont);
        }
        for (unsigned j = 0; j < PAYERS; j++)
            submit_ready(rt, &f[i].payer[j]);
    }
    stop(rt);
    cr_assert_eq(get(&ran), 200);
    for (unsigned i = 0; i < 200; i++)
        cr_assert_eq(f[i].paid_before_cont, PAYERS);
}

/* A payer puts children of its own in front of the continuation, and returns one of them. */
struct late {
    weir_task cont, payer, child[10];
};

static weir_task *owe_more(weir_worker *w, weir_task *self)
{
    struct late *l = (struct late *)((char *)self - offsetof(struct late, payer));
    weir_owe(&l->cont, 10);
    for (unsigned i = 0; i < 10; i++) {
        weir_task_init(&l->child[i], brief);
        weir_task_then(&l->child[i], &l->cont);
        if (i > 0)
            weir_spawn(w, &l->child[i]);
    }
    return &l->child[0];
}

static weir_task *expect_ten(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    if (get(&ran) == 10)
        add(&order, 1);
    return NULL;
}

Test(task, payer_may_owe_more_before_it_pays)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        static struct late l;
        set(&ran, 0), set(&order, 0);
        weir_runtime *rt = start(workers);
        weir_continuation_init(&l.cont, expect_ten, 1);
        weir_task_init(&l.payer, owe_more);
        weir_task_then(&l.payer, &l.cont);
        submit_ready(rt, &l.payer);
        stop(rt);
        cr_assert_eq(get(&order), 1);
    }
}

/* A task's own return value and its continuation both become ready: both run. */
static weir_task returned;

static weir_task *return_another(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    add(&ran, 1);
    return &returned;
}

Test(task, returned_task_and_continuation_both_run)
{
    static weir_task first, cont;
    weir_runtime *rt = start(1);
    weir_task_init(&first, return_another);
    weir_task_init(&returned, count_one);
    weir_continuation_init(&cont, count_one, 1);
    weir_task_then(&first, &cont);
    submit_ready(rt, &first);
    stop(rt);
    cr_assert_eq(get(&ran), 3);
}

/* The record may be freed by its own run. */
static weir_task *free_self(weir_worker *w, weir_task *self)
{
    (void)w;
    memset(self, 0xff, sizeof *self);
    free(self);
    add(&ran, 1);
    return NULL;
}

Test(task, run_may_free_the_record)
{
    weir_runtime *rt = start(2);
    for (unsigned i = 0; i < 1000; i++) {
        weir_task *t = malloc(sizeof *t);
        cr_assert_not_null(t);
        weir_task_init(t, free_self);
        submit_ready(rt, t);
    }
    stop(rt);
    cr_assert_eq(get(&ran), 1000);
}

/* --- pooled records ------------------------------------------------------------------------------------------- */

Test(task, pooled_task_with_bad_arguments_is_refused)
{
    weir_task *t = &chain[0];
    cr_assert_eq(weir_task_new(NULL, NULL, 8, &t), -EINVAL);
    cr_assert_eq(weir_task_new(NULL, count_one, WEIR_PAYLOAD_MAX + 1, &t), -EINVAL);
    cr_assert_eq(weir_task_new(NULL, count_one, SIZE_MAX, &t), -EINVAL);
    cr_assert_eq(weir_task_new(NULL, count_one, 8, NULL), -EINVAL);
    cr_assert_eq(t, &chain[0]);
    weir_task_free(NULL);
}

Test(task, pooled_task_never_run_is_given_back)
{
    for (size_t size = 0; size <= WEIR_PAYLOAD_MAX; size += 63) {
        weir_task *t = NULL;
        cr_assert_eq(weir_task_new(NULL, count_one, size, &t), 0);
        cr_assert_eq((uintptr_t)weir_task_payload(t) % 16, 0);
        memset(weir_task_payload(t), 0xee, size);
        weir_task_free(t);
    }
}

static weir_task *check_payload(weir_worker *w, weir_task *self)
{
    unsigned char *p = weir_task_payload(self);
    size_t size;
    (void)w;
    memcpy(&size, p, sizeof size);
    for (size_t i = sizeof size; i < size; i++)
        if (p[i] != (unsigned char)size)
            set(&out_of_order, 1);
    add(&ran, 1);
    return NULL;
}

static weir_task *spawn_pooled(weir_worker *w, weir_task *self)
{
    (void)self;
    for (size_t size = sizeof size; size < WEIR_PAYLOAD_MAX; size += 97) {
        weir_task *t;
        if (weir_task_new(w, check_payload, size, &t) != 0)
            abort();
        memset(weir_task_payload(t), (int)size, size);
        memcpy(weir_task_payload(t), &size, sizeof size);
        weir_spawn(w, t);
    }
    usleep(300); /* some are stolen, and freed elsewhere */
    return NULL;
}

Test(task, pooled_tasks_keep_their_payload_and_go_home_from_any_worker)
{
    static weir_task t[400];
    const unsigned each = (WEIR_PAYLOAD_MAX - sizeof(size_t) + 96) / 97;
    weir_runtime *rt = start(4);
    for (unsigned i = 0; i < 400; i++) {
        weir_task_init(&t[i], spawn_pooled);
        submit_ready(rt, &t[i]);
    }
    stop(rt);
    cr_assert_eq(get(&ran), 400 * each);
    cr_assert_eq(get(&out_of_order), 0, "a payload has changed");
}

/* A pooled continuation: the record keeps its pool through the payments. */
static weir_task *fan_pooled(weir_worker *w, weir_task *self)
{
    weir_task *cont;
    (void)self;
    if (weir_task_new(w, count_one, 16, &cont) != 0)
        abort();
    weir_owe(cont, 5);
    for (unsigned i = 0; i < 5; i++) {
        weir_task *t;
        if (weir_task_new(w, brief, 0, &t) != 0)
            abort();
        weir_task_then(t, cont);
        weir_spawn(w, t);
    }
    return NULL;
}

Test(task, pooled_continuation_runs_and_is_freed)
{
    static weir_task t[100];
    weir_runtime *rt = start(3);
    for (unsigned i = 0; i < 100; i++) {
        weir_task_init(&t[i], fan_pooled);
        submit_ready(rt, &t[i]);
    }
    stop(rt);
    cr_assert_eq(get(&ran), 600);
}

/* --- latches -------------------------------------------------------------------------------------------------- */

Test(task, latch_opens_after_its_arrivals_and_refuses_more)
{
    weir_latch l;
    cr_assert_eq(weir_latch_init(NULL, 1), -EINVAL);
    cr_assert_eq(weir_latch_init(&l, WEIR_LATCH_MAX + 1), -EINVAL);
    cr_assert_eq(weir_latch_init(&l, WEIR_LATCH_MAX), 0);
    cr_assert_eq(weir_latch_arrive(&l, WEIR_LATCH_MAX - 3), 0);
    cr_assert_eq(weir_latch_arrive(&l, 0), -EINVAL);
    cr_assert_eq(weir_latch_arrive(NULL, 1), -EINVAL);
    cr_assert_eq(weir_latch_arrive(&l, 4), -EINVAL);
    cr_assert_not(weir_latch_is_open(&l));
    cr_assert_eq(weir_latch_wait(NULL, 0), -EINVAL);
    cr_assert_eq(weir_latch_wait(&l, 0), -ETIMEDOUT);
    uint64_t deadline = in_ms(10);
    cr_assert_eq(weir_latch_wait(&l, deadline), -ETIMEDOUT);
    cr_assert_geq(weir_now(), deadline);
    cr_assert_eq(weir_latch_arrive(&l, 3), 0, "a refused arrival has counted, or a waiter that gave up");
    cr_assert(weir_latch_is_open(&l));
    cr_assert_eq(weir_latch_wait(&l, 0), 0);
    cr_assert_eq(weir_latch_arrive(&l, 1), -EINVAL);
    cr_assert_eq(weir_latch_init(&l, 0), 0);
    cr_assert_eq(weir_latch_wait(&l, WEIR_FOREVER), 0);
}

struct arriving {
    weir_task task;
    weir_latch *latch;
};

static weir_task *arrive(weir_worker *w, weir_task *self)
{
    struct arriving *a = (struct arriving *)self;
    (void)w;
    add(&ran, 1);
    if (weir_latch_arrive(a->latch, 1) != 0)
        abort();
    return NULL;
}

Test(task, latch_may_be_freed_as_soon_as_it_is_open)
{
    static struct arriving a[8];
    weir_runtime *rt = start(4);
    for (unsigned round = 0; round < 1000; round++) {
        weir_latch *l = malloc(sizeof *l);
        cr_assert_eq(weir_latch_init(l, 8), 0);
        set(&ran, 0);
        for (unsigned i = 0; i < 8; i++) {
            weir_task_init(&a[i].task, arrive);
            a[i].latch = l;
            submit_ready(rt, &a[i].task);
        }
        cr_assert_eq(weir_latch_wait(l, in_ms(LONG_TIME_MS)), 0);
        free(l);
        cr_assert_eq(get(&ran), 8);
    }
    stop(rt);
}

static void wait_on_worker(weir_worker *w, void *arg)
{
    weir_latch closed, open;
    (void)w;
    if (weir_latch_init(&closed, 1) != 0 || weir_latch_init(&open, 0) != 0)
        abort();
    ((int *)arg)[0] = weir_latch_wait(&closed, WEIR_FOREVER);
    ((int *)arg)[1] = weir_latch_wait(&open, WEIR_FOREVER);
}

Test(task, worker_may_not_wait_on_a_closed_latch)
{
    int result[2] = {1, 1};
    weir_runtime *rt = start(1);
    call(rt, wait_on_worker, result);
    stop(rt);
    cr_assert_eq(result[0], -EDEADLK);
    cr_assert_eq(result[1], 0);
}
