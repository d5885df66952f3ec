/* SPDX-License-Identifier: MIT
 *
 * config.c - defaults, environment variables and limits of weir_config.
 *
 * Threads: any; the name of the last bad field is kept per thread.
 */
#include "api/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/admission.h"
#include "base/util.h"
#include "os/topology.h"

#define DEFAULT_QUEUE_CAPACITY 1024u
#define DEFAULT_DEQUE_CAPACITY 1024u
#define DEFAULT_DEQUE_LIMIT (1u << 16) /* bench `flat`, docs/decisions/0009: longer deques are no faster */
#define DEFAULT_STACK_SIZE (8u << 20)
#define DEFAULT_SPIN_US 50u /* about twice a futex wake-up: bench `wake`, docs/decisions/0004 */
#define DEFAULT_GUESTS 4u
#define DEFAULT_SPARE_WORKERS 96u    /* bench `requests`, steady16k: p99 5.7 ms, with 64 6.1, with 256 6.2 */
#define DEFAULT_GROW_AFTER_US 1000u  /* bench `requests`, scale: p99 1.8 ms, with 2000 2.7; steady8k: no more */
#define DEFAULT_RETIRE_AFTER_MS 200u /* a choice: back at the minimum within 0.5 s of calm */
#define GROW_AFTER_US_MIN 100u
#define GROW_AFTER_US_MAX 10000000u
#define RETIRE_AFTER_MS_MAX 3600000u
#define STACK_SIZE_MIN (64u << 10)
#define STACK_SIZE_MAX (1u << 30)
#define SPIN_US_MAX 1000000u
#define GUESTS_MAX 64u
#define NAME_MAX_LENGTH 9u

static _Thread_local const char *bad_field;

const char *weir_config_error(void)
{
    return bad_field;
}

int config_refuse(const char *field)
{
    bad_field = field;
    return -EINVAL;
}

/* An environment variable that sets a number between min and max; absent: *value stays. */
static int env_number(const char *name, uint64_t min, uint64_t max, uint64_t *value)
{
    const char *text = getenv(name);
    if (text == NULL)
        return 0;
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno != 0 || text[0] < '0' || text[0] > '9' || *end != '\0' || n < min || n > max) /* no blanks, no sign */
        return config_refuse(name);
    *value = n;
    return 0;
}

/* An environment variable that is one of two words. */
static int env_word(const char *name, const char *zero, const char *one, uint64_t *value)
{
    const char *text = getenv(name);
    if (text == NULL)
        return 0;
    if (strcmp(text, zero) != 0 && strcmp(text, one) != 0)
        return config_refuse(name);
    *value = strcmp(text, one) == 0;
    return 0;
}

int weir_config_init(weir_config *c)
{
    bad_field = NULL;
    if (c == NULL)
        return config_refuse("config");
    uint64_t workers = topology_usable_cpus();
    uint64_t min_workers = 0;
    uint64_t max_workers = 0;
    uint64_t spare = DEFAULT_SPARE_WORKERS;
    uint64_t grow = DEFAULT_GROW_AFTER_US;
    uint64_t retire = DEFAULT_RETIRE_AFTER_MS;
    uint64_t queue = DEFAULT_QUEUE_CAPACITY;
    uint64_t deque = DEFAULT_DEQUE_CAPACITY;
    uint64_t limit = 0;
    uint64_t stack = DEFAULT_STACK_SIZE;
    uint64_t spin = DEFAULT_SPIN_US;
    uint64_t pin = 0;
    uint64_t no_uring = 0;
    uint64_t order = WEIR_STEAL_RANDOM;
    uint64_t publish = WEIR_PUBLISH_ON_DEMAND;
    if (workers > WEIR_WORKERS_MAX)
        workers = WEIR_WORKERS_MAX;
    int r = env_number("WEIR_MIN_WORKERS", 1, WEIR_WORKERS_MAX, &min_workers);
    r = r ? r : env_number("WEIR_MAX_WORKERS", 1, WEIR_WORKERS_MAX, &max_workers);
    if (max_workers != 0 && workers > max_workers)
        workers = max_workers;
    if (workers < min_workers)
        workers = min_workers;
    r = r ? r : env_number("WEIR_WORKERS", 1, WEIR_WORKERS_MAX, &workers);
    r = r ? r : env_number("WEIR_SPARE_WORKERS", 0, WEIR_WORKERS_MAX, &spare);
    r = r ? r : env_number("WEIR_GROW_AFTER_US", GROW_AFTER_US_MIN, GROW_AFTER_US_MAX, &grow);
    r = r ? r : env_number("WEIR_RETIRE_AFTER_MS", 1, RETIRE_AFTER_MS_MAX, &retire);
    r = r ? r : env_number("WEIR_QUEUE_CAPACITY", 1, WEIR_CAPACITY_MAX, &queue);
    r = r ? r : env_number("WEIR_DEQUE_CAPACITY", 2, WEIR_CAPACITY_MAX, &deque);
    r = r ? r : env_number("WEIR_DEQUE_LIMIT", 2, WEIR_DEQUE_LIMIT_MAX, &limit);
    r = r ? r : env_number("WEIR_STACK_SIZE", STACK_SIZE_MIN, STACK_SIZE_MAX, &stack);
    r = r ? r : env_number("WEIR_SPIN_US", 0, SPIN_US_MAX, &spin);
    r = r ? r : env_number("WEIR_PIN", 0, 1, &pin);
    r = r ? r : env_number("WEIR_NO_URING", 0, 1, &no_uring);
    r = r ? r : env_word("WEIR_STEAL_ORDER", "random", "topology", &order);
    r = r ? r : env_word("WEIR_PUBLISH", "demand", "always", &publish);
    if (r != 0)
        return r;
    *c = (weir_config){
        .size = sizeof(*c),
        .workers = (uint32_t)workers,
        .min_workers = (uint32_t)min_workers,
        .max_workers = (uint32_t)max_workers,
        .spare_workers = (uint32_t)spare,
        .grow_after_us = (uint32_t)grow,
        .retire_after_ms = (uint32_t)retire,
        .queue_capacity = (uint32_t)queue,
        .deque_capacity = (uint32_t)deque,
        .deque_limit = (uint32_t)limit,
        .stack_size = (size_t)stack,
        .spin_us = (uint32_t)spin,
        .pin = (uint32_t)pin,
        .steal_order = (weir_steal_order)order,
        .publish_mode = (weir_publish_mode)publish,
        .no_uring = (uint32_t)no_uring,
        .guests = DEFAULT_GUESTS,
        .name = "weir",
        .admission = NULL,
    };
    return 0;
}

