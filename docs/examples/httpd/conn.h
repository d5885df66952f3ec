/* SPDX-License-Identifier: MIT
 *
 * conn.h - one connection, from its acceptance to its close.
 *
 * Threads: conn_start() on a worker; from then on the connection goes by itself.
 */
#ifndef HTTPD_CONN_H
#define HTTPD_CONN_H

#include "httpd.h"

/* Takes over a connected, non-blocking descriptor, counted in h->connections. False: no memory, and nothing done. */
bool conn_start(weir_worker *w, struct httpd *h, int fd);

#endif
