/* SPDX-License-Identifier: MIT
 *
 * test_httpd_limits.c - docs/examples/httpd at its limits: slow and silent clients, too many of them, and a graceful
 * end.
 *
 * usage: HTTPD=PROGRAM test_httpd_limits
 */
#include "httpd_rig.h"

static void setup_timeouts(void)
{
    up((const char *const[]){"--head", "400", "--idle", "400", "--send", "1000", "--workers", "2", NULL});
}

TestSuite(httpd_timeouts, .init = setup_timeouts, .fini = teardown);

Test(httpd_timeouts, slow_requests_time_out)
{
    struct client c;
    struct response r;
    cr_assert(client_open(&c, server.port));
    cr_assert(client_say(&c, "GET / HTTP/1.1\r\nHo"));
    cr_assert_eq(client_receive(&c, &r, false), 1);
    cr_expect_eq(r.status, 408);
    cr_expect(r.closes && client_sees_end(&c));
    client_close(&c);
}

Test(httpd_timeouts, body_that_does_not_come_ends_the_connection_without_another_answer)
{
    static const char *const requests[] = {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
                                           CHUNKED "5\r\nab"};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        struct client c;
        cr_assert(client_open(&c, server.port));
        cr_expect_eq(ask(&c, requests[i]).status, 200);
        cr_expect(client_sees_end(&c), "%s", requests[i]);
        client_close(&c);
    }
}

Test(httpd_timeouts, body_in_pieces_does_not_count_for_the_next_request)
{
    struct client c;
    cr_assert(client_open(&c, server.port));
    cr_expect_eq(ask(&c, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab").status, 200);
    sleep_ms(20);
    cr_assert(client_say(&c, "cd"));
    cr_expect(client_sees_end(&c)); /* as idle as if there had been no body: without a word */
    client_close(&c);
}

Test(httpd_timeouts, idle_connections_are_closed_without_a_word)
{
    struct client c;
    cr_assert(client_open(&c, server.port));
    cr_expect(client_sees_end(&c));
    client_close(&c);
    cr_assert(client_open(&c, server.port));
    cr_expect_eq(ask(&c, GET("/")).status, 200);
    cr_expect(client_sees_end(&c));
    client_close(&c);
}

Test(httpd_timeouts, who_takes_nothing_is_cut_off)
{
    enum { REQUESTS = 10 }; /* for more than the sockets' buffers hold */
    struct client c;
    struct response r;
    int got = 1;
    cr_assert(client_open(&c, server.port));
    for (unsigned i = 0; i < REQUESTS; i++)
        cr_assert(client_say(&c, GET("/big.bin")));
    sleep_ms(2500);
    for (unsigned i = 0; i < REQUESTS && got == 1; i++)
        got = client_receive(&c, &r, false);
    cr_expect_lt(got, 1);
    client_close(&c);
}

/* --- limits and the end ------------------------------------------------------------------------------------------- */

static void setup_limits(void)
{
    up((const char *const[]){"--connections", "3", "--requests", "2", "--workers", "2", "--drain", "10000", NULL});
}

TestSuite(httpd_limits, .init = setup_limits, .fini = teardown);

Test(httpd_limits, connections_beyond_the_limit_get_503)
{
    struct client c[3], more;
    struct response r;
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(client_open(&c[i], server.port));
        cr_expect_eq(ask(&c[i], GET("/")).status, 200);
    }
    cr_assert(client_open(&more, server.port));
    cr_assert_eq(client_receive(&more, &r, false), 1);
    cr_expect_eq(r.status, 503);
    cr_expect(response_has(&r, "Retry-After", "1") && r.closes);
    cr_expect(client_sees_end(&more));
    client_close(&more);
    client_close(&c[0]);
    for (unsigned i = 0; i < 100 && r.status != 200; i++) { /* free when the server has seen the end */
        sleep_ms(20);
        cr_assert(client_open(&more, server.port));
        if (client_say(&more, GET("/")))
            (void)client_receive(&more, &r, false);
        client_close(&more);
    }
    cr_expect_eq(r.status, 200);
    for (unsigned i = 1; i < 3; i++)
        client_close(&c[i]);
}

Test(httpd_limits, requests_beyond_the_limit_get_503_and_the_connection_stays)
{
    struct client c[3];
    struct response r;
    for (unsigned i = 0; i < 3; i++)
        cr_assert(client_open(&c[i], server.port));
    for (unsigned i = 0; i < 2; i++)
        cr_assert(client_say(&c[i], GET("/work?io_us=500000")));
    sleep_ms(100);
    r = ask(&c[2], GET("/work?io_us=1000"));
    cr_expect_eq(r.status, 503);
    cr_expect(response_has(&r, "Retry-After", "1") && !r.closes);
    cr_expect_eq(ask(&c[2], GET("/")).status, 200); /* nothing that waits */
    for (unsigned i = 0; i < 2; i++)
        cr_expect(client_receive(&c[i], &r, false) == 1 && r.status == 200);
    cr_expect_eq(ask(&c[2], GET("/work?io_us=1000")).status, 200);
    for (unsigned i = 0; i < 3; i++)
        client_close(&c[i]);
}

Test(httpd_limits, sigterm_finishes_what_is_in_flight)
{
    struct client waits, idle, takes;
    struct response r;
    cr_assert(client_open(&waits, server.port) && client_open(&idle, server.port) && client_open(&takes, server.port));
    cr_expect_eq(ask(&idle, GET("/")).status, 200);
    cr_assert(client_say(&takes, GET("/big.bin")));
    cr_assert(client_say(&waits, GET("/work?io_us=700000")));
    sleep_ms(200);
    kill(server.pid, SIGTERM);
    cr_expect(client_sees_end(&idle));
    struct client late;
    sleep_ms(50);
    cr_expect(!client_open(&late, server.port));
    cr_expect(client_receive(&waits, &r, false) == 1 && r.status == 200);
    cr_expect(r.closes);
    cr_expect(client_receive(&takes, &r, false) == 1 && r.got == BIG);
    client_close(&waits);
    client_close(&idle);
    client_close(&takes);
}
