/* SPDX-License-Identifier: MIT
 *
 * test_call.c - what must hold for weir_call(): from outside, inside and from another runtime, and when it is stopped.
 */
#include "submit_rig.h"

TestSuite(call, .timeout = 60);

static weir_task holder;

static void nested_call(weir_worker *w, void *arg)
{
    weir_worker **seen = arg;
    *seen = w;
    if (weir_self() != w || weir_call(weir_worker_runtime(w), count_call, NULL) != 0)
        abort();
}

struct across {
    weir_runtime *other;
    int result, submitted;
    weir_task task;
};

static void call_other(weir_worker *w, void *arg)
{
    struct across *a = arg;
    (void)w;
    a->result = weir_call(a->other, count_call, NULL);
    weir_task_init(&a->task, count_one);
    a->submitted = weir_submit(a->other, &a->task, WEIR_TRY, 0);
}

Test(call, call_from_outside_inside_and_another_runtimes_worker)
{
    weir_runtime *a = start(2), *b = start(2);
    weir_worker *seen = NULL;
    struct across across = {.other = b, .result = 1, .submitted = 1};
    cr_assert_null(weir_self());
    call(a, nested_call, &seen);
    cr_assert_not_null(seen);
    cr_assert_eq(get(&ran), 1, "a call on the runtime's own worker is a plain call");
    call(a, call_other, &across);
    cr_assert_eq(across.result, -EDEADLK);
    cr_assert_eq(across.submitted, 0, "submitting to another runtime is all right");
    stop(b);
    stop(a);
    cr_assert_eq(get(&ran), 2);
}

struct identity {
    weir_runtime *rt;
    unsigned index;
};

static void who_am_i(weir_worker *w, void *arg)
{
    struct identity *id = arg;
    id->rt = weir_worker_runtime(w);
    id->index = weir_worker_index(w);
}

Test(call, worker_knows_its_runtime_and_number)
{
    weir_runtime *rt = start(3);
    for (unsigned i = 0; i < 50; i++) {
        struct identity id = {NULL, 99};
        call(rt, who_am_i, &id);
        cr_assert_eq(id.rt, rt);
        cr_assert_lt(id.index, 3);
    }
    stop(rt);
}

static void *call_in_thread(void *arg)
{
    return (void *)(intptr_t)weir_call(arg, count_call, NULL);
}

Test(call, call_that_was_not_begun_is_cancelled_by_a_discarding_stop)
{
    pthread_t thread;
    void *result = NULL;
    weir_config c = config_of(1);
    weir_runtime *rt = start_config(&c);
    submit_ok(rt, &holder, wait_for_gate);
    cr_assert(reaches(&entered, 1));
    cr_assert_eq(pthread_create(&thread, NULL, call_in_thread, rt), 0);
    weir_stats s = {.size = sizeof s};
    do
        cr_assert_eq(weir_stats_read(rt, &s, NULL, 0), 0);
    while (s.queue_depth == 0);
    cr_assert_eq(weir_stop(rt, WEIR_DISCARD, in_ms(10)), -ETIMEDOUT);
    set(&gate, 1);
    pthread_join(thread, &result);
    cr_assert_eq((int)(intptr_t)result, -ECANCELED);
    s = stop_and_read(rt, WEIR_DISCARD);
    cr_assert_eq(s.total.tasks_discarded, 1);
    cr_assert_eq(get(&ran), 1);
}
