/* SPDX-License-Identifier: MIT
 *
 * model_loc.c - views, and the locations that they are about: one per atomic word, with its stores in their order.
 *
 * A location is made at a word's first use. Memory always contains the newest store of each word, so that plain reads
 * (assertions, printing) find it; a word that contains something else was assigned plainly, which counts as a store of
 * the thread that ran last and must be ordered with everybody's atomic accesses.
 *
 * Threads: the engine's one thread.
 */
#include "model_int.h"

#include <string.h>

void *pool_get(size_t n)
{
    n = (n + 15u) & ~(size_t)15u;
    if (M->pool_used + n > POOL_SIZE)
        model_die("out of pool memory");
    void *p = M->pool + M->pool_used;
    M->pool_used += n;
    return p;
}

/* --- views ------------------------------------------------------------------------------------------------------ */

uint16_t loc_pos(int loc, uint16_t id)
{
    return M->loc[loc].st[id].pos;
}

void view_join_locs(struct view *d, const struct view *s)
{
    if (s->n > d->n)
        d->n = s->n;
    for (unsigned i = 0; i < s->n; i++)
        if (s->at[i] != d->at[i] && loc_pos((int)i, s->at[i]) > loc_pos((int)i, d->at[i]))
            d->at[i] = s->at[i];
}

void view_join(struct view *d, const struct view *s)
{
    for (unsigned i = 0; i < MT; i++)
        if (s->clk[i] > d->clk[i])
            d->clk[i] = s->clk[i];
    if (s->now > d->now)
        d->now = s->now;
    view_join_locs(d, s);
}

void view_see(struct view *v, int loc, uint16_t id)
{
    if ((unsigned)loc >= v->n)
        v->n = (uint16_t)(loc + 1);
    if (loc_pos(loc, id) > loc_pos(loc, v->at[loc]))
        v->at[loc] = id;
}

const struct view *view_keep(const struct view *v)
{
    size_t n = offsetof(struct view, at) + v->n * sizeof(v->at[0]);
    struct view *k = pool_get(n);
    memcpy(k, v, n);
    return k;
}

/* --- locations -------------------------------------------------------------------------------------------------- */

static uint64_t mem_get(uintptr_t addr, unsigned size)
{
    uint32_t v4;
    uint64_t v8;
    if (size == 4) {
        memcpy(&v4, (const void *)addr, 4);
        return v4;
    }
    memcpy(&v8, (const void *)addr, 8);
    return v8;
}

static void mem_put(uintptr_t addr, unsigned size, uint64_t v)
{
    memcpy((void *)addr, &v, size); /* little endian */
}

void mem_reset(void)
{
    M->nloc = 0;
    M->gen++;
    M->pool_used = 0;
    memset(&M->sc, 0, sizeof M->sc);
    memset(&M->heavy, 0, sizeof M->heavy);
    memset(&M->rcu_done, 0, sizeof M->rcu_done);
    memset(&M->rcu_known, 0, sizeof M->rcu_known);
    memset(&M->rcu_off, 0, sizeof M->rcu_off);
    memset(M->futex, 0, sizeof M->futex);
    M->stores = 0;
}

static unsigned hash_of(uintptr_t addr)
{
    return (unsigned)((addr * UINT64_C(0x9e3779b97f4a7c15)) >> 53);
}

int mem_find(uintptr_t addr)
{
    for (unsigned h = hash_of(addr); M->hash[h].gen == M->gen; h = (h + 1) & 2047u)
        if (M->hash[h].addr == addr && M->hash[h].id >= 0 && !M->loc[M->hash[h].id].dead)
            return M->hash[h].id;
    return -1;
}

/* Adds a store directly after store `pred` in modification order; returns its number. */
uint16_t store_add(int loc, uint16_t pred, uint64_t val, const struct view *v, unsigned tid)
{
    struct loc *l = &M->loc[loc];
    if (l->n == l->cap) {
        uint16_t cap = (uint16_t)(l->cap == 0 ? 8 : l->cap * 2);
        struct store *st = pool_get(cap * sizeof *st);
        uint16_t *mo = pool_get(cap * sizeof *mo);
        if (l->n > 0) {
            memcpy(st, l->st, l->n * sizeof *st);
            memcpy(mo, l->mo, l->n * sizeof *mo);
        }
        l->st = st;
        l->mo = mo;
        l->cap = cap;
    }
    uint16_t id = l->n++;
    uint16_t pos = pred == NO_STORE ? 0 : (uint16_t)(l->st[pred].pos + 1);
    for (uint16_t i = id; i > pos; i--) {
        l->mo[i] = l->mo[i - 1];
        l->st[l->mo[i]].pos = i;
    }
    l->mo[pos] = id;
    l->st[id] = (struct store){.val = val, .view = v, .pos = pos, .ev = -1, .tid = (uint8_t)tid,
                               .clk = M->t[tid].cur.clk[tid]};
    if (pos == id) { /* last in modification order: what memory contains */
        if (l->mirror != val)
            mem_put(l->addr, l->size, val);
        l->mirror = val;
    }
    M->stores++;
    return id;
}

