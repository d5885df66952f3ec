/* SPDX-License-Identifier: MIT
 *
 * client_deque.c - the split deque: one owner, one to three thieves, growth, wrap, last element, forced publication.
 *
 * What the threads do is written as a script of letters:
 *   owner: P push, O pop, F fork, J join the newest fork, N poison, C clear the poison
 *          K serve a key from here on (worker_serve), E open the reserve, X close it
 *   thief: S steal, R force (revoke) and then steal, N poison, G steal under that key, H force and then steal
 *          under it, Q go offline and come back
 *
 * Threads: thread 0 owns the deque.
 * Invariants: each task is taken exactly once and its payload is visible to whom it is given.
 */
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "os/os.h"
#include "os/rcu.h"
#include "sync/deque.h"

#define TASKS 8u

struct job {
    weir_task task;
    int payload;
    int result;
};

static struct deque d;
static struct job job[TASKS];
static unsigned taken[TASKS];
static unsigned pushed, forked[TASKS], nforked;
static weir_atomic_ptr serving;
static unsigned first_served = TASKS; /* the first task that descends from the key */

struct script {
    const char *owner;
    const char *thief[3];
    uint32_t capacity;
    bool always_public;
    uint32_t most; /* slots that it may grow to; 0: any number */
};

static const struct script scripts[] = {
    /* 0 */ {"PO", {"S"}, 4, false, 0},
    /* 1 */ {"PPOO", {"R"}, 4, false, 0},
    /* 2 */ {"PPOO", {"SR"}, 4, false, 0},
    /* 3 */ {"PPOPO", {"R"}, 8, false, 0},
    /* 4 */ {"PPPOO", {"R", "R"}, 8, false, 0},
    /* 5 */ {"POPO", {"R", "S"}, 8, false, 0},
    /* 6 */ {"NPPOO", {"S", "S"}, 8, false, 0},
    /* 7 */ {"PPO", {"S"}, 2, false, 0},
    /* 8 */ {"PPPOO", {"R"}, 2, false, 0},
    /* 9 */ {"PPO", {"S", "R"}, 2, false, 0},
    /* 10 */ {"PPOO", {"SS"}, 4, true, 0},
    /* 11 */ {"PPO", {"S", "S"}, 4, true, 0},
    /* 12 */ {"PPPOO", {"SS"}, 2, true, 0},
    /* 13 */ {"O", {"R"}, 4, false, 0},
    /* 14 */ {"FJ", {"R"}, 4, false, 0},
    /* 15 */ {"FFJJ", {"R"}, 8, false, 0},
    /* 16 */ {"FFJFJJ", {"S"}, 2, false, 0},
    /* 17 */ {"PPOO", {"S", "S", "R"}, 8, false, 0},
    /* 18 */ {"POPOPO", {"R"}, 2, false, 0},
    /* 19 */ {"PPOO", {"R", "R"}, 8, false, 0},
    /* 20 */ {"NPPCPOO", {"NR"}, 8, false, 0},
    /* 21 */ {"PPPOPO", {"R", "R"}, 8, false, 0},
    /* 22 */ {"PPPPOOOO", {"RS"}, 8, false, 0},
    /* 23 */ {"PPPO", {"S"}, 2, true, 2},
    /* 24 */ {"PPPO", {"R"}, 2, false, 2},
    /* 25 */ {"NPPPO", {"S", "S"}, 2, false, 2},
    /* 26 */ {"POKPPO", {"G"}, 4, true, 0},
    /* 27 */ {"POKPPO", {"G", "H"}, 4, false, 0},
    /* 28 */ {"POKPO", {"H"}, 2, true, 2},
    /* 29 */ {"NPNPNPNPOO", {"SSS"}, 8, false, 0},
    /* 30 */ {"NPNPNPNPO", {"SS", "S"}, 8, false, 0},
    /* 31 */ {"NPPO", {"SS"}, 2, false, 0},
    /* 32 */ {"NPPPO", {"RR"}, 2, false, 0},
    /* 33 */ {"PP", {"RSSS"}, 2, false, 0},
    /* 34 */ {"PPP", {"RSRQRSS"}, 2, false, 2},
    /* 35 */ {"PPP", {"RSR", "RS"}, 2, false, 2},
    /* 36 */ {"PEPPXPO", {"NS"}, 2, false, 2},
    /* 37 */ {"PEFPJXPO", {"R", "S"}, 2, false, 2},
    /* 38 */ {"PEPPPXP", {"RSS"}, 2, false, 2},
    /* 39 */ {"EX", {"N"}, 2, false, 2},
};

