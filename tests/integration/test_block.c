/* SPDX-License-Identifier: MIT
 *
 * test_block.c - what must hold while workers block: others take their places, work goes on, and nobody comes for
 * nothing.
 */
#include "elastic_rig.h"

TestSuite(block, .timeout = 100);

static weir_task *misuse(weir_worker *w, weir_task *self)
{
    (void)self;
    int codes[] = {weir_block_end(w), weir_block_begin(NULL), weir_block_end(NULL), weir_block_begin(w),
                   weir_block_begin(w), weir_block_end(w), weir_block_end(w)};
    static const int expected[] = {-EINVAL, -EINVAL, -EINVAL, 0, -EALREADY, 0, -EINVAL};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i] != expected[i])
            add(&wrong, 1);
    add(&ran, 1);
    return NULL;
}

static weir_worker *a_worker;

static void keep_worker(weir_worker *w, void *arg)
{
    (void)arg;
    a_worker = w;
}

Test(block, misuse_of_block_gets_a_code_and_changes_nothing)
{
    weir_runtime *rt = start(2);
    submit_ok(rt, &tasks[0], misuse);
    cr_assert(reaches(&ran, 1));
    call(rt, keep_worker, NULL);
    cr_assert_eq(weir_block_begin(a_worker), -EINVAL, "this thread is no worker");
    cr_assert_eq(weir_block_end(a_worker), -EINVAL);
    cr_assert_eq(stats_of(rt).blocked, 0);
    cr_assert_eq(get(&wrong), 0);
    stop(rt);
}

static weir_task *begin_and_forget(weir_worker *w, weir_task *self)
{
    (void)self;
    if (weir_block_begin(w) != 0)
        add(&wrong, 1);
    add(&ran, 1);
    return NULL;
}

Test(block, task_that_forgets_block_end_is_ended_for)
{
    weir_runtime *rt = start(1);
    for (unsigned i = 0; i < 10; i++)
        submit_ok(rt, &tasks[i], begin_and_forget);
    cr_assert(reaches(&ran, 10));
    AWAIT(rt, s.blocked == 0);
    cr_assert_eq(get(&wrong), 0);
    stop(rt);
}

static void others_go_on(unsigned workers)
{
    weir_runtime *rt = start(workers);
    for (unsigned i = 0; i < workers; i++)
        submit_ok(rt, &tasks[i], block_until_gate);
    cr_assert(reaches(&entered, workers));
    AWAIT(rt, s.blocked == workers);
    unsigned prompt = 0;
    for (unsigned i = 0; i < 100; i++) {
        uint64_t begun = weir_now();
        submit_ok(rt, &tasks[workers + i], count_one);
        cr_assert(reaches(&ran, i + 1), "work waits although only blocked workers are there");
        cr_assert_lt(weir_now() - begun, 2000 * NS_PER_MS);
        prompt += weir_now() - begun < PROMPT_MS * NS_PER_MS;
    }
    cr_assert_geq(prompt, 50, "only %u of 100 tasks were not kept waiting", prompt);
    cr_assert_leq(stats_of(rt).threads, 2 * workers);
    set(&gate, 1);
    cr_assert(reaches(&ran, workers + 100));
    AWAIT(rt, s.threads == workers && s.workers == workers && s.blocked == 0); /* the spares have retired */
    cr_assert_eq(get(&wrong), 0);
    stop(rt);
}

Test(block, work_goes_on_while_the_only_worker_is_blocked)
{
    others_go_on(1);
}

Test(block, work_goes_on_while_all_workers_are_blocked)
{
    others_go_on(4);
}

Test(block, as_many_run_as_are_blocked)
{
    weir_runtime *rt = start(3);
    for (unsigned i = 0; i < 3; i++)
        submit_ok(rt, &tasks[i], block_until_gate);
    cr_assert(reaches(&entered, 3));
    for (unsigned i = 3; i < 6; i++) /* each needs a worker of its own */
        submit_ok(rt, &tasks[i], stick_until_gate);
    cr_assert(reaches(&entered, 6));
    set(&gate, 1);
    cr_assert(reaches(&ran, 6));
    stop(rt);
}

Test(block, no_thread_is_started_while_there_is_nothing_to_run)
{
    unsigned quiet = 0;
    for (unsigned round = 0; round < 20; round++) { /* a submitter that is slow to look may start one for nothing */
        set(&gate, 0);
        set(&entered, 0);
        set(&ran, 0);
        weir_runtime *rt = start(2);
        for (unsigned i = 0; i < 2; i++) {
            sleep_ms(2); /* a worker that sleeps takes longer than the submitter's look */
            submit_ok(rt, &tasks[i], block_until_gate);
        }
        cr_assert(reaches(&entered, 2));
        sleep_ms(5);
        quiet += stats_of(rt).threads == 2;
        set(&gate, 1);
        cr_assert(reaches(&ran, 2));
        stop(rt);
    }
    cr_assert_geq(quiet, 5);
}

Test(block, blocked_workers_beyond_the_limit_get_no_spare)
{
    weir_config c = config_of(1);
    c.spare_workers = 2;
    weir_runtime *rt = start_config(&c);
    for (unsigned i = 0; i < 3; i++)
        submit_ok(rt, &tasks[i], block_until_gate);
    cr_assert(reaches(&entered, 3));
    submit_ok(rt, &tasks[3], count_one);
    sleep_ms(20);
    cr_assert_eq(get(&ran), 0);
    cr_assert_eq(stats_of(rt).threads, 3);
    set(&gate, 1);
    cr_assert(reaches(&ran, 4));
    cr_assert_eq(get(&wrong), 0);
    stop(rt);
}

static void fork_then_block(weir_worker *w, void *arg)
{
    (void)arg;
    weir_task t[20];
    for (unsigned i = 0; i < 20; i++) {
        t[i].run = count_one;
        weir_fork(w, &t[i]);
    }
    if (weir_block_begin(w) != 0)
        add(&wrong, 1);
    if (!reaches(&ran, 20)) /* others run them */
        add(&wrong, 1);
    if (weir_block_end(w) != 0)
        add(&wrong, 1);
    for (unsigned i = 20; i-- > 0;)
        if (weir_join(w, &t[i]) != 0)
            add(&wrong, 1);
}

Test(block, private_tasks_of_a_blocked_worker_are_run_by_others)
{
    weir_runtime *rt = start(1);
    call(rt, fork_then_block, NULL);
    cr_assert_eq(get(&ran), 20);
    cr_assert_eq(get(&wrong), 0);
    stop(rt);
}

static weir_task *join_what_sticks(weir_worker *w, weir_task *self)
{
    (void)self;
    weir_task t;
    t.run = stick_until_gate;
    weir_fork(w, &t);
    if (!reaches(&entered, 1)) /* it was stolen */
        add(&wrong, 1);
    if (weir_join(w, &t) != 0)
        add(&wrong, 1);
    return NULL;
}

Test(block, long_join_of_a_stolen_task_lets_others_use_the_processor)
{
    weir_runtime *rt = start(2);
    submit_ok(rt, &tasks[0], join_what_sticks);
    cr_assert(reaches(&entered, 1));
    submit_ok(rt, &tasks[1], count_one); /* both workers are taken: one waits, one runs what is waited for */
    cr_assert(reaches(&ran, 1));
    set(&gate, 1);
    cr_assert(reaches(&ran, 2));
    stop(rt);
    cr_assert_eq(get(&wrong), 0);
}
