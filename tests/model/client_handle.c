/* SPDX-License-Identifier: MIT
 *
 * client_handle.c - handles: callers inside against a closer, a closer that gives up, the entry used again at once.
 *
 * Threads: callers, a closer, an opener.
 * Invariants: a caller that was let in reads a runtime that is there and complete; one at a time stops it.
 */
#include <errno.h>

#include "api/handle.h"
#include "model.h"
#include "os/os.h"

static weir_runtime *handle;
static struct runtime *first;
static uint32_t first_index;
static unsigned closed;
static weir_atomic_ptr second; /* a handle that is opened meanwhile */
static bool second_closed;

/* Asked for by handle_after_fork(), which no client calls. */
void worker_set_self(struct worker *w)
{
    (void)w;
}

static struct runtime *runtime_new(uint32_t count)
{
    struct runtime *rt = os_alloc(sizeof *rt, LINE_PAIR);
    MODEL_WRITE(rt->count, count);
    MODEL_WRITE(rt->guests, 0);
    return rt;
}

static void setup(void)
{
    first = runtime_new(1);
    MODEL_ASSERT(handle_reserve(&first_index) == 0);
    handle = handle_open(first_index, first);
}

/* Uses the runtime if it is let in; writes as a submit would, ordered with nobody but the closer. */
static void caller(void)
{
    struct runtime *rt = NULL;
    int r = handle_enter(handle, &rt);
    MODEL_ASSERT(r == 0 || r == -ESHUTDOWN);
    if (r != 0)
        return;
    MODEL_ASSERT(rt == first && MODEL_READ(rt->count) == 1);
    MODEL_WRITE(rt->guests, MODEL_READ(rt->guests) + 1);
    handle_leave(handle);
}

/* Another, which writes elsewhere. */
static void other_caller(void)
{
    struct runtime *rt = NULL;
    if (handle_enter(handle, &rt) != 0)
        return;
    MODEL_WRITE(rt->domains, 1);
    handle_leave(handle);
}

static void third_caller(void)
{
    struct runtime *rt = NULL;
    if (handle_enter(handle, &rt) != 0)
        return;
    MODEL_WRITE(rt->cpus, 1);
    handle_leave(handle);
}

/* Inside twice: what it does between the two ends is done inside, too. */
static void nested_caller(void)
{
    struct runtime *rt = NULL, *again = NULL;
    if (handle_enter(handle, &rt) != 0)
        return;
    if (handle_enter(handle, &again) == 0) {
        MODEL_WRITE(again->guests, 2);
        handle_leave(handle);
    }
    MODEL_WRITE(rt->domains, 2);
    handle_leave(handle);
}

static void closer(void)
{
    struct runtime *rt = NULL;
    if (handle_enter_to_stop(handle, &rt) != 0)
        return;
    if (!handle_begin_stop(handle)) {
        handle_leave(handle);
        return;
    }
    MODEL_ASSERT(handle_close(handle, OS_FOREVER) == 0);
    MODEL_WRITE(rt->guests, 0);
    os_free(rt, sizeof *rt);
    closed++;
}

/* Gives up at a deadline; the handle is then as it was, and somebody else may stop the runtime. */
static void closer_deadline(void)
{
    struct runtime *rt = NULL;
    if (handle_enter_to_stop(handle, &rt) != 0)
        return;
    if (!handle_begin_stop(handle)) {
        handle_leave(handle);
        return;
    }
    if (handle_close(handle, 5000) == 0) {
        MODEL_WRITE(rt->guests, 0);
        os_free(rt, sizeof *rt);
        closed++;
        return;
    }
    MODEL_WRITE(rt->handle, MODEL_READ(rt->handle)); /* as a stopper might: ordered with the next one only */
    handle_end_stop(handle);
    handle_leave(handle);
}

/* Opens another runtime, in the same entry as soon as that is free. */
static void opener(void)
{
    uint32_t index = 0;
    struct runtime *rt = runtime_new(2);
    MODEL_ASSERT(handle_reserve(&index) == 0);
    weir_runtime *h = handle_open(index, rt);
    MODEL_ASSERT(h != handle);
    atom_store(&second, h, memory_order_relaxed);
}

