/* SPDX-License-Identifier: MIT
 *
 * bugs_deque.c - a textbook Chase-Lev deque with one seeded bug per client; the checker must find every one of them.
 *
 * Threads: thread 0 owns the deque, the others steal.
 * Invariants: each task is taken exactly once, and its payload is visible to the taker.
 * Source: Le, Pop, Cohen, Zappa Nardelli, PPoPP 2013.
 */
#include <stddef.h>

#include "base/atomics.h"
#include "model.h"

enum bug {
    NO_BUG, NO_POP_FENCE, NO_STEAL_FENCE, UNRELEASED, UNDERFLOW, FREED_ON_GROW, NARROW_INDEX, RELAXED_LAST, PLAIN_TOP,
    STEAL_NO_ACQUIRE, STALE_BUFFER
};

struct array {
    uint64_t size;
    weir_atomic_u64 slot[];
};

static struct {
    weir_atomic_u64 top, bottom;
    weir_atomic_ptr array;
    struct array *retired[4];
    unsigned nretired;
} d;

static int payload[8];
static unsigned taken[8];

static bool is(enum bug b)
{
    return model_tag() == (int)b;
}

/* Indices wrap after 64 bits, or after 2 where that is the bug. */
static uint64_t narrow(uint64_t i)
{
    return is(NARROW_INDEX) ? i & 3u : i;
}

static struct array *array_new(uint64_t size)
{
    struct array *a = model_alloc(sizeof *a + size * sizeof a->slot[0]);
    a->size = size;
    return a;
}

static struct array *array(int order)
{
    return atom_load(&d.array, order);
}

static struct array *grow(struct array *old, uint64_t t, uint64_t b)
{
    struct array *a = array_new(old->size * 2);
    for (uint64_t i = t; i != b; i++)
        atom_store(&a->slot[i % a->size], atom_load(&old->slot[i % old->size], memory_order_relaxed),
                   memory_order_relaxed);
    atom_store(&d.array, a, is(STALE_BUFFER) ? memory_order_relaxed : memory_order_release);
    if (is(FREED_ON_GROW))
        model_free(old);
    else
        d.retired[d.nretired++] = old;
    return a;
}

static void push(unsigned task)
{
    MODEL_WRITE(payload[task], 1);
    uint64_t b = atom_load(&d.bottom, memory_order_relaxed);
    uint64_t t = atom_load(&d.top, memory_order_acquire);
    struct array *a = array(memory_order_relaxed);
    if (narrow(b - t) + 1 > a->size)
        a = grow(a, t, b);
    atom_store(&a->slot[b % a->size], task, memory_order_relaxed);
    if (!is(UNRELEASED))
        atom_fence(memory_order_release);
    atom_store(&d.bottom, narrow(b + 1), memory_order_relaxed);
}

static void run(uint64_t task)
{
    MODEL_ASSERT(task < 8);
    MODEL_ASSERT(MODEL_READ(payload[task]) == 1);
    taken[task]++;
}

static bool pop(void)
{
    uint64_t b = narrow(atom_load(&d.bottom, memory_order_relaxed) - 1);
    struct array *a = array(memory_order_relaxed);
    atom_store(&d.bottom, b, memory_order_relaxed);
    if (!is(NO_POP_FENCE))
        atom_fence(memory_order_seq_cst);
    uint64_t t = atom_load(&d.top, memory_order_relaxed);
    bool some = is(UNDERFLOW) ? t <= b : is(NARROW_INDEX) ? narrow(b - t) < 3 : (int64_t)(b - t) >= 0;
    if (!some) {
        atom_store(&d.bottom, narrow(b + 1), memory_order_relaxed);
        return false;
    }
    uint64_t task = atom_load(&a->slot[b % a->size], memory_order_relaxed);
    if (t == b) {
        bool mine = true;
        if (is(PLAIN_TOP))
            atom_store(&d.top, t + 1, memory_order_relaxed);
        else if (!is(RELAXED_LAST))
            mine = atom_cas(&d.top, &t, narrow(t + 1), memory_order_seq_cst, memory_order_relaxed);
        atom_store(&d.bottom, narrow(b + 1), memory_order_relaxed);
        if (!mine)
            return false;
    }
    run(task);
    return true;
}

