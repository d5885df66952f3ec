/* SPDX-License-Identifier: MIT
 *
 * eventfd.c - eventfd.h on Linux.
 *
 * Threads: any.
 */
#include "os/eventfd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

int eventfd_check(int fd)
{
    int saved = errno;
    int flags = fcntl(fd, F_GETFL);
    errno = saved;
    if (flags < 0)
        return -EBADF;
    return flags & O_NONBLOCK ? 0 : -EINVAL;
}

int eventfd_ring(int fd)
{
    const uint64_t one = 1;
    int saved = errno;
    int r = 0;
    while (write(fd, &one, sizeof one) < 0 && (r = -errno) == -EINTR)
        r = 0;
    errno = saved;
    return r == -EAGAIN ? 0 : r; /* full: readable already */
}

void eventfd_reset(int fd)
{
    uint64_t count;
    int saved = errno;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR)
        continue; /* any other error: there is nothing to reset */
    errno = saved;
}
