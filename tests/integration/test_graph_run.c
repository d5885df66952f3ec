/* SPDX-License-Identifier: MIT
 *
 * test_graph_run.c - what must hold for runs of graphs: how often, how they end and who is told, several at once,
 * times.
 */
#include "graph_support.h"

#include <sys/eventfd.h>

TestSuite(graph_run, .timeout = 100);

/* --- ends ----------------------------------------------------------------------------------------------------- */

Test(graph_run, the_first_error_stops_the_run_and_is_reported_with_its_node)
{
    weir_runtime *rt = start(2);
    weir_graph *g = graph();
    weir_atomic_u32 before = {0}, after = {0};
    weir_run_report report;
    weir_node a = node(g, count, &before), c = node(g, count, &after);
    weir_node b = named(g, "bad", WEIR_NODE_PLAIN, fails, NULL);
    OK(weir_graph_precede(g, a, b));
    OK(weir_graph_precede(g, b, c));
    weir_run *r = frozen_run(g, 0);
    for (uint32_t i = 1; i <= 3; i++) {
        cr_assert_eq(weir_run_n(rt, r, 5), -EIO);
        OK(weir_run_read(r, &report));
        cr_assert(report.error == -EIO && report.node.index == b.index && report.times == 0);
        cr_assert_str_eq(report.name, "bad");
        cr_assert_eq(get(&before), i);
    }
    cr_assert_eq(get(&after), 0);
    drop(g, r);
    stop(rt);
}

static bool ten_times(void *arg)
{
    return add(arg, 1) == 10;
}

Test(graph_run, a_run_repeats_until_it_is_told_that_it_was_the_last)
{
    weir_runtime *rt = start(2);
    weir_graph *g = graph();
    weir_atomic_u32 ran = {0}, asked = {0};
    weir_run_report report;
    node(g, count, &ran);
    weir_run *r = frozen_run(g, 0);
    OK(weir_run_until(rt, r, ten_times, &asked));
    cr_assert_eq(get(&ran), 10);
    OK(weir_run_n(rt, r, 7));
    cr_assert_eq(get(&ran), 17);
    OK(weir_run_read(r, &report));
    cr_assert_eq(report.times, 7);
    drop(g, r);
    stop(rt);
}

Test(graph_run, nothing_begins_after_the_deadline_and_the_run_works_again)
{
    enum { LENGTH = 100 };
    weir_runtime *rt = start(1);
    weir_atomic_u32 ran = {0};
    weir_graph *g = slow_chain(&ran, LENGTH);
    weir_run *r = frozen_run(g, 0);
    weir_run_how how = WEIR_RUN_HOW;
    how.deadline = in_ms(30);
    cr_assert_eq(weir_run_to_end(rt, r, &how), -ETIMEDOUT);
    uint32_t before = get(&ran);
    cr_assert(before < LENGTH);
    weir_run_report report;
    OK(weir_run_read(r, &report));
    cr_assert(report.error == -ETIMEDOUT && report.node.graph == 0 && report.times == 0);
    OK(weir_run_once(rt, r));
    cr_assert_eq(get(&ran), before + LENGTH);
    OK(weir_run_read(r, &report));
    cr_assert(report.error == 0 && report.times == 1);
    drop(g, r);
    stop(rt);
}

Test(graph_run, cancel_stops_what_has_not_begun_and_the_run_works_again)
{
    enum { LENGTH = 200 };
    weir_runtime *rt = start(2);
    weir_atomic_u32 ran = {0};
    weir_graph *g = slow_chain(&ran, LENGTH);
    weir_run *r = frozen_run(g, 0);
    OK(weir_run_start(rt, r, NULL));
    cr_assert_eq(weir_run_start(rt, r, NULL), -EBUSY);
    cr_assert_eq(weir_run_destroy(r), -EBUSY);
    cr_assert_eq(weir_run_wait(r, in_ms(1)), -EAGAIN);
    cr_assert(reaches(&ran, 3));
    OK(weir_run_cancel(r));
    cr_assert(weir_run_stopped(r));
    cr_assert_eq(weir_run_wait(r, WEIR_FOREVER), -ECANCELED);
    uint32_t before = get(&ran);
    cr_assert_lt(before, LENGTH);
    OK(weir_run_once(rt, r));
    cr_assert_eq(get(&ran), before + LENGTH);
    drop(g, r);
    stop(rt);
}

static int cancels(weir_worker *w, void *arg)
{
    (void)w;
    return weir_run_cancel(*(weir_run **)arg);
}

