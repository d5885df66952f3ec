/* SPDX-License-Identifier: MIT
 *
 * rig.c - see rig.h.
 *
 * Threads: see rig.h.
 */
#include "rig.h"

#include "os/eventfd.h"
#include "os/topology.h"

#define RIG_STACK 65536u /* bytes: what the workers believe; fibers have more */

/* --- a machine without properties ------------------------------------------------------------------------------ */

unsigned topology_usable_cpus(void)
{
    return 64;
}

int topology_init(struct topology *t)
{
    (void)t;
    return 0;
}

void topology_destroy(struct topology *t)
{
    (void)t;
}

enum topology_distance topology_distance(const struct topology *t, int cpu_a, int cpu_b)
{
    (void)t, (void)cpu_a, (void)cpu_b;
    return TOPOLOGY_REMOTE;
}

unsigned topology_domain(const struct topology *t, int cpu)
{
    (void)t, (void)cpu;
    return 0;
}

int eventfd_ring(int fd)
{
    (void)fd;
    return 0;
}

/* --- the runtime ------------------------------------------------------------------------------------------------ */

bool rig_always_public;
uint32_t rig_spares, rig_growth;

struct runtime *rig_create(uint32_t workers, uint32_t deque, uint32_t queue, uint32_t guests)
{
    weir_config config = {.size = sizeof config, .workers = workers, .min_workers = workers,
                          .max_workers = workers + rig_growth, .retire_after_ms = 1, .spare_workers = rig_spares,
                          .queue_capacity = queue, .deque_capacity = deque, .deque_limit = DEQUE_CAPACITY_MAX,
                          .stack_size = RIG_STACK, .guests = guests, .name = "rig",
                          .publish_mode = rig_always_public ? WEIR_PUBLISH_ALWAYS : WEIR_PUBLISH_ON_DEMAND};
    struct runtime *rt = NULL;
    static const char *const deque_names[][4] = {{"top0", "bottom0", "split0", "limit0"},
                                                 {"top1", "bottom1", "split1", "limit1"},
                                                 {"top2", "bottom2", "split2", "limit2"}};
    static const char *const token_names[] = {"token0", "token1", "token2"};
    if (runtime_create(&rt, &config) != 0)
        model_fail(__FILE__, __LINE__, "no runtime");
    for (uint32_t i = 0; i < workers + guests; i++) {
        struct worker *w = rt->workers[i];
        model_ignore(&w->counters, sizeof w->counters);
        model_ignore(&w->dq.spawned, sizeof w->dq.spawned);
        if (i > 2)
            continue;
        model_name(&w->dq.top, deque_names[i][0]);
        model_name(&w->dq.end.bottom, deque_names[i][1]);
        model_name(&w->dq.end.split, deque_names[i][2]);
        model_name(&w->dq.end.limit, deque_names[i][3]);
        model_name(&w->park.token, token_names[i]);
    }
    model_ignore(&rt->outside_wakes, sizeof rt->outside_wakes);
    model_ignore(&rt->rejected, sizeof rt->rejected);
    model_ignore(&rt->unqueued, sizeof rt->unqueued);
    model_name(&rt->idle.sleepers, "sleepers");
    model_name(&rt->idle.waiters, "waiters");
    model_name(&rt->idle.searching, "searching");
    model_name(&rt->idle.asleep[0], "asleep");
    model_name(&rt->idle.waiting[0], "waiting");
    model_name(&rt->phase, "phase");
    struct injector *injector = &rt->injectors[0];
    model_ignore(injector->passed, sizeof injector->passed);
    model_name(&rt->threads, "threads");
    model_name(&rt->elastic.duty.word, "duty");
    model_name(&rt->table, "table");
    model_name(&injector->lane[WEIR_LANE_NORMAL].head, "queue.head");
    model_name(&injector->lane[WEIR_LANE_NORMAL].tail, "queue.tail");
    model_name(&rt->room[WEIR_LANE_NORMAL].eager.epoch, "room.epoch");
    model_name(&rt->room[WEIR_LANE_NORMAL].eager.waiters, "room.waiters");
    return rt;
}

void rig_crowd(struct runtime *rt)
{
    rt->processors = 1;
    rt->one_by_one = true;
    injector_unchain(&rt->injectors[0]);
}

void rig_destroy(struct runtime *rt)
{
    runtime_destroy(rt);
}

void rig_drop(struct runtime *rt)
{
    for (uint32_t i = 0; i < rt->count + rt->guests; i++) {
        deque_destroy(&rt->workers[i]->dq);
        slab_destroy(&rt->workers[i]->slab);
    }
}

struct worker *rig_worker(struct runtime *rt, uint32_t i)
{
    struct worker *w = rt->workers[i];
    worker_set_self(w);
    w->stack_reserve = os_stack_low();
    rcu_register();
    return w;
}

void rig_worker_end(void)
{
    rcu_unregister();
    worker_set_self(NULL);
}

int rig_submit_to(struct runtime *rt, uint32_t i, weir_task *t)
{
    const struct submission s = {WEIR_LANE_NORMAL, WEIR_TRY, 0, rt->workers[i], RING_NOW};
    return runtime_submit_as(rt, t, &s);
}

void rig_end(struct runtime *rt)
{
    intake_close(rt);
    timers_close(rt);
    atom_store(&rt->phase, (uint32_t)PHASE_ENDED, memory_order_release);
    atom_fence(memory_order_seq_cst);
    idle_wake_all(&rt->idle);
}

/* --- jobs ------------------------------------------------------------------------------------------------------- */

static weir_task *job_run(weir_worker *w, weir_task *t)
{
    struct rig_job *j = (struct rig_job *)(void *)t;
    (void)w;
    MODEL_WRITE(j->result, MODEL_READ(j->payload) + 1);
    MODEL_ASSERT(atom_add(&j->ran, 1u, memory_order_release) == 0);
    return NULL;
}

void rig_job_init(struct rig_job *j, int payload)
{
    weir_task_init(&j->task, job_run);
    MODEL_WRITE(j->payload, payload);
}

void rig_job_await(struct rig_job *j)
{
    while (atom_load(&j->ran, memory_order_acquire) == 0)
        os_relax();
    MODEL_ASSERT(MODEL_READ(j->result) == MODEL_READ(j->payload) + 1);
}

weir_task *rig_forked_run(weir_worker *w, weir_task *t)
{
    struct rig_job *j = (struct rig_job *)(void *)t;
    (void)w;
    MODEL_WRITE(j->result, MODEL_READ(j->payload) + 1);
    return NULL;
}

void rig_fork_and_join(struct worker *w)
{
    struct rig_job *j = model_alloc(sizeof *j); /* tracked: gone the moment that the join returns */
    j->task.run = rig_forked_run;
    MODEL_WRITE(j->payload, 3);
    weir_fork(worker_public(w), &j->task);
    MODEL_ASSERT(weir_join(worker_public(w), &j->task) == 0);
    MODEL_ASSERT(MODEL_READ(j->result) == 4);
    model_free(j);
}
