/* SPDX-License-Identifier: MIT
 *
 * test_hostile.c - what must hold for programs at the edge of what they may do: runtimes inside of each other,
 * processes born inside of calls, what a task forgets, what a caller frees, the counts at rest.
 */
#include "support.h"

TestSuite(hostile, .timeout = 60);

#define MANY 100u
#define CAPACITY 2u

static weir_atomic_u32 ran, entered, gate, finished;
static weir_task many[MANY], fillers[2 * CAPACITY];

static weir_task *count_one(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    add(&ran, 1);
    return NULL;
}

static weir_task *wait_for_gate(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    add(&entered, 1);
    reaches(&gate, 1);
    add(&ran, 1);
    return NULL;
}

#define HOLD_MS 800u

static weir_task *hold_for_a_while(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    add(&entered, 1);
    sleep_ms(HOLD_MS);
    return NULL;
}

static weir_runtime *start_small(void)
{
    weir_config c = config_of(1);
    c.queue_capacity = CAPACITY;
    return start_config(&c);
}

/* Until the queue is full; the runtime's worker takes nothing meanwhile. */
static void fill(weir_runtime *rt, weir_task *tasks)
{
    for (unsigned i = 0; i < CAPACITY; i++) {
        weir_task_init(&tasks[i], count_one);
        cr_assert_eq(weir_submit(rt, &tasks[i], WEIR_TRY, 0), 0);
    }
    weir_task_init(&many[0], count_one);
    cr_assert_eq(weir_submit(rt, &many[0], WEIR_TRY, 0), -EAGAIN);
}

static weir_runtime *start_held(weir_task *holder, weir_task *tasks)
{
    weir_runtime *rt = start_small();
    weir_task_init(holder, wait_for_gate);
    cr_assert_eq(weir_submit(rt, holder, WEIR_BLOCK, 0), 0);
    cr_assert(reaches(&entered, 1));
    fill(rt, tasks);
    return rt;
}

/* --- counts at rest ------------------------------------------------------------------------------------------- */

struct offered {
    weir_task task;
    weir_policy policy;
    uint32_t accepted, refused;
};

static weir_task *offer_from_inside(weir_worker *w, weir_task *self)
{
    struct offered *o = (struct offered *)(void *)self;
    for (unsigned i = 0; i < MANY; i++) {
        weir_task_init(&many[i], count_one);
        if (weir_submit(weir_worker_runtime(w), &many[i], o->policy, 0) == 0)
            o->accepted++;
        else
            o->refused++;
    }
    set(&finished, 1);
    return NULL;
}

Test(hostile, what_a_worker_submits_beyond_the_queue_is_counted_as_submitted)
{
    for (int policy = WEIR_TRY; policy <= WEIR_RUN_IN_CALLER; policy++) {
        struct offered o = {.policy = (weir_policy)policy};
        set(&ran, 0), set(&finished, 0);
        weir_runtime *rt = start_small();
        weir_task_init(&o.task, offer_from_inside);
        cr_assert_eq(weir_submit(rt, &o.task, WEIR_BLOCK, 0), 0);
        cr_assert(reaches(&finished, 1));
        weir_stats last = stop_and_read(rt, WEIR_DRAIN);
        cr_assert_eq(get(&ran), o.accepted);
        cr_assert_eq(last.total.submitted, o.accepted + 1);
        cr_assert_eq(last.total.rejected, o.refused);
        cr_assert_eq(last.total.tasks_run, o.accepted + 1);
    }
}

