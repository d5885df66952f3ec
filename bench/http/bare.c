/* SPDX-License-Identifier: MIT
 *
 * bench/http/bare.c - what any server has to do: bare epoll loops that answer whatever they receive with the same
 * bytes.
 *
 * usage: httpd-bare. Prints the port, on the loopback interface, as httpd does, and ends at SIGTERM.
 *
 * Threads: a loop per processor, each with an epoll set and connections of its own; they share the listener. The main
 * thread awaits the signal.
 * Invariants: none of what a server has to check is checked: a request is taken to come as a whole and alone, which is
 * what wrk sends.
 * Source: epoll(7).
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 64        /* of one call: a choice; 4 to 4096 make no difference */
#define ACCEPT_BATCH 64u /* connections taken in one go: then others get their turn */
#define BACKLOG 4096
#define ROOM 4096        /* bytes read at once */

static const char answer[] = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                             "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 7\r\n\r\nworked\n";

static int listener; /* constant while there are threads */

static void watch(int set, int fd, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.fd = fd};
    if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) != 0)
        close(fd);
}

static void accept_some(int set)
{
    const int on = 1;
    for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(set, fd, EPOLLIN | EPOLLRDHUP | (uint32_t)EPOLLET);
    }
}

static void serve(int fd)
{
    char bytes[ROOM];
    if (recv(fd, bytes, sizeof bytes, 0) <= 0 || send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL) <= 0)
        close(fd);
}

static void *loop(void *arg)
{
    struct epoll_event events[EVENTS];
    int set = epoll_create1(EPOLL_CLOEXEC);
    watch(set, listener, EPOLLIN | (uint32_t)EPOLLEXCLUSIVE);
    for (;;) {
        int n = epoll_wait(set, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_some(set);
            else
                serve(events[i].data.fd);
        }
    }
    return arg;
}

int main(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof a;
    struct rlimit limit;
    sigset_t ends;
    int signal_number;
    pthread_t thread;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(listener, (const struct sockaddr *)&a, sizeof a) != 0 || listen(listener, BACKLOG) != 0 ||
        getsockname(listener, (struct sockaddr *)&a, &length) != 0)
        return 1;
    for (long i = sysconf(_SC_NPROCESSORS_ONLN); i > 0; i--)
        if (pthread_create(&thread, NULL, loop, NULL) != 0)
            return 1;
    printf("listening on 127.0.0.1:%u\n", ntohs(a.sin_port));
    fflush(stdout);
    sigwait(&ends, &signal_number);
    return 0;
}
