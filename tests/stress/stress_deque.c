/* SPDX-License-Identifier: MIT
 *
 * stress_deque.c - one owner and several thieves on a deque: every task comes out exactly once.
 *
 * The owner pushes and pops in random bursts, publishes when it is poisoned, grows, moves and shrinks; thieves steal,
 * poison and force with membarrier. Bursts are short more often than not, so that all meet at the last tasks. Each
 * round draws its shape from the seed.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sched/worker.h"

#define THIEVES_MAX 6u
#define ITEMS_MAX 20000u
#define SECONDS 5u
#define HANG_LIMIT 150u /* seconds beyond those asked for */

struct item {
    weir_task task;
    weir_atomic_u32 taken;
};

struct thief {
    pthread_t thread;
    struct rng rng;
    uint32_t id;
    uint64_t took, lost, forced;
};

static struct runtime rt;
static struct worker owner;
static struct worker *workers[1] = {&owner};
static struct parking *parking[1] = {&owner.park};
static struct item *items;
static struct thief thieves[THIEVES_MAX];
static weir_atomic_u32 finished, failures;
static uint32_t pause_below; /* out of 1024: how often somebody gives up the processor */
static uint64_t seed;

static void fail(const char *what)
{
    fprintf(stderr, "FAILED: %s (--seed %llu)\n", what, (unsigned long long)seed);
    atom_add(&failures, 1u, memory_order_relaxed); /* counted, read after the joins */
}

static void maybe_pause(struct rng *rng)
{
    uint32_t r = rng_below(rng, 1024);
    if (r < pause_below)
        os_yield();
    else if (r == 1023 && pause_below > 0)
        usleep(rng_below(rng, 200));
}

static void take(weir_task *t)
{
    struct item *it = CONTAINER_OF(t, struct item, task);
    if (atom_add(&it->taken, 1u, memory_order_relaxed) != 0) /* relaxed: an RMW finds every second take */
        fail("a task was taken twice");
    /* What the owner wrote before the push is visible: the task's stamp is its number. */
    if (t->stamp != (uint64_t)(it - items))
        fail("a task was taken before it was written");
}

/* --- thieves -------------------------------------------------------------------------------------------------- */

static bool steal_once(struct thief *me)
{
    weir_task *t = NULL;
    rcu_online();
    enum steal_result r = deque_steal(&owner.dq, NULL, &t);
    if (r == STEAL_EMPTY) {
        uint32_t what = rng_below(&me->rng, 4);
        if (what == 0)
            deque_poison(&owner.dq, DEQUE_ANYBODY);
        if (what == 1 && rt.membarrier && deque_has_any(&owner.dq)) {
            me->forced += deque_force(&owner.dq, me->id) == FORCE_PUBLISHED;
            r = deque_steal(&owner.dq, NULL, &t);
        }
    }
    rcu_offline();
    if (r == STEAL_OK) {
        take(t);
        me->took++;
    }
    me->lost += r == STEAL_LOST;
    return r != STEAL_EMPTY;
}

static void *thieve(void *arg)
{
    struct thief *me = arg;
    rcu_register();
    while (atom_load(&finished, memory_order_acquire) == 0) /* pairs with run_round() */
        if (!steal_once(me))
            maybe_pause(&me->rng);
    rcu_unregister();
    return NULL;
}

/* --- owner ---------------------------------------------------------------------------------------------------- */

static uint32_t push_burst(uint32_t next, uint32_t n, uint32_t total)
{
    for (; n > 0 && next < total; n--, next++) {
        weir_task_init(&items[next].task, NULL);
        items[next].task.stamp = next;
        weir_push(worker_public(&owner), &items[next].task);
    }
    return next;
}

static uint64_t pop_burst(uint32_t n)
{
    uint64_t popped = 0;
    weir_task *t;
    for (; n > 0 && (t = deque_pop(&owner.dq)) != NULL; n--) {
        take(t);
        popped++;
    }
    return popped;
}

