/* SPDX-License-Identifier: MIT
 *
 * bugs_queue.c - two textbook queues with one seeded bug per client: a bounded ring with a sequence number per slot,
 * and a linked stack that is emptied at once. The checker must find every one of them.
 *
 * Threads: any number of producers and consumers.
 * Invariants: what was put comes out exactly once, with its payload.
 * Source: Vyukov's bounded MPMC queue (1024cores.net, 2010); Treiber's stack (IBM RJ 5118, 1986).
 */
#include "base/atomics.h"
#include "model.h"
#include "os/os.h"

enum bug {
    NO_BUG, UNRELEASED_SLOT, UNACQUIRED_SLOT, PLAIN_TICKET, EMPTY_BY_TAIL, RELAXED_CAS, POP_FREES,
    MISSED_WAKE
};

#define SIZE 2u

static struct {
    weir_atomic_u32 seq;
    int payload;
} slot[SIZE];
static weir_atomic_u32 tail, head;
static unsigned put, got, put_failed;
static int sum_put, sum_got;

static bool is(enum bug b)
{
    return model_tag() == (int)b;
}

static bool ring_put(int value)
{
    uint32_t t = atom_load(&tail, memory_order_relaxed);
    for (;;) {
        uint32_t seq = atom_load(&slot[t % SIZE].seq,
                                 is(UNACQUIRED_SLOT) ? memory_order_relaxed : memory_order_acquire);
        if (seq == t) {
            if (is(PLAIN_TICKET)) {
                atom_store(&tail, t + 1, memory_order_relaxed);
                break;
            }
            if (atom_cas_weak(&tail, &t, t + 1, memory_order_relaxed, memory_order_relaxed))
                break;
        } else if ((int32_t)(seq - t) < 0) {
            return false;
        } else {
            t = atom_load(&tail, memory_order_relaxed);
        }
    }
    MODEL_WRITE(slot[t % SIZE].payload, value);
    atom_store(&slot[t % SIZE].seq, t + 1, is(UNRELEASED_SLOT) ? memory_order_relaxed : memory_order_release);
    return true;
}

static bool ring_get(int *value)
{
    uint32_t h = atom_load(&head, memory_order_relaxed);
    for (;;) {
        uint32_t seq = atom_load(&slot[h % SIZE].seq, memory_order_acquire);
        bool there = is(EMPTY_BY_TAIL) ? h != atom_load(&tail, memory_order_relaxed) : seq == h + 1;
        if (there) {
            if (atom_cas_weak(&head, &h, h + 1, memory_order_relaxed, memory_order_relaxed))
                break;
        } else if (is(EMPTY_BY_TAIL) || (int32_t)(seq - (h + 1)) < 0) {
            return false;
        } else {
            h = atom_load(&head, memory_order_relaxed);
        }
    }
    *value = MODEL_READ(slot[h % SIZE].payload);
    atom_store(&slot[h % SIZE].seq, h + SIZE, memory_order_release);
    return true;
}

static void ring_setup(void)
{
    for (uint32_t i = 0; i < SIZE; i++)
        atom_store(&slot[i].seq, i, memory_order_relaxed);
    model_name(&tail, "tail");
    model_name(&head, "head");
}

static void producer(int value)
{
    if (ring_put(value)) {
        put++;
        sum_put += value;
    } else {
        put_failed++;
    }
}

static void consume(void)
{
    int value;
    if (ring_get(&value)) {
        got++;
        sum_got += value;
    }
}

static void put_1(void) { producer(1); }
static void put_2(void) { producer(2); }
static void put_three(void)
{
    producer(4);
    producer(8);
    producer(16);
}
static void get_1(void) { consume(); }

static void ring_check(void)
{
    for (unsigned i = 0; i < 4; i++)
        consume();
    MODEL_ASSERT(got == put && sum_got == sum_put);
}

/* --- a stack of nodes that is emptied at once -------------------------------------------------------------------- */

struct node {
    struct node *next;
    int payload;
};
static weir_atomic_ptr top;
static weir_atomic_u32 sleeping;

