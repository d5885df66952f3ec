/* SPDX-License-Identifier: MIT - epoll: a program that belongs to its epoll loop, and computes on workers.
 *
 * Lines that come in on a pipe become requests; what they result in comes back to the loop through a port, that is, an
 * eventfd in the same epoll set. A scope tells by another eventfd that all of it is done.
 */
#include <weir/weir.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define NUMBERS 1000u

struct request {
    weir_task task;
    weir_posted posted;
    unsigned number;
    unsigned long square;
};

static struct {
    weir_runtime *rt;
    weir_port port;
    weir_scope scope;
    weir_notify all_done;
    struct request requests[NUMBERS];
    unsigned submitted, answered;
    unsigned long sum;
} app;

static weir_task *serve(weir_worker *w, weir_task *self)
{
    struct request *r = (struct request *)self;
    (void)w;
    r->square = (unsigned long)r->number * r->number;
    weir_port_post(&app.port, &r->posted); /* the loop's from here on */
    return NULL;
}

/* Input is there: each byte is a request here. */
static int on_input(int in)
{
    char bytes[64];
    ssize_t n = read(in, bytes, sizeof bytes);
    for (ssize_t i = 0; i < n; i++) {
        struct request *r = &app.requests[app.submitted];
        weir_task_init(&r->task, serve);
        r->number = app.submitted++;
        weir_scope_add(&app.scope, &r->task);
        /* The loop must not sleep in a submit: a full queue makes it run the request itself. */
        int error = weir_submit(app.rt, &r->task, WEIR_RUN_IN_CALLER, 0);
        if (error < 0)
            return error;
    }
    return n < 0 ? -errno : 0;
}

/* Results are there: all that were posted since the last look. */
static void on_results(void)
{
    for (weir_posted *p = weir_port_take(&app.port), *next; p != NULL; p = next) {
        struct request *r = (struct request *)(void *)((char *)p - offsetof(struct request, posted));
        next = p->next; /* the record may be freed from here on */
        app.sum += r->square;
        app.answered++;
    }
}

static int watch(int loop, int fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data = {.fd = fd}};
    return epoll_ctl(loop, EPOLL_CTL_ADD, fd, &e);
}

static int run_loop(int loop, int in, int results, int done)
{
    for (bool closed = false, finished = false; !finished;) {
        struct epoll_event e;
        if (epoll_wait(loop, &e, 1, -1) < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (e.data.fd == in) {
            int error = on_input(in);
            if (error < 0)
                return error;
        } else if (e.data.fd == results) {
            on_results();
        } else {
            finished = true; /* the scope is done, so everything was posted */
        }
        if (app.submitted == NUMBERS && !closed) {
            closed = true; /* no more input: tell us when the last request is done */
            int error = weir_scope_notify_fd(&app.scope, &app.all_done, done);
            if (error < 0)
                return error;
        }
    }
    on_results();
    return weir_scope_wait(NULL, &app.scope); /* done: it returns at once with the scope's result */
}

int main(void)
{
    static const char input[NUMBERS] = {0};
    int in[2];
    int loop = epoll_create1(0);
    int results = eventfd(0, EFD_NONBLOCK);
    int done = eventfd(0, EFD_NONBLOCK);
    if (loop < 0 || results < 0 || done < 0 || pipe(in) < 0 || weir_port_init(&app.port, results) < 0)
        return 1;
    if (watch(loop, in[0]) < 0 || watch(loop, results) < 0 || watch(loop, done) < 0)
        return 1;
    if (write(in[1], input, sizeof input) != (ssize_t)sizeof input || weir_start(&app.rt, NULL) < 0)
        return 1;
    weir_scope_init(NULL, &app.scope);
    int error = run_loop(loop, in[0], results, done);
    weir_port_end(&app.port);
    if (error < 0 || weir_stop(app.rt, WEIR_DRAIN, WEIR_FOREVER) < 0) {
        fprintf(stderr, "epoll: %s\n", weir_strerror(error));
        return 1;
    }
    printf("%u requests, %u answers, sum of squares %lu\n", app.submitted, app.answered, app.sum);
    return app.answered != NUMBERS || app.sum != 332833500;
}
