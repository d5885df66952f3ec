/* SPDX-License-Identifier: MIT
 *
 * model_search.c - which executions are run: depth first with partial-order reduction, at random, or one by its token.
 *
 * Depth first: source-set DPOR (Abdulla, Aronis, Jonsson, Sagonas, POPL 2014) with sleep sets, over transitions that
 * are a thread's operation *with its choice* (which store is read, after which store is written). A load that reads an
 * older store commutes with a new store to the same word, so interleavings are told apart only by what was read from
 * where, by the order of stores, and by the order of seq_cst fences, futex calls and grace periods. A new store is a
 * reason to run an earlier load again after it, with the new store as its only choice that is awake.
 *
 * Random: PCT (Burckhardt et al., ASPLOS 2010): random priorities, a few random points at which the running thread
 * becomes the least important; choices of stores at random, the newest one half of the time.
 *
 * Threads: the engine's one thread.
 */
#include "model_int.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- backtracking ----------------------------------------------------------------------------------------------- */

static void backtrack_add(unsigned at, unsigned tid)
{
    M->node[at].backtrack |= (uint8_t)(1u << tid);
    if (M->bound < 0)
        return;
    /* With a bound, also where that thread could have come in without a preemption more. */
    while (at > 0 && M->node[at].tid == M->node[at - 1].tid)
        at--;
    if ((M->node[at].enabled >> tid & 1u) != 0)
        M->node[at].backtrack |= (uint8_t)(1u << tid);
}

/* Events a (at node j) and b, the newest, race: makes sure that b's side is tried before a. */
static void race_found(unsigned j, const struct event *b, const uint16_t *clk)
{
    const struct event *a = &M->ev[j];
    unsigned first = 0, initials = 0;
    for (unsigned k = j + 1; k <= M->nev; k++) {
        const struct event *e = &M->ev[k];
        bool last = k == M->nev;
        const uint16_t *c = last ? clk : e->clk;
        if (!last && e->clk[a->tid] >= a->seq)
            continue; /* needs a */
        unsigned tid = last ? b->tid : e->tid;
        if ((first >> tid & 1u) != 0)
            continue;
        first |= 1u << tid;
        bool initial = true;
        for (unsigned m = j + 1; m < k && initial; m++) {
            const struct event *f = &M->ev[m];
            if (f->clk[a->tid] >= a->seq || f->tid == tid)
                continue;
            /* b chooses again when it comes before a: a store that it might then read from has to come first. */
            if (f->seq <= c[f->tid] || (last && b->r && f->w && f->loc == b->loc))
                initial = false;
        }
        if (initial)
            initials |= 1u << tid;
    }
    struct node *n = &M->node[j];
    if ((n->backtrack & initials) != 0)
        return;
    unsigned can = initials & n->enabled;
    if (can == 0) {
        for (unsigned t = 1; t <= M->nthreads; t++)
            if ((n->enabled >> t & 1u) != 0)
                backtrack_add(j, t);
        return;
    }
    backtrack_add(j, (can >> b->tid & 1u) != 0 ? b->tid : (unsigned)__builtin_ctz(can));
}

static void sleep_push(struct node *n, unsigned tid, struct opt o)
{
    if (n->nsleep == n->csleep) {
        n->csleep = (uint16_t)(n->csleep == 0 ? 16 : n->csleep * 2);
        n->sleep = realloc(n->sleep, n->csleep * sizeof *n->sleep);
        if (n->sleep == NULL)
            model_die("out of memory");
    }
    n->sleep[n->nsleep++] = (struct sleeper){(uint8_t)tid, o};
}

static bool is_asleep(const struct node *n, unsigned tid, struct opt o)
{
    for (unsigned i = 0; i < n->nsleep; i++)
        if (n->sleep[i].tid == tid && n->sleep[i].opt.store == o.store && n->sleep[i].opt.mode == o.mode)
            return true;
    return false;
}

/* Fills in the choices of thread tid at node n that are awake; returns how many. */
static unsigned node_options(struct node *n, unsigned tid)
{
    struct opt all[MOPT];
    M->self = (int)tid;
    unsigned k = op_options(&M->t[tid], all);
    M->self = 0;
    n->tid = (uint8_t)tid;
    n->nopt = 0;
    n->cur = 0;
    n->opts_known = true;
    n->kind = (uint8_t)M->t[tid].op.kind;
    n->loc = M->t[tid].op.loc;
    for (unsigned i = 0; i < k; i++)
        if (!is_asleep(n, tid, all[i]))
            n->opt[n->nopt++] = all[i];
    return n->nopt;
}

