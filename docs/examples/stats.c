/* SPDX-License-Identifier: MIT
 *
 * stats - reading what the workers did, in total and for each: counts that cost nothing while nobody looks.
 */
#include <weir/weir.h>

#include <stdio.h>

#define TASKS 10000u
#define WORKERS 4u

static weir_task *work(weir_worker *w, weir_task *self)
{
    (void)w;
    (void)self;
    return NULL; /* a pooled task: its record goes back by itself */
}

static void spawn_many(weir_worker *w, void *failed)
{
    weir_scope s;
    weir_scope_init(w, &s);
    for (unsigned i = 0; i < TASKS; i++) {
        weir_task *t;
        int r = weir_task_new(w, work, 0, &t);
        if (r == 0)
            weir_scope_spawn(w, &s, t);
        else
            weir_scope_fail(&s, r);
    }
    *(int *)failed = weir_scope_wait(w, &s);
}

int main(void)
{
    weir_config config;
    weir_runtime *rt;
    int failed = 0;
    if (weir_config_init(&config) < 0)
        return 1;
    config.workers = WORKERS;
    if (weir_start(&rt, &config) < 0 || weir_call(rt, spawn_many, &failed) < 0)
        return 1;

    weir_counts each[WORKERS];
    weir_stats all = {.size = sizeof all};
    if (weir_stats_read(rt, &all, each, WORKERS) < 0 || weir_stop(rt, WEIR_DRAIN, WEIR_FOREVER) < 0)
        return 1;
    for (unsigned i = 0; i < all.workers; i++)
        printf("worker %u: %ju tasks run, %ju stolen from others, %ju times asleep\n", i, (uintmax_t)each[i].tasks_run,
               (uintmax_t)each[i].steals, (uintmax_t)each[i].parks);
    printf("in all: %ju tasks run, %ju submitted from outside\n", (uintmax_t)all.total.tasks_run,
           (uintmax_t)all.total.submitted);
    return failed != 0 || all.total.tasks_run < TASKS;
}
