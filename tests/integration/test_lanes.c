/* SPDX-License-Identifier: MIT
 *
 * test_lanes.c - what must hold for lanes, inboxes and the order of submitters: priorities without starvation, pinned
 * tasks where they were sent, refusals that change nothing, and the first to sleep is the first to go on.
 */
#include "support.h"

TestSuite(lanes, .timeout = 60);

#define MANY 300u

static weir_atomic_u32 ran, entered, gate;

/* Holds its worker until the gate opens. */
static weir_task *wait_for_gate(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    add(&entered, 1);
    reaches(&gate, 1);
    return NULL;
}

struct numbered {
    weir_task task;
    uint32_t number;
};

static struct numbered list[MANY];
static weir_atomic_u32 order[MANY]; /* number + 1 of the n-th task that ran */

static weir_task *note_order(weir_worker *w, weir_task *self)
{
    (void)w;
    uint32_t n = add(&ran, 1) - 1;
    set(&order[n], ((struct numbered *)(void *)self)->number + 1);
    return NULL;
}

static weir_task *prepare(uint32_t i)
{
    list[i].number = i;
    weir_task_init(&list[i].task, note_order);
    return &list[i].task;
}

/* One worker, held at the gate. */
static weir_runtime *start_held(uint32_t capacity, weir_task *holder)
{
    weir_config c = config_of(1);
    c.queue_capacity = capacity;
    weir_runtime *rt = start_config(&c);
    weir_task_init(holder, wait_for_gate);
    cr_assert_eq(weir_submit(rt, holder, WEIR_BLOCK, 0), 0);
    cr_assert(reaches(&entered, 1));
    return rt;
}

static weir_task holder;

/* --- lanes ---------------------------------------------------------------------------------------------------- */

Test(lanes, higher_lane_runs_first)
{
    weir_runtime *rt = start_held(16, &holder);
    cr_assert_eq(weir_submit_lane(rt, prepare(2), WEIR_LANE_LOW, WEIR_TRY, 0), 0);
    cr_assert_eq(weir_submit(rt, prepare(1), WEIR_TRY, 0), 0);
    cr_assert_eq(weir_submit_lane(rt, prepare(0), WEIR_LANE_HIGH, WEIR_TRY, 0), 0);
    set(&gate, 1);
    cr_assert(reaches(&ran, 3));
    for (uint32_t i = 0; i < 3; i++)
        cr_assert_eq(get(&order[i]), i + 1);
    stop(rt);
}

Test(lanes, lane_that_does_not_exist_is_refused_and_nothing_changes)
{
    weir_runtime *rt = start(1);
    weir_task *t = prepare(0);
    weir_task before = *t;
    size_t accepted = 77;
    cr_assert_eq(weir_submit_lane(rt, t, (weir_lane)3, WEIR_TRY, 0), -EINVAL);
    cr_assert_eq(weir_submit_lane(rt, t, (weir_lane)-1, WEIR_TRY, 0), -EINVAL);
    cr_assert_eq(weir_submit_batch_lane(rt, &t, 1, (weir_lane)3, WEIR_TRY, 0, &accepted), -EINVAL);
    cr_assert_eq(accepted, 77);
    cr_assert_eq(memcmp(&before, t, sizeof before), 0);
    stop(rt);
    cr_assert_eq(get(&ran), 0);
}

Test(lanes, each_lane_has_the_whole_capacity)
{
    weir_runtime *rt = start_held(5, &holder);
    uint32_t n = 0;
    for (uint32_t lane = 0; lane < 3; lane++) {
        for (uint32_t i = 0; i < 5; i++)
            cr_assert_eq(weir_submit_lane(rt, prepare(n++), (weir_lane)lane, WEIR_TRY, 0), 0);
        cr_assert_eq(weir_submit_lane(rt, prepare(n), (weir_lane)lane, WEIR_TRY, 0), -EAGAIN);
    }
    weir_stats s = {.size = sizeof s};
    cr_assert_eq(weir_stats_read(rt, &s, NULL, 0), 0);
    cr_assert_eq(s.queue_depth, 15);
    cr_assert_eq(s.total.rejected, 3);
    set(&gate, 1);
    stop(rt);
    cr_assert_eq(get(&ran), 15);
}

/* Keeps a lane full for ever: each task submits itself again. */
static weir_atomic_u32 over;

