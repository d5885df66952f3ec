/* SPDX-License-Identifier: MIT
 *
 * body.c - finds the end of a request's body.
 *
 * Threads, Invariants, Source: body.h. Bytes that are passed over are not looked at; all others one by one.
 */
#include "body.h"

enum state {
    OVER,         /* it has ended */
    PLAIN,        /* `left` bytes of it come */
    SIZE_BEGIN,   /* a chunk's size, of which there is no digit yet */
    SIZE,         /* which has some */
    EXTENSION,    /* what follows it */
    SIZE_END,     /* the CR of that line was read */
    DATA,         /* `left` bytes of the chunk come */
    DATA_CR,      /* what ends a chunk */
    DATA_END,
    TRAILER,      /* a line of the trailer, or the empty one that ends it */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_END,  /* the CR of such a line was read */
    LAST_END,     /* the CR of the empty line was read */
    BAD
};

#define DIGIT_BITS 4u

void http_body_init(struct http_body *b, const struct http_parser *p, const struct http_limits *limits)
{
    *b = (struct http_body){.left = p->chunked ? 0 : p->body, .budget = limits->body};
    b->state = p->chunked ? SIZE_BEGIN : b->left > 0 ? PLAIN : OVER;
}

bool http_body_is_over(const struct http_body *b)
{
    return b->state == OVER;
}

/* The value of a hexadecimal digit; -1: it is none. */
static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A byte of a chunk's size, or what follows that. */
static enum state read_size(struct http_body *b, char c)
{
    int d = digit(c);
    if (d >= 0) {
        b->left = b->left << DIGIT_BITS | (unsigned)d;
        return b->left <= b->budget ? SIZE : BAD; /* so it does not overflow, either */
    }
    if (b->state == SIZE_BEGIN)
        return BAD;
    return c == '\r' ? SIZE_END : c == ';' ? EXTENSION : BAD;
}

/* A byte of a line whose text may be anything that a field's value may. */
static enum state read_text(const struct http_body *b, char c, enum state end)
{
    return c == '\r' ? end : http_is_text(c) ? (enum state)b->state : BAD;
}

static enum state read_framing(struct http_body *b, char c)
{
    switch ((enum state)b->state) {
    case SIZE_BEGIN:
    case SIZE:
        return read_size(b, c);
    case EXTENSION:
        return read_text(b, c, SIZE_END);
    case SIZE_END:
        return c != '\n' || b->left > b->budget ? BAD : b->left > 0 ? DATA : TRAILER;
    case DATA_CR:
        return c == '\r' ? DATA_END : BAD;
    case DATA_END:
        return c == '\n' ? SIZE_BEGIN : BAD;
    case TRAILER:
        return c == '\r' ? LAST_END : http_is_token(c) ? TRAILER_NAME : BAD;
    case TRAILER_NAME:
        return c == ':' ? TRAILER_VALUE : http_is_token(c) ? TRAILER_NAME : BAD;
    case TRAILER_VALUE:
        return read_text(b, c, TRAILER_END);
    case TRAILER_END:
        return c == '\n' ? TRAILER : BAD;
    case LAST_END:
        return c == '\n' ? OVER : BAD;
    default:
        return BAD;
    }
}

/* Passes over what need not be looked at. Returns how much that was. */
static size_t pass_over(struct http_body *b, size_t length)
{
    size_t n = b->left < length ? (size_t)b->left : length;
    b->left -= n;
    if (b->left == 0)
        b->state = b->state == PLAIN ? OVER : DATA_CR;
    return n;
}

enum http_progress http_body_skip(struct http_body *b, const char *bytes, size_t length, size_t *used)
{
    size_t at = 0;
    while (at < length && b->state != OVER && b->state != BAD) {
        if (b->state == PLAIN) {
            at += pass_over(b, length - at);
        } else if (b->state == DATA) {
            size_t n = pass_over(b, length - at);
            b->budget -= n; /* which was no less than the whole chunk */
            at += n;
        } else if (b->budget == 0) {
            b->state = BAD;
        } else {
            b->budget--;
            b->state = (uint8_t)read_framing(b, bytes[at++]);
        }
    }
    *used = at;
    return b->state == OVER ? HTTP_READY : b->state == BAD ? HTTP_BAD : HTTP_MORE;
}