static unsigned preemptions(unsigned at, unsigned tid)
{
    if (at == 0)
        return 0;
    const struct node *prev = &M->node[at - 1];
    bool preempts = tid != prev->tid && (M->node[at].enabled >> prev->tid & 1u) != 0;
    return prev->preempt + preempts;
}

static bool within_bound(unsigned at, unsigned tid)
{
    unsigned p = preemptions(at, tid);
    if (M->bound >= 0 && p > (unsigned)M->bound) {
        M->cuts_preempt++;
        return false;
    }
    M->node[at].preempt = (uint16_t)p;
    return true;
}

/* Marks the node's thread as done with, and goes to the next one that is to be tried there. */
static bool node_next_thread(unsigned at)
{
    struct node *n = &M->node[at];
    if (n->opts_known && !M->opts->naive)
        for (unsigned i = 0; i < n->nopt; i++)
            sleep_push(n, n->tid, n->opt[i]);
    n->done |= (uint8_t)(1u << n->tid);
    for (unsigned t = 1; t <= MODEL_THREADS_MAX; t++)
        if (((unsigned)n->backtrack & n->enabled & ~(unsigned)n->done) >> t & 1u) {
            n->tid = (uint8_t)t;
            n->opts_known = false;
            n->nopt = n->cur = 0;
            if (within_bound(at, t))
                return true;
            n->done |= (uint8_t)(1u << t);
        }
    return false;
}

static bool dfs_choose(unsigned enabled, int *tid, struct opt *opt)
{
    unsigned at = M->nev;
    struct node *n = &M->node[at];
    if (at < M->nnode) {
        if (n->enabled != enabled) {
            M->broken = true;
            return false;
        }
        while (!n->opts_known && node_options(n, n->tid) == 0)
            if (!node_next_thread(at)) {
                n->opts_known = true;
                return false;
            }
        if (n->kind != (uint8_t)M->t[n->tid].op.kind || n->loc != M->t[n->tid].op.loc) {
            M->broken = true;
            return false;
        }
    } else {
        struct sleeper *keep = n->sleep;
        uint16_t cap = n->csleep;
        memset(n, 0, sizeof *n);
        n->sleep = keep;
        n->csleep = cap;
        n->enabled = (uint8_t)enabled;
        for (unsigned i = 0; i < M->nnext_sleep; i++)
            sleep_push(n, M->next_sleep[i].tid, M->next_sleep[i].opt);
        M->nnode = at + 1;
        bool found = false;
        for (unsigned k = 0; k <= M->nthreads && !found; k++) {
            unsigned t = k == 0 ? (unsigned)M->last_tid : k;
            if ((enabled >> t & 1u) == 0 || (k > 0 && (int)t == M->last_tid))
                continue;
            if (node_options(n, t) == 0)
                continue;
            found = within_bound(at, t);
        }
        if (!found) {
            M->nnode = at;
            return false;
        }
        n->backtrack = M->opts->naive ? n->enabled : (uint8_t)(1u << n->tid);
    }
    *tid = n->tid;
    *opt = n->opt[n->cur];
    return true;
}

/* The next execution: changes the deepest node that has something left. false: all is explored. */
static bool dfs_next(void)
{
    while (M->nnode > 0) {
        unsigned at = M->nnode - 1;
        struct node *n = &M->node[at];
        M->replay_to = at;
        if (n->opts_known && n->cur + 1u < n->nopt) {
            n->cur++;
            return true;
        }
        if (node_next_thread(at))
            return true;
        M->nnode = at;
    }
    return false;
}

/* --- random and replay ------------------------------------------------------------------------------------------ */

static uint32_t rnd(uint32_t n)
{
    M->rng ^= M->rng >> 12;
    M->rng ^= M->rng << 25;
    M->rng ^= M->rng >> 27;
    return (uint32_t)((((M->rng * UINT64_C(0x2545f4914f6cdd1d)) >> 32) * n) >> 32);
}

static void pct_start(uint64_t seed)
{
    M->rng = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    (void)rnd(2);
    unsigned depth = M->client->pct_depth > 0 ? (unsigned)M->client->pct_depth : 3;
    M->nchange = depth > 32 ? 32 : depth;
    unsigned len = M->pct_steps > 0 ? M->pct_steps : 100;
    for (unsigned i = 0; i < M->nchange; i++)
        M->change[i] = rnd(len);
    for (unsigned i = 0; i < MT; i++)
        M->prio[i] = 100 + rnd(1000000);
}

