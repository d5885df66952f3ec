/* SPDX-License-Identifier: MIT
 *
 * os_linux.c - the contract of os.h on Linux: futex, membarrier, clock, memory and threads.
 *
 * Threads: as os.h; the only state is one cached address per thread.
 * Invariants: a block's size alone decides whether it is a mapping or heap memory, so os_free() needs no header.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/os.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base/compiler.h"
#include "os/os_fault.h"
#include "os/sanitizer.h"

#define NS_PER_S UINT64_C(1000000000)
#define OS_TICKS_MEASURE_NS UINT64_C(200000) /* reading both clocks is good to 0.1 us: an error below 1 in 1,000 */
#define TICK_SHIFT 32u                       /* ns per tick as a fixed-point number */
#define CPUID_POWER 0x80000007u
#define CPUID_INVARIANT_TSC (1u << 8)
#define TIMER_SLACK_NS 1ul                   /* the kernel's usual slack lets a sleep last 50 us longer than asked */
#define TIMER_SLACK_DEFAULT 0ul              /* what the thread had when it began */
#define THREAD_NAME_SIZE 16u                 /* bytes with the final zero: the kernel's limit */
#define STACK_LOW_GUESS ((uintptr_t)1 << 16) /* bytes below the current frame, if the stack's bounds are unknown */

/* Blocks of this many bytes are mapped, so that freeing them gives the memory back; AddressSanitizer sees heap only. */
#ifdef WEIR_ASAN
#define MAP_MIN SIZE_MAX
#define SPARSE_MIN SIZE_MAX
#else
#define MAP_MIN ((size_t)1 << 20)
#define SPARSE_MIN ((size_t)1 << 16) /* a choice: below it a mapping costs more than the pages that it saves */
#endif

#if defined(__x86_64__) || defined(__i386__)
#define RELAX_INSTRUCTION "pause"
#elif defined(__aarch64__)
#define RELAX_INSTRUCTION "isb"
#else
#define RELAX_INSTRUCTION ""
#endif

static _Thread_local uintptr_t stack_low; /* 0: not looked up yet */

/* --- sleeping and waking --- */

int os_futex_wait(weir_atomic_u32 *word, uint32_t expected, uint64_t deadline)
{
    struct timespec until = {(time_t)(deadline / NS_PER_S), (long)(deadline % NS_PER_S)};
    const struct timespec *timeout = deadline == OS_FOREVER ? NULL : &until;

    if (os_fault(OS_FAULT_FUTEX_SPURIOUS))
        return 0;
    if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, timeout, NULL,
                FUTEX_BITSET_MATCH_ANY) == -1 && errno == ETIMEDOUT)
        return -ETIMEDOUT;
    return 0; /* woken, another value, or a signal */
}

int os_futex_wake(weir_atomic_u32 *word, int n)
{
    long woken = syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, n, NULL, NULL, 0);

    return woken > 0 ? (int)woken : 0;
}

/* --- the asymmetric fence --- */

bool os_membarrier_init(void)
{
    if (os_fault(OS_FAULT_MEMBARRIER))
        return false;
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

/* The registration is gone where a kernel does not hand it on to a forked child. */
static COLD void membarrier_again(void)
{
    bool fenced = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 &&
                  syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;

    weir_assert(fenced); /* the caller's os_membarrier_init() said true */
    (void)fenced;
}

void os_membarrier(void)
{
    if (UNLIKELY(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0))
        membarrier_again();
}

/* --- time --- */

uint64_t os_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

#if defined(__x86_64__)
static inline uint64_t counter_read(void)
{
    return __builtin_ia32_rdtsc();
}

/* Whether the counter runs at one rate, also while a processor sleeps. */
static bool counter_is_steady(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(CPUID_POWER, &a, &b, &c, &d) && (d & CPUID_INVARIANT_TSC) != 0;
}
#elif defined(__aarch64__)
static inline uint64_t counter_read(void)
{
    uint64_t ticks;
    __asm__ __volatile__("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
}

static bool counter_is_steady(void)
{
    return true;
}
#else
static inline uint64_t counter_read(void)
{
    return 0;
}

static bool counter_is_steady(void)
{
    return false;
}
#endif

/* Written once, by os_ticks_init(). */
static struct {
    bool counter;        /* the processor's counter is used, else os_now() */
    uint64_t ns_per_tick; /* times 2^TICK_SHIFT */
} ticks;

static void measure_ticks(void)
{
    if (!counter_is_steady())
        return;
    uint64_t from = os_now(), first = counter_read(), now;
    while ((now = os_now()) - from < OS_TICKS_MEASURE_NS)
        os_relax();
    uint64_t n = counter_read() - first;
    if (n == 0)
        return;
    ticks.ns_per_tick = ((now - from) << TICK_SHIFT) / n;
    ticks.counter = ticks.ns_per_tick != 0;
}

void os_ticks_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, measure_ticks);
}

