/* SPDX-License-Identifier: MIT
 *
 * test_task.c - what must hold for tasks: their state, continuations, tail calls, pooled records, scopes, latches.
 */
#include "../integration/support.h"
#include "task/scope.h"
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

static void submit_ok(weir_runtime *rt, weir_task *t)
{
    cr_assert_eq(weir_submit(rt, t, WEIR_BLOCK, 0), 0);
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
    submit_ok(rt, &c.task);
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
    submit_ok(rt, &chain[0]);
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
            submit_ok(rt, &f[i].payer[j]);
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
        submit_ok(rt, &l.payer);
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
    submit_ok(rt, &first);
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
        submit_ok(rt, t);
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
        submit_ok(rt, &t[i]);
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
        submit_ok(rt, &t[i]);
    }
    stop(rt);
    cr_assert_eq(get(&ran), 600);
}

/* --- scopes --------------------------------------------------------------------------------------------------- */

#define MEMBERS 500u

static weir_task member[MEMBERS];

static void scope_of_many(weir_worker *w, void *arg)
{
    weir_scope s;
    weir_scope_init(w, &s);
    for (unsigned i = 0; i < MEMBERS; i++) {
        weir_task_init(&member[i], count_one);
        weir_scope_spawn(w, &s, &member[i]);
    }
    *(int *)arg = weir_scope_wait(w, &s);
    if (get(&ran) != MEMBERS)
        *(int *)arg = 1;
}

Test(task, scope_waits_for_all_its_tasks)
{
    for (unsigned workers = 1; workers <= 16; workers *= 2) {
        weir_runtime *rt = start(workers);
        for (unsigned i = 0; i < 20; i++) {
            int result = 1;
            set(&ran, 0);
            call(rt, scope_of_many, &result);
            cr_assert_eq(result, 0);
        }
        stop(rt);
    }
}

static void empty_scope(weir_worker *w, void *arg)
{
    weir_scope s;
    weir_scope_init(w, &s);
    ((int *)arg)[0] = weir_scope_wait(w, &s);
    weir_scope_init(w, &s);
    weir_scope_cancel(&s);
    ((int *)arg)[1] = weir_scope_wait(w, &s);
    weir_scope_init(w, &s);
    ((int *)arg)[2] = weir_scope_wait(NULL, &s);
    ((int *)arg)[3] = weir_scope_wait(w, NULL);
    ((int *)arg)[4] = weir_scope_wait(w, &s);
}

Test(task, scope_wait_tells_misuse_and_cancelling)
{
    int result[5] = {1, 1, 1, 1, 1};
    weir_runtime *rt = start(1);
    call(rt, empty_scope, result);
    stop(rt);
    cr_assert_eq(result[0], 0);
    cr_assert_eq(result[1], -ECANCELED);
    cr_assert_eq(result[2], -EINVAL);
    cr_assert_eq(result[3], -EINVAL);
    cr_assert_eq(result[4], 0);
}

static weir_task *fail_second(weir_worker *w, weir_task *self)
{
    weir_scope *s = weir_scope_of(self);
    (void)w;
    if (s == NULL)
        abort();
    uint32_t n = add(&ran, 1);
    if (n == 3)
        weir_scope_fail(s, -EIO);
    if (n > 3 && weir_scope_cancelled(s) && weir_scope_error(s) == -EIO)
        add(&order, 1);
    weir_scope_fail(s, n > 3 ? -EPERM : 0); /* the first is kept; 0 is none */
    return NULL;
}

static void failing_scope(weir_worker *w, void *arg)
{
    weir_scope s;
    weir_scope_init(w, &s);
    for (unsigned i = 0; i < MEMBERS; i++) {
        weir_task_init(&member[i], fail_second);
        weir_scope_spawn(w, &s, &member[i]);
    }
    *(int *)arg = weir_scope_wait(w, &s);
}

Test(task, first_error_of_a_scope_wins_and_skips_the_rest)
{
    int result = 0;
    weir_runtime *rt = start(1);
    call(rt, failing_scope, &result);
    weir_stats s = stop_and_read(rt, WEIR_DRAIN);
    cr_assert_eq(result, -EIO);
    cr_assert_eq(get(&ran), 3);
    cr_assert_eq(s.total.tasks_skipped, MEMBERS - 3);
    for (unsigned i = 0; i < 30; i++) { /* with thieves some may have begun already */
        set(&ran, 0);
        rt = start(4);
        call(rt, failing_scope, &result);
        s = stop_and_read(rt, WEIR_DRAIN);
        cr_assert_eq(result, -EIO);
        cr_assert_eq(get(&ran) + s.total.tasks_skipped, MEMBERS);
    }
}

static void cancelled_scope(weir_worker *w, void *arg)
{
    weir_scope s;
    weir_scope_init(w, &s);
    weir_scope_cancel(&s);
    for (unsigned i = 0; i < MEMBERS; i++) {
        weir_task_init(&member[i], count_one);
        weir_scope_spawn(w, &s, &member[i]);
    }
    *(int *)arg = weir_scope_wait(w, &s);
}