static weir_task *again(weir_worker *w, weir_task *self)
{
    if (get(&over) == 0)
        cr_assert_eq(weir_submit_lane(weir_worker_runtime(w), self, WEIR_LANE_HIGH, WEIR_BLOCK, 0), 0);
    else
        add(&entered, 1);
    return NULL;
}

Test(lanes, low_lane_is_served_beside_a_high_lane_that_never_runs_dry)
{
    weir_runtime *rt = start(1);
    static weir_task busy[32];
    for (uint32_t i = 0; i < 32; i++) {
        weir_task_init(&busy[i], again);
        cr_assert_eq(weir_submit_lane(rt, &busy[i], WEIR_LANE_HIGH, WEIR_BLOCK, 0), 0);
    }
    for (uint32_t i = 0; i < 20; i++)
        cr_assert_eq(weir_submit_lane(rt, prepare(i), i % 2 ? WEIR_LANE_LOW : WEIR_LANE_NORMAL, WEIR_BLOCK, 0), 0);
    cr_assert(reaches(&ran, 20));
    set(&over, 1);
    cr_assert(reaches(&entered, 32));
    stop(rt);
}

/* --- inboxes -------------------------------------------------------------------------------------------------- */

static weir_atomic_u32 misplaced;

static weir_task *must_run_on(weir_worker *w, weir_task *self)
{
    if (weir_worker_index(w) != ((struct numbered *)(void *)self)->number)
        add(&misplaced, 1);
    add(&ran, 1);
    return NULL;
}

Test(lanes, pinned_tasks_run_where_they_were_sent)
{
    weir_runtime *rt = start(4);
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < MANY; i++) {
            list[i].number = i % 4;
            weir_task_init(&list[i].task, must_run_on);
            cr_assert_eq(weir_submit_to(rt, i % 4, &list[i].task, WEIR_BLOCK, 0), 0);
        }
        cr_assert(reaches(&ran, (round + 1) * MANY));
        if (round % 4 == 0)
            sleep_ms(2); /* so that all sleep */
    }
    cr_assert_eq(get(&misplaced), 0);
    weir_stats last = stop_and_read(rt, WEIR_DRAIN);
    cr_assert_eq(last.total.submitted, 20 * MANY);
}

Test(lanes, parked_worker_is_woken_for_its_inbox)
{
    weir_runtime *rt = start(3);
    for (uint32_t i = 0; i < 60; i++) {
        sleep_ms(1); /* longer than a worker spins */
        list[0].number = i % 3;
        weir_task_init(&list[0].task, must_run_on);
        cr_assert_eq(weir_submit_to(rt, i % 3, &list[0].task, WEIR_TRY, 0), 0);
        cr_assert(reaches(&ran, i + 1));
    }
    cr_assert_eq(get(&misplaced), 0);
    stop(rt);
}

Test(lanes, bad_pinned_submits_are_refused_and_nothing_changes)
{
    weir_runtime *rt = start(2);
    weir_task *t = prepare(0);
    weir_task before = *t;
    cr_assert_eq(weir_submit_to(rt, 2, t, WEIR_TRY, 0), -EINVAL);
    cr_assert_eq(weir_submit_to(rt, UINT32_MAX, t, WEIR_TRY, 0), -EINVAL);
    cr_assert_eq(weir_submit_to(rt, 0, NULL, WEIR_TRY, 0), -EINVAL);
    cr_assert_eq(weir_submit_to(rt, 0, t, WEIR_RUN_IN_CALLER, 0), -EINVAL);
    cr_assert_eq(weir_submit_to(rt, 0, t, (weir_policy)9, 0), -EINVAL);
    cr_assert_eq(memcmp(&before, t, sizeof before), 0);
    stop(rt);
    cr_assert_eq(weir_submit_to(rt, 0, t, WEIR_TRY, 0), -ESHUTDOWN);
    cr_assert_eq(get(&ran), 0);
}

