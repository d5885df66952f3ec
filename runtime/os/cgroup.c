/* SPDX-License-Identifier: MIT
 *
 * cgroup.c - finds the process's control groups and reads the CPU quotas on the way up.
 *
 * /proc/self/cgroup says in which group of each hierarchy the process is, /proc/self/mountinfo which part of a
 * hierarchy is mounted where; the two together give a directory. Version 2 keeps the quota in cpu.max, version 1 in
 * cpu.cfs_quota_us and cpu.cfs_period_us.
 *
 * Threads: any; no state.
 * Invariants: what can't be read, or makes no sense, sets no limit. No path is followed above a mount point.
 * Source: cgroups(7); proc(5), section /proc/pid/mountinfo.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/cgroup.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

#define VALUE_SIZE 64u /* bytes: two decimal numbers and some */

enum cgroup_version { CGROUP_V1, CGROUP_V2, CGROUP_OTHER };

struct group {
    bool found;
    char path[PATH_MAX]; /* from the hierarchy's root, begins with '/' */
};

struct mount {
    enum cgroup_version version;
    char *root;  /* the part of the hierarchy that is mounted */
    char *point; /* where */
};

/* --- files and words --- */

static MUST_USE FILE *open_at(const char *root, const char *path)
{
    char whole[PATH_MAX];
    int n = snprintf(whole, sizeof whole, "%s%s", root, path);

    return n > 0 && (size_t)n < sizeof whole ? fopen(whole, "re") : NULL;
}

/* The first line of dir/name. false: there is none. */
static bool read_value(const char *dir, const char *name, char value[VALUE_SIZE])
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
    bool ok = f && fgets(value, (int)VALUE_SIZE, f);

    if (f)
        fclose(f);
    return ok;
}

/* Whether the comma-separated list has that word. */
static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);

    while (*list) {
        size_t here = strcspn(list, ",");

        if (here == n && strncmp(list, word, n) == 0)
            return true;
        list += here + (list[here] == ',');
    }
    return false;
}

/* In place: mountinfo writes space, tab, newline and backslash as three octal digits. */
static void unescape(char *s)
{
    char *to = s;

    while (*s) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
            *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 4;
        } else {
            *to++ = *s++;
        }
    }
    *to = 0;
}

/* --- quotas --- */

static unsigned whole_cpus(uint64_t quota, uint64_t period)
{
    uint64_t cpus;

    if (quota == 0 || period == 0)
        return CGROUP_UNLIMITED;
    cpus = quota / period + (quota % period != 0);
    return cpus < CGROUP_UNLIMITED ? (unsigned)cpus : CGROUP_UNLIMITED;
}

static unsigned quota_v2(const char *dir)
{
    char value[VALUE_SIZE];
    unsigned long long quota, period;

    if (!read_value(dir, "cpu.max", value) || sscanf(value, "%llu %llu", &quota, &period) != 2)
        return CGROUP_UNLIMITED; /* "max 100000" */
    return whole_cpus(quota, period);
}

static unsigned quota_v1(const char *dir)
{
    char value[VALUE_SIZE];
    long long quota, period;

    if (!read_value(dir, "cpu.cfs_quota_us", value) || sscanf(value, "%lld", &quota) != 1 || quota <= 0)
        return CGROUP_UNLIMITED; /* -1 */
    if (!read_value(dir, "cpu.cfs_period_us", value) || sscanf(value, "%lld", &period) != 1 || period <= 0)
        return CGROUP_UNLIMITED;
    return whole_cpus((uint64_t)quota, (uint64_t)period);
}

/* The smallest quota from dir up to its first `top` bytes, the mount point. Shortens dir. */
static unsigned quota_upwards(char *dir, size_t top, enum cgroup_version version)
{
    unsigned least = CGROUP_UNLIMITED;

    for (;;) {
        unsigned here = version == CGROUP_V2 ? quota_v2(dir) : quota_v1(dir);
        size_t n = strlen(dir);

        least = here < least ? here : least;
        if (n <= top)
            return least;
        while (n > top && dir[n - 1] != '/')
            n--;
        while (n > top && dir[n - 1] == '/')
            n--;
        dir[n] = 0;
    }
}

/* --- where the process is --- */

