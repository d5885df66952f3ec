/* SPDX-License-Identifier: MIT
 *
 * body.h - finds the end of a request's body, which nobody here wants: by its length, or chunk by chunk.
 *
 * A request is answered when its head has been read; its body is thrown away as it arrives, in whatever pieces. One
 * that is chunked is read as strictly as a head: chunk sizes of hexadecimal digits only, lines that end in CR LF,
 * extensions and trailer fields of the bytes that are allowed there. Its framing counts as part of it, so that many
 * small chunks, long extensions and trailers come under the same limit.
 *
 * Threads: a body is read by one thread at a time.
 * Invariants: what is said depends on the bytes alone, not on how they were cut; nothing behind `length` is read.
 * Source: RFC 9112, sections 6 and 7.
 */
#ifndef HTTPD_BODY_H
#define HTTPD_BODY_H

#include "parser.h"

struct http_body {
    uint64_t left;    /* bytes to be passed over; while a size is read: the size so far */
    uint64_t budget;  /* bytes that may still come, if it is chunked */
    uint8_t state;    /* enum state, body.c */
};

/* The body of a request whose head is complete. */
void http_body_init(struct http_body *b, const struct http_parser *p, const struct http_limits *limits);

/* Whether it has been read to its end. */
bool http_body_is_over(const struct http_body *b);

/*
 * Reads on. HTTP_MORE: all bytes belong to it, and it goes on. HTTP_READY: it ended, *used bytes belong to it.
 * HTTP_BAD: it is malformed, or longer than the limit; what follows can't be understood.
 */
enum http_progress http_body_skip(struct http_body *b, const char *bytes, size_t length, size_t *used);

#endif
