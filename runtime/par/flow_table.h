/* SPDX-License-Identifier: MIT
 *
 * flow_table.h - which tasks of a flow use an address: the last writer, and the readers since.
 *
 * Threads: the producer only.
 * Invariants: entries and readers whose tasks' records are other tasks by now are dropped before the table grows, so
 * its size is bounded by the records: at most twice what they use.
 */
#ifndef WEIR_FLOW_TABLE_H
#define WEIR_FLOW_TABLE_H

#include "par/dataflow.h"

/*
 * A task, for as long as its record is that task; 0: none.
 *  39         24 23      0
 * | generation  | record  |
 * A generation comes again after 65,535 tasks of the record. Who then still has the old reference is ordered behind a
 * task that was added before it, without need: no harm, and no cycle.
 */
typedef uint64_t flow_ref;
#define REF_RECORD_BITS 24
#define REF_BITS 40
#define REF_MASK ((UINT64_C(1) << REF_BITS) - 1)
static_assert(WEIR_FLOW_LIVE_MAX == 1u << REF_RECORD_BITS, "a record's number fits");

struct flow_reader {
    struct flow_reader *next;
    uint64_t word; /* the task's reference; above it, how many readers may be added until ended ones are dropped */
};

struct flow_entry {
    const void *address;
    uint64_t writer;             /* reference; ENTRY_USED and ENTRY_ROUND above it; 0: the entry is free */
    struct flow_reader *readers; /* since the last writer */
};
#define ENTRY_USED (UINT64_C(1) << REF_BITS)
#define ENTRY_ROUND (ENTRY_USED << 1) /* as the table's, or its place is that of before a rehash */

struct flow_table {
    struct flow_entry *entries; /* at most three quarters of them used */
    struct flow_task *records;  /* the flow's */
    uint16_t *generations;      /* which task each of them is, now; 0: none yet */
    uint32_t live;              /* records */
    uint64_t round;             /* 0 or ENTRY_ROUND: changes with each rehash */
    uint32_t capacity;
    uint32_t used;
    struct flow_reader *spare;  /* readers to be used again */
    uint32_t n_spare;
    struct reader_block *blocks;
};

static inline flow_ref flow_ref_to(const struct flow_table *t, const struct flow_task *task)
{
    size_t record = (size_t)(task - t->records);
    return (flow_ref)t->generations[record] << REF_RECORD_BITS | record;
}

static inline uint32_t flow_ref_record(uint64_t word)
{
    return (uint32_t)word & ((1u << REF_RECORD_BITS) - 1);
}

/* Whether the record is still the task that a word of an entry or a reader refers to. If not, all that the task did is
 * seen: its record came back through [DF3], or it ran here. */
static inline bool flow_ref_is_current(const struct flow_table *t, uint64_t word)
{
    uint64_t ref = word & REF_MASK;
    return ref != 0 && t->generations[flow_ref_record(ref)] == ref >> REF_RECORD_BITS;
}

/* The task, if it has not ended; if it has, all that it did is seen. */
static inline struct flow_task *flow_ref_task(const struct flow_table *t, uint64_t word)
{
    struct flow_task *task = &t->records[flow_ref_record(word)];
    if (!flow_ref_is_current(t, word))
        return NULL;
    /* [DF1] acquire: the work of a task that has ended; pairs with flow_close(). */
    return (atom_load(&task->after, memory_order_acquire) & LINK_CLOSED) == 0 ? task : NULL;
}

/* 0 or -ENOMEM. */
int flow_table_init(struct flow_table *t, struct flow_task *records, uint32_t live) MUST_USE;
void flow_table_destroy(struct flow_table *t);
/* A record becomes another task. */
static inline void flow_table_renew(struct flow_table *t, const struct flow_task *task)
{
    uint16_t *generation = &t->generations[task - t->records];
    *generation = (uint16_t)(*generation == UINT16_MAX ? 1 : *generation + 1);
}
/* Room for n more addresses and readers. 0 or -ENOMEM. Entries may move; until the next call they don't. */
int flow_table_reserve(struct flow_table *t, uint32_t n) MUST_USE;
/* The entry of an address, made if it is not there; there is room. */
struct flow_entry *flow_table_find(struct flow_table *t, const void *address);
/* The same if it is there, else NULL. */
struct flow_entry *flow_table_seek(const struct flow_table *t, const void *address);
void flow_table_add_reader(struct flow_table *t, struct flow_entry *e, flow_ref r);
void flow_table_drop_readers(struct flow_table *t, struct flow_entry *e);
/* The new last writer; the readers before it are forgotten. */
void flow_table_set_writer(struct flow_table *t, struct flow_entry *e, flow_ref w);

#endif
