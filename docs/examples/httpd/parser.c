/* SPDX-License-Identifier: MIT
 *
 * parser.c - reads the head of an HTTP/1.1 request, line by line.
 *
 * Threads, Invariants, Source: parser.h.
 */
#include "parser.h"

#include <string.h>
#include <strings.h>

#define STATUS_BAD_REQUEST 400
#define STATUS_METHOD_NOT_ALLOWED 405
#define STATUS_CONTENT_TOO_LARGE 413
#define STATUS_URI_TOO_LONG 414
#define STATUS_EXPECTATION_FAILED 417
#define STATUS_FIELDS_TOO_LARGE 431
#define STATUS_NOT_IMPLEMENTED 501
#define STATUS_VERSION 505

#define LENGTH_DIGITS 18u /* of a Content-Length: what fits into 64 bits for sure */
#define VERSION_TEXT 8u   /* bytes of "HTTP/1.1" */

/* Classes of bytes. */
#define TOKEN 1u  /* may be in a method or field name */
#define VALUE 2u  /* may be in a field's value */
#define TARGET 4u /* may be in a request's target */
#define HOST 8u   /* may be in a Host */

static const uint8_t class_of[256] = {
    ['\t'] = VALUE,
    [' '] = VALUE,
    ['!'] = TOKEN | VALUE | TARGET | HOST,
    ['"'] = VALUE | TARGET,
    ['#'] = TOKEN | VALUE,
    ['$' ... '\''] = TOKEN | VALUE | TARGET | HOST,
    ['(' ... ')'] = VALUE | TARGET | HOST,
    ['*' ... '+'] = TOKEN | VALUE | TARGET | HOST,
    [','] = VALUE | TARGET | HOST,
    ['-' ... '.'] = TOKEN | VALUE | TARGET | HOST,
    ['/'] = VALUE | TARGET,
    ['0' ... '9'] = TOKEN | VALUE | TARGET | HOST,
    [':' ... ';'] = VALUE | TARGET | HOST,
    ['<'] = VALUE | TARGET,
    ['='] = VALUE | TARGET | HOST,
    ['>' ... '@'] = VALUE | TARGET,
    ['A' ... 'Z'] = TOKEN | VALUE | TARGET | HOST,
    ['['] = VALUE | TARGET | HOST,
    ['\\'] = VALUE | TARGET,
    [']'] = VALUE | TARGET | HOST,
    ['^'] = TOKEN | VALUE | TARGET,
    ['_'] = TOKEN | VALUE | TARGET | HOST,
    ['`'] = TOKEN | VALUE | TARGET,
    ['a' ... 'z'] = TOKEN | VALUE | TARGET | HOST,
    ['{'] = VALUE | TARGET,
    ['|'] = TOKEN | VALUE | TARGET,
    ['}'] = VALUE | TARGET,
    ['~'] = TOKEN | VALUE | TARGET | HOST,
    [0x80 ... 0xff] = VALUE,
};

/* What the parser itself understands; the first ones are enum http_field. */
enum known_field {
    CONNECTION = HTTP_FIELDS_KEPT,
    CONTENT_LENGTH,
    EXPECT,
    HOST_NAME,
    TRANSFER_ENCODING,
    KNOWN_FIELDS
};

static const struct {
    const char *name;
    size_t length;
} known[KNOWN_FIELDS] = {
    [HTTP_RANGE] = {"range", 5},
    [HTTP_IF_RANGE] = {"if-range", 8},
    [HTTP_IF_MATCH] = {"if-match", 8},
    [HTTP_IF_NONE_MATCH] = {"if-none-match", 13},
    [HTTP_IF_MODIFIED_SINCE] = {"if-modified-since", 17},
    [HTTP_IF_UNMODIFIED_SINCE] = {"if-unmodified-since", 19},
    [CONNECTION] = {"connection", 10},
    [CONTENT_LENGTH] = {"content-length", 14},
    [EXPECT] = {"expect", 6},
    [HOST_NAME] = {"host", 4},
    [TRANSFER_ENCODING] = {"transfer-encoding", 17},
};

/* What is well-formed, but not served. */
static const char *const other_methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"};

void http_parser_init(struct http_parser *p)
{
    memset(p, 0, sizeof *p);
}

static enum http_progress refuse(struct http_parser *p, uint16_t status)
{
    p->refusal = status;
    return HTTP_BAD;
}

/* How many of the first `length` bytes are of a class. */
static size_t span_of(const char *bytes, size_t length, uint8_t class)
{
    size_t n = 0;
    while (n < length && (class_of[(uint8_t)bytes[n]] & class) != 0)
        n++;
    return n;
}

