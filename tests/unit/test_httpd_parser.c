/* SPDX-License-Identifier: MIT
 *
 * test_httpd_parser.c - heads of requests: what is understood, what is refused, and with which status.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "parser.h"

static const struct http_limits limits = {.line = 256, .head = 1024, .fields = 8, .body = 1000};

#define HEAD "GET / HTTP/1.1\r\nHost: a\r\n" /* what a field may follow */

static enum http_progress parse(struct http_parser *p, const char *text)
{
    http_parser_init(p);
    return http_parse(p, &limits, text, strlen(text));
}

static void refused(uint16_t status, const char *text)
{
    struct http_parser p;
    enum http_progress progress = parse(&p, text);
    cr_expect_eq(progress, HTTP_BAD, "%s: %d", text, (int)progress);
    cr_expect_eq(p.refusal, status, "%s: %u instead of %u", text, p.refusal, status);
}

static void taken(struct http_parser *p, const char *text)
{
    enum http_progress progress = parse(p, text);
    cr_expect_eq(progress, HTTP_READY, "%s: %d, %u", text, (int)progress, p->refusal);
    cr_expect_eq(p->at, strlen(text), "%s: %u bytes", text, p->at);
}

static bool span_is(struct http_span s, const char *head, const char *text)
{
    return s.length == strlen(text) && memcmp(head + s.at, text, s.length) == 0;
}

Test(httpd_parser, a_request_is_read)
{
    struct http_parser p;
    const char *text = "GET /a?b=c HTTP/1.1\r\nHost: example.org:80\r\nRange: bytes=0-1\r\nX-Other: \t x y\t \r\n\r\n";
    taken(&p, text);
    cr_expect(!p.head_only && p.keep_alive && !p.version_1_0 && !p.expects_continue);
    cr_expect_eq(p.body, 0);
    cr_expect(span_is(p.target, text, "/a?b=c"));
    cr_expect(span_is(p.field[HTTP_RANGE], text, "bytes=0-1"));
    cr_expect_eq(p.field[HTTP_IF_RANGE].length, 0);
}

Test(httpd_parser, space_around_a_value_is_not_part_of_it)
{
    struct http_parser p;
    const char *text = "HEAD / HTTP/1.1\r\nHost:a\r\nif-none-match: \t \"x\" \t\r\n\r\n";
    taken(&p, text);
    cr_expect(p.head_only);
    cr_expect(span_is(p.field[HTTP_IF_NONE_MATCH], text, "\"x\""));
}

Test(httpd_parser, empty_lines_before_a_request_are_passed)
{
    struct http_parser p;
    const char *text = "\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    taken(&p, text);
    cr_expect(span_is(p.target, text, "/x"));
}

Test(httpd_parser, the_next_request_is_left_alone)
{
    struct http_parser p;
    const char *text = HEAD "\r\nGET /second HTTP/1.1\r\n";
    cr_assert_eq(parse(&p, text), HTTP_READY);
    cr_expect_eq(p.at, strlen(HEAD) + 2);
}

Test(httpd_parser, connection_decides_with_the_version_whether_to_stay)
{
    static const struct {
        const char *text;
        bool stays;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
        {"GET / HTTP/1.9\r\nHost: a\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x , CLOSE\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", true},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_parser p;
        taken(&p, cases[i].text);
        cr_expect_eq(p.keep_alive, cases[i].stays, "%s", cases[i].text);
    }
}

Test(httpd_parser, a_body_is_told)
{
    struct http_parser p;
    taken(&p, HEAD "Content-Length: 1000\r\nExpect: 100-Continue\r\n\r\n");
    cr_expect_eq(p.body, 1000);
    cr_expect(p.expects_continue);
}

