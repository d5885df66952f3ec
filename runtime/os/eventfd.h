/* SPDX-License-Identifier: MIT
 *
 * eventfd.h - the three things that are done to a program's eventfd.
 *
 * Threads: any. Invariants: no call blocks, none closes or duplicates a descriptor; errno is kept.
 */
#ifndef WEIR_EVENTFD_H
#define WEIR_EVENTFD_H

/* 0, -EBADF (not open) or -EINVAL (a write may block). */
int eventfd_check(int fd);
/* Makes it readable. 0 (also when the counter is at its maximum), or a negative errno. */
int eventfd_ring(int fd);
/* Makes it unreadable until the next ring. */
void eventfd_reset(int fd);

#endif
