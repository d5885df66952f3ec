/* SPDX-License-Identifier: MIT
 *
 * test_httpd_target.c - what targets name, and that none names anything above the root.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "target.h"

static struct http_target target;

static enum http_target_result read_text(const char *text)
{
    memset(&target, 'x', sizeof target);
    return http_target_read(&target, text, strlen(text));
}

static void names(const char *text, const char *path, bool folder)
{
    enum http_target_result r = read_text(text);
    cr_expect_eq(r, HTTP_TARGET_OK, "%s", text);
    cr_expect(r != HTTP_TARGET_OK || (strcmp(target.path, path) == 0 && target.length == strlen(path)), "%s: '%s'",
              text, target.path);
    cr_expect(r != HTTP_TARGET_OK || target.folder == folder, "%s", text);
}

static void refused(const char *text)
{
    cr_expect_eq(read_text(text), HTTP_TARGET_BAD, "%s", text);
}

Test(httpd_target, paths_are_relative_to_the_root)
{
    names("/", "", true);
    names("/a", "a", false);
    names("/a/", "a", true);
    names("/a/b.txt", "a/b.txt", false);
    names("/a?b", "a", false);
    names("http://host", "", true);
    names("http://host?x", "", true);
    names("HTTP://host:80/a/b", "a/b", false);
    names("/http://host/a", "http:/host/a", false);
}

Test(httpd_target, percent_encoding_is_undone_once)
{
    names("/a%20b", "a b", false);
    names("/%41%7e%7E", "A~~", false);
    names("/%2541", "%41", false);
    names("/a%3fb", "a?b", false);
    refused("/%");
    refused("/%4");
    refused("/%4g");
    refused("/%00");
    refused("/a%00b");
}

Test(httpd_target, dot_segments_are_removed_after_decoding)
{
    names("/.", "", true);
    names("/a/.", "a", true);
    names("/a/..", "", true);
    names("/a/../b", "b", false);
    names("/a/b/../../c", "c", false);
    names("/a/./b//c", "a/b/c", false);
    names("//a", "a", false);
    names("/a/%2e%2e/b", "b", false);
    names("/a%2fb", "a/b", false);
    names("/...", "...", false);
    names("/..a", "..a", false);
    names("/a/b/..", "a", true);
}

Test(httpd_target, nothing_leads_above_the_root)
{
    refused("/..");
    refused("/../a");
    refused("/a/../..");
    refused("/a/../../b");
    refused("/%2e%2e/a");
    refused("/%2e%2e%2fa");
    refused("/./..");
    refused("/a/..//../b");
}

Test(httpd_target, other_forms_are_refused)
{
    refused("");
    refused("*");
    refused("a");
    refused("host:80");
    refused("?a");
    refused("https://host/");
}

Test(httpd_target, length_has_a_limit)
{
    char text[HTTP_PATH_MAX + 2] = "/";
    memset(text + 1, 'a', HTTP_PATH_MAX - 2);
    text[HTTP_PATH_MAX - 1] = '\0';
    cr_expect_eq(read_text(text), HTTP_TARGET_OK);
    strcat(text, "a");
    cr_expect_eq(read_text(text), HTTP_TARGET_LONG);
}

Test(httpd_target, numbers_of_a_query)
{
    uint64_t n = 7;
    cr_assert_eq(read_text("/w?us=12&io_us=34&x=&y=1a&z=100"), HTTP_TARGET_OK);
    cr_expect(http_query_number(&target, "us", 0, 99, &n) && n == 12);
    cr_expect(http_query_number(&target, "io_us", 0, 99, &n) && n == 34);
    cr_expect(http_query_number(&target, "s", 5, 99, &n) && n == 5);
    cr_expect(!http_query_number(&target, "x", 0, 99, &n));
    cr_expect(!http_query_number(&target, "y", 0, 99, &n));
    cr_expect(!http_query_number(&target, "z", 0, 99, &n));
    cr_assert_eq(read_text("/w?us=99999999999999999999999999"), HTTP_TARGET_OK);
    cr_expect(!http_query_number(&target, "us", 0, 1000000, &n));
}

Test(httpd_target, types_go_by_the_ending)
{
    cr_expect_str_eq(http_media_type("a/b.html", 8), "text/html; charset=utf-8");
    cr_expect_str_eq(http_media_type("B.PNG", 5), "image/png");
    cr_expect_str_eq(http_media_type("html", 4), "application/octet-stream");
    cr_expect_str_eq(http_media_type("", 0), "application/octet-stream");
}
