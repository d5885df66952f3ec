/* SPDX-License-Identifier: MIT
 *
 * stress_httpd_parser.c - requests put together at random and spoiled at random: whatever the parser says of one, it
 * says however it is cut into pieces, and nothing that it says is outside of the bytes that are there. The same for
 * chunked bodies.
 *
 * The pieces lie in memory that ends with them, so that a sanitizer sees what reads further. What is understood goes on
 * into the readers of targets, conditions, ranges and dates.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "body.h"
#include "condition.h"
#include "parser.h"
#include "target.h"

#define INPUTS 60000u
#define INPUT_MAX 2048u  /* bytes */
#define CUTS 3u          /* random ways to cut each input, besides all at once and byte by byte */
#define ALL_CUTS_BELOW 160u /* bytes: a shorter input is cut in two at each place, too */
#define NOW 1790000000

static const struct http_limits limits = {.line = 300, .head = 1200, .fields = 10, .body = 5000};

static struct rng rng;
static unsigned failures;

static void fail(const char *what, const char *input, size_t length)
{
    fprintf(stderr, "FAILED: %s:", what);
    for (size_t i = 0; i < length; i++)
        fprintf(stderr, input[i] >= ' ' && input[i] <= '~' && input[i] != '\\' ? "%c" : "\\x%02x",
                (unsigned char)input[i]);
    fprintf(stderr, "\n");
    failures++;
}

/* --- inputs ------------------------------------------------------------------------------------------------------- */

static const char *const methods[] = {"GET", "GET", "GET", "HEAD", "POST", "BREW", "", "get"};
static const char *const targets[] = {"/", "/a/b", "/work?us=1&io_us=2", "/a/../b", "/../x", "/%2e%2e/x", "/%00", "*",
                                      "http://h/x", "/a%2fb", "//x", "/.", "/%zz", "/a b", "/\x80"};
static const char *const versions[] = {"HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.", ""};
static const char *const names[] = {"Host", "host", "Content-Length", "Transfer-Encoding", "Connection", "Expect",
                                    "Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since",
                                    "If-Unmodified-Since", "X", "", " X", "X ", "Content-Length\t"};
