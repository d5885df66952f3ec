/* SPDX-License-Identifier: MIT
 *
 * outside.c - which thread has which of the slabs for threads that are no workers.
 *
 * Threads, Invariants: see outside.h.
 */
#include "sync/outside.h"

#include "base/atomics.h"
#include "os/os.h"

#ifndef OUTSIDE_SLABS_MAX
#define OUTSIDE_SLABS_MAX 64u /* a choice: later threads' records come from the C library */
#endif

struct outside {
    struct slab slab;       /* its thread's; all zero: as slab_init() leaves it but for the stack */
    weir_atomic_u32 taken;  /* 1: a thread has it */
    bool ready;             /* its thread's: slab_init() was called */
    struct os_exit exit;    /* gives it back */
};

static struct outside all[OUTSIDE_SLABS_MAX];
static _Thread_local struct outside *own __attribute__((tls_model("initial-exec")));
static _Thread_local bool has_asked __attribute__((tls_model("initial-exec")));

static void release(void *arg)
{
    struct outside *o = arg;
    own = NULL;
    has_asked = false; /* other destructors of this thread may make records still */
    slab_trim(&o->slab);
    atom_store(&o->taken, 0u, memory_order_release); /* [SL4] release: the slab as it is; pairs with claim() */
}

static NOINLINE struct slab *claim(void)
{
    has_asked = true;
    for (uint32_t i = 0; i < OUTSIDE_SLABS_MAX; i++) {
        struct outside *o = &all[i];
        uint32_t no = 0;
        if (atom_load(&o->taken, memory_order_relaxed) != 0) /* relaxed: a hint */
            continue;
        /* [SL4] acquire: the slab as its last thread left it; pairs with release(). Weak: another will do. */
        if (!atom_cas_weak(&o->taken, &no, 1u, memory_order_acquire, memory_order_relaxed))
            continue;
        if (!o->ready)
            (void)slab_init(&o->slab, i); /* always 0 */
        o->ready = true;
        o->exit = (struct os_exit){.fn = release, .arg = o};
        if (os_at_thread_exit(&o->exit)) {
            own = o;
            return &o->slab;
        }
        release(o);
        has_asked = true;
        return NULL;
    }
    return NULL;
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
