/* SPDX-License-Identifier: MIT
 *
 * pipeline.c - tokens carry items from stage to stage; serial stages take them in order.
 *
 * A token carries its item as far as it gets without waiting. At a serial stage each place in the order has a gate
 * where two must meet, the item and its turn, which the item before it passes on: the second to come goes on, so
 * nobody waits.
 *
 * Threads: a token belongs to the worker that runs it, or to the gate where it is parked.
 * Invariants: items not yet through a serial stage are at most `tokens` and have consecutive numbers: a ring of that
 * many gates is enough. A token that runs is a member of the scope; a parked one is not.
 */
#include "par/pipeline.h"

#include <errno.h>

#include "par/wait.h"

struct pipeline;

struct token {
    weir_task task;
    struct pipeline *p;
    void *item;
    uint64_t number; /* place in the order */
    uint32_t stage;
} ALIGNED(CACHE_LINE);

struct pipeline {
    weir_scope scope;
    const weir_stage *stages;
    uint32_t n;
    uint32_t n_tokens;
    uint64_t items;            /* made: of who is in the first stage */
    struct token *tokens;
    weir_atomic_ptr *gates;    /* n_tokens for each stage */
    weir_atomic_u64 numbers;   /* places given out at the first stage */
};

static weir_atomic_ptr *gate_of(struct pipeline *p, uint32_t stage, uint64_t number)
{
    return &p->gates[(size_t)stage * p->n_tokens + number % p->n_tokens];
}

static weir_task *token_run(weir_worker *w, weir_task *task);

/* Makes a token runnable: a member of the scope from here on. */
static void enlist(struct token *t)
{
    weir_task_init(&t->task, token_run);
    weir_scope_add(&t->p->scope, &t->task);
}

/* A serial stage is free for the next item. */
static void pass_turn(weir_worker *w, struct token *t)
{
    struct token *next = gate_turn_comes(gate_of(t->p, t->stage, t->number + 1));
    if (next != NULL) {
        weir_task_init(&next->task, token_run);
        weir_scope_spawn(w, &t->p->scope, &next->task);
    }
}

/* Whether the token may enter its stage; false: it is parked there, and no longer ours. */
static bool may_enter(struct token *t)
{
    struct pipeline *p = t->p;
    return p->stages[t->stage].kind == WEIR_STAGE_PARALLEL || gate_item_comes(gate_of(p, t->stage, t->number), t);
}

/* Works on the item in the token's stage. False: the token goes no further. */
static bool work(weir_worker *w, struct token *t)
{
    struct pipeline *p = t->p;
    const weir_stage *stage = &p->stages[t->stage];
    if (runtime_phase(worker_of(w)->rt) == PHASE_DISCARDING)
        weir_scope_cancel(&p->scope);
    if (weir_scope_cancelled(&p->scope))
        return false;
    int r = stage->fn(w, &t->item, stage->arg);
    if (r < 0)
        weir_scope_fail(&p->scope, r);
    if (r < 0 || (r > 0 && t->stage == 0))
        return false; /* the end: the turn is passed to nobody, and who waits for it stays parked */
    if (t->stage == 0)
        p->items++;
    if (stage->kind == WEIR_STAGE_SERIAL)
        pass_turn(w, t);
    return true;
}

/* From where the token has been let in to where it must wait, or to the beginning again. */
static weir_task *token_run(weir_worker *w, weir_task *task)
{
    struct token *t = CONTAINER_OF(task, struct token, task);
    struct pipeline *p = t->p;
    for (;;) {
        if (!work(w, t))
            return NULL;
        if (++t->stage == p->n)
            break;
        if (!may_enter(t))
            return NULL; /* parked: somebody else's, perhaps already under way */
    }
    t->stage = 0;
    t->item = NULL;
    t->number = gate_next_number(&p->numbers);
    if (!may_enter(t))
        return NULL;
    enlist(t);
    return &t->task; /* through the scheduler: outside work gets its chance */
}

static int pipeline_go(struct runtime *rt, struct worker *w, struct pipeline *p)
{
    struct token *first = &p->tokens[0];
    for (uint32_t i = 0; i < p->n_tokens; i++) {
        p->tokens[i].p = p;
        p->tokens[i].number = i;
    }
    for (uint32_t k = 0; k < p->n; k++) /* relaxed: not shared yet. The first place of each stage always has its turn */
        atom_store(gate_of(p, k, 0), k == 0 ? NULL : GATE_TURN, memory_order_relaxed);
    for (uint32_t i = 1; i < p->n_tokens; i++)
        atom_store(gate_of(p, 0, i), (void *)&p->tokens[i], memory_order_relaxed); /* relaxed: the same */
    atom_store(&p->numbers, (uint64_t)p->n_tokens, memory_order_relaxed);          /* relaxed: the same */
    weir_scope_init(w != NULL ? worker_public(w) : NULL, &p->scope);
    enlist(first);
    int r = 0;
    if (w != NULL)
        weir_push(worker_public(w), &first->task);
    else
        r = runtime_submit(rt, &first->task, WEIR_LANE_NORMAL, WEIR_BLOCK, WEIR_FOREVER);
    if (r != 0)
        return r;
    if (w != NULL)
        wait_scope(w, &p->scope);
    else
        wait_scope_outside(&p->scope);
    return scope_result(&p->scope);
}

int pipeline_run(struct runtime *rt, struct worker *w, const weir_stage *stages, uint32_t n, uint32_t tokens,
                 uint64_t *items)
{
    struct pipeline p = {.stages = stages, .n = n, .n_tokens = tokens};
    int r = -ENOMEM;
    p.tokens = os_alloc(tokens * sizeof *p.tokens, CACHE_LINE);
    p.gates = os_alloc((size_t)tokens * n * sizeof *p.gates, CACHE_LINE);
    if (p.tokens != NULL && p.gates != NULL)
        r = pipeline_go(rt, w, &p);
    os_free(p.tokens, tokens * sizeof *p.tokens);
    os_free(p.gates, (size_t)tokens * n * sizeof *p.gates);
    if (items != NULL)
        *items = p.items;
    return r;
}
