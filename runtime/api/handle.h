/* SPDX-License-Identifier: MIT
 *
 * handle.h - what a `weir_runtime *` really is: an index and a generation, so that a stale one is recognised.
 *
 *  63 ... 8      7 ... 0
 * | generation | index + 1 |        never dereferenced
 *
 * Threads: any.
 * Invariants: H1 a runtime is reachable while its entry's generation matches. H2 handle_enter() marks the caller, or
 * counts it in, before it looks at the generation, handle_close() changes the generation before it looks at marks and
 * count: a runtime is freed only when nobody holds it.
 */
#ifndef WEIR_HANDLE_H
#define WEIR_HANDLE_H

#include "sched/worker.h"

/* Reserves an entry. 0 or -EMFILE. */
int handle_reserve(uint32_t *index) MUST_USE;
void handle_unreserve(uint32_t index);
/* Makes rt reachable through a new handle. */
weir_runtime *handle_open(uint32_t index, struct runtime *rt);
/* Holds the runtime until handle_leave(). 0, -EINVAL, -ESHUTDOWN, -EOWNERDEAD. */
int handle_enter(weir_runtime *h, struct runtime **rt) MUST_USE;
void handle_leave(weir_runtime *h);
/* The same for who may close it. */
int handle_enter_to_stop(weir_runtime *h, struct runtime **rt) MUST_USE;
/*
 * Makes the handle stale and waits until everybody else has left it; the caller has entered it to stop it. 0: the entry
 * is free, the runtime is the caller's alone. -ETIMEDOUT: the handle is as it was.
 */
int handle_close(weir_runtime *h, uint64_t deadline) MUST_USE;
/* One stopper at a time. False: another thread is at it. The caller holds the runtime. */
bool handle_begin_stop(weir_runtime *h) MUST_USE;
void handle_end_stop(weir_runtime *h);
/* The handle under which a runtime was opened. */
weir_runtime *handle_of(uint32_t index);
/* In a forked child: every handle of the parent is dead (atfork). */
void handle_after_fork(void);

#endif
