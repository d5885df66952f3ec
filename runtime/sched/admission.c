/* SPDX-License-Identifier: MIT
 *
 * admission.c - where the guards stand on a task's way: before the injector, and behind it.
 *
 * Threads and invariants: see admission.h.
 */
#include "sched/admission.h"

#include <errno.h>

#include "sched/worker.h"
#include "sync/breaker.h"

static void count(weir_atomic_u64 *cell)
{
    atom_add(cell, UINT64_C(1), memory_order_relaxed); /* relaxed: a statistic */
}

/* The guards' clock is the one of the stamps: one reading for both. */
static uint64_t time_of(uint64_t ticks)
{
    return os_ticks_to_ns(ticks);
}

/* How long a task just taken has waited in the injector or the inbox; 0 if it was submitted before anybody asked. */
static uint64_t queue_time_ns(const weir_task *t, uint64_t ticks)
{
    /* Clocks of two processors differ by a little. */
    return t->stamp != RING_NOW && ticks > t->stamp ? os_ticks_to_ns(ticks - t->stamp) : 0;
}

/* --- listeners -------------------------------------------------------------------------------------------------- */

static uint32_t mark_level(const void *of, uint32_t told)
{
    struct runtime *rt = (struct runtime *)(uintptr_t)of; /* only read */
    return weir_watermark_next(&rt->admission.mark, told != 0, intake_shared_depth(rt)) ? 1 : 0;
}

static uint32_t breaker_level(const void *of, uint32_t told)
{
    (void)told;
    return (uint32_t)weir_breaker_get(of);
}

void admission_grew_slow(struct runtime *rt)
{
    teller_tell(&rt->admission.marks, mark_level, rt);
}

static void tell_state(struct admission *a)
{
    teller_tell(&a->states, breaker_level, &a->breaker);
}

/* --- feeding the breaker ---------------------------------------------------------------------------------------- */

/* Failures count wherever they are seen; a success counts once, where the last of the feeds that are on sees it. */
static bool is_fed(struct admission *a, uint32_t source, bool success)
{
    uint32_t feeds = atom_load(&a->feeds, memory_order_relaxed); /* relaxed: A4 */
    uint32_t later = feeds & (source - 1);
    return (admission_guards(a) & WEIR_GUARD_BREAKER) != 0 && (feeds & source) != 0 && !(success && later != 0);
}

static void feed(struct admission *a, uint32_t source, uint64_t now, bool probe, bool success)
{
    if (!is_fed(a, source, success))
        return;
    weir_breaker_result(&a->breaker, now, probe, success);
    if (probe || !success) /* else no state has changed */
        tell_state(a);
}

static_assert(WEIR_FEED_REPORTS < WEIR_FEED_QUEUE_TIME && WEIR_FEED_QUEUE_TIME < WEIR_FEED_REJECTIONS,
              "feed() takes the lower bits for what comes later in a task's life");

static bool is_probe(const weir_task *t)
{
    /* relaxed: the task is in the caller's hands */
    return (atom_load(&t->state, memory_order_relaxed) & STATE_PROBE) != 0;
}

static void mark_probe(weir_task *t, bool probe)
{
    /* relaxed, all: the task is the submitter's, but if it is queued already: the submit refuses that. A mark may be
     * left over from its last run. */
    uint64_t state = atom_load(&t->state, memory_order_relaxed);
    if ((state & STATE_QUEUED) == 0 && ((state & STATE_PROBE) != 0) != probe)
        atom_store(&t->state, state ^ STATE_PROBE, memory_order_relaxed);
}

void admission_report(struct runtime *rt, const weir_task *t, bool success)
{
    if (admission_guards(&rt->admission) & WEIR_GUARD_BREAKER)
        feed(&rt->admission, WEIR_FEED_REPORTS, time_of(os_ticks()), is_probe(t), success);
}

/* --- before the injector ---------------------------------------------------------------------------------------- */

/* A submit in the hands of the guards. */
struct passage {
    uint32_t guards; /* that are on */
    uint64_t ticks;  /* what time it is, if one of them wants to know */
    uint64_t now;    /* the same in ns */
    bool probe;      /* the breaker let it through as a probe */
};

/* The depth guard lets it pass. Far below the mark that is known without a look at the workers' ends of the queues. */
static bool is_shallow(struct runtime *rt)
{
    struct admission *a = &rt->admission;
    if (LIKELY(!weir_watermark_is_above(&a->depth)) &&
        LIKELY(!weir_watermark_next(&a->depth, false, intake_depth_bound(rt))))
        return true;
    (void)weir_watermark_update(&a->depth, intake_catch_up(rt));
    return !weir_watermark_is_above(&a->depth);
}

/* The queue-time guard lets it pass: of course, while it sheds nothing and its window goes on. */
static bool is_prompt(struct runtime *rt, uint64_t now)
{
    weir_codel *c = &rt->admission.time;
    /* relaxed: a hint */
    if (LIKELY(!weir_codel_is_shedding(c)) && LIKELY(now < atom_load(&c->end, memory_order_relaxed)))
        return true;
    return weir_codel_admit(c, now, intake_shared_depth(rt)) == 0;
}

