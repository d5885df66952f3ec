/* SPDX-License-Identifier: MIT
 *
 * bench/requests/weir.h - what the ways to serve requests with weir share.
 *
 * Threads: as server.h.
 */
#ifndef BENCH_REQUESTS_WEIR_H
#define BENCH_REQUESTS_WEIR_H

#include "server.h"

#include <weir/weir.h>

/* One way: how a request is handled, and what it wants from the runtime. */
struct weir_way {
    weir_task_fn *handle; /* of a task with the request's number as payload */
    /* NULL: workers and queue_capacity only. */
    void (*configure)(weir_config *config, const struct server_options *o);
};

void weir_way_start(struct ledger *l, const struct server_options *o, const struct weir_way *way);
uint32_t weir_way_submit(uint32_t first, uint32_t n, bool *accepted);
void weir_way_stop(struct server_account *a);

struct ledger *weir_way_ledger(void);
weir_runtime *weir_way_runtime(void);

/* The request's number. */
static inline uint32_t weir_way_id(weir_task *t)
{
    return *(uint32_t *)weir_task_payload(t);
}

#endif
