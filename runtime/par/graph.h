/* SPDX-License-Identifier: MIT
 *
 * graph.h - the layout of a graph and of a run, and what the graph's files ask of each other.
 *
 * A graph: one record of 32 bytes a node, in topological order, and its rows of successors as 32-bit edges, one after
 * the other. A run: a counter of 32 bits a node, a slot for each node that lives beyond its function's return, and a
 * scope.
 *
 * Threads: a graph is written by its builder only and constant once frozen. A run's plain fields are written before its
 * first task exists and after its last one has ended; the rest says who writes it.
 * Invariants:
 *  G1  arrived[v] is the number of strong predecessors of v that have ended since v last began. The last one to arrive
 *      sets it back to 0 before v begins: a run that was not stopped leaves all counters at 0, as it found them.
 *  G2  An edge marked EDGE_DIRECT makes its target ready by itself: no counter is touched.
 *  G3  Each task of a run (a range, a slot's task) owes one completion to the run's scope. A strand takes a supply
 *      of completions for what it pushes, and pays back what it has left: two atomic operations per strand, none per
 *      task.
 * Source: compressed sparse rows; topological order after Kahn (CACM 1962).
 */
#ifndef WEIR_GRAPH_INTERNAL_H
#define WEIR_GRAPH_INTERNAL_H

#include <weir/graph.h>

#include "par/semaphore.h"
#include "sched/worker.h"
#include "sync/stock.h"

#define EDGE_DIRECT (UINT32_C(1) << 31)
#define EDGE_TARGET (EDGE_DIRECT - 1)
#define NODE_NONE UINT32_MAX
#define GRAPH_DEPTH_MAX 64u /* graphs within graphs: runs are made and stopped by recursion */

/*
 * A node's `info`:
 *  31       10  9        8       7        4   3       2   0
 * | slot     | follows | entered | priority+8 | limited | kind |
 *
 * slot      number of its slot in a run (kinds spawn and graph, and limited nodes)
 * follows   a plain node; its only successor is the next record, by a direct edge: the run need not look at the edge
 * entered   a weak edge leads to it
 * limited   it must be let in: by semaphores that it holds while it runs, or by the worker that it is pinned to
 */
#define INFO_KIND 7u
#define INFO_LIMITED (1u << 3)
#define INFO_SPECIAL (INFO_KIND | INFO_LIMITED) /* 0: a plain node, a call and nothing else */
#define INFO_PRIORITY_SHIFT 4
#define INFO_PRIORITY (15u << INFO_PRIORITY_SHIFT)
#define INFO_ENTERED (1u << 8)
#define INFO_FOLLOWS (1u << 9)
#define INFO_SLOT_SHIFT 10
static_assert(WEIR_GRAPH_SLOTS_MAX == UINT32_C(1) << (32 - INFO_SLOT_SHIFT), "a slot's number fits");

struct node {
    union {
        weir_node_fn *fn;
        weir_node_spawn_fn *spawn;
        weir_graph *graph;
    } work;
    void *arg;
    uint32_t row;    /* its first edge; the row ends where the next node's begins */
    uint32_t strong; /* strong predecessors */
    uint32_t info;
    uint32_t name;   /* where its name begins in `names`; 0: it has none */
};
static_assert(sizeof(struct node) == 32, "two nodes are a cache line");

struct raw_edge {
    uint32_t from;
    uint32_t to;
};

/* Growing memory: see vector_grow() in graph_build.c. */
struct vector {
    void *data;
    size_t count; /* items in use */
    size_t room;  /* items that there is room for */
    bool streamed; /* used from one end to the other: its first pages may be small, and move without a copy */
    bool small_pages; /* they have: not what a block should wait with for the next graph */
};

/* What the slots of the nodes are made from. */
struct slot_spec {
    uint32_t node;
    weir_semaphores *semaphores;
    uint64_t permits;
    uint32_t pin; /* PIN_NONE, or the number of a worker */
};
#define PIN_NONE UINT32_MAX

