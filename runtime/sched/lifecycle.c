/* SPDX-License-Identifier: MIT
 *
 * lifecycle.c - from a config to running workers, and back to nothing.
 *
 * Threads: see lifecycle.h.
 * Invariants: everything a worker can reach exists before the first thread starts and is freed after the last was joined.
 */
#include "sched/lifecycle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "os/topology.h"

#define THREAD_NAME_MAX 16 /* bytes, the kernel's limit, terminator included */

static uint32_t all_workers(const struct runtime *rt)
{
    return rt->count + rt->guests;
}

/* --- memory --------------------------------------------------------------------------------------------------- */

static void worker_free(struct worker *w)
{
    if (w == NULL)
        return;
    if (w->dq.buffer != NULL)
        deque_destroy(&w->dq);
    if (w->inbox.slots != NULL)
        ring_destroy(&w->inbox);
    slab_destroy(&w->slab);
    os_free(w->victims, WEIR_WORKERS_MAX * sizeof(*w->victims));
    os_free(w, sizeof(*w));
}

static int worker_new(struct runtime *rt, uint32_t id)
{
    struct worker *w = os_alloc(sizeof(*w), LINE_PAIR);
    if (w == NULL)
        return -ENOMEM;
    rt->workers[id] = w;
    rt->parking[id] = &w->park;
    w->rt = rt;
    w->id = id;
    rng_seed(&w->rng, id);
    slab_init(&w->slab, id);
    w->victims = os_alloc(WEIR_WORKERS_MAX * sizeof(*w->victims), CACHE_LINE);
    if (w->victims == NULL || (id < rt->count && ring_init(&w->inbox, rt->config.queue_capacity) != 0))
        return -ENOMEM;
    return deque_init(&w->dq, rt->config.deque_capacity, !rt->membarrier);
}

static void runtime_free(struct runtime *rt)
{
    for (uint32_t i = 0; rt->workers != NULL && i < all_workers(rt); i++)
        worker_free(rt->workers[i]);
    intake_destroy(rt);
    os_free(rt->domain_of_cpu, rt->cpus * sizeof(*rt->domain_of_cpu));
    os_free(rt->workers, IDLE_WORKERS_MAX * sizeof(*rt->workers));
    os_free(rt->parking, IDLE_WORKERS_MAX * sizeof(*rt->parking));
    os_free(rt, sizeof(*rt));
}

/* --- victims -------------------------------------------------------------------------------------------------- */

/* Whether two workers' CPUs share their last-level cache, where that was asked for; guests have no CPU of their own. */
static bool are_near(const struct runtime *rt, const struct topology *topology, uint32_t a, uint32_t b)
{
    if (rt->config.steal_order == WEIR_STEAL_RANDOM)
        return true;
    return a < rt->count && topology_distance(topology, topology->cpu[a % topology->cpus],
                                              topology->cpu[b % topology->cpus]) <= TOPOLOGY_SAME_CACHE;
}

/* The other workers; in topology order those first that share this worker's last-level cache. */
static void order_victims(struct worker *w, const struct topology *topology)
{
    uint32_t n = 0;
    for (int near = 1; near >= 0; near--) {
        for (uint32_t i = 0; i < w->rt->count; i++)
            if (i != w->id && are_near(w->rt, topology, w->id, i) == (near == 1))
                w->victims[n++] = i;
        if (near == 1)
            w->near = n;
    }
}

/* --- domains -------------------------------------------------------------------------------------------------- */

/* An injector for each cache domain, where workers stay on their processors: theirs, and which one is near to a submitter. */
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
    for (uint32_t i = 0; i < rt->count; i++)
        rt->workers[i]->domain = topology_domain(topology, topology->cpu[i % topology->cpus]);
    return intake_init(rt, topology->domains);
}

/* --- threads -------------------------------------------------------------------------------------------------- */

static int start_thread(struct runtime *rt, uint32_t id, const struct topology *topology)
{
    char name[THREAD_NAME_MAX];
    snprintf(name, sizeof(name), "%.9s/%u", rt->config.name, id % 10000);
    int cpu = rt->config.pin ? topology->cpu[id % topology->cpus] : -1;
    return os_thread_start(&rt->workers[id]->thread, name, rt->config.stack_size, cpu, worker_main, rt->workers[id]);
}

static void join_threads(struct runtime *rt, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        os_thread_join(&rt->workers[i]->thread);
}

/* --- ending --------------------------------------------------------------------------------------------------- */

/* Moves the phase forwards only. */
static void advance(struct runtime *rt, enum phase to)
{
    uint32_t now = atom_load(&rt->phase, memory_order_relaxed); /* relaxed: the CAS decides */
    while (now < (uint32_t)to &&
           /* [ST1] release: pairs with the acquire in worker_search(). */
           !atom_cas_weak(&rt->phase, &now, (uint32_t)to, memory_order_release, memory_order_relaxed))
        continue;
}

static void close_and_wake(struct runtime *rt, enum phase to)
{
    advance(rt, to);
    intake_close(rt);
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
        uint32_t exited = atom_load(&rt->exited, memory_order_acquire); /* [ST2] acquire: pairs with worker_main() */
        if (exited == rt->count)
            return 0;
        if (os_futex_wait(&rt->exited, exited, deadline) == -ETIMEDOUT)
            return -ETIMEDOUT;
    }
}

void runtime_destroy(struct runtime *rt)
{
    join_threads(rt, rt->count);
    runtime_free(rt);
    rcu_barrier_all(); /* retired buffers are freed before the caller counts what is left */
}

/* --- starting ------------------------------------------------------------------------------------------------- */

static int build(struct runtime *rt, const struct topology *topology)
{
    rt->workers = os_alloc(IDLE_WORKERS_MAX * sizeof(*rt->workers), CACHE_LINE);
    rt->parking = os_alloc(IDLE_WORKERS_MAX * sizeof(*rt->parking), CACHE_LINE);
    if (rt->workers == NULL || rt->parking == NULL)
        return -ENOMEM;
    int r = 0;
    for (uint32_t i = 0; r == 0 && i < all_workers(rt); i++)
        r = worker_new(rt, i);
    if (r == 0)
        r = share_out(rt, topology);
    if (r != 0)
        return r;
    idle_init(&rt->idle, rt->parking, rt->count, rt->guests);
    for (uint32_t i = 0; i < all_workers(rt); i++)
        order_victims(rt->workers[i], topology);
    return 0;
}

static int start_all(struct runtime *rt, const struct topology *topology)
{
    for (uint32_t i = 0; i < rt->count; i++) {
        int r = start_thread(rt, i, topology);
        if (r != 0) {
            close_and_wake(rt, PHASE_ENDED);
            join_threads(rt, i);
            return r;
        }
    }
    return 0;
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
    rt->count = config->workers;
    rt->guests = config->guests;
    rt->crowded = config->workers > topology_usable_cpus();
    rt->membarrier = config->publish_mode == WEIR_PUBLISH_ON_DEMAND && os_membarrier_init();
    r = build(rt, &topology);
    if (r == 0)
        r = start_all(rt, &topology);
    topology_destroy(&topology);
    if (r != 0) {
        runtime_free(rt);
        return r;
    }
    *out = rt;
    return 0;
}