static enum cgroup_version line_version(const char *controllers)
{
    if (*controllers == 0)
        return CGROUP_V2;
    return has_word(controllers, "cpu") ? CGROUP_V1 : CGROUP_OTHER;
}

/* Takes one line of /proc/self/cgroup, "number:controllers:path". */
static void groups_line(struct group *groups, char *line)
{
    char *controllers = strchr(line, ':');
    char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    enum cgroup_version version;

    if (!path)
        return;
    *path++ = 0;
    path[strcspn(path, "\n")] = 0;
    version = line_version(controllers + 1);
    if (version == CGROUP_OTHER || strlen(path) >= PATH_MAX)
        return;
    memcpy(groups[version].path, path, strlen(path) + 1);
    groups[version].found = true;
}

static bool groups_read(struct group *groups, const char *root)
{
    FILE *f = open_at(root, "/proc/self/cgroup");
    char *line = NULL;
    size_t room = 0;

    if (!f)
        return false;
    while (getline(&line, &room, f) > 0)
        groups_line(groups, line);
    free(line);
    fclose(f);
    return true;
}

/* Splits "id parent device root point options fields... - type source options". The words point into line. */
static struct mount mount_line(char *line)
{
    struct mount m = {CGROUP_OTHER, NULL, NULL};
    char *tail = strstr(line, " - ");
    char *rest = NULL, *type, *options;

    if (!tail)
        return m;
    *tail = 0;
    type = strtok_r(tail + 3, " ", &rest);
    if (!strtok_r(NULL, " ", &rest))
        return m;
    options = strtok_r(NULL, " \n", &rest);
    if (!strtok_r(line, " ", &rest) || !strtok_r(NULL, " ", &rest) || !strtok_r(NULL, " ", &rest))
        return m;
    m.root = strtok_r(NULL, " ", &rest);
    m.point = strtok_r(NULL, " ", &rest);
    if (!m.point)
        return m;
    unescape(m.root);
    unescape(m.point);
    if (strcmp(type, "cgroup2") == 0)
        m.version = CGROUP_V2;
    else if (strcmp(type, "cgroup") == 0 && options && has_word(options, "cpu"))
        m.version = CGROUP_V1;
    return m;
}

/* What of `path` lies below the mounted part, or NULL if the mount does not show that group. */
static const char *path_below(const char *path, const char *mounted)
{
    size_t n = strcmp(mounted, "/") == 0 ? 0 : strlen(mounted);

    if (strncmp(path, mounted, n) != 0 || (path[n] != '/' && path[n] != 0) || strstr(path + n, "/.."))
        return NULL;
    return strcmp(path + n, "/") == 0 ? "" : path + n;
}

/* The quota seen through one mount. *exact: the mount shows the process's own group; else it may be an outer one. */
static unsigned mount_quota(const struct mount *m, const struct group *g, const char *root, bool *exact)
{
    const char *below = path_below(g->path, m->root);
    char dir[PATH_MAX];
    int top = snprintf(dir, sizeof dir, "%s%s", root, m->point);

    *exact = below != NULL;
    if (top <= 0 || (size_t)top + (below ? strlen(below) : 0) >= sizeof dir)
        return CGROUP_UNLIMITED;
    if (below)
        memcpy(dir + top, below, strlen(below) + 1);
    return quota_upwards(dir, (size_t)top, m->version);
}

/* --- */

unsigned cgroup_cpu_quota(const char *root)
{
    struct group groups[2] = {{.found = false}, {.found = false}};
    unsigned exact_least = CGROUP_UNLIMITED, outer_least = CGROUP_UNLIMITED;
    bool any_exact = false;
    char *line = NULL;
    size_t room = 0;
    FILE *f;

    if (!groups_read(groups, root) || !(f = open_at(root, "/proc/self/mountinfo")))
        return CGROUP_UNLIMITED;
    while (getline(&line, &room, f) > 0) {
        struct mount m = mount_line(line);
        bool exact;
        unsigned quota;

        if (m.version == CGROUP_OTHER || !groups[m.version].found)
            continue;
        quota = mount_quota(&m, &groups[m.version], root, &exact);
        any_exact |= exact;
        if (exact)
            exact_least = quota < exact_least ? quota : exact_least;
        else
            outer_least = quota < outer_least ? quota : outer_least;
    }
    free(line);
    fclose(f);
    return any_exact ? exact_least : outer_least;
}
