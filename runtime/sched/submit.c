/* SPDX-License-Identifier: MIT
 *
 * submit.c - work from outside: into an injector or an inbox, and what if it is full; and from worker to worker.
 *
 * Threads: any. The caller holds the runtime (api/handle.c).
 * Invariants: a task has its QUEUED mark from before its push until it is taken; on failure it is as it was. A worker
 * of the runtime never sleeps here. Who sleeps is woken by the kernel in the order of falling asleep, one per task
 * that was taken, or several when half of the queue is free (room.h).
 */
#include <errno.h>

#include "sched/worker.h"

/* --- waking --------------------------------------------------------------------------------------------------- */

static NOINLINE void wake_for(struct runtime *rt, const struct worker *to)
{
    /* [PK3] forbids: the submitter counts on a searcher that has already looked; pairs with idle_end_search(). */
    atom_fence(memory_order_seq_cst);
    unsigned sent = to != NULL ? idle_wake(&rt->idle, to->id) : idle_notify(&rt->idle);
    while (to == NULL && runtime_hurry(rt))
        sent++;
    if (sent == 0 && idle_all_busy(&rt->idle))
        runtime_check_duty(rt, CALLER_OUTSIDE);
    if (sent != 0)
        atom_add(&rt->outside_wakes, (uint64_t)sent, memory_order_relaxed); /* relaxed: a statistic */
}

/* Whether to look for a sleeper that the task can be given to: a hint. */
static inline bool somebody_sleeps(const struct runtime *rt)
{
    return idle_announced(atom_load(&rt->idle.sleepers, memory_order_relaxed)) != 0; /* relaxed: a hint */
}

/* After a successful push, which was a seq_cst read-modify-write: somebody must see it. */
static inline void wake_if_asleep(struct runtime *rt, const struct worker *to)
{
    /* [PK4] seq_cst: the push, then the look at the sleepers; forbids that the submitter misses a sleeper whose last
     * look misses the task; pairs with the fence in idle_announce(). */
    if (UNLIKELY(idle_announced(atom_load(&rt->idle.sleepers, memory_order_seq_cst)) != 0) ||
        UNLIKELY(runtime_may_call(rt)))
        wake_for(rt, to);
}

static inline void announce_work(struct runtime *rt, const struct worker *to)
{
    wake_if_asleep(rt, to);
    admission_grew(rt, &rt->admission);
}

/* --- one attempt ---------------------------------------------------------------------------------------------- */

/* The injector nearest to the calling thread. */
static inline uint32_t own_domain(const struct runtime *rt)
{
    if (LIKELY(rt->intakes == 1))
        return 0;
    unsigned cpu = os_cpu();
    return cpu < rt->cpus ? rt->domain_of_cpu[cpu] % rt->intakes : 0;
}

static inline uint64_t stamp_for(const struct runtime *rt)
{
    return UNLIKELY(admission_wants_time(admission_guards(&rt->admission))) ? os_ticks() : RING_NOW;
}

/* Full only if all are. */
static enum ring_result push_elsewhere(struct runtime *rt, weir_lane lane, weir_task *t, uint64_t stamp, uint32_t not)
{
    enum ring_result result = RING_FULL;
    for (uint32_t i = 0; i < rt->intakes && result == RING_FULL; i++)
        if (i != not)
            result = injector_push(&rt->injectors[i], lane, t, stamp);
    return result;
}

static inline enum ring_result push_one(struct runtime *rt, weir_task *t, const struct submission *s)
{
    if (UNLIKELY(s->to != NULL))
        return ring_push_one(&s->to->inbox, t, s->stamp);
    uint32_t own = own_domain(rt);
    enum ring_result result = injector_push(&rt->injectors[own], s->lane, t, s->stamp);
    if (UNLIKELY(result == RING_FULL) && rt->intakes > 1)
        result = push_elsewhere(rt, s->lane, t, s->stamp, own);
    return result;
}

/* 0, -EAGAIN or -ESHUTDOWN. The task is marked; it stays so only on success. */
static inline int try_submit(struct runtime *rt, weir_task *t, const struct submission *s)
{
    enum ring_result result = push_one(rt, t, s);
    if (LIKELY(result == RING_OK)) {
        announce_work(rt, s->to);
        return 0;
    }
    return result == RING_FULL ? -EAGAIN : -ESHUTDOWN;
}

/* --- full ----------------------------------------------------------------------------------------------------- */

/* Onto the deque of a worker of rt that the calling thread is. The push may run tasks, which find that worker. */
static void keep(struct runtime *rt, struct worker *own, weir_task *t)
{
    struct worker *self = worker_self();
    atom_add(&rt->unqueued, UINT64_C(1), memory_order_relaxed); /* relaxed: a statistic */
    worker_set_self(own);
    weir_push(worker_public(own), t);
    worker_set_self(self);
}

/* What else a policy allows when there is no room: the own deque has some, or runs the task; or a guest does. */
static bool keep_or_run(struct runtime *rt, weir_task *t, const struct submission *s)
{
    if (s->to != NULL)
        return false;
    struct worker *own = worker_self_in(rt);
    if (own == NULL)
        return s->policy == WEIR_RUN_IN_CALLER && guest_run(rt, t);
    state_clear_queued(t);
    keep(rt, own, t);
    return true;
}

