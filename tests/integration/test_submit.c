/* SPDX-License-Identifier: MIT
 *
 * test_submit.c - what must hold for work from outside: the four policies, batches, refusals, accounting.
 */
#include "fib.h"
#include "submit_rig.h"

TestSuite(submit, .timeout = 60);

static weir_task holder, fillers[64], extra[64];

/* --- policies ------------------------------------------------------------------------------------------------- */

Test(submit, try_on_a_full_injector_is_refused_counted_and_changes_nothing)
{
    for (uint32_t capacity = 1; capacity <= 16; capacity *= 4) {
        set(&ran, 0), set(&entered, 0), set(&gate, 0);
        weir_runtime *rt = start_full(capacity, 0, &holder, fillers);
        weir_task_init(&extra[0], count_one);
        weir_task before = extra[0];
        for (unsigned i = 0; i < 10; i++)
            cr_assert_eq(weir_submit(rt, &extra[0], WEIR_TRY, 0), -EAGAIN);
        cr_assert_arr_eq(&before, &extra[0], sizeof before);
        weir_stats s = {.size = sizeof s};
        cr_assert_eq(weir_stats_read(rt, &s, NULL, 0), 0);
        cr_assert_eq(s.total.rejected, 10);
        cr_assert_eq(s.queue_depth, capacity);
        cr_assert_eq(s.queue_capacity, capacity);
        set(&gate, 1);
        s = stop_and_read(rt, WEIR_DRAIN);
        cr_assert_eq(get(&ran), capacity + 1, "a refused task has run");
        cr_assert_eq(s.total.submitted, capacity + 1);
        cr_assert_eq(s.total.injected, capacity + 1);
        cr_assert_eq(s.total.tasks_run, capacity + 1);
        cr_assert_eq(s.total.rejected, 10);
        cr_assert_eq(s.queue_depth, 0);
    }
}

Test(submit, blocked_submit_sleeps_until_there_is_room)
{
    static struct submitter s;
    weir_runtime *rt = start_full(1, 0, &holder, fillers);
    begin_submitter(&s, rt, extra, 3, WEIR_BLOCK);
    sleep_ms(30);
    cr_assert_eq(get(&s.done), 0, "there was no room");
    set(&gate, 1);
    cr_assert(reaches(&s.done, 1), "the room was not noticed");
    pthread_join(s.thread, NULL);
    cr_assert_eq(s.result, 0);
    stop(rt);
    cr_assert_eq(get(&ran), 5);
}

Test(submit, submit_with_a_deadline_gives_up_then_and_not_before)
{
    weir_runtime *rt = start_full(1, 0, &holder, fillers);
    weir_task_init(&extra[0], count_one);
    uint64_t deadline = in_ms(20);
    cr_assert_eq(weir_submit(rt, &extra[0], WEIR_BLOCK_UNTIL, deadline), -ETIMEDOUT);
    cr_assert_geq(weir_now(), deadline);
    cr_assert_eq(weir_submit(rt, &extra[0], WEIR_BLOCK_UNTIL, 0), -ETIMEDOUT);
    set(&gate, 1);
    cr_assert_eq(weir_submit(rt, &extra[0], WEIR_BLOCK_UNTIL, in_ms(LONG_TIME_MS)), 0);
    stop(rt);
    cr_assert_eq(get(&ran), 3);
}

Test(submit, deadline_in_the_past_is_refused_at_once_when_full_and_changes_nothing)
{
    weir_runtime *rt = start_full(1, 0, &holder, fillers);
    weir_task *batch[] = {&extra[0], &extra[1]};
    size_t accepted = 77;
    weir_task_init(&extra[0], count_one);
    weir_task_init(&extra[1], count_one);
    weir_task before = extra[0];
    for (uint64_t past = 0; past <= 1; past++) {
        cr_assert_eq(weir_submit(rt, &extra[0], WEIR_BLOCK_UNTIL, past), -ETIMEDOUT);
        cr_assert_eq(weir_submit_batch(rt, batch, 2, WEIR_BLOCK_UNTIL, past, &accepted), -ETIMEDOUT);
        cr_assert_eq(accepted, 0);
    }
    cr_assert_eq(weir_submit(rt, &extra[0], WEIR_BLOCK_UNTIL, weir_now() - 1), -ETIMEDOUT);
    extra[0].stamp = before.stamp; /* the runtime's, whatever it holds */
    cr_assert_eq(memcmp(&before, &extra[0], sizeof before), 0);
    cr_assert_eq(weir_submit_lane(rt, &extra[0], WEIR_LANE_LOW, WEIR_BLOCK_UNTIL, 0), 0, "another lane has room");
    set(&gate, 1);
    stop(rt);
    cr_assert_eq(get(&ran), 3);
}

