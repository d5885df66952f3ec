/* SPDX-License-Identifier: MIT
 *
 * model_os.c - the operations that clients and runtime sources call: atomics, os.h and rcu.h as the model has them.
 *
 * A futex wait compares and falls asleep in one step; a wake reaches any of the sleepers; a wait may end for no reason
 * or by its deadline, as often as the client allows. Between the two calls only the word itself is ordered: a wait that
 * comes after a wake, and a sleeper that was woken, see at least what the waker knew of the word. The clock
 * moves at pauses and deadlines only: who has slept until one has seen that time, and so has who synchronises with him.
 *
 * Threads: client threads.
 */
#include "model_int.h"
#include "os/os.h"
#include "os/rcu.h"

#include <errno.h>
#include <string.h>

static bool ignored(const void *p)
{
    for (unsigned i = 0; i < M->nignore; i++)
        if ((uintptr_t)p - (uintptr_t)M->ignore[i].p < M->ignore[i].n)
            return true;
    return false;
}

static uint64_t plain_get(const void *p, unsigned size)
{
    uint64_t v = 0;
    memcpy(&v, p, size);
    return v;
}

static void prepare(struct op *o, enum kind kind, const void *p, unsigned size, int order, const char *file, int line)
{
    memset(o, 0, sizeof *o);
    o->kind = kind;
    o->order = order;
    o->file = file;
    o->line = line;
    o->size = size;
    o->loc = p == NULL ? -1 : mem_loc(p, size, kind == K_FWAKE, file, line);
}

/* A 4 byte word that is half of an 8 byte one (the futex word in a task's state): the 8 byte word, else *p itself. */
static const void *whole_of(const void *p, unsigned *size, unsigned *shift)
{
    uintptr_t base = (uintptr_t)p & ~(uintptr_t)7;
    int loc = *size == 4 ? mem_find(base) : -1;
    *shift = 0;
    if (loc < 0 || M->loc[loc].size != 8)
        return p;
    *shift = (uintptr_t)p != base ? 32 : 0;
    *size = 8;
    return (const void *)base;
}

uint64_t model_load(const void *p, unsigned size, int order, const char *file, int line)
{
    struct op o;
    unsigned shift, whole = size;
    if (ignored(p))
        return plain_get(p, size);
    p = whole_of(p, &whole, &shift);
    prepare(&o, K_LOAD, p, whole, order, file, line);
    mutate(&o);
    op_post(&o);
    return size == 4 ? (uint32_t)(o.result >> shift) : o.result;
}

void model_store(void *p, unsigned size, uint64_t x, int order, const char *file, int line)
{
    struct op o;
    if (ignored(p)) {
        memcpy(p, &x, size);
        return;
    }
    prepare(&o, K_STORE, p, size, order, file, line);
    o.x = x;
    mutate(&o);
    op_post(&o);
}

uint64_t model_rmw(void *p, unsigned size, int what, uint64_t x, int order, const char *file, int line)
{
    struct op o;
    if (ignored(p)) {
        uint64_t old = plain_get(p, size);
        uint64_t v = what == MODEL_ADD ? old + x : what == MODEL_SUB ? old - x : what == MODEL_OR ? (old | x)
                   : what == MODEL_AND ? (old & x) : x;
        memcpy(p, &v, size);
        return old;
    }
    prepare(&o, K_RMW, p, size, order, file, line);
    o.what = what;
    o.x = x;
    mutate(&o);
    op_post(&o);
    return o.result;
}

bool model_cas(void *p, unsigned size, void *expected, uint64_t x, int order, int fail, bool weak, const char *file,
               int line)
{
    struct op o;
    if (ignored(p)) {
        uint64_t old = plain_get(p, size);
        bool same = old == plain_get(expected, size);
        memcpy(same ? p : expected, same ? &x : &old, size);
        return same;
    }
    prepare(&o, K_CAS, p, size, order, file, line);
    o.fail = fail;
    o.weak = weak;
    o.x = x;
    o.expected = plain_get(expected, size);
    mutate(&o);
    op_post(&o);
    if (!o.ok)
        memcpy(expected, &o.result, size);
    return o.ok;
}

void model_fence(int order, const char *file, int line)
{
    struct op o;
    prepare(&o, K_FENCE, NULL, 0, order, file, line);
    if (mutate(&o))
        op_post(&o);
}