Test(lanes, full_inbox_is_refused_and_blocks_until_there_is_room)
{
    weir_runtime *rt = start_held(4, &holder);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(weir_submit_to(rt, 0, prepare(i), WEIR_TRY, 0), 0);
    cr_assert_eq(weir_submit_to(rt, 0, prepare(4), WEIR_TRY, 0), -EAGAIN);
    cr_assert_eq(weir_submit_to(rt, 0, prepare(4), WEIR_BLOCK_UNTIL, in_ms(5)), -ETIMEDOUT);
    cr_assert_eq(weir_submit(rt, prepare(5), WEIR_TRY, 0), 0, "an inbox takes no room in the injector");
    set(&gate, 1);
    cr_assert_eq(weir_submit_to(rt, 0, prepare(4), WEIR_BLOCK, 0), 0);
    cr_assert(reaches(&ran, 6));
    stop(rt);
}

Test(lanes, stop_drains_and_discards_inboxes_too)
{
    for (int discard = 0; discard <= 1; discard++) {
        set(&ran, 0), set(&entered, 0), set(&gate, 0);
        weir_runtime *rt = start_held(64, &holder);
        for (uint32_t i = 0; i < 50; i++)
            cr_assert_eq(weir_submit_to(rt, 0, prepare(i), WEIR_TRY, 0), 0);
        weir_stats last = {.size = sizeof last};
        cr_assert_eq(weir_stop_stats(rt, discard ? WEIR_DISCARD : WEIR_DRAIN, in_ms(5), &last), -ETIMEDOUT);
        set(&gate, 1);
        cr_assert_eq(weir_stop_stats(rt, discard ? WEIR_DISCARD : WEIR_DRAIN, WEIR_FOREVER, &last), 0);
        cr_assert_eq(get(&ran), discard ? 0 : 50);
        cr_assert_eq(last.total.tasks_discarded, discard ? 50 : 0);
        cr_assert_eq(last.queue_depth, 0);
    }
}

/* A worker that spawns for ever. */
static weir_task spawner[2];

static weir_task *spawn_for_ever(weir_worker *w, weir_task *self)
{
    if (get(&over) == 0)
        weir_spawn(w, self == &spawner[0] ? &spawner[1] : &spawner[0]);
    return NULL;
}

Test(lanes, worker_that_spawns_for_ever_serves_injector_and_inbox)
{
    weir_runtime *rt = start(1);
    for (int i = 0; i < 2; i++)
        weir_task_init(&spawner[i], spawn_for_ever);
    cr_assert_eq(weir_submit(rt, &spawner[0], WEIR_BLOCK, 0), 0);
    for (uint32_t i = 0; i < MANY; i += 2) {
        cr_assert_eq(weir_submit(rt, prepare(i), WEIR_BLOCK, 0), 0);
        cr_assert_eq(weir_submit_to(rt, 0, prepare(i + 1), WEIR_BLOCK, 0), 0);
    }
    cr_assert(reaches(&ran, MANY));
    set(&over, 1);
    stop(rt);
}

/* --- twice ---------------------------------------------------------------------------------------------------- */

Test(lanes, task_that_is_queued_is_refused_and_nothing_changes)
{
    weir_runtime *rt = start_held(16, &holder);
    weir_task *t = prepare(0), *other = prepare(1);
    weir_task *twice[] = {other, t}, *same[] = {other, other};
    size_t accepted = 77;
    cr_assert_eq(weir_submit(rt, t, WEIR_TRY, 0), 0);
    weir_task before = *t, other_before = *other;
    cr_assert_eq(weir_submit(rt, t, WEIR_TRY, 0), -EBUSY);
    cr_assert_eq(weir_submit(rt, t, WEIR_BLOCK, 0), -EBUSY);
    cr_assert_eq(weir_submit_lane(rt, t, WEIR_LANE_LOW, WEIR_RUN_IN_CALLER, 0), -EBUSY);
    cr_assert_eq(weir_submit_to(rt, 0, t, WEIR_TRY, 0), -EBUSY);
    cr_assert_eq(weir_submit_batch(rt, twice, 2, WEIR_TRY, 0, &accepted), -EBUSY);
    cr_assert_eq(weir_submit_batch(rt, same, 2, WEIR_TRY, 0, &accepted), -EBUSY);
    cr_assert_eq(accepted, 77);
    cr_assert_eq(memcmp(&before, t, sizeof before), 0);
    cr_assert_eq(memcmp(&other_before, other, sizeof before), 0);
    set(&gate, 1);
    cr_assert(reaches(&ran, 1));
    cr_assert_eq(weir_submit(rt, other, WEIR_TRY, 0), 0, "it can be submitted after that");
    stop(rt);
    cr_assert_eq(get(&ran), 2);
}

