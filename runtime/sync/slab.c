/* SPDX-License-Identifier: MIT
 *
 * slab.c - pooled task records in chunks of one size class, with wait-free remote frees.
 *
 * Threads: see slab.h. A chunk belongs to its home slab's owner; other threads read `home` and nothing else of it.
 * Invariants:
 *   - a chunk is on exactly one list: room[k] (a free or fresh object left), full[k] (none), idle (none in use);
 *   - `used` counts the objects that are out, those on the remote stack included, so a chunk with used == 0 is nobody
 *     else's business;
 *   - in room[k] only the first chunk may be empty: one that fills again is put in second place, and one that empties
 *     elsewhere goes to idle. A slab so keeps at most SLAB_CLASSES + SLAB_IDLE_MAX empty chunks after any burst.
 * Source: see slab.h.
 */
#include "sync/slab.h"

#include <string.h>

#include "base/atomics.h"
#include "os/os.h"
#include "os/sanitizer.h"

#define CHUNK_HEADER 128u    /* bytes before the first object */
#define DRAIN_BATCH 1024u    /* remote frees taken per exhausted chunk: no fewer than the objects a chunk can hold */
#define FOREIGN_OFFSET 32u   /* bytes: what tells a foreign object's address from a chunk's */

/* A free object. The link shares the place of wfs_node's: an object is on one list at a time. */
union object {
    union object *next;
    struct wfs_node remote;
};

struct slab_chunk {
    /* written by the owner while no object is out, and by slab_destroy; read by any thread that frees */
    weir_atomic_ptr home;     /* struct slab *, or NULL once that was destroyed */
    weir_atomic_u32 orphans;  /* objects still out when it was */
    uint32_t class_index;
    uint32_t object_size;     /* bytes */
    char pad[CACHE_LINE - sizeof(weir_atomic_ptr) - 3 * sizeof(uint32_t)];
    /* owner only */
    union object *free;       /* newest first */
    char *fresh;              /* from here on no object has ever been handed out */
    struct slab_chunk *next, *prev;
    uint32_t used;
    bool on_full; /* on full[class_index] */
};

/* Before a block that slab_alloc_foreign made. */
struct foreign {
    size_t size; /* bytes of the whole block */
};

_Static_assert(sizeof(struct slab_chunk) <= CHUNK_HEADER, "the header fits");
_Static_assert(sizeof(union object) <= FOREIGN_OFFSET, "a free object fits the smallest object");
_Static_assert((SLAB_CHUNK_SIZE & (SLAB_CHUNK_SIZE - 1)) == 0, "chunks are found by mask");
_Static_assert(SLAB_CHUNK_SIZE >= CHUNK_HEADER + SLAB_OBJECT_MAX, "each object fits a chunk");
_Static_assert(SLAB_OBJECT_MAX <= SLAB_OBJECT_MIN << (SLAB_CLASSES - 1), "each object has a class");
_Static_assert((SLAB_CHUNK_SIZE - CHUNK_HEADER) / SLAB_OBJECT_MIN <= DRAIN_BATCH, "a batch balances a chunk");
_Static_assert(sizeof(struct foreign) <= FOREIGN_OFFSET, "the size fits before the object");

/* --- helpers ------------------------------------------------------------------------------------------------- */

/* AddressSanitizer: what lies in a freed object behind its links is out of bounds until it is handed out again. */
#ifdef WEIR_ASAN
void __asan_poison_memory_region(const volatile void *p, size_t n);
void __asan_unpoison_memory_region(const volatile void *p, size_t n);
#else
static inline void __asan_poison_memory_region(const volatile void *p, size_t n)
{
    (void)p;
    (void)n;
}
static inline void __asan_unpoison_memory_region(const volatile void *p, size_t n)
{
    (void)p;
    (void)n;
}
#endif

static inline struct slab_chunk *chunk_of(void *p)
{
    return (struct slab_chunk *)((uintptr_t)p & ~((uintptr_t)SLAB_CHUNK_SIZE - 1));
}

static inline bool is_foreign(const void *p)
{
    return ((uintptr_t)p & FOREIGN_OFFSET) != 0;
}

/* 0 for 64 bytes, 1 for 128, ... size <= SLAB_OBJECT_MAX. */
static inline unsigned class_of(size_t size)
{
    return size <= SLAB_OBJECT_MIN ? 0 : 58u - (unsigned)__builtin_clzll(size - 1);
}

