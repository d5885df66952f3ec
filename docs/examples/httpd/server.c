/* SPDX-License-Identifier: MIT
 *
 * server.c - the listener, the limit of connections, start and stop.
 *
 * Threads: httpd_start() and httpd_stop() on a thread that is no worker; connections are accepted by one task, which
 * waits for the listener again and again.
 * Invariants: a descriptor that was accepted is counted in `connections` until it is closed.
 */
#define _GNU_SOURCE
#include "httpd.h"

#include "conn.h"
#include "reply.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096
#define ACCEPT_BATCH 64u                    /* connections taken in one go: then others get their turn */
#define PAUSE_NS UINT64_C(50000000)         /* without descriptors or memory: until the listener is looked at again */
#define LOOK_NS UINT64_C(5000000)           /* between two looks of a stop at what is left */
#define ABORT_NS UINT64_C(1000000000)       /* how long connections that were cut off may take to end */
#define RESERVED 64u                        /* descriptors for all but connections and the files that they send */

/* The task that accepts, and what it waits for. */
struct listener {
    weir_task task;
    union {
        weir_io io;
        weir_timer timer;
    };
    struct httpd *server;
};

static weir_task *on_listener(weir_worker *w, weir_task *self);

/* --- accepting ---------------------------------------------------------------------------------------------------- */

/* Says 503 without reading, as far as that goes without waiting. */
static void turn_away(struct httpd *h, weir_worker *w, int fd)
{
    char text[HTTP_REPLY_MAX], rest[HTTP_REPLY_MAX];
    struct http_reply r = {.status = 503, .type = "text/plain"};
    size_t n = http_reply_write(&r, text);
    httpd_count(h, w, COUNT_REFUSED_CONNECTIONS, 1);
    if (send(fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT) > 0 && shutdown(fd, SHUT_WR) == 0)
        (void)!recv(fd, rest, sizeof rest, MSG_DONTWAIT); /* unread data would make the close a reset */
    close(fd);
}

/* One more connection. False: there are as many as may be. */
static bool enter(struct httpd *h)
{
    /* relaxed, both: only the listener adds, and the count is all that it looks at */
    if (atomic_fetch_add_explicit(&h->connections, 1, memory_order_relaxed) < h->options.connections)
        return true;
    atomic_fetch_sub_explicit(&h->connections, 1, memory_order_relaxed);
    return false;
}

static void accept_one(struct httpd *h, weir_worker *w, int fd)
{
    const int on = 1;
    if ((uint32_t)fd >= h->descriptors || !enter(h)) {
        turn_away(h, w, fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* answers are written as a whole */
    if (!conn_start(w, h, fd)) {
        atomic_fetch_sub_explicit(&h->connections, 1, memory_order_relaxed);
        turn_away(h, w, fd);
    }
}

/* 0, -EAGAIN: nobody is waiting, or what else accept4(2) says. */
static int accept_some(struct httpd *h, weir_worker *w)
{
    for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
        int fd = accept4(h->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            accept_one(h, w, fd);
        else if (errno != EINTR && errno != ECONNABORTED)
            return -errno;
    }
    return 0;
}

static weir_task *listen_no_more(struct listener *l)
{
    struct httpd *h = l->server;
    free(l);
    /* release, for the acquire in httpd_stop(): which connections there are */
    atomic_store_explicit(&h->listening, false, memory_order_release);
    return NULL;
}

static weir_task *on_listener(weir_worker *w, weir_task *self)
{
    struct listener *l = (struct listener *)(void *)self;
    struct httpd *h = l->server;
    if (httpd_is_stopping(h))
        return listen_no_more(l);
    int error = accept_some(h, w);
    weir_task_init(&l->task, on_listener);
    if (error == 0 || error == -EAGAIN) {
        weir_io_init(&l->io, &l->task);
        error = weir_when_readable(w, h->listener, &l->io);
    } else {
        error = -EMFILE;
    }
    if (error != 0) { /* no descriptors or memory: connections that end give some back */
        weir_timer_init(&l->timer);
        error = weir_after(w, PAUSE_NS, &l->timer, &l->task);
    }
    return error == 0 ? NULL : listen_no_more(l);
}

/* --- start -------------------------------------------------------------------------------------------------------- */

static int open_listener(const struct httpd_options *o)
{
    const int on = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(o->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, (const struct sockaddr *)&a, sizeof a) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

/* As many descriptors as the system lets this process have; each connection may send a file. */
static void raise_descriptors(struct httpd *h)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        limit.rlim_cur = limit.rlim_max = FD_SETSIZE;
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit most = {limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &most) == 0)
            limit.rlim_cur = limit.rlim_max;
    }
    h->descriptors = limit.rlim_cur > 1u << 20 ? 1u << 20 : (uint32_t)limit.rlim_cur;
    uint32_t most = h->descriptors > 2 * RESERVED ? h->descriptors - RESERVED : RESERVED;
    if (h->options.connections > most)
        h->options.connections = most;
}

