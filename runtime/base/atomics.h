/* SPDX-License-Identifier: MIT
 *
 * atomics.h - the seam through which all runtime sources reach shared memory.
 *
 * The operations themselves are in weir/base.h, because the inlined fork/join paths need them in C11 and C++17 alike;
 * this header gives them their internal names and their orders (memory_order_*). A build that defines WEIR_ATOMIC_SEAM
 * replaces every one of them: the model checker, the delay injector. It also hears of the plain memory that they order.
 *
 * Threads: any.
 */
#ifndef WEIR_ATOMICS_H
#define WEIR_ATOMICS_H

#include <stdatomic.h>
#include <weir/base.h>

#define atom_load(p, order) WEIR_ATOMIC_LOAD(p, order)
#define atom_store(p, x, order) WEIR_ATOMIC_STORE(p, x, order)
#define atom_xchg(p, x, order) WEIR_ATOMIC_XCHG(p, x, order)
#define atom_cas(p, expected, x, order, fail) WEIR_ATOMIC_CAS(p, expected, x, order, fail)
#define atom_cas_weak(p, expected, x, order, fail) WEIR_ATOMIC_CAS_WEAK(p, expected, x, order, fail)
#define atom_add(p, x, order) WEIR_ATOMIC_ADD(p, x, order)
#define atom_sub(p, x, order) WEIR_ATOMIC_SUB(p, x, order)
#define atom_or(p, x, order) WEIR_ATOMIC_OR(p, x, order)
#define atom_and(p, x, order) WEIR_ATOMIC_AND(p, x, order)
#define atom_fence(order) WEIR_ATOMIC_FENCE(order)
/* The two sides of the asymmetric fence: light costs nothing here, heavy is os_membarrier() (os.h). */
#define atom_light() WEIR_ATOMIC_LIGHT()

/*
 * Stands before an access to plain memory that orders hand from one thread to another, and tells the model checker,
 * which fails where two such accesses are not ordered. x is the field itself; one field may stand for a record that is
 * handed over as a whole. Nothing in other builds.
 */
#ifdef WEIR_ATOMIC_SEAM
#define plain_reads(x) WEIR_PLAIN_READS(x)
#define plain_writes(x) WEIR_PLAIN_WRITES(x)
#else
#define plain_reads(x) ((void)sizeof(x))
#define plain_writes(x) ((void)sizeof(x))
#endif

/* A statistics cell: one writer, any number of readers; a plain add that readers may see late. */
WEIR_INLINE void atom_count(weir_atomic_u64 *cell, uint64_t n)
{
    /* relaxed: a single writer, and readers want no order */
    atom_store(cell, atom_load(cell, memory_order_relaxed) + n, memory_order_relaxed);
}

#endif
