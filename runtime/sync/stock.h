/* SPDX-License-Identifier: MIT
 *
 * stock.h - large blocks of memory that were in use and may be again: whoever takes one is spared its page faults.
 *
 * A page fault costs 2 us for 4 KiB and 330 us for 2 MiB where the host must find the memory, too, which is half of
 * what building a large graph took (bench `graph_fan`). Blocks are powers of two. What they hold is forgotten: while
 * they wait, the system may take their pages and give others instead.
 *
 * Threads: any.
 * Invariants:
 *  S1  A block is in one slot, or somebody's.
 *  S2  A slot holds blocks of one size, so nobody need look into a block to know how large it is.
 *  S3  No more than STOCK_BYTES wait, of address space, in all slots together.
 */
#ifndef WEIR_STOCK_H
#define WEIR_STOCK_H

#include "base/atomics.h"
#include "base/compiler.h"

#ifndef STOCK_MIN_SHIFT
#define STOCK_MIN_SHIFT 18 /* smallest block: 256 KiB, which malloc() gives back to the system, too */
#endif
#define STOCK_MIN ((size_t)1 << STOCK_MIN_SHIFT)
#define STOCK_SIZES 9u  /* up to 64 MiB */
#define STOCK_EACH 4u   /* blocks of a size: nodes, edges and counters of a graph, and one more */
#define STOCK_WASTE 3u  /* sizes: a block is taken in place of one this much smaller; not a huge page for less */
#define STOCK_BYTES (STOCK_MIN << STOCK_SIZES)

/* A block of at least `least` bytes, aligned to a cache line; *size: how large it is. What it holds is undefined. NULL:
 * no memory. Freed with stock_free, of that size. */
void *stock_alloc(size_t least, size_t *size) MUST_USE;
/* The same, and it holds zeros in its first `least` bytes. */
void *stock_alloc_zeroed(size_t least, size_t *size) MUST_USE;
/* As stock_alloc, but only if one waits. */
void *stock_take(size_t least, size_t *size) MUST_USE;
/* Gives back a block from here, or any from os_alloc. */
void stock_free(void *block, size_t size);
/* Gives all that waits back to the system. Returns how many bytes that were. */
size_t stock_trim(void);

#endif
