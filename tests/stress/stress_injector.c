/* SPDX-License-Identifier: MIT
 *
 * stress_injector.c - producers and consumers on small rings that are closed at a random moment: every task that was
 * accepted comes out once, in its producer's order, with its stamp; nothing comes out after "drained"; and a thread
 * that is stopped at any instruction stops nobody else.
 *
 * Each round draws its capacity, its numbers of threads and the way they work from the seed. Producers that find the
 * ring full sleep on an eventcount, so that a lost wake-up shows as a hang. In the other rounds nobody sleeps: there a
 * signal stops a thread wherever it is, and it goes on only when every other thread has finished more calls.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "os/os.h"
#include "os/sanitizer.h"
#include "sync/eventcount.h"
#include "sync/ring.h"

#define PRODUCERS_MAX 5u
#define CONSUMERS_MAX 5u
#define ITEMS_MAX 3000u    /* tasks of a producer in a round */
#define CAPACITY_MAX 300u
#define CALLS_MEANWHILE 20u /* that each other thread finishes while one is stopped */
#define BATCH_MAX 100u     /* several chains */
#define STOPS 20u          /* threads stopped in a round */
#define ROUNDS 600u
#define HANG_LIMIT 150u    /* seconds for all rounds */

/* ThreadSanitizer delivers a signal only when the thread calls the C library: not at any instruction, or never. */
#ifdef WEIR_TSAN
#define STOPPING_WORKS false
#else
#define STOPPING_WORKS true
#endif

struct item {
    weir_task task;
    uint32_t producer;
    uint32_t number; /* in the producer's order */
    weir_atomic_u32 popped;
};

/* What the thread that stops others knows of each. */
struct victim {
    pthread_t thread;
    weir_atomic_u32 calls; /* finished pushes or takes */
    weir_atomic_u32 ended;
};

struct producer {
    struct rng rng;
    struct victim v;
    uint32_t id;
    uint32_t accepted; /* items[id][0] to items[id][accepted - 1] */
    uint32_t single; /* percent of the pushes that are single ones */
};

struct consumer {
    struct rng rng;
    struct victim v;
    uint64_t popped;
    uint32_t next[PRODUCERS_MAX]; /* smallest number that may still come from each */
};

static struct ring q;
static bool stopping;                /* this round stops threads */
static weir_atomic_u32 held, go_on;  /* signal handlers entered; futex: stops that are over */
static struct eventcount room;
static struct item items[PRODUCERS_MAX][ITEMS_MAX];
static uint32_t item_count;
static uint32_t pause_below; /* out of 1024: how often a thread gives up its processor between calls */
static weir_atomic_u32 failures, producers_left;
static uint64_t seed;

static void fail(const char *what)
{
    fprintf(stderr, "FAILED: %s (--seed %llu)\n", what, (unsigned long long)seed);
    atom_add(&failures, 1u, memory_order_relaxed); /* counted, read after the joins */
}

static void maybe_pause(struct rng *rng)
{
    if (rng_below(rng, 1024) < pause_below)
        os_yield();
}

/* --- stopping threads ------------------------------------------------------------------------------------------ */

/* Threads are born with the signal blocked and take it only between begin() and end(): one that is stopped while it is
 * being made or unmade may hold a lock of the C library or of a sanitizer, and everybody would wait for that. */
static void take_signal(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(how, &set, NULL);
}

static void begin(void)
{
    take_signal(SIG_UNBLOCK);
}

static void end(struct victim *v)
{
    take_signal(SIG_BLOCK);
    atom_store(&v->ended, 1u, memory_order_release); /* pairs with has_ended() */
}

/* On the thread that is to stand still. The signal comes once for each stop, and go_on changes after it. */
static void stand_still(int signal_number)
{
    int saved = errno;
    uint32_t now = atom_load(&go_on, memory_order_acquire); /* orders, all in this section: stronger than needed */
    (void)signal_number;
    atom_add(&held, 1u, memory_order_seq_cst);
    while (atom_load(&go_on, memory_order_acquire) == now)
        os_futex_wait(&go_on, now, OS_FOREVER);
    errno = saved;
}

static void call_done(struct victim *v)
{
    atom_store(&v->calls, atom_load(&v->calls, memory_order_relaxed) + 1, memory_order_relaxed);
}

static bool has_ended(struct victim *v)
{
    return atom_load(&v->ended, memory_order_acquire) != 0;
}