static uint32_t limit_of(const weir_config *c)
{
    uint32_t least = c->deque_capacity > DEFAULT_DEQUE_LIMIT ? c->deque_capacity : DEFAULT_DEQUE_LIMIT;
    return c->deque_limit != 0 ? c->deque_limit : least;
}

int config_check(const weir_config *in, weir_config *out)
{
    bad_field = NULL;
    if (in->size != sizeof(*in))
        return config_refuse("size");
    if (in->workers == 0 || in->workers > WEIR_WORKERS_MAX)
        return config_refuse("workers");
    if (in->min_workers > in->workers)
        return config_refuse("min_workers");
    if (in->max_workers != 0 && (in->max_workers < in->workers || in->max_workers > WEIR_WORKERS_MAX))
        return config_refuse("max_workers");
    if (in->spare_workers > WEIR_WORKERS_MAX)
        return config_refuse("spare_workers");
    if (in->grow_after_us < GROW_AFTER_US_MIN || in->grow_after_us > GROW_AFTER_US_MAX)
        return config_refuse("grow_after_us");
    if (in->retire_after_ms == 0 || in->retire_after_ms > RETIRE_AFTER_MS_MAX)
        return config_refuse("retire_after_ms");
    if (in->queue_capacity == 0 || in->queue_capacity > WEIR_CAPACITY_MAX)
        return config_refuse("queue_capacity");
    if (in->deque_capacity < 2 || in->deque_capacity > WEIR_CAPACITY_MAX)
        return config_refuse("deque_capacity");
    if (limit_of(in) < in->deque_capacity || in->deque_limit > WEIR_DEQUE_LIMIT_MAX)
        return config_refuse("deque_limit");
    if (in->stack_size < STACK_SIZE_MIN || in->stack_size > STACK_SIZE_MAX)
        return config_refuse("stack_size");
    if (in->spin_us > SPIN_US_MAX)
        return config_refuse("spin_us");
    if (in->pin > 1)
        return config_refuse("pin");
    if (in->steal_order != WEIR_STEAL_RANDOM && in->steal_order != WEIR_STEAL_TOPOLOGY)
        return config_refuse("steal_order");
    if (in->publish_mode != WEIR_PUBLISH_ON_DEMAND && in->publish_mode != WEIR_PUBLISH_ALWAYS)
        return config_refuse("publish_mode");
    if (in->no_uring > 1)
        return config_refuse("no_uring");
    if (in->guests > GUESTS_MAX)
        return config_refuse("guests");
    if (in->name == NULL || strnlen(in->name, NAME_MAX_LENGTH + 1) > NAME_MAX_LENGTH)
        return config_refuse("name");
    if (in->admission != NULL && admission_check(in->admission, in->queue_capacity) != 0)
        return -EINVAL;
    *out = *in;
    out->min_workers = in->min_workers != 0 ? in->min_workers : in->workers;
    out->max_workers = in->max_workers != 0 ? in->max_workers : in->workers;
    if (out->spare_workers > WEIR_WORKERS_MAX - out->max_workers)
        out->spare_workers = WEIR_WORKERS_MAX - out->max_workers;
    out->deque_capacity = (uint32_t)pow2_ceil(in->deque_capacity);
    out->deque_limit = (uint32_t)pow2_ceil(limit_of(in));
    return 0;
}
