/* SPDX-License-Identifier: MIT
 *
 * dpkg_status.c - reads dpkg's status file: dpkg_status.h.
 *
 * Source: the format of control files and of relations, Debian Policy 5.1 and 7.1.
 */
#include "dpkg_status.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIRST_ROOM 64u

/* A name that somebody answers to. */
struct offer {
    struct span name;
    uint32_t package;
    bool provided; /* the package's own name is another one */
};

enum field { FIELD_PACKAGE = RELATIONS, FIELD_STATUS, FIELD_ARCHITECTURE, FIELDS };

static const char *const field_names[FIELDS] = {"Pre-Depends", "Depends", "Provides", "Package", "Status",
                                                "Architecture"};

struct stanza {
    struct span value[FIELDS]; /* at NULL: not there */
    unsigned line[FIELDS];
    unsigned first_line;
    struct span *last;         /* what a continuation line continues */
    struct span ignored;       /* stands for fields that do not matter here */
    bool broken;
};

struct reader {
    struct status *s;
    struct stanza stanza;
    size_t room_packages, room_needs, room_missing, room_offers;
    struct offer *offers; /* sorted by name, real names first */
    uint32_t n_offers;
    uint32_t *needed_by;  /* of each package: 1 + the last one that is known to need it */
    unsigned broken;
    bool no_memory;
};

/* --- small things ----------------------------------------------------------------------------------------------- */

