/* SPDX-License-Identifier: MIT
 *
 * httpd_client.h - a server of docs/examples/httpd in a process of its own, and a client that reads its answers.
 *
 * Threads: a client belongs to one thread.
 */
#ifndef WEIR_TESTS_HTTPD_CLIENT_H
#define WEIR_TESTS_HTTPD_CLIENT_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVER_ARGUMENTS 24u
#define CLIENT_ROOM 65536u /* bytes that a client reads ahead; a head must fit */
#define CLIENT_PATIENCE_S 20 /* what takes longer hangs */

struct server {
    pid_t pid;
    uint16_t port;
};

/* Starts it with these words between its name and the folder, NULL at their end. False: it did not come up. */
static inline bool server_start(struct server *s, const char *program, const char *folder, const char *const *words)
{
    const char *argv[SERVER_ARGUMENTS] = {program, "--port", "0"};
    unsigned n = 3, port = 0;
    int out[2];
    for (; *words != NULL && n + 2 < SERVER_ARGUMENTS; words++)
        argv[n++] = *words;
    argv[n] = folder;
    if (pipe(out) != 0)
        return false;
    s->pid = fork();
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves no server */
        dup2(out[1], STDOUT_FILENO);
        close(out[0]);
        close(out[1]);
        execv(program, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(out[1]);
    FILE *f = fdopen(out[0], "r");
    bool up = s->pid > 0 && f != NULL && fscanf(f, "listening on 127.0.0.1:%u", &port) == 1;
    if (f != NULL)
        fclose(f);
    s->port = (uint16_t)port;
    return up;
}

/* Its exit status after SIGTERM; -1: a signal killed it. */
static inline int server_stop(struct server *s)
{
    int status = 0;
    kill(s->pid, SIGTERM);
    while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct client {
    int fd;
    size_t have;
    char bytes[CLIENT_ROOM + 1];
};

static inline bool client_open(struct client *c, uint16_t port)
{
    const struct timeval patience = {CLIENT_PATIENCE_S, 0};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    c->have = 0;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return false;
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(c->fd, (const struct sockaddr *)&a, sizeof a) == 0)
        return true;
    close(c->fd);
    return false;
}

static inline void client_close(struct client *c)
{
    close(c->fd);
}

/* False: the server has closed, or takes nothing. */
static inline bool client_send(struct client *c, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t n = send(c->fd, bytes, length, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return false;
        bytes += n > 0 ? n : 0;
        length -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static inline bool client_say(struct client *c, const char *text)
{
    return client_send(c, text, strlen(text));
}

/* More bytes: their number, 0 at the end, or a negative errno (-EAGAIN: nothing came for too long). */
static inline ssize_t client_read(struct client *c)
{
    ssize_t n;
    do
        n = recv(c->fd, c->bytes + c->have, CLIENT_ROOM - c->have, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        c->have += (size_t)n;
    return n < 0 ? -errno : n;
}

struct response {
    int status;
    bool closes;          /* it said that the connection ends */
    uint64_t length;      /* of the content, as the head says; 0 where it says none */
    uint64_t got;         /* bytes of it that came */
    uint64_t sum;         /* a check sum of them: content_sum() */
    char head[4096];
    char start[16];       /* the content's first bytes, with a zero */
};

/* A sum that tells the order of bytes. */
static inline uint64_t content_sum(uint64_t sum, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        sum = sum * 31 + (unsigned char)bytes[i];
    return sum;
}

/* A field of the head; NULL: not there. Up to the line's end. */
static inline const char *response_field(const struct response *r, const char *name)
{
    size_t n = strlen(name);
    for (const char *line = strstr(r->head, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, n) == 0 && line[2 + n] == ':')
            return line + 2 + n + 2;
    return NULL;
}

static inline bool response_has(const struct response *r, const char *name, const char *value)
{
    const char *field = response_field(r, name);
    return field != NULL && strncmp(field, value, strlen(value)) == 0 && field[strlen(value)] == '\r';
}

static inline void client_drop(struct client *c, size_t n)
{
    memmove(c->bytes, c->bytes + n, c->have - n);
    c->have -= n;
}

/*
 * Reads one answer; content is counted and summed up, not kept. head_only: it is the answer to a HEAD.
 * 1: there it is. 0: the connection ended before its first byte. Else a negative errno, -EPROTO for what is no answer
 * or ended in the middle.
 */
static inline int client_receive(struct client *c, struct response *r, bool head_only)
{
    char *end;
    memset(r, 0, sizeof *r);
    while (c->bytes[c->have] = '\0', (end = strstr(c->bytes, "\r\n\r\n")) == NULL) {
        ssize_t n = c->have < CLIENT_ROOM ? client_read(c) : -EPROTO;
        if (n <= 0)
            return n == 0 && c->have > 0 ? -EPROTO : (int)n;
    }
    size_t length = (size_t)(end - c->bytes) + 4;
    if (length >= sizeof r->head || sscanf(c->bytes, "HTTP/1.1 %d ", &r->status) != 1)
        return -EPROTO;
    memcpy(r->head, c->bytes, length);
    client_drop(c, length);
    const char *field = response_field(r, "Content-Length");
    r->length = field != NULL ? strtoull(field, NULL, 10) : 0;
    r->closes = response_has(r, "Connection", "close");
    for (uint64_t left = head_only ? 0 : r->length; left > 0;) {
        if (c->have == 0) {
            ssize_t n = client_read(c);
            if (n <= 0)
                return n == 0 ? -EPROTO : (int)n;
        }
        size_t part = c->have < left ? c->have : (size_t)left;
        if (r->got < sizeof r->start - 1) {
            size_t room = sizeof r->start - 1 - (size_t)r->got;
            memcpy(r->start + r->got, c->bytes, part < room ? part : room);
        }
        r->sum = content_sum(r->sum, c->bytes, part);
        r->got += part;
        left -= part;
        client_drop(c, part);
    }
    return 1;
}

/* Whether the server ends the connection now, without another byte. */
static inline bool client_sees_end(struct client *c)
{
    return c->have == 0 && client_read(c) == 0;
}

#endif
