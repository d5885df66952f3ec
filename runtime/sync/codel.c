/* SPDX-License-Identifier: MIT
 *
 * codel.c - finds a standing queue by how long work waits, and says what to refuse and what to shed.
 *
 * Time is cut into windows of one interval. The verdict on a window: a queue stood in it if nothing that was taken had
 * waited less than the target. That is CoDel's test: a burst that drains within the interval is a good queue, whatever
 * its length. CoDel's answer, to drop packets at growing frequency, is made for senders that slow down when they lose
 * one; requests come at whatever rate they come. So the answer is Little's law: while shedding, the queue may hold what
 * was served in the last window, scaled to the target's time. See docs/admission.md.
 *
 * Threads: any. Lock-free: only the minimum is retried, and each retry means that another thread has lowered it.
 * Invariants: C1 each window has one judge, the thread that moved `end`. C2 allowed >= 1 while shedding, so an empty
 * queue always takes work, and so shedding can't last without traffic to end it.
 * All accesses are relaxed: each word is a statistic by itself. A sample or a refusal that is counted in the window
 * after its own is as good as any other.
 * Source: Nichols and Jacobson, "Controlling Queue Delay" (CACM 2012); the window's minimum as in RFC 8289, section 3.
 */
#include <weir/admission.h>

#include <errno.h>

#include "base/atomics.h"
#include "base/compiler.h"

#define NONE UINT64_MAX /* no sample in this window */

static uint64_t get(const weir_atomic_u64 *word)
{
    return atom_load(word, memory_order_relaxed); /* relaxed: see above */
}

int weir_codel_set(weir_codel *c, uint64_t target_ns, uint64_t interval_ns)
{
    if (c == NULL || target_ns == 0 || target_ns >= interval_ns || interval_ns > WEIR_GUARD_TIME_MAX)
        return -EINVAL;
    /* relaxed: a window that sees one of the two is a window between the old and the new times */
    atom_store(&c->target, target_ns, memory_order_relaxed);
    atom_store(&c->interval, interval_ns, memory_order_relaxed);
    return 0;
}

int weir_codel_init(weir_codel *c, uint64_t target_ns, uint64_t interval_ns)
{
    int r = weir_codel_set(c, target_ns, interval_ns);
    if (r != 0)
        return r;
    /* relaxed, all: a runtime's guard begins afresh beside submits that found it on before */
    atom_store(&c->end, UINT64_C(0), memory_order_relaxed);
    atom_store(&c->least, NONE, memory_order_relaxed);
    atom_store(&c->served, UINT64_C(0), memory_order_relaxed);
    atom_store(&c->allowed, UINT64_C(1), memory_order_relaxed);
    atom_store(&c->shedding, 0u, memory_order_relaxed);
    atom_store(&c->refused, 0u, memory_order_relaxed);
    return 0;
}

/* How deep the queue may be so that its last entry waits about the target: what that time serves. */
static uint64_t depth_for_target(uint64_t served, uint64_t target, uint64_t elapsed)
{
    double depth = elapsed == 0 ? 0 : (double)served * (double)target / (double)elapsed;
    return depth < 1 ? 1 : (uint64_t)depth;
}

static void judge(weir_codel *c, bool stood, uint64_t least, uint64_t elapsed)
{
    /* relaxed, all: see above */
    uint64_t target = get(&c->target);
    uint64_t allowed = get(&c->allowed);
    uint64_t fitting = depth_for_target(atom_xchg(&c->served, UINT64_C(0), memory_order_relaxed), target, elapsed);
    bool refused = atom_xchg(&c->refused, 0u, memory_order_relaxed) != 0;
    bool was = weir_codel_is_shedding(c);
    if (stood)
        allowed = fitting;
    else if (was && least < target / 2) /* the limit keeps the workers short of work: what they serve tells nothing */
        allowed = fitting > 2 * allowed ? fitting : 2 * allowed;
    atom_store(&c->allowed, allowed, memory_order_relaxed);
    bool is = stood || (was && refused);
    if (is != was)
        atom_store(&c->shedding, is ? 1u : 0u, memory_order_relaxed);
}

/* Closes the window if its time is over. depth: of the queue, or more than 0 where something was just taken. */
static void turn_window(weir_codel *c, uint64_t now, uint64_t depth)
{
    uint64_t end = get(&c->end);
    if (LIKELY(now < end))
        return;
    uint64_t interval = get(&c->interval);
    /* relaxed, both: see above; the CAS makes one judge. Weak: a window that stays open is closed by the next call. */
    if (!atom_cas_weak(&c->end, &end, now + interval, memory_order_relaxed, memory_order_relaxed))
        return;
    uint64_t least = atom_xchg(&c->least, NONE, memory_order_relaxed);
    if (end == 0)
        return; /* the first window begins here */
    bool stood = depth > 0 && least > get(&c->target);
    judge(c, stood, least, end > interval ? now - (end - interval) : now);
}

void weir_codel_taken(weir_codel *c, uint64_t now, uint64_t waited_ns, uint64_t served)
{
    /* relaxed, all: see above */
    uint64_t least = atom_load(&c->least, memory_order_relaxed);
    while (waited_ns < least &&
           !atom_cas_weak(&c->least, &least, waited_ns, memory_order_relaxed, memory_order_relaxed))
        continue;
    atom_add(&c->served, served, memory_order_relaxed);
    turn_window(c, now, 1);
}

static void mark_refused(weir_codel *c)
{
    /* relaxed: see above */
    if (atom_load(&c->refused, memory_order_relaxed) == 0)
        atom_store(&c->refused, 1u, memory_order_relaxed);
}

int weir_codel_admit(weir_codel *c, uint64_t now, uint64_t depth)
{
    turn_window(c, now, depth);
    if (LIKELY(!weir_codel_is_shedding(c)) || depth < get(&c->allowed))
        return 0;
    mark_refused(c);
    return -ETIME;
}

bool weir_codel_sheds(weir_codel *c, uint64_t waited_ns)
{
    if (LIKELY(!weir_codel_is_shedding(c)) || waited_ns <= get(&c->target))
        return false;
    mark_refused(c);
    return true;
}

bool weir_codel_is_shedding(const weir_codel *c)
{
    return atom_load(&c->shedding, memory_order_relaxed) != 0; /* relaxed: see above */
}
