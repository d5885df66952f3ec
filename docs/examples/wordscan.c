/* SPDX-License-Identifier: MIT
 *
 * wordscan.c - counts lines and words in pieces of text: plain ASCII in vectors, the rest by tables.
 *
 * Threads: see wordscan.h.
 * Invariants: decoding forgets errors: a byte that begins no character is skipped alone. So a byte that is no
 * continuation byte always begins a character, and so does every byte after three continuation bytes.
 */
#include "wordscan.h"

#include <ctype.h>
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#define BLOCK 64u     /* bytes tried at once as plain ASCII: below 256, for counts of one byte */
#define TAIL_MAX 3u   /* continuation bytes of a UTF-8 character */

static bool is_no_break_space(wint_t c)
{
    return c == 0xa0 || c == 0x2007 || c == 0x202f || c == 0x2060;
}

static enum kind kind_of(wint_t c, bool breaks)
{
    if (c == L' ' || (c >= L'\t' && c <= L'\r'))
        return KIND_SPACE;
    if (c == WEOF || !iswprint(c))
        return KIND_NONE;
    return iswspace(c) || (breaks && is_no_break_space(c)) ? KIND_SPACE : KIND_WORD;
}

bool wordscan_init(struct wordscan *ws)
{
    bool breaks = getenv("POSIXLY_CORRECT") == NULL; /* GNU: no-break spaces separate words, POSIX: they don't */
    ws->utf8 = MB_CUR_MAX > 1;
    if (ws->utf8 && strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        return false;
    for (int c = 0; c < 256; c++)
        ws->byte[c] = (unsigned char)kind_of(btowc(c), breaks);
    for (unsigned c = 0; ws->utf8 && c < WORDSCAN_WIDE; c++)
        ws->wide[c] = (unsigned char)kind_of(c, breaks);
    return true;
}

size_t wordscan_lookahead(const struct wordscan *ws)
{
    return ws->utf8 ? TAIL_MAX : 0;
}

static bool is_continuation(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

size_t wordscan_tail(const struct wordscan *ws, const unsigned char *p, size_t n)
{
    size_t i = 0;
    while (ws->utf8 && i < n && i < TAIL_MAX && is_continuation(p[i]))
        i++;
    return i;
}

/* How many bytes a character that begins with `c` has; 1 for a byte that begins none. */
static unsigned length_of(unsigned char c)
{
    return c < 0xc2 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 1;
}

/* Decodes the `length` bytes at p; WEOF if they are no character, or one that shorter bytes stand for. */
static wint_t decode(const unsigned char *p, unsigned length)
{
    wint_t c = p[0] & (0xffu >> (length + 1));
    for (unsigned i = 1; i < length; i++) {
        if (!is_continuation(p[i]))
            return WEOF;
        c = c << 6 | (p[i] & 0x3fu);
    }
    if ((length == 3 && c < 0x800) || (length == 4 && (c < 0x10000 || c > 0x10ffff)))
        return WEOF;
    return c;
}

/* 1 or 0, without a branch. */
static unsigned is_space(unsigned char c)
{
    return (unsigned)(c == ' ') | (unsigned)((unsigned char)(c - '\t') < 5);
}

/* Counts a block of printable ASCII and white space, after a character of kind `last`. false: it isn't that. */
static bool scan_plain(struct summary *s, const unsigned char *p)
{
    unsigned char words = 0, lines = 0, other = 0;
    for (unsigned i = 1; i < BLOCK; i++)
        words = (unsigned char)(words + (is_space(p[i - 1]) & (is_space(p[i]) ^ 1u)));
    for (unsigned i = 0; i < BLOCK; i++) {
        lines = (unsigned char)(lines + (p[i] == '\n'));
        other = (unsigned char)(other | ((is_space(p[i]) | (unsigned)((unsigned char)(p[i] - ' ') < 0x5f)) ^ 1u));
    }
    if (other != 0)
        return false;
    s->words += (unsigned)words + (s->last != KIND_WORD && is_space(p[0]) == 0);
    s->lines += lines;
    s->last = is_space(p[BLOCK - 1]) ? KIND_SPACE : KIND_WORD;
    if (s->first == KIND_NONE)
        s->first = is_space(p[0]) ? KIND_SPACE : KIND_WORD;
    return true;
}

/* Takes one character into account. No branches: what kinds follow each other in binary data can't be predicted. */
static inline void count(unsigned kind, unsigned *last, uint64_t *words)
{
    *words += (kind & ~*last) >> 1;                 /* KIND_WORD after anything else */
    *last = kind | (*last & ((kind - 1u) >> 30)); /* the mask is 3 for KIND_NONE, which changes nothing, else 0 */
}

static void scan_bytes(const struct wordscan *ws, struct summary *s, const unsigned char *p, size_t n)
{
    uint64_t words = 0, lines = 0;
    unsigned last = s->last;
    size_t i = 0;
    for (; s->first == KIND_NONE && i < n; i++) {
        s->first = ws->byte[p[i]];
        lines += p[i] == '\n';
        count(s->first, &last, &words);
    }
    for (; i < n; i++) {
        lines += p[i] == '\n';
        count(ws->byte[p[i]], &last, &words);
    }
    s->words += words;
    s->lines += lines;
    s->last = (unsigned char)last;
}

/* Scans characters that begin in the first `n` of `room` bytes; returns the bytes used, or stops at a cut one. */
static size_t scan_utf8(const struct wordscan *ws, struct summary *s, const unsigned char *p, size_t n, size_t room,
                        bool final)
{
    uint64_t words = 0, lines = 0;
    unsigned last = s->last, first = s->first;
    size_t i = 0;
    while (i < n) {
        unsigned char next = i + 1 < room ? p[i + 1] : 0x80;
        unsigned kind, length = 1;
        if ((p[i] < 0xc2) | !is_continuation(next)) { /* ASCII, or a byte that is no character */
            kind = ws->byte[p[i]];
            lines += p[i] == '\n';
        } else {
            length = length_of(p[i]);
            if (room - i < length && !final)
                break;
            wint_t c = room - i < length || length == 1 ? WEOF : decode(p + i, length);
            kind = c == WEOF ? KIND_NONE : c < WORDSCAN_WIDE ? ws->wide[c] : (unsigned)kind_of(c, true);
            length = c == WEOF ? 1 : length;
        }
        first = first == KIND_NONE ? kind : first;
        count(kind, &last, &words);
        i += length;
    }
    s->words += words;
    s->lines += lines;
    s->first = (unsigned char)first;
    s->last = (unsigned char)last;
    return i;
}

size_t wordscan(const struct wordscan *ws, struct summary *s, const unsigned char *p, size_t n, bool last)
{
    size_t i = 0;
    while (i < n) {
        size_t step = n - i < BLOCK ? n - i : BLOCK;
        if (step == BLOCK && scan_plain(s, p + i)) {
            i += BLOCK;
        } else if (!ws->utf8) {
            scan_bytes(ws, s, p + i, step);
            i += step;
        } else {
            size_t used = scan_utf8(ws, s, p + i, step, n - i, last);
            i += used;
            if (used < step)
                break; /* a character is cut by the end of the piece */
        }
    }
    return i;
}