void model_light(const char *file, int line)
{
    struct op o;
    prepare(&o, K_LIGHT, NULL, 0, 0, file, line);
    if (mutate(&o))
        op_post(&o);
}

void model_heavy(const char *file, int line)
{
    struct op o;
    prepare(&o, K_HEAVY, NULL, 0, __ATOMIC_SEQ_CST, file, line);
    if (mutate(&o))
        op_post(&o);
}

/* --- os.h ------------------------------------------------------------------------------------------------------- */

static const char *last_file(void)
{
    const struct thread *t = self();
    return t->op.file != NULL ? t->op.file : "(start)";
}

static int last_line(void)
{
    return self()->op.line;
}

int os_futex_wait(weir_atomic_u32 *word, uint32_t expected, uint64_t deadline)
{
    struct op o;
    unsigned size = 4, shift;
    const void *p = whole_of(&word->v, &size, &shift);
    prepare(&o, K_FWAIT, p, size, __ATOMIC_RELAXED, last_file(), last_line());
    o.shift = shift;
    o.expected = expected;
    o.deadline = deadline;
    if (deadline != OS_FOREVER && deadline <= self()->cur.now)
        return -ETIMEDOUT;
    op_post(&o);
    return o.kind == K_RESUME && o.result != 0 ? -ETIMEDOUT : 0;
}

int os_futex_wake(weir_atomic_u32 *word, int n)
{
    struct op o;
    unsigned size = 4, shift;
    const void *p = whole_of(&word->v, &size, &shift);
    prepare(&o, K_FWAKE, p, size, __ATOMIC_RELAXED, last_file(), last_line());
    o.x = n < 0 ? 0 : (uint64_t)n;
    op_post(&o);
    return (int)o.result;
}

bool os_membarrier_init(void)
{
    return !M->client->no_membarrier;
}

uint64_t os_now(void)
{
    return self()->cur.now;
}

uint64_t os_ticks(void)
{
    return os_now();
}

void os_ticks_init(void)
{
}

uint64_t os_ticks_to_ns(uint64_t ticks)
{
    return ticks;
}

unsigned os_cpu(void)
{
    return 0;
}

void os_relax(void)
{
    struct op o;
    prepare(&o, K_RELAX, NULL, 0, 0, last_file(), last_line());
    op_post(&o);
}

void os_yield(void)
{
    os_relax();
}

void model_relax(void)
{
    os_relax();
}

/*
 * Threads that the sources start become client threads: one of those calls model_started() and so runs it. It may begin
 * at once, while its starter has not come back yet and is still writing the handle.
 */
int os_thread_start(struct os_thread *t, const char *name, size_t stack, int cpu, void *(*fn)(void *), void *arg)
{
    (void)name, (void)stack, (void)cpu;
    struct op o;
    const char *file = last_file();
    int line = last_line();
    for (unsigned i = 0; i < M->nstarted; i++)
        if (M->started[i].handle == t)
            model_fail(file, line, "a thread is started before the last one of this handle was joined");
    if (M->failing_starts > 0) {
        M->failing_starts--;
        model_payload(t, true, "thread handle", file, line);
        return -EAGAIN;
    }
    if (M->nstarted == MODEL_THREADS_MAX)
        model_die("too many threads");
    const struct view *known = view_keep(&self()->cur);
    if (!M->immediate) {
        prepare(&o, K_START, NULL, 0, 0, file, line);
        op_post(&o);
    }
    unsigned i = M->nstarted++;
    M->started[i].fn = (void *)(uintptr_t)fn;
    M->started[i].arg = arg;
    M->started[i].handle = t;
    M->started[i].tid = 0;
    M->started[i].view = known;
    M->started[i].in_run = !M->immediate;
    model_payload(t, true, "thread handle", file, line);
    t->id = (pthread_t)i;
    return 0;
}

void model_starts_fail(unsigned n)
{
    M->failing_starts = n;
}

void model_started(unsigned i)
{
    struct op o;
    if (i >= MODEL_THREADS_MAX)
        model_die("no such thread was started");
    if (i >= M->nstarted || M->started[i].in_run) {
        prepare(&o, K_BEGIN, NULL, 0, 0, last_file(), last_line());
        o.x = i;
        op_post(&o);
    }
    M->started[i].tid = M->self;
    void *(*fn)(void *) = (void *(*)(void *))(uintptr_t)M->started[i].fn;
    fn(M->started[i].arg);
}

