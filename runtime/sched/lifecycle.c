/* SPDX-License-Identifier: MIT
 *
 * lifecycle.c - from a config to running workers, and back to nothing.
 *
 * Threads: see lifecycle.h.
 * Invariants: everything a worker can reach exists before the first thread starts, but for the deques of vacant seats,
 * and is freed after the last was joined.
 */
#include "sched/lifecycle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "os/topology.h"

/* --- memory --------------------------------------------------------------------------------------------------- */

static uint32_t all_workers(const struct runtime *rt)
{
    return rt->seats + rt->guests;
}

static void worker_free(struct worker *w)
{
    if (w->rt == NULL)
        return; /* not begun */
    if (w->dq.buffer != NULL)
        deque_destroy(&w->dq);
    if (w->inbox.slots != NULL)
        ring_destroy(&w->inbox);
    slab_destroy(&w->slab);
}

/* A CPU to be bound to, where that was asked for, and the cache domain, by which thieves go and injectors are chosen;
 * guests have neither. */
static void place(struct worker *w, const struct topology *topology)
{
    const weir_config *c = &w->rt->config;
    bool by_topology = c->steal_order == WEIR_STEAL_TOPOLOGY;
    w->cpu = -1;
    if (w->id >= w->rt->seats || (!by_topology && !c->pin))
        return;
    int cpu = topology->cpu[w->id % topology->cpus];
    if (c->pin)
        w->cpu = cpu;
    w->domain = topology_domain(topology, cpu);
}

static void worker_init(struct runtime *rt, uint32_t id, const struct topology *topology)
{
    struct worker *w = &rt->records[id];
    rt->workers[id] = w;
    rt->parking[id] = &w->park;
    w->rt = rt;
    w->id = id;
    rng_seed(&w->rng, id);
    slab_init(&w->slab, id);
    place(w, topology);
}

static void runtime_free(struct runtime *rt)
{
    for (uint32_t i = 0; rt->records != NULL && i < all_workers(rt); i++)
        worker_free(&rt->records[i]);
    io_destroy(rt);
    intake_destroy(rt);
    timers_destroy(rt);
    os_free(rt->domain_of_cpu, rt->cpus * sizeof(*rt->domain_of_cpu));
    table_destroy(rt);
    os_free(rt->records, all_workers(rt) * sizeof(*rt->records));
    os_free(rt->workers, IDLE_WORKERS_MAX * sizeof(*rt->workers));
    os_free(rt->parking, IDLE_WORKERS_MAX * sizeof(*rt->parking));
    os_free(rt, sizeof(*rt));
}

/* --- domains -------------------------------------------------------------------------------------------------- */

/* An injector for each cache domain, where workers are pinned: theirs, and which one is near to a submitter. */
static int share_out(struct runtime *rt, const struct topology *topology)
{
    if (!rt->config.pin || topology->domains == 1)
        return intake_init(rt, 1);
    uint32_t cpus = (uint32_t)topology->cpu[topology->cpus - 1] + 1;
    rt->domain_of_cpu = os_alloc(cpus * sizeof(*rt->domain_of_cpu), CACHE_LINE);
    if (rt->domain_of_cpu == NULL)
        return -ENOMEM;
    rt->cpus = cpus;
    for (uint32_t i = 0; i < topology->cpus; i++)
        rt->domain_of_cpu[topology->cpu[i]] = topology_domain(topology, topology->cpu[i]);
    return intake_init(rt, topology->domains);
}

/* --- threads -------------------------------------------------------------------------------------------------- */

int worker_start_thread(struct worker *w)
{
    struct runtime *rt = w->rt;
    char name[THREAD_NAME_MAX];
    snprintf(name, sizeof(name), "%s/%u", rt->name, w->id % 10000);
    /* relaxed, both: who joins or counts it came by the seat or the runtime after this */
    atom_store(&w->thread_state, (uint32_t)THREAD_STARTING, memory_order_relaxed);
    atom_add(&rt->threads, 1u, memory_order_relaxed);
    int r = os_thread_start(&w->thread, name, rt->config.stack_size, w->cpu, worker_main, w);
    if (r != 0)
        atom_sub(&rt->threads, 1u, memory_order_relaxed); /* relaxed: the caller is still there */
    /* [EL4] release: the handle; pairs with join_last() in elastic.c. */
    atom_store(&w->thread_state, (uint32_t)(r == 0 ? THREAD_JOINABLE : THREAD_NONE), memory_order_release);
    return r;
}

/* Nobody starts threads any more. */
static void join_threads(struct runtime *rt)
{
    for (uint32_t i = 0; i < rt->seats; i++)
        /* relaxed: who has started the thread was a worker, which has ended [ST2], the governor, which was joined, or a
         * caller, who has left the runtime [HA4] */
        if (atom_load(&rt->workers[i]->thread_state, memory_order_relaxed) == THREAD_JOINABLE)
            os_thread_join(&rt->workers[i]->thread);
}

/* --- ending --------------------------------------------------------------------------------------------------- */