struct weir_graph {
    struct vector nodes;      /* struct node; frozen: one more as the end of the last row */
    struct vector raw;        /* struct raw_edge, in the order in which they were added; frozen: empty */
    struct vector slots;      /* struct slot_spec */
    struct vector names;      /* char; the first is 0 */
    uint32_t *edges;          /* frozen: all rows, then the sources */
    size_t edges_size;        /* bytes of their block; 0: they are behind the nodes, in theirs */
    uint32_t *rank;           /* frozen: place of a node by its index; NULL: they are the same */
    uint32_t *index;          /* frozen: index of a node by its place; NULL: the same */
    uint32_t n_edges;
    uint32_t n_sources;
    uint32_t id;
    bool frozen;
    bool ranked;              /* some node has a priority */
    bool weak;                /* some node is a condition: counters may be left short, so each time begins by a sweep */
    uint64_t asks;            /* lowest rank of the sets of semaphores that nodes, also of inner graphs, ask for; 0 */
    uint32_t depth;           /* graphs within graphs, itself included */
    weir_atomic_u32 users;    /* runs, and graphs that contain this one */
};

/* The block of edges, with room for the sources behind them: never empty, so that it has an address. */
static inline size_t edges_bytes(uint32_t n_edges, uint32_t n_sources)
{
    return ((size_t)n_edges + n_sources + 1) * sizeof(uint32_t);
}

/* Gives back a block, unless it is part of another one: size 0. */
static inline void block_free(void *block, size_t size)
{
    if (size != 0)
        stock_free(block, size);
}

static inline struct node *graph_nodes(const weir_graph *g)
{
    return g->nodes.data;
}

static inline uint32_t graph_place(const weir_graph *g, uint32_t index)
{
    return g->rank != NULL ? g->rank[index] : index;
}

static inline weir_node graph_handle(const weir_graph *g, uint32_t place)
{
    return (weir_node){g->id, g->index != NULL ? g->index[place] : place};
}

static inline const char *graph_name(const weir_graph *g, uint32_t place)
{
    return (const char *)g->names.data + graph_nodes(g)[place].name;
}

static inline bool node_is_weak(const struct node *n)
{
    uint32_t kind = n->info & INFO_KIND;
    return kind == WEIR_NODE_CONDITION || kind == WEIR_NODE_MULTI;
}

/* How far a slot's node has come. */
enum slot_stage {
    SLOT_ASKED,   /* waits for its semaphores; its task then runs the node */
    SLOT_SENT,    /* on its way to the worker that it is pinned to; its task then runs the node */
    SLOT_WORKS,   /* its children, or its graph, are under way; its task then ends the node */
    SLOT_RETURNED /* has given back its semaphores; its task then releases the successors */
};

struct slot {
    weir_task task;        /* a task of the run whenever the slot is in one of the stages */
    weir_run *run;
    uint32_t node;
    uint32_t stage;        /* enum slot_stage: written by whom the node belongs to at the time */
    int result;            /* of the node's function, while the semaphores go back */
    uint32_t pin;          /* PIN_NONE, or the number of the only worker that may call the function */
    weir_atomic_u32 taken; /* 1: the node is under way */
    weir_semaphores *semaphores;
    struct permit permit;
    weir_scope children;
    weir_run *inner;       /* kind graph */
};

/* Bits of a run's `attention`: 0 while a strand need look at nothing but its nodes. */
#define ATTENTION_STOP 1u     /* begin nothing more */
#define ATTENTION_DEADLINE 2u /* look at the clock before each node */
#define ATTENTION_TIMED 4u    /* measure each node */

