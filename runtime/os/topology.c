/* SPDX-License-Identifier: MIT
 *
 * topology.c - usable CPUs from affinity and cgroup quota; shared caches from hwloc or sysfs.
 *
 * Threads: as topology.h.
 * Invariants: a struct topology has at least one CPU and one domain, whatever could not be read.
 * Source: Linux, Documentation/ABI/stable/sysfs-devices-system-cpu.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/topology.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "os/cgroup.h"
#include "os/os.h"

#define KERNEL_CPUS_MAX 8192u /* bits in the largest CPU mask that Linux is configured for */
#define CACHE_INDEXES_MAX 16u /* cache directories of one CPU that are looked at */
#define LIST_SIZE 256u         /* bytes of a CPU list that are looked at; a core's is much shorter */
#define DOMAIN_NONE UINT_MAX

/* --- usable CPUs --- */

union cpu_mask {
    cpu_set_t set;
    unsigned long words[KERNEL_CPUS_MAX / (sizeof(unsigned long) * CHAR_BIT)];
};

/* CPU numbers 0, 1, ...: the best guess where the affinity is not to be had. */
static unsigned cpus_online(int *cpus, unsigned max)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n = online > 0 && online <= (long)KERNEL_CPUS_MAX ? (unsigned)online : 1;

    for (unsigned i = 0; i < n && i < max; i++)
        cpus[i] = (int)i;
    return n;
}

unsigned topology_cpus(int *cpus, unsigned max)
{
    union cpu_mask mask;
    unsigned n = 0;

    memset(&mask, 0, sizeof mask);
    if (sched_getaffinity(0, sizeof mask, &mask.set) != 0)
        return cpus_online(cpus, max);
    for (unsigned i = 0; i < KERNEL_CPUS_MAX; i++) {
        if (!CPU_ISSET_S(i, sizeof mask, &mask.set))
            continue;
        if (n < max)
            cpus[n] = (int)i;
        n++;
    }
    return n > 0 ? n : cpus_online(cpus, max);
}

unsigned topology_usable_cpus(void)
{
    unsigned cpus = topology_cpus(NULL, 0);
    unsigned quota = cgroup_cpu_quota("");

    return quota < cpus ? quota : cpus; /* both are at least 1 */
}

/* --- sysfs --- */

/* The first line of root/sys/devices/system/cpu/cpuN/name. */
static bool cpu_read(const char *root, int cpu, const char *name, char *line, int size)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%d/%s", root, cpu, name);
    FILE *f = n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
    bool ok = f && fgets(line, size, f);

    if (f)
        fclose(f);
    return ok;
}

/* The same for a list of CPUs. A group of CPUs is named by its lowest, which comes first. */
static bool list_read(const char *root, int cpu, const char *name, char list[LIST_SIZE], unsigned *first)
{
    return cpu_read(root, cpu, name, list, (int)LIST_SIZE) && sscanf(list, "%u", first) == 1;
}

/* One cache of a CPU. false: no such index. *level is 0 for an instruction cache. */
static bool cache_read(const char *root, int cpu, unsigned index, unsigned *level, char list[LIST_SIZE],
                       unsigned *group)
{
    char name[48], word[32];

    snprintf(name, sizeof name, "cache/index%u/level", index);
    if (!cpu_read(root, cpu, name, word, sizeof word) || sscanf(word, "%u", level) != 1)
        return false;
    snprintf(name, sizeof name, "cache/index%u/type", index);
    if (cpu_read(root, cpu, name, word, sizeof word) && strncmp(word, "Instruction", 11) == 0)
        *level = 0;
    snprintf(name, sizeof name, "cache/index%u/shared_cpu_list", index);
    if (!list_read(root, cpu, name, list, group))
        *level = 0;
    return true;
}

/* Fills core and cache. A cache that belongs to one core alone makes no domain, then the package does. */
static bool caches_read(const char *root, int cpu, struct topology_place *p)
{
    unsigned highest = 0, level, group;
    char core[LIST_SIZE] = "", list[LIST_SIZE];

    if (!list_read(root, cpu, "topology/core_cpus_list", core, &p->core) &&
        !list_read(root, cpu, "topology/thread_siblings_list", core, &p->core))
        p->core = (unsigned)cpu;
    for (unsigned i = 0; i < CACHE_INDEXES_MAX && cache_read(root, cpu, i, &level, list, &group); i++) {
        if (level == 2)
            p->core = group;
        if (level > 1 && level > highest && strcmp(list, core) != 0) {
            p->cache = group;
            highest = level;
        }
    }
    return highest > 0 || list_read(root, cpu, "topology/package_cpus_list", list, &p->cache) ||
           list_read(root, cpu, "topology/core_siblings_list", list, &p->cache);
}

