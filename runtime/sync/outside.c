/* SPDX-License-Identifier: MIT
 *
 * outside.c - which thread has which of the slabs for threads that are no workers.
 *
 * Threads, Invariants: see outside.h.
 */
#include "sync/outside.h"

#include "sync/thread_record.h"

#ifndef OUTSIDE_SLABS_MAX
#define OUTSIDE_SLABS_MAX 64u /* a choice: later threads' records come from the C library */
#endif

struct outside {
    struct thread_record record;
    struct slab slab; /* its thread's; all zero: as slab_init() leaves it but for the stack */
    bool ready;       /* its thread's: slab_init() was called */
};

static_assert(offsetof(struct outside, record) == 0, "as thread_record_claim() wants it");
static struct outside all[OUTSIDE_SLABS_MAX];
static _Thread_local struct outside *own __attribute__((tls_model("initial-exec")));
static _Thread_local bool has_asked __attribute__((tls_model("initial-exec")));

static void leave(void *arg)
{
    struct outside *o = arg;
    own = NULL;
    has_asked = false; /* other exit functions of this thread may make records still */
    (void)slab_trim(&o->slab);
    thread_record_release(&o->record);
}

static NOINLINE struct slab *claim(void)
{
    has_asked = true;
    struct thread_record *r = thread_record_claim(all, sizeof(all[0]), OUTSIDE_SLABS_MAX, leave);
    if (r == NULL)
        return NULL;
    own = CONTAINER_OF(r, struct outside, record);
    if (!own->ready)
        (void)slab_init(&own->slab, (uint32_t)(own - all)); /* always 0 */
    own->ready = true;
    return &own->slab;
}

struct slab *outside_slab(void)
{
    if (LIKELY(own != NULL))
        return &own->slab;
    return has_asked ? NULL : claim();
}

struct slab *outside_slab_if_any(void)
{
    return own != NULL ? &own->slab : NULL;
}
