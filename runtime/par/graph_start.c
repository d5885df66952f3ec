/* SPDX-License-Identifier: MIT
 *
 * graph_start.c - runs as wholes: making them, starting them, going round again, and their end.
 *
 * Threads: a run belongs to its program while it is idle, and to the tasks of the run while it is busy; `busy` is where
 * it changes hands. Any thread may stop it.
 * Invariants: the end of a run touches it for the last time when it sets `busy` to RUN_IDLE: whoever waits for that may
 * destroy it at once.
 */
#include "par/graph_start.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "par/wait.h"

/* --- making --------------------------------------------------------------------------------------------------- */

static uint32_t nodes_of(const weir_run *run)
{
    return (uint32_t)run->graph->nodes.count;
}

static void reset_counters(weir_run *run)
{
    for (uint32_t i = 0; i < nodes_of(run); i++)
        /* relaxed: no task of the run exists */
        atom_store(&run->arrived[i], 0u, memory_order_relaxed);
}

void run_task_init(weir_run *run, weir_task *t, weir_task_fn *fn)
{
    weir_task_init(t, fn);
    t->then = &run->scope.done;
    atom_store(&t->state, STATE_SCOPED | STATE_CALLED, memory_order_relaxed); /* relaxed: not shared yet */
}

static void run_free(weir_run *run)
{
    size_t n = nodes_of(run);
    weir_graph *g = run->graph;
    for (uint32_t i = 0; run->slots != NULL && i < run->n_slots; i++)
        if (run->slots[i].inner != NULL)
            run_free(run->slots[i].inner);
    stock_free(run->arrived, run->arrived_size);
    os_free(run->slots, run->n_slots * sizeof *run->slots);
    os_free(run->times, 2 * (n + 1) * sizeof *run->times);
    os_free(run, sizeof *run);
    /* [GR2] release: our last use of the graph; pairs with weir_graph_destroy(). */
    atom_sub(&g->users, 1u, memory_order_release);
}

static weir_run *run_new(weir_graph *g, uint32_t flags, weir_run *outer);

static bool make_slots(weir_run *run, uint32_t flags)
{
    const weir_graph *g = run->graph;
    const struct slot_spec *spec = g->slots.data;
    if (g->slots.count == 0)
        return true;
    run->slots = os_alloc(g->slots.count * sizeof *run->slots, LINE_PAIR);
    if (run->slots == NULL)
        return false;
    run->n_slots = (uint32_t)g->slots.count;
    for (uint32_t i = 0; i < run->n_slots; i++) {
        struct slot *slot = &run->slots[i];
        const struct node *n = &run->nodes[graph_place(g, spec[i].node)];
        slot->run = run;
        slot->semaphores = spec[i].semaphores;
        slot->permit.wants = spec[i].permits;
        slot->pin = spec[i].pin;
        run_task_init(run, &slot->task, slot_run);
        if ((n->info & INFO_KIND) == WEIR_NODE_GRAPH && (slot->inner = run_new(n->work.graph, flags, run)) == NULL)
            return false;
    }
    return true;
}

static weir_run *run_new(weir_graph *g, uint32_t flags, weir_run *outer)
{
    size_t n = g->nodes.count;
    weir_run *run = os_alloc(sizeof *run, LINE_PAIR);
    if (run == NULL)
        return NULL;
    atom_add(&g->users, 1u, memory_order_relaxed); /* relaxed: the caller keeps the graph alive */
    run->graph = g;
    run->nodes = graph_nodes(g);
    run->edges = g->edges;
    run->outer = outer;
    run->arrived = stock_alloc_zeroed((n + 1) * sizeof *run->arrived, &run->arrived_size);
    if ((flags & WEIR_RUN_TIMED) != 0)
        run->times = os_alloc(2 * (n + 1) * sizeof *run->times, CACHE_LINE);
    if (run->arrived == NULL || ((flags & WEIR_RUN_TIMED) != 0 && run->times == NULL) || !make_slots(run, flags)) {
        run_free(run);
        return NULL;
    }
    return run;
}

int weir_run_create(weir_graph *g, uint32_t flags, weir_run **out)
{
    if (g == NULL || out == NULL || !g->frozen || (flags & ~WEIR_RUN_TIMED) != 0)
        return -EINVAL;
    weir_run *run = run_new(g, flags, NULL);
    if (run == NULL)
        return -ENOMEM;
    *out = run;
    return 0;
}

int weir_run_destroy(weir_run *run)
{
    if (run == NULL)
        return -EINVAL;
    /* [GR4] acquire: the run's last touch; pairs with leave_busy(). */
    if (atom_load(&run->busy, memory_order_acquire) != RUN_IDLE)
        return -EBUSY;
    run_free(run);
    return 0;
}

/* --- stopping ------------------------------------------------------------------------------------------------- */

