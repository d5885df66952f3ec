/* SPDX-License-Identifier: MIT
 *
 * test_injector.c - what must hold for the injector: order, bounds, batches, stamps, close, threads that stop midway.
 *
 * A thread that stops in the middle of a call is played by doing the call's first steps by hand: it draws a ticket and
 * does not come back, or much later.
 */
#include <criterion/criterion.h>
#include <stdint.h>

#include "sync/injector.h"

#define CAPACITY_MAX 64u
#define ROUNDS 5u /* times around the ring */

static struct injector q;
static weir_task tasks[1024];

/* Runs a check with every capacity, the smallest ones included; each is left empty and is destroyed. */
static void with_each_capacity(void (*check)(uint32_t capacity))
{
    for (uint32_t capacity = 1; capacity <= CAPACITY_MAX; capacity *= 2) {
        cr_assert_eq(injector_init(&q, capacity), 0);
        check(capacity);
        injector_destroy(&q);
    }
}

static void push_ok(weir_task *t)
{
    cr_assert_eq(injector_push(&q, t, 0), INJECT_OK);
}

/* --- order and bounds ----------------------------------------------------------------------------------------- */

static void check_empty(uint32_t capacity)
{
    uint64_t stamp = 7;
    weir_task *out[2];
    for (uint32_t i = 0; i < 10 * capacity; i++) {
        cr_assert_null(injector_pop(&q, &stamp));
        cr_assert_eq(injector_pop_batch(&q, out, 2), 0);
    }
    cr_assert_eq(stamp, 7);
    cr_assert(injector_is_empty(&q));
    cr_assert_eq(injector_depth(&q), 0);
    push_ok(&tasks[0]);
    cr_assert_not(injector_is_empty(&q));
    cr_assert_eq(injector_pop(&q, NULL), &tasks[0]);
    cr_assert(injector_is_empty(&q));
}

Test(injector, pop_from_empty_returns_null)
{
    with_each_capacity(check_empty);
}

static void check_full(uint32_t capacity)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < capacity; i++) {
            cr_assert_eq(injector_depth(&q), i);
            push_ok(&tasks[i]);
        }
        for (uint32_t i = 0; i < 10; i++)
            cr_assert_eq(injector_push(&q, &tasks[1000], 0), INJECT_FULL);
        cr_assert_eq(injector_depth(&q), capacity);
        for (uint32_t i = 0; i < capacity; i++)
            cr_assert_eq(injector_pop(&q, NULL), &tasks[i]);
        cr_assert_null(injector_pop(&q, NULL));
    }
}

Test(injector, push_beyond_capacity_is_refused_and_changes_nothing)
{
    with_each_capacity(check_full);
}

static void check_fifo(uint32_t capacity)
{
    uint32_t in = 0, out = 0;
    for (uint32_t fill = 1; fill <= capacity; fill++) {
        for (uint32_t step = 0; step < ROUNDS * capacity; step++) {
            while (in - out < fill)
                push_ok(&tasks[in++ % 1024]);
            cr_assert_eq(injector_pop(&q, NULL), &tasks[out++ % 1024]);
        }
        while (out < in)
            cr_assert_eq(injector_pop(&q, NULL), &tasks[out++ % 1024]);
    }
}

Test(injector, first_in_is_first_out_at_every_fill)
{
    with_each_capacity(check_fifo);
}

static void check_stamp(uint32_t capacity)
{
    for (uint64_t i = 0; i < capacity; i++)
        cr_assert_eq(injector_push(&q, &tasks[i], UINT64_MAX - i), INJECT_OK);
    for (uint64_t i = 0; i < capacity; i++) {
        uint64_t stamp = 0;
        cr_assert_eq(injector_pop(&q, &stamp), &tasks[i]);
        cr_assert_eq(stamp, UINT64_MAX - i);
    }
}

Test(injector, stamp_stays_with_its_task)
{
    with_each_capacity(check_stamp);
}

/* --- batches -------------------------------------------------------------------------------------------------- */

static weir_task *list[1024], *got[1024];

