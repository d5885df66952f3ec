/* SPDX-License-Identifier: MIT
 *
 * model.h - what a client of the model checker sees: its description, assertions, payload marks, options, results.
 *
 * A client is a C file that is linked with the engine and with the unmodified runtime sources under test. It describes
 * a tiny program: setup, up to six threads, a check at the end. The engine runs that program again and again, each time
 * with another interleaving and with other stores being read, until there is no other one (docs/testing.md).
 *
 * Threads: everything here is called from inside a client's functions, except model_check() and model_main().
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model_atomics.h"

#define MODEL_THREADS_MAX 6u

struct model_client {
    const char *name;
    void (*setup)(void);                        /* runs alone, before the threads; may be NULL */
    void (*thread[MODEL_THREADS_MAX])(void);    /* ends at the first NULL */
    void (*check)(void);                        /* runs alone, after the threads; may be NULL */
    int preemptions;       /* most preemptions in an execution; 0: no bound. A bound that cuts is reported */
    int deep_preemptions;  /* the same for --deep */
    int spurious_cas;      /* how often per thread a weak compare-and-swap may fail for no reason */
    int spurious_wake;     /* how often per thread a futex wait may return for no reason */
    int timeouts;          /* how often per thread a futex wait with a deadline may time out while others could run */
    int free_relax;        /* how many os_relax() per thread cost nothing, before the fairness rule applies */
    bool reuse;            /* freed memory is handed out again at once, at the same address */
    bool down;             /* each allocation has a lower address than those before, not a higher one */
    bool no_membarrier;    /* the system has no asymmetric fence */
    bool leaks_ok;         /* tracked memory may be left at the end */
    int stall;             /* n > 0: thread n - 1 also stops for ever, at each of its operations in turn */
    bool deep_only;        /* too large for the normal run */
    bool pct;              /* random search (PCT) also in the normal run: the client is too large to be exhausted */
    int pct_depth;         /* priority change points in an execution (default 3) */
    uint64_t executions;   /* most executions in the normal run; 0: the engine's default */
    const char *expect;    /* a seeded bug: the failure message must contain this; NULL: the client must pass */
    int tag;               /* for the client's own use, see model_tag() */
};

enum model_verdict { MODEL_PASS, MODEL_FAIL, MODEL_BROKEN /* the client itself, for example not deterministic */ };

#define MODEL_OUTCOMES_MAX 256u

struct model_options {
    bool pct;             /* random search instead of depth first */
    uint64_t seed;
    uint64_t executions;  /* most executions; 0: no limit */
    double seconds;       /* most seconds; 0: no limit */
    const char *replay;   /* token of a failure: run exactly that execution and print it */
    bool deep;
    bool naive;           /* every interleaving, without reduction: to check the reduction itself */
    bool quiet;           /* no report of a failure on standard output */
};

struct model_result {
    enum model_verdict verdict;
    bool exhausted;          /* every execution was explored, no bound cut anything */
    uint64_t executions;     /* complete ones */
    uint64_t redundant;      /* abandoned: equivalent to one already explored */
    uint64_t cut_preemption; /* schedules not followed because of the preemption bound */
    uint64_t cut_stale;      /* repeated reads of the same overwritten store that were not followed */
    bool cut_limit;          /* the limit on executions or seconds ended the search */
    double seconds;
    unsigned longest;        /* steps in the longest execution */
    char message[512];       /* what failed */
    char token[4096];        /* replays the failure */
    unsigned outcomes;
    uint64_t outcome[MODEL_OUTCOMES_MAX]; /* what model_outcome() recorded, each value once */
};

/* Static data is restored before each execution; this memory is not. */
void model_keep(void *p, size_t size);
void model_check(const struct model_client *c, const struct model_options *o, struct model_result *r);
/* A test program: runs the clients, prints a line for each and a summary. Returns main's exit status. */
int model_main(int argc, char **argv, const struct model_client *clients, size_t n);

/* Ends the execution as failed. */
void model_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4), noreturn));
#define MODEL_ASSERT(x) ((x) ? (void)0 : model_fail(__FILE__, __LINE__, "assertion failed: %s", #x))

/* Payload: plain memory whose accesses must be ordered by what the threads do with atomics. */
#define MODEL_READ(x) (WEIR_PLAIN_READS(x), (x))
#define MODEL_WRITE(x, value) (WEIR_PLAIN_WRITES(x), (x) = (value))

/* Tracked memory: touching it after it was freed, freeing it twice or never is a failure. os_alloc() is the same. */
void *model_alloc(size_t size);
void model_free(void *p);

/* Runs the i-th thread that the sources under test have started with os_thread_start(); waits until they have. */
void model_started(unsigned i);
/* The next n calls of os_thread_start() are refused. Called in setup. */
void model_starts_fail(unsigned n);

/* Names an atomic word in printed interleavings. */
void model_name(const void *p, const char *name);
/* Atomics in this memory are plain and free: counters that are not under test. Called in setup. */
void model_ignore(const void *p, size_t size);
/* Records what an execution resulted in (model_result.outcome). Called in check. */
void model_outcome(uint64_t value);
/* Number of the calling client thread, from 0; -1 in setup and check. */
int model_thread(void);
/* Whether the thread that client.stall names has been stopped for ever in this execution. */
bool model_stalled(void);
/* The tag of the client that runs. */
int model_tag(void);
/* The thread goes on as another one would begin: what it has asked for at its end (os_at_thread_exit()) is done. */
void model_end_thread(void);
/* Makes the calling thread's next steps wait until another thread has changed what it read: the body of a spin loop. */
void model_relax(void);

#endif
