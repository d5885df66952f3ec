/* SPDX-License-Identifier: MIT
 *
 * graph_node.c - nodes that are more than a call: conditions, spawning nodes, graphs as nodes, nodes that hold
 * semaphores, pinned nodes; and every node of a run that is stopped, timed or has a deadline.
 *
 * A node that lives on when its worker goes away does so in its slot, whose task comes back as a task of the run:
 * asked (for semaphores) -> sent (to its worker) -> works (children, an inner graph) -> returned (semaphores), each
 * stage only where there is something to wait for. No worker blocks in any of them.
 *
 * Threads: the strand's worker. Invariants: the slot's task owes one completion of the run while it is away (G3),
 * counted before it may come back; whoever hands it over has nothing more to do with the slot.
 */
#include <errno.h>

#include "obs/probes.h"
#include "par/graph.h"

static struct slot *slot_of(const weir_run *run, const struct node *n)
{
    return &run->slots[n->info >> INFO_SLOT_SHIFT];
}

static bool has_slot(const struct node *n)
{
    uint32_t kind = n->info & INFO_KIND;
    return kind == WEIR_NODE_SPAWN || kind == WEIR_NODE_GRAPH || (n->info & INFO_LIMITED) != 0;
}

/* --- calling -------------------------------------------------------------------------------------------------- */

/* Whether the run is stopped, or should be by now. */
static bool stops(weir_run *run)
{
    uint32_t attention = atom_load(&run->attention, memory_order_relaxed); /* relaxed: a request */
    if ((attention & ATTENTION_DEADLINE) != 0 && os_now() >= run->how.deadline)
        run_fail(run, NODE_NONE, -ETIMEDOUT);
    return run_is_stopped(run);
}

static int call(struct strand *s, uint32_t v, weir_scope *children)
{
    const struct node *n = &s->nodes[v];
    weir_worker *w = worker_public(s->w);
    weir_atomic_u64 *times = s->run->times;
    uint64_t begin = times != NULL ? os_now() : 0;
    PROBE3(node_begin, s->w->id, v, n->work.fn);
    int r = children != NULL ? n->work.spawn(w, n->arg, children) : n->work.fn(w, n->arg);
    if (times != NULL) {
        /* relaxed: statistics, read when the run has ended */
        atom_add(&times[2 * (size_t)v], os_now() - begin, memory_order_relaxed);
        atom_add(&times[2 * (size_t)v + 1], UINT64_C(1), memory_order_relaxed);
    }
    return r;
}

/* A multi-condition: all that it has chosen. */
static uint32_t choose(struct strand *s, const struct node *n, uint32_t chosen)
{
    uint32_t next = NODE_NONE;
    for (uint32_t i = n[1].row; i-- > n->row;) {
        if (i - n->row >= WEIR_MULTI_SUCCESSORS_MAX || (chosen >> (i - n->row) & 1) == 0)
            continue;
        if (next != NODE_NONE)
            strand_push(s, next);
        next = s->edges[i] & EDGE_TARGET;
    }
    return next;
}

/* Node v has come to its end, with what its function returned. */
static uint32_t end_node(struct strand *s, uint32_t v, int r)
{
    const struct node *n = &s->nodes[v];
    if (r < 0) {
        run_fail(s->run, v, r);
        return NODE_NONE;
    }
    switch (n->info & INFO_KIND) {
    case WEIR_NODE_CONDITION:
        return (uint32_t)r < n[1].row - n->row ? s->edges[n->row + (uint32_t)r] & EDGE_TARGET : NODE_NONE;
    case WEIR_NODE_MULTI:
        return choose(s, n, (uint32_t)r);
    default:
        return strand_release(s, n);
    }
}

/* --- slots ---------------------------------------------------------------------------------------------------- */

/* Makes the owners of permits run that came out of a set. True: `mine` is among them. */
static bool hand_out(struct strand *s, struct permit *out, const struct slot *mine)
{
    bool found = false;
    while (out != NULL) {
        struct permit *next = out->next; /* the slot is its owner's once it is pushed */
        struct slot *slot = CONTAINER_OF(out, struct slot, permit);
        if (slot == mine)
            found = true;
        else
            weir_push(worker_public(s->w), &slot->task);
        out = next;
    }
    return found;
}

static uint32_t slot_leave(struct strand *s, struct slot *slot)
{
    uint32_t v = slot->node;
    int r = slot->result;
    /* [GR3] release: our use of the slot; pairs with slot_enter(). */
    atom_store(&slot->taken, 0u, memory_order_release);
    return end_node(s, v, r);
}

