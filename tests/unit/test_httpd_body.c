/* SPDX-License-Identifier: MIT
 *
 * test_httpd_body.c - bodies of requests: where they end, and which are refused.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "body.h"

#define BODY_MAX 100u /* bytes */

static const struct http_limits limits = {.line = 256, .head = 1024, .fields = 8, .body = BODY_MAX};

static void begin(struct http_body *b, bool chunked, uint64_t length)
{
    struct http_parser p;
    http_parser_init(&p);
    p.chunked = chunked;
    p.body = length;
    http_body_init(b, &p, &limits);
}

static enum http_progress read_all(const char *text, size_t length, size_t *used)
{
    struct http_body b;
    begin(&b, true, 0);
    enum http_progress progress = http_body_skip(&b, text, length, used);
    cr_expect_eq(http_body_is_over(&b), progress == HTTP_READY);
    return progress;
}

/* Ends with its last byte, and not before. */
static void ends(const char *text)
{
    size_t used, length = strlen(text);
    char more[256];
    cr_assert_lt(length + 4, sizeof more);
    memcpy(more, text, length);
    memcpy(more + length, "GET ", 4);
    enum http_progress progress = read_all(more, length + 4, &used);
    cr_expect(progress == HTTP_READY && used == length, "%s: %d after %zu bytes", text, (int)progress, used);
    progress = read_all(text, length - 1, &used);
    cr_expect(progress == HTTP_MORE && used == length - 1, "%s: %d after %zu bytes", text, (int)progress, used);
}

static void refused(const char *text)
{
    size_t used;
    enum http_progress progress = read_all(text, strlen(text), &used);
    cr_expect_eq(progress, HTTP_BAD, "%s: %d", text, (int)progress);
}

Test(httpd_body, a_length_is_passed_over)
{
    struct http_body b;
    size_t used;
    begin(&b, false, 0);
    cr_expect(http_body_is_over(&b));
    begin(&b, false, 10);
    cr_expect_not(http_body_is_over(&b));
    cr_expect_eq(http_body_skip(&b, "abcd", 4, &used), HTTP_MORE);
    cr_expect_eq(used, 4);
    cr_expect_eq(http_body_skip(&b, "efghijGET ", 10, &used), HTTP_READY);
    cr_expect_eq(used, 6);
    cr_expect(http_body_is_over(&b));
}

Test(httpd_body, chunks_are_passed_over_to_the_last)
{
    ends("0\r\n\r\n");
    ends("5\r\nabcde\r\n0\r\n\r\n");
    ends("1\r\na\r\n0a\r\n0123456789\r\n000\r\n\r\n");
    ends("A\r\n\r\n0\r\n\r\nabc\r\n0\r\n\r\n"); /* what looks like an end is data */
    ends("f\r\n012345678901234\r\nF\r\n012345678901234\r\n0\r\n\r\n");
}

Test(httpd_body, extensions_and_trailers_are_passed_over)
{
    ends("2;a=b\r\nxy\r\n0;last;\tx=\"a b\"\r\n\r\n");
    ends("0\r\nX: y\r\nContent-Length: 5\r\n\r\n");
    ends("1\r\na\r\n0\r\nX:\r\nY: \t z \r\n\r\n");
}

Test(httpd_body, malformed_chunks_are_refused)
{
    refused("\r\n");
    refused("x\r\n");
    refused("-1\r\n");
    refused("+1\r\n");
    refused(" 1\r\n");
    refused("0x1\r\n");
    refused("1 \r\na");
    refused("1 ;a\r\na");
    refused("1\na");
    refused("1\r\r\na");
    refused("1\ra");
    refused("1;a\nb\r\n");
    refused("1;a\rb\r\n");
    refused("1;\x01\r\n");
    refused("1\r\nab\r\n");
    refused("1\r\na\n");
    refused("1\r\na\r\r");
    refused("1\r\na0\r\n\r\n");
    refused("g\r\n");
}

Test(httpd_body, malformed_trailers_are_refused)
{
    refused("0\r\n X: y\r\n\r\n");
    refused("0\r\nX : y\r\n\r\n");
    refused("0\r\nX\r\n\r\n");
    refused("0\r\n: y\r\n\r\n");
    refused("0\r\nX: y\n\r\n");
    refused("0\r\nX: y\r\n z\r\n\r\n");
    refused("0\r\nX: \x01\r\n\r\n");
    refused("0\r\n\n");
    refused("0\r\n\rX");
    refused("0\r\nX: y\rZ");
}

Test(httpd_body, sizes_that_overflow_are_refused)
{
    refused("65\r\n"); /* 101 */
    refused("10000000000000000\r\n");
    refused("ffffffffffffffff\r\n");
    refused("100000000000000000000000000000001\r\n");
}

/* Data and framing together. */
Test(httpd_body, the_limit_counts_every_byte)
{
    struct http_body b;
    size_t used;
    char text[2 * BODY_MAX];
    memset(text, 'a', sizeof text);
    memcpy(text, "5b\r\n", 4); /* 4 + 91 bytes, which leaves room for 5 more */
    memcpy(text + 4 + 0x5b, "\r\n0\r\n\r\n", 7);
    cr_expect_eq(read_all(text, 4 + 0x5b + 7, &used), HTTP_BAD);
    memcpy(text, "59\r\n", 4);
    memcpy(text + 4 + 0x59, "\r\n0\r\n\r\n", 7);
    cr_expect_eq(read_all(text, BODY_MAX, &used), HTTP_READY);
    memset(text, '0', sizeof text); /* a size that goes on and on */
    cr_expect_eq(read_all(text, BODY_MAX, &used), HTTP_MORE);
    cr_expect_eq(read_all(text, BODY_MAX + 1, &used), HTTP_BAD);
    memcpy(text, "1;", 2);
    memset(text + 2, 'x', sizeof text - 2);
    cr_expect_eq(read_all(text, sizeof text, &used), HTTP_BAD);
    memcpy(text, "0\r\nX:", 5);
    cr_expect_eq(read_all(text, sizeof text, &used), HTTP_BAD);
    begin(&b, true, 0);
    memset(text, '0', sizeof text);
    memcpy(text + 58, "20;abcdefghij\r\n", 15); /* 32 bytes of data: no more than 40 at first, but then than 27 */
    cr_expect_eq(http_body_skip(&b, text, 72, &used), HTTP_MORE);
    cr_expect_eq(http_body_skip(&b, text + 72, 1, &used), HTTP_BAD);
    cr_expect_eq(http_body_skip(&b, text, 60, &used), HTTP_BAD);
    cr_expect_eq(used, 0);
}
