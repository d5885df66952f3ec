/* SPDX-License-Identifier: MIT
 *
 * date.h - dates as HTTP writes and reads them.
 *
 * Threads: any; no shared state.
 * Source: RFC 9110, section 5.6.7: one form is written, three are read.
 */
#ifndef HTTPD_DATE_H
#define HTTPD_DATE_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define HTTP_DATE_TEXT 30u /* bytes: "Sun, 06 Nov 1994 08:49:37 GMT" and a zero */

/* Writes the date of a time from 1970 to 9999; an earlier or later one becomes the nearest of these. */
void http_date_write(time_t t, char text[HTTP_DATE_TEXT]);

/* Reads a date; `now` tells the century of years that have two digits. False: it is none. */
bool http_date_read(const char *text, size_t length, time_t now, time_t *out);

#endif
