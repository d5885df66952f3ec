/* SPDX-License-Identifier: MIT
 *
 * model_alloc.c - tracked memory, payload marks and RCU grace periods, checked with vector clocks.
 *
 * Every access to a tracked block must come after its allocation and before its release, in happens-before: so a
 * record that is published with too weak an order, or freed while another thread may still touch it, is found in any
 * execution in which both occur, whichever comes first. Freed memory is filled with a pattern that is checked at the
 * end. Payload marks are checked in the same way (FastTrack's condition, without its compression).
 *
 * A grace period begins when something is retired and waits for the threads that are online then. A thread that comes
 * online later either knows what the retiring thread knew, or is waited for as well: both are tried. What is
 * retired is reclaimed at the earliest moment, which is the one that can hurt.
 *
 * Threads: the engine's one thread.
 * Source: Flanagan, Freund, "FastTrack", PLDI 2009.
 */
#include "model_int.h"
#include "os/os.h"
#include "os/rcu.h"

#include <stdlib.h>
#include <string.h>

void alloc_reset(void)
{
    M->nblk = 0;
    M->arena_used = 0;
    memset(M->grace, 0, sizeof M->grace);
    M->graces = 0;
}

/* --- blocks ----------------------------------------------------------------------------------------------------- */

struct block *block_of(uintptr_t addr)
{
    if (addr - (uintptr_t)M->arena >= ARENA_SIZE)
        return NULL;
    for (unsigned i = M->nblk; i-- > 0;) /* the newest first: with reuse it shadows the older ones */
        if (addr - M->blk[i].base < M->blk[i].size)
            return &M->blk[i];
    return NULL;
}

static const char *freed_where(const struct block *b, char *buf, size_t n)
{
    if (b->freed_ev < 0)
        snprintf(buf, n, "in setup, check or a reclaimer");
    else
        snprintf(buf, n, "around step %d", b->freed_ev);
    return buf;
}

void block_access(struct thread *t, uintptr_t addr, const char *file, int line)
{
    struct block *b = block_of(addr);
    char buf[64];
    if (b == NULL) {
        if (addr - (uintptr_t)M->arena < ARENA_SIZE)
            model_fail(file, line, "access outside of any tracked block");
        return;
    }
    if (b->freed)
        model_fail(file, line, "use after free: block of %zu bytes, offset %zu, freed %s", b->size,
                   (size_t)(addr - b->base), freed_where(b, buf, sizeof buf));
    if (b->alloc_clk > t->cur.clk[b->alloc_tid])
        model_fail(file, line, "data race: block of %zu bytes is used by a thread for which its allocation by thread "
                   "%d has not happened yet", b->size, b->alloc_tid - 1);
    b->last[t->id] = t->cur.clk[t->id];
}

static struct block *reusable(size_t size, size_t align)
{
    for (unsigned i = M->nblk; i-- > 0;) {
        struct block *b = &M->blk[i];
        if (b->freed && b->size == size && b->base % align == 0 && block_of(b->base) == b)
            return b;
    }
    return NULL;
}

void *alloc_get(size_t size, size_t align)
{
    struct thread *t = self();
    if (M->nblk == MBLK)
        model_die("too many tracked blocks (MBLK)");
    if (align < 16)
        align = 16;
    uintptr_t base;
    struct block *old = M->client->reuse ? reusable(size, align) : NULL;
    if (old != NULL) {
        base = old->base;
        mem_kill(base, size);
        for (unsigned i = 0; i < PAYLOADS; i++)
            if (M->pay[i].addr - base < size)
                M->pay[i].gen = 0;
    } else if (M->client->down) {
        M->arena_used += (size + 16 + 2 * align) & ~(size_t)(align - 1);
        if (M->arena_used > ARENA_SIZE)
            model_die("out of tracked memory (ARENA_SIZE)");
        base = ((uintptr_t)M->arena + ARENA_SIZE - M->arena_used) & ~(uintptr_t)(align - 1);
    } else {
        base = ((uintptr_t)M->arena + M->arena_used + 16 + align - 1) & ~(uintptr_t)(align - 1);
        M->arena_used = base + size - (uintptr_t)M->arena;
        if (M->arena_used > ARENA_SIZE)
            model_die("out of tracked memory (ARENA_SIZE)");
    }
    memset((void *)base, 0, size);
    M->blk[M->nblk++] = (struct block){.base = base, .size = size, .alloc_tid = (uint8_t)t->id,
                                       .alloc_clk = t->cur.clk[t->id], .freed_ev = -1};
    return (void *)base;
}

