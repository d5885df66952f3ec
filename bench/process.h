/* SPDX-License-Identifier: MIT
 *
 * bench/process.h - what the system tells of a process: its memory, and what lies beside its executable.
 *
 * Threads: any.
 */
#ifndef WEIR_BENCH_PROCESS_H
#define WEIR_BENCH_PROCESS_H

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROCESS_MB (1024.0 * 1024.0) /* bytes */

/* A figure of /proc/PID/status ("VmHWM:", which the file has in KiB), in bytes; -1: it is not there. */
static inline double process_status_bytes(pid_t pid, const char *field)
{
    char path[64], line[256];
    double kib = -1.0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return -1.0;
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, field, strlen(field)) == 0)
            kib = strtod(line + strlen(field), NULL);
    fclose(f);
    return kib < 0 ? -1.0 : kib * 1024.0;
}

/* Lets the caller's VmHWM start again from the present size. Where that is refused, it counts from its beginning. */
static inline void process_reset_peak(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t written = write(fd, "5", 1);
    (void)written;
    close(fd);
}

/* The path of a file beside this executable; path: PATH_MAX bytes. mode: of access(). False: it is not there. */
static inline bool process_sibling(const char *name, int mode, char *path)
{
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (n <= 0)
        return false;
    path[n] = '\0';
    char *end = strrchr(path, '/');
    if (end == NULL)
        return false;
    size_t room = (size_t)(path + PATH_MAX - (end + 1));
    return (size_t)snprintf(end + 1, room, "%s", name) < room && access(path, mode) == 0;
}

#endif
