/* SPDX-License-Identifier: MIT
 *
 * test_httpd_condition.c - conditional requests and ranges.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "condition.h"

#define CHANGED 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */
#define THEN "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER "Sun, 06 Nov 1994 08:49:38 GMT"
#define SIZE 1000u

static struct http_entity entity;

static struct http_choice choose_at(time_t now, const char *method, const char *fields)
{
    static const struct http_limits limits = {.line = 256, .head = 4096, .fields = 16, .body = 0};
    char head[4096];
    struct http_parser p;
    const struct timespec changed = {CHANGED, 5};
    http_entity_set(&entity, &changed, SIZE);
    int n = snprintf(head, sizeof head, "%s / HTTP/1.1\r\nHost: a\r\n%s\r\n", method, fields);
    http_parser_init(&p);
    cr_assert_eq(http_parse(&p, &limits, head, (size_t)n), HTTP_READY);
    return http_choose(&p, head, &entity, now);
}

static struct http_choice choose(const char *fields)
{
    return choose_at(CHANGED + 3600, "GET", fields);
}

/* A field with the entity's tag in the place of %s. */
static struct http_choice choose_tag(const char *format)
{
    char fields[512];
    (void)choose(""); /* sets the tag */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(fields, sizeof fields, format, entity.tag);
#pragma GCC diagnostic pop
    return choose(fields);
}

static void gives(struct http_choice c, unsigned status, uint64_t at, uint64_t length, int line)
{
    cr_expect(c.status == status && c.at == at && c.length == length, "line %d: %u, %llu bytes at %llu", line, c.status,
              (unsigned long long)c.length, (unsigned long long)c.at);
}
#define GIVES(choice, status, at, length) gives(choice, status, at, length, __LINE__)

Test(httpd_condition, without_conditions_all_is_sent)
{
    GIVES(choose(""), 200, 0, SIZE);
}

Test(httpd_condition, a_copy_that_is_still_good_is_not_sent_again)
{
    GIVES(choose_tag("If-None-Match: %s\r\n"), 304, 0, 0);
    GIVES(choose_tag("If-None-Match: W/%s\r\n"), 304, 0, 0);
    GIVES(choose_tag("If-None-Match: \"x\", %s\r\n"), 304, 0, 0);
    GIVES(choose("If-None-Match: *\r\n"), 304, 0, 0);
    GIVES(choose("If-None-Match: \"x\"\r\n"), 200, 0, SIZE);
    GIVES(choose("If-None-Match: x\r\n"), 200, 0, SIZE);
    GIVES(choose("If-None-Match: \"x\r\n"), 200, 0, SIZE);
    GIVES(choose("If-Modified-Since: " THEN "\r\n"), 304, 0, 0);
    GIVES(choose("If-Modified-Since: " AFTER "\r\n"), 304, 0, 0);
    GIVES(choose("If-Modified-Since: " BEFORE "\r\n"), 200, 0, SIZE);
    GIVES(choose("If-Modified-Since: yesterday\r\n"), 200, 0, SIZE);
}

Test(httpd_condition, a_tag_counts_more_than_a_date)
{
    GIVES(choose("If-None-Match: \"x\"\r\nIf-Modified-Since: " AFTER "\r\n"), 200, 0, SIZE);
    GIVES(choose_tag("If-Match: %s\r\nIf-Unmodified-Since: " BEFORE "\r\n"), 200, 0, SIZE);
}

Test(httpd_condition, preconditions_that_fail_give_412)
{
    GIVES(choose("If-Match: \"x\"\r\n"), 412, 0, 0);
    GIVES(choose_tag("If-Match: W/%s\r\n"), 412, 0, 0);
    GIVES(choose_tag("If-Match: %s\r\n"), 200, 0, SIZE);
    GIVES(choose("If-Match: *\r\n"), 200, 0, SIZE);
    GIVES(choose("If-Unmodified-Since: " BEFORE "\r\n"), 412, 0, 0);
    GIVES(choose("If-Unmodified-Since: " THEN "\r\n"), 200, 0, SIZE);
    GIVES(choose("If-Unmodified-Since: never\r\n"), 200, 0, SIZE);
    GIVES(choose_tag("If-Match: \"x\"\r\nIf-None-Match: %s\r\n"), 412, 0, 0);
}

Test(httpd_condition, ranges_are_cut_to_the_file)
{
    GIVES(choose("Range: bytes=0-0\r\n"), 206, 0, 1);
    GIVES(choose("Range: bytes=10-19\r\n"), 206, 10, 10);
    GIVES(choose("Range: Bytes=990-\r\n"), 206, 990, 10);
    GIVES(choose("Range: bytes=990-5000\r\n"), 206, 990, 10);
    GIVES(choose("Range: bytes=0-99999999999999999999999\r\n"), 206, 0, SIZE);
    GIVES(choose("Range: bytes=-1\r\n"), 206, 999, 1);
    GIVES(choose("Range: bytes=-5000\r\n"), 206, 0, SIZE);
}

Test(httpd_condition, ranges_outside_the_file_give_416)
{
    GIVES(choose("Range: bytes=1000-\r\n"), 416, 0, 0);
    GIVES(choose("Range: bytes=99999999999999999999999-\r\n"), 416, 0, 0);
    GIVES(choose("Range: bytes=-0\r\n"), 416, 0, 0);
}

Test(httpd_condition, ranges_that_make_no_sense_are_ignored)
{
    GIVES(choose("Range: bytes=\r\n"), 200, 0, SIZE);
    GIVES(choose("Range: bytes=-\r\n"), 200, 0, SIZE);
    GIVES(choose("Range: bytes=5-4\r\n"), 200, 0, SIZE);
    GIVES(choose("Range: bytes=a-b\r\n"), 200, 0, SIZE);
    GIVES(choose("Range: bytes=0-1,5-6\r\n"), 200, 0, SIZE);
    GIVES(choose("Range: lines=0-1\r\n"), 200, 0, SIZE);
    GIVES(choose("Range: bytes=1\r\n"), 200, 0, SIZE);
}

Test(httpd_condition, if_range_lets_a_range_through_for_the_same_file_only)
{
    GIVES(choose_tag("If-Range: %s\r\nRange: bytes=0-0\r\n"), 206, 0, 1);
    GIVES(choose_tag("If-Range: W/%s\r\nRange: bytes=0-0\r\n"), 200, 0, SIZE);
    GIVES(choose("If-Range: \"x\"\r\nRange: bytes=0-0\r\n"), 200, 0, SIZE);
    GIVES(choose("If-Range: " THEN "\r\nRange: bytes=0-0\r\n"), 206, 0, 1);
    GIVES(choose("If-Range: " AFTER "\r\nRange: bytes=0-0\r\n"), 200, 0, SIZE);
    GIVES(choose_at(CHANGED, "GET", "If-Range: " THEN "\r\nRange: bytes=0-0\r\n"), 200, 0, SIZE);
}

Test(httpd_condition, a_head_request_has_no_range)
{
    GIVES(choose_at(CHANGED, "HEAD", "Range: bytes=0-0\r\n"), 200, 0, SIZE);
}
