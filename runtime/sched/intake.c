/* SPDX-License-Identifier: MIT
 *
 * intake.c - where outside work waits: injectors, one per cache domain, and the workers' inboxes; and how a worker
 * takes from them.
 *
 * Threads: worker_take_injected: the worker. The others: any that holds the runtime.
 * Invariants: a task from an inbox never gets onto a deque: it runs where it was sent. Whatever is taken from elsewhere
 * is returned or put on the own deque. Each task that leaves a queue notifies those who sleep for room in that queue.
 */
#include <errno.h>

#include "obs/probes.h"
#include "sched/worker.h"

#define GATHER_NS UINT64_C(4000) /* bench `submit`: a submitter's single tasks that come together
                                    in that time are worth it; docs/decisions/0011 */
#define SOON_NS UINT64_C(2000) /* a choice: between two takes of a trickle, at most */
#define GATHER_TASKS 4u /* a choice: fewer in one take are a trickle */
#define GATHER_CAPACITY 256u /* a choice: a shorter queue may fill up meanwhile, and then its submitter sleeps */
#define TRICKLE 32u     /* a choice: takes of a trickle before the worker tries whether waiting brings more */
#define TIMERS_TURN 3u /* looks at outside work, of which one begins with due timers: odd, as the others take turns */

/* --- gathering ------------------------------------------------------------------------------------------------ */

/*
 * A worker that keeps up with a submitter reads each slot as soon as it is filled: both work on the same cache line,
 * and each task costs several transfers of it. So when many takes in a row brought next to nothing, though they came at
 * once, the worker leaves the queue alone for a moment and looks whether tasks have come together meanwhile. If so it
 * goes on like this; otherwise (an exchange of single requests and answers) it is prompt again for the next TRICKLE
 * takes. Returns whether the queue was to be left alone.
 */
static bool gather(struct worker *w)
{
    bool more = w->more;
    w->more = false;
    if (LIKELY(w->trickle < TRICKLE) || more || w->rt->config.queue_capacity < GATHER_CAPACITY ||
        runtime_is_crowded(w->rt))
        return false;
    while (os_ticks_to_ns(os_ticks() - w->last_take) < GATHER_NS)
        os_relax();
    return true;
}

static inline void note_take(struct worker *w, uint64_t now, uint32_t n, bool gathered)
{
    bool soon = os_ticks_to_ns(now - w->last_take) < SOON_NS;
    if (n < GATHER_TASKS) {
        if (gathered || !soon)
            w->trickle = 0;
        else if (w->trickle < TRICKLE)
            w->trickle++;
    } else if (n >= RING_CHAIN && w->trickle < TRICKLE) {
        w->trickle = 0; /* batches, with what is left of them where the queue was full */
    }
    w->last_take = now;
    w->more = n >= RING_CHAIN;
}

/* --- taking --------------------------------------------------------------------------------------------------- */

/* Every take is a sample of how long the oldest task has waited of which that is known. Returns what time it is, in
 * ticks. */
static inline uint64_t note_queue_time(struct worker *w, uint64_t stamp)
{
    uint64_t now = os_ticks();
    if (stamp == RING_NOW)
        return now;
    uint64_t waited = now > stamp ? now - stamp : 0; /* clocks of two processors differ by a little */
    struct counters *c = &w->counters;
    /* relaxed: own cells */
    if (waited > atom_load(&c->queue_ticks_max, memory_order_relaxed))
        atom_store(&c->queue_ticks_max, waited, memory_order_relaxed);
    atom_store(&c->queue_ticks_last, waited, memory_order_relaxed);
    atom_count(&c->queue_ticks_sum, waited);
    atom_count(&c->queue_samples, 1);
    return now;
}

static inline bool has_inbox(const struct worker *w)
{
    return w->id < w->rt->count;
}

/* What other workers have sent, oldest first. */
static weir_task *take_sent(struct worker *w)
{
    if (w->pinned == NULL && atom_load(&w->sent, memory_order_relaxed) != NULL) { /* relaxed: a hint */
        /* [SN1] acquire: the tasks as they were sent; pairs with runtime_send(). */
        weir_task *t = atom_xchg(&w->sent, NULL, memory_order_acquire);
        while (t != NULL) {
            weir_task *older = (weir_task *)(uintptr_t)t->stamp;
            t->stamp = (uintptr_t)w->pinned;
            w->pinned = t;
            t = older;
        }
    }
    weir_task *first = w->pinned;
    if (first != NULL)
        w->pinned = (weir_task *)(uintptr_t)first->stamp;
    return first;
}