static void check_batch(uint32_t capacity)
{
    enum inject_result why = INJECT_CLOSED;
    for (size_t i = 0; i < 1024; i++)
        list[i] = &tasks[i];
    cr_assert_eq(injector_push_batch(&q, list, 0, 0, &why), 0);
    cr_assert_eq(why, INJECT_OK);
    cr_assert_eq(injector_pop_batch(&q, got, 0), 0);
    for (uint32_t n = 1; n <= capacity; n++) {
        cr_assert_eq(injector_push_batch(&q, list, n, 9, &why), n);
        cr_assert_eq(why, INJECT_OK);
        cr_assert_eq(injector_depth(&q), n);
        cr_assert_eq(injector_pop_batch(&q, got, 1024), n);
        cr_assert_arr_eq(got, list, n * sizeof *got);
    }
    push_ok(&tasks[1000]);
    cr_assert_eq(injector_push_batch(&q, list, 1024, 9, &why), capacity - 1);
    cr_assert_eq(why, INJECT_FULL);
    cr_assert_eq(injector_push_batch(&q, list, 1, 9, NULL), 0);
    uint64_t stamp = 0;
    cr_assert_eq(injector_pop(&q, &stamp), &tasks[1000]);
    for (uint32_t i = 0; i + 1 < capacity; i++) {
        cr_assert_eq(injector_pop(&q, &stamp), list[i]);
        cr_assert_eq(stamp, 9);
    }
    cr_assert(injector_is_empty(&q));
}

Test(injector, batch_push_accepts_a_prefix_in_order)
{
    with_each_capacity(check_batch);
}

Test(injector, batches_larger_than_one_draw_keep_their_order)
{
    enum inject_result why;
    cr_assert_eq(injector_init(&q, 512), 0);
    for (size_t i = 0; i < 1024; i++)
        list[i] = &tasks[i];
    cr_assert_eq(injector_push_batch(&q, list, 1024, 0, &why), 512);
    cr_assert_eq(why, INJECT_FULL);
    cr_assert_eq(injector_pop_batch(&q, got, 300), 300);
    cr_assert_eq(injector_push_batch(&q, list + 512, 200, 0, &why), 200);
    cr_assert_eq(why, INJECT_OK);
    cr_assert_eq(injector_pop_batch(&q, got + 300, 724), 412);
    cr_assert_arr_eq(got, list, 712 * sizeof *got);
    injector_destroy(&q);
}

/* --- close ---------------------------------------------------------------------------------------------------- */

static void check_close(uint32_t capacity)
{
    enum inject_result why;
    cr_assert_not(injector_drained(&q));
    for (uint32_t i = 0; i < capacity; i++)
        push_ok(&tasks[i]);
    injector_close(&q);
    injector_close(&q);
    cr_assert_not(injector_drained(&q));
    cr_assert_eq(injector_push(&q, &tasks[0], 0), INJECT_CLOSED);
    for (uint32_t i = 0; i < capacity; i++) {
        cr_assert_not(injector_drained(&q));
        cr_assert_eq(injector_depth(&q), capacity - i);
        cr_assert_eq(injector_pop(&q, NULL), &tasks[i]);
        cr_assert_eq(injector_push(&q, &tasks[0], 0), INJECT_CLOSED);
        cr_assert_eq(injector_push_batch(&q, list, 3, 0, &why), 0);
        cr_assert_eq(why, INJECT_CLOSED);
    }
    cr_assert(injector_drained(&q));
    cr_assert_null(injector_pop(&q, NULL));
    cr_assert(injector_drained(&q));
    cr_assert_eq(injector_push(&q, &tasks[0], 0), INJECT_CLOSED);
    cr_assert(injector_is_empty(&q));
}

Test(injector, closed_queue_refuses_pushes_and_gives_out_what_it_has)
{
    with_each_capacity(check_close);
}

static void check_close_empty(uint32_t capacity)
{
    (void)capacity;
    injector_close(&q);
    cr_assert(injector_drained(&q));
    cr_assert_null(injector_pop(&q, NULL));
}

Test(injector, empty_queue_is_drained_when_closed)
{
    with_each_capacity(check_close_empty);
}

/* A push that learns of the close only from the ring: its room comes back, so that the count is right. */
static void check_late_push(uint32_t capacity)
{
    enum inject_result why;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        scq_close(&q.full);
        cr_assert_eq(injector_push(&q, &tasks[0], 0), INJECT_CLOSED);
        cr_assert_eq(injector_push_batch(&q, list, 2, 0, &why), 0);
        cr_assert_eq(why, INJECT_CLOSED);
    }
    cr_assert_eq(scq_depth(&q.free), capacity);
    cr_assert_null(injector_pop(&q, NULL));
    cr_assert(injector_is_empty(&q));
    cr_assert(injector_drained(&q));
}

Test(injector, push_refused_by_the_ring_gives_its_room_back)
{
    with_each_capacity(check_late_push);
}

