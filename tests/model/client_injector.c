/* SPDX-License-Identifier: MIT
 *
 * client_injector.c - the injector: producers and consumers at a capacity of 1 or 2; full, empty, closed, stalled.
 *
 * Scripts: P push, B push two at once, C pop (must find something where the letter is in lower case), K pop two at
 * once, Q close, D ask whether it is drained.
 *
 * Threads: any number of producers and consumers.
 * Invariants: each accepted task comes out once, with its payload; one producer's tasks reach one consumer in order;
 * nothing is accepted after a close that was seen; a thread that is stopped for ever costs at most what it has in hand.
 */
#include <string.h>

#include "model.h"
#include "os/os.h"
#include "sync/injector.h"

#define TASKS_EACH 3u
#define THREADS 4u

struct job {
    weir_task task;
    unsigned producer, number;
    int payload;
};

static struct injector q;
static struct job job[THREADS][TASKS_EACH];
static bool accepted[THREADS][TASKS_EACH];
static unsigned made[THREADS], out[THREADS][TASKS_EACH];
static unsigned last_seen[THREADS + 1][THREADS];
static bool was_drained;

struct script {
    const char *thread[THREADS];
    uint32_t capacity;
};

static const struct script scripts[] = {
    /* 0 */ {{"P", "C"}, 1},
    /* 1 */ {{"P", "P", "C"}, 1},
    /* 2 */ {{"Pc", "Pc"}, 2},
    /* 3 */ {{"PP", "CC"}, 1},
    /* 4 */ {{"PP", "CC"}, 2},
    /* 5 */ {{"P", "P", "C", "C"}, 2},
    /* 6 */ {{"PQD", "PC"}, 2},
    /* 7 */ {{"P", "QCD", "C"}, 1},
    /* 8 */ {{"B", "K"}, 2},
    /* 9 */ {{"PcPc", "P"}, 2},
    /* 10 */ {{"B", "P", "K"}, 2},
    /* 11 */ {{"CPC", "C"}, 1},
    /* 12 */ {{"PC", "P", "C"}, 2},
    /* 13 */ {{"PP", "Pc"}, 2},
};

static const struct script *script(void)
{
    return &scripts[model_tag()];
}

static void push(unsigned me, unsigned n)
{
    weir_task *batch[2];
    enum inject_result why = INJECT_OK;
    size_t took = 0;
    unsigned first = made[me];
    for (unsigned i = 0; i < n; i++) {
        struct job *j = &job[me][made[me]];
        j->producer = me;
        j->number = made[me]++;
        MODEL_WRITE(j->payload, (int)j->number + 1);
        batch[i] = &j->task;
    }
    if (n == 1) {
        why = injector_push(&q, batch[0], 7);
        took = why == INJECT_OK;
    } else {
        took = injector_push_batch(&q, batch, n, 7, &why);
    }
    MODEL_ASSERT(took <= n && (took == n) == (why == INJECT_OK));
    for (size_t i = 0; i < took; i++)
        accepted[me][first + i] = true;
}

static void received(unsigned me, weir_task *t)
{
    struct job *j = (struct job *)(void *)t;
    MODEL_ASSERT(j->producer < THREADS && j->number < TASKS_EACH);
    MODEL_ASSERT(MODEL_READ(j->payload) == (int)j->number + 1);
    MODEL_ASSERT(out[j->producer][j->number] == 0);
    out[j->producer][j->number]++;
    MODEL_ASSERT(last_seen[me][j->producer] <= j->number); /* in order: the next one that may come is above */
    last_seen[me][j->producer] = j->number + 1;
}

static void pop(unsigned me, unsigned n, bool must)
{
    weir_task *got[2];
    uint64_t stamp = 0;
    if (n == 1) {
        got[0] = injector_pop(&q, &stamp);
        n = got[0] != NULL;
        MODEL_ASSERT(n == 0 || stamp == 7);
    } else {
        n = (unsigned)injector_pop_batch(&q, got, n);
    }
    MODEL_ASSERT(!must || n > 0);
    for (unsigned i = 0; i < n; i++)
        received(me, got[i]);
}

