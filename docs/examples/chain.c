/* SPDX-License-Identifier: MIT
 *
 * chain - continuations: three steps that fan out, meet in a continuation, and go round by returning the next task.
 *
 * Each round, PARTS tasks add up a part of an array; their continuation runs after the last of them, on the worker that
 * ran it, and starts the next round by returning a task. ROUNDS rounds need neither stack nor memory.
 */
#include <weir/weir.h>

#include <stddef.h>
#include <stdio.h>

#define PARTS 8u
#define ROUNDS 10000u
#define CELLS 64u

struct part {
    weir_task task; /* the first member, so that a task pointer is a part pointer */
    unsigned first;
    unsigned long sum;
};

static struct {
    weir_task start, meet;
    struct part parts[PARTS];
    unsigned long cells[PARTS * CELLS];
    unsigned round;
    unsigned long total;
    weir_latch finished;
} app;

static weir_task *part_run(weir_worker *w, weir_task *self)
{
    (void)w;
    struct part *p = (struct part *)self;
    p->sum = 0;
    for (unsigned i = 0; i < CELLS; i++)
        p->sum += app.cells[p->first + i]++;
    return NULL; /* pays one completion of app.meet */
}

static weir_task *meet(weir_worker *w, weir_task *self)
{
    (void)w;
    (void)self;
    for (unsigned i = 0; i < PARTS; i++)
        app.total += app.parts[i].sum;
    if (++app.round < ROUNDS)
        return &app.start; /* a tail call: runs next on this worker */
    weir_latch_arrive(&app.finished, 1);
    return NULL;
}

static weir_task *start(weir_worker *w, weir_task *self)
{
    (void)self;
    weir_task_init(&app.start, start); /* for the next round */
    weir_continuation_init(&app.meet, meet, PARTS);
    for (unsigned i = 0; i < PARTS; i++) {
        struct part *p = &app.parts[i];
        p->first = i * CELLS;
        weir_task_init(&p->task, part_run);
        weir_task_then(&p->task, &app.meet);
        if (i > 0)
            weir_spawn(w, &p->task);
    }
    return &app.parts[0].task;
}

int main(void)
{
    weir_runtime *rt;
    if (weir_start(&rt, NULL) < 0 || weir_latch_init(&app.finished, 1) < 0)
        return 1;
    weir_task_init(&app.start, start);
    if (weir_submit(rt, &app.start, WEIR_BLOCK, 0) < 0 || weir_latch_wait(&app.finished, WEIR_FOREVER) < 0)
        return 1;
    if (weir_stop(rt, WEIR_DRAIN, WEIR_FOREVER) < 0)
        return 1;
    /* Every cell was 0 in round 0, 1 in round 1, and so on. */
    unsigned long expected = (unsigned long)PARTS * CELLS * ROUNDS * (ROUNDS - 1) / 2;
    printf("%u rounds, total %lu\n", app.round, app.total);
    return app.round != ROUNDS || app.total != expected;
}
