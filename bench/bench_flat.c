/* SPDX-License-Identifier: MIT
 *
 * bench/bench_flat.c - one task spawns 10 million empty ones: the price of a spawn and of running a task.
 *
 * Threads: see harness.h.
 * Invariants: the records are the caller's, made and touched before the clock starts. `flat` spawns them in a scope,
 * `flat_then` gives them a continuation that owes as many completions. The runtime's own counters say that each ran.
 */
#include "harness.h"

#include <stdlib.h>

static weir_task *tasks;
static size_t n_tasks;

static weir_task *run_empty(weir_worker *w, weir_task *self)
{
    (void)w;
    (void)self;
    return NULL;
}

static uint64_t tasks_run(weir_worker *w)
{
    weir_stats s = {.size = sizeof s};
    return weir_stats_read(weir_worker_runtime(w), &s, NULL, 0) == 0 ? s.total.tasks_run : 0;
}

static void run_scope(weir_worker *w, void *arg)
{
    struct bench_call *call = arg;
    size_t n = (size_t)call->in->n;
    uint64_t before = tasks_run(w);
    weir_scope scope;
    weir_scope_init(w, &scope);
    for (size_t i = 0; i < n; i++) {
        weir_task_init(&tasks[i], run_empty);
        weir_scope_spawn(w, &scope, &tasks[i]);
    }
    call->error = weir_scope_wait(w, &scope);
    call->answer = tasks_run(w) - before >= n ? 1.0 : 0.0;
}

static void run_then(weir_worker *w, void *arg)
{
    struct bench_call *call = arg;
    size_t n = (size_t)call->in->n;
    uint64_t before = tasks_run(w);
    weir_scope scope;
    weir_task last;
    weir_scope_init(w, &scope);
    weir_continuation_init(&last, run_empty, (uint32_t)n);
    weir_scope_add(&scope, &last);
    for (size_t i = 0; i < n; i++) {
        weir_task_init(&tasks[i], run_empty);
        weir_task_then(&tasks[i], &last);
        weir_spawn(w, &tasks[i]);
    }
    call->error = weir_scope_wait(w, &scope);
    call->answer = tasks_run(w) - before >= n ? 1.0 : 0.0;
}

static void setup_weir(struct bench_input *in)
{
    if (n_tasks == (size_t)in->n)
        return;
    free(tasks);
    n_tasks = (size_t)in->n;
    tasks = bench_alloc(n_tasks * sizeof *tasks);
}

static void teardown(struct bench_input *in)
{
    (void)in;
    free(tasks);
    tasks = NULL;
    n_tasks = 0;
}

const struct bench_case bench_flat = {
    .name = "flat",
    .what = "10,000,000 empty tasks spawned by one task, in a scope",
    .op = "task",
    .full = {10000000, 1.0, 1e7},
    .small = {1000000, 1.0, 1e6},
    .peers_small = true,
    .weir = run_scope,
    .setup_weir = setup_weir,
    .teardown = teardown,
};

const struct bench_case bench_flat_then = {
    .name = "flat_then",
    .what = "10,000,000 empty tasks spawned by one task, before one continuation",
    .op = "task",
    .full = {10000000, 1.0, 1e7},
    .small = {1000000, 1.0, 1e6},
    .peers_small = true,
    .weir = run_then,
    .setup_weir = setup_weir,
    .teardown = teardown,
};