static weir_task *take_pinned(struct worker *w)
{
    weir_task *out[RING_CHAIN];
    uint64_t stamp;
    weir_task *sent = take_sent(w);
    if (sent != NULL)
        return sent;
    if (!has_inbox(w) || ring_take(&w->inbox, out, 1, &stamp) == 0) /* they come one by one */
        return NULL;
    state_clear_queued(out[0]);
    w->last_take = note_queue_time(w, stamp);
    admission_taken(w, &w->rt->admission, out, 1, w->last_take);
    atom_count(&w->counters.injected, 1);
    atom_count(&w->counters.pinned, 1);
    PROBE3(inject, w->id, out[0], 1);
    room_notify(&w->inbox_room, &w->inbox, 1);
    return out[0];
}

/* How many tasks to take at once: no more than fit on the own deque without a move that could fail, as a push that
 * finds no room runs its task right here. A chain that is longer than this comes whole all the same. */
static inline uint32_t batch_size(struct worker *w)
{
    if (w->rt->one_by_one)
        return 1;
    /* Only an empty deque is moved: a worker that looks for work during a move misses what is there, and then sleeps
     * beside it, since no push and so no notice need follow (client_idle `park_against_a_move`). */
    if (UNLIKELY(deque_room(&w->dq) < RING_CHAIN - 1) && !deque_has_any(&w->dq))
        (void)deque_relocate(&w->dq, w->rt->config.deque_limit); /* if not: fewer at once */
    uint64_t most = deque_room(&w->dq) + 1; /* one is run, not pushed */
    return most < RING_CHAIN ? (uint32_t)most : RING_CHAIN;
}

void worker_begin_taken(struct worker *w)
{
    if (!w->has_taken) {
        w->has_taken = true;
        w->taken_base = deque_position(&w->dq);
    }
    w->lineage = NULL; /* what comes onto the deque now has nothing to do with what is there */
}

/* Puts all but the first of what was taken on the own deque. */
static weir_task *keep_rest(struct worker *w, weir_task **batch, uint32_t n)
{
    if (n > 1)
        worker_begin_taken(w);
    w->lineage = NULL;
    for (uint32_t k = n - 1; k > 0; k--) /* the oldest ends on the bottom and runs next */
        weir_push(worker_public(w), batch[k]);
    return batch[0];
}

static weir_task *take_shared(struct worker *w)
{
    struct runtime *rt = w->rt;
    weir_task *batch[RING_CHAIN];
    uint64_t stamp;
    weir_lane lane;
    uint32_t most = batch_size(w);
    bool gathered = gather(w);
    for (uint32_t i = 0; i < rt->intakes; i++) {
        struct injector *q = &rt->injectors[(w->domain + i) % rt->intakes];
        uint32_t n = injector_take(q, batch, most, rt->count, &stamp, &lane);
        if (n == 0)
            continue;
        note_take(w, note_queue_time(w, stamp), n, gathered);
        admission_taken(w, &rt->admission, batch, n, w->last_take);
        atom_count(&w->counters.injected, n);
        PROBE3(inject, w->id, batch[0], n);
        room_notify(&rt->room[lane], &q->lane[lane], n);
        for (uint32_t k = 0; k < n; k++)
            state_clear_queued(batch[k]);
        return keep_rest(w, batch, n);
    }
    return NULL;
}

void worker_receive(struct worker *w, weir_task *t)
{
    uint64_t now = note_queue_time(w, t->stamp);
    state_clear_queued(t);
    admission_taken(w, &w->rt->admission, &t, 1, now);
    atom_count(&w->counters.injected, 1);
    PROBE3(inject, w->id, t, 1);
}

/* Timers that are due, of any worker. */
static weir_task *take_due(struct worker *w)
{
    weir_task *batch[RING_CHAIN];
    uint32_t n = timers_take(w, batch, batch_size(w));
    return n != 0 ? keep_rest(w, batch, n) : NULL;
}

weir_task *worker_take_injected(struct worker *w)
{
    w->ticks = 0;
    w->inbox_first = !w->inbox_first; /* neither starves the other */
    bool timers = timers_in_use(&w->rt->timers);
    weir_task *t = timers && ++w->looks % TIMERS_TURN == 0 ? take_due(w) : NULL;
    if (t == NULL)
        t = w->inbox_first ? take_pinned(w) : take_shared(w);
    if (t == NULL)
        t = w->inbox_first ? take_shared(w) : take_pinned(w);
    return t == NULL && timers ? take_due(w) : t;
}

/* A task that was taken together with others may lie beneath inside work that never ends: so the oldest of the deque,
 * got as a thief gets it. */
static weir_task *take_oldest(struct worker *w)
{
    weir_task *t = NULL;
    if (deque_position(&w->dq) <= w->taken_base)
        w->has_taken = false;
    if (!w->has_taken)
        return NULL;
    if (!deque_has_public(&w->dq))
        deque_publish(&w->dq);
    if (deque_steal(&w->dq, NULL, &t) != STEAL_OK)
        return NULL;
    w->ticks = 0;
    return t;
}

