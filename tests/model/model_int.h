/* SPDX-License-Identifier: MIT
 *
 * model_int.h - the engine's own structures: views, stores, events, threads, search nodes.
 *
 * Threads: the engine runs on one OS thread; client threads are fibers of it.
 * Invariants: everything below `struct model` is reset before each execution, nodes excepted. One event is one node.
 */
#ifndef MODEL_INT_H
#define MODEL_INT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include "model.h"
#include "model_atomics.h"

#define MT 8u            /* thread slots: 0 setup and check, 1..6 clients, 7 the reclaimer */
#define RECLAIMER 7
#define MLOC 512u        /* atomic words in an execution */
#define MEV 3000u        /* steps in an execution */
#define MBLK 512u        /* tracked blocks in an execution */
#define MOPT 64u         /* choices at a step */
#define LSET (MLOC / 64u)
#define STACK_SIZE (256u * 1024u)
#define ARENA_SIZE (64u * 1024u * 1024u)
#define POOL_SIZE (64u * 1024u * 1024u)
#define STALE_MAX 8u     /* reads of one overwritten store in a row, by one thread, that are followed */
#define FAIR_MAX 250u    /* steps in a row while others could move; then another thread moves */
#define IDLE_MAX 200u    /* rounds of spinning with nobody making progress: a livelock */
#define RELAX_NS 20000u   /* by which a pause moves the clock on: loops that spin for a while come to an end */
#define LOOSE_MAX 2       /* spurious failures per thread of a compare-and-swap that a mutant has made weak */
#define NO_STORE 0xffffu
#define POISON 0xddu

/* What a thread knows: a clock per thread (happens-before) and the newest store per location that it must see. */
struct view {
    uint64_t now; /* the clock that it has seen */
    uint32_t clk[MT];
    uint16_t n; /* at[n] and above are 0 */
    uint16_t at[MLOC];
};

struct store {
    uint64_t val;
    const struct view *view; /* what an acquire read of it learns; NULL: nothing */
    uint16_t pos;            /* place in modification order */
    int16_t ev;              /* event that wrote it; -1: setup or initial value */
    uint8_t tid;
    bool taken;              /* a read-modify-write follows it directly */
    bool plain;              /* written by a plain assignment */
    uint32_t clk;            /* writer's clock then */
};

struct loc {
    uintptr_t addr;
    uint8_t size;
    bool dead;
    int8_t stack; /* thread on whose stack it is, or -1 */
    int16_t blk;  /* tracked block, or -1 */
    uint16_t n, cap;
    uint16_t plain; /* newest store that was a plain assignment, NO_STORE: none */
    struct store *st;
    uint16_t *mo;
    uint64_t mirror; /* what memory contains as far as the engine knows */
};

struct block {
    uintptr_t base;
    size_t size;
    bool freed;
    uint8_t alloc_tid;
    uint32_t alloc_clk;
    uint32_t last[MT]; /* clock of each thread's last access */
    int16_t freed_ev;
};

enum kind {
    K_LOAD, K_STORE, K_RMW, K_CAS, K_FENCE, K_LIGHT, K_HEAVY, K_FWAIT, K_FWAKE, K_RESUME, K_RELAX,
    K_RCU_ONLINE, K_RCU_OFFLINE, K_RCU_RETIRE, K_RCU_BARRIER, K_JOIN, K_START, K_BEGIN
};

struct op {
    enum kind kind;
    int order, fail, what;
    bool weak;
    bool loose; /* made weak by the mutant: fails spuriously on the mutant's account */
    int loc; /* -1: none */
    unsigned size;
    unsigned shift; /* a 4 byte access to the upper half of an 8 byte word */
    uint64_t x, expected;
    uint64_t deadline;
    const char *file;
    int line;
    void *ptr;
    void *fn;
    uint64_t result;
    bool ok;
};

enum { M_OK, M_FAIL, M_SPURIOUS, M_TIMEOUT };
struct opt {
    uint16_t store; /* the store that is read, or after which is written */
    uint16_t mode;
};

/* An operation with its choice made: what commutes with what is decided on these. */
struct event {
    uint8_t tid, kind, mode;
    bool r, w, rmw, sc, gp;
    int order, what;
    int loc;
    uint16_t rd, wr, pred, bound;
    uint16_t pos; /* of the store written, at that time */
    uint64_t rval, wval;
    uint16_t seq;     /* number of this event among its thread's, from 1 */
    uint16_t clk[MT]; /* events of each thread that this one depends on */
    int16_t settles[MT]; /* per thread: 1 + location of its late store that this event puts into the seq_cst order */
    const uint64_t *rset, *yset;
    const char *file;
    int line;
    unsigned opt_index;
    int n; /* futex: woken; join: the thread; start, begin: number of the started thread */
};