static void stack_push(int value)
{
    struct node *n = model_alloc(sizeof *n);
    MODEL_WRITE(n->payload, value);
    void *old = atom_load(&top, memory_order_relaxed);
    do
        MODEL_WRITE(n->next, old);
    while (!atom_cas_weak(&top, &old, n, is(RELAXED_CAS) ? memory_order_relaxed : memory_order_release,
                          memory_order_relaxed));
    put++;
}

static void stack_empty(void)
{
    struct node *n = atom_xchg(&top, NULL, memory_order_acquire);
    while (n != NULL) {
        struct node *next = MODEL_READ(n->next);
        sum_got += MODEL_READ(n->payload);
        got++;
        model_free(n);
        n = next;
    }
}

/* Takes one node, as if nobody else did. */
static void stack_pop_frees(void)
{
    void *n = atom_load(&top, memory_order_acquire);
    if (n == NULL)
        return;
    struct node *node = n;
    struct node *next = MODEL_READ(node->next);
    if (!atom_cas(&top, &n, next, memory_order_acquire, memory_order_relaxed))
        return;
    got++;
    model_free(node);
}

static void push_1(void) { stack_push(1); }
static void push_2(void) { stack_push(2); }
static void empty_1(void) { stack_empty(); }
static void pop_1(void) { stack_pop_frees(); }

static void stack_setup(void)
{
    model_name(&top, "top");
    if (is(POP_FREES)) {
        stack_push(1);
        stack_push(2);
    }
}

static void stack_check(void)
{
    stack_empty();
    MODEL_ASSERT(got == put);
}

/* --- a flag and a futex ------------------------------------------------------------------------------------------ */

static void wake_set(void)
{
    atom_store(&head, 1u, memory_order_relaxed);
    if (!is(MISSED_WAKE))
        atom_fence(memory_order_seq_cst);
    if (atom_load(&sleeping, memory_order_relaxed) != 0) {
        atom_store(&sleeping, 0u, memory_order_relaxed);
        os_futex_wake(&sleeping, 1);
    }
}

static void wake_wait(void)
{
    atom_store(&sleeping, 1u, memory_order_relaxed);
    atom_fence(memory_order_seq_cst);
    while (atom_load(&head, memory_order_relaxed) == 0)
        os_futex_wait(&sleeping, 1, OS_FOREVER);
}

#define RING(client, bug, text, ...) \
    {.name = client, .tag = bug, .setup = ring_setup, .check = ring_check, .expect = text, .spurious_cas = 1, \
     .thread = {__VA_ARGS__}}
#define STACK(client, bug, text, ...) \
    {.name = client, .tag = bug, .setup = stack_setup, .check = stack_check, .expect = text, .spurious_cas = 1, \
     .thread = {__VA_ARGS__}}
static const struct model_client clients[] = {
    RING("ring_correct", NO_BUG, NULL, put_1, get_1, put_2),
    RING("ring_correct_wrap", NO_BUG, NULL, put_three, get_1, get_1),
    STACK("stack_correct", NO_BUG, NULL, push_1, push_2, empty_1),
    {.name = "wake_correct", .thread = {wake_set, wake_wait}, .spurious_wake = 1},
    RING("unreleased_publication", UNRELEASED_SLOT, "data race on payload", put_1, get_1),
    RING("slot_not_acquired", UNACQUIRED_SLOT, "data race on payload", put_three, get_1),
    RING("ticket_without_cas", PLAIN_TICKET, "", put_1, put_2, get_1),
    RING("empty_by_tail", EMPTY_BY_TAIL, "data race on payload", put_1, get_1),
    STACK("relaxed_cas", RELAXED_CAS, "data race", push_1, empty_1),
    STACK("pop_frees_too_early", POP_FREES, "use after free", pop_1, pop_1),
    {.name = "missed_wake", .tag = MISSED_WAKE, .thread = {wake_set, wake_wait}, .expect = "lost wake-up"},
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
