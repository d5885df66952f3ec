/* SPDX-License-Identifier: MIT
 *
 * client_flow.c - whole flows and whole pipelines: a producer, and a worker that runs what there is.
 *
 * Threads: thread 0 makes the flow's tasks, as worker 0 or from outside; thread 1 is worker 1. In the pipeline's
 * clients both are workers. Invariants: who uses a datum sees all that the order of the additions put before; a record
 * is one task at a time; items pass serial stages one at a time and in order.
 */
#include <errno.h>

#include "par/flow_state.h"
#include "par/pipeline.h"
#include "rig.h"

#define HANDLE ((weir_runtime *)(uintptr_t)1) /* of the rig's runtime: only compared */
#define TASKS 6u

static struct runtime *rt;
static weir_flow *flow;
static int datum[2];         /* payload: what the tasks write and read */
static int seen[TASKS];
static weir_atomic_u32 ran;

static void end_nothing(void)
{
    rig_drop(rt);
}

static uint32_t count(void)
{
    return atom_load(&ran, memory_order_relaxed);
}

/* --- tasks of flows ----------------------------------------------------------------------------------------------- */

static int adds_one(weir_worker *w, void *arg)
{
    int *x = arg;
    (void)w;
    MODEL_WRITE(*x, MODEL_READ(*x) + 1);
    atom_add(&ran, 1u, memory_order_relaxed);
    return 0;
}

static int reads(weir_worker *w, void *arg)
{
    (void)w;
    *(int *)arg = MODEL_READ(datum[0]);
    atom_add(&ran, 1u, memory_order_relaxed);
    return 0;
}

static int adds_one_and_fails(weir_worker *w, void *arg)
{
    adds_one(w, arg);
    return -EIO;
}

static int put(weir_node_fn *fn, void *arg, weir_access access, uint64_t deadline)
{
    weir_dep dep = {&datum[0], access};
    return flow_add(flow, rt, fn, arg, &dep, 1, deadline);
}

static void write_one(void)
{
    MODEL_ASSERT(put(adds_one, &datum[0], WEIR_INOUT, WEIR_FOREVER) == 0);
}

static void read_one(int i)
{
    MODEL_ASSERT(put(reads, &seen[i], WEIR_IN, WEIR_FOREVER) == 0);
}

/* --- who makes them, and who runs them ---------------------------------------------------------------------------- */

static void flow_begin(void)
{
    rt = rig_create(2, 4, 4, 0);
}

/* A producer outside; worker 1 takes from the injector until the flow has ended. */
static weir_atomic_u32 over;

static void outside(uint32_t live)
{
    MODEL_ASSERT(flow_create(HANDLE, NULL, live, &flow) == 0);
}

static void server(void)
{
    struct worker *w = rig_worker(rt, 1);
    while (atom_load(&over, memory_order_relaxed) == 0) {
        weir_task *t = worker_take_injected(w);
        if (t == NULL)
            os_relax();
        do
            worker_run_chain(w, t);
        while ((t = deque_pop(&w->dq)) != NULL);
    }
    rig_worker_end();
}

static void thief(void)
{
    struct worker *w = rig_worker(rt, 1);
    weir_task *t = steal_sweep(w, true);
    if (t != NULL)
        worker_run_stolen(w, t);
    rig_worker_end();
}

static void end(int expected)
{
    MODEL_ASSERT(weir_flow_destroy(flow) == expected);
    atom_store(&over, 1u, memory_order_relaxed);
}

/* write, read, write */
static void write_read_write_outside(void)
{
    outside(4);
    write_one();
    read_one(0);
    write_one();
    end(0);
    MODEL_ASSERT(MODEL_READ(datum[0]) == 2 && seen[0] == 1 && count() == 3);
}

/* One record for all: each task uses it again. */
static void one_record_outside(void)
{
    outside(1);
    for (int i = 0; i < 3; i++)
        write_one();
    end(0);
    MODEL_ASSERT(MODEL_READ(datum[0]) == 3);
}

/* Two records, and two tasks that have nothing to do with each other. */
static void two_records_outside(void)
{
    outside(2);
    for (int i = 0; i < 2; i++) {
        weir_dep dep = {&datum[i], WEIR_OUT};
        MODEL_ASSERT(flow_add(flow, rt, adds_one, &datum[i], &dep, 1, WEIR_FOREVER) == 0);
    }
    write_one();
    end(0);
    MODEL_ASSERT(MODEL_READ(datum[0]) == 2 && MODEL_READ(datum[1]) == 1);
}

/* Little time: a record that has come back meanwhile is found, or the task is refused. */
static void impatient_outside(void)
{
    outside(1);
    write_one();
    int r = put(adds_one, &datum[0], WEIR_INOUT, 1000);
    MODEL_ASSERT(r == 0 || r == -ETIMEDOUT);
    if (r != 0)
        write_one();
    end(0);
    MODEL_ASSERT(MODEL_READ(datum[0]) == 2);
}

/* The second task is skipped, or was refused; the datum is the producer's after the wait. */
static void error_outside(void)
{
    outside(2);
    MODEL_ASSERT(put(adds_one_and_fails, &datum[0], WEIR_INOUT, WEIR_FOREVER) == 0);
    int r = put(adds_one, &datum[0], WEIR_INOUT, WEIR_FOREVER);
    MODEL_ASSERT(r == 0 || r == -EIO);
    MODEL_ASSERT(weir_flow_wait(flow) == -EIO);
    MODEL_ASSERT(MODEL_READ(datum[0]) == 1);
    weir_flow_cancel(flow);
    end(-ECANCELED);
}