/* --- threads that stop midway --------------------------------------------------------------------------------- */

/* What a push does up to the point where it has drawn its ticket. */
static uint64_t begin_push(uint32_t *index)
{
    cr_assert_eq(scq_take(&q.free, index, 1), 1);
    return atom_add(&q.full.tail, 1, memory_order_acq_rel); /* any order: one thread */
}

static void check_stopped_producer(uint32_t capacity)
{
    uint32_t index;
    uint64_t ticket = begin_push(&index);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i + 1 < capacity; i++)
            push_ok(&tasks[i]);
        cr_assert_eq(injector_push(&q, &tasks[1000], 0), INJECT_FULL);
        for (uint32_t i = 0; i + 1 < capacity; i++)
            cr_assert_eq(injector_pop(&q, NULL), &tasks[i]);
        cr_assert_null(injector_pop(&q, NULL));
        cr_assert(injector_is_empty(&q));
    }
    /* It comes back: its ticket has been passed, its push still succeeds. */
    cr_assert_not(scq_put_at(&q.full, ticket, index));
    atom_store(&q.entries[index].task, (void *)&tasks[1001], memory_order_relaxed); /* any order: one thread */
    cr_assert_eq(scq_put(&q.full, &index, 1), 1);
    cr_assert_eq(injector_pop(&q, NULL), &tasks[1001]);
    for (uint32_t i = 0; i < capacity; i++)
        push_ok(&tasks[i]);
    cr_assert_eq(injector_pop_batch(&q, got, capacity), capacity);
}

Test(injector, stopped_producer_stops_nobody)
{
    with_each_capacity(check_stopped_producer);
}

static void check_stopped_consumer(uint32_t capacity)
{
    push_ok(&tasks[1000]);
    uint64_t ticket = atom_add(&q.full.head, 1, memory_order_acq_rel); /* any order: one thread */
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i + 1 < capacity; i++)
            push_ok(&tasks[i]);
        cr_assert_eq(injector_push(&q, &tasks[1001], 0), INJECT_FULL);
        for (uint32_t i = 0; i + 1 < capacity; i++)
            cr_assert_eq(injector_pop(&q, NULL), &tasks[i]);
        cr_assert_null(injector_pop(&q, NULL));
        cr_assert(injector_is_empty(&q));
    }
    uint32_t index = scq_take_at(&q.full, ticket);
    cr_assert_neq(index, SCQ_NONE);
    cr_assert_eq(atom_load(&q.entries[index].task, memory_order_relaxed), &tasks[1000]); /* any order: one thread */
    cr_assert_eq(scq_put(&q.free, &index, 1), 1);
    check_full(capacity);
}

Test(injector, stopped_consumer_stops_nobody)
{
    with_each_capacity(check_stopped_consumer);
}

/* Consumers that have drawn tickets on an empty queue: a later push goes to the first of them, or passes them by. */
static void check_overrun(uint32_t capacity)
{
    uint64_t first = atom_add(&q.full.head, 2, memory_order_acq_rel); /* any order: one thread */
    cr_assert(injector_is_empty(&q));
    push_ok(&tasks[0]);
    cr_assert_null(injector_pop(&q, NULL)); /* it belongs to the stopped consumer */
    uint32_t index = scq_take_at(&q.full, first);
    cr_assert_neq(index, SCQ_NONE);
    cr_assert_eq(scq_put(&q.free, &index, 1), 1);
    cr_assert_eq(scq_take_at(&q.full, first + 1), SCQ_NONE);
    check_full(capacity);
}

Test(injector, push_reaches_a_consumer_that_is_ahead)
{
    with_each_capacity(check_overrun);
}

static void check_not_drained(uint32_t capacity)
{
    (void)capacity;
    push_ok(&tasks[0]);
    uint64_t ticket = atom_add(&q.full.head, 1, memory_order_acq_rel); /* any order: one thread */
    injector_close(&q);
    cr_assert_null(injector_pop(&q, NULL));
    cr_assert_not(injector_drained(&q), "a consumer has not got its entry out of the ring yet");
    cr_assert_neq(scq_take_at(&q.full, ticket), SCQ_NONE);
    cr_assert(injector_drained(&q));
}

Test(injector, entry_on_its_way_out_keeps_it_from_being_drained)
{
    with_each_capacity(check_not_drained);
}

