/* SPDX-License-Identifier: MIT
 *
 * bench/peers/peer.h - what the harness asks of an implementation that takes part in a benchmark, in C and in C++.
 *
 * Threads: every function is called by the harness's main thread.
 * Invariants: between `quiet` and the next `begin` an implementation uses no CPU, so that several can take turns in
 * one process. A peer is a shared object of its own, loaded with its symbols to itself: libgomp and libomp define the
 * same names.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a run works on; each benchmark's file says what it keeps here. */
struct bench_input {
    int64_t n;   /* size of the problem */
    double *a;   /* matrices */
    double *b;
    double *c;
    int32_t *keys; /* to be sorted */
    int32_t *room; /* as large as keys */
    uint8_t *flags; /* one byte per iteration of a loop */
    float *x;       /* vectors */
    float *y;
};

/* Runs the benchmark once on what `begin` gave, and returns the answer. Only this call is timed. */
typedef double peer_run_fn(void *state, const struct bench_input *in);

struct peer_case {
    const char *bench; /* name of the benchmark, or NAME/prepare: run before each run of NAME, untimed; NULL: the end */
    peer_run_fn *run;
};

#define PEER_VERSION 2u /* of this interface */

struct peer {
    unsigned version;                             /* PEER_VERSION */
    const char *name;                             /* as the tables print it */
    int (*begin)(unsigned workers, void **state); /* threads are up on return; called before each run; 0 or -errno */
    void (*quiet)(void *state);                   /* after each run: stop using the CPU */
    void (*end)(void *state);                     /* after the last run: give everything back */
    const struct peer_case *cases;
    double (*seconds)(void *state); /* what the last run took, if the peer takes the time itself; else NULL */
    double (*memory)(void *state);  /* bytes by which its memory grew in the last run; goes with `seconds` */
};

#define PEER_ENTRY "weir_bench_peer" /* the symbol that a peer's shared object defines: */
__attribute__((visibility("default"))) const struct peer *weir_bench_peer(void);

#ifdef __cplusplus
}
#endif

#endif
