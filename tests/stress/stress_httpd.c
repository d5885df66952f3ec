/* SPDX-License-Identifier: MIT
 *
 * stress_httpd.c - clients that are malformed, slow, endless, greedy, half-closed, silent or gone, all at once, against
 * docs/examples/httpd: it says a clear 4xx or 5xx or closes, it goes on serving the others, and when all have left, its
 * descriptors are as many as before and its memory hardly more.
 *
 * usage: stress_httpd --server PROGRAM [--seed N] [--seconds N]
 *
 * Threads: each plays one client after the other, with random numbers of its own.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/util.h"
#include "httpd_client.h"

#define THREADS 12u
#define SECONDS 6u
#define BIG 2000000u       /* bytes of the large file */
#define GREEDY 40u         /* connections of one greedy client */
#define PIPELINE 60u       /* requests of one pipeline */
#define MEMORY_MB 24       /* that the server may keep after a storm: allocators give back late */
#define SETTLE_MS 30000u   /* until it is as before */
/* ms: long enough that no good client is taken for a silent or greedy one, on a busy machine and in a sanitizer */
static const char *const waits[2][6] = {{"--idle", "3000", "--head", "500", "--send", "1500"},
                                        {"--idle", "8000", "--head", "2000", "--send", "8000"}};
#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static struct server server;
static atomic_bool over;
static atomic_uint failures, played, answered, refused;
static uint64_t big_sum;
static bool sanitized; /* its allocator keeps what is freed: memory says nothing */

static void fail(const char *what, int detail)
{
    fprintf(stderr, "FAILED: %s (%d)\n", what, detail);
    atomic_fetch_add(&failures, 1);
}

