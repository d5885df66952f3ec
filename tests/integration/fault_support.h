/* SPDX-License-Identifier: MIT
 *
 * fault_support.h - what the tests of lacking memory and threads share: which event shall fail.
 *
 * The faults exist in builds with -Dfault_injection=true only; elsewhere these tests are skipped.
 *
 * Threads: as os_fault.h.
 */
#ifndef WEIR_TESTS_FAULT_SUPPORT_H
#define WEIR_TESTS_FAULT_SUPPORT_H

#include "os/os_fault.h"
#include "support.h"

#ifdef WEIR_FAULT_INJECTION
static inline void arm(enum os_fault_kind kind, uint64_t nth)
{
    os_fault_arm(kind, nth);
}

static inline void arm_always(enum os_fault_kind kind)
{
    os_fault_arm_always(kind);
}

static inline void disarm(enum os_fault_kind kind)
{
    os_fault_disarm(kind);
}

static inline uint64_t count_of(enum os_fault_kind kind)
{
    return os_fault_count(kind);
}

static inline void need_faults(void)
{
}
#else
static inline void arm(enum os_fault_kind kind, uint64_t nth)
{
    (void)kind, (void)nth;
}

static inline void arm_always(enum os_fault_kind kind)
{
    (void)kind;
}

static inline void disarm(enum os_fault_kind kind)
{
    (void)kind;
}

static inline uint64_t count_of(enum os_fault_kind kind)
{
    (void)kind;
    return 0;
}

static inline void need_faults(void)
{
    cr_skip_test("this build injects no faults");
}
#endif

static weir_atomic_u32 ran; /* tasks and calls */

static inline weir_task *count_one(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    add(&ran, 1);
    return NULL;
}

#endif
