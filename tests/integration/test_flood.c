/* SPDX-License-Identifier: MIT
 *
 * test_flood.c - what must hold when more tasks are spawned than may wait: those beyond run inside their spawn, as any
 * task runs.
 */
#include "support.h"

#define FLOOD 200000u
#define DEFAULT_LIMIT 65536u
#define SHORT_FLOOD 2000u
#define LIMIT 8u
#define FORKS 3u /* of a task at once: what the reserve of a deque with LIMIT slots holds, and no more */
#define CHAIN 300000u

TestSuite(flood, .timeout = 100);

static weir_task flood[FLOOD];
static weir_atomic_u32 ran;
static weir_atomic_u32 wrong;

static weir_task *count_one(weir_worker *w, weir_task *self)
{
    (void)w;
    (void)self;
    add(&ran, 1);
    return NULL;
}

static weir_runtime *start_short(unsigned workers, uint32_t limit)
{
    weir_config c = config_of(workers);
    c.deque_capacity = 2;
    c.deque_limit = limit;
    set(&ran, 0);
    set(&wrong, 0);
    return start_config(&c);
}

/* --- how many wait ---------------------------------------------------------------------------------------------- */

static void spawn_all(weir_worker *w, void *arg)
{
    uint32_t *most = arg;
    weir_scope s;
    weir_scope_init(w, &s);
    for (uint32_t i = 0; i < FLOOD; i++) {
        weir_task_init(&flood[i], count_one);
        weir_scope_spawn(w, &s, &flood[i]);
        uint32_t waiting = i + 1 - get(&ran);
        *most = waiting > *most ? waiting : *most;
    }
    if (weir_scope_wait(w, &s) != 0)
        abort();
}

static uint32_t most_waiting(uint32_t capacity, uint32_t limit)
{
    uint32_t most = 0;
    weir_config c = config_of(1);
    c.deque_capacity = capacity;
    c.deque_limit = limit;
    set(&ran, 0);
    weir_runtime *rt = start_config(&c);
    call(rt, spawn_all, &most);
    stop(rt);
    cr_assert_eq(get(&ran), FLOOD);
    return most;
}

Test(flood, no_more_tasks_wait_than_the_limit_allows)
{
    uint32_t waiting = most_waiting(1024, 0);
    cr_assert_leq(waiting, DEFAULT_LIMIT);
    cr_assert_geq(waiting, DEFAULT_LIMIT / 2, "only %u waited", waiting);
    cr_assert_gt(most_waiting(2 * DEFAULT_LIMIT, 0), DEFAULT_LIMIT, "a longer first deque is a longer limit");
    cr_assert_eq(most_waiting(2, WEIR_DEQUE_LIMIT_MAX), FLOOD, "none runs before its time");
}

/* --- scopes ----------------------------------------------------------------------------------------------------- */

#define LAST_TO_RUN 100u

struct verdict {
    weir_scope scope;
    int error; /* what the task before the last fails with, or 0: it cancels */
    int result;
};

static weir_task *count_and_end(weir_worker *w, weir_task *self)
{
    struct verdict *v = (struct verdict *)(void *)weir_scope_of(self);
    (void)w;
    if (add(&ran, 1) != LAST_TO_RUN)
        return NULL;
    if (v->error != 0)
        weir_scope_fail(&v->scope, v->error);
    else
        weir_scope_cancel(&v->scope);
    return NULL;
}

static void spawn_until_the_end(weir_worker *w, void *arg)
{
    struct verdict *v = arg;
    weir_scope_init(w, &v->scope);
    for (uint32_t i = 0; i < SHORT_FLOOD; i++) {
        weir_task_init(&flood[i], count_and_end);
        weir_scope_spawn(w, &v->scope, &flood[i]);
    }
    v->result = weir_scope_wait(w, &v->scope);
}

Test(flood, error_or_cancel_inside_a_spawn_skips_the_rest_of_the_scope)
{
    static const int errors[] = {-EIO, 0};
    for (unsigned i = 0; i < 2; i++) {
        struct verdict v = {.error = errors[i]};
        weir_runtime *rt = start_short(1, LIMIT);
        call(rt, spawn_until_the_end, &v);
        weir_stats last = stop_and_read(rt, WEIR_DRAIN);
        cr_assert_eq(v.result, errors[i] != 0 ? errors[i] : -ECANCELED);
        cr_assert_eq(get(&ran), LAST_TO_RUN);
        cr_assert_eq(last.total.tasks_skipped, SHORT_FLOOD - LAST_TO_RUN);
    }
}

/* --- what a task leads to --------------------------------------------------------------------------------------- */

static weir_task followers[SHORT_FLOOD];
static weir_atomic_u32 lasts;

static weir_task *return_follower(weir_worker *w, weir_task *self)
{
    (void)w;
    weir_task *next = &followers[self - flood];
    weir_task_init(next, count_one);
    return next;
}

static weir_task *count_last(weir_worker *w, weir_task *self)
{
    (void)w;
    (void)self;
    add(&lasts, 1);
    return NULL;
}

static void spawn_before_a_continuation(weir_worker *w, void *arg)
{
    weir_task last;
    weir_scope s;
    (void)arg;
    weir_scope_init(w, &s);
    weir_continuation_init(&last, count_last, SHORT_FLOOD);
    weir_scope_add(&s, &last);
    for (uint32_t i = 0; i < SHORT_FLOOD; i++) {
        weir_task_init(&flood[i], return_follower);
        weir_task_then(&flood[i], &last);
        weir_spawn(w, &flood[i]);
    }
    if (weir_scope_wait(w, &s) != 0)
        abort();
}