/* One more attempt by any means that the policy allows. 0, -EAGAIN or -ESHUTDOWN. The time before is no queue time. */
static int try_policy(struct runtime *rt, weir_task *t, const struct submission *s)
{
    struct submission again = *s;
    again.stamp = stamp_for(rt);
    int r = try_submit(rt, t, &again);
    return r == -EAGAIN && keep_or_run(rt, t, s) ? 0 : r;
}

static int refuse(struct runtime *rt, int why)
{
    atom_add(&rt->rejected, UINT64_C(1), memory_order_relaxed); /* relaxed: a statistic */
    return why;
}

/* After a first attempt that found no room. */
static NOINLINE int submit_full(struct runtime *rt, weir_task *t, const struct submission *s)
{
    if (s->policy == WEIR_TRY || (s->to != NULL && worker_self_in(rt) != NULL))
        return refuse(rt, -EAGAIN);
    if (keep_or_run(rt, t, s))
        return 0;
    struct room *room = s->to != NULL ? &s->to->inbox_room : &rt->room[s->lane];
    struct ring *ring = s->to != NULL ? &s->to->inbox : &rt->injectors[own_domain(rt)].lane[s->lane];
    if (room_is_near(room, ring)) {
        int r = try_policy(rt, t, s);
        if (r != -EAGAIN)
            return r;
    }
    struct room_wait wait;
    room_begin(&wait, room, s->policy == WEIR_BLOCK_UNTIL ? s->deadline : OS_FOREVER);
    for (;;) {
        room_prepare(&wait);
        int r = try_policy(rt, t, s); /* room that comes free from here on wakes us */
        if (r != -EAGAIN) {
            room_cancel(&wait);
            return r;
        }
        if (room_sleep(&wait) != 0)
            return refuse(rt, -ETIMEDOUT);
    }
}

/* --- entry ---------------------------------------------------------------------------------------------------- */

/* A marked task; on failure the caller unmarks it. */
static inline int submit_marked(struct runtime *rt, weir_task *t, const struct submission *s)
{
    int r = try_submit(rt, t, s);
    return UNLIKELY(r == -EAGAIN) ? submit_full(rt, t, s) : r;
}

static inline int submit_alone(struct runtime *rt, weir_task *t, const struct submission *s)
{
    int r = submit_marked(rt, t, s);
    if (UNLIKELY(r != 0))
        state_clear_queued(t);
    return r;
}

int runtime_submit_as(struct runtime *rt, weir_task *t, const struct submission *s)
{
    if (UNLIKELY(!state_set_queued(t)))
        return -EBUSY;
    if (UNLIKELY(somebody_sleeps(rt)) && s->to == NULL && handoff_submit(rt, t))
        return 0;
    return submit_alone(rt, t, s);
}

int runtime_submit(struct runtime *rt, weir_task *t, weir_lane lane, weir_policy policy, uint64_t deadline)
{
    const struct submission s = {lane, policy, deadline, NULL, stamp_for(rt)};
    return runtime_submit_as(rt, t, &s);
}

void runtime_send(struct runtime *rt, uint32_t worker, weir_task *t)
{
    struct worker *to = rt->workers[worker];
    void *head = atom_load(&to->sent, memory_order_relaxed); /* relaxed: the CAS decides */
    do
        t->stamp = (uintptr_t)head;
    /* [SN1] release: the task before the list; pairs with take_sent(). [PK4] seq_cst: then the look at the sleepers. */
    while (!atom_cas_weak(&to->sent, &head, (void *)t, memory_order_seq_cst, memory_order_relaxed));
    wake_if_asleep(rt, to);
}

static void unmark(weir_task *const *tasks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        state_clear_queued(tasks[i]);
}

/* Marks all, or none. */
static bool mark(weir_task *const *tasks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (UNLIKELY(!state_set_queued(tasks[i]))) {
            unmark(tasks, i);
            return false;
        }
    }
    return true;
}

int runtime_submit_batch(struct runtime *rt, weir_task *const *tasks, size_t n, weir_lane lane, weir_policy policy,
                         uint64_t deadline, size_t *accepted)
{
    struct submission s = {lane, policy, deadline, NULL, RING_NOW};
    size_t done = 0;
    int r = 0;
    if (!mark(tasks, n))
        return -EBUSY;
    while (done < n && r == 0) {
        enum ring_result why = RING_OK;
        struct injector *q = &rt->injectors[own_domain(rt)];
        s.stamp = stamp_for(rt); /* the last time round may have waited for room */
        size_t took = injector_push_batch(q, lane, tasks + done, n - done, s.stamp, &why);
        done += took;
        if (took > 0)
            announce_work(rt, NULL);
        if (why == RING_CLOSED)
            r = -ESHUTDOWN;
        else if (why == RING_FULL && (r = submit_marked(rt, tasks[done], &s)) == 0) /* one goes the slow way */
            done++;
    }
    if (r != 0)
        unmark(tasks + done, n - done);
    if (accepted != NULL)
        *accepted = done;
    return r;
}
