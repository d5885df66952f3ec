/* SPDX-License-Identifier: MIT
 *
 * model_mem.c - the memory model: C11 as views over store histories, executed in program order.
 *
 * Each location has its stores in modification order. A thread's view says, per location, the oldest store that it may
 * still read; a load may read that one or any later one. Release stores carry the writer's view, acquire loads take it
 * over; fences work on the pending views `acq` and `rel`. A store may be put anywhere in modification order after what
 * its thread has seen, not just last. This is RC11 (Lahav et al., PLDI 2017) except for what docs/testing.md lists:
 * no load buffering (program order with reads-from has no cycles), release sequences as in C++20 (no later plain stores
 * of the same thread). The seq_cst order is C++20's, weaker than happens-before: a store gets its place in it as late
 * as can be, when its thread's next seq_cst operation does or when somebody's seq_cst operation must come after it.
 * Until then others may read it and be before it in that order. As a place only adds lower bounds to reads, the latest
 * moment allows all that an earlier one would.
 *
 * The asymmetric fence follows P1202 (Goldblatt 2018): a heavy and a light fence are ordered as two seq_cst fences
 * would be, two light fences are not ordered at all. So a light fence that ran before the heavy one has shown the heavy
 * side what its thread knew then, and one that runs later learns what the heavy side knew. A heavy fence has no
 * effect on a thread that executes no light fence; removing one is therefore visible.
 *
 * Threads: the engine's one thread.
 * Source: Kang et al., "A Promising Semantics for Relaxed-Memory Concurrency", POPL 2017, without promises.
 */
#include "model_int.h"

#include <string.h>

static bool is_acquire(int order)
{
    return order == __ATOMIC_ACQUIRE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST ||
           order == __ATOMIC_CONSUME;
}

