/* SPDX-License-Identifier: MIT
 *
 * stock.h - large blocks of memory that were in use and may be again: whoever takes one is spared its page faults.
 *
 * A page fault costs 2 us for 4 KiB and 330 us for 2 MiB where the host must find the memory, too, which is half of what
 * building a large graph took (bench `graph_fan`). Blocks are powers of two. What they hold is forgotten: while they
 * wait, the system may take their pages and give others instead.
 *
 * Threads: any.
 * Invariants:
 *  SK1 A block is in one slot, or somebody's.
 *  SK2 A slot holds blocks of one size, so nobody need look into a block to know how large it is.
 *  SK3 No more than STOCK_BYTES wait, of address space, in all slots together.
 */
#ifndef WEIR_STOCK_H
#define WEIR_STOCK_H

#include "base/atomics.h"
#include "base/compiler.h"

#ifndef STOCK_MIN_SHIFT
#define STOCK_MIN_SHIFT 20 /* smallest block: 1 MiB, from where on memory is a mapping of its own */
#endif
#define STOCK_MIN ((size_t)1 << STOCK_MIN_SHIFT)
#define STOCK_SIZES 7u  /* up to 64 MiB */
#define STOCK_EACH 4u   /* blocks of a size: nodes, edges and maps of a graph */
#define STOCK_BYTES (STOCK_MIN << STOCK_SIZES)

/* A block of at least `least` bytes, aligned to a cache line; *size: how large it is. What it holds is undefined. NULL:
 * no memory. Freed with stock_free, of that size. */
void *stock_alloc(size_t least, size_t *size) MUST_USE;
/* The same, but only if one waits. */
void *stock_take(size_t least, size_t *size) MUST_USE;
/* Gives back a block from here, or any from os_alloc. */
void stock_free(void *block, size_t size);

#endif
