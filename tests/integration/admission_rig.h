/* SPDX-License-Identifier: MIT
 *
 * admission_rig.h - what the tests of a runtime's guards share: a guarded runtime, whose only worker may be held, and
 * its tasks.
 *
 * Threads: see support.h.
 */
#ifndef WEIR_TESTS_ADMISSION_RIG_H
#define WEIR_TESTS_ADMISSION_RIG_H

#include "support.h"

#define QUEUE 64u
#define MANY 4000u

static weir_runtime *rt;
static weir_atomic_u32 gate_entered, gate_open, ran;

/* Keeps the only worker busy until open_gate(). */
static inline weir_task *wait_at_gate(weir_worker *w, weir_task *self)
{
    (void)w;
    (void)self;
    add(&gate_entered, 1);
    reaches(&gate_open, 1);
    return NULL;
}

static weir_task gate;

static inline void close_gate(void)
{
    set(&gate_open, 0);
    set(&gate_entered, 0);
    weir_task_init(&gate, wait_at_gate);
    cr_assert_eq(weir_submit(rt, &gate, WEIR_TRY, 0), 0);
    cr_assert(reaches(&gate_entered, 1));
}

static inline weir_task *run_empty(weir_worker *w, weir_task *self)
{
    (void)w;
    (void)self;
    add(&ran, 1);
    return NULL;
}

/* Waits until the queue is empty and what was taken from it has run. */
static inline void open_gate(uint32_t expected)
{
    set(&gate_open, 1);
    cr_assert(reaches(&ran, expected), "ran %u of %u", get(&ran), expected);
}

static inline weir_admission admission(uint32_t guards)
{
    weir_admission a;
    cr_assert_eq(weir_admission_init(&a), 0);
    a.guards = guards;
    return a;
}

static inline void start_guarded(const weir_admission *a, unsigned workers)
{
    weir_config c = config_of(workers);
    c.queue_capacity = QUEUE;
    c.admission = a;
    rt = start_config(&c);
}

static inline weir_stats stats(void)
{
    weir_stats s = {.size = sizeof s};
    cr_assert_eq(weir_stats_read(rt, &s, NULL, 0), 0);
    return s;
}

static inline int submit_one(weir_task *t)
{
    return weir_submit(rt, t, WEIR_TRY, 0);
}

static weir_task tasks[MANY];

static inline void init_tasks(void)
{
    for (unsigned i = 0; i < MANY; i++)
        weir_task_init(&tasks[i], run_empty);
}

#endif
