/* SPDX-License-Identifier: MIT
 *
 * stress_graph.c - random graphs, flows and pipelines on runtimes of many shapes.
 *
 * Two players draw their pieces from the seed and play them on one runtime at once, from outside or as a task. Runs are
 * cancelled, fail, overlap, and share semaphores. A watchdog ends the program when nothing moves for HANG_LIMIT.
 */
#include "pieces.h"

#include <time.h>

#define HANG_LIMIT 60u   /* seconds without any progress */
#define SECONDS 5u
#define PLAYERS 2u
#define PIECES 12u       /* of a player on one runtime */

static uint64_t seed;
static weir_atomic_u64 progress;
static weir_atomic_u32 failures, over;
weir_runtime *rt;
uint32_t workers;

void fail(const char *what)
{
    fprintf(stderr, "FAILED: %s (--seed %llu)\n", what, (unsigned long long)seed);
    __atomic_fetch_add(&failures.v, 1, __ATOMIC_RELAXED);
}

void must(int r, const char *what)
{
    if (r == 0)
        return;
    fprintf(stderr, "%s: %s (--seed %llu)\n", what, weir_strerror(r), (unsigned long long)seed);
    exit(2);
}

void moved(void)
{
    __atomic_fetch_add(&progress.v, 1, __ATOMIC_RELAXED);
}

void *zeroed(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (p == NULL)
        exit(2);
    return p;
}

uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = (a ^ b * UINT64_C(0x9e3779b97f4a7c15)) + UINT64_C(0x632be59bd9b4e019);
    return (x ^ x >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
}

void dawdle(uint64_t salt)
{
    if (salt % 501 == 0)
        usleep((useconds_t)(salt % 200));
    else
        for (volatile uint64_t i = 0; i < salt % 200; i++)
            continue;
}

void *cancel_later(void *arg)
{
    struct cancel *c = arg;
    usleep(c->after_us);
    if (c->run != NULL)
        must(weir_run_cancel(c->run), "weir_run_cancel");
    else
        weir_flow_cancel(c->flow);
    return NULL;
}

/* --- players ------------------------------------------------------------------------------------------------------ */

struct player {
    pthread_t thread;
    struct rng rng;
};

static void play_any(struct rng *rng)
{
    switch (rng_below(rng, 3)) {
    case 0: play_graph(rng); break;
    case 1: play_flow(rng); break;
    default: play_pipeline(rng); break;
    }
}

static void play_on_worker(weir_worker *w, void *arg)
{
    (void)w;
    play_any(arg);
}

static void *play(void *arg)
{
    struct player *p = arg;
    for (uint32_t i = 0; i < PIECES; i++) {
        uint32_t how = rng_below(&p->rng, 8);
        if (how == 0)
            play_overlap(&p->rng);
        else if (how < 4)
            must(weir_call(rt, play_on_worker, &p->rng), "weir_call");
        else
            play_any(&p->rng);
    }
    return NULL;
}

static void run_round(struct rng *rng)
{
    static const uint32_t counts[] = {1, 2, 2, 3, 4, 8};
    struct player player[PLAYERS];
    weir_config c;
    must(weir_config_init(&c), "weir_config_init");
    c.workers = workers = counts[rng_below(rng, 6)];
    c.queue_capacity = 1u << rng_below(rng, 8);
    c.deque_capacity = 2u << rng_below(rng, 5);
    c.publish_mode = rng_below(rng, 4) == 0 ? WEIR_PUBLISH_ALWAYS : WEIR_PUBLISH_ON_DEMAND;
    c.guests = rng_below(rng, 3);
    must(weir_start(&rt, &c), "weir_start");
    for (uint32_t i = 0; i < PLAYERS; i++) {
        rng_seed(&player[i].rng, rng_next(rng));
        must(-pthread_create(&player[i].thread, NULL, play, &player[i]), "pthread_create");
    }
    for (uint32_t i = 0; i < PLAYERS; i++)
        must(-pthread_join(player[i].thread, NULL), "pthread_join");
    must(weir_stop(rt, WEIR_DRAIN, WEIR_FOREVER), "weir_stop");
}

static void *watch(void *arg)
{
    uint64_t last = 0;
    (void)arg;
    for (unsigned still = 0; __atomic_load_n(&over.v, __ATOMIC_RELAXED) == 0; still++) {
        usleep(100000);
        uint64_t now = __atomic_load_n(&progress.v, __ATOMIC_RELAXED);
        if (now != last)
            still = 0;
        last = now;
        if (still > HANG_LIMIT * 10) {
            fprintf(stderr, "HANG (--seed %llu)\n", (unsigned long long)seed);
            abort();
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    uint32_t seconds = SECONDS, rounds = 0;
    struct rng rng;
    pthread_t watchdog;
    seed = (uint64_t)time(NULL);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = (uint32_t)strtoul(argv[i + 1], NULL, 0);
    }
    printf("stress_graph --seed %llu --seconds %u\n", (unsigned long long)seed, seconds);
    fflush(stdout);
    rng_seed(&rng, seed);
    must(-pthread_create(&watchdog, NULL, watch, NULL), "pthread_create");
    uint64_t end = weir_now() + seconds * UINT64_C(1000000000);
    for (; weir_now() < end && __atomic_load_n(&failures.v, __ATOMIC_RELAXED) == 0; rounds++)
        run_round(&rng);
    __atomic_store_n(&over.v, 1, __ATOMIC_RELAXED);
    must(-pthread_join(watchdog, NULL), "pthread_join");
    uint32_t bad = __atomic_load_n(&failures.v, __ATOMIC_RELAXED);
    printf("%u rounds, %llu nodes, tasks and items: %s\n", rounds, (unsigned long long)progress.v,
           bad != 0 ? "FAILED" : "ok");
    return bad != 0;
}
