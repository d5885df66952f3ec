/* SPDX-License-Identifier: MIT
 *
 * bench/requests/weir_elastic.c - requests with a blocking handler, on as many workers as the governor finds right.
 *
 * Threads: as server.h, and a monitor that looks at the number of workers now and then.
 */
#include "weir.h"

#include <errno.h>
#include <pthread.h>

#define MONITOR_US 2000u /* between two looks */

static struct {
    pthread_t thread;
    bool stop; /* atomic */
    uint32_t least;
    uint64_t grown_ns, shrunk_ns;
} monitor;

static weir_task *handle(weir_worker *w, weir_task *self)
{
    (void)w;
    serve(weir_way_ledger(), weir_way_id(self));
    return NULL;
}

static void *watch(void *arg)
{
    const struct timespec pause = {0, MONITOR_US * 1000};
    weir_stats s = {.size = sizeof s};
    bool more = false;
    (void)arg;
    while (!__atomic_load_n(&monitor.stop, __ATOMIC_RELAXED) && weir_stats_read(weir_way_runtime(), &s, NULL, 0) == 0) {
        if (s.workers > monitor.least && !more && monitor.grown_ns == 0)
            monitor.grown_ns = now_ns();
        if (s.workers <= monitor.least && more)
            monitor.shrunk_ns = now_ns();
        more = s.workers > monitor.least;
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void configure(weir_config *config, const struct server_options *o)
{
    config->max_workers = o->max_workers;
}

static void start(struct ledger *l, const struct server_options *o)
{
    static const struct weir_way way = {handle, configure};
    weir_way_start(l, o, &way);
    monitor.least = o->workers;
    int error = pthread_create(&monitor.thread, NULL, watch, NULL);
    if (error != 0)
        server_fail("pthread_create", error);
}

static void stop(struct server_account *a)
{
    __atomic_store_n(&monitor.stop, true, __ATOMIC_RELAXED);
    pthread_join(monitor.thread, NULL);
    a->grown_ns = monitor.grown_ns;
    a->shrunk_ns = monitor.shrunk_ns;
    weir_way_stop(a);
}

static const struct server server = {"weir-elastic", start, weir_way_submit, stop};
const struct server *const server_weir_elastic = &server;
