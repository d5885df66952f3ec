/* SPDX-License-Identifier: MIT
 *
 * stats.c - sums the workers' counters.
 *
 * Threads: any that holds the runtime. Invariants: the cells have one writer each; nothing is ordered by them.
 */
#include "sched/lifecycle.h"

static uint64_t read_cell(const weir_atomic_u64 *cell)
{
    return atom_load(cell, memory_order_relaxed); /* relaxed: a statistic */
}

static weir_counts counts_of(const struct worker *w)
{
    const struct counters *c = &w->counters;
    return (weir_counts){
        .tasks_run = read_cell(&c->tasks_run),
        .tasks_spawned = read_cell(&w->dq.spawned),
        .tasks_skipped = read_cell(&c->tasks_skipped),
        .tasks_discarded = read_cell(&c->tasks_discarded),
        .tasks_shed = read_cell(&c->tasks_shed),
        .steals = read_cell(&c->steals),
        .steal_fails = read_cell(&c->steal_fails),
        .forced = read_cell(&c->forced),
        .parks = read_cell(&c->parks),
        .wakes = read_cell(&c->wakes),
        .injected = read_cell(&c->injected),
    };
}

static void add(weir_counts *sum, const weir_counts *c)
{
    sum->tasks_run += c->tasks_run;
    sum->tasks_spawned += c->tasks_spawned;
    sum->tasks_skipped += c->tasks_skipped;
    sum->tasks_discarded += c->tasks_discarded;
    sum->tasks_shed += c->tasks_shed;
    sum->steals += c->steals;
    sum->steal_fails += c->steal_fails;
    sum->forced += c->forced;
    sum->parks += c->parks;
    sum->wakes += c->wakes;
    sum->injected += c->injected;
}

void runtime_read(const struct runtime *rt, weir_stats *s, weir_counts *per_worker, uint32_t n)
{
    uint32_t size = s->size;
    uint64_t duty = duty_read(&rt->elastic.duty);
    *s = (weir_stats){.size = size, .workers = duty_on(duty), .queue_capacity = rt->config.queue_capacity};
    s->min_workers = rt->count;
    s->max_workers = rt->config.max_workers;
    s->seats = rt->seats;
    s->blocked = duty_blocked(duty);
    s->target = duty_target(duty);
    s->threads = atom_load(&rt->threads, memory_order_relaxed); /* relaxed: a statistic */
    for (uint32_t i = 0; i < rt->seats + rt->guests; i++) {
        weir_counts c = counts_of(rt->workers[i]);
        add(&s->total, &c);
        if (per_worker != NULL && i < rt->seats && i < n)
            per_worker[i] = c;
    }
    s->queue_depth = intake_depth((struct runtime *)(uintptr_t)rt);
    s->parked = idle_announced(atom_load(&rt->idle.sleepers, memory_order_relaxed)); /* relaxed: a statistic */
    s->called = read_cell(&rt->elastic.called);
    s->grown = read_cell(&rt->elastic.grown);
    s->retired = read_cell(&rt->elastic.retired);
    s->total.wakes += read_cell(&rt->outside_wakes);
    s->total.rejected = read_cell(&rt->rejected);
    admission_read(&rt->admission, &s->guards);
    s->total.submitted = s->total.injected + s->queue_depth + read_cell(&rt->unqueued);
}
