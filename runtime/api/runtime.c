/* SPDX-License-Identifier: MIT
 *
 * runtime.c - public entry points of weir/runtime.h and weir/stats.h: argument checks and hand-over.
 *
 * Threads: any.
 */
#include <weir/runtime.h>

#include <errno.h>
#include <pthread.h>

#include "api/config.h"
#include "api/handle.h"
#include "os/topology.h"
#include "par/wait.h"
#include "sched/lifecycle.h"
#include "sync/outside.h"
#include "sync/stock.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void install_fork_handler(void)
{
    pthread_atfork(NULL, NULL, handle_after_fork);
}

int weir_start(weir_runtime **out, const weir_config *config)
{
    weir_config defaults;
    weir_config checked;
    struct runtime *rt;
    uint32_t index;
    if (out == NULL)
        return config_refuse("rt");
    int r = config != NULL ? 0 : weir_config_init(&defaults);
    if (r == 0)
        r = config_check(config != NULL ? config : &defaults, &checked);
    if (r == 0)
        r = -pthread_once(&once, install_fork_handler);
    if (r == 0)
        r = handle_reserve(&index);
    if (r != 0)
        return r;
    os_ticks_init();
    r = runtime_create(&rt, &checked);
    if (r != 0) {
        handle_unreserve(index);
        return r;
    }
    if (checked.admission != NULL)
        r = admission_apply(rt, checked.admission); /* nobody else knows the runtime: 0 */
    *out = handle_open(index, rt);
    return r;
}

/* The caller holds the runtime and is its only stopper. 0: the handle is closed and the runtime the caller's alone. */
static int stop_held(weir_runtime *h, struct runtime *rt, weir_stop_mode mode, uint64_t deadline)
{
    runtime_begin_stop(rt, mode);
    int r = runtime_await_end(rt, deadline);
    return r != 0 ? r : handle_close(h, deadline);
}

int weir_stop_stats(weir_runtime *h, weir_stop_mode mode, uint64_t deadline, weir_stats *last)
{
    struct runtime *rt;
    if ((mode != WEIR_DRAIN && mode != WEIR_DISCARD) || (last != NULL && last->size != sizeof(*last)))
        return -EINVAL;
    int r = handle_enter_to_stop(h, &rt);
    if (r != 0)
        return r;
    if (worker_self_in(rt) != NULL)
        r = -EDEADLK;
    else if (!handle_begin_stop(h))
        r = -EALREADY;
    else if ((r = stop_held(h, rt, mode, deadline)) != 0)
        handle_end_stop(h);
    if (r != 0) {
        handle_leave(h);
        return r;
    }
    if (last != NULL)
        runtime_read(rt, last, NULL, 0);
    runtime_destroy(rt);
    return 0;
}

int weir_stop(weir_runtime *h, weir_stop_mode mode, uint64_t deadline)
{
    return weir_stop_stats(h, mode, deadline, NULL);
}

static bool is_policy(weir_policy policy)
{
    return policy == WEIR_TRY || policy == WEIR_BLOCK || policy == WEIR_BLOCK_UNTIL || policy == WEIR_RUN_IN_CALLER;
}

/* Ready, and not part of a scope whose owner is a worker elsewhere: that worker could not be woken from here. */
static bool may_submit(const struct runtime *rt, weir_task *t)
{
    if (t == NULL || t->run == NULL || state_owed(t) != 0)
        return false;
    if (LIKELY((atom_load(&t->state, memory_order_relaxed) & STATE_SCOPED) == 0)) /* relaxed: nobody writes the flag */
        return true;
    const weir_scope *s = scope_of_done(t->then);
    return s->owner == NULL || worker_of(s->owner)->rt == rt;
}

static bool is_lane(weir_lane lane)
{
    return lane == WEIR_LANE_HIGH || lane == WEIR_LANE_NORMAL || lane == WEIR_LANE_LOW;
}

/* The caller holds the runtime. */
static inline int submit_held(struct runtime *rt, weir_task *t, const struct submission *s)
{
    if (UNLIKELY(!may_submit(rt, t)))
        return -EINVAL;
    return LIKELY(admission_guards(&rt->admission) == 0) ? runtime_submit_as(rt, t, s) : admission_submit(rt, t, s);
}

int weir_submit_lane(weir_runtime *h, weir_task *t, weir_lane lane, weir_policy policy, uint64_t deadline)
{
    const struct submission s = {lane, policy, deadline, NULL, RING_NOW};
    struct runtime *rt;
    if (!is_policy(policy) || !is_lane(lane))
        return -EINVAL;
    int r = handle_enter(h, &rt);
    if (r != 0)
        return r;
    r = submit_held(rt, t, &s);
    handle_leave(h);
    return r;
}

