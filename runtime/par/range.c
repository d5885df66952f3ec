/* SPDX-License-Identifier: MIT
 *
 * range.c - splitting by measured time.
 *
 * Three ways to run a range. By what is remembered of the callback, a loop below SHORT_PS is one plain call; one below
 * WAKE_PS is run here, in leaves, because to wake somebody would take as long, unless somebody is awake and searches,
 * or it turns out to take longer; all others fork halves at once.
 *
 * Threads and invariants: see range.h.
 * Source: lazy binary splitting (Tzannes et al., PPoPP 2010).
 */
#include "par/range.h"

#include <string.h>

#include "par/hint.h"

#define LEAF_PS UINT64_C(5000000)   /* 5 us: 1 % for the clock and the fork; bench `saxpy` */
#define LONG_PS UINT64_C(100000000) /* 100 us: a leaf of a loop that takes many of them; bench `saxpy` gains 2 % */
#define LONG_PART 32u               /* such a leaf is that part, at most, of the largest that LEAVES_PER_WORKER allow */
#define SHORT_PS UINT64_C(3000000)  /* 3 us: below it a hand-over costs more than it saves; bench `loopcall` */
#define WAKE_PS UINT64_C(40000000)  /* 40 us: a wake-up costs the waker 10 us and comes 28 us later */
#define LEAVES_PER_WORKER 8u        /* at least: what one may have to wait for at the end is a sixteenth of all */
#define TIMED_EVERY 16u             /* short calls, one of which is timed: the clock costs as much as they do */
#define ALIGN_SPLIT 64u             /* iterations: halves meet at a multiple, so that no line belongs to both */
#define ALIGN_FROM (8u * ALIGN_SPLIT)

/* --- stopping ------------------------------------------------------------------------------------------------- */

void range_fail(struct range_job *job, int error)
{
    uint32_t none = 0;
    /* relaxed: who reads the error for its value has joined all leaves */
    atom_cas(&job->error, &none, (uint32_t)-error, memory_order_relaxed, memory_order_relaxed);
}

int range_error(struct range_job *job)
{
    int stopped = range_scope_error(job->scope);
    if (UNLIKELY(stopped != 0))
        range_fail(job, stopped);
    return -(int)atom_load(&job->error, memory_order_relaxed); /* relaxed: as above, or a request to stop */
}

static void run_leaf(struct range_job *job, weir_worker *w, size_t begin, size_t end, void *value)
{
    int r = job->leaf(job, w, begin, end, value);
    if (UNLIKELY(r < 0))
        range_fail(job, r);
}

/* --- a worker's part of a job ----------------------------------------------------------------------------------- */

/* What a worker knows while it runs a part of a job; in the frame that began the part. */
struct lane {
    struct range_job *job;
    weir_worker *w;
    uint64_t now;     /* when the last leaf ended, or the last wait */
    uint64_t cost;    /* ps per iteration; 0: not known yet */
    size_t leaf;      /* iterations that fit into a leaf */
    size_t leaf_most; /* however cheap they are */
};

