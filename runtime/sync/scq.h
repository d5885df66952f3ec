/* SPDX-License-Identifier: MIT
 *
 * scq.h - a lock-free FIFO ring of small indices, from which the injector is made.
 *
 * Threads: scq_put, scq_take, scq_depth, scq_close, scq_seal: any. scq_init: before the ring is shared.
 * Invariants:
 *  - Of `size` = 2n slots at most n hold an index: the user owns n distinct indices and puts each at most once.
 *  - A ticket is a value of head or tail; it belongs to one taker or putter and names one slot and one cycle
 *    (ticket / size). A slot's cycle never falls, and a slot that holds an index only changes by losing its safe bit or
 *    by being emptied by the taker of that ticket.
 *  - A ticket is resolved by its taker in one read-modify-write of the slot: it takes the index, or moves the empty
 *    slot to its own cycle, or clears the safe bit of an older index. After each of them the putter with the same
 *    ticket can't succeed any more and draws a new one. Nobody waits for anybody.
 *  - tail - head <= size - 1 for every ticket that holds an index. Therefore, counted from a put that saw or set
 *    `patience` to its full value, takers miss at most size - 1 new tickets, and the tickets that they held already
 *    (SCQ_PENDING_MAX), before they reach that index: patience below 0 means that nothing was there.
 *  - Once closed, no new ticket is usable: what can still change is the slots of older tickets. A sealed slot is later
 *    than every ticket and can't be filled; a ring whose slots are all sealed is empty for ever.
 * Source: Nikolaev, "A Scalable, Portable, and Memory-Efficient Lock-Free FIFO Queue", DISC 2019. The close bit follows
 * Morrison and Afek, "Fast Concurrent Queues for x86 Processors", PPoPP 2013. Here the threshold allows for any number
 * of threads, not only n, a taker looks for a put ticket before it draws one, and tickets may be drawn in batches.
 */
#ifndef WEIR_SCQ_H
#define WEIR_SCQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomics.h"
#include "base/compiler.h"
#include "base/util.h"

/*
 * A slot is one word:
 *
 *   63                    order+1   order   order-1      0
 *   +----------------------------+--------+---------------+
 *   | cycle                      |  safe  | index         |   index all ones: empty
 *   +----------------------------+--------+---------------+
 *
 * with size = 2^order slots. The word of all ones is a sealed slot. A tail has SCQ_CLOSED above the ticket.
 */
#define SCQ_CLOSED (UINT64_C(1) << 63)
#define SCQ_SEALED UINT64_MAX
#define SCQ_NONE UINT32_MAX
#define SCQ_BATCH 64u      /* tickets that one call draws at once, at most */
#define SCQ_LINE_SLOTS 3u  /* log2 of the slots in a cache line */

/* The tickets that takers can hold at one time: every thread that Linux can have (2^22), each with a full batch. */
#ifndef SCQ_PENDING_MAX
#define SCQ_PENDING_MAX ((int64_t)SCQ_BATCH << 22)
#endif

struct scq {
    /* Written by scq_init only. */
    weir_atomic_u64 *slots;
    uint32_t order;   /* log2 of the number of slots */
    uint32_t rotate;  /* neighbouring tickets are 2^rotate slots apart */
    int64_t patience_full;
    /* Takers add, everybody reads. */
    weir_atomic_u64 head ALIGNED(LINE_PAIR);
    /* Putters add, everybody reads. */
    weir_atomic_u64 tail ALIGNED(LINE_PAIR);
    /* Read by all, written only when a taker missed, so that it stays shared: signed, misses left until takers stop. */
    weir_atomic_u64 patience ALIGNED(LINE_PAIR);
};

/* --- helpers -------------------------------------------------------------------------------------------------- */

WEIR_INLINE uint64_t scq_mask(const struct scq *q)
{
    return (UINT64_C(1) << q->order) - 1;
}

WEIR_INLINE uint64_t scq_safe_bit(const struct scq *q)
{
    return UINT64_C(1) << q->order;
}

