/* SPDX-License-Identifier: MIT
 *
 * metrics.c - the counters of the server and of its runtime as Prometheus text.
 *
 * Threads: any.
 * Source: the text format of Prometheus, version 0.0.4.
 */
#include "httpd.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct text {
    char *at;
    size_t room, length;
};

/* What does not fit any more is left out as a whole. */
__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->at + t->length, t->room - t->length, format, args);
    va_end(args);
    if (n > 0 && (size_t)n < t->room - t->length)
        t->length += (size_t)n;
}

static void add_one(struct text *t, const char *name, const char *type, const char *help, uint64_t value)
{
    add(t, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, type, name, value);
}

static uint64_t sum(struct httpd *h, enum httpd_count what)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < HTTPD_SHARDS; i++) /* relaxed: a statistic */
        n += atomic_load_explicit(&h->shards[i].count[what], memory_order_relaxed);
    return n;
}

static void add_server(struct text *t, struct httpd *h)
{
    static const struct {
        enum httpd_count what;
        const char *name, *help;
    } one[] = {
        {COUNT_ACCEPTED, "httpd_connections_accepted_total", "Connections accepted."},
        {COUNT_REFUSED_CONNECTIONS, "httpd_connections_refused_total", "Connections beyond the limit."},
        {COUNT_REFUSED_REQUESTS, "httpd_requests_refused_total", "Requests beyond the limit."},
        {COUNT_TIMEOUTS, "httpd_timeouts_total", "Connections closed because the client was too slow."},
        {COUNT_BYTES, "httpd_sent_bytes_total", "Bytes sent."},
    };
    for (size_t i = 0; i < sizeof one / sizeof *one; i++)
        add_one(t, one[i].name, "counter", one[i].help, sum(h, one[i].what));
    add(t, "# HELP httpd_responses_total Answers.\n# TYPE httpd_responses_total counter\n");
    for (unsigned i = 0; i < 4; i++)
        add(t, "httpd_responses_total{class=\"%uxx\"} %" PRIu64 "\n", i + 2,
            sum(h, (enum httpd_count)(COUNT_2XX + i)));
    add_one(t, "httpd_connections", "gauge", "Connections now.", /* relaxed: a statistic */
            atomic_load_explicit(&h->connections, memory_order_relaxed));
    add_one(t, "httpd_requests", "gauge", "Requests that wait or are being sent now.", weir_gate_inside(&h->requests));
}

static void add_runtime(struct text *t, const weir_stats *s)
{
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } one[] = {
        {"weir_workers", "gauge", "Workers on duty.", s->workers},
        {"weir_workers_parked", "gauge", "Workers asleep.", s->parked},
        {"weir_workers_blocked", "gauge", "Workers in a blocking call.", s->blocked},
        {"weir_threads", "gauge", "Threads of workers.", s->threads},
        {"weir_queue_depth", "gauge", "Tasks in the injector and the inboxes.", s->queue_depth},
        {"weir_tasks_run_total", "counter", "Tasks run.", s->total.tasks_run},
        {"weir_tasks_spawned_total", "counter", "Tasks made runnable on a worker.", s->total.tasks_spawned},
        {"weir_steals_total", "counter", "Tasks taken from other workers.", s->total.steals},
        {"weir_steal_fails_total", "counter", "Attempts that found nothing.", s->total.steal_fails},
        {"weir_forced_total", "counter", "Private tasks published by a thief.", s->total.forced},
        {"weir_parks_total", "counter", "Times a worker went to sleep.", s->total.parks},
        {"weir_wakes_total", "counter", "Wake-ups sent.", s->total.wakes},
        {"weir_submitted_total", "counter", "Submits accepted from outside.", s->total.submitted},
        {"weir_rejected_total", "counter", "Submits refused.", s->total.rejected},
    };
    for (size_t i = 0; i < sizeof one / sizeof *one; i++)
        add_one(t, one[i].name, one[i].type, one[i].help, one[i].value);
}

size_t httpd_metrics(struct httpd *h, char *text, size_t room)
{
    struct text t = {text, room, 0};
    weir_stats stats = {.size = sizeof stats};
    add_server(&t, h);
    if (weir_stats_read(h->rt, &stats, NULL, 0) == 0)
        add_runtime(&t, &stats);
    return t.length;
}
