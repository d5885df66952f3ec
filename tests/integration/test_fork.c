/* SPDX-License-Identifier: MIT
 *
 * test_fork.c - what must hold in a forked child: the parent's runtimes answer -EOWNERDEAD, new ones work.
 *
 * The child reports by its exit status: 0, or the number of the check that failed.
 */
#include "support.h"
#include "fib.h"

#include <sys/wait.h>

#define SETTLE_US 200000 /* microseconds */

/* gcc's ThreadSanitizer can't live with a child that starts threads: it takes them for those of the parent. */
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define NO_THREADS_IN_CHILDREN true
#else
#define NO_THREADS_IN_CHILDREN false
#endif

TestSuite(fork, .timeout = 60, .disabled = NO_THREADS_IN_CHILDREN);

/* clang's ends such a child unless it is told not to. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}

#define CHECK(n, condition) \
    do { \
        if (!(condition)) \
            _exit(n); \
    } while (0)

static weir_atomic_u32 ran;

static weir_task *count_one(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    add(&ran, 1);
    return NULL;
}

static void count_call(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    add(&ran, 1);
}

static void check_all_calls_fail(weir_runtime *rt, int code)
{
    weir_task t;
    weir_task *list[1] = {&t};
    weir_stats s = {.size = sizeof s};
    size_t accepted = 77;
    weir_task_init(&t, count_one);
    CHECK(1, weir_submit(rt, &t, WEIR_TRY, 0) == code);
    CHECK(2, weir_submit(rt, &t, WEIR_BLOCK, 0) == code);
    CHECK(3, weir_submit(rt, &t, WEIR_BLOCK_UNTIL, in_ms(10)) == code);
    CHECK(4, weir_submit(rt, &t, WEIR_RUN_IN_CALLER, 0) == code);
    CHECK(5, weir_submit_batch(rt, list, 1, WEIR_BLOCK, 0, &accepted) == code);
    CHECK(6, weir_call(rt, count_call, NULL) == code);
    CHECK(7, weir_stats_read(rt, &s, NULL, 0) == code);
    CHECK(8, weir_stop(rt, WEIR_DRAIN, WEIR_FOREVER) == code);
    CHECK(9, weir_stop(rt, WEIR_DISCARD, 0) == code);
    CHECK(10, weir_self() == NULL);
    CHECK(11, get(&ran) == 0);
}

static void call_fib(weir_worker *w, void *arg)
{
    *(long *)arg = fib(w, 18);
}

static void check_own_runtime_works(void)
{
    weir_config c;
    weir_runtime *own = NULL;
    long result = 0;
    CHECK(20, weir_config_init(&c) == 0);
    c.workers = 3;
    c.deque_capacity = 2; /* moves buffers: reclamation works in the child as well */
    CHECK(21, weir_start(&own, &c) == 0);
    CHECK(22, weir_call(own, call_fib, &result) == 0 && result == 2584);
    CHECK(23, weir_stop(own, WEIR_DRAIN, in_ms(LONG_TIME_MS)) == 0);
    CHECK(24, weir_call(own, call_fib, &result) == -ESHUTDOWN);
}

static void in_child(void (*fn)(void *), void *arg)
{
    int status = -1;
    /* ASan holds a lock of its own while a thread starts or allocates, and a fork copies it: let the workers settle. */
    usleep(SETTLE_US);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        alarm(30);
        fn(arg);
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_not(WIFSIGNALED(status), "child died of signal %d", WTERMSIG(status));
    cr_assert_eq(WEXITSTATUS(status), 0, "check %d failed in the child", WEXITSTATUS(status));
}

static void child_of_idle(void *rt)
{
    check_all_calls_fail(rt, -EOWNERDEAD);
    check_own_runtime_works();
    check_all_calls_fail(rt, -EOWNERDEAD); /* the new one took its place in the table */
}

Test(fork, child_gets_ownerdead_from_every_call_and_may_start_its_own)
{
    weir_runtime *rt = start(4);
    in_child(child_of_idle, rt);
    call(rt, count_call, NULL); /* the parent's goes on */
    cr_assert_eq(get(&ran), 1);
    stop(rt);
}

static void child_of_many(void *arg)
{
    weir_runtime **rt = arg, *own[WEIR_RUNTIMES_MAX];
    weir_config c;
    for (unsigned i = 0; i < 8; i++)
        check_all_calls_fail(rt[i], -EOWNERDEAD);
    CHECK(30, weir_config_init(&c) == 0);
    c.workers = 1;
    for (unsigned i = 0; i < WEIR_RUNTIMES_MAX; i++)
        CHECK(31, weir_start(&own[i], &c) == 0);
    for (unsigned i = 0; i < WEIR_RUNTIMES_MAX; i++)
        CHECK(32, weir_stop(own[i], WEIR_DRAIN, WEIR_FOREVER) == 0);
}

