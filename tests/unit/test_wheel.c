/* SPDX-License-Identifier: MIT
 *
 * test_wheel.c - what must hold for the timing wheel: against a plain list of timers, at every distance, in every
 * order.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/util.h"
#include "sync/wheel.h"

#define MANY 4000u
#define BATCH 32u
#define STEPS 60000u
#define SEEDS 12u

static struct wheel wheel;
static weir_timer timer[MANY];
static bool in[MANY];      /* the reference: which timers are in, */
static uint64_t due[MANY]; /* and for which tick */
static uint64_t count;

static void begin(uint64_t now)
{
    wheel_init(&wheel, now);
    count = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        weir_timer_init(&timer[i]);
        in[i] = false;
    }
}

static void add(uint32_t i, uint64_t tick)
{
    wheel_add(&wheel, &timer[i], tick);
    in[i] = true;
    due[i] = timer[i].due;
    count++;
}

static void take_out(uint32_t i)
{
    wheel_remove(&wheel, &timer[i]);
    in[i] = false;
    count--;
}

static uint64_t reference_next(void)
{
    uint64_t next = WHEEL_NEVER;
    for (uint32_t i = 0; i < MANY; i++)
        if (in[i] && due[i] < next)
            next = due[i];
    return next;
}

/* Takes everything out that is due at `now`, and compares. */
static void expire_all(uint64_t now, uint32_t most)
{
    weir_timer *out[BATCH];
    uint64_t last = 0;
    while (wheel_next(&wheel) <= now) {
        uint32_t n = wheel_expire(&wheel, now, out, most);
        cr_assert_leq(n, most);
        for (uint32_t k = 0; k < n; k++) {
            uint32_t i = (uint32_t)(out[k] - timer);
            cr_assert(in[i], "timer %u came out twice, or was never in", i);
            cr_assert_leq(due[i], now, "timer %u came out early", i);
            cr_assert_geq(due[i], last, "timer %u came out after a later one", i);
            last = due[i];
            in[i] = false;
            count--;
        }
    }
    cr_assert_gt(reference_next(), now, "a timer was left behind");
    cr_assert_eq(wheel.pending, count);
}

Test(wheel, an_empty_wheel_has_nothing_next)
{
    weir_timer *out[1];
    begin(17);
    cr_assert_eq(wheel_next(&wheel), WHEEL_NEVER);
    cr_assert_eq(wheel_expire(&wheel, 1000, out, 1), 0);
    cr_assert_eq(wheel.now, 1000);
}

Test(wheel, ticks_are_never_early)
{
    cr_assert_eq(wheel_tick_from(0), 0);
    cr_assert_eq(wheel_tick_from(1), 1);
    cr_assert_eq(wheel_tick_from(UINT64_C(1) << WHEEL_TICK_SHIFT), 1);
    cr_assert_eq(wheel_tick_from(UINT64_MAX), WHEEL_TICK_MAX);
    for (uint64_t ns = 1; ns < UINT64_MAX / 3; ns *= 3) {
        cr_assert_geq(wheel_ns(wheel_tick_from(ns)), ns);
        cr_assert_lt(wheel_ns(wheel_tick_from(ns)) - ns, UINT64_C(1) << WHEEL_TICK_SHIFT);
    }
}

/* From each of many presents to each distance there is: the timer comes out at its tick, not one before. */
Test(wheel, one_timer_at_every_distance)
{
    static const uint64_t from[] = {0, 1, 63, 64, 4095, 4096, 123456789, (UINT64_C(1) << 36) - 1, UINT64_C(1) << 42};
    weir_timer *out[1];
    for (size_t f = 0; f < sizeof from / sizeof from[0]; f++) {
        for (uint32_t shift = 0; shift < 49; shift++) {
            for (int64_t off = -1; off <= 1; off++) {
                uint64_t tick = from[f] + (UINT64_C(1) << shift) + (uint64_t)off;
                begin(from[f]);
                add(0, tick);
                cr_assert_eq(wheel_next(&wheel), tick);
                if (tick > from[f])
                    cr_assert_eq(wheel_expire(&wheel, tick - 1, out, 1), 0);
                cr_assert_eq(wheel_next(&wheel), tick);
                while (wheel_expire(&wheel, tick, out, 1) == 0)
                    cr_assert_eq(wheel_next(&wheel) <= tick, true);
                cr_assert_eq(out[0], &timer[0]);
            }
        }
    }
}

