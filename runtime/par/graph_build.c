/* SPDX-License-Identifier: MIT
 *
 * graph_build.c - building a graph: nodes, edges, names; and its end.
 *
 * Threads: the builder.
 * Invariants: a call that fails has changed nothing but how much room there is. Node records are laid out as the run
 * needs them from the start; `row`, `strong` and INFO_ENTERED are 0 until the graph is frozen.
 */
#include <errno.h>
#include <string.h>

#include "par/graph.h"

#define VECTOR_FIRST 64u                  /* items */
#define VECTOR_LARGE ((size_t)32 << 10) /* bytes: what is larger grows in large steps, outside of the heap */
#define VECTOR_MAPPED ((size_t)1 << 20) /* bytes: the first of them */
#define VECTOR_STEP 8u                  /* times; what is not touched costs addresses only */

static weir_atomic_u32 last_id;

/* --- growing memory ------------------------------------------------------------------------------------------- */

static void move(struct vector *v, void *block, size_t room, size_t size)
{
    size_t count = v->count;
    if (count != 0)
        memcpy(block, v->data, count * size);
    vector_free(v, size);
    *v = (struct vector){block, count, room, v->streamed, false};
}

/* Moves into a block that was another graph's, one that is large enough for the next steps, too, if there is one.
 * False: there is none. */
static bool move_to_stock(struct vector *v, size_t room, size_t size)
{
    size_t bytes;
    void *block = NULL;
    for (size_t ahead = VECTOR_STEP * VECTOR_STEP; block == NULL && ahead != 0; ahead /= VECTOR_STEP)
        block = stock_take(ahead * room * size, &bytes);
    if (block != NULL)
        move(v, block, bytes / size, size);
    return block != NULL;
}

/* Moves what has small pages yet into a mapping with huge ones. */
static bool move_to_huge(struct vector *v, size_t room, size_t size)
{
    void *block = os_alloc(room * size, CACHE_LINE);
    if (block != NULL)
        move(v, block, room, size);
    return block != NULL;
}

int vector_grow(struct vector *v, size_t n, size_t size)
{
    size_t room = v->room == 0 ? VECTOR_FIRST : v->room * 2;
    if (room * size > VECTOR_LARGE)
        room = v->room * VECTOR_STEP > VECTOR_MAPPED / size ? v->room * VECTOR_STEP : VECTOR_MAPPED / size;
    while (room - v->count < n)
        room *= 2;
    if (room * size >= STOCK_MIN && move_to_stock(v, room, size))
        return 0;
    if (!v->streamed && v->room * size == VECTOR_MAPPED)
        return move_to_huge(v, room, size) ? 0 : -ENOMEM;
    void *data = os_resize(v->data, v->room * size, room * size, CACHE_LINE);
    if (data == NULL)
        return -ENOMEM;
    v->small_pages = v->small_pages || v->room * size == VECTOR_MAPPED;
    v->data = data;
    v->room = room;
    return 0;
}

void vector_free(struct vector *v, size_t size)
{
    if (v->small_pages)
        os_drop(v->data, v->room * size);
    stock_free(v->data, v->room * size);
    *v = (struct vector){NULL, 0, 0, v->streamed, false};
}

/* Room for n more. */
static inline int reserve(struct vector *v, size_t n, size_t size)
{
    return LIKELY(v->room - v->count >= n) ? 0 : vector_grow(v, n, size);
}

/* --- nodes ---------------------------------------------------------------------------------------------------- */

int weir_graph_create(weir_graph **out)
{
    if (out == NULL)
        return -EINVAL;
    weir_graph *g = os_alloc(sizeof *g, CACHE_LINE);
    if (g == NULL)
        return -ENOMEM;
    do /* relaxed: nothing but different numbers is asked for; 0 is none */
        g->id = atom_add(&last_id, 1u, memory_order_relaxed) + 1;
    while (g->id == 0);
    g->depth = 1;
    g->raw.streamed = true;
    *out = g;
    return 0;
}

/* Room for one more node. */
static inline int reserve_node(weir_graph *g)
{
    if (UNLIKELY(g->nodes.count >= WEIR_GRAPH_NODES_MAX))
        return -ENOSPC;
    return reserve(&g->nodes, 2, sizeof(struct node)); /* one more for the end of the last row */
}

static inline struct node *append_node(weir_graph *g, void *arg, uint32_t info, weir_node *out)
{
    size_t index = g->nodes.count++;
    struct node *n = graph_nodes(g) + index;
    n->arg = arg;
    n->row = 0;
    n->strong = 0;
    n->info = info;
    n->name = 0;
    if (out != NULL)
        *out = (weir_node){g->id, (uint32_t)index};
    return n;
}

static inline uint32_t priority_info(int32_t priority)
{
    return (uint32_t)(priority - WEIR_PRIORITY_MIN) << INFO_PRIORITY_SHIFT;
}