Test(graph_run, a_node_may_cancel_its_own_run)
{
    weir_runtime *rt = start(1);
    weir_graph *g = graph();
    weir_atomic_u32 before = {0}, after = {0};
    weir_run *r = NULL;
    weir_node a = node(g, count, &before), c = node(g, cancels, &r);
    OK(weir_graph_precede(g, a, c));
    OK(weir_graph_precede(g, c, node(g, count, &after)));
    r = frozen_run(g, 0);
    for (uint32_t i = 1; i <= 3; i++) {
        cr_assert_eq(weir_run_once(rt, r), -ECANCELED);
        cr_assert_eq(get(&before), i);
    }
    cr_assert_eq(get(&after), 0);
    drop(g, r);
    stop(rt);
}

/* Of many that fail at once one is reported, with its own code and name; the run works again when they don't. */
static weir_atomic_u32 healthy;

static int fails_with_its_number(weir_worker *w, void *arg)
{
    (void)w;
    return get(&healthy) != 0 ? 0 : -(int)(uintptr_t)arg;
}

Test(graph_run, of_many_errors_one_is_reported_with_its_node)
{
    enum { MANY = 40 };
    weir_runtime *rt = start(3);
    weir_graph *g = graph();
    weir_atomic_u32 after = {0};
    weir_run_report report;
    weir_node first = node(g, nothing, NULL), last = node(g, count, &after);
    for (uint32_t i = 1; i <= MANY; i++) {
        char name[8];
        snprintf(name, sizeof name, "%u", i);
        weir_node n = named(g, name, WEIR_NODE_PLAIN, fails_with_its_number, (void *)(uintptr_t)i);
        OK(weir_graph_precede(g, first, n));
        OK(weir_graph_precede(g, n, last));
    }
    weir_run *r = frozen_run(g, 0);
    for (int i = 0; i < 50; i++) {
        int error = weir_run_once(rt, r);
        cr_assert(error <= -1 && error >= -MANY);
        OK(weir_run_read(r, &report));
        cr_assert_eq(report.error, error);
        cr_assert_eq(atoi(report.name), -error);
    }
    cr_assert_eq(get(&after), 0);
    set(&healthy, 1);
    OK(weir_run_once(rt, r));
    cr_assert_eq(get(&after), 1);
    drop(g, r);
    stop(rt);
}

static void misuse_on_a_worker(weir_worker *w, void *run)
{
    (void)w;
    set(&healthy, (uint32_t)-weir_run_wait(run, WEIR_FOREVER));
}

Test(graph_run, bad_arguments_of_runs_are_refused)
{
    weir_runtime *rt = start(1), *other = start(1);
    weir_atomic_u32 ran = {0};
    weir_graph *g = slow_chain(&ran, 20);
    weir_run *r = frozen_run(g, 0), *none = NULL;
    weir_run_report report;
    weir_run_how how = WEIR_RUN_HOW;
    cr_assert_eq(weir_run_create(NULL, 0, &none), -EINVAL);
    cr_assert_eq(weir_run_create(g, 0, NULL), -EINVAL);
    cr_assert_eq(weir_run_create(g, 2, &none), -EINVAL, "no such flag");
    cr_assert_null(none);
    cr_assert_eq(weir_run_destroy(NULL), -EINVAL);
    cr_assert_not(weir_run_stopped(NULL));
    cr_assert_eq(weir_run_start(rt, NULL, NULL), -EINVAL);
    cr_assert_eq(weir_run_start(NULL, r, NULL), -EINVAL);
    cr_assert_eq(weir_run_to_end(NULL, r, NULL), -EINVAL);
    cr_assert_eq(weir_run_wait(NULL, 0), -EINVAL);
    cr_assert_eq(weir_run_cancel(NULL), -EINVAL);
    cr_assert_eq(weir_run_read(NULL, &report), -EINVAL);
    cr_assert_eq(weir_run_read(r, NULL), -EINVAL);
    how.times = 0;
    cr_assert_eq(weir_run_start(rt, r, &how), -EINVAL);
    how = (weir_run_how)WEIR_RUN_HOW;
    how.size--;
    cr_assert_eq(weir_run_to_end(rt, r, &how), -EINVAL);
    cr_assert_eq(weir_run_time(r, (weir_node){0, 0}, NULL), 0);
    cr_assert_eq(get(&ran), 0);
    OK(weir_run_cancel(r)); /* is not under way: nothing happens */
    OK(weir_run_start(rt, r, NULL));
    cr_assert_eq(weir_run_read(r, &report), -EBUSY);
    cr_assert_eq(weir_run_once(other, r), -EBUSY);
    call(other, misuse_on_a_worker, r);
    cr_assert(get(&healthy) == EDEADLK || get(&healthy) == 0, "a worker may ask, but not wait");
    OK(weir_run_wait(r, WEIR_FOREVER));
    cr_assert_eq(get(&ran), 20);
    drop(g, r);
    stop(rt);
    stop(other);
}

