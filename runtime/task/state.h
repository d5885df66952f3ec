/* SPDX-License-Identifier: MIT
 *
 * state.h - the packed state word of a task: layout, accessors and transitions.
 *
 *  63     32 31      30      20 19       8 7      6        5        4         3       2       1      0
 * | owed     | queued | thief+1  | waiter+1 | then | scoped | pooled | sleeper | waits | taken | done | forked |
 *
 * A forked task that lies in its owner's deque has another form: the bottom that its fork has left, the address of the
 * next slot | forked. The join compares that with its bottom (weir_unfork). `taken` tells the forms apart: it is set
 * before anybody but the joiner runs the task.
 *
 * owed     completions that must still be paid before the task is ready; 0 for a ready task
 * forked   a join will wait for the task; it sets `done` when it has run
 * taken    (forked) stolen, or run by its owner otherwise than by its join
 * waits    the worker `waiter` sleeps until the task is done (forked) or has no owed completions (a scope)
 * sleeper  a thread that is no worker sleeps on the word's upper half, `owed` (a scope)
 * pooled   the record belongs to a slab
 * scoped   `then` points to the `done` task of a struct weir_scope
 * then     (a scope) the last completion releases the scope's continuation
 * queued   the task waits in an injector or an inbox: a second submit is refused
 * thief    the worker that took a forked task from its owner: where to leapfrog
 * called   (not forked, in the lowest bit of the thief's field) its `run` is called even when the runtime discards: it
 *          ends by itself, and gives back what it holds
 *
 * A task that was submitted uses the lowest bits of the waiter's field, which it has no use for:
 * sheddable (8) the record is a weir_request; shed (9) `shed` is called in the place of `run`; probe (10) the circuit
 * breaker let it through as one.
 *
 * Threads: any; the word is the only thing that a finisher and a waiter share at the end of a task's life.
 * Invariants: once `done` is set, or `owed` of a scope has reached 0, the record may be gone: the transition returns
 * the old word, and all that the finisher needs is in it. A thief sets `taken` before it goes offline (rcu.h): so no
 * place in a later buffer can have the address in the word of a task that was stolen.
 */
#ifndef WEIR_STATE_H
#define WEIR_STATE_H

#include <weir/admission.h>
#include <weir/fork.h>

#include "base/atomics.h"
#include "base/compiler.h"

#define STATE_FORKED WEIR_TASK_FORKED
#define STATE_DONE (UINT64_C(1) << 1)
#define STATE_TAKEN (UINT64_C(1) << 2)
#define STATE_WAITS (UINT64_C(1) << 3)
#define STATE_SLEEPER (UINT64_C(1) << 4)
#define STATE_POOLED (UINT64_C(1) << 5)
#define STATE_SCOPED WEIR_TASK_SCOPED
#define STATE_THEN (UINT64_C(1) << 7)
#define STATE_SHEDDABLE WEIR_TASK_SHEDDABLE
#define STATE_SHED (UINT64_C(1) << 9)
#define STATE_PROBE (UINT64_C(1) << 10)
#define STATE_WAITER_SHIFT 8
#define STATE_THIEF_SHIFT 20
#define STATE_QUEUED (UINT64_C(1) << 31)
#define STATE_CALLED (UINT64_C(1) << STATE_THIEF_SHIFT)
#define STATE_OWED_SHIFT WEIR_TASK_OWED_SHIFT
#define STATE_WORKER_MASK UINT64_C(0xfff)
#define STATE_THIEF_MASK UINT64_C(0x7ff)

static_assert(sizeof(struct weir_task) == 32, "a task is half a cache line");

/* The worker that waits, as its number + 1; 0: none. */
static inline uint32_t state_waiter(uint64_t state)
{
    return (uint32_t)(state >> STATE_WAITER_SHIFT & STATE_WORKER_MASK);
}

/* The thief of a forked task, as its number + 1; 0: not known (yet). */
static inline uint32_t state_thief(uint64_t state)
{
    return state & STATE_TAKEN ? (uint32_t)(state >> STATE_THIEF_SHIFT & STATE_THIEF_MASK) : 0;
}

/* Leaves the form with the slot, keeping nothing of it: `bits` are added to the taken form. Returns the old taken
 * form. */
static inline uint64_t state_take_with(weir_task *t, uint64_t bits)
{
    uint64_t old = atom_load(&t->state, memory_order_relaxed); /* relaxed: the CAS decides */
    while ((old & STATE_TAKEN) == 0)
        /* relaxed, both: the bits carry nothing; a waiter that comes late reads `done` again, with an acquire */
        if (atom_cas_weak(&t->state, &old, STATE_FORKED | STATE_TAKEN | bits, memory_order_relaxed,
                          memory_order_relaxed))
            return STATE_FORKED | STATE_TAKEN;
    return atom_or(&t->state, bits, memory_order_relaxed);
}

/* Thief, before it goes offline and runs a forked task that it took: tells the joiner whom to leapfrog. */
static inline void state_set_thief(weir_task *t, uint32_t worker)
{
    uint64_t bits = (uint64_t)(worker + 1) << STATE_THIEF_SHIFT;
    uint64_t old = atom_load(&t->state, memory_order_relaxed); /* relaxed: the CAS decides */
    uint64_t new;
    do
        new = old & STATE_TAKEN ? (old & ~(STATE_THIEF_MASK << STATE_THIEF_SHIFT)) | bits
                                : STATE_FORKED | STATE_TAKEN | bits;
    while (!atom_cas_weak(&t->state, &old, new, memory_order_relaxed, memory_order_relaxed)); /* relaxed: as above */
}

