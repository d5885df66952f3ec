/* SPDX-License-Identifier: MIT
 *
 * test_watermark.c - what must hold for a mark with two levels: one crossing each time, in turns.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <weir/admission.h>

#include "base/atomics.h"
#include "guard_rig.h"

Test(watermark, is_above_from_high_until_low)
{
    weir_watermark m;
    cr_assert_eq(weir_watermark_init(&m, 10, 4), 0);
    cr_assert_eq(weir_watermark_update(&m, 9), WEIR_CROSSED_NOT);
    cr_assert_not(weir_watermark_is_above(&m));
    cr_assert_eq(weir_watermark_update(&m, 10), WEIR_CROSSED_UP);
    cr_assert_eq(weir_watermark_update(&m, 12), WEIR_CROSSED_NOT);
    cr_assert_eq(weir_watermark_update(&m, 5), WEIR_CROSSED_NOT);
    cr_assert(weir_watermark_is_above(&m));
    cr_assert_eq(weir_watermark_update(&m, 4), WEIR_CROSSED_DOWN);
    cr_assert_eq(weir_watermark_update(&m, 9), WEIR_CROSSED_NOT);
    cr_assert_not(weir_watermark_is_above(&m));
}

Test(watermark, bad_levels_change_nothing)
{
    weir_watermark m;
    cr_assert_eq(weir_watermark_init(&m, 10, 4), 0);
    weir_watermark before = m;
    cr_assert_eq(weir_watermark_init(NULL, 10, 4), -EINVAL);
    cr_assert_eq(weir_watermark_init(&m, 0, 0), -EINVAL);
    cr_assert_eq(weir_watermark_init(&m, 4, 4), -EINVAL);
    cr_assert_eq(weir_watermark_set(&m, 4, 10), -EINVAL);
    cr_assert_eq(weir_watermark_set(NULL, 10, 4), -EINVAL);
    cr_assert_eq(memcmp(&before, &m, sizeof m), 0);
}

Test(watermark, new_levels_hold_from_the_next_update_on)
{
    weir_watermark m;
    cr_assert_eq(weir_watermark_init(&m, 10, 4), 0);
    cr_assert_eq(weir_watermark_update(&m, 10), WEIR_CROSSED_UP);
    cr_assert_eq(weir_watermark_set(&m, 30, 20), 0);
    cr_assert(weir_watermark_is_above(&m));
    cr_assert_eq(weir_watermark_update(&m, 10), WEIR_CROSSED_DOWN);
    cr_assert_eq(weir_watermark_update(&m, 29), WEIR_CROSSED_NOT);
}

static weir_watermark shared_mark;
static weir_atomic_u32 shared_depth, ups, downs;

static void *push_and_pop(void *arg)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t depth = i % 2 == 0 ? atom_add(&shared_depth, 3u, memory_order_relaxed) + 3
                                    : atom_sub(&shared_depth, 3u, memory_order_relaxed) - 3;
        switch (weir_watermark_update(&shared_mark, depth)) {
        case WEIR_CROSSED_UP: atom_add(&ups, 1u, memory_order_relaxed); break;
        case WEIR_CROSSED_DOWN: atom_add(&downs, 1u, memory_order_relaxed); break;
        case WEIR_CROSSED_NOT: break;
        }
    }
    return arg;
}

Test(watermark, crossings_of_many_threads_come_in_turns)
{
    cr_assert_eq(weir_watermark_init(&shared_mark, 6, 0), 0);
    run_threads(push_and_pop);
    uint32_t up = atom_load(&ups, memory_order_relaxed);
    uint32_t down = atom_load(&downs, memory_order_relaxed);
    cr_assert_eq(up - down, weir_watermark_is_above(&shared_mark) ? 1u : 0u, "%u up, %u down", up, down);
    if (weir_watermark_update(&shared_mark, 0) == WEIR_CROSSED_DOWN)
        down++;
    cr_assert_eq(up, down);
}
