/* SPDX-License-Identifier: MIT
 *
 * wordscan.h - counts lines and words in pieces of text whose results can be combined.
 *
 * Threads: a wordscan is read-only after wordscan_init; a summary belongs to one thread at a time.
 * Invariants: summary_combine is associative, with the empty summary as its neutral element, so that a text may be cut
 * into any pieces. Words are GNU wc's: runs of printable characters between white space; what is neither (control
 * characters, bytes that are no text) neither begins nor ends one.
 */
#ifndef TREEWC_WORDSCAN_H
#define TREEWC_WORDSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a character is to the words around it. */
enum kind { KIND_NONE = 0, KIND_SPACE = 1, KIND_WORD = 2 };

struct summary {
    uint64_t lines, words, bytes;
    unsigned char first, last; /* kind of the first and of the last character that is not KIND_NONE; or that */
};

#define WORDSCAN_WIDE 0x10000u /* characters below are in the table */

struct wordscan {
    bool utf8;
    unsigned char byte[256];
    unsigned char wide[WORDSCAN_WIDE]; /* filled for UTF-8 */
};

/* The summary of a text from those of its two parts. */
static inline struct summary summary_combine(const struct summary *a, const struct summary *b)
{
    struct summary s = {a->lines + b->lines, a->words + b->words, a->bytes + b->bytes, a->first, b->last};
    s.words -= a->last == KIND_WORD && b->first == KIND_WORD; /* one word, counted in both */
    if (s.first == KIND_NONE)
        s.first = b->first;
    if (s.last == KIND_NONE)
        s.last = a->last;
    return s;
}

/* Prepares for the current locale. false: its encoding has characters of several bytes and is not UTF-8. */
bool wordscan_init(struct wordscan *ws);
/* Bytes that a character may have after its first. */
size_t wordscan_lookahead(const struct wordscan *ws);
/* How many of the n bytes at p, the first bytes after a cut, may belong to a character that began before the cut. */
size_t wordscan_tail(const struct wordscan *ws, const unsigned char *p, size_t n);
/*
 * Adds lines and words of n bytes to *s. Returns how many bytes it used: all of them if `last`, else it may leave the
 * beginning of a character at the end, to be presented again with the bytes that follow.
 */
size_t wordscan(const struct wordscan *ws, struct summary *s, const unsigned char *p, size_t n, bool last);

#endif
