/* SPDX-License-Identifier: MIT
 *
 * test_httpd.c - docs/examples/httpd as its clients see it: files, conditions, ranges, bodies, refusals.
 *
 * usage: HTTPD=PROGRAM test_httpd
 */
#include "httpd_rig.h"

static void setup(void)
{
    up((const char *const[]){"--workers", "2", NULL});
}

TestSuite(httpd, .init = setup, .fini = teardown);

Test(httpd, files_are_served_with_type_and_validators)
{
    struct response r = ask_alone(GET("/"));
    cr_expect_eq(r.status, 200);
    cr_expect_str_eq(r.start, "<p>root");
    cr_expect(response_has(&r, "Content-Type", "text/html; charset=utf-8"));
    cr_expect(response_field(&r, "ETag") && response_field(&r, "Last-Modified") && response_field(&r, "Date"));
    cr_expect_str_eq(ask_alone(GET("/sub/")).start, "<p>sub");
    cr_expect_str_eq(ask_alone(GET("/a%20b.txt")).start, "text");
    cr_expect_str_eq(ask_alone(GET("/in")).start, "<p>root");
    cr_expect_eq(ask_alone(GET("/empty")).status, 200);
    cr_expect_eq(ask_alone(GET("http://a/empty")).length, 0);
}

Test(httpd, large_files_arrive_whole)
{
    struct client c;
    cr_assert(client_open(&c, server.port));
    for (unsigned i = 0; i < 3; i++) {
        struct response r = ask(&c, GET("/big.bin"));
        cr_expect_eq(r.got, BIG);
        cr_expect_eq(r.sum, content_sum(0, big, BIG));
    }
    client_close(&c);
}

Test(httpd, ranges_of_small_and_large_length)
{
    struct response r = ask_alone("GET /big.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=1000-1009\r\n\r\n");
    cr_expect_eq(r.status, 206);
    cr_expect(response_has(&r, "Content-Range", "bytes 1000-1009/3000000"));
    cr_expect_eq(r.sum, content_sum(0, big + 1000, 10));
    r = ask_alone("GET /big.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=500000-\r\n\r\n");
    cr_expect_eq(r.got, BIG - 500000);
    cr_expect_eq(r.sum, content_sum(0, big + 500000, BIG - 500000));
    r = ask_alone("GET /big.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=3000000-\r\n\r\n");
    cr_expect_eq(r.status, 416);
    cr_expect(response_has(&r, "Content-Range", "bytes */3000000"));
}

Test(httpd, a_copy_that_is_good_costs_no_content)
{
    struct client c;
    char request[512];
    cr_assert(client_open(&c, server.port));
    struct response r = ask(&c, GET("/"));
    const char *tag = response_field(&r, "ETag");
    snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: %.*s\r\n\r\n",
             (int)strcspn(tag, "\r"), tag);
    r = ask(&c, request);
    cr_expect_eq(r.status, 304);
    cr_expect_null(response_field(&r, "Content-Length"));
    cr_expect_eq(ask(&c, GET("/")).status, 200); /* nothing of the 304 is left in the stream */
    client_close(&c);
}

