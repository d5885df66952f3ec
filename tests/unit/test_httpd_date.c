/* SPDX-License-Identifier: MIT
 *
 * test_httpd_date.c - dates of HTTP, written and read.
 */
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "date.h"

#define NOW 1790000000 /* in 2026 */

static void reads(const char *text, time_t expected)
{
    time_t t = -1;
    cr_expect(http_date_read(text, strlen(text), NOW, &t), "%s", text);
    cr_expect_eq(t, expected, "%s: %lld", text, (long long)t);
}

static void refuses(const char *text)
{
    time_t t;
    cr_expect(!http_date_read(text, strlen(text), NOW, &t), "%s", text);
}

Test(httpd_date, all_three_forms_are_read)
{
    reads("Sun, 06 Nov 1994 08:49:37 GMT", 784111777);
    reads("Sunday, 06-Nov-94 08:49:37 GMT", 784111777);
    reads("Sun Nov  6 08:49:37 1994", 784111777);
    reads("Sun Nov 16 08:49:37 1994", 784111777 + 10 * 86400);
    reads("Thu, 01 Jan 1970 00:00:00 GMT", 0);
}

Test(httpd_date, two_digits_of_a_year_mean_the_nearer_century)
{
    reads("Monday, 01-Jan-76 00:00:00 GMT", 3345062400); /* 2076: 50 years ahead */
    reads("Monday, 01-Jan-77 00:00:00 GMT", 220924800);  /* 1977 */
}

Test(httpd_date, what_is_no_date_is_refused)
{
    refuses("");
    refuses("Sun");
    refuses("Sun, ");
    refuses(",,,,");
    refuses("784111777");
    refuses("Sun, 06 Nov 1994 08:49:37");
    refuses("Sun, 06 Nov 1994 08:49:37 UTC");
    refuses("Sun, 06 Nov 1994 08:49:37 GMT ");
    refuses("Sun, 6 Nov 1994 08:49:37 GMT");
    refuses("Sun, 32 Jan 1994 08:49:37 GMT");
    refuses("Sun, 00 Jan 1994 08:49:37 GMT");
    refuses("Sun, 29 Feb 1900 08:49:37 GMT");
    refuses("Sun, 31 Apr 1994 08:49:37 GMT");
    refuses("Sun, 06 Nov 1994 24:00:00 GMT");
    refuses("Sun, 06 Nov 1994 08:60:00 GMT");
    refuses("Sun, 06 nov 1994 08:49:37 GMT");
    refuses("Sun Nov  6 08:49:37 94");
}

/* Every 100,000,003rd second of the calendar, which meets all kinds of years, beside the C library. */
Test(httpd_date, writing_agrees_with_the_c_library_and_is_read_back)
{
    for (time_t t = 0; t < 253402300800; t += 100000003) {
        char text[HTTP_DATE_TEXT], expected[64];
        struct tm tm;
        time_t back = -1;
        http_date_write(t, text);
        cr_assert_not_null(gmtime_r(&t, &tm));
        strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        cr_assert_str_eq(text, expected);
        cr_assert(http_date_read(text, strlen(text), NOW, &back));
        cr_assert_eq(back, t);
    }
}

Test(httpd_date, times_out_of_range_become_the_nearest)
{
    char text[HTTP_DATE_TEXT];
    http_date_write(-1, text);
    cr_expect_str_eq(text, "Thu, 01 Jan 1970 00:00:00 GMT");
    http_date_write(INT64_MAX, text);
    cr_expect_str_eq(text, "Fri, 31 Dec 9999 23:59:59 GMT");
}
