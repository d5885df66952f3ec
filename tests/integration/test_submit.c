/* SPDX-License-Identifier: MIT
 *
 * test_submit.c - what must hold for work from outside: the four policies, batches, refusals, calls, accounting.
 */
#include "support.h"
#include "fib.h"

TestSuite(submit, .timeout = 60);

static weir_atomic_u32 ran, entered, gate;

static weir_task *count_one(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    add(&ran, 1);
    return NULL;
}

/* Holds its worker until the gate opens. */
static weir_task *wait_for_gate(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    add(&entered, 1);
    reaches(&gate, 1);
    add(&ran, 1);
    return NULL;
}

/* One worker, held at the gate, and a full injector of that capacity. */
static weir_runtime *start_full(uint32_t capacity, uint32_t guests, weir_task *holder, weir_task *fillers)
{
    weir_config c = config_of(1);
    c.queue_capacity = capacity;
    c.guests = guests;
    weir_runtime *rt = start_config(&c);
    submit_ok(rt, holder, wait_for_gate);
    cr_assert(reaches(&entered, 1));
    for (uint32_t i = 0; i < capacity; i++)
        submit_ok(rt, &fillers[i], count_one);
    return rt;
}

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

struct submitter {
    pthread_t thread;
    weir_runtime *rt;
    weir_task *tasks;
    unsigned n;
    weir_policy policy;
    int result;
    weir_atomic_u32 done;
};

static void *submit_all(void *arg)
{
    struct submitter *s = arg;
    s->result = 0;
    for (unsigned i = 0; i < s->n && s->result == 0; i++) {
        weir_task_init(&s->tasks[i], count_one);
        s->result = weir_submit(s->rt, &s->tasks[i], s->policy, in_ms(LONG_TIME_MS));
    }
    set(&s->done, 1);
    return NULL;
}

static void begin_submitter(struct submitter *s, weir_runtime *rt, weir_task *tasks, unsigned n, weir_policy policy)
{
    s->rt = rt;
    s->tasks = tasks;
    s->n = n;
    s->policy = policy;
    set(&s->done, 0);
    cr_assert_eq(pthread_create(&s->thread, NULL, submit_all, s), 0);
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

static void count_call(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    add(&ran, 1);
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

/* --- weir_call ------------------------------------------------------------------------------------------------ */

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

Test(submit, call_from_outside_inside_and_another_runtimes_worker)
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

Test(submit, worker_knows_its_runtime_and_number)
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

Test(submit, call_that_was_not_begun_is_cancelled_by_a_discarding_stop)
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

/* --- many submitters ------------------------------------------------------------------------------------------ */

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

Test(submit, more_threads_than_have_records_submit_and_leave_them_to_others)
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

Test(submit, blocked_submitters_get_room_in_the_order_in_which_they_came)
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

Test(submit, many_submitters_through_an_injector_of_one_lose_nothing)
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
