/* SPDX-License-Identifier: MIT
 *
 * governor.c - a thread that looks at the injector while work waits in it, and calls more workers if it waits too long.
 *
 * How long work waits is measured without looking at entries: a mark is set at the end of the queue, and passed when as
 * many tasks have been taken as had been submitted by then. A mark that is older than grow_after_us means that what was
 * submitted then still waits: one more worker is called, at the next look two, then four, until the mark is passed.
 * Nothing here shrinks: workers that idle leave by themselves (elastic.h), which is the hysteresis.
 *
 * Threads: the governor, but for start, stop and arm.
 * Invariants: see governor.h.
 */
#include "sched/governor.h"

#include <stdio.h>

#include "sched/worker.h"

#define LOOKS_PER_LIMIT 2u                 /* a mark is at most half its limit late */
#define TICK_MIN_NS UINT64_C(250000)       /* a choice: a look costs some microseconds */
#define CALM_TICKS 16u                     /* a choice: empty looks before the governor sleeps, so that a stream that
                                              just keeps up does not wake it all the time */
#define GOVERNOR_STACK ((size_t)256 << 10) /* bytes */

enum governor_state { GOVERNOR_ASLEEP, GOVERNOR_AWAKE, GOVERNOR_LEAVE };

/* Tasks taken from the injectors so far. Those of inboxes don't count: no other worker could take them. */
static uint64_t taken(const struct runtime *rt)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < rt->seats; i++) {
        const struct counters *c = &rt->workers[i]->counters;
        uint64_t pinned = atom_load(&c->pinned, memory_order_relaxed); /* relaxed, both: an estimate */
        sum += atom_load(&c->injected, memory_order_relaxed) - pinned;
    }
    return sum;
}

static void set_mark(struct governor *g, uint64_t submitted)
{
    g->mark = submitted;
    g->mark_at = os_now();
}

/* One worker for each task that waits too long. */
static void grow(struct runtime *rt, uint64_t tasks)
{
    while (tasks-- > 0)
        if (!elastic_grow(rt))
            return;
}

static void look(struct runtime *rt)
{
    struct governor *g = &rt->governor;
    uint64_t depth = intake_shared_depth(rt);
    uint64_t gone = taken(rt);
    g->calm = depth == 0 ? g->calm + 1 : 0;
    if (depth == 0 || gone >= g->mark)
        set_mark(g, gone + depth);
    else if (os_now() - g->mark_at >= g->grow_ns)
        grow(rt, g->mark - gone);
}

/* Without a deadline, until somebody arms it. */
static void doze(struct runtime *rt)
{
    struct governor *g = &rt->governor;
    uint32_t state = GOVERNOR_AWAKE;
    /* relaxed: ordered by the fence. Weak: the caller comes again. */
    if (!atom_cas_weak(&g->state, &state, (uint32_t)GOVERNOR_ASLEEP, memory_order_relaxed, memory_order_relaxed))
        return;
    /* [GV1] forbids: the governor misses a task while the task's submitter, or the last searcher to leave, misses that
     * the governor sleeps; pairs with the fences in submit.c and idle_end_search(). */
    atom_fence(memory_order_seq_cst);
    while (intake_is_empty(rt) &&
           atom_load(&g->state, memory_order_relaxed) == GOVERNOR_ASLEEP) /* relaxed: nothing is read behind it */
        os_futex_wait(&g->state, GOVERNOR_ASLEEP, OS_FOREVER);
    state = GOVERNOR_ASLEEP;
    /* relaxed: as above */
    (void)atom_cas(&g->state, &state, (uint32_t)GOVERNOR_AWAKE, memory_order_relaxed, memory_order_relaxed);
    g->calm = 0;
    set_mark(g, taken(rt) + intake_shared_depth(rt));
}

static void *governor_main(void *arg)
{
    struct runtime *rt = arg;
    struct governor *g = &rt->governor;
    os_exact_sleeps(true);
    /* relaxed: who stops it joins it */
    while (atom_load(&g->state, memory_order_relaxed) != GOVERNOR_LEAVE) {
        if (g->calm >= CALM_TICKS) {
            doze(rt);
            continue;
        }
        os_futex_wait(&g->state, GOVERNOR_AWAKE, os_now() + g->tick_ns);
        look(rt);
    }
    return NULL;
}

void governor_arm(struct runtime *rt)
{
    struct governor *g = &rt->governor;
    uint32_t state = GOVERNOR_ASLEEP;
    /* relaxed, all: the caller's fence orders it behind the push [GV1]; the governor reads words that RMWs change */
    if (g->present && atom_load(&g->state, memory_order_relaxed) == GOVERNOR_ASLEEP &&
        !intake_is_empty(rt) &&
        atom_cas(&g->state, &state, (uint32_t)GOVERNOR_AWAKE, memory_order_relaxed, memory_order_relaxed))
        os_futex_wake(&g->state, 1);
}

void governor_init(struct runtime *rt)
{
    struct governor *g = &rt->governor;
    g->present = rt->config.max_workers != rt->count;
    g->grow_ns = (uint64_t)rt->config.grow_after_us * UINT64_C(1000);
    g->tick_ns = g->grow_ns / LOOKS_PER_LIMIT > TICK_MIN_NS ? g->grow_ns / LOOKS_PER_LIMIT : TICK_MIN_NS;
    g->calm = CALM_TICKS;
    atom_store(&g->state, (uint32_t)GOVERNOR_AWAKE, memory_order_relaxed); /* relaxed: no thread is there yet */
}

int governor_start(struct runtime *rt)
{
    struct governor *g = &rt->governor;
    char name[THREAD_NAME_MAX];
    if (!g->present)
        return 0;
    snprintf(name, sizeof(name), "%s/gov", rt->name);
    int r = os_thread_start(&g->thread, name, GOVERNOR_STACK, -1, governor_main, rt);
    g->started = r == 0;
    return r;
}

void governor_stop(struct runtime *rt)
{
    struct governor *g = &rt->governor;
    if (!g->started)
        return;
    atom_store(&g->state, (uint32_t)GOVERNOR_LEAVE, memory_order_relaxed); /* relaxed: the thread is joined */
    os_futex_wake(&g->state, 1);
    os_thread_join(&g->thread);
}
