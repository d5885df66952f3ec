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

/* One sweep: the workers in the table, those of the thief's cache domain first, in each ring from the same random
 * start; then guests, if there are any. */
struct sweep {
    const struct table *table;
    uint32_t start;  /* random, below the table's length */
    uint32_t rings;  /* 2 where domains are told apart */
    uint32_t guests; /* to look at */
};

static struct sweep sweep_begin(struct worker *w)
{
    const struct runtime *rt = w->rt;
    struct sweep s = {.table = table_read(rt), .rings = rt->domains > 1 ? 2 : 1};
    s.start = s.table->count > 1 ? rng_below(&w->rng, s.table->count) : 0;
    /* relaxed: a guest that comes later looks for sleepers at its pushes, as a worker does */
    s.guests = atom_load(&rt->guest_map, memory_order_relaxed) != 0 ? rt->guests : 0;
    return s;
}

static struct worker *guest_at(const struct runtime *rt, uint32_t i)
{
    return rt->workers[rt->seats + i];
}

/* Goes from victim to victim, itself left out, with `take` until that returns a task. */
WEIR_INLINE weir_task *sweep_over(struct worker *w, const struct sweep *s,
                                  weir_task *(*take)(struct worker *, struct worker *))
{
    weir_task *t = NULL;
    for (uint32_t ring = 0; ring < s->rings; ring++) {
        for (uint32_t i = 0, at = s->start; i < s->table->count && t == NULL; i++) {
            const struct table_entry *e = &s->table->at[at];
            at = at + 1 < s->table->count ? at + 1 : 0;
            if (e->worker != w && (s->rings == 1 || (e->domain == w->domain) == (ring == 0)))
                t = take(w, e->worker);
        }
    }
    for (uint32_t i = 0; i < s->guests && t == NULL; i++)
        t = take(w, guest_at(w->rt, i));
    return t;
}

static weir_task *take_public(struct worker *w, struct worker *victim)
{
    weir_task *t = steal_from(w, victim, NULL);
    if (t == NULL)
        deque_poison(&victim->dq, w->id); /* its next push publishes and looks for sleepers */
    return t;
}

static weir_task *take_private(struct worker *w, struct worker *victim)
{
    weir_task *t = handoff_take(w, victim);
    return t != NULL ? t : force_from(w, victim, NULL);
}

weir_task *steal_sweep(struct worker *w, bool force)
{
    struct sweep s = sweep_begin(w);
    weir_task *t = sweep_over(w, &s, take_public);
    return t == NULL && force ? sweep_over(w, &s, take_private) : t;
}

static bool serves(const struct worker *victim, const void *key)
{
    return atom_load(&victim->park.serving, memory_order_relaxed) == key; /* relaxed: a first look */
}

/* The caller is online. */
static weir_task *steal_guarded(struct worker *w, struct worker *victim, void *key)
{
    const struct steal_guard guard = {&victim->park.serving, key};
    weir_task *t = steal_from(w, victim, &guard);
    if (t != NULL)
        return t;
    deque_poison(&victim->dq, DEQUE_ANYBODY);
    return force_from(w, victim, &guard);
}

weir_task *steal_descendant(struct worker *w, struct worker *victim, void *key)
{
    if (!serves(victim, key))
        return NULL;
    rcu_online();
    weir_task *t = steal_guarded(w, victim, key);
    rcu_offline();
    return t;
}

weir_task *steal_any_descendant(struct worker *w, void *key)
{
    weir_task *t = NULL;
    rcu_online();
    const struct table *table = table_read(w->rt);
    for (uint32_t i = 0; i < table->count && t == NULL; i++)
        if (table->at[i].worker != w && serves(table->at[i].worker, key))
            t = steal_guarded(w, table->at[i].worker, key);
    for (uint32_t i = 0; i < w->rt->guests && t == NULL; i++)
        if (guest_at(w->rt, i) != w && serves(guest_at(w->rt, i), key))
            t = steal_guarded(w, guest_at(w->rt, i), key);
    rcu_offline();
    return t;
}

bool steal_anything_left(struct runtime *rt)
{
    bool any = io_tasks_wait(&rt->io) || !intake_is_empty(rt) || timers_due(rt);
    if (any)
        return true;
    rcu_online();
    const struct table *table = table_read(rt);
    for (uint32_t i = 0; i < table->count && !any; i++)
        any = deque_has_any(&table->at[i].worker->dq) || hand_holds_task(&table->at[i].worker->park);
    rcu_offline();
    for (uint32_t i = 0; i < rt->guests && !any; i++)
        any = deque_has_any(&guest_at(rt, i)->dq);
    return any;
}

/* --- poison ---------------------------------------------------------------------------------------------------- */

/* key: only who serves it; NULL: all. by: who is hungry, if a task may be given to it directly. A worker that enters
 * the table, or begins to serve, unseen by this poisons itself (table_add(), worker_serve()). */
static void poison(struct runtime *rt, const void *key, uint32_t by)
{
    rcu_online();
    const struct table *table = table_read(rt);
    for (uint32_t i = 0; i < table->count; i++)
        if (key == NULL || serves(table->at[i].worker, key))
            deque_poison(&table->at[i].worker->dq, by);
    rcu_offline();
    for (uint32_t i = 0; i < rt->guests; i++)
        if (key == NULL || serves(guest_at(rt, i), key))
            deque_poison(&guest_at(rt, i)->dq, by);
    if (rt->membarrier)
        os_membarrier(); /* [PK4] [DQ2] heavy: pairs with the light fence in weir_push() */
}

void steal_promise(struct runtime *rt, uint64_t sleepers, uint32_t by)
{
    if (idle_is_fenced(sleepers))
        return; /* who did it sleeps, or somebody who has come since then does (idle.h) */
    poison(rt, NULL, by);
    idle_set_fenced(&rt->idle, sleepers);
}

void steal_poison_servers(struct runtime *rt, const void *key)
{
    poison(rt, key, DEQUE_ANYBODY);
}
