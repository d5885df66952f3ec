/* SPDX-License-Identifier: MIT
 *
 * bench/requests/server.c - requests-c: offers a workload to one implementation in C and prints what came of it.
 *
 * usage: requests-c IMPL WORKERS MAX_WORKERS QUEUE block|try BURN_BEFORE BURN_AFTER IO_US SEGMENTS
 * SEGMENTS: COUNT:OVER_US:REST_US,...: COUNT requests evenly over OVER_US; then, if REST_US is not negative, all of
 * them are served and REST_US pass. Arrivals are on a grid of 250 us. The output is one line, see print_result(), and
 * the same of requests/go/main.go.
 *
 * Threads: the main thread generates the load.
 * Invariants: latency counts from the instant at which a request should have arrived, whatever keeps the generator from
 * offering it. offered = completed + rejected + shed + discarded, or the program fails; a request served twice, a
 * result that another computation does not give, a sum that does not fit the results: likewise.
 */
#define _GNU_SOURCE
#include "../process.h"
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define GRID_NS (250 * NS_PER_US)
#define POLL_NS (1000 * NS_PER_US) /* how often the generator looks whether all is served */
#define PATIENCE_NS (120 * NS_PER_S)
#define RECOMPUTE_EVERY 1009u      /* prime: so that it meets each place of any period */
#define SEGMENTS_MAX 128u
#define ARGUMENTS 10

struct segment {
    uint32_t count;
    uint64_t over_ns;
    int64_t rest_ns; /* negative: the next segment follows at once */
};

struct load {
    struct segment segments[SEGMENTS_MAX];
    unsigned n;
    uint32_t offered;
    uint64_t rise_ns, fall_ns; /* when the second and the third segment begin: load that rises and falls has three */
    uint64_t *intended; /* ns, of each request */
    bool *accepted;
};

_Noreturn void server_fail(const char *what, int error)
{
    fprintf(stderr, "requests-c: %s%s%s\n", what, error != 0 ? ": " : "", error != 0 ? strerror(error) : "");
    _Exit(1);
}

/* Zeros whose pages are there. */
static void *touched(size_t bytes)
{
    void *p = malloc(bytes);
    if (p == NULL)
        server_fail("memory", ENOMEM);
    memset(p, 1, bytes); /* with zeros at once it would be a calloc to the compiler, which leaves the pages alone */
    __asm__ __volatile__("" : : "r"(p) : "memory");
    return memset(p, 0, bytes);
}