/* 0, -ENOBUFS or -ETIME. */
static int ask_queue(struct runtime *rt, const struct passage *p)
{
    struct admission *a = &rt->admission;
    if ((p->guards & WEIR_GUARD_DEPTH) && !is_shallow(rt)) {
        count(&a->refused_depth);
        return -ENOBUFS;
    }
    if ((p->guards & WEIR_GUARD_TIME) && !is_prompt(rt, p->now)) {
        count(&a->refused_time);
        return -ETIME;
    }
    return 0;
}

/* 0, -ENOBUFS, -ETIME or -ECONNREFUSED; the breaker is asked last, so that no probe is spent on a refused submit. */
static int ask(struct runtime *rt, struct passage *p)
{
    struct admission *a = &rt->admission;
    p->probe = false;
    p->ticks = admission_wants_time(p->guards) ? os_ticks() : RING_NOW;
    p->now = time_of(p->ticks);
    int r = p->guards & (WEIR_GUARD_DEPTH | WEIR_GUARD_TIME) ? ask_queue(rt, p) : 0;
    if (r != 0) {
        feed(a, WEIR_FEED_REJECTIONS, p->now, false, false);
    } else if (p->guards & WEIR_GUARD_BREAKER) {
        r = weir_breaker_allow(&a->breaker, p->now, &p->probe);
        if (p->probe)
            tell_state(a);
    }
    if (r != 0)
        count(&rt->rejected);
    return r;
}

/* What has become of a submit that the guards let through; the task may be gone. */
static void settle(struct admission *a, const struct passage *p, int r)
{
    uint32_t feeds = atom_load(&a->feeds, memory_order_relaxed); /* relaxed: A4 */
    bool refused = r == -EAGAIN || r == -ETIMEDOUT;
    if ((p->guards & WEIR_GUARD_BREAKER) == 0)
        return;
    if (r == 0 || (refused && (feeds & WEIR_FEED_REJECTIONS)))
        feed(a, WEIR_FEED_REJECTIONS, p->now, p->probe, r == 0);
    else if (p->probe)
        weir_breaker_cancel(&a->breaker);
}

static int submit_passed(struct runtime *rt, const struct passage *p, weir_task *t, const struct submission *s)
{
    mark_probe(t, p->probe);
    int r = runtime_submit_as(rt, t, s);
    if (r != 0)
        mark_probe(t, false);
    settle(&rt->admission, p, r);
    return r;
}

int admission_submit(struct runtime *rt, weir_task *t, const struct submission *s)
{
    struct passage p = {.guards = admission_guards(&rt->admission)};
    struct submission stamped = *s;
    int r = ask(rt, &p);
    stamped.stamp = p.ticks;
    return r != 0 ? r : submit_passed(rt, &p, t, &stamped);
}

int admission_submit_batch(struct runtime *rt, weir_task *const *tasks, size_t n, weir_lane lane, weir_policy policy,
                           uint64_t deadline, size_t *accepted)
{
    struct passage p = {.guards = admission_guards(&rt->admission)};
    struct submission single = {lane, policy, deadline, NULL, RING_NOW};
    size_t done = 0;
    int r = 0;
    if (LIKELY(p.guards == 0))
        return runtime_submit_batch(rt, tasks, n, lane, policy, deadline, accepted);
    while (done < n && r == 0 && (r = ask(rt, &p)) == 0) {
        size_t took = 0;
        if (p.probe) { /* one by one, each behind a question of its own */
            single.stamp = p.ticks;
            r = submit_passed(rt, &p, tasks[done], &single);
            took = r == 0;
        } else {
            for (size_t i = done; i < n; i++)
                mark_probe(tasks[i], false);
            r = runtime_submit_batch(rt, tasks + done, n - done, lane, policy, deadline, &took);
            settle(&rt->admission, &p, r);
        }
        done += took;
    }
    if (accepted != NULL)
        *accepted = done;
    return r;
}

/* --- behind the injector ---------------------------------------------------------------------------------------- */

/* Whether the task is shed; then it is marked so that the worker calls what its owner gave for that (loop.c). */
static bool shed(struct admission *a, weir_task *t, uint64_t waited)
{
    /* relaxed, all: the task is this worker's alone */
    uint64_t state = atom_load(&t->state, memory_order_relaxed);
    if ((state & STATE_SHEDDABLE) == 0 || !weir_codel_sheds(&a->time, waited))
        return false;
    atom_store(&t->state, state | STATE_SHED, memory_order_relaxed);
    return true;
}

