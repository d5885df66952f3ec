/* SPDX-License-Identifier: MIT
 *
 * weir/graph.h - task graphs: build once, freeze, run any number of times.
 *
 * A graph is built (weir_graph_add, weir_graph_precede), frozen, and from then on immutable. What one execution needs
 * of its own, counters above all, is in a weir_run, made once and used again; runs allocate nothing. Several runs of
 * one graph may be under way at once, on one runtime or on several.
 *
 * Threads: a graph that is being built belongs to one thread at a time. A frozen graph may be used by any thread. A run
 * is started by one thread at a time; weir_run_cancel and weir_run_wait may be called by any.
 * Source: condition nodes and weak edges after Taskflow (Huang, Lin, Guo, Wong, IPDPS 2019; TPDS 2022).
 */
#ifndef WEIR_GRAPH_H
#define WEIR_GRAPH_H

#include <stdio.h>

#include <weir/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_graph weir_graph;
typedef struct weir_run weir_run;
typedef struct weir_semaphores weir_semaphores;

/* A node of one graph: a value to be copied, good for as long as the graph is. */
typedef struct weir_node {
    uint32_t graph; /* number of the graph it belongs to; 0: no node */
    uint32_t index; /* in the order of weir_graph_add */
} weir_node;

typedef struct weir_edge {
    weir_node before;
    weir_node after;
} weir_edge;

#define WEIR_GRAPH_NODES_MAX (UINT32_C(1) << 30) /* nodes of one graph */
#define WEIR_GRAPH_EDGES_MAX (UINT32_C(3) << 30) /* edges of one graph */
#define WEIR_GRAPH_SLOTS_MAX (UINT32_C(1) << 22) /* nodes of one graph with children, graphs, permits or pins */
#define WEIR_SEMAPHORES_MAX 64u                  /* semaphores of one set */
#define WEIR_MULTI_SUCCESSORS_MAX 31u            /* successors that a multi-condition can tell apart */

/*
 * A node's work, on worker `w`. Returns 0, or a negative errno: then nothing of the run begins any more and the run
 * reports node and code. A condition returns the number of the successor that runs next (0: the first one that it was
 * put before; a number without a successor: none); a multi-condition returns a set of them, bit i for successor i.
 */
typedef int weir_node_fn(weir_worker *w, void *arg);
/* A node that makes tasks: what it spawns in `children` (weir_scope_spawn) ends before the node's successors begin. */
typedef int weir_node_spawn_fn(weir_worker *w, void *arg, weir_scope *children);

typedef enum weir_node_kind {
    WEIR_NODE_PLAIN = 0,     /* `fn` */
    WEIR_NODE_CONDITION = 1, /* `fn` chooses one successor. Its edges are weak: they make the successor run at once,
                                whatever else precedes it, and may lead back: if, switch, loops */
    WEIR_NODE_MULTI = 2,     /* the same, any number of successors */
    WEIR_NODE_SPAWN = 3,     /* `spawn` makes children */
    WEIR_NODE_GRAPH = 4      /* a frozen graph runs as this node, once each time */
} weir_node_kind;

#define WEIR_PRIORITY_MIN (-8)
#define WEIR_PRIORITY_MAX 7

#define WEIR_NODE_PINNED 1u /* flags: the function runs on worker `worker` and nowhere else; not for a graph */

/* All that a node can have. Start from zeros and `size`. */
typedef struct weir_node_spec {
    uint32_t size;              /* sizeof(weir_node_spec) */
    weir_node_kind kind;
    weir_node_fn *fn;           /* plain, condition, multi-condition */
    weir_node_spawn_fn *spawn;  /* spawning */
    weir_graph *graph;          /* graph: frozen; it must outlive this graph */
    void *arg;                  /* handed to the function */
    const char *name;           /* copied; NULL: none */
    int32_t priority;           /* among nodes that become ready together, on one worker: higher first */
    uint32_t flags;             /* 0 or WEIR_NODE_PINNED */
    weir_semaphores *semaphores;/* NULL, or the set of which the node holds `permits` while it runs */
    uint64_t permits;           /* bit i: one permit of semaphore i. All at once or none: who waits holds nothing */
    uint32_t worker;            /* pinned: the worker's number, below WEIR_WORKERS_MAX; a run refuses one that may leave
                                   its runtime. Otherwise 0 */
    uint32_t reserved;          /* 0 */
} weir_node_spec;

/* --- building ------------------------------------------------------------------------------------------------- */