/* A half that was forked. */
struct half {
    weir_task task;
    struct range_job *job;
    size_t begin, end;
    size_t leaf_most;
    uint64_t cost;
    void *value; /* where a thief folds it, begun with the identity */
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void set_cost(struct lane *l, uint64_t cost)
{
    l->cost = cost;
    l->leaf = 1;
    if (cost == 0)
        return;
    size_t fits = smaller(LEAF_PS / cost, l->leaf_most), part = smaller(LONG_PS / cost, l->leaf_most / LONG_PART);
    l->leaf = larger(1, larger(fits, part));
}

static void lane_begin(struct lane *l, struct range_job *job, weir_worker *w, size_t leaf_most, uint64_t cost)
{
    l->job = job;
    l->w = w;
    l->leaf_most = leaf_most;
    if (job->key == NULL) {
        l->cost = 0;
        l->leaf = leaf_most;
        return;
    }
    set_cost(l, cost);
    l->now = os_now();
}

static void lane_end(const struct lane *l)
{
    if (l->job->key != NULL && l->cost != 0)
        hint_remember(l->job->key, l->cost);
}

static void lane_leaf(struct lane *l, size_t begin, size_t end, void *value)
{
    run_leaf(l->job, l->w, begin, end, value);
    if (l->job->key == NULL)
        return;
    uint64_t now = os_now();
    uint64_t cost = hint_cost_of(now - l->now, end - begin);
    l->now = now;
    set_cost(l, hint_blend(l->cost, cost));
}

static size_t middle_of(size_t begin, size_t end)
{
    size_t middle = begin + (end - begin) / 2;
    return end - begin < ALIGN_FROM ? middle : middle - middle % ALIGN_SPLIT;
}

static void split(struct lane *l, size_t begin, size_t end, void *value);

static weir_task *run_half(weir_worker *w, weir_task *self)
{
    struct half *h = CONTAINER_OF(self, struct half, task);
    struct lane l;
    lane_begin(&l, h->job, w, h->leaf_most, h->cost);
    if (h->job->fold != NULL)
        memcpy(h->value, h->job->fold->identity, h->job->fold->size);
    split(&l, h->begin, h->end, h->value);
    lane_end(&l);
    return NULL;
}

/* The half was ours all along, and its values must not run together with those before it. */
static NOINLINE void split_apart(struct lane *l, const struct half *h)
{
    memcpy(h->value, l->job->fold->identity, l->job->fold->size);
    split(l, h->begin, h->end, h->value);
}

/* Runs [begin, end): the left half here, the right one here too unless it was stolen. */
static void split(struct lane *l, size_t begin, size_t end, void *value)
{
    struct range_job *job = l->job;
    char room[WEIR_FOLD_MAX] ALIGNED(16);
    while (end - begin > l->leaf) {
        struct half h = {.task = {.run = run_half}, .job = job, .begin = middle_of(begin, end), .end = end,
                         .leaf_most = l->leaf_most, .cost = l->cost, .value = room};
        weir_fork(l->w, &h.task);
        split(l, begin, h.begin, value);
        bool mine = weir_unfork(l->w, &h.task) == WEIR_UNFORK_MINE;
        if (mine && !job->fixed) {
            begin = h.begin;
            if (UNLIKELY(range_error(job) != 0))
                return;
            continue;
        }
        if (mine)
            split_apart(l, &h);
        else if (job->key != NULL)
            l->now = os_now();
        if (job->fold != NULL && range_error(job) == 0)
            job->fold->combine(job->fold_arg, value, room);
        return;
    }
    if (LIKELY(range_error(job) == 0))
        lane_leaf(l, begin, end, value);
}

/* --- three ways to begin ---------------------------------------------------------------------------------------- */

/* Forks halves at once. */
static void run_split(struct worker *w, struct range_job *job, size_t begin, size_t end, void *value, uint64_t cost)
{
    struct lane l;
    size_t most = job->grain;
    if (job->key != NULL)
        most = smaller(most, (end - begin) / (LEAVES_PER_WORKER * runtime_width(w->rt)) + 1);
    lane_begin(&l, job, worker_public(w), most, cost);
    split(&l, begin, end, value);
    lane_end(&l);
}

/* One plain call, timed now and then. */
static void run_short(struct worker *w, struct range_job *job, size_t begin, size_t end, void *value)
{
    if (LIKELY(++w->short_loops % TIMED_EVERY != 0)) {
        run_leaf(job, worker_public(w), begin, end, value);
        return;
    }
    uint64_t from = os_now();
    run_leaf(job, worker_public(w), begin, end, value);
    hint_remember(job->key, hint_cost_of(os_now() - from, end - begin));
}

/* Leaves from left to right, until it takes longer than foreseen or somebody is there to help. */
static void run_alone(struct worker *w, struct range_job *job, size_t begin, size_t end, void *value, uint64_t cost)
{
    size_t whole = end - begin;
    uint64_t from = os_now(), now = from;
    struct lane l = {.job = job, .w = worker_public(w), .now = from, .leaf_most = whole / LEAVES_PER_WORKER + 1};
    l.leaf_most = smaller(l.leaf_most, job->grain);
    for (set_cost(&l, cost); begin < end; now = l.now) {
        if (range_error(job) != 0)
            return;
        if ((now - from) * HINT_PS_PER_NS > WAKE_PS || idle_has_searchers(&w->rt->idle)) {
            run_split(w, job, begin, end, value, l.cost);
            return;
        }
        size_t n = smaller(l.leaf, end - begin);
        lane_leaf(&l, begin, begin + n, value);
        begin += n;
    }
    lane_end(&l);
}

int range_run(struct worker *w, struct range_job *job, size_t begin, size_t end, void *value)
{
    size_t n = end - begin;
    int r = range_error(job);
    if (UNLIKELY(r != 0) || n == 0)
        return r;
    uint64_t cost = job->key != NULL ? hint_cost(job->key) : 0;
    if (n == 1)
        run_leaf(job, worker_public(w), begin, end, value);
    else if (cost == 0 || n > WAKE_PS / cost)
        run_split(w, job, begin, end, value, cost);
    else if (n <= SHORT_PS / cost && n <= job->grain)
        run_short(w, job, begin, end, value);
    else
        run_alone(w, job, begin, end, value, cost);
    return range_error(job);
}
