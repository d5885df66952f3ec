/* SPDX-License-Identifier: MIT
 *
 * model_order.c - what commutes with what: the relations on events from which the search knows what it may leave out.
 *
 * Two executions are the same if they differ only in the order of events that commute. Loads commute with the stores
 * that they do not read from; stores of one word commute, because each may be placed before or after the other.
 *
 * Threads: the engine's one thread.
 */
#include "model_int.h"

static bool is_sc_fence(const struct event *e)
{
    return e->kind == K_HEAVY || (e->kind == K_FENCE && e->order == __ATOMIC_SEQ_CST);
}

static bool is_sc_access(const struct event *e)
{
    return e->sc && e->loc >= 0;
}

/* Whether a puts a store into the seq_cst order of the word that b accesses, or puts one there, too. */
static bool settles_for(const struct event *a, const struct event *b)
{
    for (unsigned i = 1; i < MT; i++) {
        if (a->settles[i] == 0)
            continue;
        if (a->settles[i] == b->loc + 1)
            return true;
        for (unsigned k = 1; k < MT; k++)
            if (a->settles[i] == b->settles[k])
                return true;
    }
    return false;
}

static bool is_rcu(const struct event *e)
{
    return e->kind >= K_RCU_ONLINE && e->kind <= K_RCU_BARRIER;
}

/* Pairs whose order matters whichever came first: fences, futex calls, grace periods, spinning. */
bool ordered_pair(const struct event *a, const struct event *b)
{
    if (is_sc_fence(a) && (is_sc_fence(b) || is_sc_access(b)))
        return true;
    if (is_sc_fence(b) && is_sc_access(a))
        return true;
    if (is_sc_access(a) && is_sc_access(b) && (settles_for(a, b) || settles_for(b, a)))
        return true;
    if ((a->kind == K_LIGHT && b->kind == K_HEAVY) || (a->kind == K_HEAVY && b->kind == K_LIGHT))
        return true;
    if (is_sc_access(a) && is_sc_access(b) && a->loc == b->loc && (a->w || b->w))
        return true;
    if (a->kind == K_FWAKE || b->kind == K_FWAKE) {
        bool fa = a->kind == K_FWAKE || a->kind == K_FWAIT || a->kind == K_RESUME;
        bool fb = b->kind == K_FWAKE || b->kind == K_FWAIT || b->kind == K_RESUME;
        if (fa && fb && a->loc == b->loc)
            return true;
    }
    if (a->kind == K_RELAX && b->w && set_has(a->rset, b->loc))
        return true;
    if (b->kind == K_RELAX && a->w && set_has(b->rset, a->loc))
        return true;
    if (a->kind == K_START && b->kind == K_START)
        return true; /* they are numbered */
    if (is_rcu(a) && is_rcu(b)) {
        bool strong_a = a->kind == K_RCU_RETIRE || a->kind == K_RCU_BARRIER || a->gp;
        bool strong_b = b->kind == K_RCU_RETIRE || b->kind == K_RCU_BARRIER || b->gp;
        return strong_a || strong_b;
    }
    return false;
}

/*
 * What a sleeping transition z is after event e of another thread: itself (1), under two names (2: a store that may go
 * before or after the one that e wrote leads to nothing new in either place), or something new, that is, awake (0).
 * Stores to one word commute because each may be put on either side of the other, whichever comes first.
 */
unsigned still_asleep(const struct event *z, const struct event *e, struct opt out[2])
{
    if (ordered_pair(z, e))
        return 0;
    out[0] = (struct opt){z->r ? z->rd : z->pred, z->mode};
    if (z->loc < 0 || z->loc != e->loc || !z->w || !e->w || z->pred != e->pred)
        return 1;
    if (z->rmw)
        return e->rmw ? 0 : 1;
    out[1] = (struct opt){e->wr, z->mode};
    if (!e->rmw)
        return 2;
    out[0] = out[1];
    return 1;
}

/* Whether event b, which came later, could not have come before a, or not with the same result. */
bool depends(const struct event *a, const struct event *b)
{
    if (a->loc >= 0 && a->loc == b->loc && a->w && b->rd != NO_STORE && b->rd == a->wr)
        return true;
    if (a->w && set_has(b->yset, a->loc))
        return true;
    if (b->kind == K_JOIN && a->tid == (unsigned)b->n)
        return true;
    if (a->kind == K_START && b->kind == K_BEGIN && a->n == b->n)
        return true;
    return ordered_pair(a, b);
}

/* Whether running b's thread before a could lead to something that a's other choices don't show. */
bool races(const struct event *a, const struct event *b)
{
    if (a->loc >= 0 && a->loc == b->loc) {
        const struct loc *l = &M->loc[a->loc];
        if (a->r && b->w && l->st[b->wr].pos > l->st[a->bound].pos)
            return true;
        if (a->rmw && a->w && b->rmw)
            return true;
    }
    if (a->kind == K_FWAKE && b->kind == K_RESUME && b->mode == M_OK)
        return false; /* it enabled it */
    return ordered_pair(a, b);
}