struct sleeper {
    uint8_t tid;
    struct opt opt;
};

struct node {
    uint8_t tid;
    uint8_t enabled, backtrack, done;
    bool opts_known;
    uint8_t nopt, cur;
    struct opt opt[MOPT]; /* of tid, without those asleep */
    uint16_t nsleep, csleep;
    struct sleeper *sleep;
    uint16_t seq;
    uint16_t clk[MT];
    uint16_t preempt;
    uint8_t kind;
    int loc;
};

struct thread {
    int id;
    bool used, finished, stalled, asleep, woken, online, registered, yielded, forced;
    void *sp;
    char *stack;
    char *tls;
    void (*fn)(void);
    struct view cur, acq, rel, lit; /* lit: cur at the last light fence */
    bool late;                      /* its last seq_cst store is not in the seq_cst order yet */
    int late_loc;
    uint16_t late_id;
    struct op op;
    bool has_op;
    unsigned seq;
    uint16_t clk[MT];
    int spurious_cas, spurious_wake, timeouts, relaxes;
    int loose_cas; /* the same for the compare-and-swap that the mutant has made weak */
    unsigned ops;
    uint64_t rset[LSET]; /* locations read since the last relax */
    uint64_t yset[LSET]; /* what it waits for a change of, while yielded */
    unsigned ycount;     /* stores in those locations when it yielded */
    unsigned idle;
    unsigned idle_at;    /* number of stores in the execution when idle was last counted */
    uint16_t stale_id[MLOC];
    uint8_t stale_n[MLOC];
    int sleep_loc;
    uint16_t woken_by;   /* the word's newest store that the waker knew */
    uintptr_t low;       /* stack pointer when it last stopped */
};

struct grace {
    bool used;
    uint64_t serial;
    void *node;
    void *fn;
    unsigned waiting;  /* threads that were online */
    struct view known; /* what the retiring thread knew: a reader that comes later knows it as well */
    struct view view;  /* what the reclaimer knows: that, and all that readers did until they were offline */
};

struct payload {
    uintptr_t addr;
    uint32_t gen;
    int8_t wtid;
    uint32_t wclk;
    uint32_t rclk[MT];
    const char *file;
    int line;
};
#define PAYLOADS 1024u

/* One operation of the sources under test that is weaker than its text says (model_mutate.c). */
struct mutant {
    const char *text; /* as given on the command line; NULL: none */
    char path[96];    /* the source: the last part of its path */
    int line_from, line_to;
    enum kind kind;
    int order, fail;  /* as the source has them */
    enum { MUTANT_ORDER, MUTANT_FAIL, MUTANT_REMOVED, MUTANT_WEAK } what;
    int to;           /* the weaker order */
};

/* A place in the sources whose operation has been executed. */
struct site {
    const char *file;
    int line;
    enum kind kind;
    int order, fail;
};
#define SITES 1024u

struct model {
    const struct model_client *client;
    const struct model_options *opts;
    struct model_result *res;
    struct thread t[MT];
    int self;
    bool immediate; /* setup, check, reclaim: no scheduling, newest store is read */
    void *sched_sp;
    unsigned nthreads;
    struct loc loc[MLOC];
    unsigned nloc;
    struct { uintptr_t addr; uint32_t gen; int id; } hash[2048];
    uint32_t gen;
    struct view sc;         /* of the seq_cst order: locations only */
    struct view heavy;      /* of all heavy fences */
    struct view rcu_known;  /* what was known when the grace periods began that have ended */
    struct view rcu_done;   /* what ended grace periods and their reclaimers know */
    struct view rcu_off;    /* what threads did before they went offline */
    struct grace grace[32];
    uint64_t graces;
    uint16_t futex[MLOC];      /* per word: the newest store that a waker knew */
    struct block blk[MBLK];
    unsigned nblk;
    char *arena;
    size_t arena_used;
    char *pool;
    size_t pool_used;
    struct payload pay[PAYLOADS];
    struct event ev[MEV];
    unsigned nev;
    struct node node[MEV];
    unsigned nnode, replay_to; /* nodes; events below replay_to repeat an earlier execution */
    bool failed, blocked, done;
    bool broken;
    unsigned stores;
    int last_tid;
    unsigned in_a_row;
    uint64_t rng;
    unsigned prio[MT];
    unsigned change[32], nchange;
    int stall_after;    /* operations after which the stalling thread stops; -1: it does not */
    bool stalled_once;  /* it had so many */
    unsigned pct_steps;
    uint64_t cuts_preempt, cuts_stale;
    struct { const void *p; size_t n; } ignore[16];
    unsigned nignore;
    struct { uintptr_t p; const char *name; } names[64];
    unsigned nnames;
    struct { void *p; size_t n; } keep[4];
    unsigned nkeep;
    struct {
        void *fn, *arg, *handle;
        int tid;
        const struct view *view; /* what its starter knew */
        bool in_run;             /* started while the client ran, not in setup */
    } started[MODEL_THREADS_MAX]; /* by os_thread_start() */
    unsigned nstarted;
    unsigned failing_starts; /* so many calls of os_thread_start() are refused */
    const char *replay;
    char *image;
    int bound;       /* preemptions; -1: none */
    void *jmp[5];
    char *data;      /* the program's static data, saved in `image` and restored before each execution */
    size_t data_size;
    char *tls;       /* the program's thread-local block: each fiber has its own contents */
    size_t tls_size;
    char *tls_init;
    struct sleeper next_sleep[MEV]; /* what is asleep at the node that comes next */
    unsigned nnext_sleep;
    unsigned dead_end;              /* steps of abandoned executions */
    struct mutant mutant;
    bool list_sites;
    struct site site[SITES]; /* by hash; of the client that runs */
    unsigned nsites;
};
extern struct model *M;

