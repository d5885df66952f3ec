/* SPDX-License-Identifier: MIT
 *
 * litmus.c - the memory model against the classic litmus tests: for each, exactly the outcomes that C11 allows.
 *
 * An outcome is the list of what the loads returned, thread by thread (and, for 2+2W and CoWW, the final values), as
 * decimal digits. Expected sets are RC11's, which forbids cycles of program order and reads-from: LB's 11, which C11
 * allows for relaxed accesses, is expected not to show. So are own-thread release sequences, which C++20 dropped.
 *
 * Threads: one; client threads are fibers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomics.h"
#include "model.h"
#include "os/os.h"

#define RLX __ATOMIC_RELAXED
#define ACQ __ATOMIC_ACQUIRE
#define REL __ATOMIC_RELEASE
#define A_R __ATOMIC_ACQ_REL
#define SC __ATOMIC_SEQ_CST

static weir_atomic_u32 x, y, z;
static uint64_t r[8];

#define LD(var, order) atom_load(&(var), order)
#define ST(var, v, order) atom_store(&(var), v, order)
#define FENCE(order) atom_fence(order)
#define NOTHING ((void)0)

static void outcome(void)
{
    uint64_t o = 0;
    for (int i = 0; i < model_tag(); i++)
        o = o * 10 + r[i];
    model_outcome(o);
}

/* Store buffering: x=1; F; r0=y || y=1; F; r1=x */
#define SB(name, st, ld, fence0, fence1) \
    static void name##_0(void) { ST(x, 1, st); fence0; r[0] = LD(y, ld); } \
    static void name##_1(void) { ST(y, 1, st); fence1; r[1] = LD(x, ld); }
SB(sb_rlx, RLX, RLX, NOTHING, NOTHING)
SB(sb_ra, REL, ACQ, NOTHING, NOTHING)
SB(sb_sc, SC, SC, NOTHING, NOTHING)
SB(sb_fence, RLX, RLX, FENCE(SC), FENCE(SC))
SB(sb_fence_ar, RLX, RLX, FENCE(A_R), FENCE(A_R))
SB(sb_one_fence, RLX, RLX, FENCE(SC), NOTHING)
SB(sb_light_heavy, RLX, RLX, atom_light(), os_membarrier())
SB(sb_light_light, RLX, RLX, atom_light(), atom_light())
SB(sb_heavy_heavy, RLX, RLX, os_membarrier(), os_membarrier())
SB(sb_none_heavy, RLX, RLX, NOTHING, os_membarrier())
SB(sb_fence_heavy, RLX, RLX, FENCE(SC), os_membarrier())
SB(sb_light_fence, RLX, RLX, atom_light(), FENCE(SC))

/* Message passing: x=1; F; y=1 || r0=y; F; r1=x */
#define MP(name, st, ld, fence0, fence1) \
    static void name##_0(void) { ST(x, 1, RLX); fence0; ST(y, 1, st); } \
    static void name##_1(void) { r[0] = LD(y, ld); fence1; r[1] = LD(x, RLX); }
MP(mp_rlx, RLX, RLX, NOTHING, NOTHING)
MP(mp_ra, REL, ACQ, NOTHING, NOTHING)
MP(mp_rel_only, REL, RLX, NOTHING, NOTHING)
MP(mp_acq_only, RLX, ACQ, NOTHING, NOTHING)
MP(mp_fences, RLX, RLX, FENCE(REL), FENCE(ACQ))
MP(mp_fence_acq, RLX, ACQ, FENCE(REL), NOTHING)
MP(mp_rel_fence, REL, RLX, NOTHING, FENCE(ACQ))
MP(mp_sc, SC, SC, NOTHING, NOTHING)
MP(mp_light_heavy, RLX, RLX, atom_light(), os_membarrier())
MP(mp_heavy_light, RLX, RLX, os_membarrier(), atom_light())
MP(mp_light_light, RLX, RLX, atom_light(), atom_light())

