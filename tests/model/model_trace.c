/* SPDX-License-Identifier: MIT
 *
 * model_trace.c - prints an interleaving for people, and as a token that replays it.
 *
 * A token is a list of steps: the letter of the thread that moves (a is client thread 0), a number in front if it moves
 * several times, `:k` behind if it takes its k-th choice instead of the first. Example: 12a3b:1b2a.
 *
 * Threads: the engine's one thread.
 */
#include "model_int.h"

#include <string.h>

static const char *const kind_names[] = {"load",   "store",  "rmw",    "cas",   "fence",   "light",      "heavy",
                                         "f_wait", "f_wake", "resume", "relax", "rcu on",  "rcu off",    "retire",
                                         "rcu barrier", "join", "start",  "begin"};
static const char *const rmw_names[] = {"xchg", "add", "sub", "or", "and"};

static const char *order_name(int order)
{
    switch (order) {
    case __ATOMIC_RELAXED: return "rlx";
    case __ATOMIC_ACQUIRE: return "acq";
    case __ATOMIC_CONSUME: return "con";
    case __ATOMIC_RELEASE: return "rel";
    case __ATOMIC_ACQ_REL: return "a_r";
    default: return "sc";
    }
}

const char *loc_name(int loc, char *buf, size_t n)
{
    if (loc < 0) {
        buf[0] = 0;
        return buf;
    }
    const struct loc *l = &M->loc[loc];
    for (unsigned i = 0; i < M->nnames; i++)
        if (M->names[i].p == l->addr)
            return M->names[i].name;
    if (l->blk >= 0)
        snprintf(buf, n, "block%d+%zu", l->blk, (size_t)(l->addr - M->blk[l->blk].base));
    else if (l->stack >= 0)
        snprintf(buf, n, "frame%d-%zu", l->stack - 1, (size_t)((uintptr_t)M->t[l->stack].stack + STACK_SIZE - l->addr));
    else
        snprintf(buf, n, "word%d", loc);
    return buf;
}

static void print_value(char *buf, size_t n, uint64_t v)
{
    for (unsigned i = 0; i < M->nnames; i++)
        if (v == M->names[i].p) {
            snprintf(buf, n, "&%s", M->names[i].name);
            return;
        }
    for (unsigned i = 0; i < M->nblk; i++)
        if (v >= M->blk[i].base && v - M->blk[i].base <= M->blk[i].size) {
            snprintf(buf, n, "&block%u+%zu", i, (size_t)(v - M->blk[i].base));
            return;
        }
    snprintf(buf, n, v < 100000 ? "%llu" : "0x%llx", (unsigned long long)v);
}

static void print_source(FILE *f, const struct event *e)
{
    if (e->rd == NO_STORE)
        return;
    const struct store *s = &M->loc[e->loc].st[e->rd];
    if (s->ev < 0)
        fprintf(f, "  <- first value");
    else
        fprintf(f, "  <- #%d of thread %d%s", s->ev, s->tid - 1, s->plain ? " (plain)" : "");
}

static void print_event(FILE *f, unsigned i)
{
    const struct event *e = &M->ev[i];
    char name[64], a[40], b[40];
    const char *file = strrchr(e->file, '/');
    file = file != NULL ? file + 1 : e->file;
    int w = fprintf(f, "  #%-4u T%d %s:%d", i, e->tid - 1, file, e->line);
    fprintf(f, "%*s %-7s", w < 36 ? 36 - w : 1, "", e->kind == K_RMW ? rmw_names[e->what] : kind_names[e->kind]);
    bool ordered = e->kind <= K_FENCE;
    fprintf(f, " %-3s %s", ordered ? order_name(e->order) : "", loc_name(e->loc, name, sizeof name));
    if (e->r) {
        print_value(a, sizeof a, e->rval);
        fprintf(f, " -> %s", a);
    }
    if (e->w) {
        print_value(b, sizeof b, e->wval);
        fprintf(f, " = %s", b);
        if (!e->r && e->pos + 1u < M->loc[e->loc].n && M->loc[e->loc].st[e->wr].pos + 1u < M->loc[e->loc].n)
            fprintf(f, " (overwritten in modification order)");
    }
    static const char *const modes[] = {"", " fails", " fails spuriously", " timed out"};
    if (e->kind == K_CAS || e->kind == K_RESUME)
        fprintf(f, "%s", modes[e->mode]);
    if (e->kind == K_RCU_ONLINE && e->mode == M_FAIL)
        fprintf(f, " (before the grace period)");
    if (e->kind == K_FWAIT)
        fprintf(f, e->mode == M_OK && e->n ? " sleeps" : " differs");
    if (e->kind == K_FWAKE)
        fprintf(f, " wakes %d", e->n);
    if (e->kind == K_START || e->kind == K_BEGIN)
        fprintf(f, " thread number %d", e->n);
    print_source(f, e);
    fputc('\n', f);
}

void trace_print(FILE *f)
{
    fprintf(f, "  step  thread, source                operation\n");
    for (unsigned i = 0; i < M->nev; i++) {
        if (i == 150 && M->nev > 400) {
            i = M->nev - 200;
            fprintf(f, "  ...\n");
        }
        print_event(f, i);
    }
    for (unsigned i = 1; i <= M->nthreads; i++) {
        const struct thread *t = &M->t[i];
        char name[64];
        if (t->finished)
            continue;
        const char *file = strrchr(t->op.file != NULL ? t->op.file : "", '/');
        fprintf(f, "  T%u stands at %s:%d (%s %s)%s%s\n", i - 1, file != NULL ? file + 1 : t->op.file, t->op.line,
                t->asleep ? "asleep on" : kind_names[t->op.kind], loc_name(t->op.loc, name, sizeof name),
                t->stalled ? ", stopped for ever" : "", t->yielded ? ", spinning" : "");
    }
}

void trace_token(char *out, size_t size)
{
    size_t n = 0;
    out[0] = 0;
    if (M->stall_after >= 0)
        n += (size_t)snprintf(out, size, "s%d.", M->stall_after);
    for (unsigned i = 0; i < M->nev && n + 24 < size;) {
        const struct event *e = &M->ev[i];
        unsigned run = 1;
        while (e->opt_index == 0 && i + run < M->nev && M->ev[i + run].tid == e->tid && M->ev[i + run].opt_index == 0)
            run++;
        if (run > 1)
            n += (size_t)snprintf(out + n, size - n, "%u", run);
        n += (size_t)snprintf(out + n, size - n, "%c", 'a' + e->tid - 1);
        if (e->opt_index != 0)
            n += (size_t)snprintf(out + n, size - n, ":%u", e->opt_index);
        if (e->opt_index != 0 && i + run < M->nev)
            n += (size_t)snprintf(out + n, size - n, ".");
        i += run;
    }
}
