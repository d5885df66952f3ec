/* SPDX-License-Identifier: MIT
 *
 * os.h - everything the runtime asks of Linux, in one small contract that tests can replace.
 *
 * os_linux.c implements it; the model checker (tests/model/) implements futex, membarrier, clock and memory itself;
 * a build with WEIR_FAULT_INJECTION lets a test fail the n-th allocation or thread creation (os_fault.h).
 *
 * Threads: any thread may call any function.
 */
#ifndef WEIR_OS_H
#define WEIR_OS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomics.h"

#define OS_FOREVER UINT64_MAX

/*
 * Sleeps while *word == expected, until woken or until the absolute CLOCK_MONOTONIC `deadline` in ns (OS_FOREVER:
 * none). Returns 0 (woken, value differed, or spuriously: the caller checks its condition again) or -ETIMEDOUT.
 */
int os_futex_wait(weir_atomic_u32 *word, uint32_t expected, uint64_t deadline);
/* Wakes up to n sleepers on word. The word may already be unmapped: it is used as a key only. Returns how many. */
int os_futex_wake(weir_atomic_u32 *word, int n);

/* Registers the process for os_membarrier(). false: not available here. Idempotent. */
bool os_membarrier_init(void);
/* The heavy side of the asymmetric fence: every running thread of the process executes a full fence meanwhile. */
void os_membarrier(void);

/* CLOCK_MONOTONIC in ns. */
uint64_t os_now(void);
/*
 * A clock that costs less than half of os_now(): ticks since some moment, the same for all processors up to a few ns.
 * os_ticks_init(): once, before the first use; measures how long a tick is (OS_TICKS_MEASURE_NS).
 */
uint64_t os_ticks(void);
void os_ticks_init(void);
/* A number of ticks in ns. */
uint64_t os_ticks_to_ns(uint64_t ticks);
/* The processor that the calling thread is on, or was a moment ago. */
unsigned os_cpu(void);
/* A pause in a spin loop. */
void os_relax(void);
/* Gives the processor to another ready thread. */
void os_yield(void);

/* Zeroed memory aligned to `align` (a power of two, at least 16), or NULL. Freed with os_free, same size. */
void *os_alloc(size_t size, size_t align) __attribute__((warn_unused_result));
void os_free(void *p, size_t size);
/* The same for memory of which most may never be used: its pages come when they are first written. */
void *os_alloc_sparse(size_t size, size_t align) __attribute__((warn_unused_result));
void os_free_sparse(void *p, size_t size);
/*
 * Makes os_alloc()ed memory larger or smaller, zeroed behind `size`, at a new address; large memory is not copied. p
 * may be NULL with size 0. NULL: no memory; the old is unchanged.
 */
void *os_resize(void *p, size_t size, size_t now, size_t align) __attribute__((warn_unused_result));

/* What the memory holds is not needed any more: it may change, until it is written. The system may take the pages. */
void os_forget(void *p, size_t size);
/* The same, and large memory gives its pages back at once: it gets others, huge ones where they fit. */
void os_drop(void *p, size_t size);

struct os_thread {
    pthread_t id;
};

/*
 * Starts fn(arg) on a thread with that stack size in bytes, named `name` (at most 15 bytes), bound to `cpu` unless
 * negative; all signals blocked but those that a fault in the thread raises. 0, -EAGAIN, -ENOMEM, -EINVAL.
 */
int os_thread_start(struct os_thread *t, const char *name, size_t stack, int cpu, void *(*fn)(void *), void *arg);
void os_thread_join(struct os_thread *t);
/*
 * From here on timed sleeps of the calling thread end when they are to end; false: as those of the thread that started
 * it, usually up to 50 us late, so that the ends of many threads' sleeps cost one interrupt.
 */
void os_exact_sleeps(bool exact);
/* What is to be done when a thread ends. The caller's memory; free for reuse when fn is called. */
struct os_exit {
    void (*fn)(void *arg);
    void *arg;
    struct os_exit *next;
};
/* Lets e->fn(e->arg) be called when the calling thread ends, the last registration first. false: no memory. */
bool os_at_thread_exit(struct os_exit *e);
/* Lowest usable address of the calling thread's stack. */
uintptr_t os_stack_low(void);

#endif
