/* SPDX-License-Identifier: MIT
 *
 * weir/fork.h - fork/join with tasks in the caller's frame: the inlined fast paths.
 *
 * Threads: all functions are called on the worker `w` itself.
 * Invariants: forks and joins nest: a frame joins all that it forked, newest first, before it returns.
 * Source: a split deque, after Le et al. (PPoPP 2013) and Lace (van Dijk, van de Pol 2014); the protocol is explained
 * in docs/deque.md. Neither path executes an atomic read-modify-write or a fence.
 */
#ifndef WEIR_FORK_H
#define WEIR_FORK_H

#include <weir/fork_register.h>
#include <weir/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * One place in a deque: a task's address, with WEIR_SLOT_FORKED added for a forked one. Atomic: a thief may read it
 * while the owner writes it; top's CAS then rejects what it read.
 */
typedef struct weir_slot { uintptr_t v; } weir_slot;
#define WEIR_SLOT_FORKED 1u
typedef struct weir_atomic_slotp { weir_slot *v; } weir_atomic_slotp;

#define WEIR_LINE_PAIR 128u /* bytes: two cache lines, what the adjacent-line prefetcher moves together */

/* The end of a deque that its owner works on. Positions are slot addresses; they use the low 48 bits. */
typedef struct weir_deque_end {
    /* owner writes; a starving thief reads */
    weir_atomic_u64 bottom; /* position of the next free slot, with WEIR_TASK_FORKED added */
    char pad0[WEIR_LINE_PAIR - sizeof(weir_atomic_u64)];
    /* owner reads at each join, thieves at each steal; owner and thieves write, rarely */
    weir_atomic_u64 split;   /* thieves may take below this position; a mark above bit 48 sends the owner's pop slow */
    char pad1[WEIR_LINE_PAIR - sizeof(weir_atomic_u64)];
    /* owner reads at each push; thieves when they are hungry, to poison it; the owner writes when it is, or is full */
    weir_atomic_slotp limit; /* a push at or above this position goes slow; below all: always (poisoned) */
    char pad2[WEIR_LINE_PAIR - sizeof(weir_atomic_slotp)];
} weir_deque_end;

/* The part of a worker that the inlined paths need; the rest is private to the library. */
struct weir_worker {
    weir_deque_end end;
    weir_atomic_u64 spawned; /* owner writes: tasks spawned (not forked) by this worker */
};

/* Flags of the state word (runtime/task/state.h) that the inlined paths set. */
#define WEIR_TASK_FORKED UINT64_C(1)          /* a join will wait for this task */
#define WEIR_TASK_SCOPED (UINT64_C(1) << 6)   /* `then` is the end of a scope */

/* What weir_unfork found; a negative value is an error. */
enum weir_unfork_result {
    WEIR_UNFORK_DONE = 0, /* another worker ran the task; its results are in place */
    WEIR_UNFORK_MINE = 1  /* nobody took it: the caller runs it, as a plain call */
};

WEIR_API void weir_push_slow(weir_worker *w);
WEIR_API int weir_unfork_slow(weir_worker *w, weir_task *t);
WEIR_API int weir_unfork_shared(weir_worker *w, weir_task *t);
WEIR_API void weir_run_chain(weir_worker *w, weir_task *t);

#if WEIR_GUESSES
/* The worker's bottom. */
WEIR_INLINE uint64_t weir_bottom(const weir_worker *w)
{
    uint64_t guess = weir_guess, same = guess;
    __asm__("" : "+r"(same)); /* else the compiler goes on with the loaded value, known to be equal */
    if (WEIR_UNLIKELY(same != WEIR_ATOMIC_LOAD(&w->end.bottom, __ATOMIC_RELAXED))) { /* relaxed, both: own word */
        guess = WEIR_ATOMIC_LOAD(&w->end.bottom, __ATOMIC_RELAXED);
        __asm__("" : "+r"(guess)); /* else a conditional move takes the place of the branch, and waits for the load */
    }
    return guess;
}

/* Whether the forked task `t` is the newest one and knows its place (and the guess is right): then `b` is bottom. */
WEIR_INLINE bool weir_is_newest(const weir_worker *w, const weir_task *t, uint64_t *b)
{
    uint64_t guess = weir_guess;
    *b = guess;
    uint64_t bottom = WEIR_ATOMIC_LOAD(&w->end.bottom, __ATOMIC_RELAXED); /* own word */
    /* relaxed: own frame. A thief or a move of the deque rewrites it: then, or with tasks above it, bottom differs. */
    uint64_t state = WEIR_ATOMIC_LOAD(&t->state, __ATOMIC_RELAXED);
    return ((bottom ^ guess) | (state ^ guess)) == 0;
}