static void run(unsigned me)
{
    for (const char *s = script()->thread[me]; *s != 0; s++) {
        switch (*s) {
        case 'P': push(me, 1); break;
        case 'B': push(me, 2); break;
        case 'C': pop(me, 1, false); break;
        case 'c': pop(me, 1, true); break;
        case 'K': pop(me, 2, false); break;
        case 'Q': injector_close(&q); break;
        case 'D': was_drained |= injector_drained(&q); break;
        default: model_fail(__FILE__, __LINE__, "bad script");
        }
    }
}

static void t0(void) { run(0); }
static void t1(void) { run(1); }
static void t2(void) { run(2); }
static void t3(void) { run(3); }

static void setup(void)
{
    MODEL_ASSERT(injector_init(&q, script()->capacity) == 0);
    model_name(&q.full.head, "full.head");
    model_name(&q.full.tail, "full.tail");
    model_name(&q.full.patience, "full.patience");
    model_name(&q.free.head, "free.head");
    model_name(&q.free.tail, "free.tail");
    model_name(&q.free.patience, "free.patience");
    model_name(&q.closed, "closed");
}

static void check(void)
{
    if (was_drained)
        MODEL_ASSERT(injector_pop(&q, NULL) == NULL);
    if (model_stalled()) { /* what the stopped thread had in hand is missing, no more: others go on */
        uint32_t room = 0;
        for (weir_task *t; (t = injector_pop(&q, NULL)) != NULL;)
            received(THREADS, t);
        for (unsigned i = 0; i < script()->capacity; i++)
            room += injector_push(&q, &job[0][0].task, 7) == INJECT_OK;
        MODEL_ASSERT(room + 1 >= script()->capacity);
        return;
    }
    memset(last_seen[THREADS], 0, sizeof last_seen[THREADS]);
    for (weir_task *t; (t = injector_pop(&q, NULL)) != NULL;)
        received(THREADS, t);
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned k = 0; k < TASKS_EACH; k++)
            MODEL_ASSERT(out[i][k] == accepted[i][k]);
    /* All the room is there again, and not more than that. */
    enum inject_result r = INJECT_OK;
    unsigned room = 0;
    while ((r = injector_push(&q, &job[0][0].task, 7)) == INJECT_OK)
        room++;
    MODEL_ASSERT(r == INJECT_CLOSED || room == script()->capacity);
    injector_destroy(&q);
}

#define CLIENT(client, number, ...) {.name = client, .tag = number, .setup = setup, .check = check, \
                                     .thread = {__VA_ARGS__}}
#define STALL(client, number, who, ...) {.name = client, .tag = number, .setup = setup, .check = check, \
                                         .thread = {__VA_ARGS__}, .stall = (who) + 1, .leaks_ok = true}
#define RANDOM(client, number, ...) {.name = client, .tag = number, .setup = setup, .check = check, \
                                     .thread = {__VA_ARGS__}, .pct = true, .executions = 20000}
static const struct model_client clients[] = {
    CLIENT("one_task", 0, t0, t1),
    CLIENT("full", 1, t0, t1, t2),
    CLIENT("each_finds_one", 2, t0, t1),
    CLIENT("two_through_one", 3, t0, t1),
    CLIENT("two_through_two", 4, t0, t1),
    CLIENT("close_against_push", 6, t0, t1),
    CLIENT("close_drain", 7, t0, t1, t2),
    CLIENT("batches", 8, t0, t1),
    CLIENT("empty_then_full", 11, t0, t1),
    CLIENT("push_pop_against_push", 9, t0, t1),
    CLIENT("push_pop_against_both", 12, t0, t1, t2),
    CLIENT("wrap_against_pop", 13, t0, t1),
    RANDOM("two_producers_two_consumers", 5, t0, t1, t2, t3),
    RANDOM("batches_against_push", 10, t0, t1, t2),
    STALL("producer_stalls", 4, 0, t0, t1),
    STALL("consumer_stalls", 4, 1, t0, t1),
    STALL("both_sides_stalled_one", 2, 0, t0, t1),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
