/* SPDX-License-Identifier: MIT
 *
 * io_rig.h - what tests of operations on descriptors share: one operation with its start and its end, on both pollers.
 *
 * Threads: as support.h.
 */
#ifndef WEIR_TESTS_IO_RIG_H
#define WEIR_TESTS_IO_RIG_H

#include "support.h"

#define SHORT_MS 20u
#define NOT_OPEN 5000 /* a number that nothing here has */

static weir_runtime *rt;
static unsigned no_uring;

static inline weir_config config(unsigned workers)
{
    weir_config c = config_of(workers);
    c.no_uring = no_uring;
    return c;
}

static inline void begin(unsigned workers)
{
    weir_config c = config(workers);
    rt = start_config(&c);
}

/* Each test runs with io_uring, where it may be had, and with epoll. */
#define BOTH(case_) \
    static void case_(void); \
    Test(io, case_##_with_uring) \
    { \
        case_(); \
    } \
    Test(io, case_##_with_epoll) \
    { \
        no_uring = 1; \
        case_(); \
    } \
    static void case_(void)

/* One operation, started by a function on a worker, and its end. */
struct one {
    weir_task task, first;
    weir_io io;
    int (*start)(weir_worker *w, struct one *o);
    int fd, started;
    unsigned long_run_ms; /* its end takes so long */
    char buffer[16];
    weir_atomic_u32 over;
    int64_t result;
};

static inline weir_task *ended(weir_worker *w, weir_task *t)
{
    struct one *o = (struct one *)t;
    (void)w;
    o->result = o->io.result;
    uint64_t until = o->long_run_ms != 0 ? in_ms(o->long_run_ms) : 0;
    add(&o->over, 1); /* the record may be gone */
    while (weir_now() < until)
        continue;
    return NULL;
}

static inline weir_task *start_it(weir_worker *w, weir_task *t)
{
    struct one *o = (struct one *)(t - 1);
    o->started = o->start(w, o);
    return NULL;
}

static inline void run(struct one *o, int (*how)(weir_worker *, struct one *), int fd)
{
    weir_task_init(&o->task, ended);
    weir_task_init(&o->first, start_it);
    uint64_t deadline = o->io.deadline;
    weir_io_init(&o->io, &o->task);
    if (deadline != 0)
        o->io.deadline = deadline;
    o->start = how;
    o->fd = fd;
    cr_assert_eq(weir_submit(rt, &o->first, WEIR_BLOCK, 0), 0);
}

static inline int start_read(weir_worker *w, struct one *o)
{
    return weir_io_read(w, &o->io, o->fd, o->buffer, sizeof o->buffer, WEIR_IO_HERE);
}

static inline int start_readable(weir_worker *w, struct one *o)
{
    return weir_when_readable(w, o->fd, &o->io);
}

/* Waits until an operation has been started and handed over. */
static inline void let_it_begin(void)
{
    sleep_ms(SHORT_MS);
}

static inline void kind_is(weir_worker *w, void *arg)
{
    *(weir_io_kind *)arg = weir_io_kind_of(w);
}

static inline void *write_later(void *arg)
{
    sleep_ms(SHORT_MS);
    cr_assert_eq(write(*(int *)arg, "later", 5), 5);
    return NULL;
}

#endif