/* An empty graph. -EINVAL, -ENOMEM. */
WEIR_API int weir_graph_create(weir_graph **out) WEIR_MUST_USE;
/* Gives everything back. -EBUSY: runs of it, or graphs that contain it, still exist (nothing changed). -EINVAL. */
WEIR_API int weir_graph_destroy(weir_graph *g);
/*
 * Adds a plain node. *out may be NULL.
 * -EINVAL, -EPERM (the graph is frozen), -ENOSPC (WEIR_GRAPH_NODES_MAX), -ENOMEM; nothing is changed then.
 */
WEIR_API int weir_graph_add(weir_graph *g, weir_node_fn *fn, void *arg, weir_node *out);
/* Adds a node of any kind. As above; also -EINVAL for a spec that contradicts itself, or a subgraph that is not
 * frozen; -EDEADLK for a subgraph that shall hold permits of a set while nodes within it ask for permits of the same,
 * or of one that was made before it: sets are held in the order of their making, so that nobody waits in a circle. */
WEIR_API int weir_graph_add_spec(weir_graph *g, const weir_node_spec *spec, weir_node *out);
/*
 * `before` ends before `after` begins; or, after a condition: may be chosen. -EINVAL (a node of another graph), -ELOOP
 * (a node before itself), -EPERM, -ENOSPC, -ENOMEM; nothing is changed then.
 */
WEIR_API int weir_graph_precede(weir_graph *g, weir_node before, weir_node after);
WEIR_API int weir_graph_succeed(weir_graph *g, weir_node after, weir_node before);
/* Many edges at once: all, or none with the error of the first bad one. */
WEIR_API int weir_graph_edges(weir_graph *g, const weir_edge *edges, size_t n);

/* What is wrong with a graph: the caller gives room for nodes. */
typedef struct weir_graph_fault {
    weir_node *nodes; /* -ELOOP: the nodes of one cycle, each before the next one. -EEXIST: the edge's two ends */
    uint32_t room;    /* nodes that there is room for */
    uint32_t count;   /* set: nodes that there are, also beyond `room` */
} weir_graph_fault;

/*
 * Checks the graph and lays it out for running. On failure it stays as it was and can be built on.
 * fault: NULL, or where to name nodes.
 * -ELOOP: a cycle. -EEXIST: an edge that is there twice (after a condition that is allowed). -ENOENT: every node has a
 * predecessor, so nothing would ever begin. -EPERM: is frozen. -EINVAL, -ENOMEM.
 */
WEIR_API int weir_graph_freeze(weir_graph *g, weir_graph_fault *fault);

/* A node's name, or "" if it has none or is no node of the graph. Valid until the next addition to the graph. */
WEIR_API const char *weir_graph_name(const weir_graph *g, weir_node node);
/* How many nodes and edges there are; 0 for NULL. */
WEIR_API uint32_t weir_graph_node_count(const weir_graph *g);
WEIR_API uint32_t weir_graph_edge_count(const weir_graph *g);

/* --- semaphores ----------------------------------------------------------------------------------------------- */

/*
 * A set of n counting semaphores (1 to WEIR_SEMAPHORES_MAX), for graphs that run on `rt`. permits[i]: how many nodes
 * may hold semaphore i at once, at least 1. A node that must wait gives its worker free. Who waits holds nothing, and
 * permits are handed over in the order of asking where that is possible: no deadlock, whatever the sets. (A node's
 * function that holds permits and itself waits, for a run whose nodes ask for them say, is on its own, as with any
 * lock.)
 * -EINVAL, -ENOMEM.
 */
WEIR_API int weir_semaphores_create(weir_runtime *rt, const uint32_t *permits, uint32_t n, weir_semaphores **out)
    WEIR_MUST_USE;
/* -EBUSY: graphs name it. -EINVAL. */
WEIR_API int weir_semaphores_destroy(weir_semaphores *s);

/* --- runs ----------------------------------------------------------------------------------------------------- */

#define WEIR_RUN_TIMED 1u /* measure each node (two clock reads): weir_run_time, colours of weir_graph_dot */

/*
 * Makes what one execution at a time of a frozen graph needs. flags: 0 or WEIR_RUN_TIMED.
 * -EINVAL (not frozen), -ENOMEM.
 */
WEIR_API int weir_run_create(weir_graph *g, uint32_t flags, weir_run **out) WEIR_MUST_USE;
/* -EBUSY: it is under way. -EINVAL. */
WEIR_API int weir_run_destroy(weir_run *r);

/* How to run. Start from WEIR_RUN_HOW. */
typedef struct weir_run_how {
    uint32_t size;
    int eventfd;              /* 1 is added to it at the end; -1: none */
    uint64_t times;           /* how often the whole graph runs, one after the other; UINT64_MAX: until `until` */
    bool (*until)(void *arg); /* asked on a worker after each time; true: that was the last. NULL: never */
    void *until_arg;
    uint64_t deadline;        /* absolute ns: nothing begins after it, the run ends with -ETIMEDOUT; or WEIR_FOREVER */
    weir_task *then;          /* runs after the end: a ready task, or one that owes a completion: one is paid */
} weir_run_how;

