/* SPDX-License-Identifier: MIT
 *
 * bench/requests/weir_elastic_none.c - stands in for weir_elastic.c where this weir has a fixed number of workers.
 *
 * Threads: none.
 */
#include "server.h"

const struct server *const server_weir_elastic = NULL;
