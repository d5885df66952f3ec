/* SPDX-License-Identifier: MIT
 *
 * errors.c - version and error texts.
 *
 * Threads: any; everything returned is static.
 */
#define _GNU_SOURCE /* strerrordesc_np */
#include <weir/base.h>

#include <errno.h>
#include <string.h>

#define ERRNO_MAX 4096 /* the kernel's bound */

#define STRING_(x) #x
#define STRING(x) STRING_(x)

const char *weir_version(void)
{
    return STRING(WEIR_VERSION_MAJOR) "." STRING(WEIR_VERSION_MINOR) "." STRING(WEIR_VERSION_PATCH);
}

const char *weir_strerror(int error)
{
    switch (error) {
    case 0: return "success";
    case -EINVAL: return "invalid argument; nothing was changed";
    case -EAGAIN: return "full, or out of threads: try again later";
    case -ETIMEDOUT: return "the deadline passed first";
    case -ESHUTDOWN: return "the runtime was stopped or is stopping";
    case -EOWNERDEAD: return "the runtime belongs to the parent of this forked process";
    case -ENOMEM: return "out of memory";
    case -EMFILE: return "too many runtimes in this process";
    case -EDEADLK: return "not on a worker: the wait could never end";
    case -EALREADY: return "another thread is stopping the runtime, or the timer has fired";
    case -ENOBUFS: return "refused by the depth guard: the queue is above its high mark";
    case -ETIME: return "refused by the queue-time guard: work waits too long";
    case -EBUSY: return "the task is queued or the timer pending already, or the guards are busy telling";
    case -ECONNREFUSED: return "refused by the circuit breaker";
    case -ENOENT: return "there is no such thing, or it is not pending";
    case -ECANCELED: return "cancelled";
    default: break;
    }
    /* A scope also carries errors of the program's own. */
    const char *text = error < 0 && error > -ERRNO_MAX ? strerrordesc_np(-error) : NULL;
    return text != NULL ? text : "unknown error";
}
