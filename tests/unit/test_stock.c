/* SPDX-License-Identifier: MIT
 *
 * test_stock.c - what must hold for large blocks that wait to be used again: sizes, reuse, zeros, bounds, no memory.
 */
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "os/os.h"
#include "os/os_fault.h"
#include "sync/stock.h"

#define LARGEST (STOCK_MIN << (STOCK_SIZES - 1))

Test(stock, small_and_huge_blocks_are_as_large_as_asked_for)
{
    size_t asked[] = {1, 100, STOCK_MIN - 1, LARGEST + 1};
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        size_t size = 0;
        unsigned char *p = stock_alloc(asked[i], &size);
        cr_assert_not_null(p);
        cr_assert_eq(size, asked[i]);
        p[0] = p[size - 1] = 1;
        stock_free(p, size);
    }
}

Test(stock, a_block_is_used_again)
{
    size_t size, again;
    char *p = stock_alloc(STOCK_MIN + 1, &size);
    cr_assert_eq(size, 2 * STOCK_MIN);
    memset(p, 1, size);
    stock_free(p, size);
    cr_assert_eq(stock_alloc(2 * STOCK_MIN, &again), p);
    cr_assert_eq(again, size);
    stock_free(p, size);
}

Test(stock, a_block_serves_one_that_is_not_much_smaller)
{
    size_t size, got = 0;
    char *p = stock_alloc(STOCK_MIN << STOCK_WASTE, &size);
    stock_free(p, size);
    cr_assert_eq(stock_take(STOCK_MIN, &got), p);
    cr_assert_eq(got, size);
    stock_free(p, size);
    p = stock_alloc(STOCK_MIN << STOCK_WASTE, &size); /* out of the way */
    char *larger = stock_alloc(STOCK_MIN << (STOCK_WASTE + 1), &got);
    stock_free(larger, got);
    cr_assert_null(stock_take(STOCK_MIN, &got));
    stock_free(p, size);
}

Test(stock, zeroed_blocks_hold_zeros)
{
    size_t size;
    unsigned char *p = stock_alloc(STOCK_MIN, &size);
    memset(p, 0xa5, size);
    stock_free(p, size);
    unsigned char *again = stock_alloc_zeroed(STOCK_MIN, &size);
    cr_assert_eq(again, p);
    for (size_t i = 0; i < STOCK_MIN; i++)
        cr_assert_eq(again[i], 0);
    stock_free(again, size);
    p = stock_alloc_zeroed(100, &size);
    for (size_t i = 0; i < size; i++)
        cr_assert_eq(p[i], 0);
    stock_free(p, size);
}

Test(stock, no_more_waits_than_the_bounds_allow)
{
    void *p[3 * STOCK_EACH];
    size_t size = 0;
    for (size_t i = 0; i < STOCK_EACH + 2; i++)
        p[i] = stock_alloc(STOCK_MIN, &size);
    for (size_t i = 0; i < STOCK_EACH + 2; i++)
        stock_free(p[i], size);
    cr_assert_eq(stock_trim(), STOCK_EACH * STOCK_MIN);
    cr_assert_eq(stock_trim(), 0);
    for (size_t s = STOCK_SIZES - 3, n = 0; s < STOCK_SIZES; s++)
        for (size_t i = 0; i < STOCK_EACH; i++)
            p[n++] = os_alloc(STOCK_MIN << s, CACHE_LINE);
    for (size_t s = STOCK_SIZES - 3, n = 0; s < STOCK_SIZES; s++)
        for (size_t i = 0; i < STOCK_EACH; i++)
            stock_free(p[n++], STOCK_MIN << s);
    cr_assert_eq(stock_trim(), STOCK_BYTES); /* 4 of 16 MiB, 2 of 32 MiB; then there was no room */
}

Test(stock, what_has_no_size_of_the_stock_goes_back_at_once)
{
    void *p = os_alloc(STOCK_MIN + 64, CACHE_LINE);
    stock_free(p, STOCK_MIN + 64);
    stock_free(NULL, 0);
    stock_free(NULL, STOCK_MIN);
    cr_assert_eq(stock_trim(), 0);
}

#ifdef WEIR_FAULT_INJECTION
Test(stock, without_memory_only_what_waits_is_given)
{
    size_t size, got;
    void *p = stock_alloc(STOCK_MIN, &size);
    stock_free(p, size);
    os_fault_arm_always(OS_FAULT_ALLOC);
    cr_assert_eq(stock_alloc(STOCK_MIN, &got), p);
    cr_assert_null(stock_alloc(STOCK_MIN, &got));
    cr_assert_null(stock_alloc_zeroed(STOCK_MIN, &got));
    os_fault_disarm(OS_FAULT_ALLOC);
    stock_free(p, size);
}
#endif
