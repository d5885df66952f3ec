/* SPDX-License-Identifier: MIT
 *
 * wgz - compresses standard input to standard output in the gzip format, on all processors.
 *
 * usage: wgz [-1 ... -9] [-p WORKERS] [-b KIB]
 *
 * The input is cut into blocks of KIB kibibytes (default 128), which workers compress at the same time, each with the
 * last 32 KiB of the block before it as its dictionary. The main thread reads and writes, both in order, around a ring
 * of blocks in flight: when the ring is full it waits for the oldest, writes it and reads into its place. So memory is
 * bounded by the ring, whatever the length of the input and whoever is slow. Exit status: 0, 1 (input, output or memory
 * failed: a message says what), 2 (bad option).
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
#define BLOCKS_PER_WORKER 4u    /* in flight: workers stay busy while the main thread sleeps in a read or a write */
#define RAW_DEFLATE (-15)       /* window of 2^15 bytes, no header */
#define MEMORY_LEVEL 8          /* zlib's default */

struct block {
    weir_task task;
    weir_latch done;
    bool in_flight;             /* main thread: submitted, not yet written */
    bool last;
    z_stream deflate;
    unsigned char *dictionary;  /* DICTIONARY bytes, `known` of them used; `in` follows */
    unsigned char *in;
    unsigned char *out;
    size_t known, length, room; /* bytes in the dictionary, of input, and that `out` can hold */
    size_t compressed;
    uLong crc;
    int error;                  /* of zlib */
};

struct pipe {
    weir_runtime *rt;
    struct block *ring;
    size_t blocks, block_size;
    uLong crc;                  /* of all that was written */
    uint64_t length;
};

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "wgz: %s: %s\n", what, why);
    exit(1);
}

/* --- a block, on a worker --------------------------------------------------------------------------------------- */

static weir_task *compress_run(weir_worker *w, weir_task *self)
{
    struct block *b = (struct block *)self;
    z_stream *z = &b->deflate;
    (void)w;
    b->crc = crc32(0, b->in, (uInt)b->length);
    b->error = deflateReset(z);
    if (b->error == Z_OK && b->known > 0)
        b->error = deflateSetDictionary(z, b->in - b->known, (uInt)b->known);
    z->next_in = b->in;
    z->avail_in = (uInt)b->length;
    z->next_out = b->out;
    z->avail_out = (uInt)b->room;
    if (b->error == Z_OK) /* Z_SYNC_FLUSH ends at a byte, so that blocks can stand behind each other */
        b->error = deflate(z, b->last ? Z_FINISH : Z_SYNC_FLUSH);
    if (b->error == Z_STREAM_END)
        b->error = Z_OK;
    b->compressed = b->room - z->avail_out;
    weir_latch_arrive(&b->done, 1); /* the main thread may use the block again */
    return NULL;
}

/* --- the main thread: reads and writes in order ----------------------------------------------------------------- */

/* As much as there is, up to n bytes: less only at the end of the input. */
static size_t read_fully(unsigned char *to, size_t n)
{
    size_t have = 0;
    while (have < n) {
        ssize_t got = read(STDIN_FILENO, to + have, n - have);
        if (got == 0)
            break;
        if (got < 0 && errno != EINTR)
            fail("standard input", strerror(errno));
        have += got > 0 ? (size_t)got : 0;
    }
    return have;
}

static void write_fully(const unsigned char *from, size_t n)
{
    while (n > 0) {
        ssize_t put = write(STDOUT_FILENO, from, n);
        if (put < 0 && errno != EINTR)
            fail("standard output", strerror(errno));
        from += put > 0 ? put : 0;
        n -= put > 0 ? (size_t)put : 0;
    }
}

/* Waits until a block has been compressed and writes it. */
static void finish(struct pipe *p, struct block *b)
{
    if (!b->in_flight)
        return;
    weir_latch_wait(&b->done, WEIR_FOREVER);
    if (b->error != Z_OK || b->compressed == b->room)
        fail("zlib", b->error != Z_OK ? zError(b->error) : "a block grew beyond its bound");
    write_fully(b->out, b->compressed);
    p->crc = crc32_combine(p->crc, b->crc, (z_off_t)b->length);
    p->length += b->length;
    b->in_flight = false;
}

