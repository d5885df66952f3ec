/* SPDX-License-Identifier: MIT
 *
 * task.c - public entry points of weir/task.h that need the scheduler: pooled records, waits, identity.
 *
 * Threads: see weir/task.h.
 */
#include <weir/task.h>

#include <errno.h>

#include "api/handle.h"
#include "par/wait.h"
#include "sync/outside.h"
#include "task/latch.h"

weir_worker *weir_self(void)
{
    struct worker *w = worker_self();
    return w != NULL ? worker_public(w) : NULL;
}

weir_runtime *weir_worker_runtime(const weir_worker *w)
{
    return handle_of(worker_of(w)->rt->handle);
}

unsigned weir_worker_index(const weir_worker *w)
{
    return worker_of(w)->id;
}

int weir_block_begin(weir_worker *w)
{
    return w != NULL && weir_self() == w ? block_begin(worker_of(w)) : -EINVAL;
}

int weir_block_end(weir_worker *w)
{
    return w != NULL && weir_self() == w ? block_end(worker_of(w)) : -EINVAL;
}

int weir_task_new(weir_worker *w, weir_task_fn *run, size_t size, weir_task **out)
{
    if (out == NULL || run == NULL || size > WEIR_PAYLOAD_MAX)
        return -EINVAL;
    struct slab *slab = w != NULL ? &worker_of(w)->slab : outside_slab();
    weir_task *t = slab != NULL ? slab_alloc(slab, sizeof(*t) + size) : slab_alloc_foreign(sizeof(*t) + size);
    if (t == NULL)
        return -ENOMEM;
    weir_task_init(t, run);
    atom_store(&t->state, STATE_POOLED, memory_order_relaxed); /* relaxed: not shared yet */
    *out = t;
    return 0;
}

void weir_task_free(weir_task *t)
{
    struct worker *w = worker_self();
    slab_free(w != NULL ? &w->slab : outside_slab_if_any(), t);
}

int weir_scope_wait(weir_worker *w, weir_scope *s)
{
    if (s == NULL || w != s->owner || weir_self() != w)
        return -EINVAL;
    if (w != NULL)
        wait_scope(worker_of(w), s);
    else
        wait_scope_outside(s);
    return scope_result(s);
}

int weir_latch_wait(weir_latch *l, uint64_t deadline)
{
    if (l == NULL)
        return -EINVAL;
    if (worker_self() != NULL)
        return weir_latch_is_open(l) ? 0 : -EDEADLK;
    return latch_wait(l, deadline);
}
