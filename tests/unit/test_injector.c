/* SPDX-License-Identifier: MIT
 *
 * test_injector.c - what must hold for rings and injectors: order, bounds, chains, stamps, lanes, close, and threads
 * that stop midway.
 *
 * A thread that stops in the middle of a call is played by doing the call's one step by hand, on a slot, without what
 * comes behind it.
 */
#include <criterion/criterion.h>
#include <stdint.h>

#include "os/os.h"
#include "os/sanitizer.h"
#include "sync/injector.h"

#define CAPACITY_MAX 67u
#define TASKS 2048u
#define ROUNDS 50u /* times around the ring and more */
#ifdef WEIR_TSAN
#define LAPS 64u /* the wrap is for the other builds: half a minute here, in which one thread shows no race */
#else
#define LAPS (1u << RING_LAP_BITS)
#endif

static struct ring q;
static weir_task tasks[TASKS];
static weir_task *list[TASKS], *got[TASKS + RING_CHAIN];

static void list_tasks(void)
{
    for (size_t i = 0; i < TASKS; i++)
        list[i] = &tasks[i];
}

/* Runs a check with every capacity; each leaves the ring empty and is destroyed. */
static void with_each_capacity(void (*check)(uint32_t capacity))
{
    list_tasks();
    for (uint32_t capacity = 1; capacity <= CAPACITY_MAX; capacity++) {
        cr_assert_eq(ring_init(&q, capacity), 0);
        check(capacity);
        ring_destroy(&q);
    }
}

static enum ring_result push(weir_task *t, uint64_t stamp)
{
    uint32_t pushed = 0;
    enum ring_result r = ring_push(&q, &t, 1, stamp, &pushed);
    cr_assert_eq(pushed, r == RING_OK);
    return r;
}

static void push_ok(weir_task *t)
{
    cr_assert_eq(push(t, 0), RING_OK);
}

static weir_task *take(void)
{
    uint64_t stamp;
    return ring_take(&q, got, 1, &stamp) == 1 ? got[0] : NULL;
}

/* --- order and bounds ----------------------------------------------------------------------------------------- */

static void check_empty(uint32_t capacity)
{
    uint64_t stamp = 7;
    for (uint32_t i = 0; i < 10 * capacity; i++)
        cr_assert_eq(ring_take(&q, got, 3, &stamp), 0);
    cr_assert_eq(stamp, 7);
    cr_assert(ring_is_empty(&q));
    cr_assert_not(ring_has(&q, 1));
    cr_assert_eq(ring_depth(&q), 0);
    push_ok(&tasks[0]);
    cr_assert_not(ring_is_empty(&q));
    cr_assert(ring_has(&q, 1));
    cr_assert_not(ring_has(&q, 2));
    cr_assert_eq(take(), &tasks[0]);
    cr_assert(ring_is_empty(&q));
}

Test(injector, take_from_empty_finds_nothing)
{
    with_each_capacity(check_empty);
}

static void check_full(uint32_t capacity)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < capacity; i++) {
            cr_assert_eq(ring_depth(&q), i);
            push_ok(&tasks[i]);
        }
        for (uint32_t i = 0; i < 10; i++)
            cr_assert_eq(push(&tasks[1000], 0), RING_FULL);
        cr_assert_eq(ring_depth(&q), capacity);
        for (uint32_t i = 0; i < capacity; i++)
            cr_assert_eq(take(), &tasks[i]);
        cr_assert_null(take());
    }
}

Test(injector, push_beyond_capacity_is_refused_and_changes_nothing)
{
    with_each_capacity(check_full);
}

static void check_room_at_once(uint32_t capacity)
{
    for (uint32_t i = 0; i < capacity; i++)
        push_ok(&tasks[i]);
    for (uint32_t i = 0; i < ROUNDS * capacity; i++) {
        cr_assert_eq(push(&tasks[1000], 0), RING_FULL);
        cr_assert_not_null(take());
        push_ok(&tasks[i % capacity]);
    }
}