/* Load buffering: r0=y; x=1 || r1=x; y=1 */
static void lb_0(void) { r[0] = LD(y, RLX); ST(x, 1, RLX); }
static void lb_1(void) { r[1] = LD(x, RLX); ST(y, 1, RLX); }

/* IRIW: x=1 || y=1 || r0=x; r1=y || r2=y; r3=x */
#define IRIW(name, st, ld, fence) \
    static void name##_0(void) { ST(x, 1, st); } \
    static void name##_1(void) { ST(y, 1, st); } \
    static void name##_2(void) { r[0] = LD(x, ld); fence; r[1] = LD(y, ld); } \
    static void name##_3(void) { r[2] = LD(y, ld); fence; r[3] = LD(x, ld); }
IRIW(iriw_rlx, RLX, RLX, NOTHING)
IRIW(iriw_ra, REL, ACQ, NOTHING)
IRIW(iriw_sc, SC, SC, NOTHING)
IRIW(iriw_fence, RLX, RLX, FENCE(SC))
IRIW(iriw_rel_sc, REL, SC, NOTHING)

/* 2+2W: x=1; y=2 || y=1; x=2, final x and y */
#define W22(name, st, fence) \
    static void name##_0(void) { ST(x, 1, st); fence; ST(y, 2, st); } \
    static void name##_1(void) { ST(y, 1, st); fence; ST(x, 2, st); }
W22(w22_rlx, RLX, NOTHING)
W22(w22_rel, REL, NOTHING)
W22(w22_sc, SC, NOTHING)
W22(w22_fence, RLX, FENCE(SC))
static void final_xy(void)
{
    r[0] = LD(x, RLX);
    r[1] = LD(y, RLX);
    outcome();
}

/* WRC: x=1 || r0=x; y=1 || r1=y; r2=x */
#define WRC(name, st, ld) \
    static void name##_0(void) { ST(x, 1, st); } \
    static void name##_1(void) { r[0] = LD(x, ld); ST(y, 1, st); } \
    static void name##_2(void) { r[1] = LD(y, ld); r[2] = LD(x, RLX); }
WRC(wrc_rlx, RLX, RLX)
WRC(wrc_ra, REL, ACQ)

/* S: x=2; y=1 (rel) || r0=y (acq); x=1, final x */
static void s_ra_0(void) { ST(x, 2, RLX); ST(y, 1, REL); }
static void s_ra_1(void) { r[0] = LD(y, ACQ); ST(x, 1, RLX); }
static void s_rlx_0(void) { ST(x, 2, RLX); ST(y, 1, RLX); }
static void s_rlx_1(void) { r[0] = LD(y, RLX); ST(x, 1, RLX); }
static void final_x1(void)
{
    r[1] = LD(x, RLX);
    outcome();
}

/* R: x=1; F; y=1 || y=2; F; r0=x, final y */
static void r_rlx_0(void) { ST(x, 1, RLX); ST(y, 1, RLX); }
static void r_rlx_1(void) { ST(y, 2, RLX); r[0] = LD(x, RLX); }
static void r_fence_0(void) { ST(x, 1, RLX); FENCE(SC); ST(y, 1, RLX); }
static void r_fence_1(void) { ST(y, 2, RLX); FENCE(SC); r[0] = LD(x, RLX); }
static void final_y1(void)
{
    r[1] = LD(y, RLX);
    outcome();
}

/* Coherence. CoRR: x=1 || r0=x; r1=x. CoRR2: x=1 || x=2 || r0=x; r1=x || r2=x; r3=x. CoWW, CoWR, CoRW. */
static void corr_0(void) { ST(x, 1, RLX); }
static void corr_1(void) { r[0] = LD(x, RLX); r[1] = LD(x, RLX); }
static void corr2_1(void) { ST(x, 2, RLX); }
static void corr2_3(void) { r[2] = LD(x, RLX); r[3] = LD(x, RLX); }
static void coww_0(void) { ST(x, 1, RLX); ST(x, 2, RLX); }
static void coww_1(void) { r[0] = LD(x, RLX); r[1] = LD(x, RLX); }
static void cowr_0(void) { ST(x, 1, RLX); r[0] = LD(x, RLX); }
static void cowr_1(void) { ST(x, 2, RLX); }
static void corw_0(void) { r[0] = LD(x, RLX); ST(x, 1, RLX); }
static void corw_1(void) { ST(x, 2, RLX); }

