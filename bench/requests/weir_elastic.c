/* SPDX-License-Identifier: MIT
 *
 * bench/requests/weir_elastic.c - requests with a blocking handler, on as many workers as the governor finds right.
 *
 * Threads: as server.h.
 */
#include "weir.h"

static weir_task *handle(weir_worker *w, weir_task *self)
{
    (void)w;
    serve(weir_way_ledger(), weir_way_id(self));
    return NULL;
}

static void configure(weir_config *config, const struct server_options *o)
{
    config->min_workers = o->workers;
    config->max_workers = o->max_workers;
}

static void start(struct ledger *l, const struct server_options *o)
{
    static const struct weir_way way = {handle, configure};
    weir_way_start(l, o, &way);
}

static const struct server server = {"weir-elastic", start, weir_way_submit, weir_way_stop};
const struct server *const server_weir_elastic = &server;
