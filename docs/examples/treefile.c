/* SPDX-License-Identifier: MIT
 *
 * treefile.c - opens paths of any length and scans ranges of files.
 *
 * Threads: see treefile.h.
 * Invariants: a range reads no byte twice, and the ranges of a file together scan each byte once, whatever the cuts.
 */
#define _GNU_SOURCE
#include "treefile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

int path_open(const char *path, int flags)
{
    size_t length = strlen(path);
    int at = AT_FDCWD;
    while (length >= PATH_MAX) {
        char piece[PATH_MAX];
        memcpy(piece, path, PATH_MAX - 1);
        piece[PATH_MAX - 1] = '\0';
        char *cut = strrchr(piece + 1, '/');
        if (cut == NULL) {
            if (at >= 0)
                close(at);
            return -ENAMETOOLONG;
        }
        *cut = '\0';
        int next = openat(at, piece, O_PATH | O_DIRECTORY | O_CLOEXEC);
        int error = errno;
        if (at >= 0)
            close(at);
        if (next < 0)
            return -error;
        at = next;
        path += cut - piece;
        path += strspn(path, "/");
        length = strlen(path);
    }
    int fd = openat(at, path, flags);
    int error = errno;
    if (at >= 0)
        close(at);
    return fd < 0 ? -error : fd;
}

/* Reads until `want` bytes are there or the file ends; a read that is short at the file's known size is the end. */
static ssize_t read_fully(int fd, unsigned char *buffer, size_t want, uint64_t at, uint64_t size)
{
    size_t have = 0;
    while (have < want) {
        ssize_t n = pread(fd, buffer + have, want - have, (off_t)(at + have));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        have += (size_t)n;
        if (n == 0 || (at + have == size && have < want))
            break;
    }
    return (ssize_t)have;
}

int range_scan(const struct wordscan *ws, const struct range *r, unsigned char *buffer, size_t room, struct summary *s)
{
    size_t beyond = r->to == UINT64_MAX ? 0 : wordscan_lookahead(ws);
    uint64_t end = r->to == UINT64_MAX ? UINT64_MAX : r->to + beyond, at = r->from;
    size_t kept = 0; /* bytes of a character that the last read cut */
    for (bool last = false; !last;) {
        size_t want = room - kept;
        if (end - at <= want)
            want = (size_t)(end - at);
        else
            want -= beyond; /* so that the bytes beyond `to` come in the last read */
        ssize_t got = read_fully(r->fd, buffer + kept, want, at, r->size);
        if (got < 0)
            return (int)-got;
        size_t n = kept + (size_t)got;
        bool first = at == r->from;
        at += (uint64_t)got;
        last = (size_t)got < want || at == end;
        if (at > r->to) { /* the bytes beyond, but for those that complete a character, are the next range's */
            size_t over = (size_t)(at - r->to);
            n = n - over + wordscan_tail(ws, buffer + n - over, over);
        }
        size_t skip = first && r->from > 0 ? wordscan_tail(ws, buffer, n) : 0;
        size_t used = skip + wordscan(ws, s, buffer + skip, n - skip, last);
        s->bytes += used - skip;
        kept = n - used;
        memmove(buffer, buffer + used, kept);
    }
    return 0;
}

unsigned open_files_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 256;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur > UINT16_MAX ? UINT16_MAX : (unsigned)limit.rlim_cur;
}
