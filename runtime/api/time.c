/* SPDX-License-Identifier: MIT
 *
 * time.c - public entry points of weir/time.h: argument checks and hand-over.
 *
 * Threads: see weir/time.h.
 */
#include <weir/time.h>

#include <errno.h>

#include "api/handle.h"

static bool is_complete(const weir_timer *timer, const weir_task *task)
{
    return timer != NULL && task != NULL && task->run != NULL;
}

static uint64_t later(uint64_t now, uint64_t ns)
{
    return ns < UINT64_MAX - now ? now + ns : UINT64_MAX;
}

/* The calling thread's worker or guest, if it is one of rt. */
static struct worker *own_worker(const struct runtime *rt)
{
    struct worker *w = worker_self();
    return w != NULL && w->rt == rt ? w : NULL;
}

/* now: 0 if it has not been read. */
static int start_on_worker(weir_worker *w, uint64_t deadline, uint64_t now, weir_timer *timer, weir_task *task)
{
    struct worker *own = worker_of(w);
    const struct timer_order order = {deadline, now, task, handle_of(own->rt->handle)};
    return timers_start(own->rt, own, timer, &order);
}

static int start_on_runtime(weir_runtime *h, uint64_t deadline, uint64_t now, weir_timer *timer, weir_task *task)
{
    struct runtime *rt;
    int r = handle_enter(h, &rt);
    if (r != 0)
        return r;
    const struct timer_order order = {deadline, now, task, h};
    r = timers_start(rt, own_worker(rt), timer, &order);
    handle_leave(h);
    return r;
}

int weir_after(weir_worker *w, uint64_t ns, weir_timer *timer, weir_task *task)
{
    if (w == NULL || !is_complete(timer, task))
        return -EINVAL;
    uint64_t now = os_now();
    return start_on_worker(w, later(now, ns), now, timer, task);
}

int weir_at(weir_worker *w, uint64_t deadline, weir_timer *timer, weir_task *task)
{
    return w != NULL && is_complete(timer, task) ? start_on_worker(w, deadline, 0, timer, task) : -EINVAL;
}

int weir_runtime_after(weir_runtime *rt, uint64_t ns, weir_timer *timer, weir_task *task)
{
    if (!is_complete(timer, task))
        return -EINVAL;
    uint64_t now = os_now();
    return start_on_runtime(rt, later(now, ns), now, timer, task);
}

int weir_runtime_at(weir_runtime *rt, uint64_t deadline, weir_timer *timer, weir_task *task)
{
    return is_complete(timer, task) ? start_on_runtime(rt, deadline, 0, timer, task) : -EINVAL;
}

int weir_timer_cancel(weir_timer *timer)
{
    struct runtime *rt;
    if (timer == NULL)
        return -EINVAL;
    weir_runtime *h = atom_load(&timer->runtime, memory_order_relaxed); /* relaxed: a handle may be of any age */
    if (h == NULL)
        return -ENOENT;
    const struct worker *w = worker_self();
    if (w != NULL && handle_of(w->rt->handle) == h)
        return timers_cancel(w->rt, timer);
    int r = handle_enter(h, &rt);
    if (r != 0)
        return r == -ESHUTDOWN ? timers_why_not(timer) : r; /* a runtime ends without pending timers */
    r = timers_cancel(rt, timer);
    handle_leave(h);
    return r;
}

bool weir_timer_is_pending(const weir_timer *timer)
{
    return timer != NULL && timers_is_pending(timer);
}