/* Owner, about to give a forked task from its deque away: the form with the slot. */
static inline uint64_t state_place(const weir_task *t)
{
    return atom_load(&t->state, memory_order_relaxed); /* relaxed: the task is the owner's alone */
}

/* Owner, before it gives the task to `worker`. */
static inline void state_give(weir_task *t, uint32_t worker)
{
    /* relaxed: the task is the owner's alone */
    atom_store(&t->state, STATE_FORKED | STATE_TAKEN | (uint64_t)(worker + 1) << STATE_THIEF_SHIFT,
               memory_order_relaxed);
}

/* Owner: nobody got it, and it goes back to its place. */
static inline void state_keep(weir_task *t, uint64_t place)
{
    atom_store(&t->state, place, memory_order_relaxed); /* relaxed: the task is the owner's alone */
}

/* Owner, before it runs a forked task otherwise than by its join. */
static inline void state_take(weir_task *t)
{
    /* relaxed: the task is the owner's alone */
    if ((atom_load(&t->state, memory_order_relaxed) & STATE_TAKEN) == 0)
        atom_store(&t->state, STATE_FORKED | STATE_TAKEN, memory_order_relaxed);
}

/* Finisher of a forked task; the record may be gone on return. Returns the old word: whom to wake. */
static inline MUST_USE uint64_t state_finish_forked(weir_task *t)
{
    /* [TS1] release: the task's results before done; pairs with the acquire in state_is_done().
     * An addition, since the bit is clear: x86 returns its old value without a load first. */
    return atom_add(&t->state, STATE_DONE, memory_order_release);
}

static inline bool state_is_done(const weir_task *t)
{
    /* [TS1] acquire: pairs with state_finish_forked(). */
    return (atom_load(&t->state, memory_order_acquire) & STATE_DONE) != 0;
}

/* Joiner `worker` is about to sleep. Returns the old word: with STATE_DONE set there is nothing to wait for. */
static inline MUST_USE uint64_t state_begin_wait_forked(weir_task *t, uint32_t worker)
{
    /* An RMW on the word of the finisher's RMW: one of the two sees the other. */
    return state_take_with(t, STATE_WAITS | (uint64_t)(worker + 1) << STATE_WAITER_SHIFT);
}

/* The same for a scope's owner; nothing is left to wait for if no completion is owed in the old word. */
static inline MUST_USE uint64_t state_begin_wait_scope(weir_task *t, uint32_t worker)
{
    /* relaxed: as above; a waiter with nothing to wait for reads `owed` again, with an acquire */
    return atom_or(&t->state, STATE_WAITS | (uint64_t)(worker + 1) << STATE_WAITER_SHIFT, memory_order_relaxed);
}

/*
 * Pays n completions. Returns the old word; the payer of the last one (state_was_last) owns what follows.
 * Every payer releases what it did, and the last acquires it: they form one release sequence.
 */
static inline MUST_USE uint64_t state_pay(weir_task *t, uint32_t n)
{
    /* [TS2] acq_rel: the payers' work before the continuation; pairs with itself and with state_owed(). */
    return atom_sub(&t->state, (uint64_t)n << STATE_OWED_SHIFT, memory_order_acq_rel);
}

static inline bool state_was_last(uint64_t old, uint32_t n)
{
    return old >> STATE_OWED_SHIFT == n;
}

static inline uint32_t state_owed(const weir_task *t)
{
    /* [TS2] acquire: pairs with state_pay(). */
    return (uint32_t)(atom_load(&t->state, memory_order_acquire) >> STATE_OWED_SHIFT);
}

/* Adds n owed completions; the caller keeps the count above 0 meanwhile. */
static inline void state_owe(weir_task *t, uint32_t n)
{
    /* relaxed: the count can't reach 0, so nobody acts on it before a later state_pay() */
    atom_add(&t->state, (uint64_t)n << STATE_OWED_SHIFT, memory_order_relaxed);
}

/* Submitter, before the push: marks a task that is not queued. False: it is, and nothing changed. */
static inline MUST_USE bool state_set_queued(weir_task *t)
{
    /* relaxed: the submitter's alone until it is pushed; two threads that submit one task at once break that rule */
    uint64_t state = atom_load(&t->state, memory_order_relaxed);
    if ((state & STATE_QUEUED) != 0)
        return false;
    atom_store(&t->state, state | STATE_QUEUED, memory_order_relaxed);
    return true;
}

/* Who has taken the task, or failed to push it. */
static inline void state_clear_queued(weir_task *t)
{
    /* relaxed: the caller's alone */
    atom_store(&t->state, atom_load(&t->state, memory_order_relaxed) & ~STATE_QUEUED, memory_order_relaxed);
}

/* The half of the word that changes with every completion: what a thread sleeps on. */
static inline weir_atomic_u32 *state_owed_word(weir_task *t)
{
    return (weir_atomic_u32 *)(void *)&t->state + 1;
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "`owed` is the second half of a state word");

#endif