Test(hostile, submit_that_waits_in_vain_is_counted_as_rejected)
{
    static weir_task holder, late;
    weir_task *batch[] = {&late};
    weir_runtime *rt = start_held(&holder, fillers);
    weir_task_init(&late, count_one);
    cr_assert_eq(weir_submit(rt, &late, WEIR_BLOCK_UNTIL, in_ms(1)), -ETIMEDOUT);
    cr_assert_eq(weir_submit(rt, &late, WEIR_BLOCK_UNTIL, 0), -ETIMEDOUT);
    cr_assert_eq(weir_submit_batch(rt, batch, 1, WEIR_BLOCK_UNTIL, in_ms(1), NULL), -ETIMEDOUT);
    set(&gate, 1);
    weir_stats last = stop_and_read(rt, WEIR_DRAIN);
    cr_assert_eq(last.total.rejected, 1 + 3); /* one when the queue was filled */
    cr_assert_eq(last.total.submitted, 1 + CAPACITY);
    cr_assert_eq(last.total.tasks_run, 1 + CAPACITY);
}

/* --- guards that come and go -------------------------------------------------------------------------------------- */

#define SETTINGS 3000u
#define SUBMITTERS 2u

struct client {
    pthread_t thread;
    weir_runtime *rt;
    uint32_t accepted, refused;
};

static weir_task *fail_now_and_then(weir_worker *w, weir_task *self)
{
    (void)weir_report(w, self, add(&ran, 1) % 3 == 0 ? -EIO : 0);
    return NULL;
}

static void *submit_until_finished(void *arg)
{
    struct client *c = arg;
    while (get(&finished) == 0) {
        weir_task *t;
        if (weir_task_new(NULL, fail_now_and_then, 0, &t) != 0)
            abort();
        if (weir_submit(c->rt, t, WEIR_TRY, 0) == 0) {
            c->accepted++;
        } else {
            c->refused++;
            weir_task_free(t);
        }
    }
    return NULL;
}

static void note_level(void *arg, int level)
{
    (void)level;
    if (*(unsigned *)arg == 0)
        abort(); /* it was given back */
}

/* A guard is on or off from one submit to the next; nobody is told by what was taken back. */
static void change_guards(weir_runtime *rt, uint32_t guards)
{
    unsigned in_use = 1;
    weir_admission a;
    cr_assert_eq(weir_admission_init(&a), 0);
    a.guards = guards;
    a.mark_high = a.depth_high = CAPACITY;
    a.on_mark = a.on_breaker = note_level;
    a.mark_arg = a.breaker_arg = &in_use;
    a.target_ns = 10000;
    a.interval_ns = 100000;
    a.breaker.min_calls = 1;
    a.breaker.open_ns = 10000;
    for (int r = -EBUSY; r == -EBUSY;) {
        r = weir_admission_set(rt, &a);
        cr_assert(r == 0 || r == -EBUSY);
    }
    weir_admission none;
    cr_assert_eq(weir_admission_init(&none), 0);
    while (weir_admission_set(rt, &none) == -EBUSY)
        continue;
    in_use = 0;
}

Test(hostile, guards_that_come_and_go_under_load_lose_nothing)
{
    static struct client c[SUBMITTERS];
    uint32_t accepted = 0, refused = 0;
    weir_runtime *rt = start_small();
    for (unsigned i = 0; i < SUBMITTERS; i++) {
        c[i].rt = rt;
        cr_assert_eq(pthread_create(&c[i].thread, NULL, submit_until_finished, &c[i]), 0);
    }
    for (uint32_t i = 0; i < SETTINGS; i++)
        change_guards(rt, 1 + i % (WEIR_MARKS | WEIR_GUARD_DEPTH | WEIR_GUARD_TIME | WEIR_GUARD_BREAKER));
    set(&finished, 1);
    for (unsigned i = 0; i < SUBMITTERS; i++) {
        cr_assert_eq(pthread_join(c[i].thread, NULL), 0);
        accepted += c[i].accepted;
        refused += c[i].refused;
    }
    weir_stats last = stop_and_read(rt, WEIR_DRAIN);
    cr_assert_eq(last.total.submitted, accepted);
    cr_assert_eq(last.total.tasks_run, accepted);
    cr_assert_eq(last.total.rejected, refused);
    cr_assert_eq(get(&ran), accepted);
}

#define SLOW_MS (HOLD_MS / 2)
#define BATCH 10u