static void begin(struct pipe *p, struct block *b)
{
    weir_latch_init(&b->done, 1);
    weir_task_init(&b->task, compress_run);
    int r = weir_submit(p->rt, &b->task, WEIR_BLOCK, WEIR_FOREVER);
    if (r < 0)
        fail("submit", weir_strerror(r));
    b->in_flight = true;
}

/* Takes the end of the block before as dictionary; that block may be being compressed, which only reads it. */
static void inherit(struct block *b, const struct block *before)
{
    b->known = before == NULL ? 0 : before->length < DICTIONARY ? before->length : DICTIONARY;
    if (b->known > 0)
        memcpy(b->in - b->known, before->in + before->length - b->known, b->known);
}

static void put_little_endian(unsigned char *to, uint32_t x)
{
    for (unsigned i = 0; i < 4; i++)
        to[i] = (unsigned char)(x >> 8 * i);
}

static void compress_all(struct pipe *p)
{
    static const unsigned char header[10] = {0x1f, 0x8b, Z_DEFLATED, 0, 0, 0, 0, 0, 0, 3 /* Unix */};
    unsigned char trailer[8];
    struct block *before = NULL;
    size_t at = 0;
    write_fully(header, sizeof header);
    do {
        struct block *b = &p->ring[at];
        finish(p, b);
        inherit(b, before);
        b->length = read_fully(b->in, p->block_size);
        b->last = b->length < p->block_size;
        begin(p, b);
        before = b;
        at = (at + 1) % p->blocks;
    } while (!before->last);
    for (size_t i = 0; i < p->blocks; i++)
        finish(p, &p->ring[(at + i) % p->blocks]);
    put_little_endian(trailer, (uint32_t)p->crc);
    put_little_endian(trailer + 4, (uint32_t)p->length);
    write_fully(trailer, sizeof trailer);
}

/* --- start ------------------------------------------------------------------------------------------------------ */

/* What deflateBound() promises for a stream that is finished; a flush adds an empty stored block. */
#define FLUSH_ROOM 64u

static void ring_init(struct pipe *p, unsigned workers, int level)
{
    p->blocks = (size_t)workers * BLOCKS_PER_WORKER;
    p->ring = calloc(p->blocks, sizeof *p->ring);
    for (size_t i = 0; p->ring != NULL && i < p->blocks; i++) {
        struct block *b = &p->ring[i];
        if (deflateInit2(&b->deflate, level, Z_DEFLATED, RAW_DEFLATE, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
            fail("memory", "not enough for zlib");
        b->room = deflateBound(&b->deflate, p->block_size) + FLUSH_ROOM;
        b->dictionary = malloc(DICTIONARY + p->block_size + b->room);
        if (b->dictionary == NULL)
            fail("memory", "not enough for the blocks");
        b->in = b->dictionary + DICTIONARY;
        b->out = b->in + p->block_size;
    }
    if (p->ring == NULL)
        fail("memory", "not enough for the ring");
}

static void ring_free(struct pipe *p)
{
    for (size_t i = 0; i < p->blocks; i++) {
        deflateEnd(&p->ring[i].deflate);
        free(p->ring[i].dictionary);
    }
    free(p->ring);
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
    struct pipe p = {.crc = crc32(0, NULL, 0)};
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
    r = weir_start(&p.rt, &config);
    if (r < 0)
        fail("start", weir_strerror(r));
    p.block_size = kib * 1024;
    ring_init(&p, config.workers, level);
    compress_all(&p);
    r = weir_stop(p.rt, WEIR_DRAIN, WEIR_FOREVER);
    ring_free(&p);
    if (close(STDOUT_FILENO) != 0)
        fail("standard output", strerror(errno));
    return r < 0;
}