/* Moves the phase forwards only. */
static void advance(struct runtime *rt, enum phase to)
{
    uint32_t now = atom_load(&rt->phase, memory_order_relaxed); /* relaxed: the CAS decides */
    while (now < (uint32_t)to &&
           /* relaxed: who reads the phase finds all else by orders of its own */
           !atom_cas_weak(&rt->phase, &now, (uint32_t)to, memory_order_relaxed, memory_order_relaxed))
        continue;
}

static void close_and_wake(struct runtime *rt, enum phase to)
{
    advance(rt, to);
    intake_close(rt);
    timers_close(rt);
    /* [PK4] forbids: a worker parks without seeing the phase while its announcement is missed here. */
    atom_fence(memory_order_seq_cst);
    idle_wake_all(&rt->idle);
    intake_notify_all(rt);
}

void runtime_begin_stop(struct runtime *rt, weir_stop_mode mode)
{
    close_and_wake(rt, mode == WEIR_DISCARD ? PHASE_DISCARDING : PHASE_DRAINING);
}

int runtime_await_end(struct runtime *rt, uint64_t deadline)
{
    for (;;) {
        uint32_t threads = atom_load(&rt->threads, memory_order_acquire); /* [ST2] acquire: pairs with worker_main() */
        if (threads == 0)
            return 0;
        if (os_futex_wait(&rt->threads, threads, deadline) == -ETIMEDOUT)
            return -ETIMEDOUT;
    }
}

void runtime_destroy(struct runtime *rt)
{
    governor_stop(rt); /* it may have started a thread just now, which finds that the runtime has ended */
    join_threads(rt);
    runtime_free(rt);
    rcu_barrier_all(); /* retired buffers are freed before the caller counts what is left */
}

/* --- starting ------------------------------------------------------------------------------------------------- */

static bool begins_with_deque(const struct runtime *rt, uint32_t id)
{
    return id < rt->config.workers || id >= rt->seats;
}

static int build(struct runtime *rt, const struct topology *topology)
{
    rt->workers = os_alloc(IDLE_WORKERS_MAX * sizeof(*rt->workers), CACHE_LINE);
    rt->parking = os_alloc(IDLE_WORKERS_MAX * sizeof(*rt->parking), CACHE_LINE);
    rt->records = os_alloc(all_workers(rt) * sizeof(*rt->records), LINE_PAIR);
    if (rt->workers == NULL || rt->parking == NULL || rt->records == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < all_workers(rt); i++)
        worker_init(rt, i, topology);
    int r = share_out(rt, topology);
    for (uint32_t i = 0; r == 0 && i < rt->count; i++)
        r = ring_init(&rt->workers[i]->inbox, rt->config.queue_capacity);
    for (uint32_t i = 0; r == 0 && i < all_workers(rt); i++)
        if (begins_with_deque(rt, i))
            r = deque_init(&rt->workers[i]->dq, rt->config.deque_capacity, !rt->membarrier);
    if (r == 0)
        r = table_init(rt, rt->config.workers);
    if (r == 0)
        r = timers_init(rt);
    if (r != 0)
        return r;
    idle_init(&rt->idle, rt->parking, rt->seats, rt->guests);
    io_init(rt);
    elastic_init(rt, rt->config.workers);
    governor_init(rt);
    return 0;
}

static int start_all(struct runtime *rt)
{
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < rt->config.workers; i++)
        r = worker_start_thread(rt->workers[i]);
    if (r == 0)
        r = governor_start(rt);
    if (r != 0) {
        close_and_wake(rt, PHASE_ENDED);
        join_threads(rt);
    }
    return r;
}

int runtime_create(struct runtime **out, const weir_config *config)
{
    struct topology topology = {0};
    int r = rcu_init();
    if (r == 0 && (config->pin || config->steal_order == WEIR_STEAL_TOPOLOGY))
        r = topology_init(&topology); /* reading the machine takes milliseconds: only where it is of use */
    if (r != 0)
        return r;
    struct runtime *rt = os_alloc(sizeof(*rt), LINE_PAIR);
    if (rt == NULL) {
        topology_destroy(&topology);
        return -ENOMEM;
    }
    rt->config = *config;
    snprintf(rt->name, sizeof(rt->name), "%s", config->name); /* what the caller's pointers lead to is the caller's */
    rt->config.name = NULL;
    rt->config.admission = NULL;
    rt->count = config->min_workers;
    rt->seats = config->max_workers + config->spare_workers;
    rt->guests = config->guests;
    rt->domains = config->steal_order == WEIR_STEAL_TOPOLOGY ? topology.domains : 1;
    rt->processors = topology_usable_cpus();
    rt->membarrier = config->publish_mode == WEIR_PUBLISH_ON_DEMAND && os_membarrier_init();
    r = build(rt, &topology);
    topology_destroy(&topology);
    if (r == 0)
        r = start_all(rt);
    if (r != 0) {
        runtime_free(rt);
        return r;
    }
    *out = rt;
    return 0;
}
