/* SPDX-License-Identifier: MIT
 *
 * notify.c - a continuation that makes an eventfd readable.
 *
 * Threads: the worker that pays the last completion runs it.
 * Invariants: once the descriptor is written the record may be gone: nothing follows a write that has succeeded.
 */
#include <weir/event.h>

#include <errno.h>

#include "os/eventfd.h"
#include "task/task.h"

static weir_task *ring(weir_worker *w, weir_task *self)
{
    weir_notify *n = CONTAINER_OF(self, weir_notify, task);
    (void)w;
    int r = eventfd_ring(n->fd);
    if (r != 0) /* nobody was told, so the record is still there. relaxed: for the curious */
        atom_store(&n->error, (uint32_t)-r, memory_order_relaxed);
    return NULL;
}

int weir_notify_init(weir_notify *n, int fd)
{
    int r = n == NULL ? -EINVAL : eventfd_check(fd);
    if (r != 0)
        return r;
    weir_task_init(&n->task, ring);
    n->error.v = 0;
    n->fd = fd;
    return 0;
}

int weir_notify_error(const weir_notify *n)
{
    return -(int)atom_load(&n->error, memory_order_relaxed); /* relaxed: as in ring() */
}

int weir_scope_notify_fd(weir_scope *s, weir_notify *n, int fd)
{
    if (s == NULL || s->owner != NULL || s->closed)
        return -EINVAL;
    int r = weir_notify_init(n, fd);
    if (r == 0 && weir_scope_then(s, &n->task) != NULL)
        (void)ring(NULL, &n->task); /* all done before */
    return r;
}