Test(httpd, a_head_request_gets_the_head)
{
    struct client c;
    cr_assert(client_open(&c, server.port));
    struct response r = ask(&c, "HEAD /big.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_expect(r.status == 200 && r.length == BIG);
    r = ask(&c, "HEAD /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
    cr_expect_eq(r.status, 404);
    cr_expect_eq(ask(&c, GET("/")).status, 200);
    client_close(&c);
}

Test(httpd, nothing_outside_the_folder_is_served)
{
    cr_expect_eq(ask_alone(GET("/out")).status, 404);
    cr_expect_eq(ask_alone(GET("/../etc/passwd")).status, 400);
    cr_expect_eq(ask_alone(GET("/%2e%2e/etc/passwd")).status, 400);
    cr_expect_eq(ask_alone(GET("/sub/../../etc/passwd")).status, 400);
    cr_expect_eq(ask_alone(GET("/sub/../index.html")).status, 200);
}

Test(httpd, what_is_no_file_is_not_found)
{
    cr_expect_eq(ask_alone(GET("/nothing")).status, 404);
    cr_expect_eq(ask_alone(GET("/pipe")).status, 404);
    cr_expect_eq(ask_alone(GET("/index.html/")).status, 404);
    cr_expect_eq(ask_alone(GET("/index.html/x")).status, 404);
    struct response r = ask_alone(GET("/sub"));
    cr_expect_eq(r.status, 301);
    cr_expect(response_has(&r, "Location", "/sub/"));
}

/* Of the i-th request in a pipeline: all kinds in turns, the large file twice only. */
static unsigned kind(unsigned i)
{
    return i % 6 == 4 && i > 12 ? 0 : i % 6;
}

Test(httpd, pipelined_requests_are_answered_in_order)
{
    enum { MANY = 200 };
    static const char *const paths[] = {"/", "/sub/", "/work?io_us=100", "/nothing", "/big.bin", "/work?us=10"};
    static const int statuses[] = {200, 200, 200, 404, 200, 200};
    static const uint64_t lengths[] = {7, 6, 7, 14, BIG, 7};
    struct client c;
    cr_assert(client_open(&c, server.port));
    char text[MANY * 80] = "";
    size_t n = 0;
    for (unsigned i = 0; i < MANY; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[kind(i)]);
    cr_assert(client_send(&c, text, n));
    for (unsigned i = 0; i < MANY; i++) {
        struct response r;
        unsigned k = kind(i);
        cr_assert_eq(client_receive(&c, &r, false), 1, "answer %u", i);
        cr_assert(r.status == statuses[k] && r.got == lengths[k], "answer %u: %d, %llu bytes", i, r.status,
                  (unsigned long long)r.got);
    }
    client_close(&c);
}

Test(httpd, a_request_may_come_byte_by_byte)
{
    const char *text = GET("/sub/");
    struct client c;
    struct response r;
    cr_assert(client_open(&c, server.port));
    for (const char *at = text; *at != '\0'; at++) {
        cr_assert(client_send(&c, at, 1));
        sleep_ms(1);
    }
    cr_assert_eq(client_receive(&c, &r, false), 1);
    cr_expect_str_eq(r.start, "<p>sub");
    client_close(&c);
}

Test(httpd, bodies_are_skipped)
{
    struct client c;
    cr_assert(client_open(&c, server.port));
    cr_expect_eq(ask(&c, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nGET /x HTT").status, 200);
    cr_expect_eq(ask(&c, GET("/sub/")).length, 6);
    cr_expect_eq(ask(&c, CHUNKED "4;x=y\r\nGET \r\n0\r\nX: y\r\n\r\n").status, 200);
    cr_expect_eq(ask(&c, GET("/sub/")).length, 6);
    cr_expect_eq(ask(&c, CHUNKED "ff").status, 200); /* the answer does not wait for the rest */
    char rest[2 + 255 + 7];
    memset(rest, 'a', sizeof rest);
    memcpy(rest, "\r\n", 2);
    memcpy(rest + 2 + 255, "\r\n0\r\n\r\n", 7);
    cr_assert(client_send(&c, rest, 100));
    sleep_ms(20);
    cr_assert(client_send(&c, rest + 100, sizeof rest - 100));
    cr_expect_eq(ask(&c, GET("/sub/")).length, 6);
    struct response r = ask(&c, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n");
    cr_expect_eq(r.status, 200);
    cr_expect(client_sees_end(&c));
    client_close(&c);
}

Test(httpd, chunks_that_are_malformed_or_too_many_end_the_connection)
{
    static const char *const bodies[] = {"x\r\n", "1\r\nab\r\n", "10001\r\n", "0\r\nX\r\n\r\n", "-5\r\n"};
    struct client c;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        char text[256];
        snprintf(text, sizeof text, "%s%s%s", CHUNKED, bodies[i], GET("/sub/"));
        cr_assert(client_open(&c, server.port));
        cr_expect_eq(ask(&c, text).status, 200);
        cr_expect(client_sees_end(&c), "%s", bodies[i]);
        client_close(&c);
    }
    cr_assert(client_open(&c, server.port));
    cr_expect_eq(ask(&c, CHUNKED).status, 200);
    for (unsigned i = 0; i < 20000 && client_say(&c, "1\r\na\r\n"); i++) /* 120,000 bytes */
        continue;
    cr_expect_leq(client_read(&c), 0);
    client_close(&c);
    struct response r = ask_alone("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                                  "Expect: 100-continue\r\n\r\n");
    cr_expect_eq(r.status, 200);
}

Test(httpd, refusals_end_the_connection)
{
    static const struct {
        int status;
        const char *request;
    } cases[] = {
        {400, "nonsense\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {405, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"},
        {413, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n"},
        {417, "GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n"},
        {501, "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"},
        {501, "BREW / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {505, "GET / HTTP/3.0\r\nHost: a\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client c;
        cr_assert(client_open(&c, server.port));
        struct response r = ask(&c, cases[i].request);
        cr_expect_eq(r.status, cases[i].status, "%s: %d", cases[i].request, r.status);
        cr_expect(r.closes);
        cr_expect(client_sees_end(&c));
        client_close(&c);
    }
}

Test(httpd, endless_heads_are_refused_and_the_answer_arrives)
{
    static char junk[65536];
    struct client c;
    struct response r;
    memset(junk, 'a', sizeof junk);
    cr_assert(client_open(&c, server.port));
    cr_assert(client_say(&c, "GET / HTTP/1.1\r\nHost: a\r\nX: "));
    (void)client_send(&c, junk, sizeof junk); /* more than is read */
    cr_assert_eq(client_receive(&c, &r, false), 1);
    cr_expect_eq(r.status, 431);
    client_close(&c);
    cr_assert(client_open(&c, server.port));
    cr_assert(client_say(&c, "GET /"));
    (void)client_send(&c, junk, sizeof junk);
    cr_assert_eq(client_receive(&c, &r, false), 1);
    cr_expect_eq(r.status, 414);
    client_close(&c);
}

Test(httpd, a_client_that_sends_no_more_still_gets_its_answer)
{
    struct client c;
    struct response r;
    cr_assert(client_open(&c, server.port));
    cr_assert(client_say(&c, GET("/big.bin") GET("/work?io_us=1000")));
    shutdown(c.fd, SHUT_WR);
    cr_assert_eq(client_receive(&c, &r, false), 1);
    cr_expect_eq(r.got, BIG);
    cr_assert_eq(client_receive(&c, &r, false), 1);
    cr_expect_str_eq(r.start, "worked\n");
    cr_expect(client_sees_end(&c));
    client_close(&c);
}

Test(httpd, work_waits_without_a_worker)
{
    enum { CLIENTS = 50 }; /* with 2 workers */
    static struct client c[CLIENTS];
    struct response r;
    uint64_t from = weir_now();
    for (unsigned i = 0; i < CLIENTS; i++)
        cr_assert(client_open(&c[i], server.port) && client_say(&c[i], GET("/work?us=1&io_us=200000")));
    for (unsigned i = 0; i < CLIENTS; i++) {
        cr_assert_eq(client_receive(&c[i], &r, false), 1);
        cr_expect_str_eq(r.start, "worked\n");
        client_close(&c[i]);
    }
    uint64_t took = weir_now() - from;
    cr_expect_geq(took, 200 * NS_PER_MS);
    cr_expect_lt(took, CLIENTS / 2 * 200 * NS_PER_MS); /* what it takes if each holds a worker */
    cr_expect_eq(ask_alone(GET("/work?us=x")).status, 400);
    cr_expect_eq(ask_alone(GET("/work?io_us=99999999999")).status, 400);
}

Test(httpd, metrics_tell_what_happened)
{
    struct client c;
    cr_assert(client_open(&c, server.port));
    ask(&c, GET("/"));
    ask(&c, GET("/nothing"));
    cr_assert(client_say(&c, GET("/metrics")));
    while (strstr(c.bytes, "weir_rejected_total ") == NULL)
        cr_assert_gt(client_read(&c), 0);
    cr_expect_not_null(strstr(c.bytes, "\nhttpd_responses_total{class=\"2xx\"} 1\n"));
    cr_expect_not_null(strstr(c.bytes, "\nhttpd_responses_total{class=\"4xx\"} 1\n"));
    cr_expect_not_null(strstr(c.bytes, "\nhttpd_connections 1\n"));
    cr_expect_not_null(strstr(c.bytes, "\n# TYPE weir_tasks_run_total counter\nweir_tasks_run_total "));
    client_close(&c);
}