/* Finds the second runtime by its handle alone: the handle carries no order. */
static void second_caller(void)
{
    struct runtime *rt = NULL;
    weir_runtime *h = atom_load(&second, memory_order_relaxed);
    if (h == NULL || handle_enter(h, &rt) != 0)
        return;
    MODEL_ASSERT(MODEL_READ(rt->count) == 2);
    handle_leave(h);
}

/* Gives up closing the second runtime, found by its handle alone. */
static void second_closer_deadline(void)
{
    struct runtime *rt = NULL;
    weir_runtime *h = atom_load(&second, memory_order_relaxed);
    if (h == NULL || handle_enter_to_stop(h, &rt) != 0)
        return;
    MODEL_ASSERT(handle_begin_stop(h));
    if (handle_close(h, 5000) != 0) {
        handle_end_stop(h);
        handle_leave(h);
        return;
    }
    os_free(rt, sizeof *rt);
    second_closed = true;
}

/* All entries but one are taken: a reservation finds that one. */
static void setup_almost_full(void)
{
    uint32_t index;
    for (unsigned i = 0; i < WEIR_RUNTIMES_MAX - 1; i++)
        MODEL_ASSERT(handle_reserve(&index) == 0);
}

static void reserver(void)
{
    uint32_t index;
    MODEL_ASSERT(handle_reserve(&index) == 0);
    handle_unreserve(index);
}

static void check_closed(void)
{
    MODEL_ASSERT(closed == 1);
}

static void check_second(void)
{
    struct runtime *rt = NULL;
    weir_runtime *h = atom_load(&second, memory_order_relaxed);
    MODEL_ASSERT(handle_enter_to_stop(h, &rt) == 0);
    MODEL_ASSERT(handle_close(h, OS_FOREVER) == 0);
    os_free(rt, sizeof *rt);
    check_closed();
}

static void check_second_given_up(void)
{
    struct runtime *rt = NULL;
    weir_runtime *h = atom_load(&second, memory_order_relaxed);
    closer();
    if (second_closed)
        return;
    MODEL_ASSERT(handle_enter_to_stop(h, &rt) == 0);
    MODEL_ASSERT(handle_close(h, OS_FOREVER) == 0);
    os_free(rt, sizeof *rt);
}

static void check_any(void)
{
    if (closed == 0)
        closer();
    check_closed();
}

#define CLIENT(client, end, ...) {.name = client, .setup = setup, .check = end, .thread = {__VA_ARGS__}, .timeouts = 1}
/* Where there is no asymmetric fence all callers are counted, and the closer passes no fence. */
#define COUNTED(client, end, ...) {.name = client, .setup = setup, .check = end, .thread = {__VA_ARGS__}, \
                                   .timeouts = 1, .no_membarrier = true}
static const struct model_client clients[] = {
    CLIENT("call_against_close", check_closed, caller, closer),
    CLIENT("two_calls_against_close", check_closed, caller, other_caller, closer),
    CLIENT("call_without_a_visitor", check_closed, caller, other_caller, third_caller, closer),
    CLIENT("nested_call_against_close", check_closed, nested_caller, closer),
    CLIENT("two_closers", check_closed, closer, closer),
    CLIENT("call_against_two_closers", check_closed, caller, closer, closer),
    CLIENT("close_gives_up", check_any, caller, closer_deadline, closer),
    CLIENT("entry_used_again", check_second, closer, opener),
    CLIENT("entry_used_again_against_call", check_second, closer, opener, caller),
    CLIENT("call_by_a_handle_from_nowhere", check_second, closer, opener, second_caller),
    CLIENT("close_from_nowhere_gives_up", check_second_given_up, opener, second_closer_deadline, second_caller),
    CLIENT("visitor_used_again", check_closed, nested_caller, third_caller, closer),
    COUNTED("counted_call_against_close", check_closed, caller, closer),
    COUNTED("counted_entry_used_again", check_second, closer, opener),
    COUNTED("counted_call_from_nowhere", check_second, closer, opener, second_caller),
    COUNTED("counted_close_from_nowhere_gives_up", check_second_given_up, opener, second_closer_deadline,
            second_caller),
    {.name = "only_one_entry_is_free", .setup = setup_almost_full, .thread = {reserver}},
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
