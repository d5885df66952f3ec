/* SPDX-License-Identifier: MIT
 *
 * bench/requests/weir_suspend_none.c - stands in for weir_suspend.c where this weir has no timers.
 *
 * Threads: none.
 */
#include "server.h"

const struct server *const server_weir_suspend = NULL;