static uint64_t own(struct rng *rng, uint32_t total, uint32_t burst_max)
{
    uint64_t popped = 0;
    for (uint32_t next = 0; next < total;) {
        uint32_t most = rng_below(rng, 4) == 0 ? burst_max : 4;
        next = push_burst(next, 1 + rng_below(rng, most), total);
        maybe_pause(rng);
        popped += pop_burst(rng_below(rng, most + 2));
        if (rng_below(rng, 64) == 0)
            deque_shrink(&owner.dq);
    }
    popped += pop_burst(UINT32_MAX);
    return popped;
}

/* --- rounds --------------------------------------------------------------------------------------------------- */

static uint64_t run_round(struct rng *rng)
{
    uint32_t count = 1 + rng_below(rng, THIEVES_MAX), total = 1 + rng_below(rng, ITEMS_MAX);
    bool always = rng_below(rng, 4) == 0;
    uint64_t taken = 0;
    items = calloc(total, sizeof *items);
    if (items == NULL)
        exit(2);
    memset(&owner, 0, sizeof owner);
    rt.membarrier = !always && os_membarrier_init();
    owner.rt = &rt;
    pause_below = rng_below(rng, 3) ? 0 : rng_below(rng, 256);
    if (deque_init(&owner.dq, 2u << rng_below(rng, 6), !rt.membarrier) != 0)
        exit(2);
    atom_store(&finished, 0u, memory_order_relaxed); /* relaxed: no thread is running */
    for (uint32_t i = 0; i < count; i++) {
        thieves[i] = (struct thief){.id = i};
        rng_seed(&thieves[i].rng, rng_next(rng));
        if (pthread_create(&thieves[i].thread, NULL, thieve, &thieves[i]) != 0)
            exit(2);
    }
    taken = own(rng, total, 1 + rng_below(rng, 300));
    atom_store(&finished, 1u, memory_order_release); /* pairs with thieve() */
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(thieves[i].thread, NULL);
        taken += thieves[i].took;
    }
    for (uint32_t i = 0; i < total; i++)
        if (atom_load(&items[i].taken, memory_order_relaxed) != 1) /* relaxed: joined */
            fail("a task was lost or taken twice");
    if (taken != total || deque_pop(&owner.dq) != NULL)
        fail("the counts differ");
    deque_destroy(&owner.dq);
    rcu_barrier_all();
    free(items);
    return total;
}

int main(int argc, char **argv)
{
    uint32_t seconds = SECONDS, rounds = 0;
    uint64_t tasks = 0, forced = 0, lost = 0;
    struct rng rng;
    seed = (uint64_t)time(NULL);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = (uint32_t)strtoul(argv[i + 1], NULL, 0);
    }
    printf("stress_deque --seed %llu --seconds %u\n", (unsigned long long)seed, seconds);
    fflush(stdout);
    alarm(seconds + HANG_LIMIT);
    rng_seed(&rng, seed);
    if (rcu_init() != 0)
        return 2;
    rcu_register();
    rt.workers = workers;
    rt.parking = parking;
    rt.count = 1;
    rt.config.deque_limit = DEQUE_CAPACITY_MAX;
    idle_init(&rt.idle, parking, 1, 0);
    uint64_t end = os_now() + seconds * UINT64_C(1000000000);
    for (; os_now() < end && atom_load(&failures, memory_order_relaxed) == 0; rounds++) { /* relaxed: joined */
        tasks += run_round(&rng);
        for (uint32_t i = 0; i < THIEVES_MAX; i++) {
            forced += thieves[i].forced;
            lost += thieves[i].lost;
            thieves[i].forced = thieves[i].lost = 0;
        }
    }
    rcu_unregister();
    uint32_t bad = atom_load(&failures, memory_order_relaxed);
    printf("%u rounds, %llu tasks, %llu forced, %llu races lost: %s\n", rounds, (unsigned long long)tasks,
           (unsigned long long)forced, (unsigned long long)lost, bad ? "FAILED" : "ok");
    return bad != 0;
}
