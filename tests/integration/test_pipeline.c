/* SPDX-License-Identifier: MIT
 *
 * test_pipeline.c - what must hold for pipelines: order, bounded tokens, errors, ends.
 */
#include "graph_support.h"

TestSuite(pipeline, .timeout = 100);

#define ITEMS 3000u

static struct {
    uint32_t made, out;
    uint32_t order[ITEMS];
    weir_atomic_u32 in_flight, most, in_serial, wrong;
} line;

static int make_item(weir_worker *w, void **item, void *arg)
{
    (void)w;
    if (line.made == (uint32_t)(uintptr_t)arg)
        return 1;
    uint32_t n = add(&line.in_flight, 1);
    if (n > get(&line.most))
        set(&line.most, n);
    *item = (void *)(uintptr_t)(line.made++ * 2);
    return 0;
}

static int halve(weir_worker *w, void **item, void *arg)
{
    (void)w, (void)arg;
    for (volatile unsigned i = 0; i < ((uintptr_t)*item * 7919) % 3000; i++)
        ;
    *item = (void *)((uintptr_t)*item / 2);
    return 0;
}

static int check_alone(weir_worker *w, void **item, void *arg)
{
    (void)w, (void)item, (void)arg;
    if (add(&line.in_serial, 1) != 1)
        add(&line.wrong, 1);
    add(&line.in_serial, UINT32_MAX);
    return 0;
}

static int put_item(weir_worker *w, void **item, void *arg)
{
    (void)w, (void)arg;
    line.order[line.out++] = (uint32_t)(uintptr_t)*item;
    add(&line.in_flight, UINT32_MAX);
    return 0;
}

static void check_line(weir_runtime *rt, uint32_t items, uint32_t tokens)
{
    weir_stage stages[] = {{make_item, (void *)(uintptr_t)items, WEIR_STAGE_SERIAL},
                           {halve, NULL, WEIR_STAGE_PARALLEL},
                           {check_alone, NULL, WEIR_STAGE_SERIAL},
                           {halve, NULL, WEIR_STAGE_PARALLEL},
                           {put_item, NULL, WEIR_STAGE_SERIAL}};
    uint64_t made = 0;
    memset(&line, 0, sizeof line);
    OK(weir_pipeline(rt, stages, 5, tokens, &made));
    cr_assert_eq(made, items);
    cr_assert_eq(line.out, items);
    for (uint32_t i = 0; i < items; i++)
        cr_assert_eq(line.order[i], i / 2);
    cr_assert_leq(get(&line.most), tokens);
    cr_assert_eq(get(&line.wrong), 0);
}

static void line_on_a_worker(weir_worker *w, void *arg)
{
    check_line(weir_worker_runtime(w), ITEMS, (uint32_t)(uintptr_t)arg);
}

Test(pipeline, items_leave_in_order_and_no_more_than_allowed_are_in_flight)
{
    uint32_t tokens[] = {1, 2, 3, 16, 64};
    for (unsigned i = 0; i < 10; i++) {
        weir_runtime *rt = start(1 + i % 4);
        if (i < 5)
            check_line(rt, ITEMS, tokens[i]);
        else
            call(rt, line_on_a_worker, (void *)(uintptr_t)tokens[i - 5]);
        check_line(rt, 0, 4);
        check_line(rt, 1, 4);
        stop(rt);
    }
}

static int fail_later(weir_worker *w, void **item, void *arg)
{
    (void)w, (void)arg;
    return (uintptr_t)*item == 2000 ? -EIO : 0;
}

Test(pipeline, an_error_ends_it)
{
    weir_runtime *rt = start(2);
    weir_stage stages[] = {{make_item, (void *)(uintptr_t)ITEMS, WEIR_STAGE_SERIAL},
                           {fail_later, NULL, WEIR_STAGE_PARALLEL},
                           {put_item, NULL, WEIR_STAGE_SERIAL}};
    cr_assert_eq(weir_pipeline(rt, stages, 3, 8, NULL), -EIO);
    cr_assert_leq(line.out, 1000);
    cr_assert_lt(line.made, ITEMS);
    cr_assert_eq(weir_pipeline(rt, stages, 0, 8, NULL), -EINVAL);
    cr_assert_eq(weir_pipeline(rt, stages, 3, 0, NULL), -EINVAL);
    stages[0].kind = WEIR_STAGE_PARALLEL;
    cr_assert_eq(weir_pipeline(rt, stages, 3, 8, NULL), -EINVAL);
    stop(rt);
}

struct endless {
    weir_runtime *rt;
    weir_atomic_u32 made;
    uint64_t items;
    int result;
};

static int makes_for_ever(weir_worker *w, void **item, void *arg)
{
    (void)w;
    *item = arg;
    add(&((struct endless *)arg)->made, 1);
    return 0;
}

static int takes_a_moment(weir_worker *w, void **item, void *arg)
{
    (void)w, (void)item, (void)arg;
    usleep(100);
    return 0;
}

static void *runs_for_ever(void *arg)
{
    struct endless *e = arg;
    weir_stage stages[] = {{makes_for_ever, e, WEIR_STAGE_SERIAL}, {takes_a_moment, NULL, WEIR_STAGE_PARALLEL},
                           {takes_a_moment, NULL, WEIR_STAGE_SERIAL}};
    e->result = weir_pipeline(e->rt, stages, 3, 8, &e->items);
    return NULL;
}

Test(pipeline, a_stop_that_discards_ends_it)
{
    for (unsigned workers = 1; workers <= 2; workers++) {
        struct endless e = {.rt = start(workers)};
        pthread_t t;
        OK(pthread_create(&t, NULL, runs_for_ever, &e));
        cr_assert(reaches(&e.made, 20));
        OK(weir_stop(e.rt, WEIR_DISCARD, WEIR_FOREVER));
        pthread_join(t, NULL);
        cr_assert_eq(e.result, -ECANCELED);
        cr_assert_eq(e.items, get(&e.made));
    }
}

static int ends_at_once(weir_worker *w, void **item, void *arg)
{
    (void)w, (void)item, (void)arg;
    return 1;
}

Test(pipeline, bad_arguments_are_refused)
{
    weir_runtime *rt = start(1);
    weir_stage stages[WEIR_STAGES_MAX + 1];
    for (uint32_t i = 0; i <= WEIR_STAGES_MAX; i++)
        stages[i] = (weir_stage){ends_at_once, NULL, WEIR_STAGE_SERIAL};
    cr_assert_eq(weir_pipeline(rt, NULL, 1, 1, NULL), -EINVAL);
    cr_assert_eq(weir_pipeline(rt, stages, 0, 1, NULL), -EINVAL);
    cr_assert_eq(weir_pipeline(rt, stages, WEIR_STAGES_MAX + 1, 1, NULL), -EINVAL);
    cr_assert_eq(weir_pipeline(rt, stages, 2, 0, NULL), -EINVAL);
    cr_assert_eq(weir_pipeline(rt, stages, 2, WEIR_TOKENS_MAX + 1, NULL), -EINVAL);
    cr_assert_eq(weir_pipeline(NULL, stages, 2, 1, NULL), -EINVAL);
    stages[1].fn = NULL;
    cr_assert_eq(weir_pipeline(rt, stages, 2, 1, NULL), -EINVAL);
    stages[0].kind = WEIR_STAGE_PARALLEL;
    cr_assert_eq(weir_pipeline(rt, stages, 1, 1, NULL), -EINVAL);
    stages[0].kind = WEIR_STAGE_SERIAL;
    OK(weir_pipeline(rt, stages, 1, 1, NULL));
    stop(rt);
}