static pthread_t runner;
static weir_atomic_u32 ran_here;

static weir_task *note_thread(weir_worker *w, weir_task *self)
{
    (void)self;
    if (pthread_equal(pthread_self(), runner) && weir_self() == w)
        add(&ran_here, 1);
    return NULL;
}

Test(submit, run_in_caller_runs_on_this_thread_when_full)
{
    weir_runtime *rt = start_full(2, 1, &holder, fillers);
    runner = pthread_self();
    for (unsigned i = 0; i < 5; i++) {
        weir_task_init(&extra[i], note_thread);
        cr_assert_eq(weir_submit(rt, &extra[i], WEIR_RUN_IN_CALLER, 0), 0);
        cr_assert_eq(get(&ran_here), i + 1, "it has run when submit returns");
        cr_assert_null(weir_self());
    }
    set(&gate, 1);
    weir_stats s = stop_and_read(rt, WEIR_DRAIN);
    cr_assert_eq(get(&ran), 3);
    cr_assert_eq(s.total.submitted, 8);
    cr_assert_eq(s.total.injected, 3);
    cr_assert_eq(s.total.tasks_run, 8);
    cr_assert_eq(s.total.rejected, 0);
}

static weir_task *fib_task_run(weir_worker *w, weir_task *self)
{
    (void)self;
    if (fib(w, 16) == 987)
        add(&ran_here, 1);
    return NULL;
}

struct spawning {
    weir_task task;
    weir_task child[10];
};

static weir_task *spawn_ten(weir_worker *w, weir_task *self)
{
    struct spawning *s = (struct spawning *)self;
    for (unsigned i = 0; i < 10; i++) {
        weir_task_init(&s->child[i], count_one);
        weir_spawn(w, &s->child[i]);
    }
    return NULL;
}

Test(submit, guest_may_fork_and_spawn_like_any_worker)
{
    static struct spawning s;
    weir_runtime *rt = start_full(1, 2, &holder, fillers);
    weir_task_init(&extra[0], fib_task_run);
    cr_assert_eq(weir_submit(rt, &extra[0], WEIR_RUN_IN_CALLER, 0), 0);
    cr_assert_eq(get(&ran_here), 1);
    weir_task_init(&s.task, spawn_ten);
    cr_assert_eq(weir_submit(rt, &s.task, WEIR_RUN_IN_CALLER, 0), 0);
    cr_assert_eq(get(&ran), 10, "a guest leaves nothing on its deque: its only helper is held");
    set(&gate, 1);
    stop(rt);
    cr_assert_eq(get(&ran), 12);
}

Test(submit, run_in_caller_without_a_free_guest_sleeps_until_one_leaves_or_there_is_room)
{
    static struct submitter s[4];
    static weir_task tasks[4][20];
    weir_runtime *rt = start_full(1, 1, &holder, fillers);
    for (unsigned i = 0; i < 4; i++)
        begin_submitter(&s[i], rt, tasks[i], 20, WEIR_RUN_IN_CALLER);
    for (unsigned i = 0; i < 4; i++) { /* the worker is held all the time: only guests make progress */
        cr_assert(reaches(&s[i].done, 1), "a guest's leaving was missed");
        pthread_join(s[i].thread, NULL);
        cr_assert_eq(s[i].result, 0);
    }
    cr_assert_eq(get(&ran), 80);
    set(&gate, 1);
    stop(rt);
    cr_assert_eq(get(&ran), 82);
}

/* A leaving guest's wake-up must reach a thread that it is of use to. */
Test(submit, guest_that_leaves_wakes_a_waiting_guest_not_only_a_blocked_submitter)
{
    static struct submitter blocked[3], guests[2];
    static weir_task slow, blocked_tasks[3][1], guest_tasks[2][50];
    weir_runtime *rt = start_full(1, 1, &holder, fillers);
    (void)slow;
    for (unsigned i = 0; i < 3; i++)
        begin_submitter(&blocked[i], rt, blocked_tasks[i], 1, WEIR_BLOCK);
    sleep_ms(10);
    for (unsigned i = 0; i < 2; i++)
        begin_submitter(&guests[i], rt, guest_tasks[i], 50, WEIR_RUN_IN_CALLER);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert(reaches(&guests[i].done, 1), "a blocked submitter has eaten the wake-up");
        pthread_join(guests[i].thread, NULL);
    }
    set(&gate, 1);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(blocked[i].thread, NULL);
    stop(rt);
    cr_assert_eq(get(&ran), 2 + 3 + 100);
}