weir_task *worker_take_ahead(struct worker *w)
{
    weir_task *t = NULL;
    w->oldest_first = !w->oldest_first;
    if (w->has_taken && w->oldest_first)
        t = take_oldest(w);
    if (t == NULL)
        t = worker_take_injected(w);
    if (t == NULL && w->has_taken)
        t = take_oldest(w);
    return t;
}

/* --- looking -------------------------------------------------------------------------------------------------- */

bool intake_is_empty(struct runtime *rt)
{
    for (uint32_t i = 0; i < rt->intakes; i++)
        if (!injector_is_empty(&rt->injectors[i]))
            return false;
    return true;
}

bool worker_sees_injected(struct worker *w)
{
    /* relaxed: a hint, or ordered by the caller's fence [PK4] */
    bool sent = w->pinned != NULL || atom_load(&w->sent, memory_order_relaxed) != NULL;
    return sent || (has_inbox(w) && !ring_is_empty(&w->inbox)) || !intake_is_empty(w->rt) ||
           timers_due(w->rt);
}

uint64_t intake_shared_depth(struct runtime *rt)
{
    uint64_t depth = 0;
    for (uint32_t i = 0; i < rt->intakes; i++)
        depth += injector_depth(&rt->injectors[i]);
    return depth;
}

uint64_t intake_depth_bound(struct runtime *rt)
{
    uint64_t bound = 0;
    for (uint32_t i = 0; i < rt->intakes; i++)
        bound += injector_depth_bound(&rt->injectors[i]);
    return bound;
}

uint64_t intake_catch_up(struct runtime *rt)
{
    for (uint32_t i = 0; i < rt->intakes; i++)
        injector_catch_up(&rt->injectors[i]);
    return intake_shared_depth(rt);
}

uint64_t intake_depth(struct runtime *rt)
{
    uint64_t depth = intake_shared_depth(rt);
    for (uint32_t i = 0; i < rt->count; i++)
        depth += ring_depth(&rt->workers[i]->inbox);
    return depth;
}

bool intake_is_drained(struct runtime *rt)
{
    for (uint32_t i = 0; i < rt->intakes; i++)
        if (!injector_is_drained(&rt->injectors[i]))
            return false;
    for (uint32_t i = 0; i < rt->count; i++)
        if (!ring_is_drained(&rt->workers[i]->inbox))
            return false;
    return true;
}

/* --- closing -------------------------------------------------------------------------------------------------- */

void intake_close(struct runtime *rt)
{
    for (uint32_t i = 0; i < rt->intakes; i++)
        injector_close(&rt->injectors[i]);
    for (uint32_t i = 0; i < rt->count; i++)
        ring_close(&rt->workers[i]->inbox);
}

void intake_notify_lanes(struct runtime *rt)
{
    for (unsigned i = 0; i < INJECTOR_LANES; i++)
        room_notify_all(&rt->room[i]);
}

void intake_notify_all(struct runtime *rt)
{
    intake_notify_lanes(rt);
    for (uint32_t i = 0; i < rt->count; i++)
        room_notify_all(&rt->workers[i]->inbox_room);
}

/* --- lifecycle ------------------------------------------------------------------------------------------------ */

int intake_init(struct runtime *rt, uint32_t domains)
{
    uint32_t capacity = rt->config.queue_capacity;
    if (domains > capacity)
        domains = capacity; /* each holds one task at least */
    rt->injectors = os_alloc(domains * sizeof(*rt->injectors), LINE_PAIR);
    if (rt->injectors == NULL)
        return -ENOMEM;
    rt->injectors_size = domains * sizeof(*rt->injectors);
    /* More workers than processors are there because tasks block, and a governor is: then what waits is not to wait in
     * the deque of a worker that is stuck, where thieves have to fetch it and the governor doesn't see it. */
    rt->one_by_one = rt->config.max_workers > rt->processors || rt->config.max_workers > rt->count;
    for (uint32_t i = 0; i < domains; i++) {
        int r = injector_init(&rt->injectors[i], capacity / domains + (i < capacity % domains));
        if (r != 0)
            return r;
        rt->intakes = i + 1;
        if (rt->one_by_one)
            injector_unchain(&rt->injectors[i]); /* a chain comes whole */
    }
    return 0;
}

void intake_destroy(struct runtime *rt)
{
    while (rt->intakes > 0)
        injector_destroy(&rt->injectors[--rt->intakes]);
    os_free(rt->injectors, rt->injectors_size);
    rt->injectors = NULL;
}