/* Release sequences: x=1; y=1 (rel) || y+=1 (rlx) || r0=y (acq); r1=x. And with a plain store instead of the RMW. */
static void rs_0(void) { ST(x, 1, RLX); ST(y, 1, REL); }
static void rs_rmw_1(void) { atom_add(&y, 1, RLX); }
static void rs_2(void) { r[0] = LD(y, ACQ); r[1] = LD(x, RLX); }
static void rs_st_1(void) { if (LD(y, RLX) == 1) ST(y, 2, RLX); }
static void rs_same_0(void) { ST(x, 1, RLX); ST(y, 1, REL); ST(y, 2, RLX); }

/* Read-modify-writes: two increments; two compare-and-swaps on one word; SB with RMWs. */
static void inc_0(void) { r[0] = atom_add(&x, 1, RLX); }
static void inc_1(void) { r[1] = atom_add(&x, 1, RLX); }
static void cas_0(void) { uint32_t e = 0; r[0] = atom_cas(&x, &e, 1, RLX, RLX); }
static void cas_1(void) { uint32_t e = 0; r[1] = atom_cas(&x, &e, 2, RLX, RLX); }
static void weak_0(void) { uint32_t e = 0; r[0] = atom_cas_weak(&x, &e, 1, RLX, RLX); }
static void sbx_0(void) { atom_xchg(&x, 1, A_R); r[0] = LD(y, ACQ); }
static void sbx_1(void) { atom_xchg(&y, 1, A_R); r[1] = LD(x, ACQ); }
static void sbxs_0(void) { atom_xchg(&x, 1, SC); r[0] = LD(y, SC); }
static void sbxs_1(void) { atom_xchg(&y, 1, SC); r[1] = LD(x, SC); }

/* Mixed: SB with one fence and one seq_cst store and load. Fence of one side, access of the other: C11 29.3p4-7. */
static void sbm_0(void) { ST(x, 1, SC); r[0] = LD(y, SC); }
static void sbm_1(void) { ST(y, 1, RLX); FENCE(SC); r[1] = LD(x, RLX); }
static void sbw_1(void) { ST(y, 1, RLX); r[1] = LD(x, SC); }

/* ISA2: x=1; y=1 (rel) || r0=y (acq); z=1 (rel) || r1=z (acq); r2=x */
static void isa2_0(void) { ST(x, 1, RLX); ST(y, 1, REL); }
static void isa2_1(void) { r[0] = LD(y, ACQ); ST(z, 1, REL); }
static void isa2_2(void) { r[1] = LD(z, ACQ); r[2] = LD(x, RLX); }

/* RWC: x=1 || r0=x; F; r1=y || y=1; F; r2=x */
static void rwc_0(void) { ST(x, 1, RLX); }
static void rwc_1(void) { r[0] = LD(x, RLX); FENCE(SC); r[1] = LD(y, RLX); }
static void rwc_2(void) { ST(y, 1, RLX); FENCE(SC); r[2] = LD(x, RLX); }

