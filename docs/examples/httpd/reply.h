/* SPDX-License-Identifier: MIT
 *
 * reply.h - writes the head of an answer.
 *
 * Threads: any; the text of the date is kept per thread.
 */
#ifndef HTTPD_REPLY_H
#define HTTPD_REPLY_H

#include "condition.h"

#define HTTP_REPLY_MAX 4096u /* bytes of a head at most: a Location of thrice HTTP_PATH_MAX is in it */

struct http_reply {
    uint16_t status;
    bool keep_alive;          /* the connection stays */
    bool version_1_0;         /* the client has to be told if it does */
    const char *type;         /* NULL: no content, and no word about it */
    uint64_t length;          /* of the content */
    const struct http_entity *entity; /* of files; NULL: none */
    uint64_t at;              /* 206: first byte */
    const char *location;     /* 301: decoded path of a folder, without slashes around */
};

/* Appends the head to `to`, where HTTP_REPLY_MAX bytes are free. Returns its length. */
size_t http_reply_write(const struct http_reply *r, char *to);

/* The words that go with a status. */
const char *http_reason(uint16_t status);

#endif