void alloc_put(void *p, const char *file, int line)
{
    struct thread *t = self();
    if (p == NULL)
        return;
    struct block *b = block_of((uintptr_t)p);
    if (b == NULL || b->base != (uintptr_t)p)
        model_fail(file, line, "free of something that was never allocated");
    if (b->freed)
        model_fail(file, line, "double free of a block of %zu bytes", b->size);
    if (b->alloc_clk > t->cur.clk[b->alloc_tid])
        model_fail(file, line, "data race: freed by a thread for which its allocation has not happened yet");
    for (unsigned i = 0; i < MT; i++)
        if (b->last[i] > t->cur.clk[i])
            model_fail(file, line, "use after free: thread %d's last access to the block (%zu bytes) does not happen "
                       "before its release", (int)i - 1, b->size);
    b->freed = true;
    b->freed_ev = (int16_t)(M->immediate ? -1 : (int)M->nev);
    mem_kill(b->base, b->size);
    memset((void *)b->base, POISON, b->size);
}

/* At the end of an execution: leaks, and plain writes into freed memory. */
void alloc_final(void)
{
    for (unsigned i = 0; i < M->nblk; i++) {
        struct block *b = &M->blk[i];
        if (!b->freed) {
            if (!M->client->leaks_ok && M->stall_after < 0)
                model_fail("(end)", 0, "leak: block of %zu bytes", b->size);
            continue;
        }
        if (block_of(b->base) != b)
            continue;
        for (size_t k = 0; k < b->size; k++)
            if (((const unsigned char *)b->base)[k] != POISON)
                model_fail("(end)", 0, "freed block of %zu bytes was written at offset %zu", b->size, k);
    }
    for (unsigned i = 0; i < 32; i++)
        if (M->grace[i].used && M->stall_after < 0)
            model_fail("(end)", 0, "something retired was never reclaimed: a thread stayed online");
}

void *model_alloc(size_t size)
{
    return alloc_get(size, 16);
}

void model_free(void *p)
{
    alloc_put(p, "(client)", 0);
}

void *os_alloc_sparse(size_t size, size_t align)
{
    return os_alloc(size, align);
}

void os_free_sparse(void *p, size_t size)
{
    os_free(p, size);
}

void *os_alloc(size_t size, size_t align)
{
    return alloc_get(size, align);
}

void os_free(void *p, size_t size)
{
    struct block *b = p == NULL ? NULL : block_of((uintptr_t)p);
    if (b != NULL && b->size != size)
        model_fail("os_free", 0, "freed with another size (%zu) than it was allocated with (%zu)", size, b->size);
    alloc_put(p, "os_free", 0);
}

void *os_resize(void *p, size_t size, size_t now, size_t align)
{
    void *q = alloc_get(now, align);
    if (p != NULL && q != NULL)
        memcpy(q, p, size < now ? size : now);
    os_free(p, size);
    return q;
}

/* The system may write there, as the caller may. */
void os_forget(void *p, size_t size)
{
    if (size >= sizeof(int))
        MODEL_WRITE(*(int *)p, 0);
}

void os_drop(void *p, size_t size)
{
    os_forget(p, size);
}

/* --- payload ---------------------------------------------------------------------------------------------------- */

static struct payload *payload_of(uintptr_t addr)
{
    unsigned h = (unsigned)((addr * UINT64_C(0x9e3779b97f4a7c15)) >> 54);
    for (unsigned i = 0; i < PAYLOADS; i++, h = (h + 1) & (PAYLOADS - 1)) {
        struct payload *p = &M->pay[h];
        if (p->gen == M->gen && p->addr == addr)
            return p;
        if (p->gen != M->gen) {
            *p = (struct payload){.addr = addr, .gen = M->gen, .wtid = -1};
            return p;
        }
    }
    model_die("too many payload words (PAYLOADS)");
}

void model_payload(const void *a, bool write, const char *what, const char *file, int line)
{
    struct thread *t = self();
    block_access(t, (uintptr_t)a, file, line);
    struct payload *p = payload_of((uintptr_t)a);
    if (p->wtid >= 0 && p->wclk > t->cur.clk[p->wtid])
        model_fail(file, line, "data race on payload %s: written by thread %d at %s:%d", what, p->wtid - 1, p->file,
                   p->line);
    if (write) {
        for (unsigned i = 0; i < MT; i++)
            if (p->rclk[i] > t->cur.clk[i])
                model_fail(file, line, "data race on payload %s: read by thread %d", what, (int)i - 1);
        p->wtid = (int8_t)t->id;
        p->wclk = t->cur.clk[t->id];
        p->file = file;
        p->line = line;
    } else {
        p->rclk[t->id] = t->cur.clk[t->id];
    }
}