/* RWC with seq_cst accesses but for the load of x: x=1 || r0=x; r1=y || y=1; r2=x. And with something behind x=1. */
static void rwcs_0(void) { ST(x, 1, SC); }
static void rwcs_sc_1(void) { r[0] = LD(x, SC); r[1] = LD(y, SC); }
static void rwcs_acq_1(void) { r[0] = LD(x, ACQ); r[1] = LD(y, SC); }
static void rwcs_rlx_1(void) { r[0] = LD(x, RLX); r[1] = LD(y, SC); }
static void rwcs_fence_1(void) { r[0] = LD(x, RLX); FENCE(SC); r[1] = LD(y, RLX); }
static void rwcs_2(void) { ST(y, 1, SC); r[2] = LD(x, SC); }
static void rwcz_0(void) { ST(x, 1, SC); ST(z, 1, REL); }
static void rwcz_acq_1(void) { r[0] = LD(z, ACQ); r[1] = LD(y, SC); }
static void rwcz_rlx_1(void) { r[0] = LD(z, RLX); r[1] = LD(y, SC); }
static void iriw_acq_sc_2(void) { r[0] = LD(x, ACQ); r[1] = LD(y, SC); }
static void iriw_acq_sc_3(void) { r[2] = LD(y, ACQ); r[3] = LD(x, SC); }

struct litmus {
    const char *name;
    unsigned regs;
    void (*thread[MODEL_THREADS_MAX])(void);
    void (*check)(void);
    const char *expected;
    int spurious;
};