#define WEIR_RUN_HOW {sizeof(weir_run_how), -1, 1, NULL, NULL, WEIR_FOREVER, NULL}

/*
 * Starts a run and returns. how: NULL is WEIR_RUN_HOW. Until its end the run is the runtime's. The end is told in this
 * order: weir_run_wait returns, the eventfd is written, `then` runs; the run may be destroyed or started again by
 * whoever of them the program has chosen for that.
 * -EBUSY (under way), -EINVAL, -EXDEV (a node's semaphores belong to another runtime), -ERANGE (a node is pinned to a
 * worker that is not below min_workers), -ESHUTDOWN, -EOWNERDEAD, -EAGAIN (called on a worker of another runtime, and
 * the injector is full).
 * A pinned node begins when its worker comes to it: between two tasks, not while the worker waits in a join or a scope.
 */
WEIR_API int weir_run_start(weir_runtime *rt, weir_run *r, const weir_run_how *how) WEIR_MUST_USE;
/*
 * Waits for the end of a run that was started, and returns its result: 0; a node's error, which is -EBUSY where a node
 * with children, a graph, permits or a pin was chosen again before it had ended; -ECANCELED; -ETIMEDOUT (the run's
 * deadline). deadline: of this wait, absolute ns; -EAGAIN when it passes first. -EDEADLK: called on a worker.
 */
WEIR_API int weir_run_wait(weir_run *r, uint64_t deadline);
/*
 * Runs and waits, on a worker or outside. A worker meanwhile runs work of this run only, and nodes of other runs that
 * had waited for a semaphore which this one gave back. Returns the run's result, or an error of weir_run_start;
 * -EDEADLK on a worker of another runtime, and on any worker if a node is pinned: it might be to a worker that waits.
 */
WEIR_API int weir_run_to_end(weir_runtime *rt, weir_run *r, const weir_run_how *how);
/* Stops what has not begun. The run ends with -ECANCELED unless it has an error. Nothing happens to a run that is not
 * under way. From any thread. -EINVAL. */
WEIR_API int weir_run_cancel(weir_run *r);
/* Whether the run was stopped: by weir_run_cancel, an error or the deadline. A long node asks now and then.
 * NULL: false. */
WEIR_API bool weir_run_stopped(const weir_run *r);

typedef struct weir_run_report {
    int error;            /* the result: 0 or a negative errno */
    weir_node node;       /* the node that failed first; graph 0: none */
    const char *name;     /* its name, or "" */
    uint64_t times;       /* how often the whole graph has run to its end */
} weir_run_report;

/* What the last run came to. -EBUSY: it is under way. -EINVAL. */
WEIR_API int weir_run_read(const weir_run *r, weir_run_report *out);
/* Time spent in a node by all executions since weir_run_create, in ns; *count (may be NULL): how many. 0 without
 * WEIR_RUN_TIMED. Not while the run is under way. */
WEIR_API uint64_t weir_run_time(const weir_run *r, weir_node node, uint64_t *count);

/* Once; n times; until `until` says so. As weir_run_to_end. */
WEIR_INLINE int weir_run_once(weir_runtime *rt, weir_run *r)
{
    return weir_run_to_end(rt, r, NULL);
}
WEIR_INLINE int weir_run_n(weir_runtime *rt, weir_run *r, uint64_t n)
{
    weir_run_how how = WEIR_RUN_HOW;
    how.times = n;
    return weir_run_to_end(rt, r, &how);
}
WEIR_INLINE int weir_run_until(weir_runtime *rt, weir_run *r, bool (*until)(void *arg), void *arg)
{
    weir_run_how how = WEIR_RUN_HOW;
    how.times = UINT64_MAX;
    how.until = until;
    how.until_arg = arg;
    return weir_run_to_end(rt, r, &how);
}

/* --- looking -------------------------------------------------------------------------------------------------- */

/*
 * Writes a frozen graph in DOT: names, kinds as shapes, weak edges dashed. timed: NULL, or a run made with
 * WEIR_RUN_TIMED that is not under way: nodes then carry their mean time and are coloured by it.
 * -EINVAL, -EPERM (not frozen), -EBUSY, -EIO (writing failed).
 */
WEIR_API int weir_graph_dot(const weir_graph *g, const weir_run *timed, FILE *out);

#ifdef __cplusplus
}
#endif

#endif