static void pct_choose(unsigned enabled, int *tid, struct opt *opt)
{
    struct opt all[MOPT];
    unsigned best = 0;
    for (unsigned i = 0; i < M->nchange; i++)
        if (M->change[i] == M->nev && M->nev > 0)
            M->prio[M->last_tid] = i;
    for (unsigned t = 1; t <= M->nthreads; t++)
        if ((enabled >> t & 1u) != 0 && (best == 0 || M->prio[t] > M->prio[best]))
            best = t;
    unsigned n = op_options(&M->t[best], all);
    *tid = (int)best;
    *opt = all[n == 1 || rnd(2) == 0 ? 0 : rnd(n)];
}

static bool replay_choose(unsigned enabled, int *tid, struct opt *opt)
{
    static const struct opt none;
    struct opt all[MOPT];
    *opt = none;
    while (*M->replay == '.')
        M->replay++;
    if (*M->replay == 0) { /* beyond the token: the first thread that can */
        *tid = __builtin_ctz(enabled);
        op_options(&M->t[*tid], all);
        *opt = all[0];
        return true;
    }
    char *end;
    unsigned long run = strtoul(M->replay, &end, 10);
    if (end == M->replay)
        run = 1;
    unsigned t = (unsigned)(*end - 'a') + 1;
    if (t > M->nthreads || (enabled >> t & 1u) == 0) {
        M->broken = true;
        return false;
    }
    unsigned index = 0;
    const char *rest = end + 1;
    if (*rest == ':') {
        index = (unsigned)strtoul(rest + 1, &end, 10);
        rest = end;
    }
    if (M->pct_steps + 1 < run) { /* pct_steps counts the repetitions here */
        M->pct_steps++;
    } else {
        M->pct_steps = 0;
        M->replay = rest;
    }
    *tid = (int)t;
    if (index >= op_options(&M->t[t], all)) {
        M->broken = true;
        return false;
    }
    *opt = all[index];
    return true;
}

/* Chooses who moves and how. false: this execution is not worth going on with. */
bool search_choose(unsigned enabled, int *tid, struct opt *opt, unsigned *index)
{
    struct opt all[MOPT];
    bool ok = true;
    if (M->opts->replay != NULL)
        ok = replay_choose(enabled, tid, opt);
    else if (M->opts->pct)
        pct_choose(enabled, tid, opt);
    else
        ok = dfs_choose(enabled, tid, opt);
    if (!ok)
        return false;
    unsigned n = op_options(&M->t[*tid], all);
    for (*index = 0; *index < n; (*index)++)
        if (all[*index].store == opt->store && all[*index].mode == opt->mode)
            return true;
    M->broken = true;
    return false;
}

/*
 * Event *e, the newest, has just been executed: its place in the partial order, its races, who stays asleep.
 *
 * A read that is tied to an earlier event by the seq_cst order (or a futex wait to a wake) may be unable to read from
 * the store *e because of that event. So *e has to be tried before that event as well, not only before the read.
 */
void search_event(struct event *e)
{
    struct thread *t = &M->t[e->tid];
    e->seq = (uint16_t)++t->seq;
    if (M->opts->replay != NULL || M->opts->pct)
        return;
    unsigned at = M->nev;
    struct node *n = &M->node[at];
    if (at < M->replay_to) {
        memcpy(e->clk, n->clk, sizeof e->clk);
    } else {
        uint16_t clk[MT];
        const struct event *held[MT]; /* per thread: the earliest read so far that races with e and is held by others */
        memset(held, 0, sizeof held);
        memcpy(clk, t->clk, sizeof clk);
        for (unsigned j = at; j-- > 0;) {
            const struct event *a = &M->ev[j];
            if (a->tid == e->tid || a->seq <= clk[a->tid])
                continue;
            bool race = races(a, e);
            for (unsigned i = 1; i < MT && !race; i++)
                race = held[i] != NULL && a->tid != i && ordered_pair(a, held[i]);
            if (race)
                race_found(j, e, clk);
            if (e->w && a->r && a->loc == e->loc && (a->sc || a->kind == K_FWAIT))
                held[a->tid] = a;
            if (depends(a, e))
                for (unsigned i = 0; i < MT; i++)
                    if (a->clk[i] > clk[i])
                        clk[i] = a->clk[i];
        }
        clk[e->tid] = e->seq;
        memcpy(e->clk, clk, sizeof clk);
        memcpy(n->clk, clk, sizeof clk);
    }
    memcpy(t->clk, e->clk, sizeof t->clk);
    if (at + 1 < M->nnode)
        return;
    M->nnext_sleep = 0;
    for (unsigned i = 0; i < n->nsleep && M->nnext_sleep + 2 < MEV; i++) {
        struct sleeper z = n->sleep[i];
        struct event ze;
        if (z.tid == e->tid)
            continue;
        mem_describe(&M->t[z.tid], &M->t[z.tid].op, z.opt, &ze);
        struct opt same[2];
        unsigned k = still_asleep(&ze, e, same);
        for (unsigned s = 0; s < k; s++)
            M->next_sleep[M->nnext_sleep++] = (struct sleeper){z.tid, ze.r || ze.w ? same[s] : z.opt};
    }
}