Test(wheel, the_last_tick_there_is_comes_out)
{
    weir_timer *out[2];
    begin(5);
    add(0, WHEEL_TICK_MAX);
    add(1, WHEEL_TICK_MAX - 1);
    cr_assert_eq(wheel_next(&wheel), WHEEL_TICK_MAX - 1);
    expire_all(WHEEL_TICK_MAX - 2, BATCH);
    uint32_t n = 0;
    while (n < 2)
        n += wheel_expire(&wheel, WHEEL_TICK_MAX, out + n, 2 - n);
    cr_assert_eq(out[0], &timer[1]);
    cr_assert_eq(out[1], &timer[0]);
}

Test(wheel, the_past_is_due_at_once)
{
    begin(1000);
    add(0, 3);
    cr_assert_eq(timer[0].due, 1000);
    cr_assert_eq(wheel_next(&wheel), 1000);
    expire_all(1000, BATCH);
    cr_assert_eq(count, 0);
}

/* A slot that holds thousands is spread a bounded number at a time; meanwhile timers come and go. */
Test(wheel, a_crowded_slot_is_spread_in_steps_while_others_come_and_go)
{
    weir_timer *out[BATCH];
    begin(0);
    for (uint32_t i = 0; i < MANY; i++)
        if (i != 7)
            add(i, 4096 + i % 512);
    cr_assert_eq(wheel_next(&wheel), 4096, "where the slot begins");
    uint32_t n = wheel_expire(&wheel, 4096, out, BATCH);
    cr_assert_eq(n, 0, "one call does not move thousands");
    cr_assert_leq(wheel_next(&wheel), 4096, "more is to be done at once");
    add(7, 4096 + 3);
    take_out(11);
    take_out(MANY - 1);
    expire_all(4096 + 3, BATCH);
    cr_assert(!in[7]);
    expire_all(4096 + 600, BATCH);
    cr_assert_eq(count, 0);
}

/* All that was left in the slot is taken out while it is being spread: what was moved before must not be forgotten. */
Test(wheel, a_slot_emptied_while_it_is_spread)
{
    weir_timer *out[BATCH];
    begin(0);
    for (uint32_t i = 0; i < 1000; i++)
        add(i, 4096 + 5 + i % 50);
    (void)wheel_expire(&wheel, 4096, out, BATCH);
    for (uint32_t i = 300; i < 1000; i++)
        take_out(i);
    cr_assert_leq(wheel_next(&wheel), 4096 + 5);
    expire_all(5000, BATCH);
    cr_assert_eq(count, 0);
}

Test(wheel, an_empty_wheel_moves_on)
{
    begin(0);
    add(0, 100);
    take_out(0);
    wheel_advance_empty(&wheel, 1000000);
    add(0, 1000003);
    cr_assert_eq(wheel_next(&wheel), 1000003);
    wheel_advance_empty(&wheel, 2000000); /* not empty: stays */
    cr_assert_eq(wheel.now, 1000000);
    expire_all(1000003, BATCH);
    cr_assert_eq(count, 0);
}

static void random_steps(uint64_t seed)
{
    struct rng r;
    rng_seed(&r, seed);
    uint64_t now = seed % 3 == 0 ? 0 : (uint64_t)rng_next(&r) << (seed % 16);
    begin(now);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t i = rng_below(&r, MANY);
        switch (rng_below(&r, 8)) {
        case 0: {
            uint64_t by = UINT64_C(1) << rng_below(&r, step % 100 == 0 ? 30 : 8);
            now += rng_below(&r, 100) < 90 ? by % 97 : by;
            expire_all(now, 1 + rng_below(&r, BATCH));
            break;
        }
        case 1:
        case 2:
            if (in[i])
                take_out(i);
            break;
        case 3: {
            uint64_t next = wheel_next(&wheel);
            cr_assert_leq(next, reference_next(), "what is next is not missed");
            cr_assert_eq(next == WHEEL_NEVER, count == 0);
            break;
        }
        default:
            if (!in[i])
                add(i, now + rng_next(&r) % (UINT64_C(1) << rng_below(&r, 32)) - rng_below(&r, 2) * (now % 3));
            break;
        }
    }
    expire_all(now + (UINT64_C(1) << 40), BATCH);
    cr_assert_eq(count, 0);
}

Test(wheel, random_steps_as_a_plain_list_would)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        random_steps(seed);
}
