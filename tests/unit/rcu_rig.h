/* SPDX-License-Identifier: MIT
 *
 * rcu_rig.h - what the tests of rcu.c share: things to retire, and threads that stop where a test wants them.
 *
 * Threads: stage_*, reclaims: any. The rest: as rcu.h.
 */
#ifndef RCU_RIG_H
#define RCU_RIG_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/compiler.h"
#include "os/os.h"
#include "os/rcu.h"

#define STACK ((size_t)256 << 10) /* bytes */

struct thing {
    long value;
    struct rcu_node node;
};

static weir_atomic_u64 reclaimed;
static weir_atomic_u32 stage; /* what the test's threads wait for */

static inline void thing_free(struct rcu_node *node)
{
    struct thing *t = CONTAINER_OF(node, struct thing, node);

    t->value = -1;
    free(t);
    atom_add(&reclaimed, 1, memory_order_relaxed);
}

static inline struct thing *thing_new(long value)
{
    struct thing *t = malloc(sizeof *t);

    cr_assert_not_null(t);
    t->value = value;
    return t;
}

static inline void retire_one(void)
{
    rcu_retire(&thing_new(1)->node, thing_free);
}

static inline uint64_t reclaims(void)
{
    return atom_load(&reclaimed, memory_order_acquire);
}

static inline void stage_wait(uint32_t s)
{
    while (atom_load(&stage, memory_order_acquire) < s)
        usleep(200);
}

static inline void stage_set(uint32_t s)
{
    atom_store(&stage, s, memory_order_release);
}

/* --- threads --- */

/* Stages: 1 it is online, 2 it may go offline, 3 it is offline, 4 it may end. */
static inline void *stay_online(void *arg)
{
    rcu_register();
    rcu_online();
    stage_set(1);
    stage_wait(2);
    rcu_offline();
    stage_set(3);
    stage_wait(4);
    rcu_unregister();
    return arg;
}

static inline void reader_end(struct os_thread *t)
{
    stage_set(2);
    stage_wait(3);
    stage_set(4);
    os_thread_join(t);
}

static inline void *retire_and_wait(void *arg)
{
    retire_one();
    rcu_flush();
    return arg;
}

static inline void *come_and_go(void *arg)
{
    rcu_register();
    rcu_online();
    rcu_offline();
    retire_one();
    rcu_unregister();
    return arg;
}

/* Stages: 1 the batch is under way, 2 it may end. */
static inline void thing_free_slowly(struct rcu_node *node)
{
    thing_free(node);
    stage_set(1);
    stage_wait(2);
}

static inline void *flush_slowly(void *arg)
{
    rcu_retire(&thing_new(1)->node, thing_free_slowly);
    rcu_flush();
    return arg;
}

static inline void *end_batch_late(void *arg)
{
    usleep(50000);
    stage_set(2);
    return arg;
}

/* --- what the process has --- */

static inline unsigned entries(const char *path)
{
    unsigned n = 0;
    DIR *d = opendir(path);

    cr_assert_not_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

#endif
