/* SPDX-License-Identifier: MIT
 *
 * watermark.c - a level with hysteresis over the depth of a queue.
 *
 * Threads: any. Wait-free: one compare-and-swap at most, without a retry.
 * Invariants: `above` goes from 0 to 1 and from 1 to 0 in turns, each time by one compare-and-swap, so each crossing
 * has one finder. Who loses one leaves the level to who won it, and to the next update.
 * All accesses are relaxed: the word says something about the queue's depth, which is a guess itself, and carries no
 * other data.
 */
#include <weir/admission.h>

#include <errno.h>

#include "base/atomics.h"

#define HIGH_SHIFT 32

int weir_watermark_set(weir_watermark *m, uint32_t high, uint32_t low)
{
    if (m == NULL || high == 0 || low >= high)
        return -EINVAL;
    atom_store(&m->levels, (uint64_t)high << HIGH_SHIFT | low, memory_order_relaxed); /* relaxed: see above */
    return 0;
}

int weir_watermark_init(weir_watermark *m, uint32_t high, uint32_t low)
{
    int r = weir_watermark_set(m, high, low);
    if (r == 0)
        atom_store(&m->above, 0u, memory_order_relaxed); /* relaxed: as in weir_codel_init() */
    return r;
}

bool weir_watermark_next(const weir_watermark *m, bool above, uint64_t depth)
{
    uint64_t levels = atom_load(&m->levels, memory_order_relaxed); /* relaxed: see above */
    return above ? depth > (uint32_t)levels : depth >= levels >> HIGH_SHIFT;
}

weir_crossing weir_watermark_update(weir_watermark *m, uint64_t depth)
{
    /* relaxed, all: see above */
    uint32_t above = atom_load(&m->above, memory_order_relaxed);
    bool crosses = weir_watermark_next(m, above != 0, depth) != (above != 0);
    if (!crosses || !atom_cas(&m->above, &above, 1u - above, memory_order_relaxed, memory_order_relaxed))
        return WEIR_CROSSED_NOT;
    return above ? WEIR_CROSSED_DOWN : WEIR_CROSSED_UP;
}

bool weir_watermark_is_above(const weir_watermark *m)
{
    return atom_load(&m->above, memory_order_relaxed) != 0; /* relaxed: see above */
}
