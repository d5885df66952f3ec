/* SPDX-License-Identifier: MIT
 *
 * bench/requests/weir_block_none.c - stands in for weir_block.c where this weir has no weir_block_begin().
 *
 * Threads: none.
 */
#include "server.h"

const struct server *const server_weir_block = NULL;
