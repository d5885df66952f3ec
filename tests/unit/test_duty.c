/* SPDX-License-Identifier: MIT
 *
 * test_duty.c - what must hold for the duty word: who may come, who may leave, and what becomes of the target.
 */
#include <criterion/criterion.h>

#include "sched/duty.h"

static struct duty d;

static void setup(void)
{
    duty_init(&d, 3, 2, 5, 8);
}

TestSuite(duty, .init = setup, .timeout = 60);

#define EXPECT(on, blocked, target) \
    do { \
        uint64_t word_ = duty_read(&d); \
        cr_assert_eq(duty_on(word_), on); \
        cr_assert_eq(duty_blocked(word_), blocked); \
        cr_assert_eq(duty_target(word_), target); \
    } while (0)

Test(duty, begins_with_what_is_wanted)
{
    EXPECT(3, 0, 3);
    cr_assert_not(duty_is_short(&d, duty_read(&d)));
    cr_assert_not(duty_has_surplus(duty_read(&d)));
    cr_assert_not(duty_reserve(&d));
    cr_assert_not(duty_withdraw(&d));
    EXPECT(3, 0, 3);
}

Test(duty, blocked_worker_makes_room_for_one_and_its_return_a_surplus)
{
    cr_assert(duty_is_short(&d, duty_block(&d)));
    cr_assert(duty_reserve(&d));
    EXPECT(4, 1, 3);
    cr_assert_not(duty_reserve(&d));
    cr_assert(duty_has_surplus(duty_unblock(&d)));
    cr_assert(duty_withdraw(&d));
    cr_assert_not(duty_withdraw(&d));
    EXPECT(3, 0, 3);
}

Test(duty, no_more_come_than_there_are_seats)
{
    for (unsigned i = 0; i < 5; i++) {
        cr_assert(duty_is_short(&d, duty_block(&d)));
        cr_assert(duty_reserve(&d));
    }
    cr_assert_not(duty_is_short(&d, duty_block(&d)));
    cr_assert_not(duty_reserve(&d));
    cr_assert_not(duty_grow(&d));
    EXPECT(8, 6, 3);
}

Test(duty, growth_raises_the_target_up_to_the_maximum)
{
    cr_assert(duty_grow(&d));
    cr_assert(duty_grow(&d));
    EXPECT(5, 0, 5);
    cr_assert_not(duty_grow(&d));
    duty_block(&d);
    cr_assert(duty_grow(&d), "one of five is blocked");
    EXPECT(6, 1, 5);
}

Test(duty, idle_workers_leave_down_to_the_minimum_and_take_the_target_along)
{
    cr_assert(duty_grow(&d));
    EXPECT(4, 0, 4);
    cr_assert_not(duty_stay(&d));
    cr_assert(duty_leave(&d));
    EXPECT(3, 0, 3);
    cr_assert(duty_leave(&d));
    EXPECT(2, 0, 2);
    cr_assert_not(duty_leave(&d));
    cr_assert(duty_stay(&d));
}

Test(duty, worker_that_stays_in_the_place_of_blocked_ones_brings_the_target_to_the_minimum)
{
    duty_block(&d);
    EXPECT(3, 1, 3);
    cr_assert_not(duty_leave(&d));
    cr_assert(duty_stay(&d));
    EXPECT(3, 1, 2);
    cr_assert(duty_has_surplus(duty_unblock(&d)), "now it may leave");
}

Test(duty, coming_and_going_in_between_is_noticed)
{
    uint64_t before = duty_read_ordered(&d);
    cr_assert(duty_stood_still(before, duty_block(&d)), "blocking changes nobody's place");
    cr_assert(duty_reserve(&d));
    duty_dismiss(&d);
    cr_assert_eq(duty_on(duty_read(&d)), duty_on(before));
    cr_assert_not(duty_stood_still(before, duty_read_ordered(&d)));
}
