/* SPDX-License-Identifier: MIT
 *
 * injector.c - entries and their way through the two rings of the injector.
 *
 * Threads, Invariants, Source: see injector.h. The rings themselves, and all orderings that matter, are in scq.h: an
 * entry is handed on with its index, by the release of scq_put and the acquire of scq_take ([IQ2]).
 */
#include "sync/injector.h"

#include <errno.h>

#include "os/os.h"

/* relaxed, both: the index makes us the owner of the entry, [IQ2] has ordered it behind the owner before us. */
static inline void entry_write(struct injector *q, uint32_t index, weir_task *t, uint64_t stamp)
{
    atom_store(&q->entries[index].task, t, memory_order_relaxed);
    atom_store(&q->entries[index].stamp, stamp, memory_order_relaxed);
}

static inline weir_task *entry_task(struct injector *q, uint32_t index)
{
    return atom_load(&q->entries[index].task, memory_order_relaxed); /* relaxed: as in entry_write */
}

static inline uint32_t chunk(size_t left)
{
    return left < SCQ_BATCH ? (uint32_t)left : SCQ_BATCH;
}

/* Gives indices back; `free` is never closed, so all are taken. */
static inline void give_back(struct injector *q, const uint32_t *index, uint32_t n)
{
    scq_put(&q->free, index, n);
}

/* --- producers ------------------------------------------------------------------------------------------------ */

enum inject_result injector_push(struct injector *q, weir_task *t, uint64_t stamp)
{
    uint32_t index;
    /* relaxed: a short cut, full.tail decides. */
    if (UNLIKELY(atom_load(&q->closed, memory_order_relaxed)))
        return INJECT_CLOSED;
    if (UNLIKELY(scq_take(&q->free, &index, 1) == 0))
        return INJECT_FULL;
    entry_write(q, index, t, stamp);
    if (LIKELY(scq_put(&q->full, &index, 1) == 1))
        return INJECT_OK; /* the task may have run and be gone by now */
    give_back(q, &index, 1);
    return INJECT_CLOSED;
}

size_t injector_push_batch(struct injector *q, weir_task *const *tasks, size_t n, uint64_t stamp,
                           enum inject_result *why)
{
    uint32_t index[SCQ_BATCH];
    enum inject_result reason = INJECT_OK;
    size_t done = 0;
    while (done < n && reason == INJECT_OK) {
        uint32_t got = 0;
        /* relaxed: as in injector_push. */
        if (UNLIKELY(atom_load(&q->closed, memory_order_relaxed)))
            reason = INJECT_CLOSED;
        else if ((got = scq_take(&q->free, index, chunk(n - done))) == 0)
            reason = INJECT_FULL;
        for (uint32_t i = 0; i < got; i++)
            entry_write(q, index[i], tasks[done + i], stamp);
        uint32_t put = got > 0 ? scq_put(&q->full, index, got) : 0;
        done += put; /* these tasks may have run and be gone by now */
        if (UNLIKELY(put < got)) {
            give_back(q, index + put, got - put);
            reason = INJECT_CLOSED;
        }
    }
    if (why)
        *why = reason;
    return done;
}

/* --- consumers ------------------------------------------------------------------------------------------------ */

weir_task *injector_pop(struct injector *q, uint64_t *stamp)
{
    uint32_t index;
    if (scq_take(&q->full, &index, 1) == 0)
        return NULL;
    weir_task *t = entry_task(q, index);
    if (stamp)
        *stamp = atom_load(&q->entries[index].stamp, memory_order_relaxed); /* relaxed: as in entry_write */
    give_back(q, &index, 1);
    return t;
}

size_t injector_pop_batch(struct injector *q, weir_task **out, size_t n)
{
    uint32_t index[SCQ_BATCH];
    size_t done = 0;
    while (done < n) {
        uint32_t want = chunk(n - done);
        uint32_t got = scq_take(&q->full, index, want);
        if (got == 0)
            break;
        for (uint32_t i = 0; i < got; i++)
            out[done + i] = entry_task(q, index[i]);
        give_back(q, index, got);
        done += got;
        if (got < want)
            break;
    }
    return done;
}

/* --- lifecycle ------------------------------------------------------------------------------------------------ */

void injector_close(struct injector *q)
{
    scq_close(&q->full);
    atom_store(&q->closed, 1, memory_order_relaxed); /* relaxed: see injector_push */
}

bool injector_drained(struct injector *q)
{
    /*
     * [IQ7] acquire: who is told that the queue is drained sees it closed, too; pairs with the store below.
     */
    if (atom_load(&q->drained, memory_order_acquire))
        return true;
    /* relaxed: [IQ6] needs no more than that this thread has seen the closed tail itself. */
    if (!(atom_load(&q->full.tail, memory_order_relaxed) & SCQ_CLOSED) || !scq_seal(&q->full))
        return false;
    atom_store(&q->drained, 1, memory_order_release); /* [IQ7] release: pairs with the load above */
    return true;
}

static size_t round_up(size_t n)
{
    return (n + LINE_PAIR - 1) & ~(size_t)(LINE_PAIR - 1);
}

int injector_init(struct injector *q, uint32_t capacity)
{
    size_t ring = round_up(scq_bytes(capacity));
    size_t bytes = 2 * ring + round_up(capacity * sizeof(struct injector_entry));
    char *block = os_alloc(bytes, LINE_PAIR);
    weir_assert(capacity > 0 && (capacity & (capacity - 1)) == 0);
    if (!block)
        return -ENOMEM;
    q->bytes = bytes;
    q->capacity = capacity;
    q->entries = (struct injector_entry *)(void *)(block + 2 * ring);
    scq_init(&q->full, (weir_atomic_u64 *)(void *)block, capacity, false);
    scq_init(&q->free, (weir_atomic_u64 *)(void *)(block + ring), capacity, true);
    /* relaxed: not shared yet */
    atom_store(&q->closed, 0, memory_order_relaxed);
    atom_store(&q->drained, 0, memory_order_relaxed);
    return 0;
}

void injector_destroy(struct injector *q)
{
    os_free(q->full.slots, q->bytes);
    q->full.slots = NULL;
}