struct told {
    weir_task task;
    weir_atomic_u32 ran;
};

static weir_task *tell(weir_worker *w, weir_task *t)
{
    (void)w;
    add(&((struct told *)t)->ran, 1);
    return NULL;
}

Test(graph_run, the_end_of_a_run_is_told_by_eventfd_and_continuation)
{
    weir_runtime *rt = start(2);
    weir_atomic_u32 ran = {0};
    weir_graph *g = slow_chain(&ran, 2);
    weir_run *r = frozen_run(g, 0);
    struct told told = {.ran = {0}};
    eventfd_t value = 0;
    weir_run_how how = WEIR_RUN_HOW;
    how.eventfd = eventfd(0, 0);
    how.then = &told.task;
    how.times = 3;
    weir_continuation_init(&told.task, tell, 1);
    OK(weir_run_start(rt, r, &how));
    OK(eventfd_read(how.eventfd, &value));
    cr_assert_eq(value, 1);
    cr_assert(reaches(&told.ran, 1));
    cr_assert_eq(get(&ran), 6);
    OK(weir_run_wait(r, WEIR_FOREVER));
    weir_task_init(&told.task, tell);
    OK(weir_run_to_end(rt, r, &how));
    cr_assert(reaches(&told.ran, 2));
    close(how.eventfd);
    drop(g, r);
    stop(rt);
}

struct started {
    weir_runtime *on;
    weir_run *run;
    struct told told;
};

/* On a worker that goes on and waits for nothing. */
static void starts_a_run(weir_worker *w, void *arg)
{
    struct started *s = arg;
    weir_run_how how = WEIR_RUN_HOW;
    (void)w;
    weir_task_init(&s->told.task, tell);
    how.then = &s->told.task;
    how.times = 2;
    OK(weir_run_start(s->on, s->run, &how));
}

Test(graph_run, a_run_is_started_by_a_worker_of_its_runtime_or_of_another)
{
    weir_runtime *rt = start(1), *other = start(1);
    weir_atomic_u32 ran = {0};
    weir_graph *g = slow_chain(&ran, 3);
    struct started s = {.on = rt, .run = frozen_run(g, 0)};
    for (uint32_t i = 1; i <= 4; i++) {
        call(i % 2 ? rt : other, starts_a_run, &s);
        OK(weir_run_wait(s.run, WEIR_FOREVER));
        cr_assert(reaches(&s.told.ran, i));
        cr_assert_eq(get(&ran), i * 6);
    }
    drop(g, s.run);
    stop(rt);
    stop(other);
}

static void waits_for_a_run_with_a_continuation(weir_worker *w, void *arg)
{
    struct started *s = arg;
    weir_run_how how = WEIR_RUN_HOW;
    weir_task_init(&s->told.task, tell);
    how.then = &s->told.task;
    OK(weir_run_to_end(weir_worker_runtime(w), s->run, &how));
}

Test(graph_run, the_end_of_a_run_that_a_worker_waits_for_is_told_too)
{
    weir_runtime *rt = start(1);
    weir_atomic_u32 ran = {0};
    weir_graph *g = slow_chain(&ran, 2);
    struct started s = {.on = rt, .run = frozen_run(g, 0)};
    call(rt, waits_for_a_run_with_a_continuation, &s);
    cr_assert(reaches(&s.told.ran, 1));
    cr_assert_eq(get(&ran), 2);
    drop(g, s.run);
    stop(rt);
}

Test(graph_run, runs_overlap_on_one_runtime_and_on_several)
{
    enum { RUNS = 8 };
    weir_runtime *rt[2] = {start(2), start(2)};
    weir_graph *g = graph();
    weir_atomic_u32 ran = {0};
    weir_node last = node(g, count, &ran), first = node(g, count, &ran);
    for (int i = 0; i < 500; i++) {
        weir_node n = node(g, count, &ran);
        OK(weir_graph_precede(g, first, n));
        OK(weir_graph_precede(g, n, last));
    }
    weir_run *r[RUNS];
    r[0] = frozen_run(g, 0);
    for (int i = 1; i < RUNS; i++)
        OK(weir_run_create(g, 0, &r[i]));
    weir_run_how how = WEIR_RUN_HOW;
    how.times = 20;
    for (int i = 0; i < RUNS; i++)
        OK(weir_run_start(rt[i % 2], r[i], &how));
    for (int i = 0; i < RUNS; i++)
        OK(weir_run_wait(r[i], WEIR_FOREVER));
    cr_assert_eq(get(&ran), 502 * 20 * RUNS);
    for (int i = 1; i < RUNS; i++)
        OK(weir_run_destroy(r[i]));
    drop(g, r[0]);
    stop(rt[0]);
    stop(rt[1]);
}

