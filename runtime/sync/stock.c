/* SPDX-License-Identifier: MIT
 *
 * stock.c - a few slots for blocks of each size; a block changes hands by one exchange of a pointer.
 *
 * Threads and invariants: see stock.h.
 */
#include "sync/stock.h"

#include <string.h>

#include "os/os.h"

static weir_atomic_ptr slots[STOCK_SIZES][STOCK_EACH];
static weir_atomic_u64 waiting; /* bytes in slots, or about to be (S3) */

/* The least size that is enough; STOCK_SIZES: none is. */
static uint32_t size_for(size_t least)
{
    uint32_t s = 0;
    while (s < STOCK_SIZES && STOCK_MIN << s < least)
        s++;
    return s;
}

void *stock_take(size_t least, size_t *size)
{
    uint32_t least_size = size_for(least);
    for (uint32_t s = least_size; s < STOCK_SIZES && s <= least_size + STOCK_WASTE; s++) {
        for (uint32_t i = 0; i < STOCK_EACH; i++) {
            /* relaxed: a hint; the exchange decides */
            if (atom_load(&slots[s][i], memory_order_relaxed) == NULL)
                continue;
            /* [SK1] acquire: the last use of the block before ours; pairs with stock_free(). */
            void *block = atom_xchg(&slots[s][i], NULL, memory_order_acquire);
            if (block == NULL)
                continue;
            *size = STOCK_MIN << s;
            atom_sub(&waiting, *size, memory_order_relaxed); /* relaxed: a sum */
            return block;
        }
    }
    return NULL;
}

/* Memory from the system: zeros. Blocks that may wait later have one of the sizes. */
static void *alloc_new(size_t least, size_t *size)
{
    uint32_t s = size_for(least);
    *size = least < STOCK_MIN || s == STOCK_SIZES ? least : STOCK_MIN << s;
    return os_alloc(*size, CACHE_LINE);
}

void *stock_alloc(size_t least, size_t *size)
{
    void *block = least < STOCK_MIN ? NULL : stock_take(least, size);
    return block != NULL ? block : alloc_new(least, size);
}

void *stock_alloc_zeroed(size_t least, size_t *size)
{
    void *block = least < STOCK_MIN ? NULL : stock_take(least, size);
    return block != NULL ? memset(block, 0, least) : alloc_new(least, size);
}

/* Whether the block waits now. */
static bool put(void *block, uint32_t s)
{
    for (uint32_t i = 0; i < STOCK_EACH; i++) {
        void *none = NULL;
        /* [SK1] release: our last use of the block; pairs with stock_take(). Relaxed on failure, which may be for no
         * reason: we look elsewhere. */
        if (atom_cas_weak(&slots[s][i], &none, block, memory_order_release, memory_order_relaxed))
            return true;
    }
    return false;
}

void stock_free(void *block, size_t size)
{
    uint32_t s = size_for(size);
    if (block == NULL || s == STOCK_SIZES || STOCK_MIN << s != size) {
        os_free(block, size);
        return;
    }
    /* relaxed, both: a sum */
    if (atom_add(&waiting, size, memory_order_relaxed) + size <= STOCK_BYTES) {
        os_forget(block, size);
        if (put(block, s))
            return;
    }
    atom_sub(&waiting, size, memory_order_relaxed);
    os_free(block, size);
}

size_t stock_trim(void)
{
    size_t bytes = 0, size;
    for (uint32_t s = 0; s < STOCK_SIZES; s++) {
        for (void *block; (block = stock_take(STOCK_MIN << s, &size)) != NULL; bytes += size)
            os_free(block, size);
    }
    return bytes;
}
