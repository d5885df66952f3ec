/* SPDX-License-Identifier: MIT
 *
 * client_graph.c - the protocols of graphs, semaphores, pipelines and dataflow, each in its smallest client.
 *
 * Threads: client threads stand for workers. Invariants: what is released is released once, with all that led to it.
 */
#include "model.h"
#include "os/os.h"
#include "par/dataflow.h"
#include "par/pipeline.h"
#include "par/semaphore.h"

static int payload[3], entered[3];

/* --- semaphores ------------------------------------------------------------------------------------------------- */

static weir_semaphores *set;
static struct permit permit[3];
static int inside; /* of who holds the only permit: a second one would be a race */

static void take_part(struct permit *out);

/* The owner of a permit runs: granted, it works and gives back; returned, it is done. */
static void resume(struct permit *p)
{
    if (p->returns) {
        entered[p - permit]++;
        return;
    }
    MODEL_WRITE(inside, MODEL_READ(inside) + 1);
    take_part(semaphore_return(set, p));
}

static void take_part(struct permit *out)
{
    while (out != NULL) {
        struct permit *next = out->next;
        resume(out);
        out = next;
    }
}

static void semaphore_setup(void)
{
    uint32_t one[] = {1, 1};
    MODEL_ASSERT(weir_semaphores_create((weir_runtime *)(uintptr_t)1, one, 2, &set) == 0);
    model_name(&set->inbox, "inbox");
}

static void wants(int i, uint64_t bits)
{
    permit[i].wants = bits;
    take_part(semaphore_ask(set, &permit[i]));
}

static void wants_first(void) { wants(0, 1); }
static void wants_both(void) { wants(1, 3); }
static void wants_first_too(void) { wants(2, 1); }

static void semaphore_check(void)
{
    for (int i = 0; i < model_tag(); i++)
        MODEL_ASSERT(entered[i] == 1);
    MODEL_ASSERT(inside == model_tag());
    MODEL_ASSERT(set->s[0].free == 1 && set->s[1].free == 1 && atom_load(&set->inbox, memory_order_relaxed) == NULL);
    MODEL_ASSERT(weir_semaphores_destroy(set) == 0);
}

/* --- a gate of a pipeline --------------------------------------------------------------------------------------- */

static weir_atomic_ptr gate;
static int item, stage_state;

static void stage(void)
{
    MODEL_ASSERT(MODEL_READ(item) == 1 && MODEL_READ(stage_state) == 2);
    entered[0]++;
}

static void item_comes(void)
{
    MODEL_WRITE(item, 1);
    if (gate_item_comes(&gate, &item))
        stage();
}

static void turn_comes(void)
{
    MODEL_WRITE(stage_state, 2);
    if (gate_turn_comes(&gate) != NULL)
        stage();
}

static void gate_check(void)
{
    MODEL_ASSERT(entered[0] == 1 && atom_load(&gate, memory_order_relaxed) == NULL);
}

/* --- the gates of a pipeline's first stage ------------------------------------------------------------------------ */

/* Two tokens go round: each enters by its number's gate, which the one after the next number uses again. */
static weir_atomic_ptr ring[2];
static weir_atomic_u64 numbers;
static uint64_t number_of[2]; /* of each token */

static void ring_setup(void)
{
    atom_store(&ring[0], GATE_TURN, memory_order_relaxed);
    atom_store(&numbers, UINT64_C(2), memory_order_relaxed);
    number_of[1] = 1;
    model_name(&ring[0], "gate0");
    model_name(&ring[1], "gate1");
    model_name(&numbers, "numbers");
}

static void goes_through(uint64_t *token);

static void comes(uint64_t *token)
{
    if (*token < (uint64_t)model_tag() && gate_item_comes(&ring[*token % 2], token))
        goes_through(token);
}

/* The token has its turn. Then it comes again, and the one that waited for the next turn goes on. */
static void goes_through(uint64_t *token)
{
    MODEL_ASSERT(MODEL_READ(stage_state) == (int)*token);
    MODEL_WRITE(stage_state, (int)*token + 1);
    uint64_t *next = gate_turn_comes(&ring[(*token + 1) % 2]);
    *token = gate_next_number(&numbers);
    comes(token);
    if (next != NULL)
        goes_through(next);
}

static void token0(void) { comes(&number_of[0]); }
static void token1(void) { comes(&number_of[1]); }

static void ring_check(void)
{
    MODEL_ASSERT(stage_state == model_tag());
}

/* --- dataflow links --------------------------------------------------------------------------------------------- */

/* Two tasks, and one behind both of them. */
static struct flow_task before[2], after, another;
static struct flow_edge edges[2];

static void flow_setup(void)
{
    weir_continuation_init(&after.task, NULL, 2);
}

static void successor_runs(void)
{
    MODEL_ASSERT(MODEL_READ(payload[0]) == 1 && MODEL_READ(payload[1]) == 1);
    entered[0]++;
}

static void producer(void)
{
    for (int i = 0; i < 2; i++)
        edges[i].task = &before[i];
    MODEL_WRITE(payload[2], 1); /* stands for the edges */
    if (flow_join_all(&after, edges, 2))
        successor_runs();
}

static void finish(int i)
{
    MODEL_WRITE(payload[i], 1);
    flow_link list = flow_close(&before[i]);
    if (list != 0)
        MODEL_ASSERT(MODEL_READ(payload[2]) == 1);
    while (list != 0)
        if (flow_release(&flow_next(&list)->task) != NULL)
            successor_runs();
}

/* Two tasks with one predecessor, each with its own edge. */
static void own_edges_setup(void)
{
    weir_continuation_init(&after.task, NULL, 1);
    weir_continuation_init(&another.task, NULL, 1);
    MODEL_WRITE(payload[1], 1); /* of a predecessor that there is not */
}

static void own_edges_producer(void)
{
    MODEL_WRITE(payload[2], 1);
    after.edge = another.edge = (uintptr_t)&before[0];
    if (flow_join_all(&after, NULL, 1))
        successor_runs();
    if (flow_join_all(&another, NULL, 1))
        successor_runs();
}

static void own_edges_check(void)
{
    MODEL_ASSERT(entered[0] == 2);
}

static void finisher(void) { finish(0); }
static void finisher_too(void) { finish(1); }

static void flow_check(void)
{
    MODEL_ASSERT(entered[0] == 1);
}

#define CLIENT(client, n, prepare, end, ...) {.name = client, .tag = n, .setup = prepare, .check = end, \
                                              .thread = {__VA_ARGS__}, .spurious_cas = 1}
static const struct model_client clients[] = {
    CLIENT("semaphore_two", 2, semaphore_setup, semaphore_check, wants_first, wants_both),
    CLIENT("semaphore_three", 3, semaphore_setup, semaphore_check, wants_first, wants_both, wants_first_too),
    CLIENT("gate", 0, NULL, gate_check, item_comes, turn_comes),
    CLIENT("gates_used_again", 5, ring_setup, ring_check, token0, token1),
    CLIENT("flow_link_against_close", 0, flow_setup, flow_check, producer, finisher, finisher_too),
    CLIENT("flow_own_edges_against_close", 0, own_edges_setup, own_edges_check, own_edges_producer, finisher),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