static void sleep_ms(unsigned ms)
{
    const struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

/* Reads answers until the server closes. Each has a status that exists; an unfinished one is an error unless `cut`. */
static void drain(struct client *c, bool cut)
{
    struct response r;
    int got;
    while ((got = client_receive(c, &r, false)) == 1) {
        atomic_fetch_add(r.status < 400 ? &answered : &refused, 1);
        if (r.status < 200 || r.status > 505)
            fail("a status that does not exist", r.status);
    }
    if (got == -EAGAIN)
        fail("the server neither answers nor closes", got);
    if (got == -EPROTO && !cut)
        fail("half an answer", got);
}

/* Sends and expects to be refused, or closed on. */
static void send_and_drain(struct client *c, const char *bytes, size_t length)
{
    (void)client_send(c, bytes, length);
    drain(c, true);
}

/* --- the clients -------------------------------------------------------------------------------------------------- */

/* A good one: it must be served whatever the others do. */
static void play_good(struct client *c, struct rng *rng)
{
    struct response r;
    for (unsigned i = 1 + rng_below(rng, 10); i > 0; i--) {
        bool big = rng_below(rng, 8) == 0;
        if (!client_say(c, big ? GET("/big") : GET("/small")))
            return fail("a good client can't send", errno);
        int got = client_receive(c, &r, false);
        if (got != 1)
            return fail("a good client gets no answer", got);
        if (r.status == 200 && (big ? r.got != BIG || r.sum != big_sum : r.got != 5))
            return fail("a good client gets something else", r.status);
        if (r.status != 200 && r.status != 503)
            return fail("a good client is refused", r.status);
        if (r.status == 503 && response_field(&r, "Retry-After") == NULL)
            fail("503 without Retry-After", 503);
        atomic_fetch_add(r.status == 200 ? &answered : &refused, 1);
        if (r.closes)
            return;
    }
}

static void play_pipeline(struct client *c, struct rng *rng)
{
    static const char *const paths[] = {"/small", "/none", "/work?us=5", "/work?io_us=500", "/big", "/metrics", "/%zz"};
    char text[PIPELINE * 64] = "";
    size_t n = 0;
    for (unsigned i = 1 + rng_below(rng, PIPELINE - 1); i > 0; i--)
        n += (size_t)snprintf(text + n, sizeof text - n, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n",
                              paths[rng_below(rng, 7)]);
    (void)client_send(c, text, n);
    if (rng_below(rng, 2) == 0)
        shutdown(c->fd, SHUT_WR);
    if (rng_below(rng, 2) == 0)
        drain(c, false);
}

static void play_malformed(struct client *c, struct rng *rng)
{
    static const char *const shapes[] = {
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\r\n", "GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "G\x01T / HTTP/1.1\r\n\r\n", "GET /\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", "GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=99999999999999999999-\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    };
    char text[256];
    const char *shape = shapes[rng_below(rng, sizeof shapes / sizeof *shapes)];
    size_t n = strlen(shape);
    memcpy(text, shape, n);
    for (unsigned i = rng_below(rng, 4); i > 0; i--)
        text[rng_below(rng, (uint32_t)n)] = (char)rng_below(rng, 256);
    send_and_drain(c, text, n);
}

static void play_noise(struct client *c, struct rng *rng)
{
    char text[4096];
    size_t n = 1 + rng_below(rng, sizeof text - 1);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)rng_below(rng, 256);
    send_and_drain(c, text, n);
}

/* A byte now and then, to the end or not. */
static void play_slow(struct client *c, struct rng *rng)
{
    const char *text = GET("/small");
    size_t stop = 1 + rng_below(rng, (uint32_t)strlen(text)); /* the length itself: a whole request */
    for (size_t i = 0; i < stop && !atomic_load(&over); i++) {
        if (!client_send(c, text + i, 1))
            break;
        sleep_ms(rng_below(rng, 30));
    }
    drain(c, true);
}

/* Requests with bodies, in pieces: all are answered, whatever the bodies say. */
static void play_bodies(struct client *c, struct rng *rng)
{
    static const char *const bodies[] = {"Content-Length: 5\r\n\r\nGET /",
                                         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                                         "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nGET /\r\n0\r\nX: y\r\n\r\n"};
    char text[256];
    struct response r;
    if (!client_say(c, GET("/small")) || client_receive(c, &r, false) != 1 || r.closes)
        return; /* there are too many */
    for (unsigned i = 1 + rng_below(rng, 10); i > 0; i--) {
        int n = snprintf(text, sizeof text, "GET /small HTTP/1.1\r\nHost: a\r\n%s", bodies[rng_below(rng, 3)]);
        for (int at = 0, piece; at < n; at += piece) {
            piece = rng_below(rng, 2) ? n : 1 + (int)rng_below(rng, 40);
            piece = piece < n - at ? piece : n - at;
            if (!client_send(c, text + at, (size_t)piece))
                return fail("a client with bodies can't send", errno);
        }
        int got = client_receive(c, &r, false);
        bool late = got == 1 && r.status == 408; /* on a busy machine the pieces may have taken too long */
        if (got != 1 || (r.status != 200 && r.status != 503 && !late) || (r.status == 200 && r.got != 5))
            return fail("a client with bodies is not served", got == 1 ? r.status : got);
        atomic_fetch_add(r.status == 200 ? &answered : &refused, 1);
        if (r.closes)
            return;
    }
}

/* A head, a target or a body without an end. */
static void play_endless(struct client *c, struct rng *rng)
{
    static const char *const begins[] = {"GET /", "GET / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: ",
                                         "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n",
                                         "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n",
                                         "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfff0\r\n",
                                         "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;",
                                         "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"};
    unsigned k = rng_below(rng, 8);
    char more[2048];
    memset(more, 'a', sizeof more);
    for (size_t i = 0; (k == 1 || k == 7) && i + 8 < sizeof more; i += 8)
        memcpy(more + i, "X: abc\r\n", 8);
    bool takes = client_say(c, begins[k]);
    for (unsigned i = 0; i < 2000 && takes && !atomic_load(&over); i++)
        takes = client_send(c, more, sizeof more);
    drain(c, true);
}

/* Asks for much and takes little of it, or nothing. */
static void play_greedy_reader(struct client *c, struct rng *rng)
{
    for (unsigned i = 0; i < 20; i++)
        if (!client_say(c, GET("/big")))
            break;
    for (unsigned i = rng_below(rng, 20); i > 0; i--) {
        c->have = 0;
        if (client_read(c) <= 0)
            return;
        sleep_ms(rng_below(rng, 20));
    }
    if (rng_below(rng, 8) == 0)
        sleep_ms(1500); /* until it is cut off */
}

static void play_reset(struct client *c, struct rng *rng)
{
    const struct linger now = {1, 0};
    static const char *const begins[] = {"", "GET", GET("/big"), GET("/work?io_us=3000"), GET("/big") GET("/small")};
    (void)client_say(c, begins[rng_below(rng, 5)]);
    if (rng_below(rng, 2) == 0)
        sleep_ms(rng_below(rng, 5));
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void play_half_closed(struct client *c, struct rng *rng)
{
    static const char *const texts[] = {"", "GET / HT", GET("/small"), GET("/big"), GET("/work?us=10&io_us=1000"),
                                        GET("/none")};
    (void)client_say(c, texts[rng_below(rng, 6)]);
    shutdown(c->fd, SHUT_WR);
    drain(c, false);
}

static void play_silent(struct client *c, struct rng *rng)
{
    if (rng_below(rng, 4) == 0)
        drain(c, false);
    else
        sleep_ms(rng_below(rng, 100));
}

/* Many connections at once, beyond the limit. */
static void play_crowd(struct client *c, struct rng *rng)
{
    int fds[GREEDY];
    unsigned n = 0;
    struct client *one = malloc(sizeof *one);
    for (; one != NULL && n < GREEDY && client_open(one, server.port); n++) {
        fds[n] = one->fd;
        if (rng_below(rng, 2) == 0)
            (void)client_say(one, GET("/work?io_us=2000"));
    }
    sleep_ms(rng_below(rng, 50));
    for (unsigned i = 0; i < n; i++)
        close(fds[i]);
    free(one);
    (void)c;
}

typedef void play_fn(struct client *c, struct rng *rng);

static play_fn *const plays[] = {
    play_good,          play_good,  play_pipeline,    play_malformed, play_noise, play_slow, play_endless,
    play_greedy_reader, play_reset, play_half_closed, play_silent,    play_crowd, play_bodies,
};

static void *player(void *arg)
{
    struct rng rng;
    struct client *c = malloc(sizeof *c);
    rng_seed(&rng, (uint64_t)(uintptr_t)arg);
    while (c != NULL && !atomic_load(&over) && atomic_load(&failures) < 10) {
        if (!client_open(c, server.port)) {
            fail("can't connect", errno);
            break;
        }
        plays[rng_below(&rng, sizeof plays / sizeof *plays)](c, &rng);
        client_close(c);
        atomic_fetch_add(&played, 1);
    }
    free(c);
    return NULL;
}

/* --- what the server holds ---------------------------------------------------------------------------------------- */

static unsigned descriptors(void)
{
    char path[64];
    unsigned n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)server.pid);
    DIR *d = opendir(path);
    while (d != NULL && readdir(d) != NULL)
        n++;
    if (d != NULL)
        closedir(d);
    return n;
}

