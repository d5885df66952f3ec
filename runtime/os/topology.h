/* SPDX-License-Identifier: MIT
 *
 * topology.h - which CPUs this process may use, and which of them share a core, a cache or a NUMA node.
 *
 * Threads: any; a struct topology is constant between its init and its destroy.
 */
#ifndef WEIR_TOPOLOGY_H
#define WEIR_TOPOLOGY_H

#include <stdbool.h>

/* How far apart two CPUs are: what they share. */
enum topology_distance {
    TOPOLOGY_SAME_CORE = 0,  /* a core or a second-level cache */
    TOPOLOGY_SAME_CACHE = 1, /* the last-level cache; also when nothing is known */
    TOPOLOGY_SAME_NODE = 2,  /* the NUMA node */
    TOPOLOGY_REMOTE = 3
};

/* Groups that a CPU belongs to; CPUs are in the same one if the numbers are equal. */
struct topology_place {
    unsigned core;   /* same core or second-level cache */
    unsigned cache;  /* same last-level cache, as the source numbers it */
    unsigned domain; /* the same, numbered from 0 without gaps */
    unsigned node;   /* same NUMA node */
};

struct topology {
    unsigned cpus;                /* CPUs that the affinity allowed at init, at least 1 */
    unsigned domains;             /* cache domains among them, at least 1 */
    int *cpu;                     /* their numbers, ascending */
    struct topology_place *place; /* place[i] is where cpu[i] is */
};

/* CPUs of which this process may use the time: the affinity's, at most the cgroup quota rounded up, at least 1. */
unsigned topology_usable_cpus(void);
/* Writes the first `max` CPU numbers that the affinity allows, ascending. Returns how many it allows, at least 1. */
unsigned topology_cpus(int *cpus, unsigned max);

/* Reads the machine: hwloc if built in, else sysfs, else everything shares one cache. 0 or -ENOMEM. */
int topology_init(struct topology *t);
void topology_destroy(struct topology *t);
/* CPUs that t does not know share a cache with all others. */
enum topology_distance topology_distance(const struct topology *t, int cpu_a, int cpu_b);
/* Number of the CPU's cache domain, below t->domains; 0 for a CPU that t does not know. */
unsigned topology_domain(const struct topology *t, int cpu);

/* For topology.c and the tests: fill core, cache and node of every place. false: this source knows too little. */
bool topology_load_sysfs(struct topology *t, const char *root);
#ifdef WEIR_HAVE_HWLOC
bool topology_load_hwloc(struct topology *t);
#else
static inline bool topology_load_hwloc(struct topology *t)
{
    (void)t;
    return false;
}
#endif

#endif
