/* SPDX-License-Identifier: MIT
 *
 * test_scope.c - what must hold for scopes: waits, errors, cancelling, nesting, spawning members, continuations, stops.
 */
#include "../integration/support.h"

TestSuite(scope, .timeout = 60);

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

Test(scope, scope_waits_for_all_its_tasks)
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

Test(scope, scope_wait_tells_misuse_and_cancelling)
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

Test(scope, first_error_of_a_scope_wins_and_skips_the_rest)
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

Test(scope, cancelled_scope_skips_what_has_not_begun)
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

Test(scope, nested_scopes_wait_for_their_own_tasks)
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

Test(scope, waiters_that_take_members_which_spawn_members_never_hang)
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

Test(scope, member_left_on_a_waiters_deque_is_run)
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

Test(scope, scope_then_runs_its_continuation_after_the_last_member)
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
                submit_ready(rt, &d.start);
                stop(rt);
                cr_assert_eq(get(&order), 1);
                cr_assert_eq(d.ran_before, members);
            }
        }
    }
}

/* A thread that is no worker has a scope. */
Test(scope, scope_of_a_foreign_thread_waits_for_submitted_tasks)
{
    weir_runtime *rt = start(3);
    for (unsigned round = 0; round < 50; round++) {
        weir_scope s;
        set(&ran, 0);
        weir_scope_init(NULL, &s);
        for (unsigned i = 0; i < 100; i++) {
            weir_task_init(&member[i], count_one);
            weir_scope_add(&s, &member[i]);
            submit_ready(rt, &member[i]);
        }
        cr_assert_eq(weir_scope_wait(NULL, &s), 0);
        cr_assert_eq(get(&ran), 100);
    }
    stop(rt);
}

Test(scope, member_that_could_not_be_submitted_is_removed_again)
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

Test(scope, discarded_members_end_their_scope_as_cancelled)
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
        submit_ready(rt, &t[i]);
    }
    weir_stats last = stop_and_read(rt, WEIR_DISCARD);
    int r = weir_scope_wait(NULL, &s); /* it must come to an end */
    cr_assert_eq(get(&ran) + last.total.tasks_discarded + last.total.tasks_skipped, 10);
    cr_assert_eq(r, get(&ran) == 10 ? 0 : -ECANCELED);
}
