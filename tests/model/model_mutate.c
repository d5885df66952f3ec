/* SPDX-License-Identifier: MIT
 *
 * model_mutate.c - a mutant: one operation of the sources under test that is weaker than its text says.
 *
 * Every operation passes here with its place and its orders before it is posted. So one program serves for all mutants,
 * and tells which places each of its clients reaches: tests/model/mutate runs only those clients.
 *
 *   PATH:FROM-TO:KIND:ORDER:FAIL:CHANGE   CHANGE is an order, "fail=" and an order, "removed", or "weak"
 *
 * PATH is the end of the source's path, FROM and TO the first and last line of the call; orders are numbers.
 *
 * Threads: the engine's one thread.
 * Invariants: the mutant outlives executions; the places are those of one client.
 */
#include "model_int.h"

#include <stdlib.h>
#include <string.h>

static const char *const kind_names[] = {[K_LOAD] = "load", [K_STORE] = "store", [K_RMW] = "rmw", [K_CAS] = "cas",
                                         [K_FENCE] = "fence", [K_LIGHT] = "light", [K_HEAVY] = "heavy"};
#define KINDS (sizeof kind_names / sizeof kind_names[0])

static void remember(const struct op *o)
{
    unsigned h = (unsigned)(((uintptr_t)o->file * 31 + (unsigned)o->line * 7 + (unsigned)o->kind) % SITES);
    for (; M->site[h].file != NULL; h = (h + 1) % SITES) {
        const struct site *s = &M->site[h];
        if (s->file == o->file && s->line == o->line && s->kind == o->kind && s->order == o->order &&
            s->fail == o->fail)
            return;
    }
    if (++M->nsites == SITES)
        model_die("too many places (SITES)");
    M->site[h] = (struct site){o->file, o->line, o->kind, o->order, o->fail};
}

static bool is_mutant(const struct mutant *m, const struct op *o)
{
    if (m->text == NULL || o->line < m->line_from || o->line > m->line_to || o->kind != m->kind ||
        o->order != m->order || o->fail != m->fail)
        return false;
    size_t n = strlen(o->file), k = strlen(m->path);
    return n >= k && strcmp(o->file + n - k, m->path) == 0;
}

/* Weakens the operation if it is the mutant. False: it is removed. */
bool mutate(struct op *o)
{
    if (M->list_sites)
        remember(o);
    const struct mutant *m = &M->mutant;
    if (!is_mutant(m, o))
        return true;
    switch (m->what) {
    case MUTANT_ORDER: o->order = m->to; break;
    case MUTANT_FAIL: o->fail = m->to; break;
    case MUTANT_WEAK: o->loose = true; break;
    case MUTANT_REMOVED: return false;
    }
    return true;
}

void mutant_set(const char *text)
{
    struct mutant *m = &M->mutant;
    char kind[16], change[16];
    unsigned k = 0;
    if (sscanf(text, "%95[^:]:%d-%d:%15[^:]:%d:%d:%15s", m->path, &m->line_from, &m->line_to, kind, &m->order, &m->fail,
               change) != 7)
        model_die("bad --mutant");
    while (k < KINDS && strcmp(kind_names[k], kind) != 0)
        k++;
    if (k == KINDS)
        model_die("bad kind in --mutant");
    m->kind = (enum kind)k;
    m->what = strcmp(change, "removed") == 0 ? MUTANT_REMOVED : strcmp(change, "weak") == 0 ? MUTANT_WEAK
            : strncmp(change, "fail=", 5) == 0 ? MUTANT_FAIL : MUTANT_ORDER;
    m->to = atoi(m->what == MUTANT_FAIL ? change + 5 : change);
    m->text = text;
}

/* Prints the places that the client has reached, and forgets them. */
void sites_print(void)
{
    for (unsigned i = 0; i < SITES; i++)
        if (M->site[i].file != NULL)
            printf("site %s:%d:%s:%d:%d\n", M->site[i].file, M->site[i].line, kind_names[M->site[i].kind],
                   M->site[i].order, M->site[i].fail);
    memset(M->site, 0, sizeof M->site);
    M->nsites = 0;
}