Test(fork, places_of_the_parents_runtimes_are_free_in_the_child)
{
    weir_runtime *rt[8];
    for (unsigned i = 0; i < 8; i++)
        rt[i] = start(1);
    in_child(child_of_many, rt);
    for (unsigned i = 0; i < 8; i++)
        stop(rt[i]);
}

static void grandchild(void *rt)
{
    check_all_calls_fail(rt, -EOWNERDEAD);
    check_own_runtime_works();
}

static void child_that_forks(void *rt)
{
    weir_config c;
    weir_runtime *own = NULL;
    int status = -1;
    check_all_calls_fail(rt, -EOWNERDEAD);
    CHECK(40, weir_config_init(&c) == 0);
    c.workers = 2;
    CHECK(41, weir_start(&own, &c) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(30);
        grandchild(own);
        grandchild(rt);
        _exit(0);
    }
    CHECK(42, waitpid(pid, &status, 0) == pid);
    CHECK(43, WIFEXITED(status));
    CHECK(WEXITSTATUS(status), WEXITSTATUS(status) == 0);
    CHECK(44, weir_stop(own, WEIR_DRAIN, WEIR_FOREVER) == 0);
}

Test(fork, grandchildren_are_like_children)
{
    weir_runtime *rt = start(2);
    in_child(child_that_forks, rt);
    stop(rt);
}

static void child_of_stopped(void *rt)
{
    weir_stats s = {.size = sizeof s};
    int r = weir_stats_read(rt, &s, NULL, 0);
    CHECK(50, r == -ESHUTDOWN || r == -EOWNERDEAD);
    check_own_runtime_works();
}

Test(fork, runtime_stopped_before_the_fork_stays_stopped)
{
    weir_runtime *rt = start(2);
    stop(rt);
    in_child(child_of_stopped, rt);
}

/* Forks while workers move buffers, park and wake up. */
static weir_atomic_u32 enough;

static weir_task *busy(weir_worker *w, weir_task *self)
{
    long result;
    call_fib(w, &result);
    if (get(&enough))
        return NULL;
    return self;
}

Test(fork, fork_in_the_middle_of_work_disturbs_neither_side)
{
    static weir_task t[3];
    weir_config c = config_of(4);
    c.deque_capacity = 2;
    weir_runtime *rt = start_config(&c);
    for (unsigned i = 0; i < 3; i++) {
        weir_task_init(&t[i], busy);
        cr_assert_eq(weir_submit(rt, &t[i], WEIR_BLOCK, 0), 0);
    }
    for (unsigned i = 0; i < 20; i++)
        in_child(child_of_idle, rt);
    set(&enough, 1);
    stop(rt);
}

/* A child that comes out of calls that its parent entered has entered none itself: the main thread, as the guest of a
 * runtime whose worker is held and whose queue is full, forks inside of calls inside of a submit. */
#define NESTED 3u

static weir_atomic_u32 held, gate;
static pid_t born;

static weir_task *wait_for_gate(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    set(&held, 1);
    reaches(&gate, 1);
    return NULL;
}

static void call_deeper(weir_worker *w, void *depth)
{
    unsigned n = *(unsigned *)depth + 1;
    if (n == NESTED)
        born = fork();
    else
        cr_assert_eq(weir_call(weir_worker_runtime(w), call_deeper, &n), 0);
}

static weir_task *call_from_a_guest(weir_worker *w, weir_task *self)
{
    unsigned depth = 0;
    (void)self;
    call_deeper(w, &depth);
    return NULL;
}

Test(fork, child_born_inside_of_calls_leaves_them_and_starts_its_own)
{
    static weir_task holder, filler, guest;
    weir_config c = config_of(1);
    int status = 0;
    c.queue_capacity = 1;
    weir_runtime *rt = start_config(&c);
    weir_task_init(&holder, wait_for_gate);
    weir_task_init(&filler, wait_for_gate);
    weir_task_init(&guest, call_from_a_guest);
    cr_assert_eq(weir_submit(rt, &holder, WEIR_BLOCK, 0), 0);
    cr_assert(reaches(&held, 1));
    cr_assert_eq(weir_submit(rt, &filler, WEIR_TRY, 0), 0);
    cr_assert_eq(weir_submit(rt, &guest, WEIR_RUN_IN_CALLER, 0), 0);
    if (born == 0) {
        alarm(30);
        child_of_idle(rt);
        _exit(0);
    }
    cr_assert_gt(born, 0);
    cr_assert_eq(waitpid(born, &status, 0), born);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", (unsigned)status);
    set(&gate, 1);
    stop(rt);
}
