/* SPDX-License-Identifier: MIT
 *
 * wgz - compresses standard input to standard output in the gzip format, on all processors.
 *
 * usage: wgz [-1 ... -9] [-p WORKERS] [-b KIB]
 *
 * The input is cut into blocks of KIB kibibytes (default 128). A pipeline reads them one at a time, compresses any
 * number at once, each with the last 32 KiB of the block before it as its dictionary, and writes them in order. Its
 * tokens bound how many are in flight, and so the memory, whatever the length of the input and whoever is slow. Exit
 * status: 0, 1 (input, output or memory failed: a message says what), 2 (bad option).
 */
#include <weir/weir.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define DICTIONARY 32768u       /* bytes that deflate looks back */
#define BLOCK_KIB 128u
#define BLOCK_KIB_MAX 65536u
#define BLOCKS_PER_WORKER 4u    /* in flight: workers stay busy while one of them reads or writes */
#define RAW_DEFLATE (-15)       /* window of 2^15 bytes, no header */
#define MEMORY_LEVEL 8          /* zlib's default */

struct block {
    bool last;
    z_stream deflate;
    unsigned char *dictionary;  /* DICTIONARY bytes, `known` of them used; `in` follows */
    unsigned char *in;
    unsigned char *out;
    size_t known, length, room; /* bytes in the dictionary, of input, and that `out` can hold */
    size_t compressed;
    uLong crc;
};

struct wgz {
    struct block *ring;          /* block n is in ring[n % blocks]: they end in the order in which they begin */
    size_t blocks, block_size;
    const struct block *before;  /* reading: the last one that was read; NULL: none */
    size_t at;                   /* reading: the next one's place */
    uLong crc;                   /* writing: of all that was written */
    uint64_t length;
    int read_error, write_error; /* what the stage has failed with */
};

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "wgz: %s: %s\n", what, why);
    exit(1);
}

/* --- input and output ------------------------------------------------------------------------------------------- */

/* As much as there is, up to n bytes: less only at the end of the input. Or a negative errno. */
static ssize_t read_fully(unsigned char *to, size_t n)
{
    size_t have = 0;
    while (have < n) {
        ssize_t got = read(STDIN_FILENO, to + have, n - have);
        if (got == 0)
            break;
        if (got < 0 && errno != EINTR)
            return -errno;
        have += got > 0 ? (size_t)got : 0;
    }
    return (ssize_t)have;
}

/* 0 or a negative errno. */
static int write_fully(const unsigned char *from, size_t n)
{
    while (n > 0) {
        ssize_t put = write(STDOUT_FILENO, from, n);
        if (put < 0 && errno != EINTR)
            return -errno;
        from += put > 0 ? put : 0;
        n -= put > 0 ? (size_t)put : 0;
    }
    return 0;
}

/* --- the stages ------------------------------------------------------------------------------------------------- */

/* Takes the end of the block before as dictionary; that block may be being compressed, which only reads it. */
static void inherit(struct block *b, const struct block *before)
{
    b->known = before == NULL ? 0 : before->length < DICTIONARY ? before->length : DICTIONARY;
    if (b->known > 0)
        memcpy(b->in - b->known, before->in + before->length - b->known, b->known);
}

static int stage_read(weir_worker *w, void **item, void *arg)
{
    struct wgz *z = arg;
    (void)w;
    if (z->before != NULL && z->before->last)
        return 1;
    struct block *b = &z->ring[z->at];
    inherit(b, z->before);
    ssize_t got = read_fully(b->in, z->block_size);
    if (got < 0)
        return z->read_error = (int)got;
    b->length = (size_t)got;
    b->last = b->length < z->block_size;
    z->before = b;
    z->at = (z->at + 1) % z->blocks;
    *item = b;
    return 0;
}

static int stage_compress(weir_worker *w, void **item, void *arg)
{
    struct block *b = *item;
    z_stream *d = &b->deflate;
    (void)w;
    (void)arg;
    b->crc = crc32(0, b->in, (uInt)b->length);
    int r = deflateReset(d);
    if (r == Z_OK && b->known > 0)
        r = deflateSetDictionary(d, b->in - b->known, (uInt)b->known);
    d->next_in = b->in;
    d->avail_in = (uInt)b->length;
    d->next_out = b->out;
    d->avail_out = (uInt)b->room;
    if (r == Z_OK) /* Z_SYNC_FLUSH ends at a byte, so that blocks can stand behind each other */
        r = deflate(d, b->last ? Z_FINISH : Z_SYNC_FLUSH);
    b->compressed = b->room - d->avail_out;
    return (r == Z_OK || r == Z_STREAM_END) && d->avail_out > 0 ? 0 : -EPROTO; /* by its bound that can't be */
}

