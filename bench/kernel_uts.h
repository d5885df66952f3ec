/* SPDX-License-Identifier: MIT
 *
 * bench/kernel_uts.h - the nodes of the Unbalanced Tree Search trees, for all implementations alike, in C and in C++.
 *
 * Threads: pure functions.
 * Invariants: a node's children follow from its 20-byte state alone, so every traversal order finds the same tree.
 * Source: Olivier et al., "UTS: An Unbalanced Tree Search Benchmark" (LCPC 2006); SHA-1 after FIPS 180-4. The root's
 * state is SHA-1(16 zero bytes, seed), child i's is SHA-1(parent's state, i), numbers big-endian; a node's random
 * number is the last word of its state without the sign bit.
 */
#ifndef BENCH_KERNEL_UTS_H
#define BENCH_KERNEL_UTS_H

#include <math.h>
#include <stdint.h>

struct uts_node {
    uint32_t state[5]; /* SHA-1 state, as host words */
    int32_t depth;
};

enum uts_tree { UTS_T1, UTS_T3 };

#define UTS_T1_SEED 19u
#define UTS_T1_DEPTH 10      /* fixed shape: the branching factor holds above this depth, and is zero from there on */
#define UTS_T1_BRANCHING 4.0 /* expected children of a node */
#define UTS_T1_CHILDREN_MAX 100
#define UTS_T3_SEED 42u
#define UTS_T3_ROOT_CHILDREN 2000
#define UTS_T3_CHILDREN 8
#define UTS_T3_PROBABILITY 0.124875 /* that a node other than the root has children */

#define UTS_T1_NODES 4130071.0
#define UTS_T3_NODES 4112897.0

static inline uint32_t uts_rotate(uint32_t x, int by)
{
    return (x << by) | (x >> (32 - by));
}

#define UTS_STEP(f, k, i) \
    do { \
        uint32_t sum = uts_rotate(a, 5) + (f) + e + (k) + w[(i) & 15]; \
        e = d; \
        d = c; \
        c = uts_rotate(b, 30); \
        b = a; \
        a = sum; \
    } while (0)
#define UTS_EXPAND(i) \
    (w[(i) & 15] = uts_rotate(w[((i) + 13) & 15] ^ w[((i) + 8) & 15] ^ w[((i) + 2) & 15] ^ w[(i) & 15], 1))

/* SHA-1 of a message of `words` 32-bit words (at most 13) in w[16]; the rest of w is overwritten. */
static inline void uts_sha1(uint32_t w[16], unsigned words, uint32_t out[5])
{
    w[words] = 0x80000000u;
    for (unsigned i = words + 1; i < 15; i++)
        w[i] = 0;
    w[15] = words * 32;
    uint32_t a = 0x67452301u, b = 0xefcdab89u, c = 0x98badcfeu, d = 0x10325476u, e = 0xc3d2e1f0u;
    for (int i = 0; i < 16; i++)
        UTS_STEP((b & c) | (~b & d), 0x5a827999u, i);
    for (int i = 16; i < 20; i++) {
        UTS_EXPAND(i);
        UTS_STEP((b & c) | (~b & d), 0x5a827999u, i);
    }
    for (int i = 20; i < 40; i++) {
        UTS_EXPAND(i);
        UTS_STEP(b ^ c ^ d, 0x6ed9eba1u, i);
    }
    for (int i = 40; i < 60; i++) {
        UTS_EXPAND(i);
        UTS_STEP((b & c) | (b & d) | (c & d), 0x8f1bbcdcu, i);
    }
    for (int i = 60; i < 80; i++) {
        UTS_EXPAND(i);
        UTS_STEP(b ^ c ^ d, 0xca62c1d6u, i);
    }
    out[0] = a + 0x67452301u;
    out[1] = b + 0xefcdab89u;
    out[2] = c + 0x98badcfeu;
    out[3] = d + 0x10325476u;
    out[4] = e + 0xc3d2e1f0u;
}

static inline void uts_root(enum uts_tree tree, struct uts_node *root)
{
    uint32_t w[16] = {0, 0, 0, 0, tree == UTS_T1 ? UTS_T1_SEED : UTS_T3_SEED};
    uts_sha1(w, 5, root->state);
    root->depth = 0;
}

/* Makes child number `i`. Out of line: the same code for all. */
__attribute__((noinline, unused)) static void uts_child(const struct uts_node *parent, unsigned i,
                                                        struct uts_node *child)
{
    uint32_t w[16];
    for (int k = 0; k < 5; k++)
        w[k] = parent->state[k];
    w[5] = i;
    uts_sha1(w, 6, child->state);
    child->depth = parent->depth + 1;
}

/* How many children a node has. Out of line, too. */
__attribute__((noinline, unused)) static unsigned uts_children(enum uts_tree tree, const struct uts_node *node)
{
    double u = (double)(node->state[4] & 0x7fffffffu) / 2147483648.0;
    if (tree == UTS_T3) {
        if (node->depth == 0)
            return UTS_T3_ROOT_CHILDREN;
        return u < UTS_T3_PROBABILITY ? UTS_T3_CHILDREN : 0;
    }
    if (node->depth >= UTS_T1_DEPTH)
        return 0;
    double p = 1.0 / (1.0 + UTS_T1_BRANCHING);
    unsigned n = (unsigned)floor(log(1.0 - u) / log(1.0 - p));
    return n < UTS_T1_CHILDREN_MAX ? n : UTS_T1_CHILDREN_MAX;
}

#endif
