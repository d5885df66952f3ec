/* SPDX-License-Identifier: MIT
 *
 * test_submitters.c - what must hold for many submitting threads: turns, records of threads, nothing lost.
 */
#include "submit_rig.h"

TestSuite(submitters, .timeout = 60);

static weir_task holder, fillers[1];

#define CROWD 300u /* more threads than handle.c has records of visitors */

static weir_runtime *crowded;
static weir_atomic_u32 arrived;

/* Inside while all others are, and once more after that. */
static void *submit_in_a_crowd(void *own)
{
    weir_task *t = own;
    for (unsigned i = 0; i < 2; i++) {
        weir_task_init(&t[i], count_one);
        cr_assert_eq(weir_submit(crowded, &t[i], WEIR_BLOCK, 0), 0);
        add(&arrived, 1);
        cr_assert(reaches(&arrived, CROWD));
    }
    return NULL;
}

Test(submitters, more_threads_than_have_records_submit_and_leave_them_to_others)
{
    static weir_task tasks[CROWD][2];
    for (unsigned round = 1; round <= 2; round++) {
        pthread_t thread[CROWD];
        crowded = start(2);
        set(&arrived, 0);
        set(&ran, 0);
        for (unsigned i = 0; i < CROWD; i++)
            cr_assert_eq(pthread_create(&thread[i], NULL, submit_in_a_crowd, tasks[i]), 0);
        for (unsigned i = 0; i < CROWD; i++)
            cr_assert_eq(pthread_join(thread[i], NULL), 0);
        stop(crowded);
        cr_assert_eq(get(&ran), 2 * CROWD);
        cr_assert_eq(weir_submit(crowded, &tasks[0][0], WEIR_TRY, 0), -ESHUTDOWN);
    }
}

#define QUEUED_THREADS 8u

static struct queued {
    weir_runtime *rt;
    weir_task task;
    pthread_t thread;
} queued[QUEUED_THREADS];
static weir_atomic_u32 queued_tid, turns, turn[QUEUED_THREADS]; /* whose task ran first, second ... */

static weir_task *note_turn(weir_worker *w, weir_task *self)
{
    (void)w;
    for (uint32_t i = 0; i < QUEUED_THREADS; i++)
        if (self == &queued[i].task)
            set(&turn[get(&turns)], i);
    add(&turns, 1);
    return NULL;
}

static void *submit_one(void *arg)
{
    struct queued *q = arg;
    set(&queued_tid, (uint32_t)gettid());
    submit_ok(q->rt, &q->task, note_turn);
    return NULL;
}

Test(submitters, blocked_submitters_get_room_in_the_order_in_which_they_came)
{
    weir_runtime *rt = start_full(1, 0, &holder, fillers);
    for (uint32_t i = 0; i < QUEUED_THREADS; i++) {
        queued[i].rt = rt;
        set(&queued_tid, 0);
        cr_assert_eq(pthread_create(&queued[i].thread, NULL, submit_one, &queued[i]), 0);
        cr_assert(reaches(&queued_tid, 1));
        cr_assert(falls_asleep(get(&queued_tid)));
    }
    set(&gate, 1);
    for (uint32_t i = 0; i < QUEUED_THREADS; i++)
        pthread_join(queued[i].thread, NULL);
    stop_and_read(rt, WEIR_DRAIN);
    cr_assert_eq(get(&turns), QUEUED_THREADS);
    for (uint32_t i = 0; i < QUEUED_THREADS; i++)
        cr_assert_eq(get(&turn[i]), i, "number %u was let in in the place of %u", get(&turn[i]), i);
}

Test(submitters, many_submitters_through_an_injector_of_one_lose_nothing)
{
    static struct submitter s[8];
    static weir_task tasks[8][2000];
    weir_config c = config_of(4);
    c.queue_capacity = 1;
    weir_runtime *rt = start_config(&c);
    for (unsigned i = 0; i < 8; i++)
        begin_submitter(&s[i], rt, tasks[i], 2000, i % 2 ? WEIR_BLOCK : i % 4 ? WEIR_BLOCK_UNTIL : WEIR_RUN_IN_CALLER);
    for (unsigned i = 0; i < 8; i++) {
        pthread_join(s[i].thread, NULL);
        cr_assert_eq(s[i].result, 0);
    }
    weir_stats last = stop_and_read(rt, WEIR_DRAIN);
    cr_assert_eq(get(&ran), 16000);
    cr_assert_eq(last.total.submitted, 16000);
    cr_assert_eq(last.total.tasks_run, 16000);
}
