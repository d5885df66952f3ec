/* SPDX-License-Identifier: MIT
 *
 * steal.c - looking at other workers' deques.
 *
 * Threads: the thief. It is an online RCU reader while it looks (deque.h, I4).
 * Source: randomized stealing, Blumofe and Leiserson (JACM 1999); leapfrogging, Wagner and Calder (PPoPP 1993).
 */
#include "obs/probes.h"
#include "sched/worker.h"

#define LOST_RETRIES 2u /* a lost race means that the deque was full a moment ago: worth another look */

static weir_task *steal_from(struct worker *w, struct worker *victim, const struct steal_guard *guard)
{
    weir_task *t = NULL;
    for (unsigned i = 0; i <= LOST_RETRIES; i++) {
        switch (deque_steal(&victim->dq, guard, &t)) {
        case STEAL_OK:
            atom_count(&w->counters.steals, 1);
            PROBE3(steal, w->id, victim->id, t);
            /* relaxed: the task was got through the deque */
            if (atom_load(&t->state, memory_order_relaxed) & STATE_FORKED)
                state_set_thief(t, w->id);
            return t;
        case STEAL_EMPTY:
            atom_count(&w->counters.steal_fails, 1);
            return NULL;
        case STEAL_LOST:
            atom_count(&w->counters.steal_fails, 1);
            break;
        }
    }
    return NULL;
}

/* Publishes half of the victim's private tasks and takes one. */
static weir_task *force_from(struct worker *w, struct worker *victim, const struct steal_guard *guard)
{
    if (!w->rt->membarrier || !deque_has_any(&victim->dq))
        return NULL;
    if (deque_force(&victim->dq, w->id) == FORCE_PUBLISHED)
        atom_count(&w->counters.forced, 1);
    return steal_from(w, victim, guard);
}

/* One sweep: the other workers, within each ring of distance from a random start; then guests, if there are any. */
struct sweep {
    uint32_t near;       /* victims[0] to victims[near - 1] share the thief's cache */
    uint32_t workers;    /* other workers in all */
    uint32_t all;        /* and guests */
    uint32_t start_near; /* random starts, below the rings' lengths */
    uint32_t start_far;
};

static struct sweep sweep_begin(struct worker *w)
{
    const struct runtime *rt = w->rt;
    struct sweep s;
    s.near = w->near;
    s.workers = w->id < rt->count ? rt->count - 1 : rt->count;
    /* relaxed: a guest that comes later looks for sleepers at its pushes, as a worker does */
    s.all = s.workers + (atom_load(&rt->guest_map, memory_order_relaxed) != 0 ? rt->guests : 0);
    s.start_near = s.near > 1 ? rng_below(&w->rng, s.near) : 0;
    s.start_far = s.workers - s.near > 1 ? rng_below(&w->rng, s.workers - s.near) : 0;
    return s;
}

static struct worker *sweep_victim(const struct worker *w, const struct sweep *s, uint32_t i)
{
    const struct runtime *rt = w->rt;
    if (i >= s->workers)
        return rt->workers[rt->count + i - s->workers];
    uint32_t at = i < s->near ? (i + s->start_near) % s->near
                              : s->near + (i - s->near + s->start_far) % (s->workers - s->near);
    return rt->workers[w->victims[at]];
}

weir_task *steal_sweep(struct worker *w, bool force)
{
    struct sweep s = sweep_begin(w);
    weir_task *t = NULL;
    for (uint32_t i = 0; i < s.all && t == NULL; i++) {
        struct worker *victim = sweep_victim(w, &s, i);
        t = steal_from(w, victim, NULL);
        if (t == NULL)
            deque_poison(&victim->dq); /* its next push publishes and looks for sleepers */
    }
    for (uint32_t i = 0; force && i < s.all && t == NULL; i++)
        t = force_from(w, sweep_victim(w, &s, i), NULL);
    return t;
}

weir_task *steal_descendant(struct worker *w, struct worker *victim, void *key)
{
    const struct steal_guard guard = {&victim->park.serving, key};
    /* relaxed: a first look; the guard is read again inside */
    if (atom_load(guard.word, memory_order_relaxed) != key)
        return NULL;
    rcu_online();
    weir_task *t = steal_from(w, victim, &guard);
    if (t == NULL) {
        deque_poison(&victim->dq);
        t = force_from(w, victim, &guard);
    }
    rcu_offline();
    return t;
}

bool steal_anything_left(struct runtime *rt)
{
    if (!intake_is_empty(rt))
        return true;
    for (uint32_t i = 0; i < rt->count + rt->guests; i++)
        if (deque_has_any(&rt->workers[i]->dq))
            return true;
    return false;
}