void run_stop(weir_run *run)
{
    /* relaxed: a request; who must see the end waits for it */
    atom_or(&run->attention, ATTENTION_STOP, memory_order_relaxed);
    for (uint32_t i = 0; i < run->n_slots; i++)
        if (run->slots[i].inner != NULL)
            run_stop(run->slots[i].inner);
}

void run_stop_all(weir_run *run)
{
    while (run->outer != NULL)
        run = run->outer;
    if (!run_is_stopped(run))
        run_stop(run);
}

void run_fail(weir_run *run, uint32_t place, int error)
{
    uint64_t none = 0;
    /* relaxed: read when the run has ended, which orders it */
    atom_cas(&run->failure, &none, (uint64_t)(place + 1) << 32 | (uint32_t)-error, memory_order_relaxed,
             memory_order_relaxed);
    run_stop(run);
}

int run_result(const weir_run *run)
{
    uint64_t failure = atom_load(&run->failure, memory_order_relaxed); /* relaxed: the run has ended */
    if (failure != 0)
        return -(int)(uint32_t)failure;
    return run_is_stopped(run) ? -ECANCELED : 0;
}

int weir_run_cancel(weir_run *run)
{
    if (run == NULL)
        return -EINVAL;
    if (atom_load(&run->busy, memory_order_relaxed) != RUN_IDLE) /* relaxed: the caller keeps the run alive */
        run_stop(run);
    return 0;
}

bool weir_run_stopped(const weir_run *run)
{
    return run != NULL && run_is_stopped(run);
}

/* --- starting ------------------------------------------------------------------------------------------------- */

/* Whether all semaphores, inner graphs' too, belong to this runtime, and nothing is pinned to workers from `pins` on:
 * 0,
 * -EXDEV or -ERANGE. */
static int check_fit(const weir_run *run, const weir_runtime *rt, uint32_t pins)
{
    int r = 0;
    for (uint32_t i = 0; i < run->n_slots && r == 0; i++) {
        const struct slot *slot = &run->slots[i];
        if (slot->semaphores != NULL && slot->semaphores->rt != rt)
            return -EXDEV;
        if (slot->pin != PIN_NONE && slot->pin >= pins)
            return -ERANGE;
        if (slot->inner != NULL)
            r = check_fit(slot->inner, rt, pins);
    }
    return r;
}

static void prepare(weir_run *run, struct runtime *rt, const weir_run_how *how)
{
    uint32_t attention = how->deadline != WEIR_FOREVER ? ATTENTION_DEADLINE : 0;
    if (run->times != NULL)
        attention |= ATTENTION_TIMED;
    if (run_is_stopped(run))
        reset_counters(run);
    atom_store(&run->attention, attention, memory_order_relaxed); /* relaxed: no task of the run exists */
    atom_store(&run->failure, UINT64_C(0), memory_order_relaxed); /* relaxed: the same */
    run->rt = rt;
    run->how = *how;
    run->done = 0;
    for (uint32_t i = 0; i < run->n_slots; i++) {
        atom_store(&run->slots[i].taken, 0u, memory_order_relaxed); /* relaxed: the same */
        if (run->slots[i].inner != NULL)
            prepare(run->slots[i].inner, rt, how);
    }
}

static bool enter_busy(weir_run *run)
{
    uint32_t idle = RUN_IDLE;
    /* [GR4] acquire: the run as its last end has left it; pairs with leave_busy(). */
    return atom_cas(&run->busy, &idle, (uint32_t)RUN_BUSY, memory_order_acquire, memory_order_relaxed);
}

static void leave_busy(weir_run *run)
{
    /* [GR4] release: everything before it; pairs with enter_busy(), weir_run_wait() and weir_run_destroy(). */
    if (atom_xchg(&run->busy, (uint32_t)RUN_IDLE, memory_order_release) == RUN_AWAITED)
        os_futex_wake(&run->busy, INT32_MAX); /* the run may be gone: the address is a key only */
}

/* waits: on a worker, which can't serve pinned nodes meanwhile. */
static int acquire_run(weir_runtime *h, struct runtime *rt, weir_run *run, const weir_run_how *how, bool waits)
{
    static const weir_run_how once = WEIR_RUN_HOW;
    if (how == NULL)
        how = &once;
    if (run->outer != NULL || how->size != sizeof *how || how->times == 0)
        return -EINVAL;
    int r = check_fit(run, h, waits ? 0 : rt->count);
    if (r != 0)
        return waits && r == -ERANGE ? -EDEADLK : r;
    if (!enter_busy(run))
        return -EBUSY;
    prepare(run, rt, how);
    return 0;
}

void run_begin_once(weir_run *run, weir_task *then)
{
    if (run->graph->weak)
        reset_counters(run);
    weir_scope_init(NULL, &run->scope);
    run_task_init(run, &run->root, strand_root);
    state_owe(&run->scope.done, 1);
    weir_task *none = weir_scope_then(&run->scope, then);
    weir_assert(none == NULL); /* the root has yet to run */
    (void)none;
}