/* The node's work is done: it gives back what it holds, then its successors may begin. */
static uint32_t slot_end(struct strand *s, struct slot *slot, int r)
{
    slot->result = r;
    if (slot->semaphores == NULL)
        return slot_leave(s, slot);
    slot->stage = SLOT_RETURNED;
    strand_owe(s);
    if (!hand_out(s, semaphore_return(slot->semaphores, &slot->permit), slot))
        return NODE_NONE; /* who serves the set makes its task run */
    strand_unowe(s);
    return slot_leave(s, slot);
}

/* The result of the inner graph; if it was cancelled, so is this run: a cancel that came late, while the run was
 * started again, may have reached the inner graph only. */
static int inner_result(const struct slot *slot)
{
    int r = run_result(slot->inner);
    if (r != -ECANCELED)
        return r;
    run_stop(slot->run);
    return 0;
}

static int children_result(const struct slot *slot)
{
    return weir_scope_error(&slot->children);
}

static uint32_t work_spawn(struct strand *s, struct slot *slot)
{
    weir_scope_init(worker_public(s->w), &slot->children);
    int r = call(s, slot->node, &slot->children);
    if (r < 0)
        weir_scope_fail(&slot->children, r);
    slot->stage = SLOT_WORKS;
    strand_owe(s);
    if (weir_scope_then(&slot->children, &slot->task) == NULL)
        return NODE_NONE; /* the last child makes its task run */
    strand_unowe(s);
    return slot_end(s, slot, children_result(slot));
}

static uint32_t work_graph(struct strand *s, struct slot *slot)
{
    slot->stage = SLOT_WORKS;
    strand_owe(s);
    run_begin_once(slot->inner, &slot->task);
    weir_push(worker_public(s->w), &slot->inner->root);
    return NODE_NONE;
}

/* Runs the node, which holds all that it needs. */
static uint32_t slot_work(struct strand *s, struct slot *slot)
{
    switch (s->nodes[slot->node].info & INFO_KIND) {
    case WEIR_NODE_SPAWN:
        return work_spawn(s, slot);
    case WEIR_NODE_GRAPH:
        return work_graph(s, slot);
    default:
        return slot_end(s, slot, call(s, slot->node, NULL));
    }
}

/* The node holds its semaphores: it runs here, or where it is pinned to. */
static uint32_t slot_place(struct strand *s, struct slot *slot)
{
    if (slot->pin == PIN_NONE || slot->pin == s->w->id)
        return slot_work(s, slot);
    slot->stage = SLOT_SENT;
    strand_owe(s);
    runtime_send(s->w->rt, slot->pin, &slot->task);
    return NODE_NONE;
}

static uint32_t slot_enter(struct strand *s, uint32_t v)
{
    struct slot *slot = slot_of(s->run, &s->nodes[v]);
    /* [GR3] acquire: the slot as its last use has left it; pairs with slot_leave(). */
    if (atom_xchg(&slot->taken, 1u, memory_order_acquire) != 0) {
        run_fail(s->run, v, -EBUSY); /* weak edges made the node run a second time before it had ended */
        return NODE_NONE;
    }
    slot->node = v;
    if (slot->semaphores == NULL)
        return slot_place(s, slot);
    slot->stage = SLOT_ASKED;
    strand_owe(s);
    if (!hand_out(s, semaphore_ask(slot->semaphores, &slot->permit), slot))
        return NODE_NONE; /* who gives them back makes its task run */
    strand_unowe(s);
    return slot_place(s, slot);
}

weir_task *slot_run(weir_worker *public, weir_task *task)
{
    struct slot *slot = CONTAINER_OF(task, struct slot, task);
    struct strand s;
    uint32_t v;
    strand_begin(&s, worker_of(public), slot->run);
    if (slot->stage == SLOT_ASKED)
        v = stops(slot->run) ? slot_end(&s, slot, 0) : slot_place(&s, slot);
    else if (slot->stage == SLOT_SENT)
        v = stops(slot->run) ? slot_end(&s, slot, 0) : slot_work(&s, slot);
    else if (slot->stage == SLOT_RETURNED)
        v = slot_leave(&s, slot);
    else
        v = slot_end(&s, slot, slot->inner != NULL ? inner_result(slot) : children_result(slot));
    return strand_run(&s, v);
}

uint32_t strand_step_special(struct strand *s, uint32_t v)
{
    if (stops(s->run))
        return NODE_NONE;
    if (has_slot(&s->nodes[v]))
        return slot_enter(s, v);
    return end_node(s, v, call(s, v, NULL));
}
