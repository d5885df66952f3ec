/* SPDX-License-Identifier: MIT
 *
 * os_fault.h - lets a test make the n-th allocation, thread creation or futex wait of os_linux.c fail, or the n-th
 * step in the making of a poller, or nothing enter the kernel from a ring.
 *
 * Without WEIR_FAULT_INJECTION os_fault() is an inline that answers false and nothing else exists.
 *
 * Threads: os_fault() from any thread; arming and disarming from one thread at a time.
 * Invariants: an event that is made to fail is counted like one that succeeds.
 */
#ifndef WEIR_OS_FAULT_H
#define WEIR_OS_FAULT_H

#include <stdbool.h>
#include <stdint.h>

enum os_fault_kind {
    OS_FAULT_ALLOC,          /* os_alloc returns NULL */
    OS_FAULT_THREAD,         /* os_thread_start returns -EAGAIN */
    OS_FAULT_MEMBARRIER,     /* os_membarrier_init returns false */
    OS_FAULT_FUTEX_SPURIOUS, /* os_futex_wait returns 0 without having slept */
    OS_FAULT_EVENTFD,        /* a poller gets no eventfd: -EMFILE */
    OS_FAULT_RING,           /* a poller gets no ring: -ENOMEM */
    OS_FAULT_EPOLL,          /* a poller gets no epoll set: -EMFILE */
    OS_FAULT_ENTER,          /* the kernel takes nothing from a ring */
    OS_FAULT_KINDS
};

#ifdef WEIR_FAULT_INJECTION
/* Counts an event of that kind. true: the caller must fail it. */
bool os_fault(enum os_fault_kind kind);
/* Fails one event of that kind: the nth from now on (1: the next). 0 does the same as os_fault_disarm. */
void os_fault_arm(enum os_fault_kind kind, uint64_t nth);
/* Fails every event of that kind. */
void os_fault_arm_always(enum os_fault_kind kind);
void os_fault_disarm(enum os_fault_kind kind);
/* Events of that kind since the process began. */
uint64_t os_fault_count(enum os_fault_kind kind);
#else
static inline bool os_fault(enum os_fault_kind kind)
{
    (void)kind;
    return false;
}
#endif

#endif