void os_thread_join(struct os_thread *t)
{
    struct op o;
    int tid = M->started[t->id].tid;
    model_payload(t, false, "thread handle", last_file(), last_line());
    M->started[t->id].handle = NULL;
    if (tid == 0)
        model_die("a thread is joined that no client thread runs");
    if (M->immediate) { /* in check: it has ended, and everything it did is known */
        if (!M->t[tid].finished)
            model_fail("os_thread_join", 0, "the thread has not ended");
        return;
    }
    prepare(&o, K_JOIN, NULL, 0, 0, last_file(), last_line());
    o.x = (uint64_t)tid;
    op_post(&o);
}

void os_exact_sleeps(bool exact)
{
    (void)exact;
}

static _Thread_local struct os_exit *exits; /* a fiber's, as all thread-local variables */

bool os_at_thread_exit(struct os_exit *e)
{
    e->next = exits;
    exits = e;
    return true;
}

void model_end_thread(void)
{
    for (struct os_exit *e = exits, *next; e != NULL; e = next) {
        next = e->next;
        e->fn(e->arg);
    }
    exits = NULL;
}

uintptr_t os_stack_low(void)
{
    return (uintptr_t)self()->stack;
}

/* --- rcu.h ------------------------------------------------------------------------------------------------------ */

int rcu_init(void)
{
    return 0;
}

void rcu_register(void)
{
    self()->registered = true;
}

void rcu_unregister(void)
{
    if (self()->online)
        rcu_offline();
    self()->registered = false;
}

static uint64_t rcu_op(enum kind kind, struct rcu_node *node, void (*fn)(struct rcu_node *), uint64_t serial)
{
    struct op o;
    prepare(&o, kind, NULL, 0, 0, last_file(), last_line());
    o.ptr = node;
    o.fn = (void *)(uintptr_t)fn;
    o.x = serial;
    op_post(&o);
    return o.result;
}

void rcu_online(void)
{
    rcu_op(K_RCU_ONLINE, NULL, NULL, 0);
}

void rcu_offline(void)
{
    rcu_op(K_RCU_OFFLINE, NULL, NULL, 0);
}

void rcu_retire(struct rcu_node *node, void (*reclaim)(struct rcu_node *node))
{
    rcu_op(K_RCU_RETIRE, node, reclaim, 0);
}

/* Nothing to do: what is retired is reclaimed as early as it can be. */
void rcu_flush(void)
{
}

/* A grace period that frees nothing, waited for by its serial number. */
void rcu_synchronize(void)
{
    uint64_t serial = rcu_op(K_RCU_RETIRE, NULL, NULL, 0);
    rcu_op(K_RCU_BARRIER, NULL, NULL, serial);
}

void rcu_barrier_all(void)
{
    rcu_op(K_RCU_BARRIER, NULL, NULL, 0);
}

/* --- the rest of the client's API ------------------------------------------------------------------------------- */

void model_name(const void *p, const char *name)
{
    if (M->nnames < 64) {
        M->names[M->nnames].p = (uintptr_t)p;
        M->names[M->nnames++].name = name;
    }
}

void model_ignore(const void *p, size_t size)
{
    if (M->nignore == 16)
        model_die("too many ignored ranges");
    M->ignore[M->nignore].p = p;
    M->ignore[M->nignore++].n = size;
}

void model_keep(void *p, size_t size)
{
    if (M->nkeep == 4)
        model_die("too many kept ranges");
    M->keep[M->nkeep].p = p;
    M->keep[M->nkeep++].n = size;
}

int model_thread(void)
{
    return M->self - 1;
}

int model_tag(void)
{
    return M->client->tag;
}

bool model_stalled(void)
{
    return M->client->stall > 0 && M->t[M->client->stall].stalled;
}

void model_outcome(uint64_t value)
{
    struct model_result *r = M->res;
    for (unsigned i = 0; i < r->outcomes; i++)
        if (r->outcome[i] == value)
            return;
    if (r->outcomes < MODEL_OUTCOMES_MAX)
        r->outcome[r->outcomes++] = value;
}