struct weir_run {
    /* read by every strand */
    weir_graph *graph;
    struct node *nodes;
    uint32_t *edges;
    weir_atomic_u32 *arrived;  /* strands count up: G1 */
    weir_atomic_u32 attention; /* anybody may set ATTENTION_STOP */
    uint32_t n_slots;
    struct slot *slots;
    weir_run *outer;           /* the run that this one is a node of, or NULL */
    weir_scope scope ALIGNED(LINE_PAIR); /* all tasks of one time through the graph */
    /* written by the first to fail */
    weir_atomic_u64 failure;   /* place + 1 in the upper half, a positive errno in the lower; 0: none */
    weir_atomic_u32 busy;      /* RUN_*: the futex word of weir_run_wait() */
    /* plain */
    struct runtime *rt;
    weir_task root;            /* releases the sources */
    size_t arrived_size;       /* bytes of their block */
    weir_task again;           /* after one time through the graph: the next one, or the end */
    weir_run_how how;
    uint64_t done;             /* times through the graph */
    weir_atomic_u64 *times;    /* two a node: ns and count; NULL: not timed */
};

enum { RUN_IDLE, RUN_BUSY, RUN_AWAITED /* busy, and somebody sleeps on the word */ };

/* --- graph_build.c --- */

/* Room for n more items of that size. 0, -ENOMEM (nothing changed). */
int vector_grow(struct vector *v, size_t n, size_t size) MUST_USE;
/* Gives back what is not in use, or all of it. */
void vector_free(struct vector *v, size_t size);

/* --- graph_run.c: strands --- */

/* A strand: one worker's way through a run, from a task of the run to the point where nothing of it is left here. */
struct strand {
    struct worker *w;
    weir_run *run;
    const struct node *nodes;
    const uint32_t *edges;
    weir_atomic_u32 *arrived;
    uint64_t base;        /* logical bottom of the deque when it began: what lies above was made since */
    uint32_t spare;       /* completions of the run's scope in hand (G3) */
    uint32_t budget;      /* nodes until the next look at the injector */
    uint32_t overflow;    /* ready nodes that there was no memory to push, linked through arrived[]; NODE_NONE: none */
    uint32_t held;        /* arrivals at `held_at` not yet made */
    uint32_t held_at;
    bool owned;           /* this worker keeps the scope's private account */
    struct range *mine;   /* the rest of the range that the strand goes through, on the deque */
    struct range *unused; /* a range to be used again */
};

void strand_begin(struct strand *s, struct worker *w, weir_run *run);
/* Runs node v (or none) and all that it leads to here. Returns a task of another run or kind that came up, or NULL. */
weir_task *strand_run(struct strand *s, uint32_t v);
/* Counts a task of the run that the caller makes runnable, or that came to nothing. */
void strand_owe(struct strand *s);
static inline void strand_unowe(struct strand *s)
{
    s->spare++;
}
/* Makes a ready node runnable. */
void strand_push(struct strand *s, uint32_t v);
/* A node has ended well: arrives at its successors. Returns one that is ready, or NODE_NONE; pushes the others. */
uint32_t strand_release(struct strand *s, const struct node *n);
/* The root task's function: a time through the graph begins. */
weir_task *strand_root(weir_worker *w, weir_task *root);

/* --- graph_node.c: nodes that are more than a call --- */

/* Runs node v of whatever kind, under whatever attention. Returns as strand_release(). */
uint32_t strand_step_special(struct strand *s, uint32_t v);
/* The function of a slot's task. */
weir_task *slot_run(weir_worker *w, weir_task *task);

/* --- graph_start.c: runs as wholes --- */

/* Marks a task as one of the run's. */
void run_task_init(weir_run *run, weir_task *t, weir_task_fn *fn);
/* Stops what has not begun, in the run and in the graphs that are its nodes; or in the outermost run that it is part
 * of. */
void run_stop(weir_run *run);
void run_stop_all(weir_run *run);
static inline bool run_is_stopped(const weir_run *run)
{
    return (atom_load(&run->attention, memory_order_relaxed) & ATTENTION_STOP) != 0; /* relaxed: a request */
}
/* Prepares the scope, the counters and the root task for one time through the graph; `then` runs after it. */
void run_begin_once(weir_run *run, weir_task *then);
/* Records an error, if it is the first, and stops. place: NODE_NONE for none. */
void run_fail(weir_run *run, uint32_t place, int error);
int run_result(const weir_run *run);

#endif
