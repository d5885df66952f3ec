/* SPDX-License-Identifier: MIT
 *
 * handoff.c - gives tasks directly to workers that search or sleep, and takes them out of their hands.
 *
 * Threads and invariants: see handoff.h.
 */
#include "sched/handoff.h"

#include "obs/probes.h"
#include "sched/worker.h"

/* --- giving --------------------------------------------------------------------------------------------------- */

/* Wakes worker `id`, if it sleeps, with t in its hand. False: t is still the caller's. */
static bool wake_with(struct runtime *rt, uint32_t id, weir_task *t)
{
    struct idle *idle = &rt->idle;
    if (!idle_withdraw(idle, id))
        return false;
    /* [HO2] forbids: the runtime ends without counting on the claimed worker while the giver misses that it stops;
     * pairs with end_if_dry(). [HO1] release: the task before the hand; pairs with hand_take(). */
    atom_fence(memory_order_seq_cst);
    bool running = runtime_phase(rt) == PHASE_RUNNING;
    if (LIKELY(running))
        hand_fill(rt->parking[id], t);
    idle_wake_handed(idle, id); /* t may be gone */
    return running;
}

/* Whether a sleeper is to be woken for one task: not while somebody searches, nor before the one that was woken last
 * has begun (then a searcher is woken, who wakes the next one: P3); and not where processors are short, and who was
 * woken may have to wait for one. */
static bool sleeper_is_wanted(const struct runtime *rt)
{
    const struct idle *idle = &rt->idle;
    /* relaxed: a hint */
    return idle_has_sleepers(idle) && !idle_has_searchers(idle) && !runtime_is_crowded(rt) &&
           !hand_holds_task(rt->parking[atom_load(&idle->handed, memory_order_relaxed)]);
}

/* A sleeper to be woken. Not a seat from rt->count on, which may have no thread; nor the keeper, who is woken last
 * (idle.h). */
static uint32_t some_sleeper(const struct runtime *rt)
{
    uint32_t keeper = idle_keeper_id(idle_keeper(&rt->idle));
    for (uint32_t i = 0; i * 64 < rt->count; i++) {
        uint64_t map = idle_asleep(&rt->idle, i);
        if (keeper / 64 == i)
            map &= ~bit_of(keeper);
        uint32_t id = i * 64 + (uint32_t)__builtin_ctzll(map | UINT64_C(1) << 63);
        if (map != 0)
            return id < rt->count ? id : IDLE_NOBODY;
    }
    return IDLE_NOBODY;
}

/* To who is awake, or else to a sleeper; who waits for a descendant of what runs here can't get at it in a hand. */
static bool give(struct worker *w, uint32_t hungry, weir_task *t)
{
    struct runtime *rt = w->rt;
    if (hungry < rt->seats && hungry != w->id) {
        state_give(t, hungry);
        if (LIKELY(hand_give(rt->parking[hungry], t)))
            return true;
    }
    uint32_t id = sleeper_is_wanted(rt) && !idle_has_waiters(&rt->idle) ? some_sleeper(rt) : IDLE_NOBODY;
    if (id == IDLE_NOBODY)
        return false;
    state_give(t, id);
    if (!wake_with(rt, id, t))
        return false;
    atom_count(&w->counters.wakes, 1);
    return true;
}

bool handoff_push(struct worker *w)
{
    uint32_t hungry = deque_poisoner(&w->dq);
    if (LIKELY(hungry < w->rt->seats))
        PREFETCH_OWNED(w->rt->parking[hungry]); /* bench `pingpong`: 0.02 us */
    weir_task *t = deque_pop_only_fork(&w->dq);
    if (t == NULL)
        return false;
    uint64_t place = state_place(t);
    if (LIKELY(give(w, hungry, t)))
        return true;
    state_keep(t, place);
    deque_push_back(&w->dq);
    return false;
}

bool handoff_submit(struct runtime *rt, weir_task *t)
{
    if (!sleeper_is_wanted(rt))
        return false;
    uint32_t id = some_sleeper(rt);
    if (id == IDLE_NOBODY)
        return false;
    PREFETCH_OWNED(&rt->idle); /* bench `submit`: 0.05 us */
    PREFETCH_OWNED(rt->parking[id]);
    if (!intake_is_empty(rt))
        return false;
    t->stamp = os_ticks();
    if (!wake_with(rt, id, t))
        return false;
    atom_add(&rt->outside_wakes, UINT64_C(1), memory_order_relaxed); /* relaxed: a statistic */
    return true;
}

/* --- taking --------------------------------------------------------------------------------------------------- */

/* A task that was in the hand of `from`. */
static weir_task *receive(struct worker *w, const struct worker *from, weir_task *t)
{
    /* relaxed: the task was acquired with the hand */
    if ((atom_load(&t->state, memory_order_relaxed) & STATE_FORKED) == 0) {
        worker_receive(w, t);
        return t;
    }
    atom_count(&w->counters.steals, 1);
    PROBE3(steal, w->id, from->id, t);
    if (from != w)
        state_set_thief(t, w->id);
    return t;
}

weir_task *handoff_take(struct worker *w, struct worker *from)
{
    weir_task *t = hand_take(&from->park);
    return UNLIKELY(t != NULL) ? receive(w, from, t) : NULL;
}

weir_task *handoff_close(struct worker *w, weir_task *t)
{
    weir_task *given = hand_close(&w->park);
    if (LIKELY(given == NULL))
        return t;
    given = receive(w, w, given);
    if (t == NULL)
        return given;
    worker_begin_taken(w); /* one of the two may be from outside */
    weir_push(worker_public(w), given);
    return t;
}

bool handoff_take_back(struct worker *w, weir_task *t)
{
    /* relaxed: own frame; who takes it from the hand writes his own number there, and then it is too late anyway */
    uint32_t holder = state_thief(atom_load(&t->state, memory_order_relaxed));
    return holder != 0 && hand_take_back(w->rt->parking[holder - 1], t);
}