static void complain(struct reader *r, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void complain(struct reader *r, unsigned line, const char *format, ...)
{
    va_list arguments;
    fprintf(stderr, "debgraph: %s:%u: ", r->s->path, line);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    r->broken++;
}

/* Room for one more; the array may move. */
static bool grow(struct reader *r, void *array, size_t *room, size_t n, size_t size)
{
    void **at = array, *larger;
    if (n < *room)
        return true;
    size_t wanted = *room == 0 ? FIRST_ROOM : 2 * *room;
    larger = reallocarray(*at, wanted, size);
    if (larger == NULL) {
        r->no_memory = true;
        return false;
    }
    *at = larger;
    *room = wanted;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct span trimmed(const char *from, const char *to)
{
    while (from < to && is_blank(*from))
        from++;
    while (from < to && is_blank(to[-1]))
        to--;
    return (struct span){from, (size_t)(to - from)};
}

/* As strcmp. */
static int compare(struct span a, struct span b)
{
    size_t common = a.length < b.length ? a.length : b.length;
    int order = common == 0 ? 0 : memcmp(a.at, b.at, common);
    return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

/* The letters of a package's name from `at` on. */
static struct span name_at(const char *at, const char *end)
{
    const char *to = at;
    while (to < end && (isalnum((unsigned char)*to) || (to > at && strchr("+-._~", *to) != NULL && *to != '\0')))
        to++;
    return (struct span){at, (size_t)(to - at)};
}

/* --- stanzas ---------------------------------------------------------------------------------------------------- */

/* Whether the third word of `Status: install ok installed` says so. -1: there are not three words. */
static int is_installed(struct span status)
{
    const char *at = status.at, *end = at + status.length;
    struct span word = {at, 0};
    unsigned words = 0;
    while (at < end) {
        const char *from = at;
        while (at < end && !is_blank(*at))
            at++;
        word = (struct span){from, (size_t)(at - from)};
        words++;
        while (at < end && is_blank(*at))
            at++;
    }
    return words != 3 ? -1 : compare(word, (struct span){"installed", strlen("installed")}) == 0;
}

static void add_package(struct reader *r, const struct stanza *z)
{
    struct status *s = r->s;
    if (!grow(r, &s->packages, &r->room_packages, s->n_packages, sizeof *s->packages))
        return;
    struct package *p = &s->packages[s->n_packages++];
    *p = (struct package){.name = z->value[FIELD_PACKAGE],
                          .architecture = z->value[FIELD_ARCHITECTURE],
                          .line = z->line[FIELD_PACKAGE]};
    for (int i = 0; i < RELATIONS; i++) {
        p->relation[i] = z->value[i];
        p->relation_line[i] = z->line[i];
    }
}

static void end_stanza(struct reader *r)
{
    struct stanza z = r->stanza;
    r->stanza = (struct stanza){0};
    if (z.first_line == 0 || z.broken)
        return; /* there was none, or what is wrong has been said */
    struct span name = z.value[FIELD_PACKAGE], status = z.value[FIELD_STATUS];
    if (name.at == NULL || status.at == NULL) {
        complain(r, z.first_line, "a stanza without %s", name.at == NULL ? "Package" : "Status");
        return;
    }
    int installed = is_installed(status);
    if (name.length == 0 || name_at(name.at, name.at + name.length).length != name.length)
        complain(r, z.line[FIELD_PACKAGE], "'%.*s' is no package name", (int)name.length, name.at);
    else if (installed < 0)
        complain(r, z.line[FIELD_STATUS], "Status of %.*s is not three words", (int)name.length, name.at);
    else if (installed == 0)
        r->s->n_not_installed++;
    else
        add_package(r, &z);
}

static void read_field(struct reader *r, const char *from, const char *to, unsigned line)
{
    struct stanza *z = &r->stanza;
    const char *colon = memchr(from, ':', (size_t)(to - from));
    size_t length = colon == NULL ? 0 : (size_t)(colon - from);
    z->last = &z->ignored;
    if (length == 0 || memchr(from, ' ', length) != NULL) {
        complain(r, line, "a line that is no field: '%.*s'", (int)(to - from < 40 ? to - from : 40), from);
        z->broken = true;
        return;
    }
    for (int f = 0; f < FIELDS; f++) {
        if (strlen(field_names[f]) != length || strncasecmp(field_names[f], from, length) != 0)
            continue;
        if (z->value[f].at != NULL) {
            complain(r, line, "a second %s in one stanza", field_names[f]);
            z->broken = true;
        }
        z->value[f] = trimmed(colon + 1, to);
        z->line[f] = line;
        z->last = &z->value[f];
    }
}

static void read_line(struct reader *r, const char *from, const char *to, unsigned line)
{
    struct stanza *z = &r->stanza;
    struct span text = trimmed(from, to);
    if (text.length == 0) {
        end_stanza(r);
        return;
    }
    if (z->first_line == 0)
        z->first_line = line;
    if (text.at == from) {
        read_field(r, from, to, line);
    } else if (z->last == NULL) {
        complain(r, line, "a stanza begins with the continuation of a field");
        z->broken = true;
        z->last = &z->ignored;
    } else if (z->last->length > 0) {
        z->last->length = (size_t)(text.at + text.length - z->last->at);
    } else {
        *z->last = text;
    }
}

static void read_stanzas(struct reader *r, size_t bytes)
{
    const char *at = r->s->text, *end = at + bytes;
    for (unsigned line = 1; at < end; line++) {
        const char *to = memchr(at, '\n', (size_t)(end - at));
        if (to == NULL)
            to = end;
        read_line(r, at, to, line);
        at = to + 1;
    }
    end_stanza(r);
}

/* --- relations -------------------------------------------------------------------------------------------------- */

/* One alternative: `name`, `name:any`, `name (>= 1.2)`. A name of length 0: it is something else. */
static struct span alternative_name(struct span text)
{
    const char *at = text.at, *end = at + text.length;
    const struct span none = {at, 0};
    struct span name = name_at(at, end);
    at += name.length;
    if (at < end && *at == ':')
        at += 1 + name_at(at + 1, end).length;
    while (at < end && is_blank(*at))
        at++;
    if (at == end)
        return name;
    return *at == '(' && memchr(at, ')', (size_t)(end - at)) == end - 1 ? name : none;
}

/* Cuts what stands before the next `separator` off the text. False: there is no more. */
static bool next_part(struct span *text, char separator, struct span *part)
{
    if (text->at == NULL)
        return false;
    const char *end = text->at + text->length, *to = memchr(text->at, separator, text->length);
    *part = trimmed(text->at, to == NULL ? end : to);
    *text = to == NULL ? (struct span){NULL, 0} : (struct span){to + 1, (size_t)(end - to - 1)};
    return true;
}

static int offer_order(const void *a, const void *b)
{
    const struct offer *x = a, *y = b;
    int order = compare(x->name, y->name);
    if (order == 0)
        order = x->provided - y->provided;
    return order != 0 ? order : (x->package > y->package) - (x->package < y->package);
}

static void add_offer(struct reader *r, struct span name, uint32_t package, bool provided)
{
    if (grow(r, &r->offers, &r->room_offers, r->n_offers, sizeof *r->offers))
        r->offers[r->n_offers++] = (struct offer){name, package, provided};
}

/* Who answers to which name; two packages of one name and architecture are a mistake. */
static void collect_offers(struct reader *r)
{
    struct status *s = r->s;
    for (uint32_t p = 0; p < s->n_packages; p++) {
        struct span text = s->packages[p].relation[PROVIDES], part;
        add_offer(r, s->packages[p].name, p, false);
        while (text.length > 0 && next_part(&text, ',', &part)) {
            struct span name = alternative_name(part);
            if (name.length == 0)
                complain(r, s->packages[p].relation_line[PROVIDES], "Provides: '%.*s' is no package name",
                         (int)part.length, part.at);
            else
                add_offer(r, name, p, true);
        }
    }
    if (r->n_offers > 0)
        qsort(r->offers, r->n_offers, sizeof *r->offers, offer_order);
    for (uint32_t o = 1; o < r->n_offers; o++) {
        const struct offer *a = &r->offers[o - 1], *b = &r->offers[o];
        if (!b->provided && compare(a->name, b->name) == 0 &&
            compare(s->packages[a->package].architecture, s->packages[b->package].architecture) == 0)
            complain(r, s->packages[b->package].line, "package %.*s is there twice",
                     (int)b->name.length, b->name.at);
    }
}

/* The offer that fulfils a wish of package p: p itself, else one of its architecture, else the first. Or NULL. */
static const struct offer *find_offer(const struct reader *r, struct span name, uint32_t p)
{
    uint32_t low = 0, high = r->n_offers;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare(r->offers[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    const struct package *packages = r->s->packages;
    const struct offer *best = NULL;
    for (; low < r->n_offers && compare(r->offers[low].name, name) == 0; low++) {
        const struct offer *o = &r->offers[low];
        if (o->package == p)
            return o;
        if (best == NULL || (o->provided == best->provided &&
                             compare(packages[best->package].architecture, packages[p].architecture) != 0 &&
                             compare(packages[o->package].architecture, packages[p].architecture) == 0))
            best = o;
    }
    return best;
}

static void add_need(struct reader *r, uint32_t p, uint32_t needed)
{
    struct status *s = r->s;
    if (needed == p || r->needed_by[needed] == p + 1)
        return;
    r->needed_by[needed] = p + 1;
    if (grow(r, &s->needs, &r->room_needs, s->first[p + 1], sizeof *s->needs))
        s->needs[s->first[p + 1]++] = needed;
}

/* One dependency: `a | b (>= 2) | c`. False: malformed. */
static bool read_dependency(struct reader *r, uint32_t p, struct span wanted)
{
    struct status *s = r->s;
    struct span text = wanted, part;
    const struct offer *found = NULL;
    unsigned choice = 0; /* the number of the alternative that was found */
    while (next_part(&text, '|', &part)) {
        struct span name = alternative_name(part);
        if (name.length == 0)
            return false;
        if (found == NULL) {
            found = find_offer(r, name, p);
            choice++;
        }
    }
    if (found != NULL) {
        s->n_second_choice += choice > 1;
        s->n_provided += found->provided;
        add_need(r, p, found->package);
    } else if (grow(r, &s->missing, &r->room_missing, s->n_missing, sizeof *s->missing)) {
        s->missing[s->n_missing++] = (struct missing){p, wanted};
    }
    return true;
}

static void resolve(struct reader *r)
{
    struct status *s = r->s;
    s->first = calloc((size_t)s->n_packages + 1, sizeof *s->first);
    r->needed_by = calloc((size_t)s->n_packages + 1, sizeof *r->needed_by);
    r->no_memory |= s->first == NULL || r->needed_by == NULL;
    for (uint32_t p = 0; p < s->n_packages && !r->no_memory; p++) {
        s->first[p + 1] = s->first[p];
        for (int i = PRE_DEPENDS; i <= DEPENDS; i++) {
            struct span text = s->packages[p].relation[i], part;
            while (text.length > 0 && !r->no_memory && next_part(&text, ',', &part))
                if (!read_dependency(r, p, part))
                    complain(r, s->packages[p].relation_line[i], "%s of %.*s: '%.*s' is no dependency", field_names[i],
                             (int)s->packages[p].name.length, s->packages[p].name.at, (int)part.length, part.at);
        }
    }
}

/* --- the whole -------------------------------------------------------------------------------------------------- */

/* The file's text, ended by a zero, of any length (also from a pipe). NULL with errno. */
static char *read_text(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "re");
    size_t room = 1u << 16, have = 0;
    char *text = NULL;
    while (file != NULL) {
        char *larger = realloc(text, room);
        if (larger == NULL)
            break;
        text = larger;
        have += fread(text + have, 1, room - 1 - have, file);
        if (have < room - 1)
            break;
        room *= 2;
    }
    int error = errno;
    bool ok = file != NULL && text != NULL && !ferror(file) && feof(file);
    if (file != NULL)
        fclose(file);
    if (ok) {
        text[have] = '\0';
        *bytes = have;
        return text;
    }
    free(text);
    errno = error;
    return NULL;
}

bool status_read(struct status *s, const char *path)
{
    struct reader r = {.s = s};
    size_t bytes = 0;
    *s = (struct status){.path = path};
    s->text = read_text(path, &bytes);
    if (s->text == NULL) {
        fprintf(stderr, "debgraph: %s: %s\n", path, strerror(errno));
        return false;
    }
    read_stanzas(&r, bytes);
    collect_offers(&r);
    resolve(&r);
    free(r.offers);
    free(r.needed_by);
    if (r.no_memory)
        fprintf(stderr, "debgraph: %s\n", strerror(ENOMEM));
    else if (r.broken > 0)
        fprintf(stderr, "debgraph: %s: mistakes: %u; nothing is run\n", path, r.broken);
    else if (s->n_packages == 0)
        fprintf(stderr, "debgraph: %s: no installed package in it\n", path);
    return !r.no_memory && r.broken == 0 && s->n_packages > 0;
}

void status_free(struct status *s)
{
    free(s->text);
    free(s->packages);
    free(s->first);
    free(s->needs);
    free(s->missing);
}