Test(task, cancelled_scope_skips_what_has_not_begun)
{
    int result = 0;
    weir_runtime *rt = start(3);
    call(rt, cancelled_scope, &result);
    weir_stats s = stop_and_read(rt, WEIR_DRAIN);
    cr_assert_eq(result, -ECANCELED);
    cr_assert_eq(get(&ran), 0);
    cr_assert_eq(s.total.tasks_skipped, MEMBERS);
    cr_assert_eq(s.total.tasks_discarded, 0);
}

/* A scope in every member of a scope, three levels deep; the members of the last level spawn siblings. */
struct node {
    weir_task task;
    unsigned depth;
    weir_scope *own;
};

static weir_task *nested(weir_worker *w, weir_task *self)
{
    struct node *n = (struct node *)self;
    struct node child[6], extra[6];
    weir_scope s;
    add(&ran, 1);
    if (n->depth == 0)
        return NULL;
    weir_scope_init(w, &s);
    for (unsigned i = 0; i < 6; i++) {
        child[i] = (struct node){.depth = n->depth - 1};
        weir_task_init(&child[i].task, nested);
        weir_scope_spawn(w, &s, &child[i].task);
        extra[i] = (struct node){.depth = 0};
        weir_task_init(&extra[i].task, nested);
        weir_scope_spawn(w, &s, &extra[i].task);
    }
    if (weir_scope_wait(w, &s) != 0)
        abort();
    return NULL;
}

static void call_nested(weir_worker *w, void *arg)
{
    struct node root = {.depth = 4};
    (void)arg;
    nested(w, &root.task);
}

Test(task, nested_scopes_wait_for_their_own_tasks)
{
    const uint32_t inner = 1 + 6 + 36 + 216; /* nodes with children */
    for (unsigned workers = 1; workers <= 64; workers *= 2) {
        set(&ran, 0);
        weir_runtime *rt = start(workers);
        call(rt, call_nested, NULL);
        stop(rt);
        cr_assert_eq(get(&ran), 1 + inner * 12);
    }
}

/*
 * Members that add members, pooled, all to one scope, below a second scope of the same kind: the tasks that a waiter
 * takes leave others on its own deque.
 */
struct growing {
    weir_scope *scope;
    unsigned depth;
};

static void spawn_growing(weir_worker *w, weir_scope *s, unsigned depth);

static weir_task *grow(weir_worker *w, weir_task *self)
{
    struct growing *g = weir_task_payload(self);
    add(&ran, 1);
    usleep(20);
    if (g->depth > 0) {
        spawn_growing(w, g->scope, g->depth - 1);
        spawn_growing(w, g->scope, g->depth - 1);
    }
    return NULL;
}

static void spawn_growing(weir_worker *w, weir_scope *s, unsigned depth)
{
    weir_task *t;
    if (weir_task_new(w, grow, sizeof(struct growing), &t) != 0)
        abort();
    *(struct growing *)weir_task_payload(t) = (struct growing){s, depth};
    weir_scope_spawn(w, s, t);
}

static weir_task *grow_in_own_scope(weir_worker *w, weir_task *self)
{
    weir_scope s;
    (void)self;
    weir_scope_init(w, &s);
    spawn_growing(w, &s, 4);
    spawn_growing(w, &s, 4);
    usleep(100);
    if (weir_scope_wait(w, &s) != 0)
        abort();
    return NULL;
}

static void scopes_that_grow(weir_worker *w, void *arg)
{
    weir_scope s;
    weir_task t[4];
    (void)arg;
    weir_scope_init(w, &s);
    for (unsigned i = 0; i < 4; i++) {
        weir_task_init(&t[i], grow_in_own_scope);
        weir_scope_spawn(w, &s, &t[i]);
    }
    usleep(100);
    if (weir_scope_wait(w, &s) != 0)
        abort();
}

Test(task, waiters_that_take_members_which_spawn_members_never_hang)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        weir_runtime *rt = start(workers);
        for (unsigned i = 0; i < 30; i++) {
            set(&ran, 0);
            call(rt, scopes_that_grow, NULL);
            cr_assert_eq(get(&ran), 4 * 2 * 31);
        }
        stop(rt);
    }
}

/*
 * The same without chance: worker A waits for S; worker B, in a member M of S, waits for S2 whose member d A has taken;
 * d adds d2 to S2, on A's deque, and ends. Two workers: one of the two waiters has to run d2.
 */
static struct {
    weir_scope s, s2;
    weir_task m, d, d2;
    weir_atomic_u32 m_begun, d_begun;
} two;

static weir_task *run_d(weir_worker *w, weir_task *self)
{
    (void)self;
    set(&two.d_begun, 1);
    usleep(20000); /* B sleeps by now */
    weir_task_init(&two.d2, count_one);
    weir_scope_spawn(w, &two.s2, &two.d2);
    return NULL;
}