/* --- the process ----------------------------------------------------------------------------------------------- */

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void sleep_until(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

/* --- the load -------------------------------------------------------------------------------------------------- */

static void parse_segments(struct load *load, const char *text)
{
    for (const char *at = text; *at != '\0';) {
        struct segment *s = &load->segments[load->n];
        int used = 0;
        int64_t rest_us;
        uint64_t over_us;
        if (load->n++ == SEGMENTS_MAX ||
            sscanf(at, "%" SCNu32 ":%" SCNu64 ":%" SCNd64 "%n", &s->count, &over_us, &rest_us, &used) != 3)
            server_fail("bad segments", EINVAL);
        s->over_ns = over_us * NS_PER_US;
        s->rest_ns = rest_us < 0 ? -1 : rest_us * (int64_t)NS_PER_US;
        load->offered += s->count;
        at += used + (at[used] == ',');
    }
}

/* Waits until everything accepted so far has been served. */
static void drain(const struct ledger *l, uint64_t accepted)
{
    uint64_t from = now_ns(), served;
    while ((served = ledger_count(l)) < accepted) {
        if (now_ns() - from > PATIENCE_NS) {
            fprintf(stderr, "requests-c: %" PRIu64 " of %" PRIu64 " requests are served\n", served, accepted);
            server_fail("requests are lost or very slow", 0);
        }
        sleep_until(now_ns() + POLL_NS);
    }
}

static uint64_t last_done(const struct ledger *l, const struct load *load, uint32_t from, uint32_t to)
{
    uint64_t last = 0;
    for (uint32_t i = from; i < to; i++)
        if (load->accepted[i] && l->entries[i].done_ns > last)
            last = l->entries[i].done_ns;
    return last;
}

/* When the i-th request of a segment arrives, on the grid. */
static uint64_t arrival(const struct segment *s, uint32_t i)
{
    uint64_t exact = s->over_ns * i / s->count;
    return exact - exact % GRID_NS;
}

/* Offers one segment that begins at `start`; requests of one instant go together. Returns how many were accepted. */
static uint64_t offer(const struct server *server, struct load *load, const struct segment *s, uint32_t first,
                      uint64_t start)
{
    uint64_t accepted = 0;
    for (uint32_t i = 0; i < s->count;) {
        uint64_t at = start + arrival(s, i);
        uint32_t n = 0;
        while (i + n < s->count && start + arrival(s, i + n) == at)
            load->intended[first + i + n++] = at;
        if (now_ns() < at)
            sleep_until(at);
        accepted += server->submit(first + i, n, &load->accepted[first + i]);
        i += n;
    }
    return accepted;
}

struct outcome {
    uint64_t accepted;
    double busy_s; /* from a segment's beginning to its last result, rests left out */
};

static struct outcome run_load(const struct server *server, struct load *load, const struct ledger *l)
{
    struct outcome o = {0};
    uint32_t first = 0, epoch_first = 0;
    uint64_t start = now_ns() + GRID_NS, epoch = start;
    for (unsigned k = 0; k < load->n; k++) {
        const struct segment *s = &load->segments[k];
        if (k == 1)
            load->rise_ns = start;
        if (k == 2)
            load->fall_ns = start;
        o.accepted += offer(server, load, s, first, start);
        first += s->count;
        start += s->over_ns;
        if (s->rest_ns < 0 && k + 1 < load->n)
            continue;
        drain(l, o.accepted);
        uint64_t end = last_done(l, load, epoch_first, first);
        o.busy_s += (double)(end - epoch) * 1e-9;
        start = epoch = now_ns() + (s->rest_ns > 0 ? (uint64_t)s->rest_ns : 0);
        epoch_first = first;
    }
    return o;
}

/* --- the account ----------------------------------------------------------------------------------------------- */

static uint64_t recompute(const struct work *work, uint32_t id)
{
    struct progress p;
    request_begin(work, id, &p);
    return request_end(work, &p);
}

/* The results' sum, after every check that there is. */
static uint64_t check(struct ledger *l, const struct load *load, uint64_t accepted, const struct server_account *a)
{
    uint64_t completed = 0, sum = 0, claimed = 0;
    for (uint32_t i = 0; i < load->offered; i++) {
        uint64_t result = l->entries[i].result;
        if (result != 0 && !load->accepted[i])
            server_fail("a request that was not accepted has been served", 0);
        if (result != 0 && i % RECOMPUTE_EVERY == 0 && result != recompute(&l->work, i))
            server_fail("a result is wrong", 0);
        completed += result != 0;
        sum += result;
    }
    for (unsigned i = 0; i < LEDGER_SHARDS; i++)
        claimed += l->shards[i].sum;
    if (l->twice != 0)
        server_fail("a request has been served twice", 0);
    if (completed != ledger_count(l) || completed + a->discarded != accepted)
        server_fail("requests were lost", 0);
    if (sum != claimed)
        server_fail("the results are not those that were computed", 0);
    return sum;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double percentile_ms(const uint64_t *sorted, uint32_t n, double p)
{
    return n == 0 ? 0 : (double)sorted[(uint32_t)(p * (n - 1) + 0.5)] * 1e-6;
}

/* -1: unknown. */
static double ms_between(uint64_t from, uint64_t to)
{
    return from == 0 || to == 0 ? -1 : to > from ? (double)(to - from) * 1e-6 : 0;
}

/* OFFERED COMPLETED REJECTED SHED DISCARDED CHECKSUM BUSY_S P50_MS P99_MS P999_MS RSS_MB CPU_S PAUSE_MS GROW_MS
 * SHRINK_MS; a negative figure: does not apply. */
static void print_result(struct ledger *l, struct load *load, const struct outcome *o, const struct server_account *a,
                         double rss_mb, double cpu)
{
    uint64_t sum = check(l, load, o->accepted, a);
    uint32_t n = 0;
    for (uint32_t i = 0; i < load->offered; i++) /* the same array: n never overtakes i */
        if (l->entries[i].result != 0)
            load->intended[n++] = l->entries[i].done_ns - load->intended[i];
    qsort(load->intended, n, sizeof *load->intended, by_value);
    printf("%" PRIu32 " %" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %.6f %.4f %.4f %.4f %.3f %.4f %.4f "
           "%.3f %.3f\n",
           load->offered, n, load->offered - o->accepted - a->shed, a->shed, a->discarded, sum, o->busy_s,
           percentile_ms(load->intended, n, 0.5), percentile_ms(load->intended, n, 0.99),
           percentile_ms(load->intended, n, 0.999), rss_mb, cpu, a->pause_ms, ms_between(load->rise_ns, a->grown_ns),
           ms_between(load->fall_ns, a->shrunk_ns));
}

static const struct server *find_server(const char *name)
{
    const struct server *const all[] = {&server_floor, &server_floor_io, &server_thread, &server_pool, &server_weir,
                                        server_weir_block, server_weir_elastic, server_weir_suspend};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] != NULL && strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

static uint32_t number(const char *text)
{
    return (uint32_t)strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
    enum { IMPL = 1, WORKERS, MAX_WORKERS, QUEUE, POLICY, BURN_BEFORE, BURN_AFTER, IO_US, SEGMENTS };
    const struct server *server = argc == ARGUMENTS ? find_server(argv[IMPL]) : NULL;
    if (argc == 2)
        return find_server(argv[IMPL]) != NULL ? 0 : 2; /* is it there? */
    if (server == NULL)
        server_fail("bad arguments", EINVAL);
    struct load load = {.n = 0};
    parse_segments(&load, argv[SEGMENTS]);
    struct ledger l = {.work = {number(argv[BURN_BEFORE]), number(argv[BURN_AFTER]), number(argv[IO_US])}};
    l.entries = touched(load.offered * sizeof *l.entries);
    l.shards = aligned_alloc(LINE, LEDGER_SHARDS * sizeof *l.shards);
    if (l.shards == NULL)
        server_fail("memory", ENOMEM);
    memset(l.shards, 0, LEDGER_SHARDS * sizeof *l.shards);
    load.intended = touched(load.offered * sizeof *load.intended);
    load.accepted = touched(load.offered * sizeof *load.accepted);
    struct server_options options = {number(argv[WORKERS]), number(argv[MAX_WORKERS]), number(argv[QUEUE]),
                                     strcmp(argv[POLICY], "block") == 0};
    struct server_account account = {.pause_ms = -1};

    server->start(&l, &options);
    process_reset_peak();
    double rss = process_status_bytes(getpid(), "VmRSS:"), cpu = cpu_s();
    struct outcome outcome = run_load(server, &load, &l);
    cpu = cpu_s() - cpu;
    rss = (process_status_bytes(getpid(), "VmHWM:") - rss) / PROCESS_MB;
    server->stop(&account);
    print_result(&l, &load, &outcome, &account, rss > 0 ? rss : 0, cpu);
    return 0;
}
