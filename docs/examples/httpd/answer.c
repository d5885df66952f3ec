/* SPDX-License-Identifier: MIT
 *
 * answer.c - finds out what the server says to a request.
 *
 * Threads: answer.h.
 */
#include "answer.h"

#include "file.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WORK_US_MAX 1000000u   /* a worker computes for a request */
#define WAIT_US_MAX 60000000u  /* a request waits */
#define NS_PER_US 1000u
#define LOOK_AT_CLOCK 64u      /* steps of work between two looks, about 0.1 us */

#define PLAIN "text/plain; charset=utf-8"

static void answer_text(struct http_answer *a, uint16_t status, const struct http_parser *p, const char *text)
{
    a->reply = (struct http_reply){.status = status, .keep_alive = p->keep_alive, .version_1_0 = p->version_1_0,
                                   .type = PLAIN, .length = strlen(text)};
    a->wait_ns = 0;
    a->file = -1;
    a->head_only = p->head_only;
    memcpy(a->text, text, a->reply.length);
}

void http_answer_status(struct http_answer *a, uint16_t status, const struct http_parser *p)
{
    answer_text(a, status, p, "");
    a->reply.length = (uint64_t)snprintf(a->text, sizeof a->text, "%u %s\n", status, http_reason(status));
}

void http_answer_worked(struct http_answer *a, const struct http_parser *p)
{
    answer_text(a, 200, p, "worked\n");
}

/* --- /work -------------------------------------------------------------------------------------------------------- */

static void compute(uint64_t us)
{
    uint64_t end = weir_now() + us * NS_PER_US, x = 1;
    do {
        for (unsigned i = 0; i < LOOK_AT_CLOCK; i++)
            x = x * 6364136223846793005u + 1;
        __asm__ __volatile__("" : : "r"(x)); /* so that the work is done */
    } while (weir_now() < end);
}

static void answer_work(struct http_answer *a, const struct http_parser *p, const struct http_target *t)
{
    uint64_t us, io_us;
    if (!http_query_number(t, "us", 0, WORK_US_MAX, &us) || !http_query_number(t, "io_us", 0, WAIT_US_MAX, &io_us)) {
        http_answer_status(a, 400, p);
        return;
    }
    if (us > 0)
        compute(us);
    http_answer_worked(a, p);
    a->wait_ns = io_us * NS_PER_US;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static void answer_file(struct http_answer *a, struct httpd *h, weir_worker *w, const struct http_parser *p,
                        const char *head, const struct http_target *t)
{
    struct http_file f;
    uint16_t status = http_file_open(w, h->root, t, &f);
    if (status != 200) {
        http_answer_status(a, status, p);
        if (status == 301)
            a->reply.location = memcpy(a->location, t->path, t->length + 1);
        return;
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    struct http_choice choice = http_choose(p, head, &f.entity, now.tv_sec);
    http_answer_status(a, choice.status, p); /* the words are the content where the file is not */
    a->entity = f.entity;
    a->reply.entity = &a->entity;
    if (choice.status == 304)
        a->reply.type = NULL;
    if (choice.status == 200 || choice.status == 206) {
        a->reply.type = f.type;
        a->reply.at = choice.at;
        a->reply.length = choice.length;
        a->file = choice.length > 0 && !p->head_only ? f.fd : -1;
    }
    if (a->file < 0)
        close(f.fd);
}

/* --- routes ------------------------------------------------------------------------------------------------------- */

static bool is(const struct http_target *t, const char *path)
{
    return !t->folder && strcmp(t->path, path) == 0;
}

void http_answer(struct http_answer *a, struct httpd *h, weir_worker *w, const struct http_parser *p, const char *head)
{
    struct http_target t;
    switch (http_target_read(&t, head + p->target.at, p->target.length)) {
    case HTTP_TARGET_OK:
        break;
    case HTTP_TARGET_LONG:
        http_answer_status(a, 414, p);
        return;
    default:
        http_answer_status(a, 400, p);
        return;
    }
    if (is(&t, "work")) {
        answer_work(a, p, &t);
    } else if (is(&t, "metrics")) {
        answer_text(a, 200, p, "");
        a->reply.type = "text/plain; version=0.0.4; charset=utf-8";
        a->reply.length = httpd_metrics(h, a->text, sizeof a->text);
    } else {
        answer_file(a, h, w, p, head, &t);
    }
}