#define TWO(name) {name##_0, name##_1}
#define ALL4 "00 01 10 11"
#define ALL8_BUT_RWC "000 001 010 011 101 110 111"
static const struct litmus tests[] = {
    {"SB relaxed", 2, TWO(sb_rlx), NULL, ALL4, 0},
    {"SB release/acquire", 2, TWO(sb_ra), NULL, ALL4, 0},
    {"SB seq_cst", 2, TWO(sb_sc), NULL, "01 10 11", 0},
    {"SB seq_cst fences", 2, TWO(sb_fence), NULL, "01 10 11", 0},
    {"SB acq_rel fences", 2, TWO(sb_fence_ar), NULL, ALL4, 0},
    {"SB one fence only", 2, TWO(sb_one_fence), NULL, ALL4, 0},
    {"SB light and heavy", 2, TWO(sb_light_heavy), NULL, "01 10 11", 0},
    {"SB light and light", 2, TWO(sb_light_light), NULL, ALL4, 0},
    {"SB heavy and heavy", 2, TWO(sb_heavy_heavy), NULL, "01 10 11", 0},
    {"SB nothing and heavy", 2, TWO(sb_none_heavy), NULL, ALL4, 0},
    {"SB fence and heavy", 2, TWO(sb_fence_heavy), NULL, "01 10 11", 0},
    {"SB light and fence", 2, TWO(sb_light_fence), NULL, ALL4, 0},
    {"SB exchange acq_rel", 2, TWO(sbx), NULL, ALL4, 0},
    {"SB exchange seq_cst", 2, TWO(sbxs), NULL, "01 10 11", 0},
    {"SB seq_cst against fence", 2, TWO(sbm), NULL, "01 10 11", 0},
    {"SB seq_cst, one relaxed store", 2, {sbm_0, sbw_1}, NULL, ALL4, 0},
    {"MP relaxed", 2, TWO(mp_rlx), NULL, ALL4, 0},
    {"MP release/acquire", 2, TWO(mp_ra), NULL, "00 01 11", 0},
    {"MP release only", 2, TWO(mp_rel_only), NULL, ALL4, 0},
    {"MP acquire only", 2, TWO(mp_acq_only), NULL, ALL4, 0},
    {"MP fences", 2, TWO(mp_fences), NULL, "00 01 11", 0},
    {"MP release fence, acquire load", 2, TWO(mp_fence_acq), NULL, "00 01 11", 0},
    {"MP release store, acquire fence", 2, TWO(mp_rel_fence), NULL, "00 01 11", 0},
    {"MP seq_cst", 2, TWO(mp_sc), NULL, "00 01 11", 0},
    {"MP light then heavy", 2, TWO(mp_light_heavy), NULL, "00 01 11", 0},
    {"MP heavy then light", 2, TWO(mp_heavy_light), NULL, "00 01 11", 0},
    {"MP light and light", 2, TWO(mp_light_light), NULL, ALL4, 0},
    {"LB relaxed (11 not modelled)", 2, TWO(lb), NULL, "00 01 10", 0},
    {"IRIW relaxed", 4, {iriw_rlx_0, iriw_rlx_1, iriw_rlx_2, iriw_rlx_3}, NULL,
     "0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1010 1011 1100 1101 1110 1111", 0},
    {"IRIW release/acquire", 4, {iriw_ra_0, iriw_ra_1, iriw_ra_2, iriw_ra_3}, NULL,
     "0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1010 1011 1100 1101 1110 1111", 0},
    {"IRIW release, seq_cst loads", 4, {iriw_rel_sc_0, iriw_rel_sc_1, iriw_rel_sc_2, iriw_rel_sc_3}, NULL,
     "0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1010 1011 1100 1101 1110 1111", 0},
    {"IRIW seq_cst", 4, {iriw_sc_0, iriw_sc_1, iriw_sc_2, iriw_sc_3}, NULL,
     "0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1011 1100 1101 1110 1111", 0},
    {"IRIW seq_cst fences", 4, {iriw_fence_0, iriw_fence_1, iriw_fence_2, iriw_fence_3}, NULL,
     "0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1011 1100 1101 1110 1111", 0},
    {"2+2W relaxed", 2, TWO(w22_rlx), final_xy, "11 12 21 22", 0},
    {"2+2W release", 2, TWO(w22_rel), final_xy, "11 12 21 22", 0},
    {"2+2W seq_cst", 2, TWO(w22_sc), final_xy, "12 21 22", 0},
    {"2+2W seq_cst fences", 2, TWO(w22_fence), final_xy, "12 21 22", 0},
    {"WRC relaxed", 3, {wrc_rlx_0, wrc_rlx_1, wrc_rlx_2}, NULL, "000 001 010 011 100 101 110 111", 0},
    {"WRC release/acquire", 3, {wrc_ra_0, wrc_ra_1, wrc_ra_2}, NULL, "000 001 010 011 100 101 111", 0},
    {"ISA2 release/acquire", 3, {isa2_0, isa2_1, isa2_2}, NULL, "000 001 010 011 100 101 111", 0},
    {"RWC seq_cst fences", 3, {rwc_0, rwc_1, rwc_2}, NULL, ALL8_BUT_RWC, 0},
    {"RWC seq_cst", 3, {rwcs_0, rwcs_sc_1, rwcs_2}, NULL, ALL8_BUT_RWC, 0},
    {"RWC seq_cst, acquire load (C++20)", 3, {rwcs_0, rwcs_acq_1, rwcs_2}, NULL, ALL8_BUT_RWC " 100", 0},
    {"RWC seq_cst, relaxed load", 3, {rwcs_0, rwcs_rlx_1, rwcs_2}, NULL, ALL8_BUT_RWC " 100", 0},
    {"RWC seq_cst, relaxed load, fence", 3, {rwcs_0, rwcs_fence_1, rwcs_2}, NULL, ALL8_BUT_RWC, 0},
    {"W+RWC seq_cst, release/acquire", 3, {rwcz_0, rwcz_acq_1, rwcs_2}, NULL, ALL8_BUT_RWC, 0},
    {"W+RWC seq_cst, relaxed load", 3, {rwcz_0, rwcz_rlx_1, rwcs_2}, NULL, ALL8_BUT_RWC " 100", 0},
    {"IRIW seq_cst, acquire loads (C++20)", 4, {iriw_sc_0, iriw_sc_1, iriw_acq_sc_2, iriw_acq_sc_3}, NULL,
     "0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1010 1011 1100 1101 1110 1111", 0},
    {"S relaxed", 2, TWO(s_rlx), final_x1, "01 02 11 12", 0},
    {"S release/acquire", 2, TWO(s_ra), final_x1, "01 02 11", 0},
    {"R relaxed", 2, TWO(r_rlx), final_y1, "01 02 11 12", 0},
    {"R seq_cst fences", 2, TWO(r_fence), final_y1, "01 11 12", 0},
    {"CoRR", 2, TWO(corr), NULL, "00 01 11", 0},
    {"CoRR, two writers", 4, {corr_0, corr2_1, corr_1, corr2_3}, NULL,
     "0000 0001 0002 0011 0012 0021 0022 0100 0101 0102 0111 0112 0121 0122 0200 0201 0202 0211 0212 0221 0222 "
     "1100 1101 1102 1111 1112 1121 1122 1200 1201 1202 1211 1212 1222 "
     "2100 2101 2102 2111 2121 2122 2200 2201 2202 2211 2212 2221 2222", 0},
    {"CoWW", 2, TWO(coww), NULL, "00 01 02 11 12 22", 0},
    {"CoWR", 2, TWO(cowr), final_x1, "11 12 22", 0},
    {"CoRW", 2, TWO(corw), final_x1, "01 02 21", 0},
    {"release sequence through RMW", 2, {rs_0, rs_rmw_1, rs_2}, NULL, "00 01 10 11 21", 0},
    {"release sequence, foreign store", 2, {rs_0, rs_st_1, rs_2}, NULL, "00 01 11 20 21", 0},
    {"release sequence, own store (C++20)", 2, {rs_same_0, rs_2}, NULL, "00 01 11 20 21", 0},
    {"two increments", 2, TWO(inc), NULL, "01 10", 0},
    {"two compare-and-swaps", 2, TWO(cas), NULL, "01 10", 0},
    {"weak CAS, spurious failure", 1, {weak_0}, NULL, "0 1", 1},
    {"weak CAS against a CAS", 2, {weak_0, cas_1}, NULL, "01 10", 1},
};

