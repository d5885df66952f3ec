/* SPDX-License-Identifier: MIT
 *
 * condition.h - what of a file a request gets: all of it, a range, or nothing because its copy is still good.
 *
 * Threads: any; no shared state.
 * Source: RFC 9110, sections 13 (conditional requests) and 14 (ranges). Of several ranges in one request none is
 * served: the answer is then the whole, as section 14.2 allows.
 */
#ifndef HTTPD_CONDITION_H
#define HTTPD_CONDITION_H

#include "parser.h"

#include <time.h>

#define HTTP_TAG_TEXT 40u /* bytes of an entity tag with its quotes and a zero */

/* What a file is at the moment. */
struct http_entity {
    char tag[HTTP_TAG_TEXT]; /* strong: it changes with the size and with the time of the last change, in ns */
    time_t changed;
    uint64_t size;
};

struct http_choice {
    uint16_t status;     /* 200, 206, 304, 412 or 416 */
    uint64_t at, length; /* of the bytes to send; 0, 0 where there are none */
};

void http_entity_set(struct http_entity *e, const struct timespec *changed, uint64_t size);

/* The request `p` whose head is `head`, at the time `now`. */
struct http_choice http_choose(const struct http_parser *p, const char *head, const struct http_entity *e, time_t now);

#endif
