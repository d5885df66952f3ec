/* SPDX-License-Identifier: MIT
 *
 * file.c - opens and reads the files that are served: first only from memory, and if that fails as a blocking call.
 *
 * Threads: file.h.
 */
#define _GNU_SOURCE
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define INDEX "index.html"

static int open_below(int folder, const char *path, uint64_t resolve)
{
    /* O_NONBLOCK: a named pipe must not keep the worker */
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve};
    return (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
}

static int open_anyhow(weir_worker *w, int folder, const char *path)
{
    int fd = open_below(folder, path, RESOLVE_CACHED);
    if (fd >= 0 || (errno != EAGAIN && errno != EINVAL)) /* EINVAL: a kernel that does not know this flag */
        return fd;
    weir_block_begin(w);
    fd = open_below(folder, path, 0);
    int error = errno;
    weir_block_end(w);
    errno = error;
    return fd;
}

static uint16_t status_of(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
    case EXDEV: /* leads out of the root */
    case ELOOP:
    case ENXIO: /* a socket */
        return 404;
    case EACCES:
    case EPERM:
        return 403;
    case EAGAIN:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return 503;
    default:
        return 500;
    }
}

/* Goes on from a folder to the file that stands for it. */
static int open_index(weir_worker *w, int folder)
{
    int fd = open_anyhow(w, folder, INDEX), error = errno;
    close(folder);
    errno = error;
    return fd;
}

static uint16_t refuse(int fd, uint16_t status)
{
    close(fd);
    return status;
}

uint16_t http_file_open(weir_worker *w, int root, const struct http_target *t, struct http_file *f)
{
    struct stat s;
    f->fd = open_anyhow(w, root, t->length > 0 ? t->path : ".");
    if (f->fd < 0)
        return status_of(errno);
    if (fstat(f->fd, &s) != 0)
        return refuse(f->fd, 500);
    bool folder = S_ISDIR(s.st_mode);
    if (folder != t->folder)
        return refuse(f->fd, folder ? 301 : 404);
    if (folder) {
        f->fd = open_index(w, f->fd);
        if (f->fd < 0)
            return status_of(errno);
        if (fstat(f->fd, &s) != 0)
            return refuse(f->fd, 500);
    }
    if (!S_ISREG(s.st_mode))
        return refuse(f->fd, 404);
    f->type = folder ? http_media_type(INDEX, sizeof INDEX - 1) : http_media_type(t->path, t->length);
    http_entity_set(&f->entity, &s.st_mtim, (uint64_t)s.st_size);
    return 200;
}

/* All of it, or as much as could be read. */
static size_t read_with(int fd, char *to, uint64_t at, size_t length, int flags)
{
    size_t have = 0;
    while (have < length) {
        struct iovec v = {to + have, length - have};
        ssize_t n = preadv2(fd, &v, 1, (off_t)(at + have), flags);
        if (n == 0 || (n < 0 && errno != EINTR))
            break;
        have += n > 0 ? (size_t)n : 0;
    }
    return have;
}

bool http_file_read(weir_worker *w, int fd, char *to, uint64_t at, size_t length)
{
    size_t have = read_with(fd, to, at, length, RWF_NOWAIT);
    if (have < length) {
        weir_block_begin(w);
        have += read_with(fd, to + have, at + have, length - have, 0);
        weir_block_end(w);
    }
    return have == length;
}

/* Whether a byte can be had without a disk; then those before it are taken to be as near. */
static bool is_cached(int fd, uint64_t at)
{
    char byte;
    struct iovec v = {&byte, 1};
    return preadv2(fd, &v, 1, (off_t)at, RWF_NOWAIT) == 1;
}

ssize_t http_file_send(weir_worker *w, int socket, int fd, uint64_t at, size_t length)
{
    off_t from = (off_t)at;
    if (is_cached(fd, at + length - 1))
        return sendfile(socket, fd, &from, length);
    weir_block_begin(w);
    ssize_t n = sendfile(socket, fd, &from, length);
    int error = errno;
    weir_block_end(w);
    errno = error;
    return n;
}
