/* SPDX-License-Identifier: MIT
 *
 * fuzz.c - the reduction against none: random tiny programs must have the same outcomes with and without it.
 *
 * usage: fuzz [--deep | FIRST [COUNT]]: COUNT programs from seed FIRST on.
 *
 * Threads: one; client threads are fibers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomics.h"
#include "base/util.h"
#include "model.h"
#include "os/os.h"
#include "os/rcu.h"

#define OPS_MAX 4u
#define PROGRAMS 60u
#define PROGRAMS_DEEP 20000u

struct step {
    int what, order;
    unsigned var, arg;
};

struct program {
    unsigned threads, ops;
    struct step step[3][OPS_MAX];
};

static weir_atomic_u32 var[2];
static uint64_t reg[3][OPS_MAX];

/* Not static data of the program: that is restored before each execution. */
static struct program *prog;

static const int load_orders[] = {__ATOMIC_RELAXED, __ATOMIC_ACQUIRE, __ATOMIC_SEQ_CST};
static const int store_orders[] = {__ATOMIC_RELAXED, __ATOMIC_RELEASE, __ATOMIC_SEQ_CST};
static const int rmw_orders[] = {__ATOMIC_RELAXED, __ATOMIC_ACQ_REL, __ATOMIC_SEQ_CST};
static const int fence_orders[] = {__ATOMIC_SEQ_CST, __ATOMIC_ACQ_REL};

static void run_thread(unsigned t)
{
    rcu_register();
    for (unsigned i = 0; i < prog->ops; i++) {
        const struct step *s = &prog->step[t][i];
        uint32_t e = s->arg - 1;
        uint64_t *r = &reg[t][i];
        switch (s->what) {
        case 0: case 1: case 2: *r = atom_load(&var[s->var], load_orders[s->order]); break;
        case 3: case 4: case 5: atom_store(&var[s->var], s->arg, store_orders[s->order]); break;
        case 6: *r = atom_add(&var[s->var], 1, rmw_orders[s->order]); break;
        case 7:
            *r = atom_cas(&var[s->var], &e, s->arg + 3, rmw_orders[s->order], load_orders[s->order]) ? 8 : 0;
            *r += e;
            break;
        case 8: atom_fence(fence_orders[s->order & 1]); break;
        case 9: atom_light(); break;
        case 10: os_membarrier(); break;
        case 11: *r = atom_cas_weak(&var[s->var], &e, s->arg + 3, __ATOMIC_RELEASE, __ATOMIC_RELAXED); break;
        case 12: *r = (uint64_t)os_futex_wake(&var[s->var], 1); break;
        case 13: *r = (uint64_t)-(int64_t)os_futex_wait(&var[s->var], 0, 5000); break;
        case 14:
            rcu_online();
            *r = atom_load(&var[s->var], __ATOMIC_RELAXED) * 16;
            *r += atom_load(&var[1 - s->var], __ATOMIC_RELAXED);
            rcu_offline();
            break;
        default: rcu_synchronize(); break;
        }
    }
}

static void t0(void) { run_thread(0); }
static void t1(void) { run_thread(1); }
static void t2(void) { run_thread(2); }

static void check(void)
{
    uint64_t h = 1469598103934665603u;
    for (unsigned t = 0; t < prog->threads; t++)
        for (unsigned i = 0; i < prog->ops; i++)
            h = (h ^ reg[t][i]) * 1099511628211u;
    for (unsigned i = 0; i < 2; i++)
        h = (h ^ atom_load(&var[i], __ATOMIC_RELAXED)) * 1099511628211u;
    model_outcome(h);
}