static void judge_waits(struct admission *a, uint32_t guards, weir_task *const *tasks, size_t n, uint64_t ticks)
{
    uint64_t now = time_of(ticks);
    uint64_t slow = atom_load(&a->slow_ns, memory_order_relaxed); /* relaxed: A4 */
    uint64_t least = UINT64_MAX;
    uint64_t served = 0;
    uint32_t well = 0; /* prompt ones that are no probes */
    for (size_t i = 0; i < n; i++) {
        uint64_t waited = queue_time_ns(tasks[i], ticks);
        least = waited < least ? waited : least;
        if (LIKELY(waited <= slow) && !is_probe(tasks[i]))
            well++;
        else
            feed(a, WEIR_FEED_QUEUE_TIME, now, is_probe(tasks[i]), waited <= slow);
        served += (guards & WEIR_GUARD_TIME) && shed(a, tasks[i], waited) ? 0 : 1;
    }
    if (well > 0 && is_fed(a, WEIR_FEED_QUEUE_TIME, true))
        breaker_went_well(&a->breaker, now, well);
    if (guards & WEIR_GUARD_TIME)
        weir_codel_taken(&a->time, now, least, served);
}

void admission_taken_slow(struct worker *w, weir_task *const *tasks, size_t n, uint64_t ticks)
{
    struct admission *a = &w->rt->admission;
    uint32_t guards = admission_guards(a);
    if (admission_wants_time(guards))
        judge_waits(a, guards, tasks, n, ticks);
    if (guards & WEIR_MARKS)
        teller_tell(&a->marks, mark_level, w->rt);
}

/* --- setting, reading ------------------------------------------------------------------------------------------- */

/* The caller has checked the numbers, so none of these fails. */
static void must(int r)
{
    weir_assert(r == 0);
    (void)r;
}

static void apply_numbers(struct admission *a, const weir_admission *new, uint32_t old)
{
    uint32_t on = new->guards;
    if (on & WEIR_MARKS)
        must((old & WEIR_MARKS ? weir_watermark_set : weir_watermark_init)(&a->mark, new->mark_high, new->mark_low));
    if (on & WEIR_GUARD_DEPTH)
        must((old & WEIR_GUARD_DEPTH ? weir_watermark_set : weir_watermark_init)(&a->depth, new->depth_high,
                                                                                new->depth_low));
    if (on & WEIR_GUARD_TIME)
        must((old & WEIR_GUARD_TIME ? weir_codel_set : weir_codel_init)(&a->time, new->target_ns, new->interval_ns));
    if (on & WEIR_GUARD_BREAKER)
        must((old & WEIR_GUARD_BREAKER ? weir_breaker_set : weir_breaker_init)(&a->breaker, &new->breaker));
    /* relaxed, both: A4 */
    atom_store(&a->feeds, on & WEIR_GUARD_BREAKER ? new->feeds : 0, memory_order_relaxed);
    atom_store(&a->slow_ns, new->slow_ns, memory_order_relaxed);
}

static void listen(struct teller *t, bool on, weir_level_fn *fn, void *arg)
{
    if (!on)
        teller_listen(t, NULL, NULL);
    else if (t->fn != fn || t->arg != arg)
        teller_listen(t, fn, arg);
}

int admission_apply(struct runtime *rt, const weir_admission *new)
{
    struct admission *a = &rt->admission;
    if (!teller_hold(&a->marks))
        return -EBUSY;
    if (!teller_hold(&a->states)) {
        teller_release(&a->marks);
        return -EBUSY;
    }
    uint32_t old = admission_guards(a);
    apply_numbers(a, new, old);
    listen(&a->marks, (new->guards & WEIR_MARKS) != 0, new->on_mark, new->mark_arg);
    listen(&a->states, (new->guards & WEIR_GUARD_BREAKER) != 0, new->on_breaker, new->breaker_arg);
    atom_store(&a->guards, new->guards, memory_order_relaxed); /* relaxed: A4 */
    teller_release(&a->states);
    teller_release(&a->marks);
    /* What has changed while the tellers were held. */
    if (new->guards & WEIR_MARKS)
        teller_tell(&a->marks, mark_level, rt);
    if (new->guards & WEIR_GUARD_BREAKER)
        tell_state(a);
    return 0;
}

void admission_read(const struct admission *a, weir_guard_counts *out)
{
    weir_breaker_counts breaker;
    weir_breaker_read(&a->breaker, &breaker);
    /* relaxed, all: statistics */
    *out = (weir_guard_counts){
        .refused_depth = atom_load(&a->refused_depth, memory_order_relaxed),
        .refused_time = atom_load(&a->refused_time, memory_order_relaxed),
        .refused_breaker = breaker.refused,
        .mark_calls = atom_load(&a->marks.calls, memory_order_relaxed),
        .breaker_opened = breaker.opened,
        .breaker_probes = breaker.probed,
        .guards = admission_guards(a),
        .above = weir_watermark_is_above(&a->depth) ? 1 : 0,
        .shedding = weir_codel_is_shedding(&a->time) ? 1 : 0,
        .breaker = (uint32_t)weir_breaker_get(&a->breaker),
    };
}