/* --- grace periods ---------------------------------------------------------------------------------------------- */

/* Whether grace period `serial` has not ended; 0: whether any has not. */
bool rcu_pending(uint64_t serial)
{
    for (unsigned i = 0; i < 32; i++)
        if (M->grace[i].used && (serial == 0 || M->grace[i].serial == serial))
            return true;
    return false;
}

static bool covers(const struct view *big, const struct view *small)
{
    for (unsigned i = 0; i < MT; i++)
        if (small->clk[i] > big->clk[i])
            return false;
    return true;
}

/* Runs what a grace period was for, as the reclaimer. */
static void grace_end(struct grace *g)
{
    struct thread *r = &M->t[RECLAIMER];
    int was = M->self;
    bool imm = M->immediate;
    r->used = true;
    view_join(&r->cur, &g->view);
    view_join(&r->acq, &g->view);
    view_join(&M->rcu_done, &g->view);
    view_join(&M->rcu_known, &g->known);
    g->used = false;
    void (*fn)(struct rcu_node *) = (void (*)(struct rcu_node *))(uintptr_t)g->fn;
    M->self = RECLAIMER;
    M->immediate = true;
    if (fn != NULL)
        fn(g->node);
    r->cur.clk[RECLAIMER]++;
    view_join(&M->rcu_done, &r->cur);
    M->immediate = imm;
    M->self = was;
}

unsigned rcu_options(struct thread *t, const struct op *o, struct opt *out)
{
    unsigned n = 0;
    out[n++] = (struct opt){0, M_OK};
    if (o->kind == K_RCU_ONLINE)
        for (unsigned i = 0; i < 32; i++)
            if (M->grace[i].used && !covers(&t->cur, &M->grace[i].known)) {
                out[n++] = (struct opt){0, M_FAIL}; /* does not know what was retired: is waited for */
                break;
            }
    return n;
}

void rcu_exec(struct thread *t, struct op *o, struct opt p, struct event *e)
{
    switch (o->kind) {
    case K_RCU_ONLINE:
        if (t->online || !t->registered)
            model_fail(o->file, o->line, "rcu_online() while online or not registered");
        t->online = true;
        view_join(&t->cur, &M->rcu_known);
        view_join(&t->acq, &M->rcu_known);
        for (unsigned i = 0; i < 32; i++) {
            struct grace *g = &M->grace[i];
            if (!g->used)
                continue;
            if (p.mode == M_OK) {
                view_join(&t->cur, &g->known);
                view_join(&t->acq, &g->known);
            } else {
                g->waiting |= 1u << t->id;
            }
        }
        break;
    case K_RCU_OFFLINE:
        if (!t->online)
            model_fail(o->file, o->line, "rcu_offline() while offline");
        t->online = false;
        view_join(&M->rcu_off, &t->cur);
        for (unsigned i = 0; i < 32; i++) {
            struct grace *g = &M->grace[i];
            if (!g->used || (g->waiting >> t->id & 1u) == 0)
                continue;
            g->waiting &= ~(1u << t->id);
            view_join(&g->view, &t->cur);
            if (g->waiting == 0) {
                e->gp = true;
                grace_end(g);
            }
        }
        break;
    case K_RCU_RETIRE: {
        struct grace *g = NULL;
        for (unsigned i = 0; i < 32 && g == NULL; i++)
            if (!M->grace[i].used)
                g = &M->grace[i];
        if (g == NULL)
            model_die("too many retired blocks");
        memset(g, 0, sizeof *g);
        g->used = true;
        g->serial = o->result = ++M->graces;
        g->node = o->ptr;
        g->fn = o->fn;
        view_join(&g->known, &t->cur);
        view_join(&g->view, &t->cur);
        view_join(&g->view, &M->rcu_off);
        for (unsigned i = 1; i < MT; i++)
            if (M->t[i].online)
                g->waiting |= 1u << i;
        if (g->waiting == 0)
            grace_end(g);
        break;
    }
    default:
        view_join(&t->cur, &M->rcu_done);
        view_join(&t->acq, &M->rcu_done);
        break;
    }
    t->cur.clk[t->id]++;
}
