/* SPDX-License-Identifier: MIT
 *
 * breaker.c - a circuit breaker: opens on failures, lets probes through after a while, closes when they succeed.
 *
 *  63  62 61    52 51     42 41                       0
 * | state | left  | needed  | until, in ticks of 2^16 ns |      word: everything that a transition decides on
 *
 *  63        40 39      20 19       0
 * | window     | calls    | failures |                          counts: the window's
 *
 * left: probes that may still pass; needed: successes that are still missing (both half-open only). until: when it
 * stops being open, or gives up its probes. 42 bits of ticks are nine years of uptime.
 *
 * Threads: any. Lock-free: a compare-and-swap fails because another thread's has succeeded, or for no reason.
 * Invariants: B1 a half-open period lets `probes` calls through, and one more per cancelled one. B2 each transition is
 * one compare-and-swap on `word`, so it has one finder, who counts it. B3 of a period's probes the first failure opens,
 * the last needed success closes: one of the two, whichever comes first.
 * All accesses are relaxed: decisions are made on one word, and no other data is passed on by them.
 * Source: Nygard, "Release It!" (2007).
 */
#include "sync/breaker.h"

#include <errno.h>

#include "base/atomics.h"
#include "base/compiler.h"

#define STATE_SHIFT 62
#define LEFT_SHIFT 52
#define NEEDED_SHIFT 42
#define PROBES_MAX 1023u
#define ONE_LEFT (UINT64_C(1) << LEFT_SHIFT)
#define ONE_NEEDED (UINT64_C(1) << NEEDED_SHIFT)
#define UNTIL_MASK ((UINT64_C(1) << NEEDED_SHIFT) - 1)
#define TICK_SHIFT 16

#define WINDOW_SHIFT 40
#define CALLS_SHIFT 20
#define COUNT_MASK UINT64_C(0xfffff)

/* limits: percent in bits 0 to 6, min_calls from 16, probes from 32 */
#define MIN_CALLS_MAX 0xffffu
#define MIN_CALLS_SHIFT 16
#define PROBES_SHIFT 32
#define PERCENT_MASK 0x7fu

/* --- the word --------------------------------------------------------------------------------------------------- */

static weir_breaker_state state_of(uint64_t word)
{
    return (weir_breaker_state)(word >> STATE_SHIFT);
}

static uint32_t left_of(uint64_t word)
{
    return (uint32_t)(word >> LEFT_SHIFT) & PROBES_MAX;
}

static uint32_t needed_of(uint64_t word)
{
    return (uint32_t)(word >> NEEDED_SHIFT) & PROBES_MAX;
}

static bool is_over(uint64_t word, uint64_t now)
{
    return now >> TICK_SHIFT >= (word & UNTIL_MASK);
}

static uint64_t until(const weir_breaker *b, uint64_t now)
{
    /* relaxed: see above; the tick after the last full one, so never too early */
    return ((now + atom_load(&b->open_ns, memory_order_relaxed)) >> TICK_SHIFT) + 1;
}

static uint64_t open_word(const weir_breaker *b, uint64_t now)
{
    return (uint64_t)WEIR_BREAKER_OPEN << STATE_SHIFT | until(b, now);
}

/* A new half-open period, of which the caller makes the first probe. */
static uint64_t half_open_word(const weir_breaker *b, uint64_t now)
{
    uint64_t probes = atom_load(&b->limits, memory_order_relaxed) >> PROBES_SHIFT; /* relaxed: see above */
    return (uint64_t)WEIR_BREAKER_HALF_OPEN << STATE_SHIFT | (probes - 1) << LEFT_SHIFT | probes << NEEDED_SHIFT |
           until(b, now);
}

static uint64_t word_now(const weir_breaker *b)
{
    return atom_load(&b->word, memory_order_relaxed); /* relaxed: see above */
}

/* On failure *old is the word as it is now. */
static bool transition(weir_breaker *b, uint64_t *old, uint64_t word)
{
    /* relaxed: see above. Weak: all callers look again. */
    return atom_cas_weak(&b->word, old, word, memory_order_relaxed, memory_order_relaxed);
}

static void count(weir_atomic_u64 *cell)
{
    atom_add(cell, UINT64_C(1), memory_order_relaxed); /* relaxed: a statistic */
}

/* --- asking ----------------------------------------------------------------------------------------------------- */

/* The next word if the call passes as a probe, or `word` if it does not pass. */
static uint64_t probe_word(const weir_breaker *b, uint64_t word, uint64_t now)
{
    if (state_of(word) == WEIR_BREAKER_HALF_OPEN && left_of(word) > 0)
        return word - ONE_LEFT;
    return is_over(word, now) ? half_open_word(b, now) : word;
}

int weir_breaker_allow(weir_breaker *b, uint64_t now, bool *probe)
{
    uint64_t word = word_now(b);
    *probe = false;
    while (UNLIKELY(state_of(word) != WEIR_BREAKER_CLOSED)) {
        uint64_t next = probe_word(b, word, now);
        if (next == word) {
            count(&b->refused);
            return -ECONNREFUSED;
        }
        if (transition(b, &word, next)) {
            *probe = true;
            count(&b->probed);
            return 0;
        }
    }
    return 0;
}

void weir_breaker_cancel(weir_breaker *b)
{
    uint64_t word = word_now(b);
    /* A probe of a period that was given up may not add to those of the next one: never more left than are needed. */
    while (state_of(word) == WEIR_BREAKER_HALF_OPEN && left_of(word) < needed_of(word))
        if (transition(b, &word, word + ONE_LEFT))
            return;
}