static weir_task *start_listening(struct httpd *h)
{
    struct listener *l = calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
    l->server = h;
    weir_task_init(&l->task, on_listener);
    return &l->task;
}

static int start_runtime(struct httpd *h)
{
    weir_config config;
    int error = weir_config_init(&config);
    if (error != 0)
        return error;
    if (h->options.workers != 0)
        config.workers = h->options.workers;
    config.name = "httpd";
    config.no_uring = true; /* it waits for nothing but readiness, which epoll tells at less cost (docs/http.md) */
    return weir_start(&h->rt, &config);
}

/* What httpd_start() has got so far. */
static int give_up(struct httpd *h, int error)
{
    if (h->rt != NULL)
        weir_stop(h->rt, WEIR_DRAIN, WEIR_FOREVER);
    if (h->listener >= 0)
        close(h->listener);
    if (h->root >= 0)
        close(h->root);
    free(h->open);
    return error;
}

int httpd_start(struct httpd *h, const struct httpd_options *options, const char **what)
{
    memset(h, 0, sizeof *h);
    h->options = *options;
    h->listener = -1;
    raise_descriptors(h);
    *what = options->root;
    h->root = open(options->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (h->root < 0)
        return give_up(h, -errno);
    *what = "listening";
    h->listener = open_listener(options);
    if (h->listener < 0)
        return give_up(h, h->listener);
    *what = "starting the runtime";
    h->open = calloc(h->descriptors, sizeof *h->open);
    int error = h->open == NULL ? -ENOMEM : weir_gate_init(&h->requests, options->requests);
    if (error == 0)
        error = start_runtime(h);
    if (error != 0)
        return give_up(h, error);
    weir_task *first = start_listening(h);
    atomic_store_explicit(&h->listening, first != NULL, memory_order_relaxed); /* the submit publishes it */
    error = first == NULL ? -ENOMEM : weir_submit(h->rt, first, WEIR_BLOCK, 0);
    if (error == 0)
        return 0;
    free(first);
    return give_up(h, error);
}

uint16_t httpd_port(const struct httpd *h)
{
    struct sockaddr_in a = {.sin_port = 0};
    socklen_t length = sizeof a;
    return getsockname(h->listener, (struct sockaddr *)&a, &length) == 0 ? ntohs(a.sin_port) : 0;
}

/* --- stop --------------------------------------------------------------------------------------------------------- */

static void nap(void)
{
    const struct timespec t = {0, LOOK_NS};
    nanosleep(&t, NULL);
}

/*
 * Tells every connection. A number that is used for something else meanwhile is that of a file, since no connection
 * begins any more; a file has nothing to shut down.
 */
static void shut_down_all(struct httpd *h, int how)
{
    for (uint32_t fd = 0; fd < h->descriptors; fd++)
        if (atomic_load_explicit(&h->open[fd], memory_order_relaxed))
            shutdown((int)fd, how);
}

/* Waits until there is no connection, or until the deadline. Returns how many there are. */
static unsigned await_none(struct httpd *h, uint64_t deadline)
{
    unsigned left;
    while ((left = atomic_load_explicit(&h->connections, memory_order_acquire)) > 0 && weir_now() < deadline)
        nap();
    return left;
}

unsigned httpd_stop(struct httpd *h)
{
    atomic_store_explicit(&h->stopping, true, memory_order_relaxed);
    shutdown(h->listener, SHUT_RD); /* who waits for it finds it broken */
    while (atomic_load_explicit(&h->listening, memory_order_acquire))
        nap();
    close(h->listener);
    /* Idle connections see their end, and so do others when they have read what there is and answered it. */
    shut_down_all(h, SHUT_RD);
    unsigned left = await_none(h, weir_now() + h->options.drain_ns);
    if (left > 0) {
        shut_down_all(h, SHUT_RDWR);
        await_none(h, weir_now() + ABORT_NS);
    }
    /* Requests that still wait for a time are dropped with the runtime. */
    weir_stop(h->rt, left > 0 ? WEIR_DISCARD : WEIR_DRAIN, WEIR_FOREVER);
    close(h->root);
    free(h->open);
    return left;
}