static void list_add(struct slab_chunk **head, struct slab_chunk *c)
{
    c->prev = NULL;
    c->next = *head;
    if (c->next)
        c->next->prev = c;
    *head = c;
}

static void list_add_second(struct slab_chunk **head, struct slab_chunk *c)
{
    if (*head == NULL) {
        list_add(head, c);
        return;
    }
    c->prev = *head;
    c->next = (*head)->next;
    if (c->next)
        c->next->prev = c;
    (*head)->next = c;
}

static void list_remove(struct slab_chunk **head, struct slab_chunk *c)
{
    if (c->next)
        c->next->prev = c->prev;
    if (c->prev)
        c->prev->next = c->next;
    else
        *head = c->next;
}

static void chunk_release(struct slab_chunk *c)
{
    __asan_unpoison_memory_region(c, SLAB_CHUNK_SIZE);
    os_free(c, SLAB_CHUNK_SIZE);
}

/* A chunk of class k at the head of room[k]. NULL: no memory. */
static struct slab_chunk *chunk_new(struct slab *s, unsigned k)
{
    struct slab_chunk *c = s->idle;
    if (c) {
        list_remove(&s->idle, c);
        s->idle_count--;
    } else {
        c = os_alloc(SLAB_CHUNK_SIZE, SLAB_CHUNK_SIZE);
        if (c == NULL)
            return NULL;
        s->chunks++;
        atom_store(&c->home, (void *)s, memory_order_relaxed); /* seen with the first object that is handed on */
    }
    c->class_index = k;
    c->object_size = SLAB_OBJECT_MIN << k;
    c->free = NULL;
    c->fresh = (char *)c + CHUNK_HEADER;
    c->used = 0;
    c->on_full = false;
    list_add(&s->room[k], c);
    return c;
}

static bool chunk_has_fresh(const struct slab_chunk *c)
{
    return c->fresh + c->object_size <= (const char *)c + SLAB_CHUNK_SIZE;
}

/* --- owner side ---------------------------------------------------------------------------------------------- */

static void retire_empty(struct slab *s, struct slab_chunk *c)
{
    list_remove(&s->room[c->class_index], c);
    if (s->idle_count < SLAB_IDLE_MAX) {
        list_add(&s->idle, c);
        s->idle_count++;
    } else {
        s->chunks--;
        chunk_release(c);
    }
}

/* Moves a chunk whose first object came back, or whose last one did, to the list where it now belongs. */
static NOINLINE void free_home_slow(struct slab *s, struct slab_chunk *c)
{
    if (c->on_full) {
        list_remove(&s->full[c->class_index], c);
        list_add_second(&s->room[c->class_index], c);
        c->on_full = false;
    }
    if (c->used == 0 && s->room[c->class_index] != c)
        retire_empty(s, c);
}

/* Puts back an object of one of the owner's own chunks. */
static inline void free_home(struct slab *s, struct slab_chunk *c, void *p)
{
    union object *o = p;
    weir_assert(c->used > 0);
    o->next = c->free;
    c->free = o;
    c->used--;
    if (UNLIKELY(c->on_full || (c->used == 0 && s->room[c->class_index] != c)))
        free_home_slow(s, c);
}

/* Puts back a chain of remote frees, at most *budget of them; the rest is kept for later. */
static void take_chain(struct slab *s, struct wfs_node *n, unsigned *budget)
{
    while (n) {
        struct wfs_node *next = wfs_next(n);
        if (next == WFS_PENDING || *budget == 0) {
            n->later = s->later;
            s->later = n;
            return;
        }
        (*budget)--;
        free_home(s, chunk_of(n), n);
        n = next;
    }
}

static void drain(struct slab *s, unsigned budget)
{
    struct wfs_node *n = s->later;
    s->later = NULL;
    while (n) {
        struct wfs_node *rest = n->later;
        take_chain(s, n, &budget);
        n = rest;
    }
    if (budget > 0 && !wfs_empty(&s->remote))
        take_chain(s, wfs_pop_all(&s->remote), &budget);
}

static inline void *take(struct slab_chunk *c)
{
    union object *o = c->free;
    c->free = o->next;
    c->used++;
    __asan_unpoison_memory_region(o, c->object_size);
    return o;
}