uint64_t os_ticks(void)
{
    return LIKELY(ticks.counter) ? counter_read() : os_now();
}

uint64_t os_ticks_to_ns(uint64_t n)
{
    return ticks.counter ? (uint64_t)((unsigned __int128)n * ticks.ns_per_tick >> TICK_SHIFT) : n;
}

unsigned os_cpu(void)
{
    int cpu = sched_getcpu();
    return cpu < 0 ? UINT_MAX : (unsigned)cpu;
}

void os_relax(void)
{
    __asm__ __volatile__(RELAX_INSTRUCTION ::: "memory");
}

void os_yield(void)
{
    sched_yield();
}

/* --- memory --- */

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) & ~(to - 1);
}

#define HUGE_MIN ((size_t)4 << 20)  /* bytes: from here on a mapping asks for huge pages */
#define HUGE_PAGE ((size_t)2 << 20) /* bytes: large mappings are aligned to it: huge pages fit and move whole */

/* A mapping is zeroed and aligned to a page; for more, map too much and cut off both ends. */
static void *map(size_t size, size_t align)
{
    size_t page = page_size();
    size_t want = round_up(size, page);
    size_t at = want >= HUGE_MIN && align < HUGE_PAGE ? HUGE_PAGE : align;
    size_t extra = at > page ? at - page : 0;
    char *p = mmap(NULL, want + extra, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t head;

    if (p == MAP_FAILED)
        return NULL;
    head = round_up((uintptr_t)p, at) - (uintptr_t)p;
    if (head > 0)
        munmap(p, head);
    if (extra > head)
        munmap(p + head + want, extra - head);
    if (want >= HUGE_MIN)
        madvise(p + head, want, MADV_HUGEPAGE); /* advice: a page fault costs more than filling the page with tasks */
    return p + head;
}

void *os_alloc(size_t size, size_t align)
{
    void *p;

    if (os_fault(OS_FAULT_ALLOC) || size > PTRDIFF_MAX - align)
        return NULL;
    if (size >= MAP_MIN)
        return map(size, align);
    p = aligned_alloc(align, round_up(size, align));
    if (p)
        memset(p, 0, size);
    return p;
}

void os_free(void *p, size_t size)
{
    if (!p || size < MAP_MIN)
        free(p);
    else
        munmap(p, round_up(size, page_size()));
}

void *os_alloc_sparse(size_t size, size_t align)
{
    if (size < SPARSE_MIN || size >= MAP_MIN)
        return os_alloc(size, align);
    return os_fault(OS_FAULT_ALLOC) ? NULL : map(size, align);
}

void os_free_sparse(void *p, size_t size)
{
    if (!p || size < SPARSE_MIN)
        os_free(p, size);
    else
        munmap(p, round_up(size, page_size()));
}

static void *copy_to(void *p, size_t size, size_t now, size_t align)
{
    void *to = os_alloc(now, align);

    if (to && p) {
        memcpy(to, p, size < now ? size : now);
        os_free(p, size);
    }
    return to;
}

/* Moves a mapping to a new place that suits huge pages; the old pages come along as they are. */
static void *move_to(void *p, size_t size, size_t now, size_t align)
{
    size_t page = page_size();
    void *place = map(now, align);
    void *to;

    if (!place)
        return NULL;
    to = mremap(p, round_up(size, page), round_up(now, page), MREMAP_MAYMOVE | MREMAP_FIXED, place);
    if (to == MAP_FAILED) {
        munmap(place, round_up(now, page));
        return NULL;
    }
    madvise(to, round_up(now, page), MADV_HUGEPAGE); /* advice, as in map() */
    return to;
}

void *os_resize(void *p, size_t size, size_t now, size_t align)
{
    size_t page = page_size();

    if (!p || size < MAP_MIN || now < MAP_MIN || align > page)
        return copy_to(p, size, now, align);
    if (os_fault(OS_FAULT_ALLOC) || now > PTRDIFF_MAX - align)
        return NULL;
    if (now > size && now >= HUGE_MIN)
        return move_to(p, size, now, align);
    if (now < size)
        memset((char *)p + now, 0, round_up(now, page) - now < size - now ? round_up(now, page) - now : size - now);
    void *to = mremap(p, round_up(size, page), round_up(now, page), MREMAP_MAYMOVE);
    return to == MAP_FAILED ? NULL : to;
}

void os_forget(void *p, size_t size)
{
    if (size >= MAP_MIN)
        madvise(p, size, MADV_FREE); /* advice: pages that the system does not take are there without a fault */
}

void os_drop(void *p, size_t size)
{
    if (size >= MAP_MIN)
        madvise(p, round_up(size, page_size()), MADV_DONTNEED);
}

/* --- threads --- */

/* All but those that a fault in the thread itself raises: blocked, they kill without asking the program's handler. */
static void signals_to_block(sigset_t *set)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

    sigfillset(set);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        sigdelset(set, own[i]);
}