/* The CPU's directory has an entry nodeN; a kernel without NUMA has none. */
static unsigned node_read(const char *root, int cpu)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%d", root, cpu);
    DIR *dir = n > 0 && (size_t)n < sizeof path ? opendir(path) : NULL;
    struct dirent *entry;
    unsigned node = 0;

    if (!dir)
        return 0;
    while ((entry = readdir(dir)))
        if (sscanf(entry->d_name, "node%u", &node) == 1)
            break;
    closedir(dir);
    return node;
}

bool topology_load_sysfs(struct topology *t, const char *root)
{
    for (unsigned i = 0; i < t->cpus; i++) {
        if (!caches_read(root, t->cpu[i], &t->place[i]))
            return false;
        t->place[i].node = node_read(root, t->cpu[i]);
    }
    return true;
}

/* --- the whole --- */

static void load_flat(struct topology *t)
{
    for (unsigned i = 0; i < t->cpus; i++)
        t->place[i] = (struct topology_place){.core = i};
}

/* Numbers the domains in the order in which the CPUs meet them. */
static void number_domains(struct topology *t)
{
    t->domains = 0;
    for (unsigned i = 0; i < t->cpus; i++)
        t->place[i].domain = DOMAIN_NONE;
    for (unsigned i = 0; i < t->cpus; i++) {
        if (t->place[i].domain != DOMAIN_NONE)
            continue;
        for (unsigned j = i; j < t->cpus; j++)
            if (t->place[j].cache == t->place[i].cache)
                t->place[j].domain = t->domains;
        t->domains++;
    }
}

static size_t cpu_bytes(const struct topology *t)
{
    return t->cpus * sizeof *t->cpu;
}

static size_t place_bytes(const struct topology *t)
{
    return t->cpus * sizeof *t->place;
}

int topology_init(struct topology *t)
{
    unsigned now;

    t->cpus = topology_cpus(NULL, 0);
    t->cpu = os_alloc(cpu_bytes(t), CACHE_LINE);
    t->place = os_alloc(place_bytes(t), CACHE_LINE);
    if (!t->cpu || !t->place) {
        topology_destroy(t);
        return -ENOMEM;
    }
    now = topology_cpus(t->cpu, t->cpus);
    for (unsigned i = now; i < t->cpus; i++)
        t->cpu[i] = t->cpu[now - 1]; /* the affinity shrank meanwhile: one CPU is there more than once */
    if (!topology_load_hwloc(t) && !topology_load_sysfs(t, ""))
        load_flat(t);
    number_domains(t);
    return 0;
}

void topology_destroy(struct topology *t)
{
    os_free(t->cpu, cpu_bytes(t));
    os_free(t->place, place_bytes(t));
    *t = (struct topology){0};
}

static const struct topology_place *place_of(const struct topology *t, int cpu)
{
    unsigned low = 0, high = t->cpus;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (t->cpu[middle] == cpu)
            return &t->place[middle];
        if (t->cpu[middle] < cpu)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

enum topology_distance topology_distance(const struct topology *t, int cpu_a, int cpu_b)
{
    const struct topology_place *a = place_of(t, cpu_a);
    const struct topology_place *b = place_of(t, cpu_b);

    if (cpu_a == cpu_b)
        return TOPOLOGY_SAME_CORE;
    if (!a || !b)
        return TOPOLOGY_SAME_CACHE;
    if (a->core == b->core)
        return TOPOLOGY_SAME_CORE;
    if (a->domain == b->domain)
        return TOPOLOGY_SAME_CACHE;
    return a->node == b->node ? TOPOLOGY_SAME_NODE : TOPOLOGY_REMOTE;
}

unsigned topology_domain(const struct topology *t, int cpu)
{
    const struct topology_place *p = place_of(t, cpu);

    return p ? p->domain : 0;
}