Test(injector, one_taken_is_room_for_exactly_one)
{
    with_each_capacity(check_room_at_once);
}

static void check_fifo(uint32_t capacity)
{
    uint32_t in = 0, out = 0;
    for (uint32_t fill = 1; fill <= capacity; fill++) {
        for (uint32_t step = 0; step < 40; step++) {
            while (in - out < fill)
                push_ok(&tasks[in++ % 1024]);
            cr_assert_eq(take(), &tasks[out++ % 1024]);
        }
        while (out < in)
            cr_assert_eq(take(), &tasks[out++ % 1024]);
    }
}

Test(injector, first_in_is_first_out_at_every_fill)
{
    with_each_capacity(check_fifo);
}

static void check_stamp(uint32_t capacity)
{
    for (uint64_t i = 0; i < capacity; i++)
        cr_assert_eq(push(&tasks[i], UINT64_MAX - i), RING_OK);
    for (uint64_t i = 0; i < capacity; i++) {
        uint64_t stamp = 0;
        cr_assert_eq(ring_take(&q, got, 1, &stamp), 1);
        cr_assert_eq(got[0], &tasks[i]);
        cr_assert_eq(stamp, UINT64_MAX - i);
    }
}

Test(injector, stamp_stays_with_its_task)
{
    with_each_capacity(check_stamp);
}

/* More laps than a slot can tell apart. */
Test(injector, laps_that_wrap_around_change_nothing)
{
    cr_assert_eq(ring_init(&q, 3), 0);
    uint64_t pushes = (uint64_t)LAPS * RING_SLOTS_MIN + 5000;
    for (uint64_t i = 0; i < pushes; i++) {
        push_ok(&tasks[i % 7]);
        if (take() != &tasks[i % 7])
            cr_assert_fail("push %llu", (unsigned long long)i);
    }
    cr_assert_eq(ring_depth(&q), 0);
    ring_destroy(&q);
}

/* --- chains --------------------------------------------------------------------------------------------------- */

/* Pushes n tasks as entries of `each` at most; returns how many were accepted. */
static uint32_t push_chains(uint32_t n, uint32_t each, uint64_t stamp, enum ring_result *why)
{
    uint32_t done = 0;
    *why = RING_OK;
    while (done < n && *why == RING_OK) {
        uint32_t pushed = 0;
        *why = ring_push(&q, list + done, n - done < each ? n - done : each, stamp, &pushed);
        done += pushed;
    }
    return done;
}

static uint32_t take_all(uint32_t most)
{
    uint32_t n = 0, k;
    uint64_t stamp;
    while ((k = ring_take(&q, got + n, most, &stamp)) > 0) {
        cr_assert(k <= most || k <= RING_CHAIN);
        n += k;
    }
    return n;
}

static void check_chains(uint32_t capacity)
{
    enum ring_result why;
    for (uint32_t each = 1; each <= RING_CHAIN; each++) {
        for (uint32_t n = 1; n <= capacity; n += 3) {
            cr_assert_eq(push_chains(n, each, 9, &why), n);
            cr_assert_eq(ring_depth(&q), n);
            cr_assert_eq(take_all(1 + n % 20), n);
            cr_assert_arr_eq(got, list, n * sizeof *got);
        }
        push_ok(&tasks[1000]);
        cr_assert_eq(push_chains(1024, each, 9, &why), capacity - 1);
        cr_assert_eq(why, RING_FULL);
        cr_assert_eq(take(), &tasks[1000]);
        cr_assert_eq(take_all(RING_CHAIN), capacity - 1);
        cr_assert_arr_eq(got, list, (capacity - 1) * sizeof *got);
    }
}

Test(injector, chains_keep_order_and_count_as_what_they_hold)
{
    with_each_capacity(check_chains);
}

