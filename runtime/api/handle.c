/* SPDX-License-Identifier: MIT
 *
 * handle.c - the table of runtimes of this process, and who is inside of them.
 *
 * A thread is inside by a mark in a record of its own, the visitor, which it writes without a locked operation; the
 * closer reads all of them behind a heavy fence. Who has no visitor (VISITORS_MAX threads have one, if the asymmetric
 * fence is there), or is inside of something already, is counted instead.
 *
 * Threads: as handle.h; a visitor's `nested` belongs to its thread. Invariants: see handle.h. Calls of a thread are
 * nested: the one by mark, if any, lies beneath all that were counted since.
 */
#include "api/handle.h"

#include <errno.h>

#include "sync/thread_record.h"

#define INDEX_BITS 8
#define INDEX_MASK 0xffu
#define CLOSING (UINT32_C(1) << 31) /* users: the closer waits for the count to fall to itself */

struct entry {
    weir_atomic_u64 generation; /* of the handle that is open, 0: none */
    weir_atomic_u64 dead;       /* last generation that a fork made unusable here */
    weir_atomic_u32 users;      /* callers inside that are counted, and CLOSING */
    weir_atomic_u32 left;       /* visitors that left while CLOSING was set; futex word of the closer */
    weir_atomic_u32 taken;      /* 1: reserved */
    weir_atomic_u32 stopping;   /* 1: somebody is in weir_stop() */
    uint64_t last;              /* generation given out last; holder of `taken` only */
    struct runtime *rt;
} ALIGNED(LINE_PAIR);

static struct entry table[WEIR_RUNTIMES_MAX];

#ifndef VISITORS_MAX
#define VISITORS_MAX 256u
#endif

struct visitor {
    struct thread_record record;
    weir_atomic_ptr inside; /* the handle under which its thread is inside by mark, or NULL */
    uint32_t nested;        /* counted calls of the thread above the one by mark */
} ALIGNED(CACHE_LINE);

static_assert(offsetof(struct visitor, record) == 0, "as thread_record_claim() wants it");
static struct visitor visitors[VISITORS_MAX];
static _Thread_local struct visitor *own __attribute__((tls_model("initial-exec")));
static _Thread_local bool has_asked __attribute__((tls_model("initial-exec"))); /* for a visitor */

/* --- visitors --------------------------------------------------------------------------------------------------- */

static void visitor_leave(void *v)
{
    own = NULL;
    has_asked = false; /* other exit functions of this thread may call us still */
    thread_record_release(&((struct visitor *)v)->record);
}

/* NULL: all are taken, or there is no asymmetric fence. */
static NOINLINE struct visitor *visitor_claim(void)
{
    has_asked = true;
    if (!os_membarrier_init())
        return NULL;
    struct thread_record *r = thread_record_claim(visitors, sizeof(visitors[0]), VISITORS_MAX, visitor_leave);
    return own = r != NULL ? CONTAINER_OF(r, struct visitor, record) : NULL;
}

static inline weir_runtime *inside_of(const struct visitor *v)
{
    return atom_load(&v->inside, memory_order_relaxed); /* relaxed: the thread's own word */
}

static inline bool is_nested(const struct visitor *v)
{
    plain_reads(v->nested); /* [TR1] */
    return v->nested > 0;
}

/* The calling thread's, if it is inside of nothing. */
static inline struct visitor *free_visitor(void)
{
    struct visitor *v = own;
    if (UNLIKELY(v == NULL) && !has_asked)
        v = visitor_claim();
    return v != NULL && inside_of(v) == NULL ? v : NULL;
}

/* --- the table -------------------------------------------------------------------------------------------------- */

static weir_runtime *encode(uint32_t index, uint64_t generation)
{
    return (weir_runtime *)(uintptr_t)(generation << INDEX_BITS | (index + 1));
}

static uint64_t generation_of(weir_runtime *h)
{
    return (uint64_t)(uintptr_t)h >> INDEX_BITS;
}

static inline uintptr_t index_of(weir_runtime *h)
{
    return ((uintptr_t)h & INDEX_MASK) - 1;
}

/* Of what may be no handle: NULL then. */
static struct entry *entry_of(weir_runtime *h)
{
    return index_of(h) >= WEIR_RUNTIMES_MAX || generation_of(h) == 0 ? NULL : &table[index_of(h)];
}

/* Of a handle by which the caller is inside. */
static struct entry *entry_inside(weir_runtime *h)
{
    return &table[index_of(h)];
}

int handle_reserve(uint32_t *index)
{
    for (uint32_t i = 0; i < WEIR_RUNTIMES_MAX; i++) {
        uint32_t no = 0;
        /* [HA1] acquire: the entry as its last holder left it; pairs with handle_unreserve(). */
        if (atom_cas(&table[i].taken, &no, 1u, memory_order_acquire, memory_order_relaxed)) {
            *index = i;
            return 0;
        }
    }
    return -EMFILE;
}

