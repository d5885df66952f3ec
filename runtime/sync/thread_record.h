/* SPDX-License-Identifier: MIT
 *
 * thread_record.h - records of which a thread has one until it ends, out of a fixed number that is used again.
 *
 * Threads: any. What a record holds is its thread's. Invariants: a record has one thread at a time, and the next one
 * finds it as the last one left it.
 */
#ifndef WEIR_SYNC_THREAD_RECORD_H
#define WEIR_SYNC_THREAD_RECORD_H

#include <stddef.h>

#include "base/atomics.h"
#include "os/os.h"

/* The first member of a record; all zero at first. */
struct thread_record {
    weir_atomic_u32 taken; /* 1: a thread has it */
    struct os_exit exit;
};

/*
 * Takes one of n records for the calling thread, `size` bytes apart. When the thread ends, leave(record) is called,
 * which ends with thread_record_release(); other exit functions of the thread may run after it. NULL: all are taken, or
 * there was no memory.
 */
struct thread_record *thread_record_claim(void *records, size_t size, uint32_t n, void (*leave)(void *record));
void thread_record_release(struct thread_record *r);

#endif
