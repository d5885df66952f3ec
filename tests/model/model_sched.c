/* SPDX-License-Identifier: MIT
 *
 * model_sched.c - client threads as fibers, and one execution of a client from its start to its end.
 *
 * Each thread runs until it is about to do a visible operation (atomic, futex, fence, grace period), posts it and
 * stops. The scheduler asks the search which thread moves next and what its operation does, executes the operation
 * and lets the thread run on. Setup and check run in the same way, except that they are not interleaved with anything.
 *
 * Threads: the engine's one thread.
 * Invariants: a thread that is neither finished nor running has a pending operation.
 */
#include "model_int.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

struct thread *self(void)
{
    return &M->t[M->self];
}

/* --- fibers ----------------------------------------------------------------------------------------------------- */

void fiber_switch(void **save, void *load);

#if defined(__x86_64__)
__asm__(".text\n.globl fiber_switch\n.type fiber_switch,@function\nfiber_switch:\n"
        "push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
        "mov %rsp,(%rdi)\n mov %rsi,%rsp\n"
        "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n.size fiber_switch,.-fiber_switch\n");
static void *fiber_prepare(char *stack, void (*entry)(void))
{
    uintptr_t top = ((uintptr_t)stack + STACK_SIZE - 64) & ~(uintptr_t)15;
    void **sp = (void **)top;
    *--sp = NULL; /* entry never returns */
    *--sp = (void *)(uintptr_t)entry;
    for (int i = 0; i < 6; i++)
        *--sp = NULL;
    return sp;
}
#elif defined(__aarch64__)
__asm__(".text\n.globl fiber_switch\n.type fiber_switch,%function\nfiber_switch:\n"
        "sub sp,sp,#176\n stp x19,x20,[sp]\n stp x21,x22,[sp,#16]\n stp x23,x24,[sp,#32]\n stp x25,x26,[sp,#48]\n"
        "stp x27,x28,[sp,#64]\n stp x29,x30,[sp,#80]\n stp d8,d9,[sp,#96]\n stp d10,d11,[sp,#112]\n"
        "stp d12,d13,[sp,#128]\n stp d14,d15,[sp,#144]\n mov x9,sp\n str x9,[x0]\n mov sp,x1\n"
        "ldp x19,x20,[sp]\n ldp x21,x22,[sp,#16]\n ldp x23,x24,[sp,#32]\n ldp x25,x26,[sp,#48]\n"
        "ldp x27,x28,[sp,#64]\n ldp x29,x30,[sp,#80]\n ldp d8,d9,[sp,#96]\n ldp d10,d11,[sp,#112]\n"
        "ldp d12,d13,[sp,#128]\n ldp d14,d15,[sp,#144]\n add sp,sp,#176\n ret\n.size fiber_switch,.-fiber_switch\n");
static void *fiber_prepare(char *stack, void (*entry)(void))
{
    uintptr_t top = ((uintptr_t)stack + STACK_SIZE - 64) & ~(uintptr_t)15;
    void **sp = (void **)(top - 176);
    memset(sp, 0, 176);
    sp[11] = (void *)(uintptr_t)entry;
    return sp;
}
#else
#error "the model checker needs a fiber switch for this processor"
#endif

static void fiber_main(void)
{
    struct thread *t = self();
    t->fn();
    t = self();
    model_end_thread();
    mem_scan(t);
    t->finished = true;
    for (;;)
        fiber_switch(&t->sp, M->sched_sp);
}

/* Lets thread id run until it stops. */
static void fiber_run(int id)
{
    struct thread *t = &M->t[id];
    M->self = id;
    if (M->tls_size > 0)
        memcpy(M->tls, t->tls, M->tls_size);
    fiber_switch(&M->sched_sp, t->sp);
    if (M->tls_size > 0)
        memcpy(t->tls, M->tls, M->tls_size);
}

static int find_tls(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_TLS) {
            M->tls = info->dlpi_tls_data;
            M->tls_size = info->dlpi_phdr[i].p_memsz;
        }
    return 1; /* only the program itself, which comes first */
}

extern char __data_start[], _end[];