/* One time is over. True: that was the last. */
static bool was_last(weir_run *run)
{
    if (run_is_stopped(run))
        return true;
    run->done++;
    return run->done >= run->how.times || (run->how.until != NULL && run->how.until(run->how.until_arg));
}

/* The end, in the order that weir_run_start() promises. Returns a task to run, or NULL. */
static weir_task *end_run(weir_run *run)
{
    weir_task *then = run->how.then;
    int fd = run->how.eventfd;
    leave_busy(run);
    if (fd >= 0)
        (void)eventfd_write(fd, 1); /* a bad descriptor is the caller's affair */
    return then == NULL || state_owed(then) == 0 ? then : weir_release(then);
}

static weir_task *run_again(weir_worker *w, weir_task *task)
{
    weir_run *run = CONTAINER_OF(task, weir_run, again);
    (void)w;
    if (was_last(run))
        return end_run(run);
    weir_task_init(&run->again, run_again);
    atom_store(&run->again.state, STATE_CALLED, memory_order_relaxed); /* relaxed: not shared yet */
    run_begin_once(run, &run->again);
    return &run->root;
}

int run_start(weir_runtime *h, struct runtime *rt, weir_run *run, const weir_run_how *how)
{
    struct worker *w = worker_self();
    int r = acquire_run(h, rt, run, how, false);
    if (r != 0)
        return r;
    weir_task_init(&run->again, run_again);
    atom_store(&run->again.state, STATE_CALLED, memory_order_relaxed); /* relaxed: not shared yet */
    run_begin_once(run, &run->again);
    if (w != NULL && w->rt == rt)
        weir_push(worker_public(w), &run->root);
    else
        r = runtime_submit(rt, &run->root, WEIR_LANE_NORMAL, w != NULL ? WEIR_TRY : WEIR_BLOCK, WEIR_FOREVER);
    if (r != 0)
        leave_busy(run); /* nothing of it has begun */
    return r;
}

/* --- waiting -------------------------------------------------------------------------------------------------- */

int weir_run_wait(weir_run *run, uint64_t deadline)
{
    if (run == NULL)
        return -EINVAL;
    for (;;) {
        /* [GR4] acquire: the whole run; pairs with leave_busy(). */
        uint32_t busy = atom_load(&run->busy, memory_order_acquire);
        if (busy == RUN_IDLE)
            return run_result(run);
        if (worker_self() != NULL)
            return -EDEADLK;
        /* relaxed: the mark carries nothing; futex and CAS agree on the word's value */
        if (busy == RUN_BUSY && !atom_cas_weak(&run->busy, &busy, (uint32_t)RUN_AWAITED, memory_order_relaxed,
                                               memory_order_relaxed))
            continue;
        if (os_futex_wait(&run->busy, RUN_AWAITED, deadline) == -ETIMEDOUT)
            /* [GR4] acquire: as above. */
            return atom_load(&run->busy, memory_order_acquire) == RUN_IDLE ? run_result(run) : -EAGAIN;
    }
}

int run_on_worker(weir_runtime *h, struct worker *w, weir_run *run, const weir_run_how *how)
{
    int r = acquire_run(h, w->rt, run, how, true);
    if (r != 0)
        return r;
    do {
        if (run->graph->weak)
            reset_counters(run);
        weir_scope_init(worker_public(w), &run->scope);
        run_task_init(run, &run->root, strand_root);
        run->scope.local++;
        weir_push(worker_public(w), &run->root);
        wait_scope(w, &run->scope);
    } while (!was_last(run));
    r = run_result(run);
    weir_task *then = end_run(run);
    if (then != NULL)
        weir_push(worker_public(w), then);
    return r;
}

/* --- what it came to ------------------------------------------------------------------------------------------ */

int weir_run_read(const weir_run *run, weir_run_report *out)
{
    if (run == NULL || out == NULL)
        return -EINVAL;
    /* [GR4] acquire: pairs with leave_busy(). */
    if (atom_load(&run->busy, memory_order_acquire) != RUN_IDLE)
        return -EBUSY;
    uint32_t place = (uint32_t)(atom_load(&run->failure, memory_order_relaxed) >> 32) - 1; /* relaxed: it has ended */
    *out = (weir_run_report){run_result(run), {0, 0}, "", run->done};
    if (place != NODE_NONE) {
        out->node = graph_handle(run->graph, place);
        out->name = weir_graph_name(run->graph, out->node);
    }
    return 0;
}

uint64_t weir_run_time(const weir_run *run, weir_node node, uint64_t *count)
{
    bool known = run != NULL && run->times != NULL && node.graph == run->graph->id && node.index < nodes_of(run);
    const weir_atomic_u64 *t = known ? &run->times[2 * (size_t)graph_place(run->graph, node.index)] : NULL;
    if (count != NULL)
        *count = known ? atom_load(&t[1], memory_order_relaxed) : 0; /* relaxed: the run has ended */
    return known ? atom_load(&t[0], memory_order_relaxed) : 0;       /* relaxed: the same */
}
