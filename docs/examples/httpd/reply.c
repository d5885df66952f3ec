/* SPDX-License-Identifier: MIT
 *
 * reply.c - writes the head of an answer, by copying: it is most of what a small answer costs outside the kernel.
 *
 * Threads: reply.h.
 */
#include "reply.h"

#include "date.h"
#include "target.h"

#include <string.h>

#define RETRY_AFTER "1" /* seconds */
#define DIGITS 20u      /* of a number of 64 bits */

static char *put(char *to, const char *text, size_t length)
{
    memcpy(to, text, length);
    return to + length;
}

/* A literal. */
#define PUT(to, literal) put(to, literal, sizeof(literal) - 1)

static char *put_text(char *to, const char *text)
{
    return put(to, text, strlen(text));
}

static char *put_number(char *to, uint64_t n)
{
    char digits[DIGITS], *at = digits + DIGITS;
    do
        *--at = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    return put(to, at, (size_t)(digits + DIGITS - at));
}

const char *http_reason(uint16_t status)
{
    switch (status) {
    case 200: return "OK";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Internal Server Error";
    }
}

/* The date of now, written anew once a second. */
static char *put_now(char *to)
{
    static _Thread_local time_t written = -1;
    static _Thread_local char text[HTTP_DATE_TEXT];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec != written) {
        written = now.tv_sec;
        http_date_write(written, text);
    }
    return put(to, text, HTTP_DATE_TEXT - 1);
}

static char *put_path(char *to, const char *path)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/-._~";
    static const char hex[] = "0123456789ABCDEF";
    for (; *path != '\0'; path++) {
        if (strchr(plain, *path) != NULL) {
            *to++ = *path;
        } else {
            *to++ = '%';
            *to++ = hex[(unsigned char)*path >> 4];
            *to++ = hex[(unsigned char)*path & 15];
        }
    }
    return to;
}

static char *put_entity(char *to, const struct http_reply *r)
{
    char date[HTTP_DATE_TEXT];
    http_date_write(r->entity->changed, date);
    to = PUT(to, "Last-Modified: ");
    to = put(to, date, HTTP_DATE_TEXT - 1);
    to = PUT(to, "\r\nETag: ");
    to = put_text(to, r->entity->tag);
    to = PUT(to, "\r\nAccept-Ranges: bytes\r\n");
    if (r->status != 206 && r->status != 416)
        return to;
    to = PUT(to, "Content-Range: bytes ");
    if (r->status == 206) {
        to = put_number(to, r->at);
        to = PUT(to, "-");
        to = put_number(to, r->at + r->length - 1);
    } else {
        to = PUT(to, "*");
    }
    to = PUT(to, "/");
    to = put_number(to, r->entity->size);
    return PUT(to, "\r\n");
}

size_t http_reply_write(const struct http_reply *r, char *to)
{
    char *from = to;
    to = PUT(to, "HTTP/1.1 ");
    to = put_number(to, r->status);
    to = PUT(to, " ");
    to = put_text(to, http_reason(r->status));
    to = PUT(to, "\r\nDate: ");
    to = put_now(to);
    to = PUT(to, "\r\n");
    if (r->type != NULL) {
        to = PUT(to, "Content-Type: ");
        to = put_text(to, r->type);
        to = PUT(to, "\r\nContent-Length: ");
        to = put_number(to, r->length);
        to = PUT(to, "\r\n");
    }
    if (r->entity != NULL)
        to = put_entity(to, r);
    if (r->status == 405)
        to = PUT(to, "Allow: GET, HEAD\r\n");
    if (r->status == 503)
        to = PUT(to, "Retry-After: " RETRY_AFTER "\r\n");
    if (r->location != NULL) {
        to = PUT(to, "Location: /");
        to = put_path(to, r->location);
        to = PUT(to, "/\r\n");
    }
    if (!r->keep_alive)
        to = PUT(to, "Connection: close\r\n");
    else if (r->version_1_0)
        to = PUT(to, "Connection: keep-alive\r\n");
    to = PUT(to, "\r\n");
    return (size_t)(to - from);
}