bool http_is_token(char c)
{
    return (class_of[(uint8_t)c] & TOKEN) != 0;
}

bool http_is_text(char c)
{
    return (class_of[(uint8_t)c] & VALUE) != 0;
}

static bool is(const char *bytes, size_t length, const char *text)
{
    return length == strlen(text) && memcmp(bytes, text, length) == 0;
}

bool http_list_has(const char *list, size_t length, const char *token)
{
    size_t wanted = strlen(token);
    for (size_t i = 0; i < length;) {
        size_t end = i;
        while (end < length && list[end] != ',')
            end++;
        size_t from = i, to = end;
        while (from < to && (list[from] == ' ' || list[from] == '\t'))
            from++;
        while (to > from && (list[to - 1] == ' ' || list[to - 1] == '\t'))
            to--;
        if (to - from == wanted && strncasecmp(list + from, token, wanted) == 0)
            return true;
        i = end + 1;
    }
    return false;
}

/* --- the request line -------------------------------------------------------------------------------------------- */

static uint16_t method_refusal(const char *method, size_t length)
{
    for (size_t i = 0; i < sizeof other_methods / sizeof *other_methods; i++)
        if (is(method, length, other_methods[i]))
            return STATUS_METHOD_NOT_ALLOWED;
    return STATUS_NOT_IMPLEMENTED;
}

static uint16_t read_version(struct http_parser *p, const char *text, size_t length)
{
    if (length != VERSION_TEXT || memcmp(text, "HTTP/", 5) != 0 || text[6] != '.' || text[5] < '0' || text[5] > '9' ||
        text[7] < '0' || text[7] > '9')
        return STATUS_BAD_REQUEST;
    if (text[5] != '1')
        return STATUS_VERSION;
    p->version_1_0 = text[7] == '0';
    return 0;
}

/* `line` is without its end. */
static uint16_t read_request_line(struct http_parser *p, const char *line, size_t length)
{
    size_t method = span_of(line, length, TOKEN);
    if (method == 0 || method == length || line[method] != ' ')
        return STATUS_BAD_REQUEST;
    const char *target = line + method + 1;
    size_t left = length - method - 1, n = span_of(target, left, TARGET);
    if (n == 0 || n == left || target[n] != ' ')
        return STATUS_BAD_REQUEST;
    uint16_t refusal = read_version(p, target + n + 1, left - n - 1);
    if (refusal != 0)
        return refusal;
    p->head_only = is(line, method, "HEAD");
    p->target = (struct http_span){(uint16_t)(p->line_at + method + 1), (uint16_t)n};
    return p->head_only || is(line, method, "GET") ? 0 : method_refusal(line, method);
}

/* --- field lines -------------------------------------------------------------------------------------------------- */

static unsigned find_field(const char *name, size_t length)
{
    for (unsigned i = 0; i < KNOWN_FIELDS; i++)
        if (known[i].length == length && strncasecmp(known[i].name, name, length) == 0)
            return i;
    return KNOWN_FIELDS;
}

static uint16_t read_content_length(struct http_parser *p, const char *value, size_t length)
{
    uint64_t n = 0;
    for (size_t i = 0; i < length; i++) {
        if (value[i] < '0' || value[i] > '9')
            return STATUS_BAD_REQUEST;
        if (i < LENGTH_DIGITS)
            n = n * 10 + (uint64_t)(value[i] - '0');
    }
    p->body = n;
    return length == 0 ? STATUS_BAD_REQUEST : length > LENGTH_DIGITS ? STATUS_CONTENT_TOO_LARGE : 0;
}

static void read_connection(struct http_parser *p, const char *value, size_t length)
{
    p->wants_close |= http_list_has(value, length, "close");
    p->wants_stay |= http_list_has(value, length, "keep-alive");
}

static uint16_t read_expect(struct http_parser *p, const char *value, size_t length)
{
    p->expects_continue = length == 12 && strncasecmp(value, "100-continue", length) == 0;
    return p->expects_continue ? 0 : STATUS_EXPECTATION_FAILED;
}

/* Where a body ends is known if it is chunked, and nothing else. */
static uint16_t read_transfer_encoding(struct http_parser *p, const char *value, size_t length)
{
    if (p->version_1_0)
        return STATUS_BAD_REQUEST;
    p->chunked = length == 7 && strncasecmp(value, "chunked", length) == 0;
    return p->chunked ? 0 : STATUS_NOT_IMPLEMENTED;
}

