/* SPDX-License-Identifier: MIT
 *
 * time_rig.h - what the tests of timers share: timers with their tasks, and what became of them.
 *
 * Threads: see support.h.
 */
#ifndef WEIR_TESTS_TIME_RIG_H
#define WEIR_TESTS_TIME_RIG_H

#include "support.h"

#define MANY 20000u
#define SLOT_NS UINT64_C(16384) /* a slot of the wheel */

static weir_atomic_u32 ran, wrong;

/* A timer with its task, and what became of it. */
struct alarm {
    weir_timer timer;
    weir_task task;
    uint64_t deadline;
    weir_atomic_u32 runs;
    uint64_t ran_at;
    unsigned on;    /* worker */
    uint32_t order; /* runs before it */
};

static struct alarm alarms[MANY];

static inline weir_task *alarm_run(weir_worker *w, weir_task *self)
{
    struct alarm *a = (struct alarm *)(void *)((char *)self - offsetof(struct alarm, task));
    a->ran_at = weir_now();
    a->on = weir_worker_index(w);
    if (a->ran_at < a->deadline || weir_timer_is_pending(&a->timer))
        add(&wrong, 1);
    a->order = add(&ran, 1) - 1;
    add(&a->runs, 1); /* last: from here on the record may be the test's again */
    return NULL;
}

static inline struct alarm *prepare(struct alarm *a, uint64_t deadline)
{
    weir_timer_init(&a->timer);
    weir_task_init(&a->task, alarm_run);
    a->deadline = deadline;
    set(&a->runs, 0);
    return a;
}

static inline void start_at(weir_runtime *rt, struct alarm *a, uint64_t deadline)
{
    prepare(a, deadline);
    cr_assert_eq(weir_runtime_at(rt, deadline, &a->timer, &a->task), 0);
}

static inline void spin_until(uint64_t time)
{
    while (weir_now() < time)
        continue;
}

#endif