static const struct script *script(void)
{
    return &scripts[model_tag()];
}

static void run(weir_task *t)
{
    struct job *j = (struct job *)(void *)t;
    size_t i = (size_t)(j - job);
    MODEL_ASSERT(i < TASKS);
    MODEL_ASSERT(MODEL_READ(j->payload) == (int)i + 1);
    taken[i]++;
    MODEL_ASSERT(taken[i] == 1);
    MODEL_WRITE(j->result, (int)i + 2);
}

/* --- what the inlined paths call ------------------------------------------------------------------------------ */

void weir_push_slow(weir_worker *w)
{
    (void)w;
    if (deque_is_full(&d) && !deque_relocate(&d, script()->most != 0 ? script()->most : DEQUE_CAPACITY_MAX)) {
        weir_task *t = deque_pop(&d);
        if (deque_is_full(&d))
            deque_rewind(&d);
        if (t != NULL)
            run(t);
    }
    if (!deque_is_poisoned(&d))
        return;
    deque_publish(&d);
    deque_clear_poison(&d);
    atom_fence(memory_order_seq_cst);
}

int weir_unfork_slow(weir_worker *w, weir_task *t)
{
    (void)w;
    for (;;) {
        weir_task *above = deque_pop(&d);
        if (above == t)
            return WEIR_UNFORK_MINE;
        if (above == NULL)
            return WEIR_UNFORK_DONE;
        run(above);
    }
}

int weir_unfork_shared(weir_worker *w, weir_task *t)
{
    (void)w;
    weir_task *got = deque_pop_lowered(&d);
    MODEL_ASSERT(got == NULL || got == t);
    return got != NULL ? WEIR_UNFORK_MINE : WEIR_UNFORK_DONE;
}

void weir_run_chain(weir_worker *w, weir_task *t)
{
    (void)w, (void)t;
}

/* --- owner and thieves ---------------------------------------------------------------------------------------- */

static weir_worker *worker(void)
{
    return (weir_worker *)(void *)&d;
}

static void owner(void)
{
    for (const char *s = script()->owner; *s != 0; s++) {
        weir_task *t;
        switch (*s) {
        case 'P':
        case 'F':
            MODEL_WRITE(job[pushed].payload, (int)pushed + 1);
            if (*s == 'P') {
                weir_push(worker(), &job[pushed++].task);
            } else {
                forked[nforked++] = pushed;
                weir_fork(worker(), &job[pushed++].task);
            }
            break;
        case 'O':
            t = deque_pop(&d);
            if (t != NULL)
                run(t);
            break;
        case 'J':
            t = &job[forked[--nforked]].task;
            if (weir_unfork(worker(), t) == WEIR_UNFORK_MINE)
                run(t);
            break;
        case 'N':
            deque_poison(&d, DEQUE_ANYBODY);
            break;
        case 'K':
            first_served = pushed;
            atom_store(&serving, &serving, memory_order_release); /* as worker_serve() does */
            break;
        case 'E':
            (void)deque_open_reserve(&d);
            break;
        case 'X':
            deque_close_reserve(&d);
            break;
        case 'C':
            deque_clear_poison(&d);
            break;
        default:
            model_fail(__FILE__, __LINE__, "bad script");
        }
    }
}

static void steal(bool guarded)
{
    const struct steal_guard guard = {&serving, &serving};
    weir_task *t = NULL;
    if (deque_steal(&d, guarded ? &guard : NULL, &t) != STEAL_OK)
        return;
    if (guarded)
        MODEL_ASSERT((struct job *)(void *)t >= &job[first_served]);
    rcu_offline();
    run(t);
    rcu_online();
}

static void thief(unsigned n)
{
    rcu_register();
    rcu_online();
    for (const char *s = script()->thief[n]; *s != 0; s++) {
        switch (*s) {
        case 'S':
        case 'G':
            steal(*s == 'G');
            break;
        case 'R':
        case 'H':
            (void)deque_force(&d, n);
            steal(*s == 'H');
            break;
        case 'N':
            deque_poison(&d, DEQUE_ANYBODY);
            break;
        case 'Q':
            rcu_offline();
            rcu_online();
            break;
        default:
            model_fail(__FILE__, __LINE__, "bad script");
        }
    }
    rcu_offline();
    rcu_unregister();
}

static void thief0(void) { thief(0); }
static void thief1(void) { thief(1); }
static void thief2(void) { thief(2); }