static void check_drained_excludes(uint32_t capacity)
{
    uint32_t index;
    uint64_t ticket = begin_push(&index);
    injector_close(&q);
    cr_assert(injector_drained(&q));
    cr_assert_not(scq_put_at(&q.full, ticket, index), "a push succeeded after the queue was drained");
    cr_assert_eq(scq_put(&q.full, &index, 1), 0);
    cr_assert_null(injector_pop(&q, NULL));
    (void)capacity;
}

Test(injector, push_under_way_fails_once_drained)
{
    with_each_capacity(check_drained_excludes);
}

static void check_drained_waits(uint32_t capacity)
{
    uint32_t index;
    uint64_t ticket = begin_push(&index);
    injector_close(&q);
    atom_store(&q.entries[index].task, (void *)&tasks[5], memory_order_relaxed); /* any order: one thread */
    cr_assert(scq_put_at(&q.full, ticket, index));
    /* The push has not got as far as restoring patience: a closed queue gives its entry out all the same. */
    atom_store(&q.full.patience, UINT64_MAX, memory_order_relaxed); /* any order: one thread */
    cr_assert_not(injector_drained(&q));
    cr_assert_eq(injector_pop(&q, NULL), &tasks[5]);
    cr_assert(injector_drained(&q));
    (void)capacity;
}

Test(injector, push_with_a_ticket_from_before_the_close_may_succeed_until_drained)
{
    with_each_capacity(check_drained_waits);
}

/* --- the ring itself ------------------------------------------------------------------------------------------ */

/* A slot that still holds an old index when its next taker passes is not filled behind that taker's back. */
Test(injector, slot_passed_while_occupied_is_not_filled_for_that_ticket)
{
    cr_assert_eq(injector_init(&q, 2), 0);
    struct scq *ring = &q.full;
    uint32_t index[2] = {0, 1}, x;
    uint64_t size = 4;
    cr_assert_eq(scq_put(ring, index, 1), 1);
    uint64_t old = atom_add(&ring->head, 1, memory_order_acq_rel); /* its taker stops. any order: one thread */
    for (unsigned i = 1; i < size; i++) {
        cr_assert_eq(scq_put(ring, index + 1, 1), 1);
        cr_assert_eq(scq_take(ring, &x, 1), 1);
        cr_assert_eq(x, 1);
    }
    uint64_t late = atom_add(&ring->tail, 1, memory_order_acq_rel); /* its putter stops. any order: one thread */
    cr_assert_eq(late, old + size);
    cr_assert_eq(scq_take(ring, &x, 1), 0);
    cr_assert_eq(scq_take_at(ring, old), 0);
    cr_assert_not(scq_put_at(ring, late, 1), "its taker has passed, nobody would find it");
    cr_assert_eq(scq_put(ring, index + 1, 1), 1);
    cr_assert_eq(scq_take(ring, &x, 1), 1);
    cr_assert_eq(x, 1);
    injector_destroy(&q);
}

Test(injector, takers_out_of_patience_are_called_back_by_the_next_put)
{
    cr_assert_eq(injector_init(&q, 2), 0);
    uint32_t index = 1, x;
    atom_store(&q.full.patience, UINT64_MAX, memory_order_relaxed); /* any order: one thread */
    atom_add(&q.full.tail, 1, memory_order_relaxed);                /* a putter stops. any order: one thread */
    uint64_t head = atom_load(&q.full.head, memory_order_relaxed);  /* any order: one thread */
    cr_assert_eq(scq_take(&q.full, &x, 1), 0);
    cr_assert_eq(atom_load(&q.full.head, memory_order_relaxed), head, "it drew a ticket");
    cr_assert_eq(scq_put(&q.full, &index, 1), 1);
    cr_assert_eq(scq_take(&q.full, &x, 1), 1);
    cr_assert_eq(x, 1);
    injector_destroy(&q);
}

Test(injector, lines_of_neighbouring_tickets_differ)
{
    cr_assert_eq(injector_init(&q, CAPACITY_MAX), 0);
    bool seen[2 * CAPACITY_MAX] = {false};
    for (uint64_t t = 0; t < 2 * CAPACITY_MAX; t++) {
        size_t slot = (size_t)(scq_slot(&q.full, t) - q.full.slots);
        size_t next = (size_t)(scq_slot(&q.full, t + 1) - q.full.slots);
        cr_assert_lt(slot, 2 * CAPACITY_MAX);
        cr_assert_not(seen[slot], "two tickets of one cycle share a slot");
        seen[slot] = true;
        cr_assert_neq(slot / 8, next / 8);
    }
    injector_destroy(&q);
}
