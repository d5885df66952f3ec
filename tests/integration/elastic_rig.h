/* SPDX-License-Identifier: MIT
 *
 * elastic_rig.h - what the tests of workers that come and go share: tasks that block, and waiting for a state of the
 * runtime.
 *
 * Threads: see support.h.
 */
#ifndef WEIR_TESTS_ELASTIC_RIG_H
#define WEIR_TESTS_ELASTIC_RIG_H

#include "support.h"

#define MANY 2000u
#define PROMPT_MS 5u /* 1 on a quiet machine */

static weir_atomic_u32 ran, entered, gate, wrong;
static weir_task tasks[MANY];

static inline weir_stats stats_of(weir_runtime *rt)
{
    weir_stats s = {.size = sizeof s};
    cr_assert_eq(weir_stats_read(rt, &s, NULL, 0), 0);
    return s;
}

/* Waits until a field of the stats has a value; the last reading. */
#define AWAIT(rt, condition) \
    __extension__({ \
        uint64_t end_ = in_ms(LONG_TIME_MS); \
        weir_stats s = stats_of(rt); \
        while (!(condition) && weir_now() < end_) { \
            usleep(500); \
            s = stats_of(rt); \
        } \
        cr_assert(condition, "%u workers, %u threads, %u blocked, target %u, %u parked", s.workers, s.threads, \
                  s.blocked, s.target, s.parked); \
        s; \
    })

static inline weir_task *count_one(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    add(&ran, 1);
    return NULL;
}

/* Stands for a system call that lasts until the gate opens. */
static inline void wait_for_gate(void)
{
    while (get(&gate) == 0)
        usleep(500);
}

static inline weir_task *block_until_gate(weir_worker *w, weir_task *self)
{
    (void)self;
    if (weir_block_begin(w) != 0)
        add(&wrong, 1);
    add(&entered, 1);
    wait_for_gate();
    if (weir_block_end(w) != 0)
        add(&wrong, 1);
    add(&ran, 1);
    return NULL;
}

static inline weir_task *stick_until_gate(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    add(&entered, 1);
    wait_for_gate();
    add(&ran, 1);
    return NULL;
}

static inline weir_task *sleep_1ms(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    usleep(1000);
    add(&ran, 1);
    return NULL;
}

#endif
