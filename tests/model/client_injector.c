/* SPDX-License-Identifier: MIT
 *
 * client_injector.c - the injector's rings: producers and consumers at capacities of 1 to 3; full, empty, closed,
 * chains, a thread that is stopped for ever, and laps that wrap around while a thread sleeps.
 *
 * Scripts: P push, B push two at once, T push three at once, C take (must find something where the letter is in lower
 * case), K take up to three, Q close, D ask whether it is drained, E ask whether it is empty, p push (must find room),
 * S push and look for sleepers, L announce oneself as a sleeper and look for work.
 *
 * Threads: any number of producers and consumers.
 * Invariants: each accepted task comes out once, with its payload; one producer's tasks reach one consumer in order;
 * there are never more than `capacity` tasks, and full is said only with so many; nothing is accepted after a close
 * that was seen; a pusher sees a sleeper or the sleeper its task; a thread that is stopped for ever costs at most what
 * it has in hand. The clients that wrap a lap (built with RING_LAP_BITS of 2) may see tasks out of order.
 */
#include <string.h>

#include "model.h"
#include "os/os.h"
#include "sync/ring.h"

#define TASKS_EACH 12u
#define THREADS 4u

struct job {
    weir_task task;
    unsigned producer, number;
    int payload;
};

static struct ring q;
static struct job job[THREADS][TASKS_EACH];
static bool accepted[THREADS][TASKS_EACH];
static unsigned made[THREADS], out[THREADS][TASKS_EACH];
static unsigned last_seen[THREADS + 1][THREADS];
static bool was_drained;
static weir_atomic_u32 sleepers;
static bool saw_none[THREADS], saw_nothing;

struct script {
    const char *thread[THREADS];
    uint32_t capacity;
    bool any_order;
    unsigned rounds; /* a push and a take each, before the threads begin: pushers' copy of the head is behind */
    unsigned there;  /* tasks that are there when the threads begin, as if thread 3 had pushed them */
};

static const struct script scripts[] = {
    /* 0 */ {{"P", "C"}, 1, false, 0, 0},
    /* 1 */ {{"P", "P", "C"}, 1, false, 0, 0},
    /* 2 */ {{"Pc", "Pc"}, 2, false, 0, 0},
    /* 3 */ {{"PP", "CC"}, 1, false, 0, 0},
    /* 4 */ {{"PPP", "CCC"}, 2, false, 0, 0},
    /* 5 */ {{"P", "P", "C", "C"}, 2, false, 0, 0},
    /* 6 */ {{"PQD", "PC"}, 2, false, 0, 0},
    /* 7 */ {{"P", "QCD", "C"}, 1, false, 0, 0},
    /* 8 */ {{"B", "K"}, 2, false, 0, 0},
    /* 9 */ {{"PcPc", "P"}, 2, false, 0, 0},
    /* 10 */ {{"B", "P", "K"}, 2, false, 0, 0},
    /* 11 */ {{"CPC", "C"}, 1, false, 0, 0},
    /* 12 */ {{"PC", "P", "C"}, 2, false, 0, 0},
    /* 13 */ {{"PPP", "Pc"}, 3, false, 0, 0},
    /* 14 */ {{"T", "PK"}, 3, false, 0, 0},
    /* 15 */ {{"pcpc", "P"}, 2, false, 0, 0},
    /* 16 */ {{"TKT", "B"}, 3, false, 0, 0},
    /* 17 */ {{"P", "PcPcPcPcPcPcPcPc"}, 1, true, 0, 0},
    /* 18 */ {{"C", "PcPcPcPcPcPcPcPc"}, 1, true, 0, 0},
    /* 19 */ {{"P", "PcPcPcPcPcPcPcPcPcQD"}, 1, true, 0, 0},
    /* 20 */ {{"Q", "Q", "P"}, 1, false, 0, 0},
    /* 21 */ {{"P", "EPc"}, 2, false, 0, 0},
    /* 22 */ {{"Pc", "Pc", "P"}, 2, false, 1, 0},
    /* 23 */ {{"Pc", "PcPcPcPPcc"}, 3, false, 0, 0},
    /* 24 */ {{"S", "S", "L"}, 2, false, 0, 0},
    /* 25 */ {{"c", "Pc", "P"}, 2, false, 1, 1},
};

static const struct script *script(void)
{
    return &scripts[model_tag()];
}

static unsigned all_accepted_and_not_out(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned k = 0; k < TASKS_EACH; k++)
            n += accepted[i][k] && out[i][k] == 0;
    return n;
}