Test(injector, chain_has_the_stamp_of_its_push)
{
    uint64_t stamp = 0;
    uint32_t pushed;
    list_tasks();
    cr_assert_eq(ring_init(&q, 64), 0);
    cr_assert_eq(ring_push(&q, list, 7, 100, &pushed), RING_OK);
    cr_assert_eq(ring_push(&q, list + 7, 5, 200, &pushed), RING_OK);
    cr_assert_eq(ring_take(&q, got, 7, &stamp), 7);
    cr_assert_eq(stamp, 100);
    cr_assert_eq(ring_take(&q, got, 1, &stamp), 5, "a first chain comes whole");
    cr_assert_eq(stamp, 200);
    ring_destroy(&q);
}

Test(injector, bound_of_the_depth_is_never_below_it_and_near_it_after_a_look)
{
    uint64_t stamp;
    uint32_t pushed, depth = 0;
    list_tasks();
    cr_assert_eq(ring_init(&q, 256), 0);
    cr_assert_eq(ring_depth_bound(&q), 0, "never used");
    for (uint32_t i = 0; i < 200; i++) {
        uint32_t n = 1 + i % RING_CHAIN;
        cr_assert_eq(ring_push(&q, list + i % 120 * RING_CHAIN, n, 1, &pushed), RING_OK);
        depth += pushed;
        cr_assert_geq(ring_depth_bound(&q), depth);
        if (i % 3 != 0)
            depth -= ring_take(&q, got, 1, &stamp);
        cr_assert_geq(ring_depth_bound(&q), depth);
        if (i % 5 == 0) {
            ring_catch_up(&q);
            cr_assert_leq(ring_depth_bound(&q), depth + RING_STRIDE * RING_CHAIN);
        }
        while (depth > 256 - RING_CHAIN)
            depth -= ring_take(&q, got, 1, &stamp);
        cr_assert_eq(ring_depth(&q), depth);
    }
    ring_destroy(&q);
}

#define SINGLES 16u
#define STAMPED_MAX (SINGLES / RING_STRIDE + 1)

/* How many of what was taken has a known time. */
static uint32_t count_stamped(uint32_t n)
{
    uint32_t stamped = 0;
    for (uint32_t i = 0; i < n; i++)
        stamped += got[i]->stamp != RING_NOW;
    return stamped;
}

Test(injector, clock_is_read_for_an_entry_that_is_alone_and_for_one_of_four_in_a_queue)
{
    os_ticks_init();
    list_tasks();
    cr_assert_eq(ring_init(&q, 64), 0);
    for (uint32_t i = 0; i < SINGLES; i++) {
        uint64_t stamp = RING_NOW;
        cr_assert_eq(ring_push_one(&q, list[i], RING_NOW), RING_OK);
        cr_assert_eq(ring_take(&q, got, 1, &stamp), 1);
        cr_assert_neq(stamp, RING_NOW);
        cr_assert_leq(stamp, os_ticks());
    }
    for (uint32_t begin = 0; begin < RING_STRIDE; begin++) {
        uint64_t stamp = RING_NOW;
        uint32_t n = 0;
        for (uint32_t i = 0; i < SINGLES + begin; i++)
            cr_assert_eq(ring_push_one(&q, list[i], RING_NOW), RING_OK);
        cr_assert_eq(ring_take(&q, got, SINGLES, &stamp), SINGLES);
        cr_assert_neq(stamp, RING_NOW, "a take of many is a sample");
        cr_assert_leq(count_stamped(SINGLES), STAMPED_MAX);
        while ((n = ring_take(&q, got, 1, &stamp)) > 0)
            cr_assert_eq(n, 1);
    }
    ring_destroy(&q);
}

/* --- close ---------------------------------------------------------------------------------------------------- */

