/* SPDX-License-Identifier: MIT
 *
 * test_forkjoin.c - what must hold for forks and joins: results, waiting, and that nobody sleeps while work is there.
 */
#include "support.h"
#include "fib.h"

#define TASK_MS 50u

TestSuite(forkjoin, .timeout = 100);

static const unsigned worker_counts[] = {1, 2, 4, 16, 64};
#define COUNTS (sizeof worker_counts / sizeof worker_counts[0])

/* --- results -------------------------------------------------------------------------------------------------- */

static void call_fib(weir_worker *w, void *arg)
{
    *(long *)arg = fib(w, 21);
}

static void check_fib(weir_publish_mode publish, weir_steal_order order)
{
    for (size_t i = 0; i < COUNTS; i++) {
        weir_config c = config_of(worker_counts[i]);
        c.publish_mode = publish;
        c.steal_order = order;
        weir_runtime *rt = start_config(&c);
        for (unsigned round = 0; round < 4; round++) {
            long result = 0;
            call(rt, call_fib, &result);
            cr_assert_eq(result, 10946, "%u workers: %ld", worker_counts[i], result);
        }
        stop(rt);
    }
}

Test(forkjoin, fib_is_right_with_any_number_of_workers)
{
    check_fib(WEIR_PUBLISH_ON_DEMAND, WEIR_STEAL_RANDOM);
}

Test(forkjoin, fib_is_right_when_every_push_publishes)
{
    check_fib(WEIR_PUBLISH_ALWAYS, WEIR_STEAL_TOPOLOGY);
}

static int64_t sum2(weir_worker *w, int32_t a, int64_t b);
static double sum3(weir_worker *w, double a, float b, int c);
static uint64_t sum4(weir_worker *w, uint8_t a, uint16_t b, uint32_t c, uint64_t d);
WEIR_FORKABLE(sum2, int64_t, int32_t, int64_t);
WEIR_FORKABLE(sum3, double, double, float, int);
WEIR_FORKABLE(sum4, uint64_t, uint8_t, uint16_t, uint32_t, uint64_t);

static int64_t sum2(weir_worker *w, int32_t a, int64_t b)
{
    (void)w;
    return a + b;
}

static double sum3(weir_worker *w, double a, float b, int c)
{
    (void)w;
    return a + (double)b + c;
}

static uint64_t sum4(weir_worker *w, uint8_t a, uint16_t b, uint32_t c, uint64_t d)
{
    (void)w;
    return (uint64_t)a + b + c + d;
}

static void call_sums(weir_worker *w, void *arg)
{
    struct sum2_task t2;
    struct sum3_task t3;
    struct sum4_task t4;
    sum2_fork(w, &t2, -5, INT64_C(1) << 40);
    sum3_fork(w, &t3, 0.5, 0.25f, 3);
    sum4_fork(w, &t4, 255, 65535, UINT32_MAX, UINT64_C(1) << 50);
    if (arg != NULL)
        usleep(2000); /* so that a thief takes some of them */
    bool good = sum4_join(w, &t4) == (UINT64_C(1) << 50) + UINT32_MAX + 65535 + 255;
    good = sum3_join(w, &t3) == 3.75 && good;
    good = sum2_join(w, &t2) == (INT64_C(1) << 40) - 5 && good;
    if (!good)
        abort();
}

Test(forkjoin, typed_forks_carry_one_to_four_arguments_and_the_result)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        weir_runtime *rt = start(workers);
        for (unsigned i = 0; i < 200; i++)
            call(rt, call_sums, i % 2 ? rt : NULL);
        stop(rt);
    }
}

/* --- misuse --------------------------------------------------------------------------------------------------- */

static weir_task *count_one(weir_worker *w, weir_task *self);
static weir_atomic_u32 ran;

static weir_task *count_one(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    add(&ran, 1);
    return NULL;
}

static void join_unforked(weir_worker *w, void *arg)
{
    int *result = arg;
    weir_task never, after;
    weir_task_init(&never, count_one);
    result[0] = weir_join(w, &never);
    result[1] = weir_unfork(w, &never);
    after.run = count_one;
    weir_fork(w, &after);
    result[2] = weir_join(w, &never); /* with something else in the deque */
    result[3] = weir_join(w, &after);
}

