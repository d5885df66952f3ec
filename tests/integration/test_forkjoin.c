/* SPDX-License-Identifier: MIT
 *
 * test_forkjoin.c - what must hold for forks and joins: results, shapes, and that nobody sleeps while work is there.
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
