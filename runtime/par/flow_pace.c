/* SPDX-License-Identifier: MIT
 *
 * flow_pace.c - runs short tasks of a flow where they are added, and looks at the clock: see flow_pace.h.
 *
 * Threads and invariants: see flow_pace.h; pace_learn: any worker.
 */
#include "par/flow_state.h"

#include "obs/probes.h"

/* --- the clock ---------------------------------------------------------------------------------------------------- */

void pace_look(struct flow_pace *p)
{
    uint64_t now = os_now(), allowed = (uint64_t)p->batch * PLACE_MEAN_NS, took = p->batch != 0 ? now - p->since : 0;
    p->late = p->late + took > allowed ? p->late + took - allowed : 0;
    if (UNLIKELY(p->late > PLACE_LATE_NS)) {
        p->late = 0;
        p->pause = PLACE_PAUSE;
    }
    p->since = p->pause == 0 ? now : 0;
    p->batch = 0;
}

void pace_learn(const void *fn, uint64_t ns)
{
    hint_remember(fn, hint_blend(hint_cost(fn), hint_cost_of(ns, 1)));
}

/* --- running in place ------------------------------------------------------------------------------------------- */

/* Whether all that used these addresses before, in a way that a new task would have to wait for, has ended. Forgets
 * readers that have. */
static bool all_have_ended(weir_flow *f, const weir_dep *deps, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct flow_entry *e = flow_table_seek(&f->table, deps[i].address);
        if (e == NULL)
            continue;
        if (flow_ref_task(&f->table, e->writer) != NULL)
            return false;
        if (deps[i].access == WEIR_IN || e->readers == NULL)
            continue;
        for (const struct flow_reader *reader = e->readers; reader != NULL; reader = reader->next)
            if (flow_ref_task(&f->table, reader->word) != NULL)
                return false;
        flow_table_drop_readers(&f->table, e);
    }
    return true;
}

int flow_run_in_place(weir_flow *f, weir_node_fn *fn, void *arg)
{
    struct worker *w = f->w;
    if (UNLIKELY(flow_is_over(f, w->rt)))
        return 0; /* added, and skipped */
    const void *as = f->ready; /* to probes: a record that is no task meanwhile */
    pace_begin(&f->pace);
    atom_count(&w->counters.tasks_run, 1);
    PROBE3(task_begin, w->id, as, flow_run);
    f->inside = true;
    int r = fn(worker_public(w), arg);
    f->inside = false;
    PROBE2(task_end, w->id, as);
    if (UNLIKELY(w->blocked))
        (void)block_end(w); /* the task forgot to */
    pace_end(&f->pace);
    if (UNLIKELY(r < 0))
        flow_fail(f, r);
    return 0;
}

bool flow_goes_in_place(weir_flow *f, weir_node_fn *fn, const weir_dep *deps, uint32_t n, uint64_t deadline)
{
    return f->w != NULL && deadline != 0 && pace_allows(&f->pace, flow_key(fn)) && !f->w->blocked &&
           all_have_ended(f, deps, n);
}