Test(forkjoin, join_of_a_task_never_forked_is_refused)
{
    int result[4] = {1, 1, 1, 1};
    weir_runtime *rt = start(1);
    call(rt, join_unforked, result);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(result[i], -EINVAL);
    cr_assert_eq(result[3], 0);
    cr_assert_eq(get(&ran), 1, "only the forked one has run");
    stop(rt);
}

/* --- shapes --------------------------------------------------------------------------------------------------- */

#define MANY 5000u

static weir_task many[MANY];

static void fork_many(weir_worker *w, void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < MANY; i++) {
        many[i].run = count_one;
        weir_fork(w, &many[i]);
    }
    for (unsigned i = MANY; i-- > 0;)
        if (weir_join(w, &many[i]) != 0)
            abort();
}

Test(forkjoin, thousands_of_open_forks_grow_the_deque_and_all_run_once)
{
    for (size_t i = 0; i < COUNTS; i++) {
        for (int publish = 0; publish < 2; publish++) {
            weir_config c = config_of(worker_counts[i]);
            c.deque_capacity = 2;
            c.publish_mode = publish ? WEIR_PUBLISH_ALWAYS : WEIR_PUBLISH_ON_DEMAND;
            weir_runtime *rt = start_config(&c);
            for (unsigned round = 1; round <= 3; round++) {
                set(&ran, 0);
                call(rt, fork_many, NULL);
                cr_assert_eq(get(&ran), MANY);
            }
            stop(rt);
        }
    }
}

/* One worker; so what has not run when a push returns lies in its deque. */
#define LIMIT 8u

struct flood {
    unsigned waiting; /* the most tasks that were pushed and had not run, after a push */
    bool fork;
};

static void flood_the_deque(weir_worker *w, void *arg)
{
    struct flood *f = arg;
    weir_scope s;
    weir_scope_init(w, &s);
    set(&ran, 0);
    for (unsigned i = 0; i < MANY; i++) {
        if (f->fork) {
            many[i].run = count_one;
            weir_fork(w, &many[i]);
        } else {
            weir_task_init(&many[i], count_one);
            weir_scope_spawn(w, &s, &many[i]);
        }
        unsigned waiting = i + 1 - get(&ran);
        f->waiting = waiting > f->waiting ? waiting : f->waiting;
    }
    for (unsigned i = MANY; f->fork && i-- > 0;)
        if (weir_join(w, &many[i]) != 0)
            abort();
    if (weir_scope_wait(w, &s) != 0)
        abort();
}

static unsigned most_waiting(uint32_t limit, bool fork, weir_publish_mode publish)
{
    struct flood f = {.fork = fork};
    weir_config c = config_of(1);
    c.deque_capacity = 2;
    c.deque_limit = limit;
    c.publish_mode = publish;
    weir_runtime *rt = start_config(&c);
    call(rt, flood_the_deque, &f);
    stop(rt);
    cr_assert_eq(get(&ran), MANY, "each runs once");
    return f.waiting;
}

Test(forkjoin, push_beyond_the_deque_limit_runs_the_task_at_once)
{
    for (int publish = 0; publish < 2; publish++) {
        for (int fork = 0; fork < 2; fork++) {
            weir_publish_mode mode = publish ? WEIR_PUBLISH_ALWAYS : WEIR_PUBLISH_ON_DEMAND;
            unsigned waiting = most_waiting(LIMIT, fork, mode);
            unsigned most = fork ? LIMIT + LIMIT / 2 : LIMIT; /* forks have the reserve */
            cr_assert_leq(waiting, most, "publish %d, fork %d: %u waited", publish, fork, waiting);
            cr_assert_geq(waiting, LIMIT / 2, "publish %d, fork %d: only %u waited", publish, fork, waiting);
            cr_assert_eq(most_waiting(WEIR_DEQUE_LIMIT_MAX, fork, mode), MANY, "none runs before its time");
        }
    }
}