/* --- order of submitters -------------------------------------------------------------------------------------- */

#define SUBMITTERS 8u

struct submitter {
    weir_runtime *rt;
    uint32_t number;
    pthread_t thread;
    weir_atomic_u32 tid;
};

static void *submit_one(void *arg)
{
    struct submitter *s = arg;
    set(&s->tid, (uint32_t)gettid());
    cr_assert_eq(weir_submit(s->rt, &list[s->number].task, WEIR_BLOCK, 0), 0);
    return NULL;
}

static weir_task *note_and_wait(weir_worker *w, weir_task *self)
{
    note_order(w, self);
    sleep_ms(20); /* so that whoever was woken has pushed before the next one is taken */
    return NULL;
}

Test(lanes, blocked_submitters_go_on_in_the_order_in_which_they_came)
{
    static struct submitter s[SUBMITTERS];
    weir_runtime *rt = start_held(1, &holder);
    cr_assert_eq(weir_submit(rt, prepare(0), WEIR_TRY, 0), 0);
    for (uint32_t i = 0; i < SUBMITTERS; i++) {
        prepare(i + 1);
        list[i + 1].task.run = note_and_wait;
        s[i] = (struct submitter){.rt = rt, .number = i + 1};
        cr_assert_eq(pthread_create(&s[i].thread, NULL, submit_one, &s[i]), 0);
        cr_assert(reaches(&s[i].tid, 1));
        cr_assert(falls_asleep(get(&s[i].tid)));
    }
    set(&gate, 1);
    for (uint32_t i = 0; i < SUBMITTERS; i++)
        pthread_join(s[i].thread, NULL);
    cr_assert(reaches(&order[SUBMITTERS], 1)); /* the last place */
    for (uint32_t i = 0; i <= SUBMITTERS; i++)
        cr_assert_eq(get(&order[i]), i + 1, "place %u went to submitter %u", i, get(&order[i]) - 1);
    stop(rt);
}

static weir_task *wait_for_submitter(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    cr_assert(reaches(&gate, 2));
    add(&ran, 1);
    return NULL;
}

/* Tasks come one by one, so that the first to be taken frees one slot, and keeps the others from coming free. */
Test(lanes, one_free_slot_is_enough_for_a_blocked_submitter)
{
    weir_config c = config_of(1);
    c.queue_capacity = SUBMITTERS;
    c.max_workers = 2;
    c.grow_after_us = 10000000; /* it does not */
    weir_runtime *rt = start_config(&c);
    weir_task_init(&holder, wait_for_gate);
    cr_assert_eq(weir_submit(rt, &holder, WEIR_BLOCK, 0), 0);
    cr_assert(reaches(&entered, 1));
    for (uint32_t i = 0; i < SUBMITTERS; i++) {
        prepare(i);
        list[i].task.run = wait_for_submitter;
        cr_assert_eq(weir_submit(rt, &list[i].task, WEIR_TRY, 0), 0);
    }
    struct submitter s = {.rt = rt, .number = SUBMITTERS};
    prepare(SUBMITTERS);
    cr_assert_eq(pthread_create(&s.thread, NULL, submit_one, &s), 0);
    sleep_ms(5);
    set(&gate, 1);
    cr_assert_eq(pthread_join(s.thread, NULL), 0);
    cr_assert_eq(get(&ran), 0, "none of those before it was done");
    set(&gate, 2);
    cr_assert(reaches(&ran, SUBMITTERS + 1));
    stop(rt);
}

/* --- one producer, many rounds -------------------------------------------------------------------------------- */

Test(lanes, capacity_is_exactly_what_was_asked_for)
{
    for (uint32_t capacity = 1; capacity <= 70; capacity += 23) {
        set(&ran, 0), set(&entered, 0), set(&gate, 0);
        weir_runtime *rt = start_held(capacity, &holder);
        weir_task *all[MANY];
        size_t accepted = 0;
        for (uint32_t i = 0; i < MANY; i++)
            all[i] = prepare(i);
        cr_assert_eq(weir_submit_batch(rt, all, MANY, WEIR_TRY, 0, &accepted), -EAGAIN);
        cr_assert_eq(accepted, capacity);
        set(&gate, 1);
        cr_assert(reaches(&ran, capacity));
        stop(rt);
        cr_assert_eq(get(&ran), capacity);
    }
}
