/* SPDX-License-Identifier: MIT
 *
 * client_stock.c - large blocks that wait to be used again: one owner at a time, whose use comes after the last one's.
 *
 * Threads: each takes blocks, writes them and gives them back.
 * Invariants: no two threads have the same block; an access that the slots don't order is a failure.
 */
#include "model.h"
#include "os/os.h"
#include "sync/stock.h"

static void use(void *block)
{
    if (block == NULL)
        return;
    MODEL_WRITE(*(int *)block, 1);
    MODEL_ASSERT(MODEL_READ(*(int *)block) == 1);
    stock_free(block, STOCK_MIN);
}

static void use_any(void)
{
    size_t size;
    void *block = stock_alloc(STOCK_MIN, &size);
    MODEL_ASSERT(block != NULL && size == STOCK_MIN);
    use(block);
}

static void use_what_waits(void)
{
    size_t size;
    use(stock_take(STOCK_MIN, &size));
}

static void trim(void)
{
    (void)stock_trim();
}

static void setup_one(void)
{
    use_any();
}

/* All that waits goes back to the system: what is lost is a leak. */
static void check(void)
{
    (void)stock_trim();
}

static const struct model_client clients[] = {
    {.name = "handed_on", .check = check, .thread = {use_any, use_what_waits}},
    {.name = "one_for_two", .setup = setup_one, .check = check, .thread = {use_what_waits, use_what_waits}},
    {.name = "two_make_more", .setup = setup_one, .check = check, .thread = {use_any, use_any}},
    {.name = "trimmed_meanwhile", .setup = setup_one, .check = check, .thread = {use_any, trim}},
    {.name = "one_for_three", .setup = setup_one, .check = check,
     .thread = {use_what_waits, use_any, use_what_waits}},
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