Test(flood, returned_tasks_and_the_continuation_run_once)
{
    for (unsigned workers = 1; workers <= 4; workers++) {
        weir_runtime *rt = start_short(workers, LIMIT);
        set(&lasts, 0);
        call(rt, spawn_before_a_continuation, NULL);
        stop(rt);
        cr_assert_eq(get(&ran), SHORT_FLOOD);
        cr_assert_eq(get(&lasts), 1);
    }
}

/* --- forks of a task that runs inside a spawn -------------------------------------------------------------------- */

static weir_task *fork_three(weir_worker *w, weir_task *self)
{
    weir_task forked[FORKS];
    (void)self;
    for (unsigned i = 0; i < FORKS; i++) {
        uint32_t before = get(&ran);
        forked[i].run = count_one;
        weir_fork(w, &forked[i]);
        if (get(&ran) != before)
            add(&wrong, 1);
    }
    for (unsigned i = FORKS; i-- > 0;)
        if (weir_join(w, &forked[i]) != 0)
            abort();
    return NULL;
}

static void spawn_forkers(weir_worker *w, void *arg)
{
    weir_scope s;
    weir_task_fn *run = *(weir_task_fn **)arg;
    weir_scope_init(w, &s);
    for (uint32_t i = 0; i < SHORT_FLOOD; i++) {
        weir_task_init(&flood[i], run);
        weir_scope_spawn(w, &s, &flood[i]);
    }
    if (weir_scope_wait(w, &s) != 0)
        abort();
}

Test(flood, forks_inside_a_spawn_wait_for_their_join)
{
    weir_task_fn *run = fork_three;
    weir_runtime *rt = start_short(1, LIMIT);
    for (unsigned round = 0; round < 3; round++)
        call(rt, spawn_forkers, &run);
    stop(rt);
    cr_assert_eq(get(&ran), 3 * FORKS * SHORT_FLOOD);
    cr_assert_eq(get(&wrong), 0, "%u forks ran at once", get(&wrong));
}

#define CHILDREN 6u

struct family {
    weir_task forked;
    weir_task children[CHILDREN];
};

static struct family families[SHORT_FLOOD];

/* Leaves children in the reserve, and beyond it, that its own forks have opened. */
static weir_task *fork_and_spawn(weir_worker *w, weir_task *self)
{
    struct family *f = &families[self - flood];
    f->forked.run = count_one;
    weir_fork(w, &f->forked);
    for (unsigned i = 0; i < CHILDREN; i++) {
        weir_task_init(&f->children[i], count_one);
        weir_scope_spawn(w, weir_scope_of(self), &f->children[i]);
        if (i == CHILDREN / 2 && weir_join(w, &f->forked) != 0)
            abort();
    }
    return NULL;
}

Test(flood, what_is_left_in_the_reserve_runs_once)
{
    weir_task_fn *run = fork_and_spawn;
    for (unsigned workers = 1; workers <= 4; workers++) {
        for (uint32_t limit = 2; limit <= 2 * LIMIT; limit *= 2) {
            weir_runtime *rt = start_short(workers, limit);
            for (unsigned round = 1; round <= 5; round++) {
                call(rt, spawn_forkers, &run);
                cr_assert_eq(get(&ran), round * SHORT_FLOOD * (CHILDREN + 1), "%u workers, limit %u: %u", workers,
                             limit, get(&ran));
            }
            stop(rt);
        }
    }
}

/* --- bounds ----------------------------------------------------------------------------------------------------- */

static weir_task *chain;

static weir_task *spawn_next(weir_worker *w, weir_task *self)
{
    volatile uint8_t frame[64]; /* a task that needs some stack */
    frame[0] = 1;
    if (self + 1 < chain + CHAIN) {
        weir_task_init(self + 1, spawn_next);
        weir_scope_spawn(w, weir_scope_of(self), self + 1);
    }
    add(&ran, frame[0]);
    return NULL;
}

static void begin_chain(weir_worker *w, void *arg)
{
    weir_scope s;
    weir_task blockers[LIMIT];
    (void)arg;
    weir_scope_init(w, &s);
    for (unsigned i = 0; i < LIMIT; i++) {
        weir_task_init(&blockers[i], count_one);
        weir_scope_spawn(w, &s, &blockers[i]);
    }
    weir_task_init(&chain[0], spawn_next);
    weir_scope_spawn(w, &s, &chain[0]);
    if (weir_scope_wait(w, &s) != 0)
        abort();
}

Test(flood, chain_of_spawns_does_not_use_up_the_stack)
{
    chain = malloc(CHAIN * sizeof *chain);
    cr_assert_not_null(chain);
    weir_config c = config_of(1);
    c.deque_capacity = 2;
    c.deque_limit = LIMIT;
    c.stack_size = 64 << 10;
    set(&ran, 0);
    weir_runtime *rt = start_config(&c);
    call(rt, begin_chain, NULL);
    stop(rt);
    cr_assert_eq(get(&ran), CHAIN + LIMIT);
    free(chain);
}

static weir_atomic_u32 spawner; /* the worker that floods */

/* The first task that runs inside a spawn waits until another worker has taken what waits. */
static weir_task *await_a_thief(weir_worker *w, weir_task *self)
{
    (void)self;
    if (weir_worker_index(w) != get(&spawner))
        add(&ran, 1);
    else if (!reaches(&ran, 1))
        abort();
    return NULL;
}

static void flood_and_wait(weir_worker *w, void *arg)
{
    set(&spawner, weir_worker_index(w));
    spawn_forkers(w, arg);
}

Test(flood, what_waits_is_stolen_while_a_task_runs_inside_a_spawn)
{
    weir_task_fn *run = await_a_thief;
    for (unsigned round = 0; round < 20; round++) {
        weir_runtime *rt = start_short(2, LIMIT);
        call(rt, flood_and_wait, &run);
        stop(rt);
        cr_assert_geq(get(&ran), 1);
    }
}
