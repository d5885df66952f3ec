/* SPDX-License-Identifier: MIT
 *
 * support.h - what the tests of the public interface share: starting, stopping, counting what a process holds.
 *
 * Threads: functions that assert are called on the test's own thread only; tasks set flags that it looks at.
 */
#ifndef WEIR_TESTS_SUPPORT_H
#define WEIR_TESTS_SUPPORT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <weir/weir.h>

#define NS_PER_MS UINT64_C(1000000)
#define LONG_TIME_MS 30000u /* what never takes that long unless something hangs */

static inline uint64_t in_ms(uint64_t ms)
{
    return weir_now() + ms * NS_PER_MS;
}

static inline void sleep_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

static inline weir_config config_of(unsigned workers)
{
    weir_config c;
    cr_assert_eq(weir_config_init(&c), 0);
    c.workers = workers;
    return c;
}

static inline weir_runtime *start_config(const weir_config *c)
{
    weir_runtime *rt = NULL;
    int r = weir_start(&rt, c);
    cr_assert_eq(r, 0, "weir_start: %s", weir_strerror(r));
    cr_assert_not_null(rt);
    return rt;
}

static inline weir_runtime *start(unsigned workers)
{
    weir_config c = config_of(workers);
    return start_config(&c);
}

static inline void stop(weir_runtime *rt)
{
    int r = weir_stop(rt, WEIR_DRAIN, WEIR_FOREVER);
    cr_assert_eq(r, 0, "weir_stop: %s", weir_strerror(r));
}

/* Stops and returns the last totals. */
static inline weir_stats stop_and_read(weir_runtime *rt, weir_stop_mode mode)
{
    weir_stats last = {.size = sizeof last};
    int r = weir_stop_stats(rt, mode, WEIR_FOREVER, &last);
    cr_assert_eq(r, 0, "weir_stop_stats: %s", weir_strerror(r));
    return last;
}

static inline void call(weir_runtime *rt, void (*fn)(weir_worker *, void *), void *arg)
{
    int r = weir_call(rt, fn, arg);
    cr_assert_eq(r, 0, "weir_call: %s", weir_strerror(r));
}

static inline void submit_ready(weir_runtime *rt, weir_task *t)
{
    int r = weir_submit(rt, t, WEIR_BLOCK, 0);
    cr_assert_eq(r, 0, "weir_submit: %s", weir_strerror(r));
}

static inline void submit_ok(weir_runtime *rt, weir_task *t, weir_task_fn *fn)
{
    weir_task_init(t, fn);
    submit_ready(rt, t);
}

/* --- counters and flags that tasks set ------------------------------------------------------------------------ */

static inline uint32_t get(weir_atomic_u32 *p)
{
    return __atomic_load_n(&p->v, __ATOMIC_ACQUIRE);
}

static inline void set(weir_atomic_u32 *p, uint32_t x)
{
    __atomic_store_n(&p->v, x, __ATOMIC_RELEASE);
}

static inline uint32_t add(weir_atomic_u32 *p, uint32_t n)
{
    return __atomic_add_fetch(&p->v, n, __ATOMIC_ACQ_REL);
}

/* Waits on a task or the test's thread, looking now and then. False: it did not come true in LONG_TIME_MS. */
static inline bool reaches(weir_atomic_u32 *p, uint32_t value)
{
    uint64_t end = in_ms(LONG_TIME_MS);
    while (get(p) < value) {
        if (weir_now() > end)
            return false;
        usleep(200);
    }
    return true;
}

/* --- what the process holds ----------------------------------------------------------------------------------- */

static inline unsigned entries_of(const char *path)
{
    unsigned n = 0;
    DIR *d = opendir(path);
    cr_assert_not_null(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n - 2; /* . and .. */
}

static inline unsigned threads_now(void)
{
    return entries_of("/proc/self/task");
}

/* Whether the process comes down to n threads: a joined thread stays visible for a moment. */
static inline bool threads_come_down_to(unsigned n)
{
    uint64_t end = in_ms(LONG_TIME_MS);
    while (threads_now() > n) {
        if (weir_now() > end)
            return false;
        usleep(1000);
    }
    return true;
}

static inline unsigned descriptors_now(void)
{
    return entries_of("/proc/self/fd") - 1; /* the one that looks */
}

static inline size_t mappings_now(void)
{
    char line[512];
    size_t n = 0;
    FILE *f = fopen("/proc/self/maps", "r");
    cr_assert_not_null(f);
    while (fgets(line, sizeof line, f) != NULL)
        n++;
    fclose(f);
    return n;
}

/* Whether a thread of this process sleeps in the kernel. */
static inline bool is_asleep(uint32_t tid)
{
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/self/task/%u/stat", tid);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return false;
    const char *state = fgets(text, sizeof text, f) != NULL ? strrchr(text, ')') : NULL; /* behind its name */
    fclose(f);
    return state != NULL && state[2] == 'S';
}

#define LOOKS_ASLEEP 5u /* 1 ms apart: more than a submitter's patience (sched/room.h), in which it sleeps as well */

/* Waits until the thread sleeps and goes on doing so. False: it does not within LONG_TIME_MS. */
static inline bool falls_asleep(uint32_t tid)
{
    uint64_t end = in_ms(LONG_TIME_MS);
    for (unsigned looks = 0; looks < LOOKS_ASLEEP; sleep_ms(1)) {
        if (weir_now() > end)
            return false;
        looks = is_asleep(tid) ? looks + 1 : 0;
    }
    return true;
}

/* Whether the process has a thread of that name. */
static inline bool has_thread(const char *name)
{
    bool found = false;
    DIR *d = opendir("/proc/self/task");
    cr_assert_not_null(d);
    for (struct dirent *e = readdir(d); e != NULL && !found; e = readdir(d)) {
        char path[300], text[64] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", e->d_name);
        FILE *f = fopen(path, "r");
        if (f == NULL)
            continue;
        if (fgets(text, sizeof text, f) != NULL)
            text[strcspn(text, "\n")] = '\0';
        fclose(f);
        found = strcmp(text, name) == 0;
    }
    closedir(d);
    return found;
}

/* Whether the process has, after a moment, no thread of that name. */
static inline bool lacks_thread(const char *name)
{
    uint64_t end = in_ms(LONG_TIME_MS);
    while (has_thread(name)) {
        if (weir_now() > end)
            return false;
        usleep(1000);
    }
    return true;
}

#endif
