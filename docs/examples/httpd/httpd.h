/* SPDX-License-Identifier: MIT
 *
 * httpd.h - the server as a whole: its limits, what all connections share, its counters.
 *
 * Threads: `options` and the descriptors are constant while the server runs; counters are added to by workers, each in
 * a shard of its own as long as there are no more workers than shards, and read by whoever asks.
 */
#ifndef HTTPD_HTTPD_H
#define HTTPD_HTTPD_H

#include "parser.h"

#include <weir/weir.h>

#include <stdatomic.h>

#define HTTPD_SHARDS 16u
#define HTTPD_LINE 64u /* bytes of a cache line */

struct httpd_options {
    const char *root;        /* folder whose files are served */
    uint16_t port;           /* on the loopback interface; 0: any that is free */
    uint32_t workers;        /* 0: weir's default */
    uint32_t connections;    /* at once; who comes beyond them gets 503 and a close */
    uint32_t requests;       /* that wait, or whose answers are being sent, at once; beyond them: 503 */
    uint64_t idle_ns;        /* how long a connection may stay without a request */
    uint64_t head_ns;        /* how long a request may take to arrive */
    uint64_t send_ns;        /* how long a client may take nothing of its answer */
    uint64_t drain_ns;       /* how long a stop waits for answers that are under way */
    struct http_limits limits;
};

enum httpd_count {
    COUNT_ACCEPTED,            /* connections */
    COUNT_REFUSED_CONNECTIONS, /* beyond the limit, or for want of memory or descriptors */
    COUNT_REFUSED_REQUESTS,    /* beyond the limit */
    COUNT_TIMEOUTS,            /* connections closed because the client was too slow */
    COUNT_BYTES,               /* sent */
    COUNT_2XX,                 /* answers */
    COUNT_3XX,
    COUNT_4XX,
    COUNT_5XX,
    COUNTS
};

struct httpd_shard {
    _Alignas(HTTPD_LINE) atomic_ullong count[COUNTS];
};

struct httpd {
    struct httpd_options options;
    weir_runtime *rt;
    int root;     /* descriptor of the folder */
    int listener;
    uint32_t descriptors;      /* numbers that descriptors of this process are below */
    atomic_bool *open;         /* by number: is a connection. For the stop, which has to reach them all */
    atomic_uint connections;   /* now */
    weir_gate requests;        /* those that wait, or whose answers are being sent: at most `options.requests` */
    atomic_bool stopping;      /* no new connections, and no further request on old ones */
    atomic_bool listening;     /* the listener is somebody's */
    struct httpd_shard shards[HTTPD_SHARDS];
};

static inline void httpd_count(struct httpd *h, const weir_worker *w, enum httpd_count what, uint64_t n)
{
    /* relaxed: a statistic */
    atomic_fetch_add_explicit(&h->shards[weir_worker_index(w) % HTTPD_SHARDS].count[what], n, memory_order_relaxed);
}

/* relaxed: who sees it late serves one request more */
static inline bool httpd_is_stopping(struct httpd *h)
{
    return atomic_load_explicit(&h->stopping, memory_order_relaxed);
}

/* Binds, listens and starts the runtime. 0, or a negative errno; *what tells what failed, and nothing is left then. */
int httpd_start(struct httpd *h, const struct httpd_options *options, const char **what);
/* The port that it listens on. */
uint16_t httpd_port(const struct httpd *h);
/*
 * Ends it: takes no more connections and requests, finishes what is in flight within options.drain_ns, closes the rest.
 * Returns how many connections had to be closed like that.
 */
unsigned httpd_stop(struct httpd *h);

/* Prometheus text about the server and its runtime. Returns its length, at most `room`. */
size_t httpd_metrics(struct httpd *h, char *text, size_t room);

#endif
