/* SPDX-License-Identifier: MIT
 *
 * event.c - the public entry point for the descriptor of a runtime at rest.
 *
 * Threads: any.
 */
#include <weir/event.h>

#include "api/handle.h"
#include "os/eventfd.h"

int weir_idle_fd(weir_runtime *h, int fd)
{
    struct runtime *rt;
    int r = fd == -1 ? 0 : eventfd_check(fd);
    if (r == 0)
        r = handle_enter(h, &rt);
    if (r != 0)
        return r;
    rest_set(&rt->rest, fd);
    handle_leave(h);
    return 0;
}
