/* SPDX-License-Identifier: MIT
 *
 * table.c - copies and publishes the table of workers.
 *
 * Threads and invariants: see table.h.
 */
#include "sched/table.h"

#include <errno.h>

#include "sched/worker.h"

static struct table *table_new(uint32_t room)
{
    size_t bytes = sizeof(struct table) + room * sizeof(struct table_entry);
    struct table *t = os_alloc(bytes, CACHE_LINE);
    if (t != NULL)
        t->bytes = bytes;
    return t;
}

static void table_reclaim(struct rcu_node *node)
{
    struct table *t = CONTAINER_OF(node, struct table, rcu);
    os_free(t, t->bytes);
}

static void append(struct table *t, struct worker *w)
{
    t->at[t->count++] = (struct table_entry){w, w->domain};
}

int table_init(struct runtime *rt, uint32_t n)
{
    struct table *t = table_new(n);
    if (t == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        append(t, rt->workers[i]);
        rt->workers[i]->listed = true;
    }
    atom_store(&rt->table, t, memory_order_relaxed); /* relaxed: no thread is there yet */
    return 0;
}

void table_destroy(struct runtime *rt)
{
    struct table *t = atom_load(&rt->table, memory_order_relaxed); /* relaxed: all threads were joined */
    if (t != NULL)
        os_free(t, t->bytes);
}

const struct table *table_read(const struct runtime *rt)
{
    /* [WT1] acquire: its entries; pairs with change(). */
    const struct table *t = atom_load(&rt->table, memory_order_acquire);
    plain_reads(t->count);
    return t;
}

/* A copy without w, or with it at the end. */
static struct table *copy_with(const struct table *old, struct worker *w, bool add)
{
    plain_reads(old->count);
    struct table *t = table_new(old->count + 1);
    if (t == NULL)
        return NULL;
    plain_writes(t->count);
    for (uint32_t i = 0; i < old->count; i++)
        if (old->at[i].worker != w)
            t->at[t->count++] = old->at[i];
    if (add)
        append(t, w);
    return t;
}

/* The old table stays readable until offline, so its address can't come back as that of another one: no ABA. */
static bool change(struct worker *w, bool add)
{
    struct runtime *rt = w->rt;
    rcu_online();
    void *old = atom_load(&rt->table, memory_order_acquire); /* [WT1] acquire: as table_read() */
    struct table *new;
    for (;;) {
        new = copy_with(old, w, add);
        /* [WT1] release: the entries, and the worker's deque; pairs with table_read(). Acquire on
         * failure: the entries to copy; a success reads again what was loaded. */
        if (new == NULL || atom_cas_weak(&rt->table, &old, new, memory_order_release, memory_order_acquire))
            break;
        os_free(new, new->bytes);
    }
    rcu_offline();
    if (new == NULL)
        return false;
    w->listed = add;
    rcu_retire(&((struct table *)old)->rcu, table_reclaim); /* old may be gone */
    return true;
}

bool table_add(struct worker *w)
{
    if (!w->listed && !change(w, true))
        return false;
    /* [PK4] forbids: a parker's sweep over the table misses this worker, whose pushes then go fast past the parker;
     * pairs with idle_announce(). */
    atom_fence(memory_order_seq_cst);
    if (idle_has_sleepers(&w->rt->idle))
        deque_poison(&w->dq, DEQUE_ANYBODY);
    return true;
}

bool table_remove(struct worker *w)
{
    return !w->listed || change(w, false);
}