static long memory_kib(void)
{
    char path[64], line[256];
    long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)server.pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    if (f != NULL)
        fclose(f);
    return kib;
}

/* One request of each kind, so that what is made once is there before anything is counted. */
static void warm_up(void)
{
    static const char *const requests[] = {GET("/small"), GET("/big"), GET("/work?us=1&io_us=1000"), GET("/metrics")};
    struct client *c = malloc(sizeof *c);
    struct response r;
    for (unsigned i = 0; c != NULL && i < 4; i++) {
        if (!client_open(c, server.port) || !client_say(c, requests[i]) || client_receive(c, &r, false) != 1 ||
            r.status != 200)
            fail("it does not serve", (int)i);
        client_close(c);
    }
    free(c);
}

static void storm(uint64_t seed, unsigned seconds)
{
    pthread_t t[THREADS];
    unsigned n = 0;
    for (; n < THREADS; n++)
        if (pthread_create(&t[n], NULL, player, (void *)(uintptr_t)(seed * THREADS + n + 1)) != 0)
            break;
    for (unsigned i = 0; i < seconds * 10 && atomic_load(&failures) < 10; i++)
        sleep_ms(100);
    atomic_store(&over, true);
    for (unsigned i = 0; i < n; i++)
        pthread_join(t[i], NULL);
}

static void check_leftovers(unsigned descriptors_before, long kib_before)
{
    unsigned now = descriptors();
    for (unsigned waited = 0; now > descriptors_before && waited < SETTLE_MS; waited += 20) {
        sleep_ms(20);
        now = descriptors();
    }
    if (now > descriptors_before)
        fail("descriptors are left open", (int)(now - descriptors_before));
    long grown = (memory_kib() - kib_before) / 1024;
    printf("%u descriptors, before %u; memory grew by %ld MB\n", now, descriptors_before, grown);
    if (!sanitized && grown > MEMORY_MB)
        fail("memory has grown", (int)grown);
}

static bool make_folder(char *folder)
{
    char path[64];
    static char big[BIG];
    if (mkdtemp(folder) == NULL)
        return false;
    for (unsigned i = 0; i < BIG; i++)
        big[i] = (char)(i * 2654435761u >> 24);
    big_sum = content_sum(0, big, BIG);
    snprintf(path, sizeof path, "%s/small", folder);
    FILE *f = fopen(path, "w");
    bool good = f != NULL && fputs("small", f) >= 0 && fclose(f) == 0;
    snprintf(path, sizeof path, "%s/big", folder);
    f = fopen(path, "w");
    return good && f != NULL && fwrite(big, 1, BIG, f) == BIG && fclose(f) == 0;
}

static void remove_folder(const char *folder)
{
    char path[64];
    snprintf(path, sizeof path, "%s/small", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/big", folder);
    unlink(path);
    rmdir(folder);
}

int main(int argc, char **argv)
{
    const char *words[] = {"--drain", "3000", "--connections", "64", "--requests", "48", "--workers", "3",
                           NULL,      NULL,   NULL,            NULL, NULL,         NULL, NULL};
    char folder[] = "/tmp/weir-httpd-XXXXXX";
    const char *program = NULL;
    uint64_t seed = (uint64_t)time(NULL);
    unsigned seconds = SECONDS;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--server") == 0)
            program = argv[i + 1];
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = (unsigned)strtoul(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--sanitized") == 0)
            sanitized = strcmp(argv[i + 1], "none") != 0;
    }
    memcpy(words + 8, waits[sanitized], sizeof waits[sanitized]);
    printf("stress_httpd --seed %llu --seconds %u\n", (unsigned long long)seed, seconds);
    fflush(stdout);
    if (program == NULL || !make_folder(folder) || !server_start(&server, program, folder, words))
        return 2;
    warm_up();
    sleep_ms(100); /* its connections are closed */
    unsigned before = descriptors();
    long kib = memory_kib();
    storm(seed, seconds);
    check_leftovers(before, kib);
    int status = server_stop(&server);
    if (status != 0)
        fail("the server's exit status", status);
    remove_folder(folder);
    printf("%u clients, %u answers, %u refusals: %s\n", played, answered, refused, failures ? "FAILED" : "ok");
    return failures != 0 || played == 0 || answered == 0 || refused == 0;
}