/* --- the search ------------------------------------------------------------------------------------------------- */

#define STALL_PLACES 40u /* among so many places is a limit divided */

static double seconds_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void report(void)
{
    struct model_result *r = M->res;
    trace_token(r->token, sizeof r->token);
    r->verdict = MODEL_FAIL;
    if (M->opts->quiet)
        return;
    printf("\n%s: %s\n", M->client->name, r->message);
    trace_print(stdout);
    printf("  => %s\n  replay with: --only %s --replay %s\n", r->message, M->client->name, r->token);
}

/* Explores the executions in which the stalling thread stops at one place (or nowhere). false: stop searching. */
static bool explore(unsigned places)
{
    struct model_result *r = M->res;
    const struct model_options *o = M->opts;
    uint64_t executions = r->executions + r->redundant / 8 + o->executions / places;
    double end = seconds_now() + o->seconds / places;
    M->nnode = M->replay_to = 0;
    for (;;) {
        if (o->pct)
            pct_start(o->seed + r->executions);
        execution_run();
        if (M->nev > r->longest)
            r->longest = M->nev;
        if (o->pct)
            M->pct_steps = r->longest;
        if (M->broken) {
            r->verdict = MODEL_BROKEN;
            snprintf(r->message, sizeof r->message, "not deterministic, or a token of another program");
            return false;
        }
        if (M->failed) {
            report();
            return false;
        }
        if (M->blocked)
            r->redundant++;
        else
            r->executions++;
        if (o->replay != NULL)
            return false;
        uint64_t ran = r->executions + r->redundant;
        bool limit = (o->executions > 0 && r->executions + r->redundant / 8 >= executions) ||
                     (o->seconds > 0 && (ran & 63u) == 0 && seconds_now() > end);
        r->cut_limit |= limit;
        if (limit || (!o->pct && !dfs_next()))
            return true;
    }
}

void model_check(const struct model_client *c, const struct model_options *o, struct model_result *r)
{
    double start = seconds_now();
    memset(r, 0, sizeof *r);
    M->client = c;
    M->opts = o;
    M->res = r;
    M->broken = false;
    M->cuts_preempt = M->cuts_stale = 0;
    M->pct_steps = 0;
    M->bound = (o->deep ? c->deep_preemptions : c->preemptions) > 0 ? (o->deep ? c->deep_preemptions : c->preemptions)
                                                                    : -1;
    M->stall_after = -1;
    if (o->replay != NULL) {
        M->replay = o->replay;
        if (*o->replay == 's')
            M->stall_after = atoi(o->replay + 1);
        if (*o->replay == 's')
            while (*M->replay != 0 && *M->replay++ != '.') { }
    }
    bool go = explore(c->stall > 0 ? STALL_PLACES : 1);
    for (int after = 0; go && c->stall > 0 && o->replay == NULL; after++) {
        M->stall_after = after;
        M->stalled_once = false;
        go = explore(STALL_PLACES) && M->stalled_once;
    }
    r->cut_preemption = M->cuts_preempt;
    r->cut_stale = M->cuts_stale;
    r->seconds = seconds_now() - start;
    bool cut = r->cut_limit || r->cut_preemption > 0 || r->cut_stale > 0;
    r->exhausted = !o->pct && o->replay == NULL && r->verdict == MODEL_PASS && !cut;
}