static bool expects(const char *list, unsigned digits, uint64_t value)
{
    char buf[16];
    snprintf(buf, sizeof buf, "%0*llu", (int)digits, (unsigned long long)value);
    return strstr(list, buf) != NULL; /* all entries have the same length and are separated by blanks */
}

static bool run(const struct litmus *l, uint64_t *executions)
{
    struct model_client c = {.name = l->name, .check = l->check != NULL ? l->check : outcome,
                             .spurious_cas = l->spurious};
    struct model_options o = {.quiet = false};
    struct model_result *res = malloc(sizeof *res);
    if (res == NULL)
        return false;
    memcpy(c.thread, l->thread, sizeof c.thread);
    c.tag = (int)l->regs;
    model_check(&c, &o, res);
    unsigned wanted = (unsigned)(strlen(l->expected) + 1) / (l->regs + 1);
    bool ok = res->verdict == MODEL_PASS && res->outcomes == wanted;
    char bad[512] = "";
    for (unsigned i = 0; i < res->outcomes; i++)
        if (!expects(l->expected, l->regs, res->outcome[i])) {
            size_t n = strlen(bad);
            snprintf(bad + n, sizeof bad - n, " %0*llu", (int)l->regs, (unsigned long long)res->outcome[i]);
            ok = false;
        }
    printf("%-6s %-36s expected %2u found %2u outcomes, %5llu executions, %4llu redundant%s%s\n", ok ? "ok" : "FAILED",
           l->name, wanted, res->outcomes, (unsigned long long)res->executions, (unsigned long long)res->redundant,
           bad[0] ? ", forbidden ones found:" : "", bad);
    *executions += res->executions;
    free(res);
    return ok;
}

int main(void)
{
    unsigned n = sizeof tests / sizeof tests[0], failed = 0;
    uint64_t executions = 0;
    for (unsigned i = 0; i < n; i++)
        failed += !run(&tests[i], &executions);
    printf("litmus: %u tests, %u differ from the table, %llu executions\n", n, failed, (unsigned long long)executions);
    return failed != 0;
}