int weir_graph_add(weir_graph *g, weir_node_fn *fn, void *arg, weir_node *out)
{
    if (UNLIKELY(g == NULL || fn == NULL))
        return -EINVAL;
    if (UNLIKELY(g->frozen))
        return -EPERM;
    int r = reserve_node(g);
    if (UNLIKELY(r != 0))
        return r;
    append_node(g, arg, priority_info(0), out)->work.fn = fn;
    return 0;
}

/* Whether a spec gives its kind what it needs, and nothing that contradicts it. */
static bool spec_is_sound(const weir_graph *g, const weir_node_spec *s)
{
    bool pinned = s->flags == WEIR_NODE_PINNED;
    if (s->size != sizeof *s || s->reserved != 0)
        return false;
    if (pinned ? s->worker >= WEIR_WORKERS_MAX || s->kind == WEIR_NODE_GRAPH : s->flags != 0 || s->worker != 0)
        return false;
    if (s->priority < WEIR_PRIORITY_MIN || s->priority > WEIR_PRIORITY_MAX)
        return false;
    if (s->semaphores == NULL ? s->permits != 0
                              : s->permits == 0 || (s->semaphores->n < 64 && s->permits >> s->semaphores->n != 0))
        return false;
    switch (s->kind) {
    case WEIR_NODE_PLAIN:
    case WEIR_NODE_CONDITION:
    case WEIR_NODE_MULTI:
        return s->fn != NULL && s->spawn == NULL && s->graph == NULL;
    case WEIR_NODE_SPAWN:
        return s->spawn != NULL && s->fn == NULL && s->graph == NULL;
    case WEIR_NODE_GRAPH:
        return s->graph != NULL && s->graph != g && s->graph->frozen && s->fn == NULL && s->spawn == NULL;
    default:
        return false;
    }
}

static bool is_limited(const weir_node_spec *s)
{
    return s->semaphores != NULL || s->flags == WEIR_NODE_PINNED;
}

static bool needs_slot(const weir_node_spec *s)
{
    return s->kind == WEIR_NODE_SPAWN || s->kind == WEIR_NODE_GRAPH || is_limited(s);
}

static uint32_t add_name(weir_graph *g, const char *name, size_t length)
{
    if (g->names.count == 0)
        ((char *)g->names.data)[g->names.count++] = 0; /* "" */
    uint32_t at = (uint32_t)g->names.count;
    memcpy((char *)g->names.data + at, name, length + 1);
    g->names.count += length + 1;
    return at;
}

static uint32_t add_slot(weir_graph *g, const weir_node_spec *s, uint32_t node)
{
    struct slot_spec *slot = (struct slot_spec *)g->slots.data + g->slots.count;
    *slot = (struct slot_spec){node, s->semaphores, s->permits, s->flags == WEIR_NODE_PINNED ? s->worker : PIN_NONE};
    if (s->semaphores != NULL)
        atom_add(&s->semaphores->users, 1u, memory_order_relaxed); /* relaxed: the caller keeps the set alive */
    if (s->kind == WEIR_NODE_GRAPH)
        atom_add(&s->graph->users, 1u, memory_order_relaxed); /* relaxed: the same */
    return (uint32_t)g->slots.count++;
}

/* rank: of a set that is asked for; 0: none. */
static void note_asks(weir_graph *g, uint64_t rank)
{
    if (rank != 0 && (g->asks == 0 || rank < g->asks))
        g->asks = rank;
}

int weir_graph_add_spec(weir_graph *g, const weir_node_spec *s, weir_node *out)
{
    if (g == NULL || s == NULL || !spec_is_sound(g, s))
        return -EINVAL;
    if (g->frozen)
        return -EPERM;
    size_t length = s->name != NULL ? strlen(s->name) : 0;
    if (s->kind == WEIR_NODE_GRAPH && s->semaphores != NULL && s->graph->asks != 0 &&
        s->graph->asks <= s->semaphores->rank)
        return -EDEADLK; /* inner nodes wait while it holds permits: only for sets of higher ranks, so in no circle */
    if (s->kind == WEIR_NODE_GRAPH && s->graph->depth >= GRAPH_DEPTH_MAX)
        return -ENOSPC;
    if (g->names.count + length + 2 > UINT32_MAX || (needs_slot(s) && g->slots.count >= WEIR_GRAPH_SLOTS_MAX))
        return -ENOSPC;
    int r = length != 0 ? reserve(&g->names, length + 2, 1) : 0;
    if (r == 0 && needs_slot(s))
        r = reserve(&g->slots, 1, sizeof(struct slot_spec));
    if (r == 0)
        r = reserve_node(g);
    if (r != 0)
        return r;
    uint32_t index = (uint32_t)g->nodes.count;
    struct node *n = append_node(g, s->arg, (uint32_t)s->kind | priority_info(s->priority), out);
    if (s->kind == WEIR_NODE_SPAWN)
        n->work.spawn = s->spawn;
    else if (s->kind == WEIR_NODE_GRAPH)
        n->work.graph = s->graph;
    else
        n->work.fn = s->fn;
    if (is_limited(s))
        n->info |= INFO_LIMITED;
    if (needs_slot(s))
        n->info |= add_slot(g, s, index) << INFO_SLOT_SHIFT;
    if (length != 0)
        n->name = add_name(g, s->name, length);
    g->ranked = g->ranked || s->priority != 0;
    g->weak = g->weak || node_is_weak(n);
    note_asks(g, s->semaphores != NULL ? s->semaphores->rank : 0);
    note_asks(g, s->kind == WEIR_NODE_GRAPH ? s->graph->asks : 0);
    if (s->kind == WEIR_NODE_GRAPH && s->graph->depth >= g->depth)
        g->depth = s->graph->depth + 1;
    return 0;
}