static bool is_release(int order)
{
    return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

/* --- choices ---------------------------------------------------------------------------------------------------- */

static uint16_t low_bound(const struct thread *t, const struct op *o, bool sc)
{
    uint16_t b = loc_pos(o->loc, t->cur.at[o->loc]);
    if (sc && loc_pos(o->loc, M->sc.at[o->loc]) > b)
        b = loc_pos(o->loc, M->sc.at[o->loc]);
    if (o->kind == K_FWAIT && loc_pos(o->loc, M->futex[o->loc]) > b)
        b = loc_pos(o->loc, M->futex[o->loc]);
    return b;
}

static void add_option(struct opt *out, unsigned *n, uint16_t store, unsigned mode)
{
    if (*n == MOPT)
        model_die("too many choices at a step (MOPT)");
    out[(*n)++] = (struct opt){store, (uint16_t)mode};
}

/* A read that thread t has already done STALE_MAX times in a row, of a store that is not the newest. */
static bool too_stale(const struct thread *t, const struct loc *l, int loc, uint16_t id)
{
    return l->st[id].pos + 1u < l->n && t->stale_id[loc] == id && t->stale_n[loc] >= STALE_MAX;
}

/* Lists what operation o of thread t may do now, newest store first. */
unsigned mem_options(struct thread *t, const struct op *o, struct opt *out)
{
    unsigned n = 0;
    const struct loc *l = o->loc >= 0 ? &M->loc[o->loc] : NULL;
    uint16_t b;
    switch (o->kind) {
    case K_LOAD:
    case K_FWAIT:
        b = low_bound(t, o, o->order == __ATOMIC_SEQ_CST);
        for (int i = l->n - 1; i >= (int)b; i--) {
            if (too_stale(t, l, o->loc, l->mo[i])) {
                M->cuts_stale++;
                continue;
            }
            add_option(out, &n, l->mo[i], M_OK);
        }
        return n;
    case K_STORE:
        b = low_bound(t, o, o->order == __ATOMIC_SEQ_CST);
        for (int i = l->n - 1; i >= (int)b; i--)
            if (!l->st[l->mo[i]].taken)
                add_option(out, &n, l->mo[i], M_OK);
        return n;
    case K_RMW:
        b = low_bound(t, o, o->order == __ATOMIC_SEQ_CST);
        for (int i = l->n - 1; i >= (int)b; i--)
            if (!l->st[l->mo[i]].taken)
                add_option(out, &n, l->mo[i], M_OK);
        return n;
    case K_CAS:
        b = low_bound(t, o, false);
        for (int i = l->n - 1; i >= (int)b; i--) {
            uint16_t id = l->mo[i];
            bool differs = l->st[id].val != o->expected;
            if (i < (int)low_bound(t, o, (differs ? o->fail : o->order) == __ATOMIC_SEQ_CST))
                continue;
            if (differs) {
                if (too_stale(t, l, o->loc, id))
                    M->cuts_stale++;
                else
                    add_option(out, &n, id, M_FAIL);
                continue;
            }
            if (!l->st[id].taken)
                add_option(out, &n, id, M_OK);
            if ((o->weak && t->spurious_cas > 0) || (o->loose && t->loose_cas > 0))
                add_option(out, &n, id, M_SPURIOUS);
        }
        return n;
    default:
        add_option(out, &n, 0, M_OK);
        return n;
    }
}

/*
 * Whether thread t's seq_cst access e comes after the late store of thread u in the seq_cst order: u is t; or t has
 * learned of something that u did after the store (which then strongly happens before e: what t learns from the store
 * itself, by a weaker load, does not count); or e reads the store, or one that follows it in modification order.
 */
static bool comes_after_late(const struct thread *t, const struct event *e, const struct thread *u)
{
    const struct store *s = &M->loc[u->late_loc].st[u->late_id];
    return u == t || t->cur.clk[u->id] > s->clk ||
           (e->rd != NO_STORE && e->loc == u->late_loc && loc_pos(e->loc, e->rd) >= s->pos);
}

static void describe_settled(const struct thread *t, struct event *e)
{
    for (unsigned i = 1; i < MT; i++)
        if (M->t[i].late && comes_after_late(t, e, &M->t[i]))
            e->settles[i] = (int16_t)(M->t[i].late_loc + 1);
}

/* Fills in the parts of an event that decide what it commutes with, before it is executed. */
void mem_describe(const struct thread *t, const struct op *o, struct opt p, struct event *e)
{
    *e = (struct event){.tid = (uint8_t)t->id, .kind = (uint8_t)o->kind, .mode = (uint8_t)p.mode, .loc = o->loc,
                        .rd = NO_STORE, .wr = NO_STORE, .pred = NO_STORE, .order = o->order, .what = o->what,
                        .file = o->file, .line = o->line};
    switch (o->kind) {
    case K_LOAD:
    case K_FWAIT:
        e->r = true;
        e->rd = p.store;
        e->sc = o->order == __ATOMIC_SEQ_CST;
        break;
    case K_STORE:
        e->w = true;
        e->pred = p.store;
        e->sc = o->order == __ATOMIC_SEQ_CST;
        break;
    case K_RMW:
    case K_CAS:
        e->r = true;
        e->rmw = true;
        e->rd = p.store;
        e->w = p.mode == M_OK;
        e->pred = e->w ? p.store : (uint16_t)NO_STORE;
        e->sc = (o->kind == K_RMW || p.mode == M_OK ? o->order : o->fail) == __ATOMIC_SEQ_CST;
        break;
    case K_FENCE:
        e->sc = o->order == __ATOMIC_SEQ_CST;
        break;
    case K_HEAVY:
        e->sc = true;
        break;
    case K_RELAX:
        e->rset = t->rset;
        break;
    default:
        break;
    }
    if (e->sc && e->loc >= 0)
        describe_settled(t, e);
    if (t->yielded)
        e->yset = t->yset;
}

/* --- effects ---------------------------------------------------------------------------------------------------- */

static void read_from(struct thread *t, int loc, uint16_t id, int order)
{
    struct loc *l = &M->loc[loc];
    view_see(&t->cur, loc, id);
    view_see(&t->acq, loc, id);
    const struct view *v = l->st[id].view;
    if (v != NULL) {
        view_join(&t->acq, v);
        if (is_acquire(order))
            view_join(&t->cur, v);
    }
    if (t->stale_id[loc] == id) {
        if (t->stale_n[loc] < 255)
            t->stale_n[loc]++;
    } else {
        t->stale_id[loc] = id;
        t->stale_n[loc] = 1;
    }
    set_add(t->rset, loc);
}

static uint16_t write_after(struct thread *t, int loc, uint16_t pred, uint64_t val, int order, const struct view *rmw)
{
    uint16_t id = store_add(loc, pred, val, NULL, (unsigned)t->id);
    view_see(&t->cur, loc, id);
    view_see(&t->acq, loc, id);
    struct view *v;
    struct view tmp;
    const struct view *base = is_release(order) ? &t->cur : &t->rel;
    if (rmw == NULL) {
        v = base->n == 0 && base->clk[t->id] == 0 ? NULL : (struct view *)(uintptr_t)view_keep(base);
    } else {
        memset(&tmp, 0, sizeof tmp);
        view_join(&tmp, base);
        view_join(&tmp, rmw);
        v = (struct view *)(uintptr_t)view_keep(&tmp);
    }
    M->loc[loc].st[id].view = v;
    M->loc[loc].st[id].ev = (int16_t)(M->immediate ? -1 : (int)M->nev);
    return id;
}

static uint64_t mask_of(unsigned size)
{
    return size == 4 ? UINT64_C(0xffffffff) : UINT64_MAX;
}

static uint64_t rmw_value(int what, uint64_t old, uint64_t x)
{
    switch (what) {
    case MODEL_ADD: return old + x;
    case MODEL_SUB: return old - x;
    case MODEL_OR: return old | x;
    case MODEL_AND: return old & x;
    default: return x;
    }
}

/* The late store of a thread enters the seq_cst order. */
static void settle(struct thread *u)
{
    view_see(&M->sc, u->late_loc, u->late_id);
    u->late = false;
}

static void sc_fence(struct thread *t)
{
    t->late = false; /* what the thread has stored it knows */
    view_join(&t->cur, &t->acq);
    view_join_locs(&t->cur, &M->sc);
    view_join_locs(&M->sc, &t->cur);
    view_join(&t->acq, &t->cur);
    t->rel = t->cur;
}

static void fence_exec(struct thread *t, int order)
{
    if (order == __ATOMIC_SEQ_CST) {
        sc_fence(t);
        return;
    }
    if (is_acquire(order))
        view_join(&t->cur, &t->acq);
    if (is_release(order))
        t->rel = t->cur;
}

static void light_exec(struct thread *t)
{
    view_join_locs(&t->cur, &M->heavy);
    view_join_locs(&t->acq, &M->heavy);
    view_join_locs(&t->rel, &M->heavy);
    view_join_locs(&t->lit, &t->acq);
}

static void heavy_exec(struct thread *t)
{
    sc_fence(t);
    for (unsigned i = 1; i < MT; i++)
        if ((int)i != t->id && M->t[i].used)
            view_join_locs(&t->cur, &M->t[i].lit);
    view_join_locs(&M->heavy, &t->cur);
    sc_fence(t);
}

/* os_relax(): what the thread has read is stale no longer, and it waits until some of it changes. */
static void relax_exec(struct thread *t, struct event *e)
{
    uint64_t *keep = pool_get(sizeof t->rset);
    memcpy(keep, t->rset, sizeof t->rset);
    e->rset = keep;
    bool changed = false;
    memset(t->yset, 0, sizeof t->yset);
    t->ycount = 0;
    for (unsigned i = 0; i < M->nloc; i++) {
        struct loc *l = &M->loc[i];
        if (l->dead || !set_has(t->rset, (int)i))
            continue;
        uint16_t last = l->mo[l->n - 1];
        if (t->cur.at[i] != last) {
            changed = true;
            view_see(&t->cur, (int)i, last);
            view_see(&t->acq, (int)i, last);
        }
        set_add(t->yset, (int)i);
        t->ycount += l->n;
    }
    memset(t->rset, 0, sizeof t->rset);
    t->cur.now += RELAX_NS;
    t->acq.now = t->cur.now;
    if (t->relaxes > 0)
        t->relaxes--;
    else
        t->yielded = !changed;
}

/* Executes o with choice p; fills in e. */
void mem_exec(struct thread *t, struct op *o, struct opt p, struct event *e)
{
    mem_describe(t, o, p, e);
    if (e->yset != NULL) {
        uint64_t *keep = pool_get(sizeof t->yset);
        memcpy(keep, t->yset, sizeof t->yset);
        e->yset = keep;
        t->yielded = false;
    }
    for (unsigned i = 1; i < MT; i++)
        if (e->settles[i] != 0)
            settle(&M->t[i]);
    struct loc *l = NULL;
    if (o->loc >= 0) {
        l = &M->loc[o->loc];
        if (l->dead && o->kind != K_FWAKE && o->kind != K_RESUME)
            model_fail(o->file, o->line, "use after free: the word was freed before this access");
        if (l->blk >= 0 && o->kind != K_FWAKE && o->kind != K_RESUME)
            block_access(t, l->addr, o->file, o->line);
        if (o->kind != K_FWAKE) /* a wake reads nothing: the word may be somebody else's by now */
            check_plain(t, o->loc, o->file, o->line);
        e->bound = t->cur.at[o->loc];
    }
    switch (o->kind) {
    case K_LOAD:
        o->result = e->rval = l->st[p.store].val;
        read_from(t, o->loc, p.store, o->order);
        break;
    case K_STORE:
        e->wval = o->x & mask_of(l->size);
        e->wr = write_after(t, o->loc, p.store, e->wval, o->order, NULL);
        break;
    case K_RMW:
    case K_CAS: {
        static const struct view empty;
        uint64_t old = l->st[p.store].val;
        o->result = e->rval = old;
        o->ok = p.mode == M_OK;
        if (p.mode == M_SPURIOUS)
            --*(o->loose ? &t->loose_cas : &t->spurious_cas);
        read_from(t, o->loc, p.store, o->ok ? o->order : o->fail);
        if (!o->ok)
            break;
        const struct view *v = l->st[p.store].view;
        l->st[p.store].taken = true;
        e->wval = (o->kind == K_CAS ? o->x : rmw_value(o->what, old, o->x)) & mask_of(l->size);
        e->wr = write_after(t, o->loc, p.store, e->wval, o->order, v != NULL ? v : &empty);
        break;
    }
    case K_FENCE:
        fence_exec(t, o->order);
        break;
    case K_LIGHT:
        light_exec(t);
        break;
    case K_HEAVY:
        heavy_exec(t);
        break;
    case K_RELAX:
        relax_exec(t, e);
        break;
    default:
        break;
    }
    if (e->w && e->sc) {
        t->late = true;
        t->late_loc = o->loc;
        t->late_id = e->wr;
        if (M->immediate)
            settle(t);
    }
    if (e->w)
        e->pos = loc_pos(o->loc, e->wr);
    t->cur.clk[t->id]++;
    if (t->acq.clk[t->id] < t->cur.clk[t->id])
        t->acq.clk[t->id] = t->cur.clk[t->id];
}