static int stage_write(weir_worker *w, void **item, void *arg)
{
    struct wgz *z = arg;
    const struct block *b = *item;
    (void)w;
    z->crc = crc32_combine(z->crc, b->crc, (z_off_t)b->length);
    z->length += b->length;
    return z->write_error = write_fully(b->out, b->compressed);
}

static void put_little_endian(unsigned char *to, uint32_t x)
{
    for (unsigned i = 0; i < 4; i++)
        to[i] = (unsigned char)(x >> 8 * i);
}

static void must_write(const unsigned char *from, size_t n)
{
    int r = write_fully(from, n);
    if (r < 0)
        fail("standard output", strerror(-r));
}

static void compress_all(weir_runtime *rt, struct wgz *z)
{
    static const unsigned char header[10] = {0x1f, 0x8b, Z_DEFLATED, 0, 0, 0, 0, 0, 0, 3 /* Unix */};
    const weir_stage stages[] = {
        {stage_read, z, WEIR_STAGE_SERIAL},
        {stage_compress, z, WEIR_STAGE_PARALLEL},
        {stage_write, z, WEIR_STAGE_SERIAL},
    };
    unsigned char trailer[8];
    must_write(header, sizeof header);
    int r = weir_pipeline(rt, stages, sizeof stages / sizeof stages[0], (uint32_t)z->blocks, NULL);
    if (r < 0)
        fail(z->write_error < 0  ? "standard output"
             : z->read_error < 0 ? "standard input"
             : r == -EPROTO      ? "zlib"
                                 : "pipeline",
             weir_strerror(z->write_error < 0 ? z->write_error : r));
    put_little_endian(trailer, (uint32_t)z->crc);
    put_little_endian(trailer + 4, (uint32_t)z->length);
    must_write(trailer, sizeof trailer);
}

/* --- start ------------------------------------------------------------------------------------------------------ */

/* What deflateBound() promises for a stream that is finished; a flush adds an empty stored block. */
#define FLUSH_ROOM 64u

static void ring_init(struct wgz *z, unsigned workers, int level)
{
    z->blocks = (size_t)workers * BLOCKS_PER_WORKER;
    z->ring = calloc(z->blocks, sizeof *z->ring);
    for (size_t i = 0; z->ring != NULL && i < z->blocks; i++) {
        struct block *b = &z->ring[i];
        if (deflateInit2(&b->deflate, level, Z_DEFLATED, RAW_DEFLATE, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
            fail("memory", "not enough for zlib");
        b->room = deflateBound(&b->deflate, z->block_size) + FLUSH_ROOM;
        b->dictionary = malloc(DICTIONARY + z->block_size + b->room);
        if (b->dictionary == NULL)
            fail("memory", "not enough for the blocks");
        b->in = b->dictionary + DICTIONARY;
        b->out = b->in + z->block_size;
    }
    if (z->ring == NULL)
        fail("memory", "not enough for the ring");
}

static void ring_free(struct wgz *z)
{
    for (size_t i = 0; i < z->blocks; i++) {
        deflateEnd(&z->ring[i].deflate);
        free(z->ring[i].dictionary);
    }
    free(z->ring);
}

static _Noreturn void usage(void)
{
    fputs("usage: wgz [-1 ... -9] [-p WORKERS] [-b KIB] <INPUT >OUTPUT\n", stderr);
    exit(2);
}

static unsigned long number(const char *text, unsigned long min, unsigned long max)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || n < min || n > max)
        usage();
    return n;
}

int main(int argc, char **argv)
{
    unsigned long kib = BLOCK_KIB;
    int level = Z_DEFAULT_COMPRESSION;
    weir_config config;
    weir_runtime *rt;
    struct wgz z = {.crc = crc32(0, NULL, 0)};
    int r = weir_config_init(&config);
    if (r < 0)
        fail(weir_config_error(), weir_strerror(r));
    for (int opt; (opt = getopt(argc, argv, "123456789p:b:")) != -1;) {
        if (opt >= '1' && opt <= '9')
            level = opt - '0';
        else if (opt == 'p')
            config.workers = (uint32_t)number(optarg, 1, WEIR_WORKERS_MAX);
        else if (opt == 'b')
            kib = number(optarg, 1, BLOCK_KIB_MAX);
        else
            usage();
    }
    if (optind < argc)
        usage();
    if (isatty(STDOUT_FILENO))
        fail("standard output", "is a terminal: compressed data is not written there");
    r = weir_start(&rt, &config);
    if (r < 0)
        fail("start", weir_strerror(r));
    z.block_size = kib * 1024;
    ring_init(&z, config.workers, level);
    compress_all(rt, &z);
    r = weir_stop(rt, WEIR_DRAIN, WEIR_FOREVER);
    ring_free(&z);
    if (close(STDOUT_FILENO) != 0)
        fail("standard output", strerror(errno));
    return r < 0;
}