/* The same with thieves at work, who make room at any moment. */
Test(forkjoin, tasks_run_once_at_a_deque_limit_with_thieves_about)
{
    for (unsigned workers = 2; workers <= 4; workers++) {
        for (int fork = 0; fork < 2; fork++) {
            struct flood f = {.fork = fork};
            weir_config c = config_of(workers);
            c.deque_capacity = 2;
            c.deque_limit = 2u << fork;
            weir_runtime *rt = start_config(&c);
            for (unsigned round = 0; round < 20; round++) {
                call(rt, flood_the_deque, &f);
                cr_assert_eq(get(&ran), MANY, "each runs once");
            }
            stop(rt);
        }
    }
}

static void spawn_above_a_fork(weir_worker *w, void *arg)
{
    static weir_task below, above[10];
    (void)arg;
    below.run = count_one;
    weir_fork(w, &below);
    for (unsigned i = 0; i < 10; i++) {
        weir_task_init(&above[i], count_one);
        weir_spawn(w, &above[i]);
    }
    if (weir_join(w, &below) != 0)
        abort();
}

Test(forkjoin, join_passes_tasks_spawned_after_the_fork)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        set(&ran, 0);
        weir_runtime *rt = start(workers);
        call(rt, spawn_above_a_fork, NULL);
        stop(rt);
        cr_assert_eq(get(&ran), 11);
    }
}

/* The run function of a forked task may return a task: the join runs the chain. */
static weir_task *return_next(weir_worker *w, weir_task *self)
{
    (void)w;
    add(&ran, 1);
    return self + 1;
}

static void join_chain(weir_worker *w, void *arg)
{
    static weir_task chain[2];
    (void)arg;
    chain[0].run = return_next;
    weir_task_init(&chain[1], count_one);
    weir_fork(w, &chain[0]);
    if (weir_join(w, &chain[0]) != 0)
        abort();
}

Test(forkjoin, chain_returned_by_a_forked_task_runs)
{
    weir_runtime *rt = start(1);
    call(rt, join_chain, NULL);
    stop(rt);
    cr_assert_eq(get(&ran), 2);
}

/* --- waiting -------------------------------------------------------------------------------------------------- */

/*
 * A chain of tasks, each of which waits (a while) until its child was stolen, then joins it: joins of stolen tasks nest
 * as deep as the chain.
 */
#define DEPTH 10000
#define PATIENCE_NS (300 * UINT64_C(1000))

static weir_atomic_u32 stolen;
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
    for (uint64_t end = weir_now() + PATIENCE_NS; get(&child_begun) == 0 && weir_now() < end;)
        sched_yield();
    return deep_join(w, &child) + 1;
}

static void call_deep(weir_worker *w, void *arg)
{
    weir_atomic_u32 begun = {0};
    *(long *)arg = deep(w, DEPTH, w, &begun);
}