/* Stops all[who] and waits until each other one has finished some calls, or has ended. */
static void stop_one(struct victim **all, uint32_t n, uint32_t who)
{
    uint32_t before[PRODUCERS_MAX + CONSUMERS_MAX];
    uint32_t was = atom_load(&held, memory_order_acquire);
    if (has_ended(all[who]) || pthread_kill(all[who]->thread, SIGUSR1) != 0)
        return;
    while (atom_load(&held, memory_order_acquire) == was && !has_ended(all[who]))
        os_yield();
    for (uint32_t i = 0; i < n; i++)
        before[i] = atom_load(&all[i]->calls, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++)
        while (i != who && !has_ended(all[i]) &&
               atom_load(&all[i]->calls, memory_order_acquire) - before[i] < CALLS_MEANWHILE)
            os_yield(); /* for ever, if the stopped thread stops this one: then the alarm ends the program */
    atom_add(&go_on, 1u, memory_order_seq_cst);
    os_futex_wake(&go_on, INT32_MAX);
}

/* --- producers ------------------------------------------------------------------------------------------------ */

static enum ring_result push_some(struct producer *p)
{
    weir_task *list[BATCH_MAX];
    enum ring_result why;
    uint32_t left = item_count - p->accepted;
    if (rng_below(&p->rng, 100) < p->single) {
        weir_task *one = &items[p->id][p->accepted].task;
        uint32_t pushed = 0;
        why = ring_push(&q, &one, 1, p->accepted + 1, &pushed); /* 0 would be RING_NOW */
        p->accepted += pushed;
        return why;
    }
    uint32_t n = 1 + rng_below(&p->rng, left < BATCH_MAX ? left : BATCH_MAX);
    for (uint32_t i = 0; i < n; i++)
        list[i] = &items[p->id][p->accepted + i].task;
    uint32_t done = 0, stamp = p->accepted + 1;
    why = RING_OK;
    while (done < n && why == RING_OK) {
        uint32_t pushed = 0;
        why = ring_push(&q, list + done, n - done < q.chain ? n - done : q.chain, stamp, &pushed);
        if ((why == RING_OK) != (pushed > 0))
            fail("a push's result does not fit its count");
        done += pushed;
    }
    p->accepted += done;
    return why;
}

static void *produce(void *arg)
{
    struct producer *p = arg;
    enum ring_result why = RING_OK;
    begin();
    while (p->accepted < item_count && why != RING_CLOSED) {
        maybe_pause(&p->rng);
        why = push_some(p);
        call_done(&p->v);
        if (why != RING_FULL)
            continue;
        if (stopping) {
            os_yield();
            continue;
        }
        uint32_t key = eventcount_prepare(&room);
        why = push_some(p);
        if (why != RING_FULL)
            eventcount_cancel(&room);
        else if (rng_below(&p->rng, 8) == 0)
            (void)!eventcount_wait(&room, key, os_now() + rng_below(&p->rng, 100000));
        else
            (void)!eventcount_wait(&room, key, OS_FOREVER);
    }
    eventcount_notify(&room, 1); /* a wake that came to us and was not needed goes on to another */
    atom_sub(&producers_left, 1, memory_order_release); /* its pushes before; pairs with close_now() */
    end(&p->v);
    return NULL;
}

/* --- consumers ------------------------------------------------------------------------------------------------ */

static void check(struct consumer *c, weir_task *t, const uint64_t *stamp)
{
    struct item *it = CONTAINER_OF(t, struct item, task);
    if (atom_add(&it->popped, 1, memory_order_relaxed) != 0) /* relaxed: an RMW finds every second pop */
        fail("a task came out twice");
    if (it->number < c->next[it->producer])
        fail("a producer's tasks came out of order");
    if (stamp && (*stamp > it->number + 1 || it->number + 1 - *stamp >= BATCH_MAX))
        fail("a task has another one's stamp");
    c->next[it->producer] = it->number + 1;
    c->popped++;
}

static void *consume(void *arg)
{
    struct consumer *c = arg;
    weir_task *list[BATCH_MAX];
    static_assert(BATCH_MAX >= RING_CHAIN, "room for a chain");
    begin();
    for (;;) {
        uint64_t stamp;
        size_t got;
        maybe_pause(&c->rng);
        got = ring_take(&q, list, rng_below(&c->rng, 2) ? 1 : 1 + rng_below(&c->rng, BATCH_MAX), &stamp);
        for (size_t i = 0; i < got; i++)
            check(c, list[i], i == 0 ? &stamp : NULL);
        call_done(&c->v);
        if (got > 0)
            eventcount_notify(&room, (int)got);
        else if (ring_is_drained(&q))
            break;
        else
            os_yield();
    }
    uint64_t stamp;
    if (ring_take(&q, list, 1, &stamp) > 0)
        fail("a task came out after the ring was drained");
    end(&c->v);
    return NULL;
}

/* --- rounds --------------------------------------------------------------------------------------------------- */

static void close_now(struct rng *rng)
{
    if (rng_below(rng, 2)) {
        for (uint32_t spins = rng_below(rng, 200); spins > 0; spins--)
            os_yield();
    } else {
        while (atom_load(&producers_left, memory_order_acquire) > 0) /* pairs with produce() */
            os_yield();
    }
    ring_close(&q);
    eventcount_notify_all(&room);
}

