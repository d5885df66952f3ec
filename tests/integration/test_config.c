/* SPDX-License-Identifier: MIT
 *
 * test_config.c - what must hold for configurations: defaults, environment, limits, and that a bad one changes nothing.
 */
#include "support.h"

TestSuite(config, .timeout = 60);

static const char *const variables[] = {"WEIR_WORKERS", "WEIR_QUEUE_CAPACITY", "WEIR_DEQUE_CAPACITY", "WEIR_STACK_SIZE",
                                        "WEIR_SPIN_US", "WEIR_PIN", "WEIR_STEAL_ORDER", "WEIR_PUBLISH",
                                        "WEIR_DEQUE_LIMIT"};
#define VARIABLES (sizeof variables / sizeof variables[0])

static void clear_environment(void)
{
    for (size_t i = 0; i < VARIABLES; i++)
        unsetenv(variables[i]);
}

Test(config, defaults_describe_this_machine)
{
    weir_config c;
    clear_environment();
    cr_assert_eq(weir_config_init(&c), 0);
    cr_assert_eq(c.size, sizeof c);
    cr_assert_eq(c.workers, weir_usable_cpus());
    cr_assert_geq(c.workers, 1);
    cr_assert_eq(c.queue_capacity, 1024);
    cr_assert_eq(c.deque_capacity, 1024);
    cr_assert_eq(c.deque_limit, 0, "the library's choice");
    cr_assert_eq(c.stack_size, 8u << 20);
    cr_assert_eq(c.pin, 0);
    cr_assert_eq(c.steal_order, WEIR_STEAL_RANDOM);
    cr_assert_eq(c.publish_mode, WEIR_PUBLISH_ON_DEMAND);
    cr_assert_eq(c.guests, 4);
    cr_assert_str_eq(c.name, "weir");
    cr_assert_null(weir_config_error());
}

Test(config, init_of_nothing_is_refused)
{
    cr_assert_eq(weir_config_init(NULL), -EINVAL);
    cr_assert_not_null(weir_config_error());
}

Test(config, environment_sets_what_a_user_tunes)
{
    static const char *const values[VARIABLES] = {"3", "7", "9", "131072", "0", "1", "topology", "always",
                                                  "17"};
    weir_config c;
    for (size_t i = 0; i < VARIABLES; i++)
        setenv(variables[i], values[i], 1);
    cr_assert_eq(weir_config_init(&c), 0);
    cr_assert_eq(c.workers, 3);
    cr_assert_eq(c.queue_capacity, 7);
    cr_assert_eq(c.deque_capacity, 9);
    cr_assert_eq(c.deque_limit, 17);
    cr_assert_eq(c.stack_size, 131072);
    cr_assert_eq(c.spin_us, 0);
    cr_assert_eq(c.pin, 1);
    cr_assert_eq(c.steal_order, WEIR_STEAL_TOPOLOGY);
    cr_assert_eq(c.publish_mode, WEIR_PUBLISH_ALWAYS);
    weir_runtime *rt = start_config(NULL);
    weir_stats s = {.size = sizeof s};
    cr_assert_eq(weir_stats_read(rt, &s, NULL, 0), 0);
    cr_assert_eq(s.workers, 3);
    cr_assert_eq(s.queue_capacity, 7);
    stop(rt);
}

