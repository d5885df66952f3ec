/* SPDX-License-Identifier: MIT
 *
 * test_join_wait.c - what must hold while a join or a scope waits: stacks suffice, and no foreign work under a lock.
 */
#include "support.h"

TestSuite(join_wait, .timeout = 100);

static weir_atomic_u32 ran;

/*
 * A chain of tasks, each of which waits (a while) until its child was stolen, then joins it: joins of stolen tasks nest
 * as deep as the chain.
 */
#define DEPTH 10000
#define PATIENCE_NS (300 * UINT64_C(1000))
#define PATIENCE_IN_ALL_MS 15000u /* where others have the processors, each yield may take milliseconds */

static weir_atomic_u32 stolen;
static uint64_t patience_end;
static long deep(weir_worker *w, int n, weir_worker *parent, weir_atomic_u32 *begun);
WEIR_FORKABLE(deep, long, int, weir_worker *, weir_atomic_u32 *);

static long deep(weir_worker *w, int n, weir_worker *parent, weir_atomic_u32 *begun)
{
    if (w != parent)
        add(&stolen, 1);
    set(begun, 1);
    if (n == 0)
        return 0;
    weir_atomic_u32 child_begun = {0};
    struct deep_task child;
    deep_fork(w, &child, n - 1, w, &child_begun);
    uint64_t begin = weir_now();
    if (begin < patience_end)
        while (get(&child_begun) == 0 && weir_now() < begin + PATIENCE_NS)
            sched_yield();
    return deep_join(w, &child) + 1;
}

static void call_deep(weir_worker *w, void *arg)
{
    weir_atomic_u32 begun = {0};
    *(long *)arg = deep(w, DEPTH, w, &begun);
}

Test(join_wait, ten_thousand_nested_joins_of_stolen_tasks_fit_the_stacks)
{
    for (unsigned workers = 2; workers <= 8; workers *= 4) {
        long result = 0;
        weir_runtime *rt = start(workers);
        set(&stolen, 0);
        patience_end = in_ms(PATIENCE_IN_ALL_MS);
        call(rt, call_deep, &result);
        bool in_time = weir_now() < patience_end;
        stop(rt);
        cr_assert_eq(result, DEPTH);
        cr_assert(!in_time || get(&stolen) > DEPTH / 10, "too few were stolen for the test to mean anything: %u",
                  get(&stolen));
    }
}

/* Requests that hold a lock across a join. A waiter that took on another request would lock twice. */
static pthread_mutex_t lock;
static weir_atomic_u32 locked_twice;

static weir_task *nap(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    usleep(300);
    return NULL;
}

static weir_task *locked_request(weir_worker *w, weir_task *self)
{
    weir_task child[3];
    (void)self;
    if (pthread_mutex_lock(&lock) == EDEADLK)
        set(&locked_twice, 1);
    for (unsigned i = 0; i < 3; i++) {
        child[i].run = nap;
        weir_fork(w, &child[i]);
    }
    usleep(200);
    for (unsigned i = 3; i-- > 0;)
        if (weir_join(w, &child[i]) != 0)
            abort();
    pthread_mutex_unlock(&lock);
    add(&ran, 1);
    return NULL;
}

Test(join_wait, lock_held_across_a_join_never_deadlocks)
{
    enum { REQUESTS = 200 };
    static weir_task request[REQUESTS];
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&lock, &attr);
    weir_runtime *rt = start(4);
    for (unsigned i = 0; i < REQUESTS; i++) {
        weir_task_init(&request[i], locked_request);
        cr_assert_eq(weir_submit(rt, &request[i], WEIR_BLOCK, 0), 0);
    }
    cr_assert_eq(weir_stop(rt, WEIR_DRAIN, in_ms(LONG_TIME_MS)), 0, "deadlock");
    cr_assert_eq(get(&ran), REQUESTS);
    cr_assert_eq(get(&locked_twice), 0);
}

/* The same with a scope, whose members add members: more tasks than a worker runs before it looks at the injector. */
#define FAMILY 150u

struct locked_family {
    weir_task request;
    weir_scope *scope;
    weir_task parent;
    weir_task child[FAMILY];
};

static weir_task *blink(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    for (volatile unsigned i = 0; i < 500; i++)
        continue;
    return NULL;
}

static weir_task *add_members(weir_worker *w, weir_task *self)
{
    struct locked_family *f = (struct locked_family *)((char *)self - offsetof(struct locked_family, parent));
    for (unsigned i = 0; i < FAMILY; i++) {
        weir_task_init(&f->child[i], blink);
        weir_scope_spawn(w, f->scope, &f->child[i]);
    }
    return NULL;
}