/* model_loc.c: views and locations */
void mem_reset(void);
void *pool_get(size_t n);
int mem_loc(const void *p, unsigned size, bool key, const char *file, int line);
int mem_find(uintptr_t addr);
void mem_kill(uintptr_t base, size_t size);
void mem_scan(struct thread *t);
void check_plain(const struct thread *t, int loc, const char *file, int line);
uint16_t loc_pos(int loc, uint16_t id);
uint16_t store_add(int loc, uint16_t pred, uint64_t val, const struct view *v, unsigned tid);
void view_join(struct view *d, const struct view *s);
void view_join_locs(struct view *d, const struct view *s);
void view_see(struct view *v, int loc, uint16_t id);
const struct view *view_keep(const struct view *v);

/* model_mem.c: the memory model */
unsigned mem_options(struct thread *t, const struct op *o, struct opt *out);
void mem_describe(const struct thread *t, const struct op *o, struct opt p, struct event *e);
void mem_exec(struct thread *t, struct op *o, struct opt p, struct event *e);

/* model_alloc.c: tracked memory, payload, reclamation */
void alloc_reset(void);
struct block *block_of(uintptr_t addr);
void block_access(struct thread *t, uintptr_t addr, const char *file, int line);
void alloc_final(void);
void *alloc_get(size_t size, size_t align);
void alloc_put(void *p, const char *file, int line);
void rcu_exec(struct thread *t, struct op *o, struct opt p, struct event *e);
unsigned rcu_options(struct thread *t, const struct op *o, struct opt *out);
bool rcu_pending(uint64_t serial);

/* model_sched.c: fibers and one execution */
void sched_init(void);
void execution_run(void);
void op_post(struct op *o);
bool thread_enabled(struct thread *t);
unsigned op_options(struct thread *t, struct opt *out);
struct thread *self(void);

/* model_order.c: what commutes with what */
bool ordered_pair(const struct event *a, const struct event *b);
unsigned still_asleep(const struct event *z, const struct event *e, struct opt out[2]);
bool depends(const struct event *a, const struct event *b);
bool races(const struct event *a, const struct event *b);

/* model_search.c: choices */
bool search_choose(unsigned enabled, int *tid, struct opt *opt, unsigned *index);
void search_event(struct event *e);

/* model_mutate.c: one operation weaker than its text */
bool mutate(struct op *o);
void mutant_set(const char *text);
void sites_print(void);

/* model_trace.c: printing */
void trace_print(FILE *f);
void trace_token(char *out, size_t size);
const char *loc_name(int loc, char *buf, size_t n);

void model_vfail(const char *file, int line, const char *format, va_list ap) __attribute__((noreturn));
void model_die(const char *what) __attribute__((noreturn));

static inline bool set_has(const uint64_t *s, int i)
{
    return s != NULL && i >= 0 && (s[(unsigned)i / 64u] >> ((unsigned)i % 64u) & 1u) != 0;
}

static inline void set_add(uint64_t *s, int i)
{
    s[(unsigned)i / 64u] |= UINT64_C(1) << ((unsigned)i % 64u);
}

#endif
