/* SPDX-License-Identifier: MIT
 *
 * target.h - a request's target: the path that it names, decoded and normalised, and its query.
 *
 * Threads: any; no shared state.
 * Invariants: a path that http_target_read() gives has no empty, "." or ".." segment and no zero byte, so that joined
 * to a root it stays below it as long as no symbolic link leads out (file.c sees to these).
 * Source: RFC 3986 (percent-encoding, dot segments), RFC 9112, section 3.2 (forms of a target).
 */
#ifndef HTTPD_TARGET_H
#define HTTPD_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_PATH_MAX 1024u /* bytes of a decoded path with its zero */

struct http_target {
    char path[HTTP_PATH_MAX]; /* relative to the root: "" is the root itself */
    size_t length;
    bool folder;              /* it ended in a slash */
    const char *query;        /* behind the "?", as it came; in the text that was read */
    size_t query_length;
};

enum http_target_result { HTTP_TARGET_OK, HTTP_TARGET_BAD, HTTP_TARGET_LONG };

/* Reads "/path?query" or "http://host/path?query". */
enum http_target_result http_target_read(struct http_target *t, const char *text, size_t length);

/* The number that the query gives for a name; `missing` if the name isn't there. False: no number, or above `most`. */
bool http_query_number(const struct http_target *t, const char *name, uint64_t missing, uint64_t most, uint64_t *out);

/* The media type that a path's ending stands for. */
const char *http_media_type(const char *path, size_t length);

#endif