/* Of the batch, what is queued while the worker is held waits too long, and all that still waits for room does not. */
static bool breaker_opens(bool batch)
{
    static weir_task holder, tasks[BATCH];
    weir_task *list[BATCH];
    weir_config c = config_of(1);
    weir_admission a;
    cr_assert_eq(weir_admission_init(&a), 0);
    a.guards = WEIR_GUARD_BREAKER;
    a.feeds = WEIR_FEED_QUEUE_TIME;
    a.slow_ns = SLOW_MS * NS_PER_MS;
    a.breaker.min_calls = BATCH;
    a.breaker.window_ns = 3600 * 1000 * NS_PER_MS;
    c.queue_capacity = CAPACITY;
    c.admission = &a;
    weir_runtime *rt = start_config(&c);
    for (unsigned i = 0; i < BATCH; i++) {
        weir_task_init(&tasks[i], count_one);
        list[i] = &tasks[i];
    }
    weir_task_init(&holder, hold_for_a_while);
    cr_assert_eq(weir_submit(rt, &holder, WEIR_BLOCK, 0), 0);
    cr_assert(reaches(&entered, 1));
    if (batch)
        cr_assert_eq(weir_submit_batch(rt, list, BATCH, WEIR_BLOCK, 0, NULL), 0);
    for (unsigned i = 0; !batch && i < BATCH; i++)
        cr_assert_eq(weir_submit(rt, list[i], WEIR_BLOCK, 0), 0);
    return stop_and_read(rt, WEIR_DRAIN).guards.breaker_opened != 0;
}

Test(hostile, time_that_a_submit_waits_for_room_is_no_queue_time)
{
    for (int batch = 0; batch < 2; batch++) {
        set(&entered, 0);
        cr_assert_not(breaker_opens(batch != 0), "batch: %d", batch);
    }
}

/* --- what a task forgets ---------------------------------------------------------------------------------------- */

static weir_atomic_u32 misplaced;

static weir_task *begin_and_forget(weir_worker *w, weir_task *self)
{
    (void)self;
    if (weir_block_begin(w) != 0)
        add(&misplaced, 1);
    add(&ran, 1);
    return NULL;
}

static void wait_for_the_forgetful(weir_worker *w, void *arg)
{
    (void)arg;
    weir_scope s;
    weir_scope_init(w, &s);
    for (unsigned i = 0; i < MANY; i++) {
        weir_task_init(&many[i], begin_and_forget);
        weir_scope_spawn(w, &s, &many[i]);
    }
    if (weir_scope_wait(w, &s) != 0 || weir_block_begin(w) != 0 || weir_block_end(w) != 0)
        add(&misplaced, 1);
}

Test(hostile, member_of_a_scope_that_forgets_block_end_is_ended_for)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        set(&ran, 0);
        weir_runtime *rt = start(workers);
        call(rt, wait_for_the_forgetful, NULL);
        weir_stats last = stop_and_read(rt, WEIR_DRAIN);
        cr_assert_eq(get(&ran), MANY);
        cr_assert_eq(get(&misplaced), 0);
        cr_assert_eq(last.blocked, 0);
    }
}

/* --- what the caller keeps ---------------------------------------------------------------------------------------- */

static weir_task *block_until_gate(weir_worker *w, weir_task *self)
{
    (void)self;
    if (weir_block_begin(w) != 0)
        add(&misplaced, 1);
    add(&entered, 1);
    reaches(&gate, 1);
    return NULL; /* and forgets to end it */
}