int weir_submit(weir_runtime *h, weir_task *t, weir_policy policy, uint64_t deadline)
{
    return weir_submit_lane(h, t, WEIR_LANE_NORMAL, policy, deadline);
}

int weir_submit_to(weir_runtime *h, unsigned worker, weir_task *t, weir_policy policy, uint64_t deadline)
{
    struct submission s = {WEIR_LANE_NORMAL, policy, deadline, NULL, RING_NOW};
    struct runtime *rt;
    if (!is_policy(policy) || policy == WEIR_RUN_IN_CALLER)
        return -EINVAL;
    int r = handle_enter(h, &rt);
    if (r != 0)
        return r;
    s.to = worker < rt->count ? rt->workers[worker] : NULL;
    r = s.to != NULL ? submit_held(rt, t, &s) : -EINVAL;
    handle_leave(h);
    return r;
}

int weir_submit_batch(weir_runtime *h, weir_task *const *tasks, size_t n, weir_policy policy, uint64_t deadline,
                      size_t *accepted)
{
    return weir_submit_batch_lane(h, tasks, n, WEIR_LANE_NORMAL, policy, deadline, accepted);
}

int weir_submit_batch_lane(weir_runtime *h, weir_task *const *tasks, size_t n, weir_lane lane, weir_policy policy,
                           uint64_t deadline, size_t *accepted)
{
    struct runtime *rt;
    if (!is_policy(policy) || !is_lane(lane) || (tasks == NULL && n != 0))
        return -EINVAL;
    int r = handle_enter(h, &rt);
    if (r != 0)
        return r;
    for (size_t i = 0; i < n && r == 0; i++)
        r = may_submit(rt, tasks[i]) ? 0 : -EINVAL;
    if (r == 0)
        r = admission_submit_batch(rt, tasks, n, lane, policy, deadline, accepted);
    handle_leave(h);
    return r;
}

/* --- weir_call ------------------------------------------------------------------------------------------------ */

struct call {
    weir_task task;
    void (*fn)(weir_worker *w, void *arg);
    void *arg;
    bool ran;
};

static weir_task *run_call(weir_worker *w, weir_task *self)
{
    struct call *c = CONTAINER_OF(self, struct call, task);
    c->fn(w, c->arg);
    c->ran = true;
    return NULL;
}

/* A scope of one, so that a stop that discards ends the wait as well. */
static int call_from_outside(struct runtime *rt, struct call *c)
{
    weir_scope scope;
    weir_scope_init(NULL, &scope);
    weir_task_init(&c->task, run_call);
    weir_scope_add(&scope, &c->task);
    int r = runtime_submit(rt, &c->task, WEIR_LANE_NORMAL, WEIR_BLOCK, WEIR_FOREVER);
    if (r != 0)
        return r;
    wait_scope_outside(&scope);
    return c->ran ? 0 : -ECANCELED;
}

int weir_call(weir_runtime *h, void (*fn)(weir_worker *w, void *arg), void *arg)
{
    struct runtime *rt;
    if (fn == NULL)
        return -EINVAL;
    int r = handle_enter(h, &rt);
    if (r != 0)
        return r;
    struct worker *w = worker_self();
    struct call c = {.fn = fn, .arg = arg};
    if (w != NULL && w->rt == rt)
        fn(worker_public(w), arg);
    else
        r = w != NULL ? -EDEADLK : call_from_outside(rt, &c);
    handle_leave(h);
    return r;
}

/* --- the rest ------------------------------------------------------------------------------------------------- */

int weir_stats_read(weir_runtime *h, weir_stats *s, weir_counts *per_worker, uint32_t n)
{
    struct runtime *rt;
    if (s == NULL || s->size != sizeof(*s))
        return -EINVAL;
    int r = handle_enter(h, &rt);
    if (r != 0)
        return r;
    runtime_read(rt, s, per_worker, n);
    handle_leave(h);
    return 0;
}

unsigned weir_usable_cpus(void)
{
    return topology_usable_cpus();
}

size_t weir_memory_trim(void)
{
    struct worker *w = worker_self();
    struct slab *own = w != NULL ? &w->slab : outside_slab_if_any();
    return stock_trim() + (own != NULL ? slab_trim(own) : 0);
}

uint64_t weir_now(void)
{
    return os_now();
}
