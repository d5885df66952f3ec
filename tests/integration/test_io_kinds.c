/* SPDX-License-Identifier: MIT
 *
 * test_io_kinds.c - what must hold for each kind of operation that may have to wait: it waits, it completes with what
 * the call gives, a cancel ends it, a deadline ends it; and for a descriptor that several wait for.
 *
 * Threads: as support.h. Operations that never wait for somebody else (files): test_io.c.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "io_rig.h"

TestSuite(io, .timeout = 120);

/* --- the kinds ------------------------------------------------------------------------------------------------ */

#define DEADLINE_MS 30u

/* The descriptor that an operation is for, and what the other side does with. */
struct scene {
    int fd, other;
    struct sockaddr_in address;
};

static struct scene scene;
static char two[2];
static struct iovec vectors[2] = {{two, 1}, {two + 1, 1}};

static void make_pipe(int reading)
{
    int p[2];
    cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
    scene.fd = p[reading ? 0 : 1];
    scene.other = p[reading ? 1 : 0];
}

/* Descriptors are blocking or not, as they come: here they are not, while this fills them. */
static void fill(int fd)
{
    static const char block[4096];
    int flags = fcntl(fd, F_GETFL);
    cr_assert_eq(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
    while (write(fd, block, sizeof block) > 0)
        continue;
    while (write(fd, block, 1) > 0)
        continue;
    cr_assert_eq(fcntl(fd, F_SETFL, flags), 0);
}

static void drain(void)
{
    static char block[1 << 16];
    cr_assert_eq(fcntl(scene.other, F_SETFL, O_NONBLOCK), 0);
    while (read(scene.other, block, sizeof block) > 0)
        continue;
}

static void empty_pipe(void)
{
    make_pipe(true);
}

static void full_pipe(void)
{
    make_pipe(false);
    fill(scene.fd);
}

static void make_sockets(void)
{
    int s[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
    scene.fd = s[0];
    scene.other = s[1];
}

static void full_socket(void)
{
    make_sockets();
    fill(scene.fd);
}

static int listener(void)
{
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof scene.address;
    scene.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    cr_assert_eq(bind(s, (struct sockaddr *)&scene.address, length), 0);
    cr_assert_eq(getsockname(s, (struct sockaddr *)&scene.address, &length), 0);
    cr_assert_eq(listen(s, 0), 0);
    return s;
}

static int client(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void dial(int fd)
{
    cr_assert_eq(connect(fd, (struct sockaddr *)&scene.address, sizeof scene.address), 0);
}

static void listening(void)
{
    scene.fd = listener();
    scene.other = client();
}

static void send_two(void)
{
    cr_assert_eq(write(scene.other, "ab", 2), 2);
}

static void dial_it(void)
{
    dial(scene.other);
}

/* A server that has as many connections waiting as it takes: one more gets no answer until one is accepted. */
static void busy_server(void)
{
    scene.other = listener();
    scene.fd = client();
    dial(client());
}

static void accept_one(void)
{
    cr_assert_geq(accept(scene.other, NULL, NULL), 0);
}

static int start_writable(weir_worker *w, struct one *o)
{
    return weir_when_writable(w, o->fd, &o->io);
}

static int start_poll(weir_worker *w, struct one *o)
{
    return weir_io_poll(w, &o->io, o->fd, POLLIN | POLLPRI);
}

static int start_readv(weir_worker *w, struct one *o)
{
    return weir_io_readv(w, &o->io, o->fd, vectors, 2, WEIR_IO_HERE);
}

static int start_write(weir_worker *w, struct one *o)
{
    return weir_io_write(w, &o->io, o->fd, o->buffer, 1, WEIR_IO_HERE);
}

static int start_writev(weir_worker *w, struct one *o)
{
    return weir_io_writev(w, &o->io, o->fd, vectors, 2, WEIR_IO_HERE);
}

static int start_accept(weir_worker *w, struct one *o)
{
    return weir_io_accept(w, &o->io, o->fd, NULL, NULL, SOCK_CLOEXEC);
}

static int start_connect(weir_worker *w, struct one *o)
{
    return weir_io_connect(w, &o->io, o->fd, (struct sockaddr *)&scene.address, sizeof scene.address);
}

static int start_recv(weir_worker *w, struct one *o)
{
    return weir_io_recv(w, &o->io, o->fd, o->buffer, sizeof o->buffer, 0);
}

static int start_send(weir_worker *w, struct one *o)
{
    return weir_io_send(w, &o->io, o->fd, o->buffer, 1, 0);
}

#define ANY_DESCRIPTOR (-1) /* as result: not known before */

static const struct kind {
    const char *name;
    void (*make)(void);      /* the scene, in which the operation has to wait */
    int (*start)(weir_worker *w, struct one *o);
    void (*relieve)(void);   /* what it waits for */
    int64_t result;
} kinds[] = {
    {"when_readable", empty_pipe, start_readable, send_two, POLLIN},
    {"when_writable", full_pipe, start_writable, drain, POLLOUT},
    {"poll", empty_pipe, start_poll, send_two, POLLIN},
    {"read", empty_pipe, start_read, send_two, 2},
    {"readv", empty_pipe, start_readv, send_two, 2},
    {"write", full_pipe, start_write, drain, 1},
    {"writev", full_pipe, start_writev, drain, 2},
    {"accept", listening, start_accept, dial_it, ANY_DESCRIPTOR},
    {"connect", busy_server, start_connect, accept_one, 0},
    {"recv", make_sockets, start_recv, send_two, 2},
    {"send", full_socket, start_send, drain, 1},
};
#define KINDS (sizeof kinds / sizeof *kinds)

/* Starts operation i, which waits. Its record stays: who started it may not have come back yet. */
static struct one *begin_to_wait(unsigned i, uint64_t deadline)
{
    static struct one all[KINDS];
    kinds[i].make();
    all[i].io.deadline = deadline;
    run(&all[i], kinds[i].start, scene.fd);
    if (deadline == 0) {
        let_it_begin();
        cr_assert_eq(get(&all[i].over), 0, "%s does not wait", kinds[i].name);
    }
    return &all[i];
}

static void leave_scene(void)
{
    close(scene.fd);
    close(scene.other);
}

BOTH(each_kind_completes_with_what_its_call_gives)
{
    begin(2);
    for (unsigned i = 0; i < KINDS; i++) {
        struct one *o = begin_to_wait(i, 0);
        kinds[i].relieve();
        cr_assert(reaches(&o->over, 1), "%s", kinds[i].name);
        if (kinds[i].result != ANY_DESCRIPTOR)
            cr_assert_eq(o->result, kinds[i].result, "%s: %d", kinds[i].name, (int)o->result);
        else
            cr_assert(fcntl((int)o->result, F_GETFD) == FD_CLOEXEC, "%s: %d", kinds[i].name, (int)o->result);
        leave_scene();
    }
    cr_assert_eq(two[0], 'a');
    cr_assert_eq(two[1], 'b');
    stop(rt);
}

static void cancel_it(weir_worker *w, void *arg)
{
    struct one *o = arg;
    o->started = weir_io_cancel(w, &o->io);
}

BOTH(each_kind_is_ended_by_a_cancel)
{
    begin(2);
    for (unsigned i = 0; i < KINDS; i++) {
        struct one *o = begin_to_wait(i, 0);
        call(rt, cancel_it, o);
        cr_assert_eq(o->started, 0, "%s", kinds[i].name);
        cr_assert(reaches(&o->over, 1), "%s", kinds[i].name);
        cr_assert_eq(o->result, -ECANCELED, "%s: %d", kinds[i].name, (int)o->result);
        leave_scene();
    }
    stop(rt);
}

BOTH(each_kind_is_ended_by_its_deadline)
{
    begin(2);
    for (unsigned i = 0; i < KINDS; i++) {
        uint64_t deadline = in_ms(DEADLINE_MS);
        struct one *o = begin_to_wait(i, deadline);
        cr_assert(reaches(&o->over, 1), "%s", kinds[i].name);
        cr_assert_geq(weir_now(), deadline, "%s", kinds[i].name);
        cr_assert_eq(o->result, -ETIME, "%s: %d", kinds[i].name, (int)o->result);
        leave_scene();
    }
    stop(rt);
}

/* --- one wait after the other ----------------------------------------------------------------------------------- */

static int start_again(weir_worker *w, struct one *o)
{
    return weir_io_poll(w, &o->io, o->fd, POLLIN | WEIR_POLL_AGAIN);
}

BOTH(wait_that_goes_on_hears_of_what_comes_after_a_read_to_the_end)
{
    enum { ROUNDS = 20 };
    static struct one o[ROUNDS];
    char bytes[4];
    make_sockets();
    cr_assert_eq(fcntl(scene.fd, F_SETFL, O_NONBLOCK), 0);
    begin(2);
    for (unsigned i = 0; i < ROUNDS; i++) {
        run(&o[i], i == 0 ? start_readable : start_again, scene.fd);
        if (i % 2 == 0) /* the wait, or what it waits for, comes first */
            let_it_begin();
        send_two();
        cr_assert(reaches(&o[i].over, 1), "%u", i);
        cr_assert_eq(o[i].result, POLLIN);
        cr_assert_eq(read(scene.fd, bytes, sizeof bytes), 2);
    }
    stop(rt);
    leave_scene();
}

/* --- several that wait for one descriptor ----------------------------------------------------------------------- */

BOTH(reads_and_writes_of_one_descriptor_wait_side_by_side)
{
    struct one reads = {0}, writes = {0};
    full_socket();
    begin(2);
    run(&reads, start_recv, scene.fd);
    run(&writes, start_send, scene.fd);
    let_it_begin();
    cr_assert_eq(get(&reads.over) + get(&writes.over), 0);
    send_two();
    cr_assert(reaches(&reads.over, 1));
    cr_assert_eq(reads.result, 2);
    cr_assert_eq(get(&writes.over), 0);
    drain();
    cr_assert(reaches(&writes.over, 1));
    cr_assert_eq(writes.result, 1);
    stop(rt);
    leave_scene();
}

/* A cancel whose answer stands beside the operation: nothing orders it behind the start. */
struct attempt {
    struct one *o;
    int answer;
};

static void try_to_cancel(weir_worker *w, void *arg)
{
    struct attempt *a = arg;
    a->answer = weir_io_cancel(w, &a->o->io);
}

BOTH(cancel_by_another_runtimes_worker_is_refused_and_changes_nothing)
{
    struct one o = {0};
    struct attempt a = {&o, 0};
    begin(2);
    weir_runtime *other = rt;
    begin(2);
    empty_pipe();
    run(&o, start_read, scene.fd);
    let_it_begin();
    call(other, try_to_cancel, &a);
    cr_assert_eq(a.answer, -EINVAL);
    let_it_begin();
    cr_assert_eq(get(&o.over), 0);
    send_two();
    cr_assert(reaches(&o.over, 1));
    cr_assert_eq(o.result, 2);
    call(other, try_to_cancel, &a);
    cr_assert_eq(a.answer, -ENOENT);
    stop(rt);
    stop(other);
    leave_scene();
}

static int start_close(weir_worker *w, struct one *o)
{
    return weir_io_close(w, &o->io, o->fd);
}

static weir_atomic_u32 entered;

/* So that what the runtime does with the descriptor comes before the close, for the sanitizer too. */
static int start_and_enter(weir_worker *w, struct one *o)
{
    int r = start_readable(w, o);
    cr_assert_eq(weir_io_flush(w), 0);
    add(&entered, 1);
    return r;
}

BOTH(runtimes_may_wait_for_the_same_descriptor)
{
    struct one mine = {0}, theirs = {0}, last = {0}, closes = {0};
    begin(1); /* nobody else can be at its poller when it enters something */
    weir_runtime *other = rt;
    begin(2);
    weir_runtime *own = rt;
    make_pipe(true);
    run(&mine, start_readable, scene.fd);
    rt = other;
    run(&theirs, start_readable, scene.fd);
    let_it_begin();
    cr_assert_eq(get(&mine.over) + get(&theirs.over), 0);
    send_two();
    cr_assert(reaches(&mine.over, 1));
    cr_assert(reaches(&theirs.over, 1));
    cr_assert(mine.result == POLLIN && theirs.result == POLLIN);
    cr_assert_eq(read(scene.fd, two, 2), 2);

    last.io.deadline = in_ms(2 * SHORT_MS + DEADLINE_MS);
    run(&last, start_and_enter, scene.fd);
    cr_assert(reaches(&entered, 1));
    rt = own; /* the close of one runtime is not told to the other: its wait ends at the deadline */
    run(&closes, start_close, scene.fd);
    cr_assert(reaches(&closes.over, 1));
    cr_assert_eq(closes.result, 0);
    cr_assert(reaches(&last.over, 1));
    cr_assert_eq(last.result, -ETIME);
    stop(own);
    stop(other);
    close(scene.other);
}