WEIR_INLINE uint64_t scq_word_cycle(const struct scq *q, uint64_t word)
{
    return word >> (q->order + 1);
}

WEIR_INLINE bool scq_word_empty(const struct scq *q, uint64_t word)
{
    return (word & scq_mask(q)) == scq_mask(q);
}

/* The word of a slot in a ticket's cycle. */
WEIR_INLINE uint64_t scq_word(const struct scq *q, uint64_t ticket, uint64_t safe, uint64_t index)
{
    return (ticket >> q->order) << (q->order + 1) | safe | index;
}

/* Spreads neighbouring tickets (or indices) over cache lines: a rotation of the low `order` bits. */
WEIR_INLINE uint64_t scq_spread(uint64_t i, uint32_t order, uint32_t rotate)
{
    uint64_t mask = (UINT64_C(1) << order) - 1;
    return ((i << rotate) | ((i & mask) >> (order - rotate))) & mask;
}

WEIR_INLINE weir_atomic_u64 *scq_slot(const struct scq *q, uint64_t ticket)
{
    return &q->slots[scq_spread(ticket, q->order, q->rotate)];
}

/* --- put ------------------------------------------------------------------------------------------------------ */

/* Puts `index` with one ticket. false: the ticket is of no use, draw another. */
WEIR_INLINE bool scq_put_at(struct scq *q, uint64_t ticket, uint32_t index)
{
    weir_atomic_u64 *slot = scq_slot(q, ticket);
    /* [IQ1] acquire: the slot before head; pairs with the release in scq_take_at(). [IQ6] and with scq_seal(). */
    uint64_t word = atom_load(slot, memory_order_acquire);
    for (;;) {
        if (scq_word_cycle(q, word) >= ticket >> q->order || !scq_word_empty(q, word))
            return false;
        /*
         * relaxed: if the taker of this very ticket has cleared the safe bit, [IQ1] shows its head here. Any other
         * value of head is as good: the taker still comes to the slot, and the two CAS exclude each other.
         */
        if (UNLIKELY(!(word & scq_safe_bit(q))) && atom_load(&q->head, memory_order_relaxed) > ticket)
            return false;
        uint64_t filled = scq_word(q, ticket, scq_safe_bit(q), index);
        /*
         * [IQ2] release: what the index stands for before the index; pairs with the acquire in scq_take_at().
         * [IQ4] seq_cst: the slot before patience (scq_put). Failure acquires for the same reasons as the load above.
         */
        if (LIKELY(atom_cas(slot, &word, filled, memory_order_seq_cst, memory_order_acquire)))
            return true;
    }
}

/*
 * Puts n indices (1 to SCQ_BATCH) in their order; concurrent puts may get in between. Returns n, or the length of the
 * prefix that was put before the ring was closed.
 */
WEIR_INLINE uint32_t scq_put(struct scq *q, const uint32_t *index, uint32_t n)
{
    uint32_t done = 0;
    while (done < n) {
        uint32_t drawn = n - done;
        /*
         * [IQ3] acq_rel: a putter sees a slot emptied if the index from it was put again with an earlier ticket; pairs
         * with itself. It bounds the tickets that are given up, hence tail - head.
         */
        uint64_t ticket = atom_add(&q->tail, drawn, memory_order_acq_rel);
        if (UNLIKELY(ticket & SCQ_CLOSED))
            break;
        for (uint32_t i = 0; i < drawn; i++)
            done += scq_put_at(q, ticket + i, index[done]);
    }
    /*
     * [IQ4] seq_cst: forbids that this reads an old full value after the slot was filled, while takers that missed it
     * wear patience down (store slot, load patience | add patience, load patience); pairs with the add in scq_take().
     */
    if (done > 0 && UNLIKELY((int64_t)atom_load(&q->patience, memory_order_seq_cst) != q->patience_full))
        atom_store(&q->patience, (uint64_t)q->patience_full, memory_order_seq_cst);
    return done;
}

/* --- take ----------------------------------------------------------------------------------------------------- */