static int attr_bind(pthread_attr_t *attr, int cpu)
{
    size_t cpus = (size_t)cpu + 1;
    size_t size = CPU_ALLOC_SIZE(cpus);
    cpu_set_t *set = CPU_ALLOC(cpus);
    int err;

    if (!set)
        return ENOMEM;
    CPU_ZERO_S(size, set);
    CPU_SET_S((size_t)cpu, size, set);
    err = pthread_attr_setaffinity_np(attr, size, set);
    CPU_FREE(set);
    return err;
}

static int attr_fill(pthread_attr_t *attr, size_t stack, int cpu)
{
    size_t least = (size_t)sysconf(_SC_THREAD_STACK_MIN);
    int err = pthread_attr_setstacksize(attr, round_up(stack < least ? least : stack, page_size()));

    return err == 0 && cpu >= 0 ? attr_bind(attr, cpu) : err;
}

/* Best effort: a thread without a name works as well. */
static void thread_name(pthread_t id, const char *name)
{
    char cut[THREAD_NAME_SIZE] = {0};

    for (size_t i = 0; i < THREAD_NAME_SIZE - 1 && name[i]; i++)
        cut[i] = name[i];
    pthread_setname_np(id, cut);
}

int os_thread_start(struct os_thread *t, const char *name, size_t stack, int cpu, void *(*fn)(void *), void *arg)
{
    pthread_attr_t attr;
    sigset_t block, before;
    int err;

    if (os_fault(OS_FAULT_THREAD))
        return -EAGAIN;
    if (pthread_attr_init(&attr) != 0)
        return -ENOMEM;
    err = attr_fill(&attr, stack, cpu);
    if (err == 0) {
        signals_to_block(&block);
        pthread_sigmask(SIG_SETMASK, &block, &before); /* the new thread inherits it */
        err = pthread_create(&t->id, &attr, fn, arg);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attr);
    if (err == 0)
        thread_name(t->id, name);
    return err == 0 || err == EAGAIN || err == ENOMEM ? -err : -EINVAL;
}

void os_thread_join(struct os_thread *t)
{
    pthread_join(t->id, NULL);
}

void os_exact_sleeps(bool exact)
{
    prctl(PR_SET_TIMERSLACK, exact ? TIMER_SLACK_NS : TIMER_SLACK_DEFAULT);
}

static COLD uintptr_t stack_low_slow(void)
{
    pthread_attr_t attr;
    void *low = NULL;
    size_t size = 0;

    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        pthread_attr_getstack(&attr, &low, &size);
        pthread_attr_destroy(&attr);
    }
    stack_low = low ? (uintptr_t)low : (uintptr_t)__builtin_frame_address(0) - STACK_LOW_GUESS;
    return stack_low;
}

static pthread_once_t exit_once = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key;
static bool has_exit_key;

static void run_exits(void *first)
{
    for (struct os_exit *e = first, *next; e != NULL; e = next) {
        next = e->next; /* fn may hand e to another thread */
        e->fn(e->arg);
    }
}

static void make_exit_key(void)
{
    has_exit_key = pthread_key_create(&exit_key, run_exits) == 0;
}

bool os_at_thread_exit(struct os_exit *e)
{
    if (pthread_once(&exit_once, make_exit_key) != 0 || !has_exit_key)
        return false;
    e->next = pthread_getspecific(exit_key);
    return pthread_setspecific(exit_key, e) == 0;
}

uintptr_t os_stack_low(void)
{
    return LIKELY(stack_low != 0) ? stack_low : stack_low_slow();
}
