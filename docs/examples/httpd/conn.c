/* SPDX-License-Identifier: MIT
 *
 * conn.c - one connection as a state machine of continuations: read, answer, wait, send, close.
 *
 * Each step runs on some worker with buffers of its stack, does what can be done without waiting, and starts exactly
 * one wait, of which the next step is the continuation: until the client sends, until it takes more, or until a time.
 * Only what a step leaves over, half a request or half an answer, is kept in memory meanwhile; an idle connection is
 * its record and nothing else.
 *
 * Threads: a connection's steps run one after the other, each on any worker.
 * Invariants: a step that has started a wait doesn't touch the connection again, which may already be gone. Whoever
 * sends requests faster than it takes the answers is read no further: nothing grows.
 */
#define _GNU_SOURCE
#include "conn.h"

#include "answer.h"
#include "body.h"
#include "file.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_ROOM 16384u      /* bytes read in one step; at least a whole head (options.limits.head) */
#define INLINE_MAX 16384u   /* bytes of a file that are sent together with their head */
#define OUT_ROOM 49152u     /* bytes of answers to pipelined requests that are sent together */
#define SEND_FILE_MAX (1u << 20) /* bytes of a file in one go: then others get their turn */
#define LINGER_NS UINT64_C(1000000000) /* how long a connection is read from after its last answer */
#define LINGER_BYTES 262144u           /* and how much */

_Static_assert(OUT_ROOM >= 2 * (HTTP_REPLY_MAX + INLINE_MAX) && INLINE_MAX >= HTTP_TEXT_MAX,
               "an answer fits into half of the buffer");

/* What is to be done when all that was written so far has been sent. */
enum next {
    NEXT_REQUEST, /* read the next request */
    NEXT_WAIT,    /* let wait_ns pass, then answer */
    NEXT_FILE,    /* send the rest of the file */
    NEXT_LINGER   /* close, but let the client read its answer first: unread data would reset the connection */
};

struct conn {
    weir_task task; /* the next step */
    union {         /* what it waits for */
        weir_io io;
        weir_timer timer;
    };
    struct httpd *server;
    struct http_parser parser;
    int fd;
    int file;              /* NEXT_FILE: what is being sent */
    uint64_t file_at, file_left;
    struct http_body body; /* of the request that was answered last: what is still to come is passed over */
    uint64_t since;        /* ns: when the request that is being read began to arrive, 0: it hasn't; NEXT_LINGER: when
                              there is an end to it */
    uint64_t wait_ns;
    char *kept;            /* NULL: nothing; else kept_in bytes of input, then kept_out bytes to send */
    uint32_t kept_in, kept_out;
    uint32_t lingered;     /* bytes */
    enum next next;
    bool counted;          /* in server->requests, with `pass` */
    bool exhausted;        /* the last recv(2) has taken all there was */
    weir_pass pass;
};

/* What a step works with. */
struct step {
    weir_worker *w;
    struct conn *c;
    size_t in_at, in_length;   /* of `in`: what is still to be read, and its end */
    size_t out_at, out_length; /* of `out` */
    char in[IN_ROOM];
    char out[OUT_ROOM];
};

enum progress { DONE, BLOCKED, FAILED };

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void uncount(struct conn *c)
{
    if (c->counted)
        weir_gate_leave(&c->pass);
    c->counted = false;
}

static weir_task *end(struct conn *c)
{
    struct httpd *h = c->server;
    uncount(c);
    if (c->next == NEXT_FILE)
        close(c->file);
    /* relaxed: a stop that still sees it shuts down a descriptor that is closed, or a file, which does nothing */
    atomic_store_explicit(&h->open[c->fd], false, memory_order_relaxed);
    close(c->fd);
    free(c->kept);
    free(c);
    /* release, for the acquire in httpd_stop(): all that this connection did is over when that sees none */
    atomic_fetch_sub_explicit(&h->connections, 1, memory_order_release);
    return NULL;
}

/* --- waits: the last thing that a step does ---------------------------------------------------------------------- */

/* Puts aside what the step leaves over. */
static bool keep(struct step *s)
{
    struct conn *c = s->c;
    c->kept_in = (uint32_t)(s->in_length - s->in_at);
    c->kept_out = (uint32_t)(s->out_length - s->out_at);
    if (c->kept_in + c->kept_out == 0)
        return true;
    c->kept = malloc(c->kept_in + c->kept_out);
    if (c->kept == NULL)
        return false;
    memcpy(c->kept, s->in + s->in_at, c->kept_in);
    memcpy(c->kept + c->kept_in, s->out + s->out_at, c->kept_out);
    return true;
}

