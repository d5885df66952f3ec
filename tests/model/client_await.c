/* SPDX-License-Identifier: MIT
 *
 * client_await.c - the first of several: branches that end at once, one that is withdrawn, one that is being started.
 *
 * Threads: client threads stand for workers on which branches end; no scheduler is needed.
 * Invariants: one branch is the first; `then` comes once, after all that the branches did; it may free the record.
 */
#include <weir/await.h>

#include "base/atomics.h"
#include "model.h"

#define BRANCHES 2

struct request {
    weir_any any;
    weir_branch branches[BRANCHES];
    weir_task then;
    int payload[BRANCHES];
};

static struct request *r;
static weir_atomic_u32 thens, decided, started;
static bool decider_missed, starter_missed;

/* Whoever gets `then` runs it: it frees the record. */
static void go_on(weir_task *next)
{
    if (next == NULL)
        return;
    MODEL_ASSERT(next == &r->then);
    for (int i = 0; i < BRANCHES; i++)
        (void)MODEL_READ(r->payload[i]);
    MODEL_ASSERT(weir_any_first(&r->any) < BRANCHES); /* after the payload: it fences */
    atom_add(&thens, 1u, memory_order_relaxed);
    model_free(r);
}

static void end(unsigned i)
{
    weir_task *t = weir_any_task(&r->any, i);
    MODEL_WRITE(r->payload[i], (int)i + 1);
    go_on(t->run(NULL, t));
}

static void end0(void) { end(0); }
static void end1(void) { end(1); }

static void withdraw1(void)
{
    MODEL_WRITE(r->payload[1], 2);
    go_on(weir_any_withdraw(&r->any, 1));
}

static void begun(void)
{
    go_on(weir_any_begun(&r->any));
}

static void count_decisions(weir_worker *w, weir_any *any, unsigned first)
{
    (void)w;
    MODEL_ASSERT(weir_any_first(any) == first);
    atom_add(&decided, 1u, memory_order_relaxed);
}

static void setup(void)
{
    r = model_alloc(sizeof *r);
    weir_task_init(&r->then, NULL);
    MODEL_ASSERT(weir_any_init(&r->any, r->branches, BRANCHES, count_decisions, &r->then) == 0);
    model_name(&r->any.first, "first");
    model_name(&r->any.open, "open");
}

static void setup_begun(void)
{
    setup();
    MODEL_ASSERT(weir_any_begun(&r->any) == NULL);
}

static void check(void)
{
    MODEL_ASSERT(atom_load(&thens, memory_order_relaxed) == 1);
    MODEL_ASSERT(atom_load(&decided, memory_order_relaxed) == 1);
}

/* --- a branch that is being started when another ends --- */

static void look_for_started(weir_worker *w, weir_any *any, unsigned first)
{
    (void)w;
    (void)any;
    (void)first;
    decider_missed = atom_load(&started, memory_order_relaxed) == 0;
}

static void starting_setup(void)
{
    setup();
    r->any.decide = look_for_started;
}

static void start1(void)
{
    atom_store(&started, 1u, memory_order_relaxed);
    starter_missed = weir_any_first(&r->any) == WEIR_ANY_NONE;
}

static void starting_check(void)
{
    MODEL_ASSERT(!decider_missed || !starter_missed);
    model_free(r);
}

static const struct model_client clients[] = {
    {.name = "two_branches", .setup = setup_begun, .check = check, .thread = {end0, end1}},
    {.name = "an_end_against_a_withdrawal", .setup = setup_begun, .check = check, .thread = {end0, withdraw1}},
    {.name = "ends_against_the_beginning", .setup = setup, .check = check, .thread = {end0, end1, begun}},
    {.name = "a_start_against_an_end", .setup = starting_setup, .check = starting_check, .thread = {end0, start1}},
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
