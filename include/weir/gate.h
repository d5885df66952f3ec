/* SPDX-License-Identifier: MIT
 *
 * weir/gate.h - a limit on requests in flight: counted from their admission until their last continuation has run.
 *
 * A queue's capacity bounds the requests that have not begun. One that has begun and waits, for a descriptor or a
 * timer, is in no queue: a gate counts it all the same, so that those who wait push back, too.
 *
 *     int e = weir_gate_enter(&gate, &r->pass);       // where the request comes in: -EAGAIN: say "503"
 *     weir_task_then(&r->last, &r->pass.task);        // its last task; or weir_scope_then, or `then` of a weir_io
 *
 * Threads: any, unless stated otherwise.
 */
#ifndef WEIR_GATE_H
#define WEIR_GATE_H

#include <weir/task.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_GATE_MAX 0x7fffffffu

/* Owned by the caller; must stay until the last pass was given back and everybody has returned from weir_gate_enter. */
typedef struct weir_gate {
    weir_atomic_u32 state; /* requests inside in the low 31 bits; top bit: somebody sleeps on the word */
    uint32_t limit;
} weir_gate;

/* One request's right to be in flight: embed it in the request. */
typedef struct weir_pass {
    weir_task task; /* a continuation that owes one completion: when it runs, the request is no longer counted */
    weir_gate *gate;
} weir_pass;

/* At most `limit` requests (1 to WEIR_GATE_MAX) are inside. -EINVAL: NULL, limit out of range; nothing changed. */
WEIR_API int weir_gate_init(weir_gate *gate, uint32_t limit);
/*
 * A request comes in. On success the pass must be given back once: by its task, as a continuation, or by
 * weir_gate_leave. It is the gate's until then, and may lie in memory that the request's own tasks free only after
 * that.
 * 0; -EAGAIN: as many as may be are inside; -EINVAL: NULL. The pass is unchanged unless 0.
 */
WEIR_API int weir_gate_enter(weir_gate *gate, weir_pass *pass) WEIR_MUST_USE;
/*
 * The same, and waits for room. deadline: absolute CLOCK_MONOTONIC ns, or WEIR_FOREVER. Who waits has no place in a
 * line.
 * -ETIMEDOUT; -EDEADLK: no room, and the calling thread is a worker.
 */
WEIR_API int weir_gate_enter_until(weir_gate *gate, weir_pass *pass, uint64_t deadline) WEIR_MUST_USE;
/* Gives a pass back whose task was not and will not be made runnable, such as after a submit that failed. NULL:
 * nothing. */
WEIR_API void weir_gate_leave(weir_pass *pass);
/* Requests inside, as of now. NULL: 0. */
WEIR_API uint32_t weir_gate_inside(const weir_gate *gate);

#ifdef __cplusplus
}
#endif

#endif