static void reset_items(uint32_t producers)
{
    for (uint32_t i = 0; i < producers; i++) {
        for (uint32_t j = 0; j < item_count; j++) {
            items[i][j].producer = i;
            items[i][j].number = j;
            atom_store(&items[i][j].popped, 0, memory_order_relaxed); /* relaxed: no thread is running */
        }
    }
}

static void check_round(uint32_t producers, uint32_t consumers, const struct producer *p, const struct consumer *c)
{
    uint64_t accepted = 0, popped = 0;
    for (uint32_t i = 0; i < producers; i++) {
        accepted += p[i].accepted;
        for (uint32_t j = 0; j < item_count; j++)
            if (atom_load(&items[i][j].popped, memory_order_relaxed) != (j < p[i].accepted)) /* relaxed: joined */
                fail("a task was accepted and did not come out, or the other way round");
    }
    for (uint32_t i = 0; i < consumers; i++)
        popped += c[i].popped;
    if (accepted != popped)
        fail("the counts differ");
    if (!ring_is_drained(&q) || !ring_is_empty(&q) || ring_depth(&q) != 0)
        fail("something is left in the ring");
    if (atom_load(&room.waiters, memory_order_relaxed) != 0) /* relaxed: joined */
        fail("a waiter was left over");
}

static uint64_t run_round(struct rng *rng)
{
    static struct producer p[PRODUCERS_MAX];
    static struct consumer c[CONSUMERS_MAX];
    struct victim *all[PRODUCERS_MAX + CONSUMERS_MAX];
    uint32_t producers = 1 + rng_below(rng, PRODUCERS_MAX), consumers = 1 + rng_below(rng, CONSUMERS_MAX);
    uint32_t single = rng_below(rng, 101);
    uint64_t accepted = 0;
    item_count = 1 + rng_below(rng, ITEMS_MAX);
    pause_below = rng_below(rng, 4) ? 0 : rng_below(rng, 128);
    stopping = STOPPING_WORKS && rng_below(rng, 3) == 0;
    if (stopping)
        item_count = ITEMS_MAX; /* so that it lasts */
    reset_items(producers);
    atom_store(&producers_left, producers, memory_order_relaxed); /* relaxed: no thread is running */
    if (ring_init(&q, 1 + rng_below(rng, CAPACITY_MAX)) != 0)
        exit(2);
    for (uint32_t i = 0; i < producers; i++) {
        p[i] = (struct producer){.id = i, .single = single};
        rng_seed(&p[i].rng, rng_next(rng));
        if (pthread_create(&p[i].v.thread, NULL, produce, &p[i]) != 0)
            exit(2);
    }
    for (uint32_t i = 0; i < consumers; i++) {
        c[i] = (struct consumer){.popped = 0};
        rng_seed(&c[i].rng, rng_next(rng));
        if (pthread_create(&c[i].v.thread, NULL, consume, &c[i]) != 0)
            exit(2);
    }
    for (uint32_t i = 0; i < producers; i++)
        all[i] = &p[i].v;
    for (uint32_t i = 0; i < consumers; i++)
        all[producers + i] = &c[i].v;
    for (uint32_t i = 0; stopping && i < STOPS; i++)
        stop_one(all, producers + consumers, rng_below(rng, producers + consumers));
    close_now(rng);
    for (uint32_t i = 0; i < producers; i++)
        pthread_join(p[i].v.thread, NULL);
    for (uint32_t i = 0; i < consumers; i++)
        pthread_join(c[i].v.thread, NULL);
    check_round(producers, consumers, p, c);
    for (uint32_t i = 0; i < producers; i++)
        accepted += p[i].accepted;
    ring_destroy(&q);
    return accepted;
}

int main(int argc, char **argv)
{
    uint32_t rounds = ROUNDS;
    uint64_t accepted = 0;
    struct rng rng;
    seed = (uint64_t)time(NULL);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--rounds") == 0)
            rounds = (uint32_t)strtoul(argv[i + 1], NULL, 0);
    }
    printf("stress_injector --seed %llu --rounds %u\n", (unsigned long long)seed, rounds);
    fflush(stdout);
    alarm(HANG_LIMIT);
    take_signal(SIG_BLOCK);
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = stand_still, .sa_flags = SA_RESTART}, NULL);
    rng_seed(&rng, seed);
    for (uint32_t i = 0; i < rounds && atom_load(&failures, memory_order_relaxed) == 0; i++) /* relaxed: joined */
        accepted += run_round(&rng);
    uint32_t bad = atom_load(&failures, memory_order_relaxed);
    printf("%u rounds, %llu tasks: %s\n", rounds, (unsigned long long)accepted, bad ? "FAILED" : "ok");
    return bad != 0;
}