WEIR_INLINE void weir_guess_bottom(uint64_t bottom)
{
    weir_guess = bottom;
}
#else
WEIR_INLINE uint64_t weir_bottom(const weir_worker *w)
{
    return WEIR_ATOMIC_LOAD(&w->end.bottom, __ATOMIC_RELAXED); /* own word */
}

WEIR_INLINE bool weir_is_newest(const weir_worker *w, const weir_task *t, uint64_t *b)
{
    *b = WEIR_ATOMIC_LOAD(&t->state, __ATOMIC_RELAXED); /* relaxed: as above */
    return weir_bottom(w) == *b;
}

WEIR_INLINE void weir_guess_bottom(uint64_t bottom)
{
    (void)bottom;
}
#endif

/* Puts a task, tagged as a slot has it, into the slot at `b`, the bottom of the worker's deque. */
WEIR_INLINE void weir_push_at(weir_worker *w, uintptr_t t, uint64_t b)
{
    /* relaxed: published by bottom */
    WEIR_ATOMIC_STORE((weir_slot *)(uintptr_t)(b - WEIR_TASK_FORKED), t, __ATOMIC_RELAXED);
    weir_guess_bottom(b + sizeof(weir_slot));
    /* [DQ1] release: slot and task before bottom; pairs with the acquire of bottom in deque_force(). */
    WEIR_ATOMIC_STORE(&w->end.bottom, b + sizeof(weir_slot), __ATOMIC_RELEASE);
    /* [DQ2] light: bottom before limit; pairs with the heavy fence in deque_force() and last_look(). */
    WEIR_ATOMIC_LIGHT();
    /* relaxed: limit carries no data; whoever poisons it sweeps the deque after its heavy fence. */
    if (WEIR_UNLIKELY(WEIR_ATOMIC_REACHED(&w->end.limit, b)))
        weir_push_slow(w);
}

WEIR_INLINE void weir_push(weir_worker *w, weir_task *t)
{
    weir_push_at(w, (uintptr_t)t, weir_bottom(w));
}

/*
 * Forks a task that lives in the caller's frame: another worker may take it until the caller joins it.
 * t->run is set by the caller; nothing else need be. `then` is ignored. Never fails: when the deque is full
 * (weir_spawn), the task runs at once.
 */
WEIR_INLINE void weir_fork(weir_worker *w, weir_task *t)
{
    uint64_t b = weir_bottom(w);
    /* relaxed: not yet shared, published by the push. The join compares this bottom with the one that it finds. */
    WEIR_ATOMIC_STORE(&t->state, b + sizeof(weir_slot), __ATOMIC_RELAXED);
    weir_push_at(w, (uintptr_t)t + WEIR_SLOT_FORKED, b);
}

/*
 * Ends a fork, for callers that run a task not stolen themselves, as a direct call that the compiler may inline:
 *     if (weir_unfork(w, &a.task) == WEIR_UNFORK_MINE) a.result = f(w, a.arg);
 * Otherwise it returns when the task's results are in place (WEIR_UNFORK_DONE). Meanwhile the worker runs only tasks
 * that this frame has spawned since the fork or that the awaited task has made, detached ones (weir_spawn) included: a
 * lock held across the join must not be taken by those. -EINVAL: `t` was never forked.
 */
WEIR_INLINE int weir_unfork(weir_worker *w, weir_task *t)
{
    uint64_t b;
    if (WEIR_UNLIKELY(!weir_is_newest(w, t, &b)))
        return weir_unfork_slow(w, t);
    b -= sizeof(weir_slot);
    weir_guess_bottom(b);
    /* [DQ3] release: a thief that reads this bottom sees what was done before; pairs with deque_force(). */
    WEIR_ATOMIC_STORE(&w->end.bottom, b, __ATOMIC_RELEASE);
    /* [DQ4] light: bottom before split; pairs with the heavy fence in deque_force(). */
    WEIR_ATOMIC_LIGHT();
    /* relaxed: at or above an unmarked split the slot is the owner's alone. */
    if (WEIR_LIKELY(WEIR_ATOMIC_REACHED(&w->end.split, b)))
        return WEIR_UNFORK_MINE;
    return weir_unfork_shared(w, t);
}

/*
 * Joins a forked task: runs it here if nobody took it, else waits for it as weir_unfork does.
 * Returns 0, or -EINVAL when `t` was never forked.
 */
WEIR_INLINE int weir_join(weir_worker *w, weir_task *t)
{
    int r = weir_unfork(w, t);
    if (WEIR_UNLIKELY(r != WEIR_UNFORK_MINE))
        return r;
    weir_task *next = t->run(w, t);
    if (WEIR_UNLIKELY(next != NULL))
        weir_run_chain(w, next);
    return 0;
}