/* A field of which there can be one only came again. */
static uint16_t repeated(struct http_parser *p, unsigned field)
{
    if (field < HTTP_FIELDS_KEPT)
        p->field[field].length = 0; /* a condition that is not clear is none */
    return field < HTTP_FIELDS_KEPT || field == CONNECTION ? 0 : STATUS_BAD_REQUEST;
}

static uint16_t read_known(struct http_parser *p, unsigned field, const char *value, size_t length)
{
    switch (field) {
    case CONNECTION:
        read_connection(p, value, length);
        return 0;
    case CONTENT_LENGTH:
        return read_content_length(p, value, length);
    case EXPECT:
        return read_expect(p, value, length);
    case HOST_NAME:
        return span_of(value, length, HOST) == length ? 0 : STATUS_BAD_REQUEST;
    case TRANSFER_ENCODING:
        return read_transfer_encoding(p, value, length);
    default:
        return 0;
    }
}

static uint16_t read_field_line(struct http_parser *p, const struct http_limits *limits, const char *line,
                                size_t length)
{
    size_t name = span_of(line, length, TOKEN);
    if (name == 0 || name == length || line[name] != ':')
        return STATUS_BAD_REQUEST; /* a line that begins with a space is folded, which RFC 9112 lets a server refuse */
    if (p->fields++ == limits->fields)
        return STATUS_FIELDS_TOO_LARGE;
    const char *value = line + name + 1, *end = line + length;
    if (span_of(value, (size_t)(end - value), VALUE) != (size_t)(end - value))
        return STATUS_BAD_REQUEST;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    unsigned field = find_field(line, name);
    if (field == KNOWN_FIELDS)
        return 0;
    bool again = ((unsigned)p->seen >> field & 1u) != 0;
    p->seen = (uint16_t)(p->seen | 1u << field);
    if (again && repeated(p, field) != 0)
        return STATUS_BAD_REQUEST;
    if (field < HTTP_FIELDS_KEPT && !again)
        p->field[field] =
            (struct http_span){(uint16_t)(p->line_at + (uint32_t)(value - line)), (uint16_t)(end - value)};
    return read_known(p, field, value, (size_t)(end - value));
}

/* --- the head ----------------------------------------------------------------------------------------------------- */

static bool has(const struct http_parser *p, enum known_field field)
{
    return ((unsigned)p->seen >> field & 1u) != 0;
}

/* What no single line shows. */
static uint16_t check_head(const struct http_parser *p, const struct http_limits *limits)
{
    if (!has(p, HOST_NAME) && !p->version_1_0)
        return STATUS_BAD_REQUEST;
    if (has(p, TRANSFER_ENCODING) && has(p, CONTENT_LENGTH))
        return STATUS_BAD_REQUEST;
    return p->body > limits->body ? STATUS_CONTENT_TOO_LARGE : 0;
}

/* One line, `length` bytes with its LF. */
static enum http_progress read_line(struct http_parser *p, const struct http_limits *limits, const char *line,
                                    size_t length)
{
    if (length < 2 || line[length - 2] != '\r')
        return refuse(p, STATUS_BAD_REQUEST);
    length -= 2;
    uint16_t refusal = 0;
    if (p->in_fields && length == 0) {
        refusal = check_head(p, limits);
        p->keep_alive = !p->wants_close && (p->wants_stay || !p->version_1_0);
        return refusal != 0 ? refuse(p, refusal) : HTTP_READY;
    }
    if (p->in_fields) {
        refusal = read_field_line(p, limits, line, length);
    } else if (length > 0) { /* empty lines before a request are let pass: old clients end a body with one */
        refusal = read_request_line(p, line, length);
        p->in_fields = true;
    }
    return refusal != 0 ? refuse(p, refusal) : HTTP_MORE;
}

enum http_progress http_parse(struct http_parser *p, const struct http_limits *limits, const char *bytes,
                              size_t length)
{
    for (;;) {
        size_t room = p->in_fields ? limits->head - p->line_at : limits->line;
        if (room > limits->head - p->line_at)
            room = limits->head - p->line_at;
        size_t seen = p->line_at + room < length ? p->line_at + room : length;
        const char *end = memchr(bytes + p->at, '\n', seen - p->at);
        if (end == NULL) {
            p->at = (uint32_t)seen;
            if (seen < p->line_at + room)
                return HTTP_MORE;
            return refuse(p, p->in_fields ? STATUS_FIELDS_TOO_LARGE : STATUS_URI_TOO_LONG);
        }
        p->at = (uint32_t)(end - bytes) + 1;
        enum http_progress progress = read_line(p, limits, bytes + p->line_at, p->at - p->line_at);
        if (progress != HTTP_MORE)
            return progress;
        p->line_at = p->at;
    }
}