Test(graph_run, a_stop_that_discards_ends_the_run)
{
    weir_runtime *rt = start(2);
    weir_atomic_u32 ran = {0};
    weir_graph *g = slow_chain(&ran, 1000);
    weir_run *r = frozen_run(g, 0);
    OK(weir_run_start(rt, r, NULL));
    cr_assert(reaches(&ran, 2));
    OK(weir_stop(rt, WEIR_DISCARD, WEIR_FOREVER));
    cr_assert_eq(weir_run_wait(r, WEIR_FOREVER), -ECANCELED);
    cr_assert_eq(weir_run_once(rt, r), -ESHUTDOWN);
    drop(g, r);
}

Test(graph_run, dot_shows_names_kinds_and_times)
{
    weir_runtime *rt = start(1);
    weir_graph *g = graph();
    weir_atomic_u32 ran = {0};
    char *text = NULL;
    size_t size = 0;
    uint64_t times = 0;
    weir_node a = named(g, "say \"a\"", WEIR_NODE_PLAIN, sleep_a_little, &ran),
              c = named(g, "choice", WEIR_NODE_CONDITION, second_of_two, NULL), end = node(g, nothing, NULL);
    OK(weir_graph_precede(g, a, c));
    OK(weir_graph_precede(g, c, end));
    cr_assert_eq(weir_graph_dot(g, NULL, stdout), -EPERM);
    weir_run *r = frozen_run(g, WEIR_RUN_TIMED);
    OK(weir_run_n(rt, r, 3));
    cr_assert_gt(weir_run_time(r, a, &times), 3 * NS_PER_MS);
    cr_assert_eq(times, 3);
    FILE *out = open_memstream(&text, &size);
    OK(weir_graph_dot(g, r, out));
    fclose(out);
    cr_assert_not_null(strstr(text, "say \\\"a\\\"\\n"));
    cr_assert_not_null(strstr(text, "shape=diamond, label=\"choice"));
    cr_assert_not_null(strstr(text, "[style=dashed, label=\"0\"]"));
    const char *longest = strstr(text, "say"), *end_of_line = strchr(longest, '\n'), *us = strstr(longest, " us\"");
    cr_assert(us != NULL && us < end_of_line, "the mean time");
    double hue, deepest, colour;
    cr_assert_eq(sscanf(us, " us\", fillcolor=\"%lf %lf", &hue, &deepest), 2);
    for (const char *at = text; (at = strstr(at, "fillcolor=\"0")) != NULL; at++) {
        cr_assert_eq(sscanf(at, "fillcolor=\"%lf %lf", &hue, &colour), 2);
        cr_assert_leq(colour, deepest);
    }
    cr_assert(colour < deepest, "the last node takes next to no time");
    free(text);
    size_t colours = 0;
    out = open_memstream(&text, &size);
    OK(weir_graph_dot(g, NULL, out));
    fclose(out);
    for (const char *at = text; (at = strstr(at, "fillcolor=\"0.02 0.000")) != NULL; at++)
        colours++;
    cr_assert(colours == 3 && strstr(text, " us\"") == NULL, "white, without times");
    free(text);
    drop(g, r);
    stop(rt);
}

/* --- a run that is waited for by the only worker there is
 * ----------------------------------------------------------- */

static weir_task from_outside;
static weir_runtime *only;

static weir_task *nothing_to_do(weir_worker *w, weir_task *t)
{
    (void)w, (void)t;
    return NULL;
}

static void *submits(void *arg)
{
    (void)arg;
    weir_task_init(&from_outside, nothing_to_do);
    return (void *)(intptr_t)weir_submit(only, &from_outside, WEIR_BLOCK, WEIR_FOREVER);
}

static int beside_a_submit;

static void run_beside_a_submit(weir_worker *w, void *run)
{
    pthread_t other;
    void *r = NULL;
    (void)w;
    if (pthread_create(&other, NULL, submits, NULL) != 0 || pthread_join(other, &r) != 0 || r != NULL)
        beside_a_submit = -EAGAIN;
    else
        beside_a_submit = weir_run_n(only, run, 3);
}

Test(graph_run, a_run_on_a_worker_ends_although_outside_work_waits)
{
    weir_atomic_u32 visits = {0};
    weir_graph *g = graph();
    weir_node n[500];
    only = start(1);
    for (int i = 0; i < 500; i++) {
        n[i] = node(g, count, &visits);
        if (i > 0)
            OK(weir_graph_precede(g, n[i - 1], n[i]));
    }
    weir_run *run = frozen_run(g, 0);
    OK(weir_call(only, run_beside_a_submit, run));
    OK(beside_a_submit);
    cr_assert_eq(get(&visits), 1500);
    drop(g, run);
    stop(only);
}