/* --- results ---------------------------------------------------------------------------------------------------- */

/* Counts n more calls in the window of `now`, and says whether the window has failed. */
static bool count_calls(weir_breaker *b, uint64_t now, uint32_t n, bool success)
{
    /* relaxed, all: see above */
    uint64_t limits = atom_load(&b->limits, memory_order_relaxed);
    uint64_t window = now / atom_load(&b->window_ns, memory_order_relaxed) << WINDOW_SHIFT;
    uint64_t old = atom_load(&b->counts, memory_order_relaxed);
    uint64_t calls;
    uint64_t failures;
    do {
        bool same = old >> WINDOW_SHIFT == window >> WINDOW_SHIFT;
        calls = (same ? old >> CALLS_SHIFT & COUNT_MASK : 0) + n;
        failures = (same ? old & COUNT_MASK : 0) + (success ? 0 : n);
        if (calls >= COUNT_MASK) { /* the share is what counts */
            calls /= 2;
            failures /= 2;
        }
    } while (!atom_cas_weak(&b->counts, &old, window | calls << CALLS_SHIFT | failures, memory_order_relaxed,
                            memory_order_relaxed));
    return calls >= (limits >> MIN_CALLS_SHIFT & MIN_CALLS_MAX) && failures * 100 >= calls * (limits & PERCENT_MASK);
}

static void open_from(weir_breaker *b, uint64_t *word, weir_breaker_state from, uint64_t now)
{
    while (state_of(*word) == from)
        if (transition(b, word, open_word(b, now))) {
            count(&b->opened);
            return;
        }
}

static void probe_succeeded(weir_breaker *b, uint64_t *word)
{
    while (state_of(*word) == WEIR_BREAKER_HALF_OPEN) {
        bool last = needed_of(*word) == 1;
        if (last) /* relaxed: see above. Before it closes: no call of the new period is lost, none of the old left */
            atom_store(&b->counts, UINT64_C(0), memory_order_relaxed);
        if (transition(b, word, last ? (uint64_t)WEIR_BREAKER_CLOSED << STATE_SHIFT : *word - ONE_NEEDED))
            return;
    }
}

void weir_breaker_result(weir_breaker *b, uint64_t now, bool probe, bool success)
{
    uint64_t word = word_now(b);
    switch (state_of(word)) {
    case WEIR_BREAKER_CLOSED:
        if (count_calls(b, now, 1, success) && !success)
            open_from(b, &word, WEIR_BREAKER_CLOSED, now);
        break;
    case WEIR_BREAKER_HALF_OPEN:
        if (probe && success)
            probe_succeeded(b, &word);
        else if (probe)
            open_from(b, &word, WEIR_BREAKER_HALF_OPEN, now);
        break;
    case WEIR_BREAKER_OPEN:
        break;
    }
}

void breaker_went_well(weir_breaker *b, uint64_t now, uint32_t n)
{
    if (state_of(word_now(b)) == WEIR_BREAKER_CLOSED)
        (void)count_calls(b, now, n, true);
}

/* --- lifecycle, reading ----------------------------------------------------------------------------------------- */

static bool is_time(uint64_t ns)
{
    return ns > 0 && ns <= WEIR_GUARD_TIME_MAX;
}

static bool is_config(const weir_breaker_config *c)
{
    return c != NULL && c->failure_percent >= 1 && c->failure_percent <= 100 && c->min_calls >= 1 &&
           c->min_calls <= MIN_CALLS_MAX && c->probes >= 1 && c->probes <= PROBES_MAX && is_time(c->window_ns) &&
           is_time(c->open_ns);
}

int weir_breaker_set(weir_breaker *b, const weir_breaker_config *c)
{
    if (b == NULL || !is_config(c))
        return -EINVAL;
    /* relaxed, all: a decision made on old and new numbers is one between the two */
    atom_store(&b->limits, (uint64_t)c->probes << PROBES_SHIFT | (uint64_t)c->min_calls << MIN_CALLS_SHIFT |
                               c->failure_percent, memory_order_relaxed);
    atom_store(&b->window_ns, c->window_ns, memory_order_relaxed);
    atom_store(&b->open_ns, c->open_ns, memory_order_relaxed);
    return 0;
}

int weir_breaker_init(weir_breaker *b, const weir_breaker_config *c)
{
    int r = weir_breaker_set(b, c);
    if (r != 0)
        return r;
    /* relaxed, all: a runtime's guard begins afresh beside submits that found it on before */
    atom_store(&b->word, UINT64_C(0), memory_order_relaxed); /* closed */
    atom_store(&b->counts, UINT64_C(0), memory_order_relaxed);
    atom_store(&b->opened, UINT64_C(0), memory_order_relaxed);
    atom_store(&b->probed, UINT64_C(0), memory_order_relaxed);
    atom_store(&b->refused, UINT64_C(0), memory_order_relaxed);
    return 0;
}

weir_breaker_state weir_breaker_get(const weir_breaker *b)
{
    return state_of(word_now(b));
}

void weir_breaker_read(const weir_breaker *b, weir_breaker_counts *out)
{
    /* relaxed, all: statistics */
    out->opened = atom_load(&b->opened, memory_order_relaxed);
    out->probed = atom_load(&b->probed, memory_order_relaxed);
    out->refused = atom_load(&b->refused, memory_order_relaxed);
}
