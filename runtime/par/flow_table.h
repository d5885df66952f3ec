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

/* A task, for as long as its record is that task. */
struct flow_ref {
    struct flow_task *task;
    uint64_t serial;
};

struct flow_reader {
    struct flow_reader *next;
    struct flow_ref ref;
};

struct flow_entry {
    const void *address;
    struct flow_ref writer;      /* task NULL: none */
    struct flow_reader *readers; /* since the last writer */
    uint32_t n_readers;
    uint32_t prune_at;           /* readers at which those that have ended are dropped */
    bool used;
};

struct flow_table {
    struct flow_entry *entries; /* a power of two, at most half of them used */
    uint32_t capacity;
    uint32_t used;
    struct flow_reader *spare;  /* readers to be used again */
    uint32_t n_spare;
    struct reader_block *blocks;
};

/* Whether the task has not ended; if it has, all that it did is seen. */
static inline bool flow_ref_lives(struct flow_ref r)
{
    /* [DF1] acquire: the work of a task that has ended; pairs with flow_close(). */
    return r.task != NULL && r.task->serial == r.serial && atom_load(&r.task->after, memory_order_acquire) != FLOW_CLOSED;
}

/* 0 or -ENOMEM. */
int flow_table_init(struct flow_table *t) MUST_USE;
void flow_table_destroy(struct flow_table *t);
/* Room for n more addresses and readers. 0 or -ENOMEM. Entries may move. */
int flow_table_reserve(struct flow_table *t, uint32_t n) MUST_USE;
/* The entry of an address, made if it is not there; there is room. */
struct flow_entry *flow_table_find(struct flow_table *t, const void *address);
void flow_table_add_reader(struct flow_table *t, struct flow_entry *e, struct flow_ref r);
/* The new last writer; the readers before it are forgotten. */
void flow_table_set_writer(struct flow_table *t, struct flow_entry *e, struct flow_ref w);

#endif
