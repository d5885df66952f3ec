/* SPDX-License-Identifier: MIT
 *
 * test_flow_pace.c - what must hold for tasks of a flow that run where they are added.
 *
 * Threads: all on the only worker of a runtime, so a task that has run when its addition returns has run in place.
 */
#include "../integration/graph_support.h"

#include "par/flow_state.h"

#define NS_SHORT UINT64_C(1) /* believed of a function: in place */
#define NS_LONG NS_PER_MS    /* queued */

TestSuite(flow_pace, .timeout = 100);

static weir_atomic_u32 ran, done;
static weir_flow *flow;

static int steps(weir_worker *w, void *arg)
{
    (void)w, (void)arg;
    add(&ran, 1);
    return 0;
}

static void believe(weir_node_fn *fn, uint64_t ns)
{
    hint_remember(flow_key(fn), ns * HINT_PS_PER_NS);
}

static void put(weir_node_fn *fn, const void *address, weir_access access, uint64_t deadline)
{
    weir_dep dep = {address, access};
    OK(weir_flow_add(flow, fn, NULL, &dep, 1, deadline));
}

/* The same for a function that is known to be short, whatever the clock has said until now. */
static void put_short(weir_node_fn *fn, const void *address, weir_access access, uint64_t deadline)
{
    believe(fn, NS_SHORT);
    flow->pace = (struct flow_pace){0};
    put(fn, address, access, deadline);
}

static void on_worker(void (*body)(weir_worker *w, void *arg))
{
    weir_runtime *rt = start(1);
    call(rt, body, NULL);
    stop(rt);
    cr_assert_eq(get(&done), 1);
}

static void begin(weir_worker *w)
{
    OK(weir_flow_create(weir_worker_runtime(w), 0, &flow));
}

static void end(uint32_t expect)
{
    OK(weir_flow_destroy(flow));
    cr_assert_eq(get(&ran), expect);
    set(&done, 1);
}

static void adds_short(weir_worker *w, void *arg)
{
    char x, y;
    (void)arg;
    begin(w);
    put_short(steps, &x, WEIR_INOUT, WEIR_FOREVER);
    cr_assert_eq(get(&ran), 1);
    put_short(steps, &x, WEIR_INOUT, 0);
    cr_assert_eq(get(&ran), 1, "deadline 0: nothing runs within");
    put_short(steps, &x, WEIR_IN, WEIR_FOREVER);
    cr_assert_eq(get(&ran), 1, "its predecessor has not run");
    put_short(steps, &y, WEIR_INOUT, WEIR_FOREVER);
    cr_assert_eq(get(&ran), 2, "it has no predecessor");
    OK(weir_flow_wait(flow));
    cr_assert_eq(get(&ran), 4);
    put_short(steps, &x, WEIR_INOUT, WEIR_FOREVER);
    cr_assert_eq(get(&ran), 5, "all predecessors have ended");
    end(5);
}

Test(flow_pace, a_short_task_has_run_when_its_addition_returns_unless_it_must_wait)
{
    on_worker(adds_short);
}

static void adds_behind_readers(weir_worker *w, void *arg)
{
    char x;
    (void)arg;
    begin(w);
    for (int i = 0; i < 20; i++)
        put_short(steps, &x, WEIR_IN, 0);
    put_short(steps, &x, WEIR_IN, WEIR_FOREVER);
    cr_assert_eq(get(&ran), 1, "readers don't wait for readers");
    put_short(steps, &x, WEIR_OUT, WEIR_FOREVER);
    cr_assert_eq(get(&ran), 1, "a writer does");
    put_short(steps, &x, WEIR_IN, WEIR_FOREVER);
    cr_assert_eq(get(&ran), 1, "they wait for the writer");
    OK(weir_flow_wait(flow));
    for (int i = 0; i < 20; i++)
        put_short(steps, &x, WEIR_IN, 0);
    OK(weir_flow_wait(flow));
    put_short(steps, &x, WEIR_OUT, WEIR_FOREVER);
    cr_assert_eq(get(&ran), 44, "all readers have ended");
    end(44);
}

