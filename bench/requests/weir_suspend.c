/* SPDX-License-Identifier: MIT
 *
 * bench/requests/weir_suspend.c - requests that wait as continuations of timers, without a worker and without a stack.
 *
 * Threads: as server.h. `flight` is raised by the generator and lowered by workers.
 * Invariants: a request counts in `flight` from before its submit until its last continuation has entered its result,
 * so that those which wait push back, too: never more than options.queue of them exist. The generator that sleeps for
 * room is woken: it says so before it looks at `flight` again, and who lowers `flight` looks afterwards whether it
 * sleeps (both sequentially consistent, Dekker's pattern).
 */
#define _GNU_SOURCE
#include "weir.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What is left of a request while it waits, and the buffer. */
struct waiting {
    weir_task task;
    weir_timer timer;
    uint32_t id;
    struct progress progress;
};

static struct {
    uint32_t limit;
    uint32_t low;    /* the generator sleeps until so few are in flight: it is woken once for many */
    bool block;
    uint32_t flight; /* atomic */
    uint32_t sleeps; /* atomic; 1: the generator sleeps on this word */
} gate;

static void futex(uint32_t *word, int operation, uint32_t value)
{
    syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

/* One request less is in flight. */
static void leave(void)
{
    if (__atomic_sub_fetch(&gate.flight, 1, __ATOMIC_SEQ_CST) > gate.low)
        return;
    if (__atomic_load_n(&gate.sleeps, __ATOMIC_SEQ_CST) != 0 &&
        __atomic_exchange_n(&gate.sleeps, 0, __ATOMIC_SEQ_CST) != 0)
        futex(&gate.sleeps, FUTEX_WAKE_PRIVATE, 1);
}

/* How many of n may go; sleeps for at least one if submits block. */
static uint32_t enter(uint32_t n)
{
    uint32_t flight = __atomic_load_n(&gate.flight, __ATOMIC_SEQ_CST);
    while (flight >= gate.limit && gate.block) {
        __atomic_store_n(&gate.sleeps, 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&gate.flight, __ATOMIC_SEQ_CST) > gate.low)
            futex(&gate.sleeps, FUTEX_WAIT_PRIVATE, 1);
        __atomic_store_n(&gate.sleeps, 0, __ATOMIC_SEQ_CST);
        flight = __atomic_load_n(&gate.flight, __ATOMIC_SEQ_CST);
    }
    uint32_t room = flight < gate.limit ? gate.limit - flight : 0;
    n = n < room ? n : room;
    __atomic_add_fetch(&gate.flight, n, __ATOMIC_SEQ_CST);
    return n;
}

static void finish(uint32_t id, struct progress *p)
{
    struct ledger *l = weir_way_ledger();
    ledger_enter(l, id, request_end(&l->work, p));
    leave();
}

static weir_task *waited(weir_worker *w, weir_task *self)
{
    struct waiting *r = (struct waiting *)(void *)self;
    (void)w;
    finish(r->id, &r->progress);
    free(r);
    return NULL;
}

static weir_task *handle(weir_worker *w, weir_task *self)
{
    const struct work *work = &weir_way_ledger()->work;
    struct waiting *r = malloc(sizeof *r);
    if (r == NULL)
        abort();
    r->id = weir_way_id(self);
    request_begin(work, r->id, &r->progress);
    weir_task_init(&r->task, waited);
    weir_timer_init(&r->timer);
    if (weir_after(w, work->io_us * NS_PER_US, &r->timer, &r->task) != 0)
        server_fail("weir_after", 0);
    return NULL;
}

static void start(struct ledger *l, const struct server_options *o)
{
    static const struct weir_way way = {handle, NULL};
    gate.limit = o->queue;
    gate.low = o->queue / 4 * 3;
    gate.block = o->block;
    weir_way_start(l, o, &way);
}

static uint32_t submit(uint32_t first, uint32_t n, bool *accepted)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < n;) {
        uint32_t k = enter(n - i);
        if (k == 0) {
            accepted[i++] = false;
            continue;
        }
        if (weir_way_submit(first + i, k, accepted + i) != k) /* the queue holds as many as may be in flight */
            server_fail("the queue is full", 0);
        taken += k;
        i += k;
    }
    return taken;
}

static const struct server server = {"weir-suspend", start, submit, weir_way_stop};
const struct server *const server_weir_suspend = &server;
