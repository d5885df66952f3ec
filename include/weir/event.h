/* SPDX-License-Identifier: MIT
 *
 * weir/event.h - telling an epoll loop through eventfds: a scope or task is done, results are there, a runtime is idle.
 *
 * The descriptors are the program's: made by eventfd(0, EFD_NONBLOCK), put into its epoll set and closed by it, when
 * nothing here refers to them any more; each function says when that is. weir writes 1 to them, never reads (except in
 * weir_port_take), duplicates or closes one. A write that finds the counter at its maximum has nothing to add: the
 * descriptor is readable. Interrupted writes are repeated.
 *
 * Threads: as each function says. Source: eventfd(2), epoll(7).
 */
#ifndef WEIR_EVENT_H
#define WEIR_EVENT_H

#include <weir/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- one event: a task that writes an eventfd -------------------------------------------------------------------- */

/* Continuation of a task, a join counter or a scope. Owned by the caller, until the loop has seen the event. */
typedef struct weir_notify {
    weir_task task;        /* ready: give it to weir_task_then, or weir_scope_notify_fd */
    weir_atomic_u32 error; /* errno of a failed write */
    int fd;
} weir_notify;

/* -EINVAL: NULL, or fd would block (no O_NONBLOCK); -EBADF: fd is not open. Nothing changed then. */
WEIR_API int weir_notify_init(weir_notify *n, int fd);
/* The error of the write (negative errno), 0: none so far. -EBADF: fd was closed too early, so no event has come. */
WEIR_API int weir_notify_error(const weir_notify *n);
/*
 * Instead of weir_scope_wait: fd becomes readable when the last task of the scope is done (at once if it is). Called
 * once, by the scope's owner, on a thread that is no worker, after the last weir_scope_add of its own. Scope, n and fd
 * must stay until the event has come; weir_scope_wait(NULL, s) then returns the result at once.
 * -EINVAL: NULL, a scope begun on a worker, a blocking fd; -EBADF. Nothing changed then.
 */
WEIR_API int weir_scope_notify_fd(weir_scope *s, weir_notify *n, int fd);

/* --- many events: a port for completed work ----------------------------------------------------------------------- */

/* A record that is posted: embed it in the request. */
typedef struct weir_posted {
    struct weir_posted *next;
} weir_posted;

/* Where any number of threads leave completed work for one loop. The eventfd is written per batch, not per post. */
typedef struct weir_port {
    weir_atomic_ptr head;    /* newest posted; posters push, the loop takes all */
    weir_atomic_u32 posting; /* calls of weir_port_post under way */
    weir_atomic_u32 error;   /* errno of the last failed write */
    int fd;
} weir_port;

/* -EINVAL: NULL, or fd would block; -EBADF: fd is not open. Nothing changed then. */
WEIR_API int weir_port_init(weir_port *p, int fd);
/*
 * Leaves a record for the loop; it is the loop's from now on. Any thread, mostly a task as its last act. Lock-free.
 * 0, or a negative errno if the eventfd could not be written (it was closed): the record is there all the same.
 */
WEIR_API int weir_port_post(weir_port *p, weir_posted *posted);
/*
 * When fd is readable: resets it and takes everything that is there, oldest first; NULL: nothing (any more). One thread
 * at a time. Works with level- and edge-triggered epoll.
 */
WEIR_API weir_posted *weir_port_take(weir_port *p);
/* Waits for posts under way; after it, and with no new ones, port and fd are the caller's. What is left is returned. */
WEIR_API weir_posted *weir_port_end(weir_port *p);

/* --- a runtime that has come to rest ------------------------------------------------------------------------------ */

/*
 * fd becomes readable each time that all workers of the runtime have gone to sleep: nothing runs and nothing is queued,
 * unless it was submitted since. At least once per rest. -1: nobody is told any more; the old fd may be closed when
 * this has returned, or when the runtime was stopped. A write error, such as a closed fd, goes unnoticed.
 * -EINVAL (would block), -EBADF, -ESHUTDOWN, -EOWNERDEAD: nothing changed.
 */
WEIR_API int weir_idle_fd(weir_runtime *rt, int fd);

#ifdef __cplusplus
}
#endif

#endif
