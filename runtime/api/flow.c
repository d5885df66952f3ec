/* SPDX-License-Identifier: MIT
 *
 * flow.c - public entry points of weir/flow.h that need a runtime: argument checks and hand-over.
 *
 * Threads: see weir/flow.h.
 */
#include <errno.h>

#include "api/handle.h"
#include "par/dataflow.h"
#include "par/pipeline.h"

/* --- dataflow ------------------------------------------------------------------------------------------------- */

int weir_flow_create(weir_runtime *h, uint32_t live, weir_flow **out)
{
    struct runtime *rt;
    struct worker *w = worker_self();
    if (out == NULL || live > WEIR_FLOW_LIVE_MAX)
        return -EINVAL;
    int r = handle_enter(h, &rt);
    if (r != 0)
        return r;
    r = w != NULL && w->rt != rt ? -EDEADLK : flow_create(h, w, live != 0 ? live : WEIR_FLOW_LIVE_DEFAULT, out);
    handle_leave(h);
    return r;
}

static bool are_deps(const weir_dep *deps, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (deps[i].access != WEIR_IN && deps[i].access != WEIR_OUT && deps[i].access != WEIR_INOUT)
            return false;
    return true;
}

int weir_flow_add(weir_flow *f, weir_node_fn *fn, void *arg, const weir_dep *deps, uint32_t n, uint64_t deadline)
{
    struct runtime *rt = NULL;
    if (f == NULL || fn == NULL || (deps == NULL && n != 0) || !flow_is_producer(f) || !are_deps(deps, n))
        return -EINVAL;
    if (worker_self() != NULL)
        return flow_add(f, NULL, fn, arg, deps, n, deadline);
    int r = handle_enter(flow_handle(f), &rt);
    if (r != 0)
        return r;
    r = flow_add(f, rt, fn, arg, deps, n, deadline);
    handle_leave(flow_handle(f));
    return r;
}

/* --- pipelines ------------------------------------------------------------------------------------------------ */

static bool are_stages(const weir_stage *stages, uint32_t n)
{
    if (stages == NULL || n == 0 || n > WEIR_STAGES_MAX || stages[0].kind != WEIR_STAGE_SERIAL)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (stages[i].fn == NULL || (stages[i].kind != WEIR_STAGE_SERIAL && stages[i].kind != WEIR_STAGE_PARALLEL))
            return false;
    return true;
}

int weir_pipeline(weir_runtime *h, const weir_stage *stages, uint32_t n, uint32_t tokens, uint64_t *items)
{
    struct runtime *rt;
    struct worker *w = worker_self();
    if (!are_stages(stages, n) || tokens == 0 || tokens > WEIR_TOKENS_MAX)
        return -EINVAL;
    int r = handle_enter(h, &rt);
    if (r != 0)
        return r;
    r = w != NULL && w->rt != rt ? -EDEADLK : pipeline_run(rt, w, stages, n, tokens, items);
    handle_leave(h);
    return r;
}