Test(config, environment_without_sense_is_refused_and_named)
{
    static const struct {
        unsigned variable;
        const char *value;
    } bad[] = {{0, "0"},    {0, "1025"}, {0, ""},       {0, "two"},  {0, "2x"},   {0, "-1"},     {0, " -1"},
               {1, "0"},    {1, "16777217"}, {2, "1"},  {2, "16777217"}, {3, "65535"}, {3, "99999999999999999999"},
               {4, "1000001"}, {5, "2"}, {5, "yes"},    {6, "near"}, {6, ""},     {7, "sometimes"},
               {8, "1"},    {8, "67108865"}, {8, "all"},
               {0, "+2"},   {0, " 2"},   {0, " -18446744073709551614"}}; /* that is 2, as strtoull() sees it */
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        weir_config c, before;
        weir_runtime *rt = (weir_runtime *)&c;
        memset(&before, 0x5a, sizeof before);
        memcpy(&c, &before, sizeof c);
        clear_environment();
        setenv(variables[bad[i].variable], bad[i].value, 1);
        cr_assert_eq(weir_config_init(&c), -EINVAL, "%s=%s", variables[bad[i].variable], bad[i].value);
        cr_assert_str_eq(weir_config_error(), variables[bad[i].variable]);
        cr_assert_arr_eq(&c, &before, sizeof c, "something was changed");
        cr_assert_eq(weir_start(&rt, NULL), -EINVAL);
        cr_assert_eq(rt, (weir_runtime *)&c, "something was changed");
        cr_assert_str_eq(weir_config_error(), variables[bad[i].variable]);
    }
    clear_environment();
    stop(start_config(NULL));
}

/* Each spoils one field. */
static void no_size(weir_config *c) { c->size = 0; }
static void old_size(weir_config *c) { c->size -= 4; }
static void new_size(weir_config *c) { c->size += 8; }
static void no_workers(weir_config *c) { c->workers = 0; }
static void many_workers(weir_config *c) { c->workers = WEIR_WORKERS_MAX + 1; }
static void no_queue(weir_config *c) { c->queue_capacity = 0; }
static void long_queue(weir_config *c) { c->queue_capacity = WEIR_CAPACITY_MAX + 1; }
static void short_deque(weir_config *c) { c->deque_capacity = 1; }
static void long_deque(weir_config *c) { c->deque_capacity = WEIR_CAPACITY_MAX + 1; }
static void low_limit(weir_config *c) { c->deque_limit = c->deque_capacity - 1; }
static void high_limit(weir_config *c) { c->deque_limit = WEIR_DEQUE_LIMIT_MAX + 1; }
static void small_stack(weir_config *c) { c->stack_size = 65535; }
static void huge_stack(weir_config *c) { c->stack_size = SIZE_MAX; }
static void long_spin(weir_config *c) { c->spin_us = 1000001; }
static void odd_pin(weir_config *c) { c->pin = 2; }
static void odd_order(weir_config *c) { c->steal_order = (weir_steal_order)2; }
static void odd_publish(weir_config *c) { c->publish_mode = (weir_publish_mode)2; }
static void many_guests(weir_config *c) { c->guests = 65; }
static void no_name(weir_config *c) { c->name = NULL; }
static void long_name(weir_config *c) { c->name = "0123456789"; }

Test(config, each_bad_field_is_refused_named_and_changes_nothing)
{
    static const struct {
        void (*spoil)(weir_config *);
        const char *field;
    } cases[] = {
        {no_size, "size"}, {old_size, "size"}, {new_size, "size"}, {no_workers, "workers"}, {many_workers, "workers"},
        {no_queue, "queue_capacity"}, {long_queue, "queue_capacity"}, {short_deque, "deque_capacity"},
        {long_deque, "deque_capacity"}, {low_limit, "deque_limit"}, {high_limit, "deque_limit"},
        {small_stack, "stack_size"}, {huge_stack, "stack_size"}, {long_spin, "spin_us"},
        {odd_pin, "pin"}, {odd_order, "steal_order"}, {odd_publish, "publish_mode"}, {many_guests, "guests"},
        {no_name, "name"}, {long_name, "name"},
    };
    stop(start(1)); /* what the first start keeps for ever is there */
    unsigned threads = threads_now();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        weir_config c = config_of(2), before;
        weir_runtime *rt = (weir_runtime *)&c;
        cases[i].spoil(&c);
        before = c;
        cr_assert_eq(weir_start(&rt, &c), -EINVAL, "case %zu", i);
        cr_assert_eq(rt, (weir_runtime *)&c);
        cr_assert_arr_eq(&c, &before, sizeof c);
        cr_assert_str_eq(weir_config_error(), cases[i].field);
        cr_assert(threads_come_down_to(threads));
    }
    /* All 64 places are still free. */
    weir_runtime *rt[WEIR_RUNTIMES_MAX];
    weir_config c = config_of(1);
    for (unsigned i = 0; i < WEIR_RUNTIMES_MAX; i++)
        rt[i] = start_config(&c);
    for (unsigned i = 0; i < WEIR_RUNTIMES_MAX; i++)
        stop(rt[i]);
}