static void push(unsigned me, uint32_t n, bool must)
{
    weir_task *batch[3];
    uint32_t took = 0;
    unsigned first = made[me];
    for (unsigned i = 0; i < n; i++) {
        struct job *j = &job[me][made[me]];
        j->producer = me;
        j->number = made[me]++;
        MODEL_WRITE(j->payload, (int)j->number + 1);
        batch[i] = &j->task;
    }
    enum ring_result result = ring_push(&q, batch, n, 7, &took);
    MODEL_ASSERT(result == RING_OK ? took > 0 && took <= n : took == 0);
    MODEL_ASSERT(!must || result == RING_OK);
    for (unsigned i = 0; i < took; i++)
        accepted[me][first + i] = true;
    made[me] = first + took;
}

static void received(unsigned me, weir_task *t)
{
    struct job *j = (struct job *)(void *)t;
    MODEL_ASSERT(j->producer < THREADS && j->number < TASKS_EACH);
    MODEL_ASSERT(MODEL_READ(j->payload) == (int)j->number + 1);
    MODEL_ASSERT(out[j->producer][j->number] == 0);
    out[j->producer][j->number]++;
    MODEL_ASSERT(script()->any_order || last_seen[me][j->producer] <= j->number);
    last_seen[me][j->producer] = j->number + 1; /* the next one that may come is above */
}

static void pop(unsigned me, uint32_t most, bool must)
{
    weir_task *got[RING_CHAIN];
    uint64_t stamp = 0;
    uint32_t n = ring_take(&q, got, most, &stamp);
    MODEL_ASSERT(n == 0 || stamp == 7);
    MODEL_ASSERT(!must || n > 0);
    for (unsigned i = 0; i < n; i++)
        received(me, got[i]);
}

/* As announce_work() does in submit.c. */
static void push_and_look(unsigned me)
{
    push(me, 1, true);
    saw_none[me] = atom_load(&sleepers, memory_order_seq_cst) == 0;
}

/* As idle_announce() and the last look. */
static void announce_and_look(void)
{
    atom_add(&sleepers, 1u, memory_order_relaxed);
    atom_fence(memory_order_seq_cst);
    saw_nothing = ring_is_empty(&q);
}

static void run(unsigned me)
{
    for (const char *s = script()->thread[me]; *s != 0; s++) {
        switch (*s) {
        case 'P': push(me, 1, false); break;
        case 'p': push(me, 1, true); break;
        case 'B': push(me, 2, false); break;
        case 'T': push(me, 3, false); break;
        case 'C': pop(me, 1, false); break;
        case 'c': pop(me, 1, !script()->any_order); break;
        case 'K': pop(me, 3, false); break;
        case 'Q': ring_close(&q); break;
        case 'D': was_drained |= ring_is_drained(&q); break;
        case 'E': (void)ring_is_empty(&q); break;
        case 'S': push_and_look(me); break;
        case 'L': announce_and_look(); break;
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
    MODEL_ASSERT(ring_init(&q, script()->capacity) == 0);
    model_name(&q.head, "head");
    model_name(&q.tail, "tail");
    model_name(&q.seen, "seen");
    static const char *const slot[] = {"slot0", "slot1", "slot2", "slot3"};
    for (unsigned i = 0; i <= q.mask && i < 4; i++)
        model_name(&q.slots[i], slot[i]);
    for (unsigned i = 0; i < script()->rounds; i++) {
        weir_task task = {0}, *t = &task, *got[RING_CHAIN];
        uint32_t pushed;
        uint64_t stamp;
        MODEL_ASSERT(ring_push(&q, &t, 1, 7, &pushed) == RING_OK && ring_take(&q, got, 1, &stamp) == 1);
    }
    for (unsigned i = 0; i < script()->there; i++)
        push(THREADS - 1, 1, true);
}

/* Takes what is left, then fills the ring: the room must be as large as it was. Room: how many tasks it took. */
static uint32_t empty_and_fill(void)
{
    weir_task *got[RING_CHAIN], *spare = &job[THREADS - 1][TASKS_EACH - 1].task;
    uint64_t stamp;
    uint32_t room = 0, pushed, n;
    while ((n = ring_take(&q, got, 3, &stamp)) > 0)
        for (uint32_t i = 0; i < n; i++)
            received(THREADS, got[i]);
    MODEL_ASSERT(ring_is_empty(&q) && ring_depth(&q) == 0);
    while (room <= script()->capacity && ring_push(&q, &spare, 1, 7, &pushed) == RING_OK)
        MODEL_ASSERT(ring_depth(&q) == ++room && !ring_is_empty(&q));
    return room;
}

static void check(void)
{
    weir_task *got[RING_CHAIN];
    uint64_t stamp;
    if (was_drained)
        MODEL_ASSERT(ring_take(&q, got, 1, &stamp) == 0);
    memset(last_seen[THREADS], 0, sizeof last_seen[THREADS]);
    MODEL_ASSERT(model_stalled() || all_accepted_and_not_out() <= script()->capacity);
    for (unsigned i = 0; i < THREADS; i++)
        MODEL_ASSERT(!saw_none[i] || !saw_nothing);
    bool drained = ring_is_drained(&q);
    uint32_t room = empty_and_fill();
    if (model_stalled()) { /* a stopped thread has pushed or it has not: it takes no room, others go on */
        MODEL_ASSERT(room == script()->capacity || (room == 0 && ring_is_drained(&q)));
        return;
    }
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned k = 0; k < TASKS_EACH; k++)
            MODEL_ASSERT(out[i][k] == accepted[i][k]);
    MODEL_ASSERT(room == script()->capacity || (room == 0 && ring_is_drained(&q)));
    MODEL_ASSERT(!drained || room == 0);
    ring_destroy(&q);
}

/* --- the same record again and again, until its lap and its slot are those of the first time ---------------------- */

#define AGAIN 9 /* times: with two slots and four laps the last one has the word of the first in the same slot */
static struct job again;

static void setup_again(void)
{
    MODEL_ASSERT(ring_init(&q, 1) == 0 && (q.mask + 1) << RING_LAP_BITS == AGAIN - 1);
    model_name(&q.slots[0], "slot0");
}

static void goes_round(void)
{
    weir_task *t = &again.task, *got[RING_CHAIN];
    uint32_t pushed;
    uint64_t stamp;
    for (int i = 0; i < AGAIN; i++) {
        MODEL_WRITE(again.payload, i);
        MODEL_ASSERT(ring_push(&q, &t, 1, 7, &pushed) == RING_OK);
        if (i == AGAIN - 1 || ring_take(&q, got, 1, &stamp) == 0)
            return; /* it is the other one's */
    }
}

static void takes_it_once(void)
{
    weir_task *got[RING_CHAIN];
    uint64_t stamp;
    if (ring_take(&q, got, 1, &stamp) == 1)
        MODEL_ASSERT(got[0] == &again.task && MODEL_READ(again.payload) < AGAIN);
}

static void check_again(void)
{
    ring_destroy(&q);
}

#define CLIENT(client, number, ...) {.name = client, .tag = number, .setup = setup, .check = check, \
                                     .thread = {__VA_ARGS__}}
