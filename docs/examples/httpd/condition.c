/* SPDX-License-Identifier: MIT
 *
 * condition.c - preconditions in the order of RFC 9110, section 13.2.2, then the range.
 *
 * Threads, Source: condition.h.
 */
#include "condition.h"

#include "date.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum range { RANGE_NONE, RANGE_PART, RANGE_UNSATISFIABLE };

void http_entity_set(struct http_entity *e, const struct timespec *changed, uint64_t size)
{
    e->changed = changed->tv_sec;
    e->size = size;
    snprintf(e->tag, sizeof e->tag, "\"%llx.%lx-%llx\"", (unsigned long long)changed->tv_sec,
             (unsigned long)changed->tv_nsec, (unsigned long long)size);
}

static const char *value_of(const struct http_parser *p, const char *head, enum http_field field, size_t *length)
{
    *length = p->field[field].length;
    return head + p->field[field].at;
}

/* --- entity tags -------------------------------------------------------------------------------------------------- */

/*
 * Whether the list holds the tag, or is "*". weak: a tag marked as weak is as good (for If-None-Match). A list that is
 * malformed ends where it stops making sense.
 */
static bool list_matches(const char *list, size_t length, const char *tag, bool weak)
{
    size_t wanted = strlen(tag);
    const char *at = list, *end = list + length;
    if (length == 1 && *list == '*')
        return true;
    while (at < end) {
        while (at < end && (*at == ' ' || *at == '\t' || *at == ','))
            at++;
        bool is_weak = end - at >= 2 && at[0] == 'W' && at[1] == '/';
        at += is_weak ? 2 : 0;
        const char *close = at < end && *at == '"' ? memchr(at + 1, '"', (size_t)(end - at - 1)) : NULL;
        if (close == NULL)
            return false;
        size_t n = (size_t)(close - at) + 1;
        if (n == wanted && memcmp(at, tag, n) == 0 && (weak || !is_weak))
            return true;
        at = close + 1;
    }
    return false;
}

/* --- preconditions ------------------------------------------------------------------------------------------------ */

/* Whether the file has changed after the date; a date that is none says nothing. */
static bool changed_after(const char *text, size_t length, const struct http_entity *e, time_t now, bool unclear)
{
    time_t date;
    return http_date_read(text, length, now, &date) ? e->changed > date : unclear;
}

/* 0: the request goes on. */
static uint16_t check(const struct http_parser *p, const char *head, const struct http_entity *e, time_t now)
{
    size_t length;
    const char *value = value_of(p, head, HTTP_IF_MATCH, &length);
    if (length > 0 && !list_matches(value, length, e->tag, false))
        return 412;
    if (length == 0) {
        value = value_of(p, head, HTTP_IF_UNMODIFIED_SINCE, &length);
        if (length > 0 && changed_after(value, length, e, now, false))
            return 412;
    }
    value = value_of(p, head, HTTP_IF_NONE_MATCH, &length);
    if (length > 0)
        return list_matches(value, length, e->tag, true) ? 304 : 0;
    value = value_of(p, head, HTTP_IF_MODIFIED_SINCE, &length);
    return length > 0 && !changed_after(value, length, e, now, true) ? 304 : 0;
}

/* --- the range ---------------------------------------------------------------------------------------------------- */

/* Digits from *at on; a number too large for 64 bits becomes the largest. False: there are none. */
static bool read_number(const char **at, const char *end, uint64_t *out)
{
    const char *from = *at;
    *out = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; ++*at) {
        uint64_t digit = (uint64_t)(**at - '0');
        *out = *out > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *out * 10 + digit;
    }
    return *at > from;
}

static enum range last_bytes(uint64_t n, uint64_t size, struct http_choice *c)
{
    c->length = n < size ? n : size;
    c->at = size - c->length;
    return c->length > 0 ? RANGE_PART : RANGE_UNSATISFIABLE;
}

/* "bytes=FIRST-LAST", "bytes=FIRST-" or "bytes=-LENGTH". What is malformed, or several ranges, counts as none. */
static enum range read_range(const char *text, size_t length, uint64_t size, struct http_choice *c)
{
    const char *at = text, *end = text + length;
    uint64_t first, last = UINT64_MAX;
    if (length < 6 || strncasecmp(text, "bytes=", 6) != 0)
        return RANGE_NONE;
    at += 6;
    if (at < end && *at == '-') {
        at++;
        return read_number(&at, end, &last) && at == end ? last_bytes(last, size, c) : RANGE_NONE;
    }
    if (!read_number(&at, end, &first) || at == end || *at++ != '-')
        return RANGE_NONE;
    if ((at < end && !read_number(&at, end, &last)) || at != end || last < first)
        return RANGE_NONE;
    if (first >= size)
        return RANGE_UNSATISFIABLE;
    c->at = first;
    c->length = (last < size ? last + 1 : size) - first;
    return RANGE_PART;
}

/* Whether If-Range lets the range be served: the client has a part of just this file. */
static bool range_counts(const struct http_parser *p, const char *head, const struct http_entity *e, time_t now)
{
    size_t length;
    const char *value = value_of(p, head, HTTP_IF_RANGE, &length);
    time_t date;
    if (length == 0)
        return true;
    if (*value == '"' || *value == 'W')
        return length == strlen(e->tag) && memcmp(value, e->tag, length) == 0;
    /* A date is a validator only if the file can't have changed twice in its second. */
    return http_date_read(value, length, now, &date) && date == e->changed && now > date + 1;
}

struct http_choice http_choose(const struct http_parser *p, const char *head, const struct http_entity *e, time_t now)
{
    struct http_choice part = {.status = 206};
    const struct http_choice whole = {.status = 200, .length = e->size};
    uint16_t refusal = check(p, head, e, now);
    size_t length;
    if (refusal != 0)
        return (struct http_choice){.status = refusal};
    const char *value = value_of(p, head, HTTP_RANGE, &length);
    if (length == 0 || p->head_only || !range_counts(p, head, e, now))
        return whole; /* ranges are defined for GET only */
    switch (read_range(value, length, e->size, &part)) {
    case RANGE_PART:
        return part;
    case RANGE_UNSATISFIABLE:
        return (struct http_choice){.status = 416};
    default:
        return whole;
    }
}
