/* SPDX-License-Identifier: MIT
 *
 * parser.h - reads the head of an HTTP/1.1 request, in whatever pieces it arrives.
 *
 * The caller keeps the bytes of one request together and calls http_parse() again when there are more; what was looked
 * at before is not looked at again. Strict, where leniency lets two readers of one message disagree (request
 * smuggling): lines end in CR LF, no folded or space-padded field names, one Content-Length of digits only, and none
 * beside a Transfer-Encoding.
 *
 * Threads: a parser is used by one thread at a time.
 * Invariants: the result depends on the bytes alone, not on how they were cut; nothing behind `length` is read; a span
 * lies inside the head.
 * Source: RFC 9112 (messages), RFC 9110 (fields).
 */
#ifndef HTTPD_PARSER_H
#define HTTPD_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a head, which offsets of 16 bits address. */
#define HTTP_HEAD_MAX 65535u

struct http_limits {
    uint32_t line;   /* bytes of the request line, its end included */
    uint32_t head;   /* bytes of the whole head, at most HTTP_HEAD_MAX */
    uint32_t fields; /* field lines */
    uint64_t body;   /* bytes of a body that may be skipped, with its framing */
};

/* A piece of the head, by its offset from the request's first byte. */
struct http_span {
    uint16_t at;
    uint16_t length;
};

/* The fields whose values are kept for whoever answers. */
enum http_field {
    HTTP_RANGE,
    HTTP_IF_RANGE,
    HTTP_IF_MATCH,
    HTTP_IF_NONE_MATCH,
    HTTP_IF_MODIFIED_SINCE,
    HTTP_IF_UNMODIFIED_SINCE,
    HTTP_FIELDS_KEPT
};

struct http_parser {
    uint32_t at;      /* bytes that were looked at */
    uint32_t line_at; /* where the line that is being read begins */
    uint16_t fields;  /* field lines so far */
    uint16_t seen;    /* which fields that the parser knows have come, a bit each */
    uint16_t refusal; /* HTTP_BAD: the status to answer with, before the connection is closed */
    bool in_fields;   /* the request line is done */
    bool wants_close; /* what Connection said */
    bool wants_stay;
    /* The result, whole when http_parse() has said HTTP_READY. */
    bool head_only;       /* HEAD, else GET */
    bool keep_alive;      /* the client would like to go on */
    bool version_1_0;     /* HTTP/1.0: the answer has to say so if the connection stays */
    bool expects_continue; /* the client sends its body only when it is asked for */
    bool chunked;          /* a body follows the head in chunks (body.h) */
    uint64_t body;        /* bytes of body that follow the head, if it is not chunked */
    struct http_span target;
    struct http_span field[HTTP_FIELDS_KEPT]; /* length 0: not there, empty, or there more than once */
};

enum http_progress {
    HTTP_MORE,  /* the head is not complete */
    HTTP_READY, /* it is: `at` bytes long */
    HTTP_BAD    /* see `refusal`; what follows can't be understood */
};

void http_parser_init(struct http_parser *p);

/* Goes on with the request that begins at `bytes`, of which `length` bytes are there now. Not after HTTP_BAD. */
enum http_progress http_parse(struct http_parser *p, const struct http_limits *limits, const char *bytes,
                              size_t length);

/* Whether a byte may be in a method or field name; in a field's value. */
bool http_is_token(char c);
bool http_is_text(char c);

/* Whether a comma-separated list holds the token, in whatever case. */
bool http_list_has(const char *list, size_t length, const char *token);

#endif