static NOINLINE void *alloc_slow(struct slab *s, unsigned k)
{
    struct slab_chunk *c = s->room[k];
    /* Remote frees are looked at when a chunk is exhausted: each chunk used up takes a chunk's worth of them back. */
    bool drained = false;
    while (c == NULL || (c->free == NULL && !chunk_has_fresh(c))) {
        if (c) {
            list_remove(&s->room[k], c);
            list_add(&s->full[k], c);
            c->on_full = true;
        }
        if (!drained)
            drain(s, DRAIN_BATCH);
        drained = true;
        c = s->room[k] ? s->room[k] : chunk_new(s, k);
        if (c == NULL)
            return NULL;
    }
    if (c->free)
        return take(c);
    char *p = c->fresh;
    c->fresh += c->object_size;
    c->used++;
    __asan_unpoison_memory_region(p, c->object_size);
    return p;
}

void *slab_alloc(struct slab *s, size_t size)
{
    if (UNLIKELY(size > SLAB_OBJECT_MAX))
        return NULL;
    unsigned k = class_of(size);
    struct slab_chunk *c = s->room[k];
    if (LIKELY(c != NULL && c->free != NULL))
        return take(c);
    return alloc_slow(s, k);
}

void slab_collect(struct slab *s)
{
    if (s->later || !wfs_empty(&s->remote))
        drain(s, UINT32_MAX);
}

size_t slab_trim(struct slab *s)
{
    uint32_t before = s->chunks;
    slab_collect(s);
    for (unsigned k = 0; k < SLAB_CLASSES; k++)
        if (s->room[k] != NULL && s->room[k]->used == 0) /* the only one of its list that may be empty */
            retire_empty(s, s->room[k]);
    for (struct slab_chunk *c; (c = s->idle) != NULL; s->chunks--) {
        list_remove(&s->idle, c);
        chunk_release(c);
    }
    s->idle_count = 0;
    return (size_t)(before - s->chunks) * SLAB_CHUNK_SIZE;
}

/* --- any thread ---------------------------------------------------------------------------------------------- */

void *slab_alloc_foreign(size_t size)
{
    if (size > SLAB_OBJECT_MAX)
        return NULL;
    size_t whole = size + FOREIGN_OFFSET;
    struct foreign *f = os_alloc(whole, 2 * FOREIGN_OFFSET);
    if (f == NULL)
        return NULL;
    f->size = whole;
    return (char *)f + FOREIGN_OFFSET;
}

static COLD void free_foreign(void *p)
{
    struct foreign *f = (struct foreign *)(void *)((char *)p - FOREIGN_OFFSET);
    os_free(f, f->size);
}

/* An object whose home slab is gone: the last of its chunk takes the chunk along. */
static COLD void free_orphan(struct slab_chunk *c)
{
    /* [SL3] release: our use of the object before the chunk goes; acquire: the others' use before we free it. Both in
     * this one operation of free_orphan(). */
    if (atom_sub(&c->orphans, 1u, memory_order_acq_rel) == 1)
        chunk_release(c);
}

void slab_free(struct slab *mine, void *p)
{
    if (UNLIKELY(p == NULL))
        return;
    if (UNLIKELY(is_foreign(p))) {
        free_foreign(p);
        return;
    }
    struct slab_chunk *c = chunk_of(p);
    /* relaxed: it was set before the object was handed out, and changes only in slab_destroy(), which excludes us */
    struct slab *home = atom_load(&c->home, memory_order_relaxed);
    if (UNLIKELY(home == NULL)) {
        free_orphan(c);
        return;
    }
    __asan_poison_memory_region((char *)p + sizeof(union object), c->object_size - sizeof(union object));
    if (LIKELY(home == mine))
        free_home(mine, c, p);
    else
        wfs_push(&home->remote, p); /* the object may be reused, and its chunk be gone, from here on */
}

/* --- lifecycle ----------------------------------------------------------------------------------------------- */

int slab_init(struct slab *s, unsigned id)
{
    memset(s, 0, sizeof *s);
    s->id = id;
    wfs_init(&s->remote);
    return 0;
}

static void destroy_list(struct slab_chunk *c)
{
    while (c) {
        struct slab_chunk *next = c->next;
        if (c->used == 0) {
            chunk_release(c);
        } else {
            /* relaxed: whoever frees these objects has been told of the destruction by its caller */
            atom_store(&c->orphans, c->used, memory_order_relaxed);
            atom_store(&c->home, NULL, memory_order_relaxed);
        }
        c = next;
    }
}

void slab_destroy(struct slab *s)
{
    slab_collect(s);
    for (unsigned k = 0; k < SLAB_CLASSES; k++) {
        destroy_list(s->room[k]);
        destroy_list(s->full[k]);
    }
    destroy_list(s->idle);
    memset(s, 0, sizeof *s);
}