/* Takes it back. */
static void take(struct step *s, weir_worker *w, struct conn *c)
{
    s->w = w;
    s->c = c;
    s->in_at = s->out_at = s->in_length = s->out_length = 0;
    if (c->kept == NULL)
        return;
    s->in_length = c->kept_in;
    s->out_length = c->kept_out;
    memcpy(s->in, c->kept, c->kept_in);
    memcpy(s->out, c->kept + c->kept_in, c->kept_out);
    free(c->kept);
    c->kept = NULL;
}

static weir_task *when_readable(struct step *s, weir_task_fn *then, uint64_t deadline)
{
    struct conn *c = s->c;
    if (!keep(s))
        return end(c);
    weir_task_init(&c->task, then);
    weir_io_init(&c->io, &c->task);
    c->io.deadline = deadline;
    return weir_io_poll(s->w, &c->io, c->fd, c->exhausted ? POLLIN | WEIR_POLL_AGAIN : POLLIN) == 0 ? NULL : end(c);
}

static weir_task *on_writable(weir_worker *w, weir_task *self);

static weir_task *when_writable(struct step *s)
{
    struct conn *c = s->c;
    if (!keep(s))
        return end(c);
    weir_task_init(&c->task, on_writable);
    weir_io_init(&c->io, &c->task);
    c->io.deadline = weir_now() + c->server->options.send_ns;
    return weir_when_writable(s->w, c->fd, &c->io) == 0 ? NULL : end(c);
}

static weir_task *on_time(weir_worker *w, weir_task *self);