Test(config, start_without_a_place_for_the_handle_is_refused)
{
    weir_config c = config_of(1);
    c.workers = 0;
    weir_runtime *rt;
    cr_assert_eq(weir_start(&rt, &c), -EINVAL);
    c.workers = 1;
    cr_assert_eq(weir_start(NULL, &c), -EINVAL);
    cr_assert(weir_config_error() == NULL || strcmp(weir_config_error(), "workers") != 0, "an old error is reported");
    cr_assert_eq(weir_start(NULL, NULL), -EINVAL);
}

/* The name is copied, its longest form fits, an empty one is possible. */
Test(config, threads_bear_the_configured_name)
{
    char name[] = "ninebytes";
    weir_config c = config_of(2);
    c.name = name;
    weir_runtime *rt = start_config(&c);
    memset(name, 'x', 9);
    cr_assert(has_thread("ninebytes/0"));
    cr_assert(has_thread("ninebytes/1"));
    cr_assert_not(has_thread("ninebytes/2"));
    stop(rt);
    cr_assert(lacks_thread("ninebytes/0"));
    c.name = "";
    rt = start_config(&c);
    cr_assert(has_thread("/0"));
    stop(rt);
}

static void read_affinity(weir_worker *w, void *arg)
{
    cpu_set_t cpus;
    (void)w;
    CPU_ZERO(&cpus);
    if (pthread_getaffinity_np(pthread_self(), sizeof cpus, &cpus) != 0)
        abort();
    *(int *)arg = CPU_COUNT(&cpus);
}

Test(config, pinned_workers_are_bound_to_one_cpu)
{
    weir_config c = config_of(3);
    int cpus = 0;
    c.pin = 1;
    weir_runtime *rt = start_config(&c);
    for (unsigned i = 0; i < 20; i++) {
        call(rt, read_affinity, &cpus);
        cr_assert_eq(cpus, 1);
    }
    stop(rt);
}

/* The largest sizes that a config may name and that this machine can give. */
Test(config, limits_themselves_are_accepted)
{
    weir_config c = config_of(1);
    c.queue_capacity = 1;
    c.deque_capacity = 2;
    c.stack_size = 64u << 10;
    c.spin_us = 1000000;
    c.guests = 64;
    stop(start_config(&c));
    c.stack_size = 8u << 20; /* room for a sanitizer */
    c.guests = 0;
    c.spin_us = 0;
    c.workers = 100;
    weir_runtime *rt = start_config(&c);
    cr_assert(has_thread("weir/99"));
    stop(rt);
}

Test(config, error_texts_are_there_for_every_code_and_for_none)
{
    static const int codes[] = {0, -EINVAL, -EAGAIN, -ETIMEDOUT, -ESHUTDOWN, -EOWNERDEAD, -ENOMEM, -EMFILE, -EDEADLK,
                                -EALREADY, -ECANCELED};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        cr_assert_str_neq(weir_strerror(codes[i]), weir_strerror(-9999));
    cr_assert_str_eq(weir_strerror(-9999), "unknown error");
    cr_assert_str_eq(weir_strerror(EINVAL), "unknown error");
    cr_assert_str_eq(weir_version(), "0.1.0");
}
