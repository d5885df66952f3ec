/* SPDX-License-Identifier: MIT
 *
 * httpd_rig.h - what the tests of the example httpd share: a server with a folder of files, and single requests.
 *
 * Threads: see support.h.
 */
#ifndef WEIR_TESTS_HTTPD_RIG_H
#define WEIR_TESTS_HTTPD_RIG_H

#include "support.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "httpd_client.h"

#define BIG 3000000u /* bytes: more than a socket takes at once */
#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define CHUNKED "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" /* chunks follow */

static char folder[64];
static struct server server;
static char *big;

static inline void put(const char *name, const char *bytes, size_t length)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    cr_assert_eq(fwrite(bytes, 1, length, f), length);
    fclose(f);
}

static inline void up(const char *const *words)
{
    const char *program = getenv("HTTPD");
    char path[128];
    cr_assert_not_null(program);
    strcpy(folder, "/tmp/weir-httpd-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/sub", folder);
    cr_assert_eq(mkdir(path, 0755), 0);
    put("index.html", "<p>root", 7);
    put("sub/index.html", "<p>sub", 6);
    put("a b.txt", "text", 4);
    put("empty", "", 0);
    big = malloc(BIG);
    cr_assert_not_null(big);
    for (unsigned i = 0; i < BIG; i++)
        big[i] = (char)(i * 2654435761u >> 24);
    put("big.bin", big, BIG);
    snprintf(path, sizeof path, "%s/out", folder);
    cr_assert_eq(symlink("/etc/passwd", path), 0);
    snprintf(path, sizeof path, "%s/in", folder);
    cr_assert_eq(symlink("index.html", path), 0);
    snprintf(path, sizeof path, "%s/pipe", folder);
    cr_assert_eq(mkfifo(path, 0644), 0);
    cr_assert(server_start(&server, program, folder, words));
}

static inline void teardown(void)
{
    char command[128];
    int status = server_stop(&server);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_expect_eq(system(command), 0);
    free(big);
    cr_assert_eq(status, 0);
}

/* One request on a connection that is there. */
static inline struct response ask(struct client *c, const char *request)
{
    struct response r;
    cr_assert(client_say(c, request));
    int got = client_receive(c, &r, strncmp(request, "HEAD", 4) == 0);
    cr_assert_eq(got, 1, "%s: %d", request, got);
    return r;
}

/* One request on a connection of its own. */
static inline struct response ask_alone(const char *request)
{
    struct client c;
    cr_assert(client_open(&c, server.port));
    struct response r = ask(&c, request);
    client_close(&c);
    return r;
}

#endif
