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

/* The i-th victim in this sweep's order: within each ring of distance from a random start. */
static struct worker *victim_at(const struct worker *w, uint32_t i, uint32_t start_near, uint32_t start_far)
{
    uint32_t near = w->near;
    uint32_t far = w->rt->count + w->rt->guests - 1 - near;
    uint32_t at = i < near ? (i + start_near) % near : near + (i - near + start_far) % far;
    return w->rt->workers[w->victims[at]];
}

weir_task *steal_sweep(struct worker *w, bool force)
{
    uint32_t others = w->rt->count + w->rt->guests - 1;
    uint32_t start_near = rng_below(&w->rng, w->near + 1);
    uint32_t start_far = rng_below(&w->rng, others - w->near + 1);
    weir_task *t = NULL;
    rcu_online();
    for (uint32_t i = 0; i < others && t == NULL; i++) {
        struct worker *victim = victim_at(w, i, start_near, start_far);
        t = steal_from(w, victim, NULL);
        if (t == NULL)
            deque_poison(&victim->dq); /* its next push publishes and looks for sleepers */
    }
    for (uint32_t i = 0; force && i < others && t == NULL; i++)
        t = force_from(w, victim_at(w, i, start_near, start_far), NULL);
    rcu_offline();
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
    if (!injector_is_empty(&rt->injector))
        return true;
    for (uint32_t i = 0; i < rt->count + rt->guests; i++)
        if (deque_has_any(&rt->workers[i]->dq))
            return true;
    return false;
}
