/* SPDX-License-Identifier: MIT
 *
 * flow_table.h - which tasks of a flow use an address: the last writer, and the readers since.
 *
 * Threads: the producer only; a task that ends closes its list (dataflow.c), which is how the table sees it.
 * Invariants: entries and readers whose tasks have ended are dropped before the table grows, so its size is bounded by the
 * live tasks: at most twice what they use.
 */
#ifndef WEIR_FLOW_TABLE_H
#define WEIR_FLOW_TABLE_H

#include "par/dataflow.h"

/*
 * A task, for as long as its record is that task; 0: none.
 *  63     24 23      0
 * | serial  | record  |
 * A serial number comes again after 2^40 tasks. Should its record hold just that task then, a new task is ordered behind an
 * older one without need: no harm.
 */
typedef uint64_t flow_ref;
#define REF_RECORD_BITS 24
static_assert(WEIR_FLOW_LIVE_MAX == 1u << REF_RECORD_BITS, "a record's number fits");

struct flow_reader {
    struct flow_reader *next;
    flow_ref ref;
};

struct flow_entry {
    const void *address;
    flow_ref writer;
    struct flow_reader *readers; /* since the last writer */
    uint32_t n_readers;
    uint32_t prune_at;           /* readers at which those that have ended are dropped; 0: the entry is free */
};
static_assert(sizeof(struct flow_entry) == 32, "two entries are a cache line");

struct flow_table {
    struct flow_entry *entries; /* a power of two, at most three quarters of them used */
    struct flow_task *records;  /* the flow's */
    uint32_t capacity;
    uint32_t used;
    struct flow_reader *spare;  /* readers to be used again */
    uint32_t n_spare;
    struct reader_block *blocks;
};

static inline flow_ref flow_ref_to(const struct flow_table *t, const struct flow_task *task)
{
    return task->serial << REF_RECORD_BITS | (uint64_t)(task - t->records);
}

/* The task, if it has not ended; if it has, all that it did is seen. */
static inline struct flow_task *flow_ref_task(const struct flow_table *t, flow_ref r)
{
    struct flow_task *task = &t->records[r & ((1u << REF_RECORD_BITS) - 1)];
    if (r == 0 || (task->serial ^ r >> REF_RECORD_BITS) << REF_RECORD_BITS != 0)
        return NULL;
    /* [DF1] acquire: the work of a task that has ended; pairs with flow_close(). */
    return atom_load(&task->after, memory_order_acquire) != FLOW_CLOSED ? task : NULL;
}

/* 0 or -ENOMEM. */
int flow_table_init(struct flow_table *t, struct flow_task *records) MUST_USE;
void flow_table_destroy(struct flow_table *t);
/* Room for n more addresses and readers. 0 or -ENOMEM. Entries may move; until the next call they don't. */
int flow_table_reserve(struct flow_table *t, uint32_t n) MUST_USE;
/* The entry of an address, made if it is not there; there is room. */
struct flow_entry *flow_table_find(struct flow_table *t, const void *address);
void flow_table_add_reader(struct flow_table *t, struct flow_entry *e, flow_ref r);
/* The new last writer; the readers before it are forgotten. */
void flow_table_set_writer(struct flow_table *t, struct flow_entry *e, flow_ref w);

#endif
