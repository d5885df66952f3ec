/* SPDX-License-Identifier: MIT
 *
 * weir/sizing.h - how many workers and how long a queue: a recommendation from what is known of the load.
 *
 * Threads: pure functions. Source: Little, "A Proof for the Queuing Formula L = lambda W" (1961);
 * docs/queue-capacity.md.
 */
#ifndef WEIR_SIZING_H
#define WEIR_SIZING_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is known of the requests. */
typedef struct weir_load {
    uint32_t size;       /* sizeof(weir_load) */
    uint32_t cpus;       /* 0: those that this process may use (weir_usable_cpus) */
    double blocking;     /* share of a request's time in which it blocks its worker: 0 (computes only) up to, but not
                            including, 1. Requests that wait without a worker (timers, descriptors) don't count */
    uint64_t service_ns; /* time of a request on its worker, blocking included; 0: not known */
    uint64_t wait_ns;    /* how long a request may wait in the queue; 0: not known */
} weir_load;

typedef struct weir_sizing {
    uint32_t workers;        /* for weir_config.workers */
    uint32_t queue_capacity; /* for weir_config.queue_capacity */
} weir_sizing;

/*
 * workers = cpus / (1 - blocking), rounded up: as many as keep every CPU busy while the others block.
 * queue_capacity = workers * wait_ns / service_ns, rounded up: what is served within wait_ns; where one of the two is
 * not known, 64 per worker; in any case at least 64, at most WEIR_CAPACITY_MAX, a power of two.
 * -EINVAL: NULL, size, blocking below 0 or from 1 on or not a number, cpus above WEIR_WORKERS_MAX, times above an hour.
 * *out is then unchanged. At most WEIR_WORKERS_MAX workers.
 */
WEIR_API int weir_recommend(const weir_load *load, weir_sizing *out);

#ifdef __cplusplus
}
#endif

#endif