/*
 * Makes a ready task runnable: it is pushed on the worker's own deque, from where thieves may take it. Never blocks
 * and never fails: when as many tasks wait there as may (weir_config's deque_limit), or there is no memory for more,
 * the task runs at once, inside this call: hold no lock here that it takes.
 */
WEIR_INLINE void weir_spawn(weir_worker *w, weir_task *t)
{
    /* relaxed: a statistics cell with one writer */
    WEIR_ATOMIC_STORE(&w->spawned, WEIR_ATOMIC_LOAD(&w->spawned, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
    weir_push(w, t);
}

/*
 * Spawns `t` as part of the scope. Called by the scope's owner, or by any task that is part of it, on worker `w`.
 * The scope takes over t->then. Skipped, if the scope is cancelled before it begins, without its `run` being called.
 */
WEIR_INLINE void weir_scope_spawn(weir_worker *w, weir_scope *s, weir_task *t)
{
    if (WEIR_LIKELY(s->owner == w && !s->closed)) {
        t->then = &s->done;
        /* relaxed: the task is not shared yet */
        WEIR_ATOMIC_STORE(&t->state, WEIR_ATOMIC_LOAD(&t->state, __ATOMIC_RELAXED) | WEIR_TASK_SCOPED,
                          __ATOMIC_RELAXED);
        s->local++;
    } else {
        weir_scope_add(s, t);
    }
    weir_spawn(w, t);
}

/*
 * Typed fork/join for a function `R name(weir_worker *w, A1 a1, ...)` with one to four arguments, declared before:
 *     long fib(weir_worker *w, int n);
 *     WEIR_FORKABLE(fib, long, int)
 * defines `struct fib_task` (put it in the caller's frame), `fib_fork(w, &t, n)` and `long fib_join(w, &t)`.
 */
#define WEIR_FORKABLE(name, R, ...) \
    WEIR_FORKABLE_PICK_(__VA_ARGS__, WEIR_FORKABLE4_, WEIR_FORKABLE3_, WEIR_FORKABLE2_, WEIR_FORKABLE1_, ) \
    (name, R, __VA_ARGS__)
#define WEIR_FORKABLE_PICK_(a1, a2, a3, a4, pick, ...) pick

#define WEIR_FORKABLE1_(name, R, A1) \
    WEIR_FORKABLE_(name, R, (A1 a1;), (, A1 a1), (t->a1 = a1;), (, t->a1))
#define WEIR_FORKABLE2_(name, R, A1, A2) \
    WEIR_FORKABLE_(name, R, (A1 a1; A2 a2;), (, A1 a1, A2 a2), (t->a1 = a1; t->a2 = a2;), (, t->a1, t->a2))
#define WEIR_FORKABLE3_(name, R, A1, A2, A3) \
    WEIR_FORKABLE_(name, R, (A1 a1; A2 a2; A3 a3;), (, A1 a1, A2 a2, A3 a3), \
                   (t->a1 = a1; t->a2 = a2; t->a3 = a3;), (, t->a1, t->a2, t->a3))
#define WEIR_FORKABLE4_(name, R, A1, A2, A3, A4) \
    WEIR_FORKABLE_(name, R, (A1 a1; A2 a2; A3 a3; A4 a4;), (, A1 a1, A2 a2, A3 a3, A4 a4), \
                   (t->a1 = a1; t->a2 = a2; t->a3 = a3; t->a4 = a4;), (, t->a1, t->a2, t->a3, t->a4))

#define WEIR_UNWRAP_(...) __VA_ARGS__
#define WEIR_FORKABLE_(name, R, fields, params, sets, args) \
    struct name##_task { \
        weir_task task; \
        R result; \
        WEIR_UNWRAP_ fields \
    }; \
    static weir_task *name##_run(weir_worker *w, weir_task *self) \
    { \
        struct name##_task *t = (struct name##_task *)self; \
        t->result = name(w WEIR_UNWRAP_ args); \
        return NULL; \
    } \
    WEIR_INLINE void name##_fork(weir_worker *w, struct name##_task *t WEIR_UNWRAP_ params) \
    { \
        t->task.run = name##_run; \
        WEIR_UNWRAP_ sets \
        weir_fork(w, &t->task); \
    } \
    WEIR_INLINE R name##_join(weir_worker *w, struct name##_task *t) \
    { \
        if (WEIR_LIKELY(weir_unfork(w, &t->task) == WEIR_UNFORK_MINE)) \
            return name(w WEIR_UNWRAP_ args); \
        return t->result; \
    } \
    struct name##_task

#ifdef __cplusplus
}
#endif

#endif