void handle_unreserve(uint32_t index)
{
    atom_store(&table[index].taken, 0u, memory_order_release); /* [HA1] release: pairs with handle_reserve() */
}

weir_runtime *handle_open(uint32_t index, struct runtime *rt)
{
    struct entry *e = &table[index];
    plain_writes(e->rt); /* [HA1] and e->last */
    e->rt = rt;
    rt->handle = index;
    e->last++;
    /* [HA2] release: the runtime before its generation; pairs with handle_enter(). */
    atom_store(&e->generation, e->last, memory_order_release);
    return encode(index, e->last);
}

weir_runtime *handle_of(uint32_t index)
{
    /* relaxed: the caller runs on one of the runtime's workers */
    return encode(index, atom_load(&table[index].generation, memory_order_relaxed));
}

/* Whether a fork has made the handle unusable in this process. */
static inline bool is_dead(weir_runtime *h, const struct entry *e)
{
    /* relaxed: written before this process had a second thread */
    return atom_load(&e->dead, memory_order_relaxed) >= generation_of(h);
}

static void leave_nested(void)
{
    if (own != NULL && is_nested(own)) {
        plain_writes(own->nested); /* [TR1] */
        own->nested--;
    }
}

static NOINLINE void leave_counted(struct entry *e)
{
    leave_nested();
    /* [HA4] release: what the caller did inside; pairs with handle_close(). */
    if (atom_sub(&e->users, 1u, memory_order_release) == (CLOSING | 2))
        os_futex_wake(&e->users, 1); /* the table is static: always there */
}

/* False: the caller is not inside by mark, but counted. */
static inline bool leave_by_mark(weir_runtime *h, struct entry *e)
{
    struct visitor *v = own;
    if (UNLIKELY(v == NULL || is_nested(v) || inside_of(v) != h))
        return false;
    /* [HA4] release: what the caller did inside; pairs with visitors_left(). */
    atom_store(&v->inside, NULL, memory_order_release);
    /* [HA7] light: the mark is gone, then the look at CLOSING; pairs with the heavy fence in handle_close(). */
    atom_light();
    if (UNLIKELY(atom_load(&e->users, memory_order_relaxed) & CLOSING)) { /* relaxed: ordered by [HA7] */
        atom_add(&e->left, 1u, memory_order_release); /* [HA9] release: the mark is gone; pairs with visitors_left() */
        os_futex_wake(&e->left, 1);                   /* the table is static: always there */
    }
    return true;
}

/* The handle is stale; the caller is inside. */
static NOINLINE int refuse(weir_runtime *h, struct entry *e)
{
    if (!leave_by_mark(h, e))
        leave_counted(e);
    return is_dead(h, e) ? -EOWNERDEAD : -ESHUTDOWN;
}

/* The caller is inside, by mark or counted. */
static inline int look_inside(weir_runtime *h, struct entry *e, struct runtime **rt)
{
    /* [HA2] acquire: the runtime behind the generation; pairs with handle_open(). */
    if (LIKELY(atom_load(&e->generation, memory_order_acquire) == generation_of(h))) {
        plain_reads(e->rt); /* [HA2] */
        *rt = e->rt;
        return 0;
    }
    return refuse(h, e);
}

static NOINLINE int enter_counted(weir_runtime *h, struct entry *e, struct runtime **rt)
{
    if (own != NULL && inside_of(own) != NULL) {
        plain_writes(own->nested); /* [TR1] */
        own->nested++;
    }
    /* [HA3] acquire: who counts in behind the closer sees the closed generation; pairs with handle_close(). */
    atom_add(&e->users, 1u, memory_order_acquire);
    return look_inside(h, e, rt);
}

static inline int enter_by_mark(weir_runtime *h, struct entry *e, struct visitor *v, struct runtime **rt)
{
    atom_store(&v->inside, h, memory_order_relaxed); /* relaxed: ordered by [HA6] */
    /* [HA6] light: the mark, then the generation; pairs with the heavy fence in handle_close(). */
    atom_light();
    return look_inside(h, e, rt);
}

/* The first call of a thread, one from inside, or one of a thread without a visitor. */
static NOINLINE int enter_slow(weir_runtime *h, struct entry *e, struct runtime **rt)
{
    struct visitor *v = free_visitor();
    return v != NULL ? enter_by_mark(h, e, v, rt) : enter_counted(h, e, rt);
}

int handle_enter(weir_runtime *h, struct runtime **rt)
{
    struct entry *e = entry_of(h);
    struct visitor *v = own;
    if (UNLIKELY(e == NULL))
        return -EINVAL;
    if (UNLIKELY(v == NULL || inside_of(v) != NULL))
        return enter_slow(h, e, rt);
    return enter_by_mark(h, e, v, rt);
}