static void check_close(uint32_t capacity)
{
    cr_assert_not(ring_is_drained(&q));
    for (uint32_t i = 0; i < capacity; i++)
        push_ok(&tasks[i]);
    ring_close(&q);
    ring_close(&q);
    for (uint32_t i = 0; i < capacity; i++) {
        cr_assert_not(ring_is_drained(&q));
        cr_assert_eq(ring_depth(&q), capacity - i);
        cr_assert_not(ring_is_empty(&q));
        cr_assert_eq(push(&tasks[0], 0), RING_CLOSED);
        cr_assert_eq(take(), &tasks[i]);
    }
    cr_assert(ring_is_drained(&q));
    cr_assert(ring_is_empty(&q));
    cr_assert_eq(ring_depth(&q), 0);
    cr_assert_null(take());
    cr_assert_eq(push(&tasks[0], 0), RING_CLOSED);
    cr_assert(ring_is_drained(&q));
}

Test(injector, closed_ring_refuses_pushes_and_gives_out_what_it_has)
{
    with_each_capacity(check_close);
}

static void check_close_empty(uint32_t capacity)
{
    (void)capacity;
    ring_close(&q);
    cr_assert(ring_is_drained(&q));
    cr_assert_null(take());
}

Test(injector, empty_ring_is_drained_when_closed)
{
    with_each_capacity(check_close_empty);
}

/* --- threads that stop midway --------------------------------------------------------------------------------- */

/* A consumer that has taken, and a producer that has pushed, without having moved a cursor on: the cursors go back. */
static void check_lagging_cursors(uint32_t capacity)
{
    for (uint32_t round = 0; round < 10; round++) {
        for (uint32_t i = 0; i < capacity; i++) {
            uint64_t tail = atom_load(&q.tail, memory_order_relaxed); /* any order, all of these: one thread */
            uint64_t lag = tail;
            push_ok(&tasks[i]);
            if (i % (RING_STRIDE - 1) != 0)
                atom_store(&q.tail, lag, memory_order_relaxed);
            cr_assert_eq(ring_depth(&q), i + 1);
        }
        cr_assert_eq(push(&tasks[1000], 0), RING_FULL);
        uint64_t head = atom_load(&q.head, memory_order_relaxed);
        for (uint32_t i = 0; i < capacity; i++)
            cr_assert_eq(take(), &tasks[i]);
        atom_store(&q.head, head, memory_order_relaxed);
        cr_assert(ring_is_empty(&q));
        cr_assert_eq(ring_depth(&q), 0);
        cr_assert_null(take());
    }
}

Test(injector, cursors_that_nobody_moved_on_stop_nobody)
{
    with_each_capacity(check_lagging_cursors);
}

/* --- lanes ---------------------------------------------------------------------------------------------------- */

static struct injector lanes ALIGNED(LINE_PAIR);

static weir_lane take_lane(void)
{
    uint64_t stamp;
    weir_lane lane = (weir_lane)99;
    cr_assert_eq(injector_take(&lanes, got, 1, 1, &stamp, &lane), 1);
    return lane;
}

static void push_lane(weir_lane lane, weir_task *t)
{
    cr_assert_eq(injector_push(&lanes, lane, t, 0), RING_OK);
}

Test(injector, higher_lane_goes_first)
{
    cr_assert_eq(injector_init(&lanes, 4), 0);
    push_lane(WEIR_LANE_LOW, &tasks[0]);
    push_lane(WEIR_LANE_NORMAL, &tasks[1]);
    push_lane(WEIR_LANE_HIGH, &tasks[2]);
    cr_assert_eq(injector_depth(&lanes), 3);
    cr_assert_eq(take_lane(), WEIR_LANE_HIGH);
    cr_assert_eq(got[0], &tasks[2]);
    cr_assert_eq(take_lane(), WEIR_LANE_NORMAL);
    cr_assert_eq(take_lane(), WEIR_LANE_LOW);
    cr_assert(injector_is_empty(&lanes));
    injector_destroy(&lanes);
}