/* Threads start at any time, with the name that the runtime was given. */
Test(hostile, configuration_is_not_needed_any_more_once_the_runtime_has_started)
{
    static weir_task blocked[2];
    char name[] = "mine";
    weir_config c = config_of(1);
    c.name = name;
    weir_runtime *rt = start_config(&c);
    memset(name, 'x', sizeof name - 1);
    memset(&c, 0xff, sizeof c);
    for (unsigned i = 0; i < 2; i++) {
        weir_task_init(&blocked[i], block_until_gate);
        cr_assert_eq(weir_submit(rt, &blocked[i], WEIR_BLOCK, 0), 0);
    }
    cr_assert(reaches(&entered, 2));
    cr_assert(has_thread("mine/0"));
    cr_assert(has_thread("mine/1"));
    set(&gate, 1);
    stop(rt);
    cr_assert_eq(get(&misplaced), 0);
}

/* --- what a burst leaves ------------------------------------------------------------------------------------------ */

#define BURST 20000u
#define PAYLOAD 200u

/* Records that workers have freed wait for the thread that made them. */
Test(hostile, memory_of_a_burst_of_records_is_given_back_when_it_is_asked_for)
{
    static weir_task *burst[BURST];
    weir_runtime *rt = start(2);
    for (unsigned i = 0; i < BURST; i++)
        cr_assert_eq(weir_task_new(NULL, count_one, PAYLOAD, &burst[i]), 0);
    cr_assert_lt(weir_memory_trim(), BURST * PAYLOAD / 2, "it is in use");
    cr_assert_eq(weir_submit_batch(rt, burst, BURST, WEIR_BLOCK, 0, NULL), 0);
    stop(rt);
    cr_assert_eq(get(&ran), BURST);
    cr_assert_gt(weir_memory_trim(), BURST * PAYLOAD);
    cr_assert_eq(weir_memory_trim(), 0);
}

/* --- runtimes inside of each other ------------------------------------------------------------------------------ */

static weir_runtime *outer, *inner;
static int result = 1;

static weir_task *count_here(weir_worker *w, weir_task *self)
{
    (void)self;
    if (weir_self() != w || weir_worker_runtime(w) != outer)
        add(&misplaced, 1);
    add(&ran, 1);
    return NULL;
}

/* On the only worker of `outer`, as a guest of `inner`. */
static weir_task *submit_beneath(weir_worker *w, weir_task *self)
{
    (void)self;
    fill(outer, &fillers[CAPACITY]);
    result = 0;
    for (unsigned i = 0; i < MANY && result == 0; i++) {
        weir_task_init(&many[i], count_here);
        result = weir_submit(outer, &many[i], WEIR_BLOCK_UNTIL, in_ms(LONG_TIME_MS / 10));
    }
    if (weir_self() != w)
        add(&misplaced, 1);
    return NULL;
}

static weir_task *become_a_guest(weir_worker *w, weir_task *self)
{
    static weir_task guest;
    (void)w, (void)self;
    weir_task_init(&guest, submit_beneath);
    if (weir_submit(inner, &guest, WEIR_RUN_IN_CALLER, 0) != 0)
        add(&misplaced, 1);
    set(&finished, 1);
    return NULL;
}

/* It would sleep until it makes room itself. Some run inside the submit, as the deque is short. */
Test(hostile, worker_that_is_a_guest_elsewhere_never_sleeps_for_room_at_home)
{
    static weir_task holder, begin;
    inner = start_held(&holder, fillers);
    weir_config c = config_of(1);
    c.queue_capacity = CAPACITY;
    c.deque_capacity = 8;
    c.deque_limit = 8;
    outer = start_config(&c);
    weir_task_init(&begin, become_a_guest);
    cr_assert_eq(weir_submit(outer, &begin, WEIR_BLOCK, 0), 0);
    cr_assert(reaches(&finished, 1));
    cr_assert_eq(result, 0, "%s", weir_strerror(result));
    weir_stats last = stop_and_read(outer, WEIR_DRAIN);
    cr_assert_eq(last.total.submitted, 1 + CAPACITY + MANY);
    cr_assert_eq(last.total.tasks_run, 1 + CAPACITY + MANY);
    set(&gate, 1);
    stop(inner);
    cr_assert_eq(get(&misplaced), 0);
    cr_assert_eq(get(&ran), 2 * CAPACITY + MANY + 1);
}