int handle_enter_to_stop(weir_runtime *h, struct runtime **rt)
{
    struct entry *e = entry_of(h);
    return e == NULL ? -EINVAL : enter_counted(h, e, rt);
}

void handle_leave(weir_runtime *h)
{
    struct entry *e = entry_inside(h);
    if (LIKELY(leave_by_mark(h, e)))
        return;
    if (UNLIKELY(is_dead(h, e)))
        leave_nested(); /* it was counted before the fork, and all counts began anew */
    else
        leave_counted(e);
}

/* Behind a heavy fence: whether nobody is inside by mark. */
static bool nobody_visits(weir_runtime *h)
{
    for (uint32_t i = 0; i < VISITORS_MAX; i++)
        /* [HA4] acquire: what the visitor did inside; pairs with leave_by_mark(). */
        if (atom_load(&visitors[i].inside, memory_order_acquire) == h)
            return false;
    return true;
}

/* Waits until nobody is inside by mark. 0 or -ETIMEDOUT. */
static int visitors_left(weir_runtime *h, struct entry *e, uint64_t deadline)
{
    for (;;) {
        /* [HA9] acquire: who is counted here is seen to be gone below; pairs with leave_by_mark(). */
        uint32_t left = atom_load(&e->left, memory_order_acquire);
        if (nobody_visits(h))
            return 0;
        if (os_futex_wait(&e->left, left, deadline) == -ETIMEDOUT)
            return nobody_visits(h) ? 0 : -ETIMEDOUT;
    }
}

/* Waits until only the closer is counted. 0 or -ETIMEDOUT. */
static int users_left(struct entry *e, uint64_t deadline)
{
    for (;;) {
        uint32_t users = atom_load(&e->users, memory_order_acquire); /* [HA4] acquire: pairs with leave_counted() */
        if (users == (CLOSING | 1))
            return 0;
        if (os_futex_wait(&e->users, users, deadline) == -ETIMEDOUT)
            return -ETIMEDOUT;
    }
}

int handle_close(weir_runtime *h, uint64_t deadline)
{
    struct entry *e = entry_of(h);
    atom_store(&e->generation, UINT64_C(0), memory_order_relaxed); /* relaxed: released with CLOSING */
    /* [HA3] release: the closed generation before CLOSING. Of a caller's addition and this one is first: then either
     * its count is seen below, or it sees the closed generation; pairs with handle_enter(). */
    atom_or(&e->users, CLOSING, memory_order_release);
    /* [HA6] [HA7] heavy: whoever is inside is seen below, or sees the closed generation; whoever leaves is seen to be
     * gone, or sees CLOSING; pairs with the light fences in handle_enter() and leave_by_mark(). */
    if (os_membarrier_init())
        os_membarrier();
    if (visitors_left(h, e, deadline) != 0 || users_left(e, deadline) != 0) {
        atom_and(&e->users, ~CLOSING, memory_order_relaxed); /* relaxed: nobody waits for the count any more */
        /* [HA2] release: as in handle_open(). */
        atom_store(&e->generation, generation_of(h), memory_order_release);
        return -ETIMEDOUT;
    }
    plain_writes(e->rt); /* [HA1] */
    e->rt = NULL;
    atom_sub(&e->users, CLOSING | 1u, memory_order_relaxed); /* relaxed: late callers only count in and out */
    atom_store(&e->stopping, 0u, memory_order_relaxed);      /* relaxed: released by handle_unreserve() */
    handle_unreserve((uint32_t)(e - table));
    return 0;
}

bool handle_begin_stop(weir_runtime *h)
{
    /* [HA5] acquire: what the last stopper did; pairs with handle_end_stop(). */
    return atom_xchg(&entry_of(h)->stopping, 1u, memory_order_acquire) == 0;
}

void handle_end_stop(weir_runtime *h)
{
    atom_store(&entry_of(h)->stopping, 0u, memory_order_release); /* [HA5] release: pairs with handle_begin_stop() */
}

void handle_after_fork(void)
{
    /* relaxed, all: the child has one thread */
    for (uint32_t i = 0; i < WEIR_RUNTIMES_MAX; i++) {
        struct entry *e = &table[i];
        uint64_t open = atom_load(&e->generation, memory_order_relaxed);
        if (open != 0)
            atom_store(&e->dead, open, memory_order_relaxed);
        atom_store(&e->generation, UINT64_C(0), memory_order_relaxed);
        atom_store(&e->users, 0u, memory_order_relaxed);
        atom_store(&e->stopping, 0u, memory_order_relaxed);
        atom_store(&e->taken, 0u, memory_order_relaxed);
        e->rt = NULL;
    }
    for (uint32_t i = 0; i < VISITORS_MAX; i++) {
        if (&visitors[i] == own)
            continue;
        atom_store(&visitors[i].inside, NULL, memory_order_relaxed);
        visitors[i].nested = 0;
        thread_record_release(&visitors[i].record);
    }
    worker_set_self(NULL);
}
