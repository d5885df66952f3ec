/* SPDX-License-Identifier: MIT
 *
 * bench/requests/weir.c - requests as tasks of weir, with a handler that blocks its worker.
 *
 * Threads: as server.h.
 * Invariants: a request's task is a pooled record of the generator, so that memory is bounded by what is queued and in
 * flight. The linker lets __wrap_urcu_qsbr_synchronize_rcu() see each wait for readers in the process (meson.build):
 * one on a worker is the longest that reclamation can keep that worker from a request.
 */
#include "weir.h"

#include <errno.h>
#include <string.h>

#define TOGETHER 64u /* tasks in one submit */

static struct {
    struct ledger *ledger;
    const struct weir_way *way;
    weir_policy policy;
    weir_runtime *rt;
    uint64_t longest_pause; /* ns. Atomic */
} here;

struct ledger *weir_way_ledger(void)
{
    return here.ledger;
}

weir_runtime *weir_way_runtime(void)
{
    return here.rt;
}

/* The names are the linker's. */
void __real_urcu_qsbr_synchronize_rcu(void);
void __wrap_urcu_qsbr_synchronize_rcu(void);

void __wrap_urcu_qsbr_synchronize_rcu(void)
{
    uint64_t from = now_ns();
    __real_urcu_qsbr_synchronize_rcu();
    uint64_t took = now_ns() - from;
    uint64_t longest = __atomic_load_n(&here.longest_pause, __ATOMIC_RELAXED);
    while (weir_self() != NULL && took > longest &&
           !__atomic_compare_exchange_n(&here.longest_pause, &longest, took, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

static void must(int error, const char *call)
{
    if (error != 0)
        server_fail(call, -error);
}

void weir_way_start(struct ledger *l, const struct server_options *o, const struct weir_way *way)
{
    weir_config config;
    here.ledger = l;
    here.way = way;
    here.policy = o->block ? WEIR_BLOCK : WEIR_TRY;
    must(weir_config_init(&config), "weir_config_init");
    config.workers = o->workers;
    config.queue_capacity = o->queue;
    if (way->configure != NULL)
        way->configure(&config, o);
    must(weir_start(&here.rt, &config), "weir_start");
}

static void make(uint32_t id, weir_task **t)
{
    must(weir_task_new(NULL, here.way->handle, sizeof id, t), "weir_task_new");
    memcpy(weir_task_payload(*t), &id, sizeof id);
}

uint32_t weir_way_submit(uint32_t first, uint32_t n, bool *accepted)
{
    weir_task *tasks[TOGETHER];
    uint32_t taken = 0;
    for (uint32_t i = 0; i < n;) {
        uint32_t k = 0;
        size_t went = 0;
        for (; k < TOGETHER && i + k < n; k++)
            make(first + i + k, &tasks[k]);
        int r = weir_submit_batch(here.rt, tasks, k, here.policy, 0, &went);
        if (r != 0 && !(r == -EAGAIN && here.policy == WEIR_TRY))
            must(r, "weir_submit_batch");
        for (uint32_t j = 0; j < k; j++) {
            accepted[i + j] = j < went;
            if (j >= went)
                weir_task_free(tasks[j]);
        }
        taken += (uint32_t)went;
        i += k;
    }
    return taken;
}

void weir_way_stop(struct server_account *a)
{
    weir_stats last = {.size = sizeof last};
    a->pause_ms = (double)__atomic_load_n(&here.longest_pause, __ATOMIC_RELAXED) * 1e-6;
    must(weir_stop_stats(here.rt, WEIR_DRAIN, WEIR_FOREVER, &last), "weir_stop");
    a->discarded = last.total.tasks_discarded;
}

/* --- a handler that blocks its worker -------------------------------------------------------------------------- */

static weir_task *handle(weir_worker *w, weir_task *self)
{
    (void)w;
    serve(here.ledger, weir_way_id(self));
    return NULL;
}

static void start(struct ledger *l, const struct server_options *o)
{
    static const struct weir_way blocking = {handle, NULL};
    weir_way_start(l, o, &blocking);
}

const struct server server_weir = {"weir", start, weir_way_submit, weir_way_stop};
