/* SPDX-License-Identifier: MIT
 *
 * flow_table.c - an open-addressing table of addresses: see flow_table.h.
 *
 * Threads and invariants: see flow_table.h. Source: Fibonacci hashing, linear probing (Knuth, TAOCP 3, 6.4), the hash
 * as a fraction of the table (Lemire, 2019); new places within the same memory as in Rust's hashbrown.
 */
#include "par/flow_table.h"

#include <errno.h>

#define FIRST_CAPACITY 1024u /* entries: 24 KiB */
#define READERS_KEPT 8u    /* readers of one address before the first look for ended ones */
#define BLOCK_READERS 255u /* readers allocated at once: 4 KiB */
#define LEFT_MAX ((UINT64_C(1) << (64 - REF_BITS)) - 1)

struct reader_block {
    struct reader_block *next;
    struct flow_reader readers[BLOCK_READERS];
};

int flow_table_init(struct flow_table *t, struct flow_task *records, uint32_t live)
{
    t->records = records;
    t->live = live;
    t->capacity = FIRST_CAPACITY;
    t->entries = os_alloc(FIRST_CAPACITY * sizeof *t->entries, CACHE_LINE);
    t->generations = os_alloc(live * sizeof *t->generations, CACHE_LINE);
    return t->entries != NULL && t->generations != NULL ? 0 : -ENOMEM;
}

void flow_table_destroy(struct flow_table *t)
{
    os_free(t->entries, t->capacity * sizeof *t->entries);
    os_free(t->generations, t->live * sizeof *t->generations);
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

/* Drops readers whose records are other tasks by now. Returns how many may be added before that is worth while again:
 * as many as are left. */
static uint64_t prune(struct flow_table *t, struct flow_entry *e)
{
    uint64_t left = READERS_KEPT;
    struct flow_reader **link = &e->readers;
    while (*link != NULL) {
        struct flow_reader *r = *link;
        if (flow_ref_is_current(t, r->word)) {
            link = &r->next;
            left++;
            continue;
        }
        *link = r->next;
        reader_free(t, r);
    }
    return left < LEFT_MAX ? left : LEFT_MAX;
}

void flow_table_add_reader(struct flow_table *t, struct flow_entry *e, flow_ref ref)
{
    uint64_t left = e->readers != NULL ? e->readers->word >> REF_BITS : READERS_KEPT;
    if (left == 0)
        left = prune(t, e);
    struct flow_reader *r = t->spare; /* reserved */
    t->spare = r->next;
    t->n_spare--;
    *r = (struct flow_reader){e->readers, (left - 1) << REF_BITS | ref};
    e->readers = r;
}

void flow_table_drop_readers(struct flow_table *t, struct flow_entry *e)
{
    while (e->readers != NULL) {
        struct flow_reader *next = e->readers->next;
        reader_free(t, e->readers);
        e->readers = next;
    }
}

void flow_table_set_writer(struct flow_table *t, struct flow_entry *e, flow_ref w)
{
    flow_table_drop_readers(t, e);
    e->writer = ENTRY_USED | t->round | w;
}

/* --- entries -------------------------------------------------------------------------------------------------- */

static uint32_t place_of(const struct flow_table *t, const void *address)
{
    uint64_t h = (uint64_t)(uintptr_t)address * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)((h >> 32) * t->capacity >> 32);
}

static uint32_t place_after(const struct flow_table *t, uint32_t i)
{
    return LIKELY(i + 1 < t->capacity) ? i + 1 : 0;
}

/* The entry of an address, or the free one where it would be. */
static struct flow_entry *probe(const struct flow_table *t, const void *address)
{
    uint32_t i = place_of(t, address);
    while (t->entries[i].writer != 0 && t->entries[i].address != address)
        i = place_after(t, i);
    return &t->entries[i];
}

struct flow_entry *flow_table_seek(const struct flow_table *t, const void *address)
{
    struct flow_entry *e = probe(t, address);
    return e->writer != 0 ? e : NULL;
}

struct flow_entry *flow_table_find(struct flow_table *t, const void *address)
{
    struct flow_entry *e = probe(t, address);
    if (e->writer == 0) {
        *e = (struct flow_entry){address, ENTRY_USED | t->round, NULL};
        t->used++;
    }
    return e;
}

static bool is_needed(struct flow_table *t, struct flow_entry *e)
{
    if (flow_ref_is_current(t, e->writer))
        return true;
    if (e->readers == NULL)
        return false;
    uint64_t left = prune(t, e);
    if (e->readers != NULL)
        e->readers->word = left << REF_BITS | (e->readers->word & REF_MASK);
    return e->readers != NULL;
}

static uint32_t room_of(uint32_t capacity)
{
    return capacity / 4 * 3;
}

static bool is_old(const struct flow_table *t, const struct flow_entry *e)
{
    return (e->writer & ENTRY_ROUND) != t->round;
}

/* Finds places for `e` and for whatever that displaces. An entry is put in the first place, from its own on, that none
 * of those put before it is in: so what lies between is never free again. */
static void replace(struct flow_table *t, struct flow_entry e)
{
    for (;;) {
        e.writer ^= ENTRY_ROUND;
        if (!is_needed(t, &e))
            return;
        uint32_t i = place_of(t, e.address);
        while (t->entries[i].writer != 0 && !is_old(t, &t->entries[i]))
            i = place_after(t, i);
        struct flow_entry displaced = t->entries[i];
        t->entries[i] = e;
        t->used++;
        if (displaced.writer == 0)
            return;
        e = displaced;
    }
}

/* Gives all that is needed new places, in the same memory, of which the first `old` entries were in use. */
static void rehash(struct flow_table *t, uint32_t old)
{
    t->used = 0;
    t->round ^= ENTRY_ROUND; /* all that is there is old now */
    for (uint32_t i = 0; i < old; i++) {
        struct flow_entry e = t->entries[i];
        if (e.writer == 0 || !is_old(t, &e))
            continue;
        t->entries[i].writer = 0;
        replace(t, e);
    }
}

/* Drops what is no longer needed, and grows by half if little came of that: the next time is a quarter of a table
 * away, at least. */
static int make_room(struct flow_table *t, uint32_t n)
{
    uint32_t old = t->capacity, capacity = old; /* never smaller */
    rehash(t, old);
    if (t->used + n <= room_of(capacity) / 2)
        return 0;
    do
        capacity += capacity / 2;
    while (t->used + n > room_of(capacity));
    void *entries = os_resize(t->entries, old * sizeof *t->entries, capacity * sizeof *t->entries, CACHE_LINE);
    if (entries == NULL)
        return -ENOMEM;
    t->entries = entries;
    t->capacity = capacity;
    rehash(t, old);
    return 0;
}

int flow_table_reserve(struct flow_table *t, uint32_t n)
{
    int r = t->n_spare < n ? reserve_readers(t, n) : 0;
    if (r == 0 && t->used + n > room_of(t->capacity))
        r = make_room(t, n);
    return r;
}