static weir_task *locked_scope(weir_worker *w, weir_task *self)
{
    struct locked_family *f = (struct locked_family *)self;
    weir_scope s;
    f->scope = &s;
    if (pthread_mutex_lock(&lock) == EDEADLK)
        set(&locked_twice, 1);
    weir_scope_init(w, &s);
    weir_task_init(&f->parent, add_members);
    weir_scope_spawn(w, &s, &f->parent);
    usleep(100); /* it is stolen */
    if (weir_scope_wait(w, &s) != 0)
        abort();
    pthread_mutex_unlock(&lock);
    add(&ran, 1);
    return NULL;
}

Test(join_wait, lock_held_across_a_scope_wait_meets_no_other_request)
{
    enum { REQUESTS = 1000 };
    struct locked_family *f = calloc(REQUESTS, sizeof *f);
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&lock, &attr);
    for (unsigned workers = 2; workers <= 4; workers += 2) {
        weir_runtime *rt = start(workers);
        set(&ran, 0);
        for (unsigned i = 0; i < REQUESTS; i++) {
            weir_task_init(&f[i].request, locked_scope);
            cr_assert_eq(weir_submit(rt, &f[i].request, WEIR_BLOCK, 0), 0);
        }
        cr_assert_eq(weir_stop(rt, WEIR_DRAIN, in_ms(LONG_TIME_MS)), 0, "deadlock");
        cr_assert_eq(get(&locked_twice), 0, "a waiter took on another request");
        cr_assert_eq(get(&ran), REQUESTS);
    }
    free(f);
}

enum { AWAITED = 400, LOCKERS = 50 };
static weir_atomic_u32 parent_began, queue_is_full;

/* One request that holds the lock and waits for what another worker runs, while all other requests want the lock. */
struct holder {
    weir_task request, parent;
    weir_scope scope;
    weir_task child[AWAITED];
};

static weir_task *spin_20_us(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    uint64_t end = weir_now() + 20000;
    while (weir_now() < end)
        continue;
    return NULL;
}

static weir_task *add_awaited(weir_worker *w, weir_task *self)
{
    struct holder *h = (struct holder *)((char *)self - offsetof(struct holder, parent));
    set(&parent_began, 1);
    while (get(&queue_is_full) == 0)
        usleep(100);
    for (unsigned i = 0; i < AWAITED; i++) {
        weir_task_init(&h->child[i], spin_20_us);
        weir_scope_spawn(w, &h->scope, &h->child[i]);
    }
    return NULL;
}

static weir_task *hold_and_wait(weir_worker *w, weir_task *self)
{
    struct holder *h = (struct holder *)self;
    pthread_mutex_lock(&lock);
    weir_scope_init(w, &h->scope);
    weir_task_init(&h->parent, add_awaited);
    weir_scope_spawn(w, &h->scope, &h->parent);
    while (get(&parent_began) == 0)
        usleep(100); /* somebody else has taken it */
    if (weir_scope_wait(w, &h->scope) != 0)
        abort();
    pthread_mutex_unlock(&lock);
    add(&ran, 1);
    return NULL;
}

static weir_task *lock_and_unlock(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
    add(&ran, 1);
    return NULL;
}

/* The look at the queue now and then must not put a request that blocks on top of tasks that somebody waits for. */
Test(join_wait, outside_work_does_not_come_over_tasks_that_a_lock_holder_waits_for)
{
    static struct holder h;
    static weir_task locker[LOCKERS];
    pthread_mutex_init(&lock, NULL);
    weir_config c = config_of(2);
    c.spare_workers = 0;
    weir_runtime *rt = start_config(&c);
    set(&ran, 0);
    weir_task_init(&h.request, hold_and_wait);
    cr_assert_eq(weir_submit(rt, &h.request, WEIR_BLOCK, 0), 0);
    while (get(&parent_began) == 0)
        usleep(100);
    for (unsigned i = 0; i < LOCKERS; i++) {
        weir_task_init(&locker[i], lock_and_unlock);
        cr_assert_eq(weir_submit(rt, &locker[i], WEIR_BLOCK, 0), 0);
    }
    set(&queue_is_full, 1);
    cr_assert_eq(weir_stop(rt, WEIR_DRAIN, in_ms(LONG_TIME_MS)), 0, "deadlock");
    cr_assert_eq(get(&ran), LOCKERS + 1);
}