static weir_task *run_m(weir_worker *w, weir_task *self)
{
    (void)self;
    weir_scope_init(w, &two.s2);
    weir_task_init(&two.d, run_d);
    weir_scope_spawn(w, &two.s2, &two.d);
    set(&two.m_begun, 1);
    reaches(&two.d_begun, 1); /* A has taken it */
    if (weir_scope_wait(w, &two.s2) != 0)
        abort();
    return NULL;
}

static void wait_for_m(weir_worker *w, void *arg)
{
    (void)arg;
    weir_scope_init(w, &two.s);
    weir_task_init(&two.m, run_m);
    weir_scope_spawn(w, &two.s, &two.m);
    reaches(&two.m_begun, 1);
    if (weir_scope_wait(w, &two.s) != 0)
        abort();
}

Test(task, member_left_on_a_waiters_deque_is_run)
{
    weir_runtime *rt = start(2);
    call(rt, wait_for_m, NULL);
    stop(rt);
    cr_assert_eq(get(&ran), 1);
}

/* scope_then instead of waiting. */
struct deferred {
    weir_task start, cont;
    weir_scope scope;
    weir_task member[20];
    unsigned members;
    uint32_t ran_before;
};

static weir_task *after_scope(weir_worker *w, weir_task *self)
{
    struct deferred *d = (struct deferred *)((char *)self - offsetof(struct deferred, cont));
    (void)w;
    d->ran_before = get(&ran);
    add(&order, 1);
    return NULL;
}

static weir_task *start_scope(weir_worker *w, weir_task *self)
{
    struct deferred *d = (struct deferred *)self;
    weir_scope_init(w, &d->scope);
    for (unsigned i = 0; i < d->members; i++) {
        weir_task_init(&d->member[i], brief);
        weir_scope_spawn(w, &d->scope, &d->member[i]);
    }
    return weir_scope_then(&d->scope, &d->cont);
}

Test(task, scope_then_runs_its_continuation_after_the_last_member)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        for (unsigned members = 0; members <= 20; members += 10) {
            for (uint32_t owed = 0; owed < 2; owed++) {
                static struct deferred d;
                memset(&d, 0, sizeof d);
                set(&ran, 0), set(&order, 0);
                d.members = members;
                weir_task_init(&d.start, start_scope);
                weir_continuation_init(&d.cont, after_scope, owed);
                weir_runtime *rt = start(workers);
                submit_ok(rt, &d.start);
                stop(rt);
                cr_assert_eq(get(&order), 1);
                cr_assert_eq(d.ran_before, members);
            }
        }
    }
}

/* A thread that is no worker has a scope. */
Test(task, scope_of_a_foreign_thread_waits_for_submitted_tasks)
{
    weir_runtime *rt = start(3);
    for (unsigned round = 0; round < 50; round++) {
        weir_scope s;
        set(&ran, 0);
        weir_scope_init(NULL, &s);
        for (unsigned i = 0; i < 100; i++) {
            weir_task_init(&member[i], count_one);
            weir_scope_add(&s, &member[i]);
            submit_ok(rt, &member[i]);
        }
        cr_assert_eq(weir_scope_wait(NULL, &s), 0);
        cr_assert_eq(get(&ran), 100);
    }
    stop(rt);
}

Test(task, member_that_could_not_be_submitted_is_removed_again)
{
    weir_scope s;
    weir_runtime *rt = start(1);
    stop(rt);
    weir_scope_init(NULL, &s);
    weir_task_init(&member[0], count_one);
    weir_scope_add(&s, &member[0]);
    cr_assert_eq(weir_scope_of(&member[0]), &s);
    cr_assert_eq(weir_submit(rt, &member[0], WEIR_BLOCK, 0), -ESHUTDOWN);
    weir_scope_remove(&s, &member[0]);
    cr_assert_null(weir_scope_of(&member[0]));
    cr_assert_eq(weir_scope_wait(NULL, &s), 0);
}

Test(task, discarded_members_end_their_scope_as_cancelled)
{
    weir_scope s;
    weir_task gatekeeper;
    static weir_task t[10];
    weir_runtime *rt = start(1);
    weir_scope_init(NULL, &s);
    weir_task_init(&gatekeeper, brief);
    for (unsigned i = 0; i < 10; i++) {
        weir_task_init(&t[i], brief);
        weir_scope_add(&s, &t[i]);
        submit_ok(rt, &t[i]);
    }
    weir_stats last = stop_and_read(rt, WEIR_DISCARD);
    int r = weir_scope_wait(NULL, &s); /* it must come to an end */
    cr_assert_eq(get(&ran) + last.total.tasks_discarded + last.total.tasks_skipped, 10);
    cr_assert_eq(r, get(&ran) == 10 ? 0 : -ECANCELED);
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
            submit_ok(rt, &a[i].task);
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