Test(injector, full_lane_leaves_room_in_the_others)
{
    cr_assert_eq(injector_init(&lanes, 1), 0);
    push_lane(WEIR_LANE_LOW, &tasks[0]);
    cr_assert_eq(injector_push(&lanes, WEIR_LANE_LOW, &tasks[1], 0), RING_FULL);
    push_lane(WEIR_LANE_NORMAL, &tasks[1]);
    push_lane(WEIR_LANE_HIGH, &tasks[2]);
    injector_destroy(&lanes);
}

/* Higher lanes are filled up again after every take, for ever. */
Test(injector, no_lane_starves)
{
    cr_assert_eq(injector_init(&lanes, 4), 0);
    unsigned served[INJECTOR_LANES] = {0}, waited[INJECTOR_LANES] = {0};
    for (unsigned i = 0; i < INJECTOR_LANES; i++)
        push_lane((weir_lane)i, &tasks[i]);
    for (unsigned step = 0; step < 10000; step++) {
        weir_lane lane = take_lane();
        push_lane(lane, got[0]);
        served[lane]++;
        for (unsigned i = 0; i < INJECTOR_LANES; i++) {
            waited[i] = i == (unsigned)lane ? 0 : waited[i] + 1;
            cr_assert_leq(waited[i], INJECTOR_AGE * INJECTOR_AGE + 1);
        }
    }
    cr_assert_gt(served[WEIR_LANE_HIGH], served[WEIR_LANE_NORMAL]);
    cr_assert_gt(served[WEIR_LANE_NORMAL], served[WEIR_LANE_LOW]);
    cr_assert_gt(served[WEIR_LANE_LOW], 0);
    injector_destroy(&lanes);
}

Test(injector, batch_accepts_a_prefix_in_order)
{
    enum ring_result why;
    uint64_t stamp;
    weir_lane lane;
    uint32_t n = 0, k;
    list_tasks();
    cr_assert_eq(injector_init(&lanes, 100), 0);
    cr_assert_eq(injector_push_batch(&lanes, WEIR_LANE_NORMAL, list, 0, 0, &why), 0);
    cr_assert_eq(why, RING_OK);
    cr_assert_eq(injector_push_batch(&lanes, WEIR_LANE_NORMAL, list, 50, 0, &why), 50);
    cr_assert_eq(why, RING_OK);
    cr_assert_eq(injector_push_batch(&lanes, WEIR_LANE_NORMAL, list + 50, 51, 0, &why), 50);
    cr_assert_eq(why, RING_FULL);
    while ((k = injector_take(&lanes, got + n, RING_CHAIN, 2, &stamp, &lane)) > 0)
        n += k;
    cr_assert_eq(n, 100);
    cr_assert_arr_eq(got, list, 100 * sizeof *got);
    injector_close(&lanes);
    cr_assert(injector_is_drained(&lanes));
    cr_assert_eq(injector_push_batch(&lanes, WEIR_LANE_LOW, list, 1, 0, &why), 0);
    cr_assert_eq(why, RING_CLOSED);
    injector_destroy(&lanes);
}

/* A short queue of single tasks is spread over the consumers: nobody takes more than about its share. */
Test(injector, short_queue_is_shared)
{
    uint64_t stamp;
    weir_lane lane;
    list_tasks();
    cr_assert_eq(injector_init(&lanes, 256), 0);
    for (unsigned i = 0; i < 8; i++)
        push_lane(WEIR_LANE_NORMAL, &tasks[i]);
    cr_assert_eq(injector_take(&lanes, got, RING_CHAIN, 8, &stamp, &lane), 1);
    for (unsigned i = 8; i < 200; i++)
        push_lane(WEIR_LANE_NORMAL, &tasks[i]);
    cr_assert_eq(injector_take(&lanes, got, RING_CHAIN, 8, &stamp, &lane), RING_CHAIN);
    injector_destroy(&lanes);
}
