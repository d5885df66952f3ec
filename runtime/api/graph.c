/* SPDX-License-Identifier: MIT
 *
 * graph.c - public entry points of weir/graph.h that need a runtime: argument checks and hand-over.
 *
 * Threads: any.
 */
#include <errno.h>

#include "api/handle.h"
#include "par/graph_start.h"

int weir_run_start(weir_runtime *h, weir_run *run, const weir_run_how *how)
{
    struct runtime *rt;
    if (run == NULL)
        return -EINVAL;
    int r = handle_enter(h, &rt);
    if (r != 0)
        return r;
    r = run_start(h, rt, run, how);
    handle_leave(h);
    return r;
}

int weir_run_to_end(weir_runtime *h, weir_run *run, const weir_run_how *how)
{
    struct runtime *rt;
    struct worker *w = worker_self();
    if (run == NULL)
        return -EINVAL;
    int r = handle_enter(h, &rt);
    if (r != 0)
        return r;
    if (w == NULL) {
        r = run_start(h, rt, run, how);
        if (r == 0)
            r = weir_run_wait(run, WEIR_FOREVER);
    } else {
        r = w->rt == rt ? run_on_worker(h, w, run, how) : -EDEADLK;
    }
    handle_leave(h);
    return r;
}
