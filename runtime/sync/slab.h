/* SPDX-License-Identifier: MIT
 *
 * slab.h - pooled task records: one slab per worker, objects may be freed by any thread.
 *
 * Threads: slab_free(NULL, p) and slab_alloc_foreign: any. Everything else: the slab's owner only.
 * slab_destroy: when no slab_free that concerns it runs or can begin unseen (its workers are gone).
 * Invariants: an object is at a multiple of 64 bytes, in a chunk aligned to its size whose header names the home slab;
 * an object made by slab_alloc_foreign is at an odd multiple of 32 bytes and belongs to no chunk.
 * Source: chunks found by address mask, after Bonwick's slab allocator (USENIX 1994) and Leijen et al., "Mimalloc"
 * (APLAS 2019); remote frees through a wait-free stack (wfstack.h).
 */
#ifndef WEIR_SYNC_SLAB_H
#define WEIR_SYNC_SLAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "sync/wfstack.h"

#ifndef SLAB_CHUNK_SIZE
#define SLAB_CHUNK_SIZE 65536u /* bytes, a power of two; the model checker sets it and SLAB_OBJECT_MAX low */
#endif
#ifndef SLAB_IDLE_MAX
#define SLAB_IDLE_MAX 16u /* empty chunks that a slab keeps: 1 MiB, a burst up to that size makes no system call */
#endif

#ifndef SLAB_OBJECT_MAX
#define SLAB_OBJECT_MAX 4096u /* bytes, a power of two, a task's header included */
#endif

#define SLAB_OBJECT_MIN 64u /* bytes */
#define SLAB_CLASSES 7u     /* 64, 128, ... 4096 bytes */

struct slab_chunk;

struct slab {
    /* owner only */
    struct slab_chunk *room[SLAB_CLASSES]; /* chunks with free objects; the first one serves; only it may be empty */
    struct slab_chunk *full[SLAB_CLASSES]; /* chunks without */
    struct slab_chunk *idle;               /* empty chunks, of no class */
    struct wfs_node *later;                /* remote frees taken, not yet put back: unlinked, or the rest of a batch */
    uint32_t idle_count;
    uint32_t chunks; /* all chunks of this slab */
    unsigned id;
    /* any thread pushes, the owner takes */
    struct wfs remote ALIGNED(LINE_PAIR);
} ALIGNED(LINE_PAIR);

/* Prepares an empty slab. id: the worker's number. 0. */
int slab_init(struct slab *s, unsigned id);
/*
 * Gives all memory back. Objects that are still out stay valid; the chunks they lie in go when the last of them is
 * freed, by any thread.
 */
void slab_destroy(struct slab *s);

/* `size` bytes (0 to SLAB_OBJECT_MAX), contents undefined; NULL: no memory, or size too large. Wait-free but for the
 * allocation of a chunk. */
void *slab_alloc(struct slab *s, size_t size) MUST_USE;
/* The same for a thread without a slab; slab_free takes it back like any other object. */
void *slab_alloc_foreign(size_t size) MUST_USE;

/*
 * Frees an object of any slab. mine: the calling worker's slab, or NULL on a thread that has none. NULL p is ignored.
 * Wait-free but for giving a chunk back.
 */
void slab_free(struct slab *mine, void *p);

/* Puts back all that other threads have freed. The owner calls it before it sleeps. Never waits. */
void slab_collect(struct slab *s);
/* The same, and gives back every chunk of which nothing is out. Returns their bytes. */
size_t slab_trim(struct slab *s);

#endif
