/* SPDX-License-Identifier: MIT
 *
 * answer.h - what the server says to a request.
 *
 * GET and HEAD of files below the root; /work?us=N&io_us=M computes for N us, then waits for M us; /metrics.
 *
 * Threads: any worker.
 */
#ifndef HTTPD_ANSWER_H
#define HTTPD_ANSWER_H

#include "httpd.h"
#include "reply.h"
#include "target.h"

#define HTTP_TEXT_MAX 8192u /* bytes of text in an answer */

struct http_answer {
    struct http_reply reply;
    uint64_t wait_ns;         /* before it is sent; 0: at once */
    int file;                 /* its bytes from reply.at on are the content; the caller's to close; -1: it is `text` */
    bool head_only;           /* the content is not sent */
    struct http_entity entity;       /* what `reply` may point to */
    char location[HTTP_PATH_MAX];
    char text[HTTP_TEXT_MAX]; /* reply.length bytes of it are in use */
};

/* To a request that was read. */
void http_answer(struct http_answer *a, struct httpd *h, weir_worker *w, const struct http_parser *p, const char *head);
/* To one that gets nothing but a status, and its words as content. */
void http_answer_status(struct http_answer *a, uint16_t status, const struct http_parser *p);
/* To /work, when its wait is over. */
void http_answer_worked(struct http_answer *a, const struct http_parser *p);

#endif
