/* SPDX-License-Identifier: MIT
 *
 * httpd - serves the files of a folder by HTTP/1.1 on the loopback interface, and computes and waits on request.
 *
 * usage: httpd [OPTION VALUE]... FOLDER
 *   --port N          (0: any that is free; it is printed)   --workers N      (0: one per usable processor)
 *   --connections N   at once                               --requests N     that wait or are being sent at once
 *   --idle MS         a connection without a request        --head MS        until a request has arrived
 *   --send MS         a client that takes nothing           --drain MS       for what is under way at the end
 *
 * SIGTERM or SIGINT ends it: what is in flight is finished. Exit status: 0; 1: it could not start, or connections had
 * to be cut off at the end (a message says which); 2: bad option.
 */
#include "httpd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS UINT64_C(1000000)
#define MS_MAX 86400000u /* a day */
#define KIB 1024u

enum option_kind { PORT, WORKERS, CONNECTIONS, REQUESTS, IDLE, HEAD, SEND, DRAIN, OPTIONS };

static const struct {
    const char *name;
    unsigned long least, most;
} known[OPTIONS] = {
    [PORT] = {"--port", 0, 65535},           [WORKERS] = {"--workers", 0, WEIR_WORKERS_MAX},
    [CONNECTIONS] = {"--connections", 1, 1000000}, [REQUESTS] = {"--requests", 1, 1000000},
    [IDLE] = {"--idle", 1, MS_MAX},          [HEAD] = {"--head", 1, MS_MAX},
    [SEND] = {"--send", 1, MS_MAX},          [DRAIN] = {"--drain", 0, MS_MAX},
};

static void set(struct httpd_options *o, enum option_kind kind, unsigned long value)
{
    switch (kind) {
    case PORT: o->port = (uint16_t)value; break;
    case WORKERS: o->workers = (uint32_t)value; break;
    case CONNECTIONS: o->connections = (uint32_t)value; break;
    case REQUESTS: o->requests = (uint32_t)value; break;
    case IDLE: o->idle_ns = value * NS_PER_MS; break;
    case HEAD: o->head_ns = value * NS_PER_MS; break;
    case SEND: o->send_ns = value * NS_PER_MS; break;
    default: o->drain_ns = value * NS_PER_MS; break;
    }
}

static bool read_option(struct httpd_options *o, const char *name, const char *text)
{
    for (int i = 0; i < OPTIONS; i++) {
        char *end;
        if (strcmp(known[i].name, name) != 0)
            continue;
        errno = 0;
        unsigned long value = strtoul(text, &end, 10);
        if (errno != 0 || end == text || *end != '\0' || value < known[i].least || value > known[i].most)
            return false;
        set(o, (enum option_kind)i, value);
        return true;
    }
    return false;
}

static bool read_options(struct httpd_options *o, int argc, char **argv)
{
    *o = (struct httpd_options){
        .port = 8080, .connections = 16384, .requests = 8192, .idle_ns = 60000 * NS_PER_MS,
        .head_ns = 10000 * NS_PER_MS, .send_ns = 10000 * NS_PER_MS, .drain_ns = 10000 * NS_PER_MS,
        .limits = {.line = 4 * KIB, .head = 8 * KIB, .fields = 64, .body = 64 * KIB},
    };
    int i = 1;
    for (; i + 1 < argc; i += 2)
        if (!read_option(o, argv[i], argv[i + 1]))
            return false;
    o->root = argv[argc - 1];
    return i + 1 == argc;
}

int main(int argc, char **argv)
{
    static struct httpd server;
    struct httpd_options options;
    const char *what;
    sigset_t ends;
    int signal_number;
    if (argc < 2 || argv[argc - 1][0] == '-' || !read_options(&options, argc, argv)) {
        fprintf(stderr, "usage: httpd [--port N] [--workers N] [--connections N] [--requests N] [--idle MS] "
                        "[--head MS] [--send MS] [--drain MS] FOLDER\n");
        return 2;
    }
    /* Blocked before there are threads, so that only sigwait() below takes them. */
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN); /* sendfile(2) has no flag for that */
    int error = httpd_start(&server, &options, &what);
    if (error != 0) {
        fprintf(stderr, "httpd: %s: %s\n", what, weir_strerror(error));
        return 1;
    }
    printf("listening on 127.0.0.1:%u\n", httpd_port(&server));
    fflush(stdout);
    sigwait(&ends, &signal_number);
    unsigned left = httpd_stop(&server);
    if (left > 0)
        fprintf(stderr, "httpd: %u connections were cut off\n", left);
    return left > 0;
}