Test(forkjoin, ten_thousand_nested_joins_of_stolen_tasks_fit_the_stacks)
{
    for (unsigned workers = 2; workers <= 8; workers *= 4) {
        long result = 0;
        weir_runtime *rt = start(workers);
        set(&stolen, 0);
        call(rt, call_deep, &result);
        stop(rt);
        cr_assert_eq(result, DEPTH);
        cr_assert_gt(get(&stolen), DEPTH / 10, "too few were stolen for the test to mean anything: %u", get(&stolen));
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

Test(forkjoin, lock_held_across_a_join_never_deadlocks)
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

Test(forkjoin, lock_held_across_a_scope_wait_meets_no_other_request)
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
Test(forkjoin, outside_work_does_not_come_over_tasks_that_a_lock_holder_waits_for)
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

/* --- work conservation ---------------------------------------------------------------------------------------- */

/* All but one worker must be in these tasks at once, while the worker that made them never forks again. */
struct meeting {
    weir_task task;
    weir_atomic_u32 *present;
    uint32_t expected;
    bool met;
};

static weir_task *meet(weir_worker *w, weir_task *self)
{
    struct meeting *m = (struct meeting *)self;
    (void)w;
    add(m->present, 1);
    m->met = reaches(m->present, m->expected);
    return NULL;
}

static void fork_a_meeting(weir_worker *w, void *arg)
{
    static struct meeting m[64];
    weir_atomic_u32 present = {0};
    unsigned others = *(unsigned *)arg;
    bool met = true;
    for (unsigned i = 0; i < others; i++) {
        m[i] = (struct meeting){.task.run = meet, .present = &present, .expected = others};
        weir_fork(w, &m[i].task);
    }
    met = reaches(&present, others); /* the leaf */
    for (unsigned i = others; i-- > 0;) {
        if (weir_join(w, &m[i].task) != 0)
            abort();
        met = met && m[i].met;
    }
    *(unsigned *)arg = met;
}

Test(forkjoin, every_idle_worker_gets_a_task_of_one_that_forks_no_more)
{
    static const unsigned counts[] = {2, 3, 4, 16, 64};
    for (int publish = 0; publish < 2; publish++) {
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            weir_config c = config_of(counts[i]);
            c.publish_mode = publish ? WEIR_PUBLISH_ALWAYS : WEIR_PUBLISH_ON_DEMAND;
            weir_runtime *rt = start_config(&c);
            for (unsigned round = 0; round < 10; round++) {
                unsigned others = counts[i] - 1;
                if (round == 5)
                    sleep_ms(20); /* all asleep */
                call(rt, fork_a_meeting, &others);
                cr_assert_eq(others, 1, "%u workers, publish %d: somebody slept", counts[i], publish);
            }
            stop(rt);
        }
    }
}

static weir_task *sleep_task(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    sleep_ms(TASK_MS);
    return NULL;
}

static void fork_sleepers(weir_worker *w, void *arg)
{
    static weir_task t[64];
    unsigned n = *(unsigned *)arg;
    for (unsigned i = 0; i < n; i++) {
        t[i].run = sleep_task;
        weir_fork(w, &t[i]);
    }
    sleep_ms(TASK_MS * 4); /* a leaf */
    for (unsigned i = n; i-- > 0;)
        if (weir_join(w, &t[i]) != 0)
            abort();
}

/* Runs fn(n) up to three times; whether one took less than `percent` of `serial_ms`. */
static bool overlaps(unsigned workers, void (*fn)(weir_worker *, void *), unsigned n, uint64_t serial_ms,
                     unsigned percent)
{
    bool good = false;
    weir_runtime *rt = start(workers);
    for (unsigned attempt = 0; attempt < 3 && !good; attempt++) {
        unsigned arg = n;
        uint64_t begin = weir_now();
        call(rt, fn, &arg);
        good = weir_now() - begin < serial_ms * NS_PER_MS * percent / 100;
    }
    stop(rt);
    return good;
}

Test(forkjoin, tasks_of_a_worker_in_a_long_leaf_run_elsewhere_meanwhile)
{
    /* serial: the leaf, which is as long as four tasks, and all tasks; ideal: a share of 50, 25 and 6 percent */
    cr_assert(overlaps(2, fork_sleepers, 8, 12 * TASK_MS, 65));
    cr_assert(overlaps(4, fork_sleepers, 16, 20 * TASK_MS, 40));
    cr_assert(overlaps(16, fork_sleepers, 60, 64 * TASK_MS, 15));
}

/* A member that leaves more members on its worker's deque: the scope's waiting owner takes part. */
struct family {
    weir_scope *scope;
    weir_task parent;
    weir_task child[16];
};

static weir_task *spawn_children(weir_worker *w, weir_task *self)
{
    struct family *f = (struct family *)((char *)self - offsetof(struct family, parent));
    for (unsigned i = 0; i < 16; i++) {
        weir_task_init(&f->child[i], sleep_task);
        weir_scope_spawn(w, f->scope, &f->child[i]);
    }
    return NULL;
}

static void wait_for_family(weir_worker *w, void *arg)
{
    weir_scope s;
    struct family f = {.scope = &s};
    (void)arg;
    weir_scope_init(w, &s);
    weir_task_init(&f.parent, spawn_children);
    weir_scope_spawn(w, &s, &f.parent);
    sleep_ms(20); /* it is stolen */
    if (weir_scope_wait(w, &s) != 0)
        abort();
}

Test(forkjoin, waiting_owner_of_a_scope_helps_with_members_that_a_member_spawned)
{
    cr_assert(overlaps(2, wait_for_family, 0, 16 * TASK_MS, 75), "the owner slept while members waited to be run");
}