/* --- edges ---------------------------------------------------------------------------------------------------- */

static inline int check_edge(const weir_graph *g, weir_node before, weir_node after)
{
    if (before.graph != g->id || after.graph != g->id || before.index >= g->nodes.count ||
        after.index >= g->nodes.count)
        return -EINVAL;
    if (before.index == after.index && !node_is_weak(graph_nodes(g) + before.index))
        return -ELOOP;
    return 0;
}

int weir_graph_precede(weir_graph *g, weir_node before, weir_node after)
{
    if (UNLIKELY(g == NULL))
        return -EINVAL;
    if (UNLIKELY(g->frozen))
        return -EPERM;
    int r = check_edge(g, before, after);
    if (UNLIKELY(r != 0))
        return r;
    if (UNLIKELY(g->raw.count >= WEIR_GRAPH_EDGES_MAX))
        return -ENOSPC;
    r = reserve(&g->raw, 1, sizeof(struct raw_edge));
    if (UNLIKELY(r != 0))
        return r;
    ((struct raw_edge *)g->raw.data)[g->raw.count++] = (struct raw_edge){before.index, after.index};
    return 0;
}

int weir_graph_succeed(weir_graph *g, weir_node after, weir_node before)
{
    return weir_graph_precede(g, before, after);
}

int weir_graph_edges(weir_graph *g, const weir_edge *edges, size_t n)
{
    if (g == NULL || (edges == NULL && n != 0))
        return -EINVAL;
    if (g->frozen)
        return -EPERM;
    for (size_t i = 0; i < n; i++) {
        int r = check_edge(g, edges[i].before, edges[i].after);
        if (r != 0)
            return r;
    }
    if (n > WEIR_GRAPH_EDGES_MAX - g->raw.count)
        return -ENOSPC;
    int r = reserve(&g->raw, n, sizeof(struct raw_edge));
    if (r != 0 || n == 0)
        return r;
    struct raw_edge *raw = (struct raw_edge *)g->raw.data + g->raw.count;
    for (size_t i = 0; i < n; i++)
        raw[i] = (struct raw_edge){edges[i].before.index, edges[i].after.index};
    g->raw.count += n;
    return 0;
}

/* --- looking, and the end ------------------------------------------------------------------------------------- */

const char *weir_graph_name(const weir_graph *g, weir_node node)
{
    if (g == NULL || node.graph != g->id || node.index >= weir_graph_node_count(g))
        return "";
    uint32_t place = graph_place(g, node.index);
    return graph_nodes(g)[place].name != 0 ? graph_name(g, place) : "";
}

uint32_t weir_graph_node_count(const weir_graph *g)
{
    return g != NULL ? (uint32_t)g->nodes.count : 0;
}

uint32_t weir_graph_edge_count(const weir_graph *g)
{
    if (g == NULL)
        return 0;
    return g->frozen ? g->n_edges : (uint32_t)g->raw.count;
}

/* Lets go of what the nodes use. */
static void release_uses(weir_graph *g)
{
    const struct slot_spec *slot = g->slots.data;
    for (size_t i = 0; i < g->slots.count; i++) {
        const struct node *n = graph_nodes(g) + graph_place(g, slot[i].node);
        /* [GR2] release: our last use before the memory goes; pairs with who destroys it. */
        if (slot[i].semaphores != NULL)
            atom_sub(&slot[i].semaphores->users, 1u, memory_order_release);
        if ((n->info & INFO_KIND) == WEIR_NODE_GRAPH)
            atom_sub(&n->work.graph->users, 1u, memory_order_release); /* [GR2] */
    }
}

int weir_graph_destroy(weir_graph *g)
{
    if (g == NULL)
        return -EINVAL;
    /* [GR2] acquire: the last use of it; pairs with weir_run_destroy() and with release_uses(). */
    if (atom_load(&g->users, memory_order_acquire) != 0)
        return -EBUSY;
    size_t n = g->nodes.count;
    release_uses(g);
    if (g->raw.small_pages)
        os_drop(g->edges, g->edges_size); /* they are where `raw` was */
    block_free(g->edges, g->edges_size);
    os_free(g->rank, n * sizeof *g->rank);
    os_free(g->index, n * sizeof *g->index);
    vector_free(&g->nodes, sizeof(struct node));
    vector_free(&g->raw, sizeof(struct raw_edge));
    vector_free(&g->slots, sizeof(struct slot_spec));
    vector_free(&g->names, 1);
    os_free(g, sizeof *g);
    return 0;
}