void sched_init(void)
{
    dl_iterate_phdr(find_tls, NULL);
    for (unsigned i = 0; i < MT; i++) {
        M->t[i].stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (M->t[i].stack == MAP_FAILED)
            model_die("out of memory for stacks");
        M->t[i].tls = M->tls_size > 0 ? mmap(NULL, M->tls_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                                             0) : NULL;
    }
    M->data = __data_start;
    M->data_size = (size_t)(_end - __data_start);
    size_t n = M->data_size + M->tls_size;
    M->image = mmap(NULL, n + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (M->image == MAP_FAILED)
        model_die("out of memory");
    memcpy(M->image, M->data, M->data_size);
    M->tls_init = M->image + M->data_size;
    if (M->tls_size > 0)
        memcpy(M->tls_init, M->tls, M->tls_size);
}

/* --- posting operations ----------------------------------------------------------------------------------------- */

static void op_exec(struct thread *t, struct op *o, struct opt p, struct event *e);

/* Stops the calling thread before operation *o; returns when it has been executed, with its result in *o. */
void op_post(struct op *o)
{
    struct thread *t = self();
    mem_scan(t);
    t->low = (uintptr_t)__builtin_frame_address(0) - 4096;
    if (M->immediate) {
        struct opt out[MOPT];
        struct event e;
        t->op = *o;
        op_options(t, out);
        op_exec(t, &t->op, out[0], &e);
        if (t->asleep)
            model_fail(o->file, o->line, "setup, check or a reclaimer would sleep for ever");
        t->yielded = false;
        *o = t->op;
        return;
    }
    t->op = *o;
    t->has_op = true;
    fiber_switch(&t->sp, M->sched_sp);
    *o = self()->op;
}

unsigned op_options(struct thread *t, struct opt *out)
{
    unsigned n = 0;
    const struct op *o = &t->op;
    switch (o->kind) {
    case K_RESUME:
        if (t->woken)
            out[n++] = (struct opt){0, M_OK};
        else {
            if (o->deadline != UINT64_MAX && (t->timeouts > 0 || t->forced))
                out[n++] = (struct opt){0, M_TIMEOUT};
            if (t->spurious_wake > 0)
                out[n++] = (struct opt){0, M_SPURIOUS};
        }
        return n;
    case K_FWAKE: {
        unsigned sleepers = 0;
        for (unsigned i = 1; i <= M->nthreads; i++) {
            struct thread *s = &M->t[i];
            if (s->asleep && !s->woken && s->sleep_loc == o->loc && o->loc >= 0) {
                sleepers++;
                out[n++] = (struct opt){(uint16_t)i, M_OK};
            }
        }
        if (sleepers == 0 || o->x >= sleepers || o->x != 1) {
            out[0] = (struct opt){0, M_OK};
            n = 1;
        }
        return n;
    }
    case K_RCU_ONLINE:
    case K_RCU_OFFLINE:
    case K_RCU_RETIRE:
    case K_RCU_BARRIER:
        return rcu_options(t, o, out);
    default:
        return mem_options(t, o, out);
    }
}

static void wake_exec(struct thread *t, struct op *o, struct opt p, struct event *e)
{
    o->result = 0;
    if (o->loc < 0)
        return;
    if (M->loc[o->loc].st[t->cur.at[o->loc]].pos > M->loc[o->loc].st[M->futex[o->loc]].pos)
        M->futex[o->loc] = t->cur.at[o->loc];
    for (unsigned i = 1; i <= M->nthreads && o->result < o->x; i++) {
        struct thread *s = &M->t[i];
        if (s->asleep && !s->woken && s->sleep_loc == o->loc && (p.store == 0 || p.store == i)) {
            s->woken = true;
            s->woken_by = t->cur.at[o->loc];
            o->result++;
        }
    }
    e->n = (int)o->result;
}

static void op_exec(struct thread *t, struct op *o, struct opt p, struct event *e)
{
    switch (o->kind) {
    case K_FWAKE:
        mem_exec(t, o, p, e);
        wake_exec(t, o, p, e);
        break;
    case K_FWAIT:
        mem_exec(t, o, p, e);
        e->rval = M->loc[o->loc].st[p.store].val;
        t->cur.at[o->loc] = M->loc[o->loc].st[p.store].pos > M->loc[o->loc].st[t->cur.at[o->loc]].pos
                                ? p.store : t->cur.at[o->loc];
        if ((unsigned)o->loc >= t->cur.n)
            t->cur.n = (uint16_t)(o->loc + 1);
        set_add(t->rset, o->loc);
        o->result = 0;
        if ((uint32_t)(e->rval >> o->shift) == o->expected) {
            e->n = 1;
            t->asleep = true;
            t->woken = false;
            t->sleep_loc = o->loc;
            o->kind = K_RESUME;
        }
        break;
    case K_RESUME:
        mem_exec(t, o, p, e);
        if (t->woken && M->loc[o->loc].st[t->woken_by].pos > M->loc[o->loc].st[t->cur.at[o->loc]].pos)
            t->cur.at[o->loc] = t->woken_by;
        t->asleep = false;
        t->woken = false;
        if (p.mode == M_SPURIOUS)
            t->spurious_wake--;
        if (p.mode == M_TIMEOUT) {
            if (t->timeouts > 0)
                t->timeouts--;
            if (t->cur.now < o->deadline)
                t->cur.now = t->acq.now = o->deadline;
        }
        o->result = p.mode == M_TIMEOUT;
        break;
    case K_RCU_ONLINE:
    case K_RCU_OFFLINE:
    case K_RCU_RETIRE:
    case K_RCU_BARRIER:
        mem_describe(t, o, p, e);
        if (t->yielded)
            t->yielded = false;
        e->yset = NULL;
        rcu_exec(t, o, p, e);
        break;
    case K_JOIN:
        mem_exec(t, o, p, e);
        e->n = (int)o->x;
        view_join(&t->cur, &M->t[o->x].cur);
        view_join(&t->acq, &t->cur);
        break;
    case K_START:
        mem_exec(t, o, p, e);
        e->n = (int)M->nstarted;
        break;
    case K_BEGIN:
        mem_exec(t, o, p, e);
        e->n = (int)o->x;
        view_join(&t->cur, M->started[o->x].view);
        view_join(&t->acq, &t->cur);
        break;
    default:
        mem_exec(t, o, p, e);
        break;
    }
}

/* --- one execution ---------------------------------------------------------------------------------------------- */

static bool spin_changed(const struct thread *t)
{
    unsigned n = 0;
    for (unsigned i = 0; i < M->nloc; i++)
        if (set_has(t->yset, (int)i))
            n += M->loc[i].n;
    return n != t->ycount;
}

bool thread_enabled(struct thread *t)
{
    if (!t->used || t->finished || t->stalled)
        return false;
    if (t->op.kind == K_RCU_BARRIER && rcu_pending(t->op.x))
        return false;
    if (t->op.kind == K_JOIN && !M->t[t->op.x].finished)
        return false;
    if (t->op.kind == K_BEGIN && M->nstarted <= t->op.x)
        return false;
    if (t->op.kind == K_RESUME) {
        struct opt out[MOPT];
        return op_options(t, out) > 0;
    }
    return !t->yielded || t->forced || spin_changed(t);
}

/* Threads that may move. If nobody may: the spinning thread that has spun least, or a sleeper whose time is up. */
static unsigned enabled_threads(void)
{
    unsigned mask = 0;
    for (unsigned i = 1; i <= M->nthreads; i++) {
        struct thread *t = &M->t[i];
        t->forced = false;
        if (M->stall_after >= 0 && M->client->stall == (int)i && t->ops >= (unsigned)M->stall_after)
            t->stalled = M->stalled_once |= !t->finished;
        if (thread_enabled(t))
            mask |= 1u << i;
    }
    if (mask != 0)
        return mask;
    struct thread *best = NULL;
    for (unsigned i = 1; i <= M->nthreads; i++) {
        struct thread *t = &M->t[i];
        if (!t->used || t->finished || t->stalled)
            continue;
        t->forced = true;
        if (thread_enabled(t) && (best == NULL || t->idle < best->idle)) {
            if (best != NULL)
                best->forced = false;
            best = t;
        } else {
            t->forced = false;
        }
    }
    if (best == NULL)
        return 0;
    if (best->idle_at != M->stores) {
        best->idle_at = M->stores;
        best->idle = 0;
    }
    if (++best->idle > IDLE_MAX)
        model_fail(best->op.file, best->op.line, "livelock: thread %d and all others spin or sleep, nothing changes",
                   best->id - 1);
    return 1u << best->id;
}

static void thread_reset(struct thread *t, int id)
{
    t->id = id;
    t->used = t->finished = t->stalled = t->asleep = t->woken = t->online = t->registered = false;
    t->yielded = t->forced = t->has_op = t->late = false;
    memset(&t->cur, 0, sizeof t->cur);
    memset(&t->acq, 0, sizeof t->acq);
    memset(&t->rel, 0, sizeof t->rel);
    memset(&t->lit, 0, sizeof t->lit);
    memset(&t->op, 0, sizeof t->op);
    memset(t->clk, 0, sizeof t->clk);
    memset(t->rset, 0, sizeof t->rset);
    memset(t->yset, 0, sizeof t->yset);
    memset(t->stale_n, 0, sizeof t->stale_n);
    t->seq = t->ops = t->idle = t->idle_at = 0;
    t->spurious_cas = M->client->spurious_cas;
    t->loose_cas = LOOSE_MAX;
    t->spurious_wake = M->client->spurious_wake;
    t->timeouts = M->client->timeouts;
    t->relaxes = M->client->free_relax;
    t->cur.clk[id] = t->acq.clk[id] = 1;
    t->cur.now = t->acq.now = 1000;
    if (M->tls_size > 0)
        memcpy(t->tls, M->tls_init, M->tls_size);
}

static void run_alone(void (*fn)(void))
{
    struct thread *t = &M->t[0];
    if (fn == NULL)
        return;
    t->fn = fn;
    t->finished = false;
    t->sp = fiber_prepare(t->stack, fiber_main);
    M->immediate = true;
    fiber_run(0);
    M->immediate = false;
}

static void fail_stuck(void)
{
    const char *what = "deadlock";
    char who[128] = "";
    struct thread *first = NULL;
    for (unsigned i = 1; i <= M->nthreads; i++) {
        struct thread *t = &M->t[i];
        if (t->finished || t->stalled)
            continue;
        if (first == NULL)
            first = t;
        if (t->asleep)
            what = "deadlock, lost wake-up";
        size_t n = strlen(who);
        snprintf(who + n, sizeof who - n, " %u", i - 1);
    }
    model_fail(first->op.file, first->op.line, "%s: threads%s can't go on", what, who);
}

static void run_body(void)
{
    run_alone(M->client->setup);
    M->nthreads = 0;
    M->t[0].cur.clk[0]++;
    while (M->nthreads < MODEL_THREADS_MAX && M->client->thread[M->nthreads] != NULL) {
        unsigned i = ++M->nthreads;
        struct thread *t = &M->t[i];
        t->used = true;
        t->fn = M->client->thread[i - 1];
        view_join(&t->cur, &M->t[0].cur);
        view_join(&t->acq, &t->cur);
        t->sp = fiber_prepare(t->stack, fiber_main);
        t->low = (uintptr_t)t->stack;
    }
    M->t[0].cur.clk[0]++;
    M->t[RECLAIMER].cur.clk[RECLAIMER] = 1;
    for (unsigned i = 1; i <= M->nthreads; i++)
        fiber_run((int)i);
    for (;;) {
        unsigned enabled = enabled_threads();
        if (enabled == 0)
            break;
        if (M->nev == MEV)
            model_fail("(engine)", 0, "livelock bound: more than %u steps in one execution", MEV);
        int tid;
        struct opt p;
        unsigned index;
        M->self = 0;
        if (M->in_a_row >= FAIR_MAX && (enabled & ~(1u << M->last_tid)) != 0)
            enabled &= ~(1u << M->last_tid);
        if (!search_choose(enabled, &tid, &p, &index)) {
            M->blocked = true;
            return;
        }
        struct thread *t = &M->t[tid];
        struct event *e = &M->ev[M->nev];
        M->self = tid;
        t->ops++;
        bool waiting = t->op.kind == K_FWAIT;
        op_exec(t, &t->op, p, e);
        e->opt_index = index;
        search_event(e);
        M->nev++;
        M->in_a_row = tid == M->last_tid ? M->in_a_row + 1 : 1;
        M->last_tid = tid;
        if (waiting && t->asleep)
            continue;
        fiber_run(tid);
    }
    bool stalled = false;
    for (unsigned i = 1; i <= M->nthreads; i++) {
        stalled |= M->t[i].stalled;
        if (!M->t[i].finished && !M->t[i].stalled)
            fail_stuck();
        if (M->t[i].online && !M->t[i].stalled)
            model_fail("(end)", 0, "thread %u ends while it is online for RCU", i - 1);
    }
    M->self = 0;
    for (unsigned i = 1; i < MT; i++)
        if (M->t[i].used) {
            view_join(&M->t[0].cur, &M->t[i].cur);
            view_join(&M->t[0].cur, &M->t[i].acq);
        }
    view_join(&M->t[0].acq, &M->t[0].cur);
    run_alone(M->client->check);
    M->self = 0;
    if (!stalled)
        alloc_final();
}

/* Runs the client once. Afterwards M->failed, M->blocked and M->ev tell what happened. */
void execution_run(void)
{
    for (unsigned i = 0; i < M->nkeep; i++)
        memcpy(M->image + ((char *)M->keep[i].p - M->data), M->keep[i].p, M->keep[i].n);
    memcpy(M->data, M->image, M->data_size);
    mem_reset();
    alloc_reset();
    M->nev = 0;
    M->failed = M->blocked = false;
    M->last_tid = 1;
    M->in_a_row = 0;
    M->nnames = M->nignore = M->nstarted = M->failing_starts = 0;
    M->nnext_sleep = 0;
    M->self = 0;
    for (unsigned i = 0; i < MT; i++)
        thread_reset(&M->t[i], (int)i);
    if (__builtin_setjmp(M->jmp) == 0)
        run_body();
    if (M->tls_size > 0)
        memcpy(M->tls, M->tls_init, M->tls_size);
}