/* --- a worker's own submit ------------------------------------------------------------------------------------ */

struct own {
    weir_task task;
    weir_policy policy;
    weir_task many[100];
    int bad;
};

static weir_task *submit_from_inside(weir_worker *w, weir_task *self)
{
    struct own *o = (struct own *)self;
    weir_runtime *rt = weir_worker_runtime(w);
    for (unsigned i = 0; i < 100; i++) {
        weir_task_init(&o->many[i], count_one);
        int r = weir_submit(rt, &o->many[i], o->policy, 0);
        if (r == -EAGAIN && o->policy == WEIR_TRY)
            add(&ran, 1);
        else if (r != 0)
            o->bad = r;
    }
    set(&gate, 1);
    return NULL;
}

Test(submit, workers_own_submit_never_blocks)
{
    for (int policy = WEIR_TRY; policy <= WEIR_RUN_IN_CALLER; policy++) {
        static struct own o;
        weir_config c = config_of(1);
        c.queue_capacity = 1;
        c.deque_capacity = 2;
        set(&ran, 0), set(&gate, 0);
        weir_runtime *rt = start_config(&c);
        o.policy = (weir_policy)policy;
        o.bad = 0;
        weir_task_init(&o.task, submit_from_inside);
        cr_assert_eq(weir_submit(rt, &o.task, WEIR_BLOCK, 0), 0);
        cr_assert(reaches(&gate, 1), "it blocks");
        stop(rt);
        cr_assert_eq(o.bad, 0);
        cr_assert_eq(get(&ran), 100);
    }
}

/* --- batches -------------------------------------------------------------------------------------------------- */

#define BATCH 500u

static weir_task batch[BATCH];
static weir_task *list[BATCH];

static void make_batch(weir_task_fn *fn)
{
    for (unsigned i = 0; i < BATCH; i++) {
        weir_task_init(&batch[i], fn);
        list[i] = &batch[i];
    }
}

Test(submit, batch_larger_than_the_injector_gets_through)
{
    for (int policy = WEIR_BLOCK; policy <= WEIR_RUN_IN_CALLER; policy++) {
        for (uint32_t capacity = 1; capacity <= 64; capacity *= 8) {
            weir_config c = config_of(2);
            size_t accepted = 0;
            c.queue_capacity = capacity;
            set(&ran, 0);
            make_batch(count_one);
            weir_runtime *rt = start_config(&c);
            cr_assert_eq(weir_submit_batch(rt, list, BATCH, (weir_policy)policy, in_ms(LONG_TIME_MS), &accepted), 0);
            cr_assert_eq(accepted, BATCH);
            cr_assert_eq(weir_submit_batch(rt, list, 0, (weir_policy)policy, 0, &accepted), 0);
            cr_assert_eq(accepted, 0);
            cr_assert_eq(weir_submit_batch(rt, NULL, 0, (weir_policy)policy, 0, NULL), 0);
            weir_stats s = stop_and_read(rt, WEIR_DRAIN);
            cr_assert_eq(get(&ran), BATCH);
            cr_assert_eq(s.total.submitted, BATCH);
        }
    }
}

Test(submit, refused_batch_tells_the_accepted_prefix)
{
    weir_runtime *rt = start_full(4, 0, &holder, fillers);
    size_t accepted = 77;
    make_batch(count_one);
    cr_assert_eq(weir_submit_batch(rt, list, BATCH, WEIR_TRY, 0, &accepted), -EAGAIN);
    cr_assert_eq(accepted, 0);
    accepted = 77;
    cr_assert_eq(weir_submit_batch(rt, list, BATCH, WEIR_BLOCK_UNTIL, in_ms(10), &accepted), -ETIMEDOUT);
    cr_assert_eq(accepted, 0);
    set(&gate, 1);
    accepted = 77;
    int r = weir_submit_batch(rt, list, BATCH, WEIR_TRY, 0, &accepted);
    cr_assert(r == -EAGAIN || (r == 0 && accepted == BATCH));
    cr_assert_leq(accepted, BATCH);
    stop(rt);
    cr_assert_eq(get(&ran), 5 + accepted);
}