Test(httpd_parser, what_two_readers_could_understand_differently_is_refused)
{
    refused(400, HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n");
    refused(400, HEAD "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n");
    refused(400, HEAD "Content-Length: 5\r\nContent-Length: 5\r\n\r\n");
    refused(400, HEAD "Content-Length: 5, 5\r\n\r\n");
    refused(400, HEAD "Content-Length: +5\r\n\r\n");
    refused(400, HEAD "Content-Length: 0x5\r\n\r\n");
    refused(400, HEAD "Content-Length:\r\n\r\n");
    refused(400, HEAD "Content-Length : 5\r\n\r\n");
    refused(400, HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n");
    refused(400, HEAD "X: a\r\n b\r\n\r\n");         /* folded */
    refused(400, HEAD " X: a\r\n\r\n");
    refused(400, HEAD "X: a\n\r\n");                 /* bare LF */
    refused(400, HEAD "X: a\r\n\n");
    refused(400, HEAD "X: a\rb\r\n\r\n");            /* bare CR */
    refused(400, HEAD "X\r\n\r\n");
    refused(400, HEAD ": a\r\n\r\n");
    refused(400, HEAD "X: a\001\r\n\r\n");
    refused(400, HEAD "X\x80: a\r\n\r\n");
    refused(400, "GET / HTTP/1.1\r\n\r\n");           /* no Host */
    refused(400, HEAD "Host: b\r\n\r\n");            /* two of them */
    refused(400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
    refused(400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n");
}

Test(httpd_parser, a_zero_byte_is_refused)
{
    static const char text[] = HEAD "X: a\0b\r\n\r\n";
    struct http_parser p;
    http_parser_init(&p);
    cr_expect_eq(http_parse(&p, &limits, text, sizeof text - 1), HTTP_BAD);
    cr_expect_eq(p.refusal, 400);
}

Test(httpd_parser, malformed_request_lines_are_refused)
{
    refused(400, "GET\r\n\r\n");
    refused(400, "GET /\r\n\r\n"); /* HTTP/0.9 */
    refused(400, "GET  / HTTP/1.1\r\n\r\n");
    refused(400, "GET /  HTTP/1.1\r\n\r\n");
    refused(400, " GET / HTTP/1.1\r\n\r\n");
    refused(400, "GET / HTTP/1.1 \r\n\r\n");
    refused(400, "GET / http/1.1\r\n\r\n");
    refused(400, "GET / HTTP/1.10\r\n\r\n");
    refused(400, "GET / HTTP/1\r\n\r\n");
    refused(400, "GET /a b HTTP/1.1\r\n\r\n");
    refused(400, "GET /a#b HTTP/1.1\r\n\r\n");
    refused(400, "GET /\x80 HTTP/1.1\r\n\r\n");
    refused(400, "GET / HTTP/1.1\n\r\n");
    refused(400, "G@T / HTTP/1.1\r\n\r\n");
    refused(505, "PRI * HTTP/2.0\r\n\r\n");
    refused(505, "GET / HTTP/0.9\r\n\r\n");
}

Test(httpd_parser, other_methods_are_told_apart_from_unknown_ones)
{
    static const char *const others[] = {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"};
    char text[64];
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        snprintf(text, sizeof text, "%s / HTTP/1.1\r\n", others[i]);
        refused(405, text);
    }
    refused(501, "get / HTTP/1.1\r\n");
    refused(501, "GETS / HTTP/1.1\r\n");
    refused(501, "BREW / HTTP/1.1\r\n");
}

Test(httpd_parser, bodies_that_cannot_be_skipped_are_refused)
{
    refused(413, HEAD "Content-Length: 1001\r\n\r\n");
    refused(413, HEAD "Content-Length: 99999999999999999999999999\r\n\r\n");
    refused(501, HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n");
    refused(400, "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
    refused(417, HEAD "Expect: tea\r\n\r\n");
}

Test(httpd_parser, a_body_may_be_chunked)
{
    struct http_parser p;
    taken(&p, HEAD "Transfer-Encoding: Chunked\r\n\r\n");
    cr_expect(p.chunked && p.body == 0);
    taken(&p, HEAD "Content-Length: 1000\r\n\r\n");
    cr_expect(!p.chunked && p.body == 1000);
    refused(501, HEAD "Transfer-Encoding: chunked, chunked\r\n\r\n");
    refused(501, HEAD "Transfer-Encoding: \r\n\r\n");
    refused(400, HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n");
}

Test(httpd_parser, a_condition_that_comes_twice_is_none)
{
    struct http_parser p;
    taken(&p, HEAD "Range: bytes=0-1\r\nRange: bytes=2-3\r\nRange: bytes=2-3\r\n\r\n");
    cr_expect_eq(p.field[HTTP_RANGE].length, 0);
}

/* --- limits --- */

static char *filled(char *text, size_t size, const char *before, size_t n, const char *after)
{
    size_t length = strlen(before);
    cr_assert_lt(length + n + strlen(after), size);
    memcpy(text, before, length);
    memset(text + length, 'a', n);
    strcpy(text + length + n, after);
    return text;
}

Test(httpd_parser, the_request_line_has_a_limit)
{
    char text[2048];
    struct http_parser p;
    size_t most = limits.line - strlen("GET / HTTP/1.1\r\n");
    taken(&p, filled(text, sizeof text, "GET /", most, " HTTP/1.1\r\nHost: a\r\n\r\n"));
    refused(414, filled(text, sizeof text, "GET /", most + 1, " HTTP/1.1\r\nHost: a\r\n\r\n"));
    refused(414, filled(text, sizeof text, "GET /", limits.line, ""));
}

Test(httpd_parser, the_head_has_a_limit)
{
    char text[2048];
    struct http_parser p;
    size_t most = limits.head - strlen(HEAD "X: \r\n\r\n");
    taken(&p, filled(text, sizeof text, HEAD "X: ", most, "\r\n\r\n"));
    refused(431, filled(text, sizeof text, HEAD "X: ", most + 1, "\r\n\r\n"));
    refused(431, filled(text, sizeof text, HEAD "X: ", limits.head, ""));
}

Test(httpd_parser, the_number_of_fields_has_a_limit)
{
    char text[1024] = "GET / HTTP/1.1\r\nHost: a\r\n";
    struct http_parser p;
    for (unsigned i = 1; i < limits.fields; i++)
        strcat(text, "X: 1\r\n");
    size_t length = strlen(text);
    strcat(text, "\r\n");
    taken(&p, text);
    strcpy(text + length, "X: 1\r\n\r\n");
    refused(431, text);
}

Test(httpd_parser, empty_lines_are_not_endless)
{
    char text[2048] = "";
    for (unsigned i = 0; i < limits.head / 2 + 1; i++)
        strcat(text, "\r\n");
    refused(414, text);
}

Test(httpd_parser, lists_are_searched_for_whole_tokens)
{
    cr_expect(http_list_has("a, b", 4, "b"));
    cr_expect(http_list_has("A", 1, "a"));
    cr_expect(!http_list_has("ab", 2, "a"));
    cr_expect(!http_list_has("", 0, "a"));
    cr_expect(!http_list_has(", ,", 3, "a"));
}