static int stack_owner(uintptr_t addr)
{
    for (unsigned i = 0; i < MT; i++)
        if (M->t[i].stack != NULL && addr - (uintptr_t)M->t[i].stack < STACK_SIZE)
            return (int)i;
    return -1;
}

/* The location of a word, made at its first use. Checks that the memory is there, unless the word is a mere key. */
int mem_loc(const void *p, unsigned size, bool key, const char *file, int line)
{
    uintptr_t addr = (uintptr_t)p;
    struct thread *t = self();
    if (addr % size != 0)
        model_fail(file, line, "misaligned atomic access at %p", p);
    if (addr < 4096)
        model_fail(file, line, "atomic access through a null pointer (%p)", p);
    int owner = stack_owner(addr);
    struct block *b = block_of(addr);
    if (key && b != NULL && b->freed) {
        for (int i = (int)M->nloc - 1; i >= 0; i--)
            if (M->loc[i].addr == addr)
                return i;
        return -1;
    }
    if (!key && owner > 0 && owner != t->id && M->t[owner].used && addr < M->t[owner].low)
        model_fail(file, line, "use after return: the word was in a frame of thread %d", owner - 1);
    if (!key)
        block_access(t, addr, file, line);
    int id = mem_find(addr);
    if (id < 0) {
        if (M->nloc == MLOC)
            model_die("too many atomic words (MLOC)");
        id = (int)M->nloc++;
        struct loc *l = &M->loc[id];
        uint64_t v = mem_get(addr, size);
        *l = (struct loc){.addr = addr, .size = (uint8_t)size, .blk = -1, .mirror = v, .plain = NO_STORE};
        l->stack = (int8_t)owner;
        if (b != NULL)
            l->blk = (int16_t)(b - M->blk);
        store_add(id, NO_STORE, v, NULL, 0);
        l->st[0].clk = 0;
        unsigned h = hash_of(addr);
        while (M->hash[h].gen == M->gen && M->hash[h].addr != addr)
            h = (h + 1) & 2047u;
        M->hash[h].addr = addr;
        M->hash[h].gen = M->gen;
        M->hash[h].id = id;
    } else if (M->loc[id].size != size) {
        model_fail(file, line, "one word is accessed with two sizes");
    }
    return id;
}

void mem_kill(uintptr_t base, size_t size)
{
    for (unsigned i = 0; i < M->nloc; i++)
        if (M->loc[i].addr - base < size)
            M->loc[i].dead = true;
}

/* Finds plain assignments to atomic words (initialisation) that thread t has made since it last stopped. */
void mem_scan(struct thread *t)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    for (unsigned i = 0; i < M->nloc; i++) {
        struct loc *l = &M->loc[i];
        if (l->dead)
            continue;
        if (l->stack >= 0) {
            if (l->stack != t->id)
                continue;
            if (l->addr < here) { /* its frame is gone */
                l->dead = true;
                continue;
            }
        }
        uint64_t v = mem_get(l->addr, l->size);
        if (v == l->mirror)
            continue;
        l->mirror = v;
        const struct store *last = &l->st[l->mo[l->n - 1]];
        if (last->clk > t->cur.clk[last->tid]) {
            char name[64];
            model_fail(t->op.file != NULL ? t->op.file : "(start)", t->op.line,
                       "data race: plain assignment (after this line) to %s and a store to it by thread %d",
                       loc_name((int)i, name, sizeof name), last->tid - 1);
        }
        uint16_t id = store_add((int)i, l->mo[l->n - 1], v, NULL, (unsigned)t->id);
        l->st[id].plain = true;
        l->st[id].ev = (int16_t)(M->immediate ? -1 : (int)M->nev);
        l->plain = id;
        view_see(&t->cur, (int)i, id);
        view_see(&t->acq, (int)i, id);
    }
}

void check_plain(const struct thread *t, int loc, const char *file, int line)
{
    const struct loc *l = &M->loc[loc];
    if (l->plain == NO_STORE)
        return;
    const struct store *s = &l->st[l->plain];
    if (s->clk > t->cur.clk[s->tid]) {
        char name[64];
        model_fail(file, line, "data race: atomic access to %s and a plain assignment to it by thread %d",
                   loc_name(loc, name, sizeof name), s->tid - 1);
    }
}