static bool steal(void)
{
    uint64_t t = atom_load(&d.top, memory_order_acquire);
    if (!is(NO_STEAL_FENCE))
        atom_fence(memory_order_seq_cst);
    uint64_t b = atom_load(&d.bottom, is(STEAL_NO_ACQUIRE) ? memory_order_relaxed : memory_order_acquire);
    if (is(NARROW_INDEX) ? narrow(b - t) == 0 || narrow(b - t) == 3 : (int64_t)(b - t) <= 0)
        return false;
    struct array *a = array(memory_order_acquire);
    uint64_t task = atom_load(&a->slot[t % a->size], memory_order_relaxed);
    if (!atom_cas(&d.top, &t, narrow(t + 1), memory_order_seq_cst, memory_order_relaxed))
        return false;
    run(task);
    return true;
}

static void setup(void)
{
    model_name(&d.top, "top");
    model_name(&d.bottom, "bottom");
    model_name(&d.array, "array");
    atom_store(&d.array, array_new(2), memory_order_relaxed);
}

static unsigned pushed;

/* Empties the deque at the end; then each task was taken once. */
static void check(void)
{
    while (pop()) { }
    for (unsigned i = 0; i < 8; i++)
        MODEL_ASSERT(taken[i] == (i < pushed));
    for (unsigned i = 0; i < d.nretired; i++)
        model_free(d.retired[i]);
    model_free(array(memory_order_relaxed));
}

static void push_next(void)
{
    push(pushed);
    pushed++;
}

static void owner_2p2(void) { push_next(); push_next(); pop(); pop(); }
static void owner_empty(void) { pop(); push_next(); pop(); }
static void owner_grow(void) { push_next(); push_next(); push_next(); pop(); }
static void owner_wrap(void)
{
    for (unsigned i = 0; i < 4; i++) {
        push_next();
        pop();
    }
    push_next();
}
static void thief_1(void) { steal(); }
static void thief_2(void) { steal(); steal(); }

#define CLIENT(client, bug, owner, thief, text) \
    {.name = client, .tag = bug, .setup = setup, .thread = {owner, thief}, .check = check, .expect = text}
static const struct model_client clients[] = {
    CLIENT("correct", NO_BUG, owner_2p2, thief_2, NULL),
    CLIENT("correct_empty", NO_BUG, owner_empty, thief_2, NULL),
    CLIENT("correct_grow", NO_BUG, owner_grow, thief_2, NULL),
    CLIENT("correct_wrap", NO_BUG, owner_wrap, thief_1, NULL),
    {.name = "correct_two_thieves", .setup = setup, .thread = {owner_2p2, thief_1, thief_1}, .check = check},
    CLIENT("no_fence_in_pop", NO_POP_FENCE, owner_2p2, thief_2, "taken[i] =="),
    CLIENT("no_fence_in_steal", NO_STEAL_FENCE, owner_2p2, thief_2, "taken[i] =="),
    CLIENT("unreleased_publication", UNRELEASED, owner_2p2, thief_1, "data race on payload"),
    CLIENT("steal_without_acquire", STEAL_NO_ACQUIRE, owner_2p2, thief_1, "data race on payload"),
    CLIENT("unsigned_underflow", UNDERFLOW, owner_empty, thief_1, "assertion failed"),
    CLIENT("slot_freed_on_grow", FREED_ON_GROW, owner_grow, thief_1, "use after free"),
    CLIENT("stale_buffer", STALE_BUFFER, owner_grow, thief_2, "has not happened yet"),
    CLIENT("narrow_index_wraps", NARROW_INDEX, owner_wrap, thief_1, "taken[i] =="),
    CLIENT("last_without_cas", RELAXED_LAST, owner_2p2, thief_2, "taken[i] =="),
    CLIENT("last_with_plain_store", PLAIN_TOP, owner_2p2, thief_2, "taken[i] =="),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
