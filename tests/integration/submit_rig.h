/* SPDX-License-Identifier: MIT
 *
 * submit_rig.h - what the tests of submits and calls share: a worker that is held, a full injector, submitting threads.
 *
 * Threads: see support.h.
 */
#ifndef WEIR_TESTS_SUBMIT_RIG_H
#define WEIR_TESTS_SUBMIT_RIG_H

#include "support.h"

static weir_atomic_u32 ran, entered, gate;

static inline weir_task *count_one(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    add(&ran, 1);
    return NULL;
}

/* Holds its worker until the gate opens. */
static inline weir_task *wait_for_gate(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    add(&entered, 1);
    reaches(&gate, 1);
    add(&ran, 1);
    return NULL;
}

/* One worker, held at the gate, and a full injector of that capacity. */
static inline weir_runtime *start_full(uint32_t capacity, uint32_t guests, weir_task *holder, weir_task *fillers)
{
    weir_config c = config_of(1);
    c.queue_capacity = capacity;
    c.guests = guests;
    weir_runtime *rt = start_config(&c);
    submit_ok(rt, holder, wait_for_gate);
    cr_assert(reaches(&entered, 1));
    for (uint32_t i = 0; i < capacity; i++)
        submit_ok(rt, &fillers[i], count_one);
    return rt;
}

struct submitter {
    pthread_t thread;
    weir_runtime *rt;
    weir_task *tasks;
    unsigned n;
    weir_policy policy;
    int result;
    weir_atomic_u32 done;
};

static inline void *submit_all(void *arg)
{
    struct submitter *s = arg;
    s->result = 0;
    for (unsigned i = 0; i < s->n && s->result == 0; i++) {
        weir_task_init(&s->tasks[i], count_one);
        s->result = weir_submit(s->rt, &s->tasks[i], s->policy, in_ms(LONG_TIME_MS));
    }
    set(&s->done, 1);
    return NULL;
}

static inline void begin_submitter(struct submitter *s, weir_runtime *rt, weir_task *tasks, unsigned n,
                                   weir_policy policy)
{
    s->rt = rt;
    s->tasks = tasks;
    s->n = n;
    s->policy = policy;
    set(&s->done, 0);
    cr_assert_eq(pthread_create(&s->thread, NULL, submit_all, s), 0);
}

static inline void count_call(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    add(&ran, 1);
}

#endif
