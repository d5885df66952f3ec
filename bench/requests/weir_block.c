/* SPDX-License-Identifier: MIT
 *
 * bench/requests/weir_block.c - requests whose handler says that it blocks, so that a spare worker takes its place.
 *
 * Threads: as server.h.
 */
#include "weir.h"

static weir_task *handle(weir_worker *w, weir_task *self)
{
    struct ledger *l = weir_way_ledger();
    uint32_t id = weir_way_id(self);
    struct progress p;
    request_begin(&l->work, id, &p);
    if (weir_block_begin(w) != 0)
        server_fail("weir_block_begin", 0);
    request_block(&l->work);
    if (weir_block_end(w) != 0)
        server_fail("weir_block_end", 0);
    ledger_enter(l, id, request_end(&l->work, &p));
    return NULL;
}

static void start(struct ledger *l, const struct server_options *o)
{
    static const struct weir_way way = {handle, NULL};
    weir_way_start(l, o, &way);
}

static const struct server server = {"weir-block", start, weir_way_submit, weir_way_stop};
const struct server *const server_weir_block = &server;