#define STALL(client, number, who, ...) {.name = client, .tag = number, .setup = setup, .check = check, \
                                         .thread = {__VA_ARGS__}, .stall = (who) + 1, .leaks_ok = true}
#define RANDOM(client, number, ...) {.name = client, .tag = number, .setup = setup, .check = check, \
                                     .thread = {__VA_ARGS__}, .pct = true, .executions = 20000}
#define WRAP(client, number, ...) {.name = client, .tag = number, .setup = setup, .check = check, \
                                   .thread = {__VA_ARGS__}, .preemptions = 2}
static const struct model_client clients[] = {
    CLIENT("one_task", 0, t0, t1),
    CLIENT("full", 1, t0, t1, t2),
    CLIENT("each_finds_one", 2, t0, t1),
    CLIENT("two_through_one", 3, t0, t1),
    CLIENT("three_through_two", 4, t0, t1),
    CLIENT("close_against_push", 6, t0, t1),
    CLIENT("close_drain", 7, t0, t1, t2),
    CLIENT("two_closers_and_a_push", 20, t0, t1, t2),
    CLIENT("chains", 8, t0, t1),
    CLIENT("chain_against_push_and_take", 14, t0, t1),
    CLIENT("chains_against_chain", 16, t0, t1),
    CLIENT("empty_then_full", 11, t0, t1),
    CLIENT("push_pop_against_push", 9, t0, t1),
    CLIENT("room_where_room_must_be", 15, t0, t1),
    CLIENT("each_finds_one_past_a_full_look", 22, t0, t1, t2),
    CLIENT("finds_one_past_a_full_look", 25, t0, t1, t2),
    CLIENT("push_pop_against_both", 12, t0, t1, t2),
    CLIENT("wrap_against_pop", 13, t0, t1),
    CLIENT("look_then_push", 21, t0, t1),
    CLIENT("pushers_against_a_sleeper", 24, t0, t1, t2),
    WRAP("take_asleep_for_a_lap", 23, t0, t1),
    {.name = "record_again_in_its_slot", .setup = setup_again, .check = check_again, .pct = true,
     .pct_depth = 1, .executions = 20000, .thread = {takes_it_once, goes_round}},
    RANDOM("two_producers_two_consumers", 5, t0, t1, t2, t3),
    RANDOM("chains_against_push", 10, t0, t1, t2),
    WRAP("push_asleep_for_laps", 17, t0, t1),
    WRAP("take_asleep_for_laps", 18, t0, t1),
    WRAP("push_asleep_for_laps_and_a_close", 19, t0, t1),
    STALL("producer_stalls", 4, 0, t0, t1),
    STALL("consumer_stalls", 4, 1, t0, t1),
    STALL("both_sides_stalled_one", 2, 0, t0, t1),
    STALL("chain_producer_stalls", 16, 0, t0, t1),
    STALL("closer_stalls", 6, 0, t0, t1),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
