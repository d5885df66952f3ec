/* SPDX-License-Identifier: MIT - waits: requests that wait three times each, as state machines in plain C.
 *
 * A request is a record with a state. Each of its steps starts one operation and returns; the next step finds the
 * result. Here it receives the name of a file over a socket, opens and reads the file, and sends its first bytes back.
 * Whatever goes wrong, wherever, the request ends in one place.
 */
#define _GNU_SOURCE
#include <weir/weir.h>

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NAME_BYTES 64
#define BODY_BYTES 512
#define PATIENCE_MS 2000 /* for each wait */

enum state { RECEIVE, OPEN, READ, SEND, CLOSE, END };

struct request {
    weir_task task; /* first: a step's task is its request */
    weir_io io;
    enum state state;
    int socket, file;
    int error; /* negative errno: what went wrong first, or 0 */
    char name[NAME_BYTES];
    char body[BODY_BYTES];
    size_t length;
    weir_latch *ended;
};

/* Starts the operation of a state. 0, or a negative errno: then no step will follow. */
static int enter(weir_worker *w, struct request *r, enum state state)
{
    r->state = state;
    r->io.deadline = weir_now() + PATIENCE_MS * UINT64_C(1000000);
    switch (state) {
    case RECEIVE:
        return weir_io_recv(w, &r->io, r->socket, r->name, sizeof r->name - 1, 0);
    case OPEN:
        return weir_io_openat(w, &r->io, AT_FDCWD, r->name, O_RDONLY | O_CLOEXEC, 0);
    case READ:
        return weir_io_read(w, &r->io, r->file, r->body, sizeof r->body, 0);
    case SEND:
        return weir_io_send(w, &r->io, r->socket, r->body, r->length, 0);
    case CLOSE:
        return weir_io_close(w, &r->io, r->file);
    case END:
        break;
    }
    weir_latch_arrive(r->ended, 1); /* the request may be gone from here on */
    return 0;
}

/* The operation of the present state has succeeded with `result`: what comes next. */
static enum state next(struct request *r, size_t result)
{
    switch (r->state) {
    case RECEIVE:
        r->name[result] = '\0';
        return OPEN;
    case OPEN:
        r->file = (int)result;
        return READ;
    case READ:
        r->length = result;
        return SEND;
    case SEND:
        return CLOSE;
    default:
        r->file = -1;
        return END;
    }
}

/* The only step: each completion comes here. */
static weir_task *step(weir_worker *w, weir_task *self)
{
    struct request *r = (struct request *)self;
    int e = r->io.result < 0 ? (int)r->io.result : 0;
    if (e == 0)
        e = enter(w, r, next(r, (size_t)r->io.result));
    while (e != 0) { /* the operation failed, or could not be started: -ETIME if it took too long */
        r->error = r->error != 0 ? r->error : e;
        bool closes = r->file >= 0 && r->state != CLOSE;
        e = enter(w, r, closes ? CLOSE : END);
    }
    return NULL;
}

static weir_task *begin(weir_worker *w, weir_task *self)
{
    struct request *r = (struct request *)self;
    weir_task_init(&r->task, step); /* from now on */
    weir_io_init(&r->io, &r->task);
    int e = enter(w, r, RECEIVE);
    if (e != 0) { /* else the request may be on another worker by now */
        r->error = e;
        enter(w, r, END);
    }
    return NULL;
}

/* What has no operation, such as reading a directory, blocks; while it does, another worker takes the processor. */
static void count_entries(weir_worker *w, void *count)
{
    weir_block_begin(w);
    DIR *d = opendir("/");
    while (d != NULL && readdir(d) != NULL)
        ++*(unsigned *)count;
    if (d != NULL)
        closedir(d);
    weir_block_end(w);
}

static int serve(weir_runtime *rt, const char *name, char *body, size_t size, int *error)
{
    int ends[2];
    weir_latch ended;
    struct request r = {.file = -1, .ended = &ended};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return -errno;
    r.socket = ends[1];
    weir_latch_init(&ended, 1);
    weir_task_init(&r.task, begin);
    if (write(ends[0], name, strlen(name)) < 0)
        return -errno;
    int e = weir_submit(rt, &r.task, WEIR_BLOCK, 0);
    if (e == 0) {
        weir_latch_wait(&ended, WEIR_FOREVER);
        *error = r.error;
        ssize_t n = r.error == 0 ? read(ends[0], body, size - 1) : 0;
        body[n > 0 ? n : 0] = '\0';
    }
    close(ends[0]);
    close(ends[1]);
    return e;
}

int main(void)
{
    weir_runtime *rt;
    char body[BODY_BYTES + 1];
    int good = 0, missing = 0;
    unsigned entries = 0;
    if (weir_start(&rt, NULL) != 0)
        return 1;
    int e = serve(rt, "/proc/self/comm", body, sizeof body, &good);
    printf("/proc/self/comm: %s", good == 0 ? body : strerror(-good));
    e = e ? e : serve(rt, "/nowhere", body, sizeof body, &missing);
    printf("/nowhere: %s\n", strerror(-missing));
    e = e ? e : weir_call(rt, count_entries, &entries);
    printf("/ has %u entries\n", entries);
    weir_stop(rt, WEIR_DRAIN, WEIR_FOREVER);
    return e == 0 && good == 0 && missing == -ENOENT && entries > 2 ? 0 : 1;
}