/* Resolves one ticket: the index that was put with it, or SCQ_NONE, and then none will be. */
WEIR_INLINE uint32_t scq_take_at(struct scq *q, uint64_t ticket)
{
    weir_atomic_u64 *slot = scq_slot(q, ticket);
    uint64_t cycle = ticket >> q->order;
    /* [IQ2] acquire: pairs with the CAS in scq_put_at(). */
    uint64_t word = atom_load(slot, memory_order_acquire);
    for (;;) {
        if (LIKELY(scq_word_cycle(q, word) == cycle)) {
            /* relaxed: the index is ours since the ticket was drawn; an RMW carries the releases before it on. */
            atom_or(slot, scq_mask(q), memory_order_relaxed);
            return (uint32_t)(word & scq_mask(q));
        }
        if (scq_word_cycle(q, word) > cycle)
            return SCQ_NONE;
        uint64_t passed = scq_word_empty(q, word) ? scq_word(q, ticket, word & scq_safe_bit(q), scq_mask(q))
                                                  : word & ~scq_safe_bit(q);
        /*
         * [IQ1] release: head before the cleared safe bit, also where it is clear already: the putter of this ticket
         * must see that it is late; pairs with the acquire in scq_put_at(). Failure: [IQ2] acquire, a put was first.
         */
        if (atom_cas(slot, &word, passed, memory_order_release, memory_order_acquire))
            return SCQ_NONE;
    }
}

/* Takers have overrun the putters: lets the next putter draw a ticket that nobody has passed. */
static COLD void scq_catch_up(struct scq *q, uint64_t head)
{
    /*
     * relaxed, all: only the values count, and an RMW keeps the chain of [IQ3] whole. A closed ring needs no tickets.
     */
    uint64_t tail = atom_load(&q->tail, memory_order_relaxed);
    while (!(tail & SCQ_CLOSED) && tail < head &&
           !atom_cas(&q->tail, &tail, head, memory_order_relaxed, memory_order_relaxed))
        head = atom_load(&q->head, memory_order_relaxed);
}

/* Whether the slot of a ticket seems to hold its index: spares a taker the line of tail, which putters keep writing. */
WEIR_INLINE bool scq_is_filled(struct scq *q, uint64_t ticket)
{
    uint64_t word = atom_load(scq_slot(q, ticket), memory_order_relaxed); /* relaxed: a hint, scq_take_at() decides */
    return scq_word_cycle(q, word) == ticket >> q->order && !scq_word_empty(q, word);
}

/*
 * Takes up to n indices (1 to SCQ_BATCH) in their order. 0: the ring was empty at some moment of the call; every put
 * that happened before the call has its taker. On a closed ring a 0 also means that no ticket is left to be drawn.
 */
WEIR_INLINE uint32_t scq_take(struct scq *q, uint32_t *index, uint32_t n)
{
    for (;;) {
        /*
         * [IQ5] acquire: head before tail, so that tail is at least as new and the two were equal when tail was read;
         * pairs with the add below, by which the taker that moved head passes on what it knows of tail.
         */
        uint64_t head = atom_load(&q->head, memory_order_acquire);
        uint32_t drawn = 1;
        if (n > 1 || !scq_is_filled(q, head)) {
            /* relaxed: see [IQ5]; who must not miss a put has put a fence before the call. */
            uint64_t tail = atom_load(&q->tail, memory_order_relaxed);
            uint64_t there = (tail & ~SCQ_CLOSED) - head;
            if (head >= (tail & ~SCQ_CLOSED))
                return 0;
            /* A closed ring runs out of tickets, so patience has no part in it. [IQ4] seq_cst: pairs with scq_put(). */
            if (UNLIKELY((int64_t)atom_load(&q->patience, memory_order_seq_cst) < 0) && !(tail & SCQ_CLOSED))
                return 0;
            drawn = there < n ? (uint32_t)there : n;
        }
        /*
         * [IQ4] seq_cst: a taker that comes back after a miss draws its ticket after the miss was counted.
         * [IQ5] acq_rel: pairs with the load above and with itself.
         */
        uint64_t ticket = atom_add(&q->head, drawn, memory_order_seq_cst);
        uint32_t got = 0;
        for (uint32_t i = 0; i < drawn; i++) {
            uint32_t x = scq_take_at(q, ticket + i);
            index[got] = x;
            got += x != SCQ_NONE;
        }
        if (LIKELY(got == drawn))
            return got;
        scq_catch_up(q, ticket + drawn);
        if (got > 0)
            return got;
        atom_sub(&q->patience, (uint64_t)drawn, memory_order_seq_cst); /* [IQ4] pairs with the load in scq_put() */
    }
}