static weir_task *when_over(struct step *s)
{
    struct conn *c = s->c;
    if (!keep(s))
        return end(c);
    weir_task_init(&c->task, on_time);
    weir_timer_init(&c->timer);
    return weir_after(s->w, c->wait_ns, &c->timer, &c->task) == 0 ? NULL : end(c);
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

static enum progress flush(struct step *s, int flags)
{
    while (s->out_at < s->out_length) {
        ssize_t n = send(s->c->fd, s->out + s->out_at, s->out_length - s->out_at, MSG_NOSIGNAL | flags);
        if (n < 0 && errno != EINTR)
            return errno == EAGAIN ? BLOCKED : FAILED;
        if (n > 0) {
            s->out_at += (size_t)n;
            httpd_count(s->c->server, s->w, COUNT_BYTES, (uint64_t)n);
        }
    }
    s->out_at = s->out_length = 0;
    return DONE;
}

static enum progress send_file(struct step *s)
{
    struct conn *c = s->c;
    uint64_t budget = SEND_FILE_MAX;
    while (c->file_left > 0) {
        if (budget == 0)
            return BLOCKED; /* it is writable at once: the others go first */
        size_t length = c->file_left < budget ? (size_t)c->file_left : (size_t)budget;
        ssize_t n = http_file_send(s->w, c->fd, c->file, c->file_at, length);
        if (n == 0)
            return FAILED; /* it has become shorter: the client sees that by the length that it was told */
        if (n < 0 && errno != EINTR)
            return errno == EAGAIN ? BLOCKED : FAILED;
        if (n > 0) {
            c->file_at += (uint64_t)n;
            c->file_left -= (uint64_t)n;
            budget -= (uint64_t)n;
            httpd_count(c->server, s->w, COUNT_BYTES, (uint64_t)n);
        }
    }
    return DONE;
}

/* --- answering ---------------------------------------------------------------------------------------------------- */

/* One more request that waits or is sent piece by piece. */
static bool count(struct conn *c)
{
    c->counted = c->counted || weir_gate_enter(&c->server->requests, &c->pass) == 0;
    return c->counted;
}

/* Writes an answer to `out`. What is left of it is c->file. */
static void write_answer(struct step *s, struct http_answer *a)
{
    struct conn *c = s->c;
    size_t before = s->out_length;
    if (a->file >= 0 && a->reply.length > INLINE_MAX && !count(c)) {
        close(a->file);
        httpd_count(c->server, s->w, COUNT_REFUSED_REQUESTS, 1);
        http_answer_status(a, 503, &c->parser);
    }
    a->reply.keep_alive = a->reply.keep_alive && !httpd_is_stopping(c->server);
    s->out_length += http_reply_write(&a->reply, s->out + s->out_length);
    c->next = a->reply.keep_alive ? NEXT_REQUEST : NEXT_LINGER;
    if (a->file >= 0 && a->reply.length > INLINE_MAX) {
        c->file = a->file;
        c->file_at = a->reply.at;
        c->file_left = a->reply.length;
        c->next = NEXT_FILE;
    } else if (a->file >= 0) {
        bool whole = http_file_read(s->w, a->file, s->out + s->out_length, a->reply.at, a->reply.length);
        close(a->file);
        if (whole) {
            s->out_length += a->reply.length;
        } else {
            s->out_length = before;
            http_answer_status(a, 500, &c->parser);
            write_answer(s, a);
            return;
        }
    } else if (!a->head_only && a->reply.type != NULL) {
        memcpy(s->out + s->out_length, a->text, a->reply.length);
        s->out_length += a->reply.length;
    }
    httpd_count(c->server, s->w, (enum httpd_count)(COUNT_2XX + a->reply.status / 100 - 2), 1);
}

/* The request is answered: what follows it is the body, if it has one, and the next request. */
static void finish_request(struct conn *c)
{
    http_body_init(&c->body, &c->parser, &c->server->options.limits);
    if (!http_body_is_over(&c->body) && c->parser.expects_continue)
        c->next = NEXT_LINGER; /* it waits to be asked for the body: the close is the answer to that */
    http_parser_init(&c->parser);
    c->since = 0;
}

static void refuse(struct step *s, uint16_t status)
{
    struct http_answer a;
    s->c->parser.keep_alive = false;
    http_answer_status(&a, status, &s->c->parser);
    write_answer(s, &a);
    s->c->next = NEXT_LINGER;
}

static void answer_request(struct step *s)
{
    struct conn *c = s->c;
    struct http_answer a;
    http_answer(&a, c->server, s->w, &c->parser, s->in + s->in_at);
    s->in_at += c->parser.at;
    if (a.wait_ns > 0 && count(c)) {
        c->wait_ns = a.wait_ns;
        c->next = NEXT_WAIT;
        return;
    }
    if (a.wait_ns > 0) {
        httpd_count(c->server, s->w, COUNT_REFUSED_REQUESTS, 1);
        http_answer_status(&a, 503, &c->parser);
    }
    write_answer(s, &a);
    if (c->next != NEXT_FILE)
        finish_request(c);
}

/* Reads on, and answers what is complete. False: there is nothing that is. */
static bool next_request(struct step *s)
{
    struct conn *c = s->c;
    if (!http_body_is_over(&c->body)) {
        size_t used;
        enum http_progress body = http_body_skip(&c->body, s->in + s->in_at, s->in_length - s->in_at, &used);
        s->in_at += used;
        if (body == HTTP_BAD)
            c->next = NEXT_LINGER; /* its request was answered: there is nothing to be said */
        if (body != HTTP_READY)
            return body == HTTP_BAD;
        c->since = 0; /* the next request has not begun */
    }
    switch (http_parse(&c->parser, &c->server->options.limits, s->in + s->in_at, s->in_length - s->in_at)) {
    case HTTP_MORE:
        return false;
    case HTTP_BAD:
        refuse(s, c->parser.refusal);
        return true;
    default:
        answer_request(s);
        return true;
    }
}

/* --- the steps ---------------------------------------------------------------------------------------------------- */

static weir_task *on_readable(weir_worker *w, weir_task *self);
static weir_task *on_rest(weir_worker *w, weir_task *self);

/* Waits for the next request, or for the rest of one. */
static weir_task *await_request(struct step *s)
{
    struct conn *c = s->c;
    uint64_t now = weir_now();
    bool began = s->in_at < s->in_length || !http_body_is_over(&c->body);
    if (!began && httpd_is_stopping(c->server))
        return end(c);
    if (!began)
        return when_readable(s, on_readable, now + c->server->options.idle_ns);
    if (c->since == 0)
        c->since = now;
    return when_readable(s, on_readable, c->since + c->server->options.head_ns);
}

/* Says that no more comes, and reads on for a while. */
static weir_task *linger(struct step *s)
{
    struct conn *c = s->c;
    if (shutdown(c->fd, SHUT_WR) != 0)
        return end(c);
    s->in_at = s->in_length = 0;
    c->since = weir_now() + LINGER_NS;
    return when_readable(s, on_rest, c->since);
}

static void file_sent(struct conn *c)
{
    close(c->file);
    uncount(c);
    c->next = c->parser.keep_alive && !httpd_is_stopping(c->server) ? NEXT_REQUEST : NEXT_LINGER;
    finish_request(c);
}

/* Does what can be done now, until the connection has to wait for something. */
static weir_task *go(struct step *s)
{
    struct conn *c = s->c;
    for (;;) {
        bool room = OUT_ROOM - s->out_length >= OUT_ROOM / 2;
        if (c->next == NEXT_REQUEST && room && next_request(s))
            continue;
        enum progress sent = flush(s, c->next == NEXT_FILE ? MSG_MORE : 0);
        if (sent == DONE && c->next == NEXT_FILE)
            sent = send_file(s);
        if (sent == BLOCKED)
            return when_writable(s);
        if (sent == FAILED)
            return end(c);
        if (c->next == NEXT_FILE)
            file_sent(c);
        else if (c->next == NEXT_WAIT)
            return when_over(s);
        else if (c->next == NEXT_LINGER)
            return linger(s);
        else if (room)
            return await_request(s);
    }
}

static struct conn *conn_of(weir_task *self)
{
    return (struct conn *)(void *)((char *)self - offsetof(struct conn, task));
}

static weir_task *too_slow(weir_worker *w, struct conn *c)
{
    struct step s;
    bool began = c->since != 0;
    httpd_count(c->server, w, COUNT_TIMEOUTS, 1);
    take(&s, w, c);
    if (!began)
        return end(c);
    if (http_body_is_over(&c->body))
        refuse(&s, 408);
    else
        c->next = NEXT_LINGER; /* the request was answered: a client would take a second answer for the next one's */
    return go(&s);
}

/* Reads what is there. 0: nothing, but later; negative: the end. */
static ssize_t receive(struct conn *c, char *to, size_t room)
{
    ssize_t n = recv(c->fd, to, room, 0);
    c->exhausted = n < 0 ? errno == EAGAIN : (size_t)n < room;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return n == 0 ? -1 : n;
}

static weir_task *on_readable(weir_worker *w, weir_task *self)
{
    struct conn *c = conn_of(self);
    struct step s;
    if (c->io.result == -ETIME)
        return too_slow(w, c);
    if (c->io.result < 0)
        return end(c);
    take(&s, w, c);
    ssize_t n = receive(c, s.in + s.in_length, IN_ROOM - s.in_length);
    if (n < 0)
        return end(c);
    s.in_length += (size_t)n;
    return go(&s);
}

static weir_task *on_writable(weir_worker *w, weir_task *self)
{
    struct conn *c = conn_of(self);
    struct step s;
    if (c->io.result == -ETIME)
        httpd_count(c->server, w, COUNT_TIMEOUTS, 1);
    if (c->io.result < 0)
        return end(c);
    take(&s, w, c);
    return go(&s);
}

static weir_task *on_time(weir_worker *w, weir_task *self)
{
    struct conn *c = conn_of(self);
    struct http_answer a;
    struct step s;
    take(&s, w, c);
    uncount(c);
    http_answer_worked(&a, &c->parser);
    write_answer(&s, &a);
    finish_request(c);
    return go(&s);
}

/* Reads what the client still sends, until it has seen the end. */
static weir_task *on_rest(weir_worker *w, weir_task *self)
{
    struct conn *c = conn_of(self);
    struct step s;
    if (c->io.result < 0)
        return end(c);
    take(&s, w, c);
    ssize_t n = receive(c, s.in, IN_ROOM);
    if (n < 0)
        return end(c);
    c->lingered += (uint32_t)n;
    return c->lingered > LINGER_BYTES ? end(c) : when_readable(&s, on_rest, c->since);
}

bool conn_start(weir_worker *w, struct httpd *h, int fd)
{
    struct conn *c = calloc(1, sizeof *c);
    struct step s;
    if (c == NULL)
        return false;
    c->server = h;
    c->fd = fd;
    http_parser_init(&c->parser);
    take(&s, w, c);
    /* relaxed: httpd_stop() looks when no more connections are started, which the release of `listening` told it */
    atomic_store_explicit(&h->open[fd], true, memory_order_relaxed);
    httpd_count(h, w, COUNT_ACCEPTED, 1);
    (void)await_request(&s); /* which ends it if it can't wait */
    return true;
}
