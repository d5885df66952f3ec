/* SPDX-License-Identifier: MIT
 *
 * target.c - reads a request's target: decodes, then removes dot segments, so that "%2e%2e" is "..", too.
 *
 * Threads, Invariants, Source: target.h.
 */
#include "target.h"

#include <string.h>
#include <strings.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes "http://host" off the front. */
static const char *skip_authority(const char *at, const char *end)
{
    if (end - at < 7 || strncasecmp(at, "http://", 7) != 0)
        return at;
    at += 7;
    while (at < end && *at != '/' && *at != '?')
        at++;
    return at;
}

/* The next byte, decoded; *at moves on. -1: malformed, or a zero. */
static int decode(const char **at, const char *end)
{
    if (**at != '%')
        return (unsigned char)*(*at)++;
    if (end - *at < 3)
        return -1;
    int high = hex_digit((*at)[1]), low = hex_digit((*at)[2]);
    *at += 3;
    return high < 0 || low < 0 || high + low == 0 ? -1 : high << 4 | low;
}

/* The segment from `from` on is complete: drops it if it is empty or ".", and the one before it if it is "..". False:
 * that would leave the root. */
static bool end_segment(struct http_target *t, size_t *from)
{
    const char *segment = t->path + *from;
    size_t n = t->length - *from;
    if (n == 0 || (n == 1 && segment[0] == '.')) {
        t->length = *from;
    } else if (n == 2 && segment[0] == '.' && segment[1] == '.') {
        if (*from == 0)
            return false;
        size_t at = *from - 1; /* the slash before */
        while (at > 0 && t->path[at - 1] != '/')
            at--;
        t->length = at;
    } else {
        t->path[t->length++] = '/';
    }
    *from = t->length;
    return true;
}

enum http_target_result http_target_read(struct http_target *t, const char *text, size_t length)
{
    const char *end = text + length, *at = skip_authority(text, end), *query = memchr(at, '?', (size_t)(end - at));
    const char *path_end = query != NULL ? query : end;
    size_t from = 0;
    t->length = 0;
    t->query = query != NULL ? query + 1 : end;
    t->query_length = (size_t)(end - t->query);
    t->folder = true;
    if (at == path_end ? at == text : *at != '/')
        return HTTP_TARGET_BAD;
    while (at < path_end) {
        if (t->length + 2 > sizeof t->path)
            return HTTP_TARGET_LONG;
        int c = decode(&at, path_end);
        if (c < 0 || (c == '/' && !end_segment(t, &from)))
            return HTTP_TARGET_BAD;
        if (c != '/')
            t->path[t->length++] = (char)c;
    }
    size_t last = t->length - from;
    const char *segment = t->path + from;
    t->folder = last == 0 || (segment[0] == '.' && (last == 1 || (last == 2 && segment[1] == '.')));
    if (t->length + 2 > sizeof t->path)
        return HTTP_TARGET_LONG;
    if (!end_segment(t, &from))
        return HTTP_TARGET_BAD;
    t->length -= t->length > 0; /* without the slash behind the last segment */
    t->path[t->length] = '\0';
    return HTTP_TARGET_OK;
}

bool http_query_number(const struct http_target *t, const char *name, uint64_t missing, uint64_t most, uint64_t *out)
{
    size_t wanted = strlen(name);
    const char *at = t->query, *end = t->query + t->query_length;
    *out = missing;
    while (at < end) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        const char *stop = next != NULL ? next : end;
        if ((size_t)(stop - at) > wanted && memcmp(at, name, wanted) == 0 && at[wanted] == '=') {
            uint64_t n = 0;
            const char *digit = at + wanted + 1;
            for (; digit < stop && *digit >= '0' && *digit <= '9' && n <= most; digit++)
                n = n * 10 + (uint64_t)(*digit - '0');
            *out = n;
            return digit == stop && digit > at + wanted + 1 && n <= most;
        }
        at = stop + (next != NULL);
    }
    return true;
}

const char *http_media_type(const char *path, size_t length)
{
    static const struct {
        const char *ending, *type;
    } types[] = {
        {".html", "text/html; charset=utf-8"}, {".css", "text/css; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"}, {".json", "application/json"},
        {".txt", "text/plain; charset=utf-8"}, {".md", "text/markdown; charset=utf-8"},
        {".xml", "application/xml"}, {".svg", "image/svg+xml"}, {".png", "image/png"}, {".jpg", "image/jpeg"},
        {".jpeg", "image/jpeg"}, {".gif", "image/gif"}, {".webp", "image/webp"}, {".ico", "image/x-icon"},
        {".woff2", "font/woff2"}, {".wasm", "application/wasm"}, {".pdf", "application/pdf"},
        {".gz", "application/gzip"}, {".mp4", "video/mp4"}, {".mp3", "audio/mpeg"},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t n = strlen(types[i].ending);
        if (length >= n && strncasecmp(path + length - n, types[i].ending, n) == 0)
            return types[i].type;
    }
    return "application/octet-stream";
}