static void generate(struct program *p, uint64_t seed)
{
    struct rng r;
    rng_seed(&r, seed);
    p->threads = 2 + rng_below(&r, 2);
    p->ops = p->threads == 3 ? 3 : 4;
    unsigned kinds = 12 + 2 * rng_below(&r, 3);
    for (unsigned t = 0; t < p->threads; t++)
        for (unsigned i = 0; i < p->ops; i++) {
            struct step *s = &p->step[t][i];
            s->what = (int)rng_below(&r, kinds);
            s->order = (int)rng_below(&r, 3);
            s->var = rng_below(&r, 2);
            s->arg = 1 + rng_below(&r, 2);
        }
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void dump(const struct program *p)
{
    static const char *const names[] = {"load", "load", "load", "store", "store", "store", "add", "cas", "fence",
                                        "light", "heavy", "weak", "wake", "wait", "read", "synchronize"};
    for (unsigned t = 0; t < p->threads; t++) {
        printf("  thread %u:", t);
        for (unsigned i = 0; i < p->ops; i++)
            printf(" %s.%d(%u,%u)", names[p->step[t][i].what], p->step[t][i].order, p->step[t][i].var,
                   p->step[t][i].arg);
        printf("\n");
    }
}

enum verdict { SAME, DIFFERENT, TOO_LARGE };

/* Runs the program with and without the reduction. */
static enum verdict compare_searches(const struct program *p, struct model_result *a, struct model_result *b)
{
    struct model_client c = {.name = "fuzz", .thread = {t0, t1}, .check = check, .spurious_cas = 1, .timeouts = 1};
    if (p->threads == 3)
        c.thread[2] = t2;
    model_check(&c, &(struct model_options){.quiet = true}, a);
    model_check(&c, &(struct model_options){.quiet = true, .naive = true, .executions = 400000}, b);
    if (a->verdict != b->verdict)
        return DIFFERENT;
    if (b->cut_limit || a->outcomes == MODEL_OUTCOMES_MAX)
        return TOO_LARGE;
    qsort(a->outcome, a->outcomes, sizeof a->outcome[0], compare);
    qsort(b->outcome, b->outcomes, sizeof b->outcome[0], compare);
    bool same = a->outcomes == b->outcomes && memcmp(a->outcome, b->outcome, a->outcomes * sizeof a->outcome[0]) == 0;
    return same ? SAME : DIFFERENT;
}

/* Makes a program that differs as small as it goes: steps become light fences, which do nothing here. */
static void shrink(struct program *p, struct model_result *a, struct model_result *b)
{
    for (unsigned t = 0; t < p->threads; t++)
        for (unsigned i = 0; i < p->ops; i++) {
            struct step was = p->step[t][i];
            p->step[t][i].what = 9;
            if (was.what == 9 || compare_searches(p, a, b) == DIFFERENT)
                continue;
            p->step[t][i] = was;
        }
}

int main(int argc, char **argv)
{
    bool deep = argc > 1 && strcmp(argv[1], "--deep") == 0;
    uint64_t first = argc > 1 && !deep ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : deep ? PROGRAMS_DEEP : PROGRAMS;
    struct model_result *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);
    struct program *p = calloc(1, sizeof *p);
    uint64_t reduced = 0, naive = 0, bad = 0, skipped = 0;
    if (a == NULL || b == NULL || p == NULL)
        return 2;
    model_keep(&prog, sizeof prog);
    prog = p;
    for (uint64_t seed = first; seed < first + count; seed++) {
        generate(p, seed);
        enum verdict v = compare_searches(p, a, b);
        reduced += a->executions + a->redundant;
        naive += b->executions;
        skipped += v == TOO_LARGE;
        if (v != DIFFERENT)
            continue;
        bad++;
        printf("FAILED seed %llu: %u outcomes with the reduction, %u without (%s | %s)\n", (unsigned long long)seed,
               a->outcomes, b->outcomes, a->message, b->message);
        dump(p);
        shrink(p, a, b);
        printf("  shrunk to\n");
        dump(p);
    }
    printf("fuzz: seeds %llu to %llu: %llu programs differ, %llu skipped as too large; %llu executions against %llu\n",
           (unsigned long long)first, (unsigned long long)(first + count - 1), (unsigned long long)bad,
           (unsigned long long)skipped, (unsigned long long)reduced, (unsigned long long)naive);
    free(a);
    free(b);
    free(p);
    return bad != 0;
}