static const char *const values[] = {"a", "5", "0", "5, 5", "-1", "99999999999999999999", "chunked", "gzip, chunked",
                                     "close", "keep-alive", "x, close", "100-continue", "bytes=0-1", "bytes=-5",
                                     "bytes=5-", "bytes=9-1", "bytes=0-1,2-3", "\"x\"", "W/\"x\", *", "*",
                                     "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                                     "Sun Nov  6 08:49:37 1994", "", "\t \t", "a\rb", "\x01"};
static const char *const ends[] = {"\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n ", ""};
#define PICK(list) list[rng_below(&rng, sizeof list / sizeof *list)]

static size_t append(char *to, size_t length, const char *text)
{
    size_t n = strlen(text);
    if (length + n > INPUT_MAX)
        return length;
    memcpy(to + length, text, n);
    return length + n;
}

/* A well-formed request, in whose fields may be anything. */
static size_t make_good(char *to)
{
    static const char *const harmless[] = {"Connection", "Range", "If-Range", "If-Match", "If-None-Match",
                                           "If-Modified-Since", "If-Unmodified-Since", "X"};
    size_t n = 0;
    unsigned fields = rng_below(&rng, 9);
    n = append(to, n, rng_below(&rng, 4) != 0 ? "GET " : "HEAD ");
    n = append(to, n, targets[rng_below(&rng, 13)]);
    n = append(to, n, rng_below(&rng, 4) != 0 ? " HTTP/1.1\r\nHost: a\r\n" : " HTTP/1.0\r\n");
    for (unsigned i = 0; i < fields; i++) {
        n = append(to, n, PICK(harmless));
        n = append(to, n, ": ");
        n = append(to, n, values[rng_below(&rng, sizeof values / sizeof *values - 2)]);
        n = append(to, n, "\r\n");
    }
    return append(to, n, "\r\n");
}

/* One that is spoiled in several ways. */
static size_t make_bad(char *to)
{
    size_t n = 0;
    unsigned fields = rng_below(&rng, 12);
    n = append(to, n, PICK(methods));
    n = append(to, n, " ");
    n = append(to, n, PICK(targets));
    n = append(to, n, " ");
    n = append(to, n, PICK(versions));
    n = append(to, n, rng_below(&rng, 8) != 0 ? "\r\n" : PICK(ends));
    for (unsigned i = 0; i < fields; i++) {
        bool good = rng_below(&rng, 4) != 0;
        n = append(to, n, i == 0 && good ? "Host" : PICK(names));
        n = append(to, n, ": ");
        n = append(to, n, i == 0 && good ? "a" : PICK(values));
        n = append(to, n, good ? "\r\n" : PICK(ends));
    }
    n = append(to, n, "\r\n");
    if (rng_below(&rng, 16) == 0) /* a long line */
        for (unsigned i = rng_below(&rng, 1400); i > 0 && n < INPUT_MAX; i--)
            to[n++] = 'a';
    for (unsigned i = rng_below(&rng, 4) == 0 ? 1 + rng_below(&rng, 4) : 0; i > 0 && n > 0; i--)
        to[rng_below(&rng, (unsigned)n)] = (char)rng_below(&rng, 256);
    return n;
}

/* Anything. */
static size_t noise(char *to)
{
    size_t n = rng_below(&rng, 400);
    for (size_t i = 0; i < n; i++)
        to[i] = (char)rng_below(&rng, 256);
    return n;
}

/* --- one input ---------------------------------------------------------------------------------------------------- */

/* Shows the parser the first `length` bytes, and nothing behind them. */
static enum http_progress show(struct http_parser *p, const char *input, size_t length)
{
    char *exact = malloc(length > 0 ? length : 1);
    if (exact == NULL)
        abort();
    memcpy(exact, input, length);
    enum http_progress progress = http_parse(p, &limits, exact, length);
    free(exact);
    return progress;
}

/* Cuts it at random into pieces of up to `most` bytes. */
static enum http_progress in_pieces(struct http_parser *p, const char *input, size_t length, unsigned most)
{
    enum http_progress progress = HTTP_MORE;
    http_parser_init(p);
    for (size_t at = 0; at < length && progress == HTTP_MORE;) {
        at += 1 + (most > 1 ? rng_below(&rng, most) : 0);
        progress = show(p, input, at < length ? at : length);
    }
    return progress;
}

static bool same(enum http_progress a, const struct http_parser *p, enum http_progress b, const struct http_parser *q)
{
    if (a != b)
        return false;
    if (a == HTTP_BAD)
        return p->refusal == q->refusal;
    return a == HTTP_MORE || memcmp(p, q, sizeof *p) == 0;
}

static void compare(const char *input, size_t length)
{
    struct http_parser whole, other;
    http_parser_init(&whole);
    enum http_progress first = show(&whole, input, length), again;
    again = in_pieces(&other, input, length, 1);
    if (!same(first, &whole, again, &other))
        fail("byte by byte it is something else", input, length);
    for (unsigned i = 0; i < CUTS; i++) {
        again = in_pieces(&other, input, length, 100);
        if (!same(first, &whole, again, &other))
            fail("in pieces it is something else", input, length);
    }
    for (size_t cut = 1; cut < length && length < ALL_CUTS_BELOW; cut++) {
        http_parser_init(&other);
        again = show(&other, input, cut);
        if (again == HTTP_MORE)
            again = show(&other, input, length);
        if (!same(first, &whole, again, &other))
            fail("in two pieces it is something else", input, length);
    }
}

static bool is_inside(struct http_span s, size_t length)
{
    return (size_t)s.at + s.length <= length;
}

static void check_path(const struct http_target *t, const char *input, size_t length)
{
    char padded[HTTP_PATH_MAX + 2];
    int n = snprintf(padded, sizeof padded, "/%s/", t->path);
    if ((size_t)n != t->length + 2 || strstr(padded, "/../") != NULL || strstr(padded, "/./") != NULL ||
        (t->length > 0 && strstr(padded, "//") != NULL))
        fail("a path is not normal", input, length);
}

static void use(const struct http_parser *p, const char *input, size_t length)
{
    struct http_entity e;
    struct http_target t;
    const struct timespec changed = {784111777, 0};
    if (p->at > length || !is_inside(p->target, p->at))
        fail("the target is outside", input, length);
    for (unsigned i = 0; i < HTTP_FIELDS_KEPT; i++)
        if (!is_inside(p->field[i], p->at))
            fail("a field is outside", input, length);
    if (http_target_read(&t, input + p->target.at, p->target.length) == HTTP_TARGET_OK)
        check_path(&t, input, length);
    http_entity_set(&e, &changed, rng_below(&rng, 20));
    struct http_choice c = http_choose(p, input, &e, NOW);
    if (c.at + c.length > e.size || ((c.status == 206) && c.length == 0))
        fail("a range is outside", input, length);
}

/* --- bodies ------------------------------------------------------------------------------------------------------- */

/* A chunked body. *whole: where it ends, if it is well-formed. */
static size_t make_body(char *to, size_t *whole)
{
    static const char *const extensions[] = {"", "", "", ";a", ";a=b;c", "; x=\"y z\""};
    static const char *const trailers[] = {"", "", "X: y\r\n", "X:\r\nContent-Length: 5\r\n"};
    size_t n = 0;
    for (unsigned i = rng_below(&rng, 6); i > 0; i--) {
        char size[16];
        unsigned length = 1 + rng_below(&rng, 40);
        snprintf(size, sizeof size, rng_below(&rng, 2) ? "%x" : "%03X", length);
        n = append(to, n, size);
        n = append(to, n, PICK(extensions));
        n = append(to, n, "\r\n");
        for (; length > 0; length--)
            to[n++] = (char)rng_below(&rng, 256);
        n = append(to, n, "\r\n");
    }
    n = append(to, n, "0");
    n = append(to, n, PICK(extensions));
    n = append(to, n, "\r\n");
    n = append(to, n, PICK(trailers));
    *whole = n = append(to, n, "\r\n");
    n = append(to, n, rng_below(&rng, 2) ? "GET / HTTP/1.1\r\n" : "");
    if (rng_below(&rng, 2) == 0)
        return n;
    *whole = 0; /* may be anything now */
    for (unsigned i = 1 + rng_below(&rng, 3); i > 0; i--)
        to[rng_below(&rng, (unsigned)n)] = (char)rng_below(&rng, 256);
    return n;
}

/* Shows it in pieces of up to `most` bytes, each in memory that ends with it. *end: how many belong to it. */
static enum http_progress skip_in_pieces(const char *input, size_t length, unsigned most, size_t *end)
{
    struct http_parser p;
    struct http_body b;
    http_parser_init(&p);
    p.chunked = true;
    http_body_init(&b, &p, &limits);
    enum http_progress progress = HTTP_MORE;
    for (size_t at = *end = 0; at < length && progress == HTTP_MORE;) {
        size_t left = length - at, n = 1 + (most > 1 ? rng_below(&rng, most) : 0), used;
        n = n < left ? n : left;
        char *exact = malloc(n);
        if (exact == NULL)
            abort();
        memcpy(exact, input + at, n);
        progress = http_body_skip(&b, exact, n, &used);
        free(exact);
        if (used > n || (progress == HTTP_MORE && used < n))
            fail("it takes more or less of a body than is there", input, length);
        *end += used;
        at += n;
    }
    return progress;
}

/* Whether it was understood. */
static bool compare_body(char *input)
{
    size_t whole, length = make_body(input, &whole), end, other;
    enum http_progress first = skip_in_pieces(input, length, 2 * INPUT_MAX, &end);
    for (unsigned most = 1; most < 100; most *= 3)
        if (skip_in_pieces(input, length, most, &other) != first || other != end)
            fail("a body ends elsewhere in pieces", input, length);
    if (whole != 0 && (first != HTTP_READY || end != whole))
        fail("a good body does not end where it ends", input, length);
    return first == HTTP_READY;
}

int main(int argc, char **argv)
{
    static char input[INPUT_MAX];
    uint64_t seed = (uint64_t)time(NULL);
    unsigned inputs = INPUTS, ready = 0, bad = 0, bodies = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--inputs") == 0)
            inputs = (unsigned)strtoul(argv[i + 1], NULL, 0);
    }
    printf("stress_httpd_parser --seed %llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    for (unsigned i = 0; i < inputs && failures < 10; i++) {
        struct http_parser p;
        unsigned kind = rng_below(&rng, 16);
        size_t length = kind == 0 ? noise(input) : kind % 2 == 0 ? make_good(input) : make_bad(input);
        compare(input, length);
        http_parser_init(&p);
        char *exact = malloc(length > 0 ? length : 1);
        if (exact == NULL)
            return 2;
        memcpy(exact, input, length);
        enum http_progress progress = http_parse(&p, &limits, exact, length);
        if (progress == HTTP_READY)
            use(&p, exact, length);
        free(exact);
        ready += progress == HTTP_READY;
        bad += progress == HTTP_BAD;
        bodies += compare_body(input);
    }
    bool some = ready >= inputs / 4 && bad >= inputs / 4 && bodies >= inputs / 4 && inputs - bodies >= inputs / 8;
    if (inputs >= INPUTS && !some)
        fail("hardly any input is of one kind", "", 0);
    printf("%u inputs, %u understood, %u refused, %u bodies understood: %s\n", inputs, ready, bad, bodies,
           failures ? "FAILED" : "ok");
    return failures != 0;
}
