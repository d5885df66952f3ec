/* SPDX-License-Identifier: MIT
 *
 * injector.h - the bounded queue through which work comes in from outside: many producers, many consumers.
 *
 * Strictly lock-free: a producer or consumer that is stopped at any instruction stops nobody else; what it has in its
 * hands meanwhile (an entry, or the room of one; up to SCQ_BATCH of them in a batch call) is missing, no more.
 *
 * Threads: push, pop, depth, is_empty, close, drained: any thread. init and destroy: while nobody else uses it.
 * Invariants:
 *  - An index below `capacity` is in exactly one place: in `free`, in `full`, or in the hands of one call. Who has it
 *    in hand owns entries[index].
 *  - First in, first out, in the order of the tickets that pushes draw from full.tail.
 *  - Once closed, an entry can appear only by a push that drew its ticket before; once drained, none can appear.
 * Source: Nikolaev, DISC 2019 (scq.h): two rings of indices and an array.
 */
#ifndef WEIR_INJECTOR_H
#define WEIR_INJECTOR_H

#include <weir/task.h>

#include "sync/scq.h"

struct injector_entry {
    weir_atomic_ptr task;  /* weir_task *; owner of the index */
    weir_atomic_u64 stamp; /* submit time in ns; owner of the index */
};

/* Aligned to LINE_PAIR: whoever embeds it allocates accordingly. */
struct injector {
    /* Written by init; `closed` and `drained` change once, from 0 to 1. */
    struct injector_entry *entries ALIGNED(LINE_PAIR);
    size_t bytes;            /* of the one block that holds the slots and the entries */
    uint32_t capacity;
    weir_atomic_u32 closed;  /* closers write, pushes read: saves late pushes the way to the ring */
    weir_atomic_u32 drained; /* injector_drained() has found it so */
    struct scq free;         /* indices that a push may use; never closed */
    struct scq full;         /* indices of entries, first in, first out */
};

enum inject_result { INJECT_OK, INJECT_FULL, INJECT_CLOSED };

/* capacity: a power of two from 1 to 2^31. 0 or -ENOMEM. */
int injector_init(struct injector *q, uint32_t capacity) MUST_USE;
/* Entries that are still in it are forgotten. */
void injector_destroy(struct injector *q);

/* stamp: submit time in ns, kept with the task. INJECT_FULL counts what is in the hands of other calls as present. */
enum inject_result injector_push(struct injector *q, weir_task *t, uint64_t stamp) MUST_USE;
/*
 * Pushes tasks[0] to tasks[n - 1] in that order; pushes of other threads may come in between. Returns how many were
 * accepted: always a prefix. *why (may be NULL): INJECT_OK when all n were, else the reason why the next was not.
 */
size_t injector_push_batch(struct injector *q, weir_task *const *tasks, size_t n, uint64_t stamp,
                           enum inject_result *why) MUST_USE;

/* The oldest task, and its stamp in *stamp (may be NULL); NULL if the queue is empty. */
weir_task *injector_pop(struct injector *q, uint64_t *stamp) MUST_USE;
/* Up to n of the oldest tasks, in order. Fewer than n does not mean that the queue is empty; 0 does. */
size_t injector_pop_batch(struct injector *q, weir_task **out, size_t n) MUST_USE;

/* How many entries there are, about: between 0 and the capacity, exact while nobody pushes or pops. */
static inline uint64_t injector_depth(struct injector *q)
{
    uint64_t depth = scq_depth(&q->full);
    return depth < q->capacity ? depth : q->capacity;
}

/*
 * Never says true while an entry is there that was pushed before the call (it happened before, or a seq_cst fence
 * follows the push and another one precedes the call) and that no pop, finished or under way, has got or will get. May
 * say false on behalf of a push that is under way, or that was refused by the close; the next pop clears that up.
 */
static inline bool injector_is_empty(struct injector *q)
{
    return scq_depth(&q->full) == 0;
}

/* Pushes get INJECT_CLOSED from here on, except those that have drawn their ticket already. Idempotent. */
void injector_close(struct injector *q);
/*
 * True only if the queue is closed, no entry is in it, and no push that is under way can succeed any more; it then
 * stays true. Pops that have left the ring may not have returned yet. false after close: pop and ask again.
 * Visits every slot until it is true once: for the shutdown path, when pops find nothing.
 */
bool injector_drained(struct injector *q);

#endif