static void writes_and_reads_on_worker(void)
{
    struct worker *w = rig_worker(rt, 0);
    MODEL_ASSERT(flow_create(HANDLE, w, model_tag() == 0 ? 4 : 2, &flow) == 0);
    write_one();
    read_one(0);
    read_one(1);
    write_one();
    end(0);
    MODEL_ASSERT(MODEL_READ(datum[0]) == 2 && seen[0] == 1 && seen[1] == 1);
    rig_worker_end();
}

/* The second may run where it is added, behind the first that the other worker may have run. */
static void in_place_on_worker(void)
{
    struct worker *w = rig_worker(rt, 0);
    hint_remember(flow_key(adds_one), 1);
    MODEL_ASSERT(flow_create(HANDLE, w, 2, &flow) == 0);
    MODEL_ASSERT(put(adds_one, &datum[0], WEIR_INOUT, 0) == 0);
    write_one();
    write_one();
    end(0);
    MODEL_ASSERT(MODEL_READ(datum[0]) == 3 && count() == 3);
    rig_worker_end();
}

/* --- pipelines ---------------------------------------------------------------------------------------------------- */

static int made, used_in_order; /* payload: of the serial stages */
static int items[TASKS];
static uint64_t items_made;
static int pipe_result;

static int makes(weir_worker *w, void **item, void *arg)
{
    (void)w, (void)arg;
    int n = MODEL_READ(made);
    if (n == model_tag())
        return 1;
    MODEL_WRITE(made, n + 1);
    MODEL_WRITE(items[n], n + 1);
    *item = &items[n];
    return 0;
}

static int passes(weir_worker *w, void **item, void *arg)
{
    (void)w, (void)arg;
    int *x = *item;
    MODEL_WRITE(*x, MODEL_READ(*x) + 10);
    return 0;
}

static int uses(weir_worker *w, void **item, void *arg)
{
    (void)w, (void)arg;
    int n = MODEL_READ(used_in_order);
    MODEL_ASSERT(*item == &items[n] && MODEL_READ(items[n]) == n + 11);
    MODEL_WRITE(used_in_order, n + 1);
    return 0;
}

static int fails_at_once(weir_worker *w, void **item, void *arg)
{
    (void)w, (void)item, (void)arg;
    return -EIO;
}

static void pipe_of(weir_stage_fn *last, weir_stage_kind kind, uint32_t n, uint32_t tokens)
{
    const weir_stage stages[] = {
        {makes, NULL, WEIR_STAGE_SERIAL}, {n == 3 ? passes : last, NULL, n == 3 ? WEIR_STAGE_PARALLEL : kind},
        {last, NULL, kind}};
    struct worker *w = rig_worker(rt, 0);
    pipe_result = pipeline_run(rt, w, stages, n, tokens, &items_made);
    rig_worker_end();
}

static void pipe_parallel_end(void) { pipe_of(passes, WEIR_STAGE_PARALLEL, 2, 2); }
static void pipe_serial_end(void) { pipe_of(uses, WEIR_STAGE_SERIAL, 3, 2); }
static void pipe_fails(void) { pipe_of(fails_at_once, WEIR_STAGE_SERIAL, 3, 2); }

static void pipe_check(void)
{
    MODEL_ASSERT(pipe_result == 0 && (int)items_made == model_tag());
    for (int i = 0; i < model_tag(); i++)
        MODEL_ASSERT(items[i] == i + 11);
    rig_drop(rt);
}

static void pipe_fails_check(void)
{
    MODEL_ASSERT(pipe_result == -EIO && (int)items_made <= model_tag());
    rig_drop(rt);
}

#define RANDOM(client, n, most, prepare, finish, ...) {.name = client, .tag = n, .setup = prepare, .check = finish, \
    .leaks_ok = true, .pct = true, .executions = most, .spurious_cas = 1, .spurious_wake = 1, .timeouts = 1, \
    .thread = {__VA_ARGS__}}
static const struct model_client clients[] = {
    RANDOM("write_read_write_outside", 3, 3000, flow_begin, end_nothing, write_read_write_outside, server),
    RANDOM("one_record_outside", 3, 3000, flow_begin, end_nothing, one_record_outside, server),
    RANDOM("two_records_outside", 3, 3000, flow_begin, end_nothing, two_records_outside, server),
    RANDOM("impatient_outside", 2, 3000, flow_begin, end_nothing, impatient_outside, server),
    RANDOM("error_outside", 1, 3000, flow_begin, end_nothing, error_outside, server),
    RANDOM("readers_between_writers", 0, 5000, flow_begin, end_nothing, writes_and_reads_on_worker, thief),
    RANDOM("readers_between_writers_two_records", 1, 5000, flow_begin, end_nothing, writes_and_reads_on_worker, thief),
    RANDOM("in_place_behind_another_worker", 0, 5000, flow_begin, end_nothing, in_place_on_worker, thief),
    RANDOM("pipe_parallel_end", 4, 5000, flow_begin, pipe_check, pipe_parallel_end, thief),
    RANDOM("pipe_serial_end", 3, 5000, flow_begin, pipe_check, pipe_serial_end, thief),
    RANDOM("pipe_fails", 3, 3000, flow_begin, pipe_fails_check, pipe_fails, thief),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
