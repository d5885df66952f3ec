/* SPDX-License-Identifier: MIT
 *
 * flow_table.c - an open-addressing table of addresses: see flow_table.h.
 *
 * Threads and invariants: see flow_table.h. Source: Fibonacci hashing, linear probing (Knuth, TAOCP 3, 6.4).
 */
#include "par/flow_table.h"

#include <errno.h>

#define FIRST_CAPACITY 1024u /* entries: 32 KiB */
#define READERS_KEPT 8u    /* readers of one address before the first look for ended ones */
#define BLOCK_READERS 255u /* readers allocated at once: 4 KiB */

struct reader_block {
    struct reader_block *next;
    struct flow_reader readers[BLOCK_READERS];
};

int flow_table_init(struct flow_table *t, struct flow_task *records)
{
    t->records = records;
    t->entries = os_alloc(FIRST_CAPACITY * sizeof *t->entries, CACHE_LINE);
    if (t->entries == NULL)
        return -ENOMEM;
    t->capacity = FIRST_CAPACITY;
    return 0;
}

void flow_table_destroy(struct flow_table *t)
{
    os_free(t->entries, t->capacity * sizeof *t->entries);
    while (t->blocks != NULL) {
        struct reader_block *next = t->blocks->next;
        os_free(t->blocks, sizeof *t->blocks);
        t->blocks = next;
    }
}

/* --- readers -------------------------------------------------------------------------------------------------- */

static void reader_free(struct flow_table *t, struct flow_reader *r)
{
    r->next = t->spare;
    t->spare = r;
    t->n_spare++;
}

static int reserve_readers(struct flow_table *t, uint32_t n)
{
    while (t->n_spare < n) {
        struct reader_block *block = os_alloc(sizeof *block, CACHE_LINE);
        if (block == NULL)
            return -ENOMEM;
        block->next = t->blocks;
        t->blocks = block;
        for (uint32_t i = 0; i < BLOCK_READERS; i++)
            reader_free(t, &block->readers[i]);
    }
    return 0;
}

/* Drops readers that have ended. */
static void prune(struct flow_table *t, struct flow_entry *e)
{
    struct flow_reader **link = &e->readers;
    while (*link != NULL) {
        struct flow_reader *r = *link;
        if (flow_ref_task(t, r->ref) != NULL) {
            link = &r->next;
            continue;
        }
        *link = r->next;
        reader_free(t, r);
        e->n_readers--;
    }
    e->prune_at = 2 * e->n_readers + READERS_KEPT;
}

void flow_table_add_reader(struct flow_table *t, struct flow_entry *e, flow_ref ref)
{
    if (e->n_readers >= e->prune_at)
        prune(t, e);
    struct flow_reader *r = t->spare; /* reserved */
    t->spare = r->next;
    t->n_spare--;
    *r = (struct flow_reader){e->readers, ref};
    e->readers = r;
    e->n_readers++;
}

void flow_table_set_writer(struct flow_table *t, struct flow_entry *e, flow_ref w)
{
    while (e->readers != NULL) {
        struct flow_reader *next = e->readers->next;
        reader_free(t, e->readers);
        e->readers = next;
    }
    e->n_readers = 0;
    e->writer = w;
}

/* --- entries -------------------------------------------------------------------------------------------------- */

static uint32_t place_of(const struct flow_table *t, const void *address)
{
    uint64_t h = (uint64_t)(uintptr_t)address * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 32) & (t->capacity - 1);
}

struct flow_entry *flow_table_find(struct flow_table *t, const void *address)
{
    uint32_t i = place_of(t, address);
    while (t->entries[i].prune_at != 0 && t->entries[i].address != address)
        i = (i + 1) & (t->capacity - 1);
    struct flow_entry *e = &t->entries[i];
    if (e->prune_at == 0) {
        *e = (struct flow_entry){.address = address, .prune_at = READERS_KEPT};
        t->used++;
    }
    return e;
}

static bool is_needed(struct flow_table *t, struct flow_entry *e)
{
    if (flow_ref_task(t, e->writer) != NULL)
        return true;
    if (e->readers != NULL)
        prune(t, e);
    return e->readers != NULL;
}

static uint32_t room_of(uint32_t capacity)
{
    return capacity / 4 * 3;
}

/* Drops what is no longer needed, in place: behind a free entry, and round to it, each entry is taken out and, if it is
 * needed, found a place again, which is not behind the old one. */
static void purge(struct flow_table *t)
{
    uint32_t start = 0, mask = t->capacity - 1;
    while (t->entries[start].prune_at != 0)
        start++;
    for (uint32_t n = 1; n < t->capacity; n++) {
        struct flow_entry *e = &t->entries[(start + n) & mask];
        if (e->prune_at == 0)
            continue;
        struct flow_entry kept = *e;
        bool needed = is_needed(t, &kept);
        e->prune_at = 0;
        t->used--;
        if (needed)
            *flow_table_find(t, kept.address) = kept;
    }
}

static int grow(struct flow_table *t, uint32_t capacity)
{
    struct flow_table old = *t;
    struct flow_entry *entries = os_alloc(capacity * sizeof *entries, CACHE_LINE);
    if (entries == NULL)
        return -ENOMEM;
    t->entries = entries;
    t->capacity = capacity;
    t->used = 0;
    for (uint32_t i = 0; i < old.capacity; i++)
        if (old.entries[i].prune_at != 0)
            *flow_table_find(t, old.entries[i].address) = old.entries[i];
    os_free(old.entries, old.capacity * sizeof *old.entries);
    return 0;
}

/* Drops what is no longer needed, and doubles if little came of that: the next purge is three eighths of a table away, at
 * least. */
static int make_room(struct flow_table *t, uint32_t n)
{
    uint32_t capacity = t->capacity; /* never smaller */
    purge(t);
    if (t->used + n <= room_of(capacity) / 2)
        return 0;
    do
        capacity *= 2;
    while (t->used + n > room_of(capacity));
    return grow(t, capacity);
}

int flow_table_reserve(struct flow_table *t, uint32_t n)
{
    int r = t->n_spare < n ? reserve_readers(t, n) : 0;
    if (r == 0 && t->used + n > room_of(t->capacity))
        r = make_room(t, n);
    return r;
}