Test(flow_pace, a_writer_waits_for_readers_that_have_not_ended)
{
    on_worker(adds_behind_readers);
}

static void adds_unknown_and_long(weir_worker *w, void *arg)
{
    char x;
    (void)arg;
    begin(w);
    put(steps, &x, WEIR_INOUT, WEIR_FOREVER);
    cr_assert_eq(get(&ran), 0, "not known");
    OK(weir_flow_wait(flow));
    believe(steps, NS_LONG);
    put(steps, &x, WEIR_INOUT, WEIR_FOREVER);
    cr_assert_eq(get(&ran), 1, "known to be long");
    end(2);
}

Test(flow_pace, tasks_that_are_long_or_not_known_are_queued)
{
    on_worker(adds_unknown_and_long);
}

static int sleeps(weir_worker *w, void *arg)
{
    usleep(1000);
    return steps(w, arg);
}

static void adds_what_has_become_dear(weir_worker *w, void *arg)
{
    char x[3 * PLACE_BATCH];
    (void)arg;
    begin(w);
    believe(sleeps, NS_SHORT);
    for (uint32_t i = 0; i < sizeof x; i++)
        put(sleeps, &x[i], WEIR_OUT, WEIR_FOREVER);
    cr_assert_eq(get(&ran), PLACE_BATCH);
    end(sizeof x);
}

Test(flow_pace, tasks_that_have_become_long_are_queued_after_one_batch)
{
    on_worker(adds_what_has_become_dear);
}

static void learns(weir_worker *w, void *arg)
{
    char x;
    (void)arg;
    begin(w);
    for (uint32_t i = 0; i < 2 * TIMED_CALLS; i++)
        put(sleeps, &x, WEIR_OUT, 0);
    OK(weir_flow_wait(flow));
    cr_assert_geq(hint_cost(flow_key(sleeps)), NS_PER_MS * HINT_PS_PER_NS);
    end(2 * TIMED_CALLS);
}

Test(flow_pace, queued_tasks_tell_how_long_their_function_takes)
{
    on_worker(learns);
}

static void adds_what_fails(weir_worker *w, void *arg)
{
    weir_dep x = {&ran, WEIR_OUT};
    (void)arg;
    begin(w);
    put_short(fails, &ran, WEIR_OUT, WEIR_FOREVER);
    cr_assert_eq(weir_flow_add(flow, steps, NULL, &x, 1, WEIR_FOREVER), -EIO);
    cr_assert_eq(weir_flow_wait(flow), -EIO);
    end(0);
}

Test(flow_pace, an_error_in_place_ends_the_flow)
{
    on_worker(adds_what_fails);
}

static int forgets_that_it_blocks(weir_worker *w, void *arg)
{
    (void)weir_block_begin(w);
    return steps(w, arg);
}

static int has_a_flow_of_its_own(weir_worker *w, void *arg)
{
    weir_flow *inner;
    weir_dep x = {&inner, WEIR_INOUT};
    uint32_t before = get(&ran);
    (void)arg;
    OK(weir_flow_create(weir_worker_runtime(w), 0, &inner));
    believe(steps, NS_SHORT);
    OK(weir_flow_add(inner, steps, NULL, &x, 1, WEIR_FOREVER));
    cr_assert_eq(get(&ran), before + 1, "in place, too");
    cr_assert_eq(weir_flow_add(flow, steps, NULL, NULL, 0, WEIR_FOREVER), -EINVAL, "it runs within that one's call");
    return weir_flow_destroy(inner);
}

static void adds_strange_ones(weir_worker *w, void *arg)
{
    char x;
    (void)arg;
    begin(w);
    put_short(forgets_that_it_blocks, &x, WEIR_OUT, WEIR_FOREVER);
    cr_assert_eq(weir_block_end(w), -EINVAL, "the flow has ended it");
    put_short(has_a_flow_of_its_own, &x, WEIR_OUT, WEIR_FOREVER);
    end(2);
}

Test(flow_pace, a_task_in_place_may_block_and_may_have_a_flow)
{
    on_worker(adds_strange_ones);
}