/* --- the rest ------------------------------------------------------------------------------------------------- */

/* Tickets put and not yet drawn: the number of indices, give or take what is on its way. Exact when nothing moves. */
WEIR_INLINE uint64_t scq_depth(struct scq *q)
{
    /* [IQ5] acquire: as in scq_take(); pairs with the add there. relaxed: likewise. */
    uint64_t head = atom_load(&q->head, memory_order_acquire);
    uint64_t tail = atom_load(&q->tail, memory_order_relaxed) & ~SCQ_CLOSED;
    return head < tail ? tail - head : 0;
}

/* From here on no put draws a usable ticket. */
WEIR_INLINE void scq_close(struct scq *q)
{
    /* relaxed: a putter learns it from the very word that it adds to. */
    atom_or(&q->tail, SCQ_CLOSED, memory_order_relaxed);
}

/* On a closed ring: whether it is empty for ever. Makes it so wherever no index is. Visits all slots. */
static inline bool scq_seal(struct scq *q)
{
    for (uint64_t i = 0; i <= scq_mask(q); i++) {
        /* relaxed: an old word is found out by the CAS, or only delays the answer. */
        uint64_t word = atom_load(&q->slots[i], memory_order_relaxed);
        while (word != SCQ_SEALED) {
            if (!scq_word_empty(q, word))
                return false;
            /*
             * [IQ6] release: the closed tail, which the caller has seen, before the seal: a putter that finds its slot
             * sealed draws a closed ticket next; pairs with the acquire in scq_put_at().
             */
            if (atom_cas(&q->slots[i], &word, SCQ_SEALED, memory_order_release, memory_order_relaxed))
                break;
        }
    }
    return true;
}

/* Bytes for the slots of a ring of `capacity` indices (a power of two from 1 to 2^31). */
WEIR_INLINE size_t scq_bytes(uint32_t capacity)
{
    return 2 * (size_t)capacity * sizeof(weir_atomic_u64);
}

/* Prepares a ring of 2 * capacity slots in `slots`; `full`: with the indices 0 to capacity - 1 in it, else empty. */
static inline void scq_init(struct scq *q, weir_atomic_u64 *slots, uint32_t capacity, bool full)
{
    uint64_t size = 2 * (uint64_t)capacity;
    q->slots = slots;
    q->order = (uint32_t)__builtin_ctzll(size);
    q->rotate = q->order > SCQ_LINE_SLOTS ? SCQ_LINE_SLOTS : 0;
    q->patience_full = (int64_t)size - 1 + SCQ_PENDING_MAX;
    /* Neighbouring payloads, two of which make four slots, are kept apart by the order in which they are handed out. */
    uint32_t spread = q->order > SCQ_LINE_SLOTS + 1 ? SCQ_LINE_SLOTS - 1 : 0;
    /* relaxed, all of them: the ring is not shared yet. The first cycle is 1; empty slots start in cycle 0. */
    for (uint64_t i = 0; i < size; i++) {
        uint64_t index = scq_spread(i, q->order - 1, spread);
        uint64_t word = full && i < capacity ? scq_word(q, size, scq_safe_bit(q), index)
                                             : scq_word(q, 0, scq_safe_bit(q), scq_mask(q));
        atom_store(scq_slot(q, i), word, memory_order_relaxed);
    }
    atom_store(&q->head, size, memory_order_relaxed);
    atom_store(&q->tail, size + (full ? capacity : 0), memory_order_relaxed);
    atom_store(&q->patience, (uint64_t)q->patience_full, memory_order_relaxed);
}

#endif