static void setup(void)
{
    MODEL_ASSERT(deque_init(&d, script()->capacity, script()->always_public) == 0);
    model_name(&d.top, "top");
    model_name(&d.end.bottom, "bottom");
    model_name(&d.end.split, "split");
    model_name(&d.end.limit, "limit");
    static const char *const names[TASKS] = {"task0", "task1", "task2", "task3", "task4", "task5", "task6", "task7"};
    for (unsigned i = 0; i < TASKS; i++)
        model_name(&job[i], names[i]);
}

/* What is left is taken by the owner, then by a thief that may force; then each task was taken once. */
static void check(void)
{
    weir_task *t;
    uint64_t before = deque_position(&d);
    while ((t = deque_pop(&d)) != NULL)
        run(t);
    MODEL_ASSERT(deque_position(&d) <= before);
    for (unsigned i = 0; i < pushed; i++) {
        MODEL_ASSERT(taken[i] == 1);
        MODEL_ASSERT(MODEL_READ(job[i].result) == (int)i + 2);
    }
    deque_destroy(&d);
}

/* Nothing that the owner did has cleared the thief's poison. */
static void check_poison(void)
{
    MODEL_ASSERT(deque_is_poisoned(&d));
    check();
}

#define ONE(client, number) {.name = client, .tag = number, .setup = setup, .thread = {owner, thief0}, .check = check, \
                             .spurious_cas = 1}
#define TWO(client, number) \
    {.name = client, .tag = number, .setup = setup, .thread = {owner, thief0, thief1}, .check = check, \
     .spurious_cas = 1}
/* Growth with buffers at falling addresses: a position in an old buffer is above all of the new one. */
#define ONE_DOWN(client, number) \
    {.name = client, .tag = number, .setup = setup, .thread = {owner, thief0}, .check = check, .down = true}
#define TWO_DOWN(client, number) \
    {.name = client, .tag = number, .setup = setup, .thread = {owner, thief0, thief1}, .check = check, .down = true}
#define THREE(client, number) \
    {.name = client, .tag = number, .setup = setup, .thread = {owner, thief0, thief1, thief2}, .check = check, \
     .deep_only = true}
static const struct model_client clients[] = {
    ONE("last_element", 0),
    ONE("force_against_pops", 1),
    ONE("steal_then_force", 2),
    ONE("force_against_repush", 3),
    TWO("two_revokers", 4),
    TWO("last_element_force_and_steal", 5),
    TWO("publish_two_thieves", 6),
    ONE("growth", 7),
    ONE("growth_twice_against_force", 8),
    TWO("growth_force_and_steal", 9),
    ONE_DOWN("growth_down", 7),
    ONE_DOWN("growth_twice_against_force_down", 8),
    TWO_DOWN("growth_force_and_steal_down", 9),
    ONE_DOWN("growth_of_a_public_deque_down", 31),
    ONE_DOWN("growth_after_steal_down", 32),
    ONE("growth_of_a_public_deque", 31),
    ONE_DOWN("growth_then_stolen_dry_down", 33),
    ONE("growth_then_stolen_dry", 33),
    ONE("rewind_then_stolen_dry", 34),
    TWO("rewind_between_two_thieves", 35),
    ONE_DOWN("always_public_growth_down", 12),
    ONE_DOWN("wrap_down", 18),
    ONE("always_public", 10),
    TWO("always_public_two_thieves", 11),
    ONE("always_public_growth", 12),
    ONE("empty_pop", 13),
    ONE("fork_join", 14),
    ONE("fork_join_two", 15),
    ONE("fork_join_growth", 16),
    THREE("three_thieves", 17),
    ONE("wrap", 18),
    TWO("emptied_under_a_mark", 19),
    ONE("clear_poison_against_poison", 20),
    TWO("two_revokers_repush", 21),
    ONE("force_takes_half", 22),
    ONE("rewind_always_public", 23),
    ONE("rewind_against_force", 24),
    TWO("rewind_two_thieves", 25),
    ONE("reserve_against_poison", 36),
    TWO("reserve_force_and_steal", 37),
    ONE("reserve_stolen_dry", 38),
    {.name = "poison_outlasts_the_reserve", .tag = 39, .setup = setup, .thread = {owner, thief0}, .check = check_poison,
     .spurious_cas = 1},
    ONE("guarded_steal", 26),
    TWO("guarded_steal_and_force", 27),
    ONE("guarded_steal_rewind", 28),
    ONE("thief_passes_the_lowered_split", 29),
    TWO("two_thieves_pass_the_lowered_split", 30),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