Test(submit, batch_with_a_bad_task_is_refused_as_a_whole)
{
    weir_runtime *rt = start(1);
    size_t accepted = 77;
    make_batch(count_one);
    list[BATCH - 1] = NULL;
    cr_assert_eq(weir_submit_batch(rt, list, BATCH, WEIR_BLOCK, 0, &accepted), -EINVAL);
    weir_continuation_init(&batch[7], count_one, 1);
    list[BATCH - 1] = &batch[BATCH - 1];
    cr_assert_eq(weir_submit_batch(rt, list, BATCH, WEIR_BLOCK, 0, &accepted), -EINVAL);
    cr_assert_eq(weir_submit_batch(rt, NULL, 3, WEIR_BLOCK, 0, &accepted), -EINVAL);
    cr_assert_eq(accepted, 77);
    stop(rt);
    cr_assert_eq(get(&ran), 0);
}

/* --- refusals ------------------------------------------------------------------------------------------------- */

Test(submit, bad_arguments_are_refused_and_change_nothing)
{
    weir_runtime *rt = start(1);
    weir_task t, before;
    weir_task_init(&t, count_one);
    before = t;
    cr_assert_eq(weir_submit(NULL, &t, WEIR_TRY, 0), -EINVAL);
    cr_assert_eq(weir_submit(rt, NULL, WEIR_TRY, 0), -EINVAL);
    cr_assert_eq(weir_submit(rt, &t, (weir_policy)4, 0), -EINVAL);
    cr_assert_eq(weir_submit(rt, &t, (weir_policy)-1, 0), -EINVAL);
    cr_assert_arr_eq(&t, &before, sizeof t);
    t.run = NULL;
    cr_assert_eq(weir_submit(rt, &t, WEIR_TRY, 0), -EINVAL);
    weir_continuation_init(&t, count_one, 2);
    cr_assert_eq(weir_submit(rt, &t, WEIR_TRY, 0), -EINVAL, "it is not ready");
    cr_assert_eq(weir_call(rt, NULL, NULL), -EINVAL);
    cr_assert_eq(weir_call(NULL, NULL, NULL), -EINVAL);
    /* what is no handle at all */
    weir_task_init(&t, count_one);
    for (uintptr_t i = 1; i < 600; i++) {
        weir_runtime *nonsense = (weir_runtime *)i;
        if (nonsense == rt)
            continue;
        int r = weir_submit(nonsense, &t, WEIR_TRY, 0);
        cr_assert(r == -EINVAL || r == -ESHUTDOWN, "handle %u: %d", (unsigned)i, r);
    }
    cr_assert_eq(weir_submit((weir_runtime *)UINTPTR_MAX, &t, WEIR_TRY, 0), -EINVAL);
    stop(rt);
    cr_assert_eq(get(&ran), 0);
}

static void expect_shutdown(weir_runtime *rt)
{
    weir_stats s = {.size = sizeof s};
    weir_task t;
    size_t accepted = 0;
    weir_task_init(&t, count_one);
    list[0] = &t;
    for (int policy = WEIR_TRY; policy <= WEIR_RUN_IN_CALLER; policy++) {
        cr_assert_eq(weir_submit(rt, &t, (weir_policy)policy, 0), -ESHUTDOWN);
        cr_assert_eq(weir_submit_batch(rt, list, 1, (weir_policy)policy, 0, &accepted), -ESHUTDOWN);
    }
    cr_assert_eq(weir_call(rt, count_call, NULL), -ESHUTDOWN);
    cr_assert_eq(weir_stats_read(rt, &s, NULL, 0), -ESHUTDOWN);
    cr_assert_eq(weir_stop(rt, WEIR_DRAIN, WEIR_FOREVER), -ESHUTDOWN);
}

Test(submit, every_call_on_a_stopped_runtime_is_refused)
{
    weir_runtime *old = start(1);
    stop(old);
    expect_shutdown(old);
    weir_runtime *new = start(1); /* takes the same place */
    expect_shutdown(old);
    call(new, count_call, NULL);
    stop(new);
    expect_shutdown(old);
    cr_assert_eq(get(&ran), 1);
}
