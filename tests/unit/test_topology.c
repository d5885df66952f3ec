/* SPDX-License-Identifier: MIT
 *
 * test_topology.c - usable CPUs and shared caches, on this machine and on machines made of files.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/cgroup.h"
#include "os/os_fault.h"
#include "os/topology.h"

/* --- a tree of files --- */

static char tree[64];

static void tree_make(void)
{
    strcpy(tree, "/tmp/weir-topology-XXXXXX");
    cr_assert_not_null(mkdtemp(tree));
}

static void tree_remove(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", tree);
    cr_assert_eq(system(command), 0);
}

static void make_folders(char *path)
{
    for (char *p = path + strlen(tree) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        cr_assert(mkdir(path, 0755) == 0 || errno == EEXIST);
        *p = '/';
    }
}

/* Writes text to tree/path, where path is a format. */
__attribute__((format(printf, 2, 3))) static void put(const char *text, const char *format, ...)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/", tree);
    va_list args;

    va_start(args, format);
    vsnprintf(path + n, sizeof path - (size_t)n, format, args);
    va_end(args);
    make_folders(path);
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

TestSuite(cgroup, .init = tree_make, .fini = tree_remove);
TestSuite(sysfs, .init = tree_make, .fini = tree_remove);

/* --- quotas --- */

#define MOUNT_V2 "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNT_V1 "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:14 - cgroup cgroup rw,cpu,cpuacct\n"
#define MOUNT_OTHER "34 31 0:31 / /sys/fs/cgroup/cpuset rw shared:15 - cgroup cgroup rw,cpuset\n" \
                    "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"

static void process_is_in(const char *groups, const char *mounts)
{
    put(groups, "proc/self/cgroup");
    put(mounts, "proc/self/mountinfo");
}

Test(cgroup, without_proc_there_is_no_limit)
{
    cr_assert_eq(cgroup_cpu_quota(tree), CGROUP_UNLIMITED);
}

Test(cgroup, v2_max_is_no_limit)
{
    process_is_in("0::/a\n", MOUNT_OTHER MOUNT_V2);
    put("max 100000\n", "sys/fs/cgroup/a/cpu.max");
    cr_assert_eq(cgroup_cpu_quota(tree), CGROUP_UNLIMITED);
}

Test(cgroup, v2_quota_is_rounded_up)
{
    process_is_in("0::/a\n", MOUNT_V2);
    put("250000 100000\n", "sys/fs/cgroup/a/cpu.max");
    cr_assert_eq(cgroup_cpu_quota(tree), 3);
    put("200000 100000\n", "sys/fs/cgroup/a/cpu.max");
    cr_assert_eq(cgroup_cpu_quota(tree), 2);
    put("1000 100000\n", "sys/fs/cgroup/a/cpu.max");
    cr_assert_eq(cgroup_cpu_quota(tree), 1);
}

Test(cgroup, v2_smallest_ancestor_counts)
{
    process_is_in("0::/a/b/c\n", MOUNT_V2);
    put("900000 100000\n", "sys/fs/cgroup/a/b/c/cpu.max");
    put("max 100000\n", "sys/fs/cgroup/a/b/cpu.max");
    put("400000 100000\n", "sys/fs/cgroup/a/cpu.max");
    put("100000 100000\n", "sys/fs/cgroup/x/cpu.max");
    cr_assert_eq(cgroup_cpu_quota(tree), 4);
    put("500000 100000\n", "sys/fs/cgroup/a/cpu.max");
    put("200000 100000\n", "sys/fs/cgroup/cpu.max");
    cr_assert_eq(cgroup_cpu_quota(tree), 2, "the mount point itself counts");
}

Test(cgroup, nothing_above_the_mount_point_is_read)
{
    process_is_in("0::/a\n", MOUNT_V2);
    put("300000 100000\n", "sys/fs/cgroup/a/cpu.max");
    put("100000 100000\n", "sys/fs/cpu.max");
    cr_assert_eq(cgroup_cpu_quota(tree), 3);
}

Test(cgroup, v2_container_sees_its_group_as_the_mount_point)
{
    process_is_in("0::/docker/abc\n", "35 24 0:30 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
    put("150000 100000\n", "sys/fs/cgroup/cpu.max");
    cr_assert_eq(cgroup_cpu_quota(tree), 2);
}

Test(cgroup, v2_in_a_namespace_the_path_is_the_root)
{
    process_is_in("0::/\n", MOUNT_V2);
    put("600000 100000\n", "sys/fs/cgroup/cpu.max");
    cr_assert_eq(cgroup_cpu_quota(tree), 6);
}

Test(cgroup, mount_that_shows_the_group_wins_over_one_that_does_not)
{
    process_is_in("0::/a\n", "40 24 0:30 /other /mnt/other rw - cgroup2 cgroup2 rw\n" MOUNT_V2);
    put("100000 100000\n", "mnt/other/cpu.max");
    put("500000 100000\n", "sys/fs/cgroup/a/cpu.max");
    cr_assert_eq(cgroup_cpu_quota(tree), 5);
}

Test(cgroup, mount_of_another_part_is_the_last_resort)
{
    process_is_in("0::/a\n", "40 24 0:30 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    put("700000 100000\n", "sys/fs/cgroup/cpu.max");
    cr_assert_eq(cgroup_cpu_quota(tree), 7);
}

Test(cgroup, a_group_whose_name_continues_the_mounts_root_is_another)
{
    process_is_in("0::/docker/abcdef\n", "40 24 0:30 /docker/abc /mnt rw - cgroup2 cgroup2 rw\n" MOUNT_V2);
    put("100000 100000\n", "mnt/def/cpu.max");
    put("800000 100000\n", "sys/fs/cgroup/docker/abcdef/cpu.max");
    cr_assert_eq(cgroup_cpu_quota(tree), 8);
}

Test(cgroup, v1_quota_of_all_ancestors)
{
    process_is_in("3:cpuset:/\n2:cpu,cpuacct:/a/b\n1:name=systemd:/x\n0::/\n", MOUNT_OTHER MOUNT_V1);
    put("-1\n", "sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us");
    put("100000\n", "sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us");
    cr_assert_eq(cgroup_cpu_quota(tree), CGROUP_UNLIMITED);
    put("120000\n", "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us");
    put("50000\n", "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us");
    cr_assert_eq(cgroup_cpu_quota(tree), 3);
}

Test(cgroup, v1_and_v2_together_take_the_smaller)
{
    process_is_in("2:cpu,cpuacct:/a\n0::/b\n",
                  MOUNT_V1 "41 31 0:41 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    put("500000\n", "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us");
    put("100000\n", "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us");
    cr_assert_eq(cgroup_cpu_quota(tree), 5);
    put("400000 100000\n", "sys/fs/cgroup/unified/b/cpu.max");
    cr_assert_eq(cgroup_cpu_quota(tree), 4);
}

Test(cgroup, group_with_a_colon_and_mount_point_with_a_space)
{
    process_is_in("0::/a:b/c\n", "35 24 0:30 / /my\\040groups rw - cgroup2 cgroup2 rw\n");
    put("300000 100000\n", "my groups/a:b/c/cpu.max");
    cr_assert_eq(cgroup_cpu_quota(tree), 3);
}

Test(cgroup, nonsense_sets_no_limit)
{
    static const char *const values[] = {"", "\n", "max", "0 100000", "100000 0", "x y", "100000", "- -"};

    process_is_in("garbage\n::\n0::/a\n", "short line\n - \n1 2 3 - cgroup2\n1 2 3 4 5 6 -\n" MOUNT_V2);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        put(values[i], "sys/fs/cgroup/a/cpu.max");
        cr_assert_eq(cgroup_cpu_quota(tree), CGROUP_UNLIMITED, "value \"%s\"", values[i]);
    }
    put("99999999999999999 1\n", "sys/fs/cgroup/a/cpu.max");
    cr_assert_eq(cgroup_cpu_quota(tree), CGROUP_UNLIMITED);
}

/* --- this machine --- */

Test(topology, usable_cpus_are_at_least_one_and_at_most_the_affinity)
{
    unsigned all = topology_cpus(NULL, 0);

    cr_assert_geq(topology_usable_cpus(), 1);
    cr_assert_leq(topology_usable_cpus(), all);
}

Test(topology, cpus_are_those_of_the_affinity_ascending)
{
    cpu_set_t mine;
    int cpus[CPU_SETSIZE];
    unsigned n = topology_cpus(cpus, CPU_SETSIZE);

    cr_assert_eq(sched_getaffinity(0, sizeof mine, &mine), 0);
    cr_assert_eq(n, (unsigned)CPU_COUNT(&mine));
    for (unsigned i = 0; i < n; i++) {
        cr_assert(CPU_ISSET((size_t)cpus[i], &mine));
        cr_assert(i == 0 || cpus[i - 1] < cpus[i]);
    }
}

Test(topology, bound_to_one_cpu_one_is_usable)
{
    cpu_set_t one;
    int cpus[2];
    unsigned n = topology_cpus(cpus, 2);
    int last = n > 1 ? cpus[1] : cpus[0];
    struct topology t;

    CPU_ZERO(&one);
    CPU_SET((size_t)last, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
    cr_assert_eq(topology_usable_cpus(), 1);
    cr_assert_eq(topology_cpus(cpus, 2), 1);
    cr_assert_eq(cpus[0], last);
    cr_assert_eq(topology_init(&t), 0);
    cr_assert_eq(t.cpus, 1);
    cr_assert_eq(topology_domain(&t, last), 0);
    topology_destroy(&t);
}

static void check_sane(const struct topology *t)
{
    cr_assert_geq(t->cpus, 1);
    cr_assert(t->domains >= 1 && t->domains <= t->cpus);
    for (unsigned i = 0; i < t->cpus; i++) {
        cr_assert_lt(topology_domain(t, t->cpu[i]), t->domains);
        for (unsigned j = 0; j < t->cpus; j++) {
            enum topology_distance d = topology_distance(t, t->cpu[i], t->cpu[j]);

            cr_assert_eq(d, topology_distance(t, t->cpu[j], t->cpu[i]));
            cr_assert(i != j || d == TOPOLOGY_SAME_CORE);
            cr_assert(d > TOPOLOGY_SAME_CACHE ||
                      topology_domain(t, t->cpu[i]) == topology_domain(t, t->cpu[j]));
        }
    }
}

Test(topology, this_machine_is_sane)
{
    struct topology t;

    cr_assert_eq(topology_init(&t), 0);
    check_sane(&t);
    topology_destroy(&t);
    cr_assert_null(t.cpu);
}

Test(topology, hwloc_and_sysfs_agree)
{
    struct topology t;

    cr_assert_eq(topology_init(&t), 0);
    struct topology_place *first = calloc(t.cpus, sizeof *first);
    cr_assert_not_null(first);
    memcpy(first, t.place, t.cpus * sizeof *first);
    if (topology_load_hwloc(&t) && topology_load_sysfs(&t, "")) /* place: sysfs's, first: hwloc's */
        for (unsigned i = 0; i < t.cpus; i++)
            for (unsigned j = 0; j < t.cpus; j++) {
                cr_assert_eq(first[i].core == first[j].core, t.place[i].core == t.place[j].core);
                cr_assert_eq(first[i].cache == first[j].cache, t.place[i].cache == t.place[j].cache);
                cr_assert_eq(first[i].node == first[j].node, t.place[i].node == t.place[j].node);
            }
    free(first);
    topology_destroy(&t);
}

#ifdef WEIR_FAULT_INJECTION
Test(topology, failed_allocation_is_reported)
{
    for (uint64_t n = 1; n <= 2; n++) {
        struct topology t;

        os_fault_arm(OS_FAULT_ALLOC, n);
        cr_assert_eq(topology_init(&t), -ENOMEM);
    }
}
#endif

/* --- a machine of files: 16 CPUs, threads i and i+8 of a core, 2 cores a last-level cache, 2 of these a node --- */

#define CPUS 16

static int cpu_numbers[CPUS];
static struct topology_place places[CPUS];
static struct topology machine = {.cpus = CPUS, .cpu = cpu_numbers, .place = places};

static void put_cache(int cpu, int index, const char *level, const char *type, const char *list)
{
    put(level, "sys/devices/system/cpu/cpu%d/cache/index%d/level", cpu, index);
    put(type, "sys/devices/system/cpu/cpu%d/cache/index%d/type", cpu, index);
    put(list, "sys/devices/system/cpu/cpu%d/cache/index%d/shared_cpu_list", cpu, index);
}

static void put_machine(bool third_level)
{
    for (int cpu = 0; cpu < CPUS; cpu++) {
        int core = cpu % 8, cache = core / 2 * 2, node = core / 4;
        char siblings[32], shared[32], package[32];

        snprintf(siblings, sizeof siblings, "%d,%d\n", core, core + 8);
        snprintf(shared, sizeof shared, "%d-%d,%d-%d\n", cache, cache + 1, cache + 8, cache + 9);
        snprintf(package, sizeof package, "%d-%d,%d-%d\n", node * 4, node * 4 + 3, node * 4 + 8, node * 4 + 11);
        put(siblings, "sys/devices/system/cpu/cpu%d/topology/core_cpus_list", cpu);
        put(package, "sys/devices/system/cpu/cpu%d/topology/package_cpus_list", cpu);
        put("", "sys/devices/system/cpu/cpu%d/node%d", cpu, node);
        put_cache(cpu, 0, "1\n", "Data\n", siblings);
        put_cache(cpu, 1, "1\n", "Instruction\n", siblings);
        put_cache(cpu, 2, "2\n", "Unified\n", siblings);
        if (third_level)
            put_cache(cpu, 3, "3\n", "Unified\n", shared);
        cpu_numbers[cpu] = cpu;
    }
}

Test(sysfs, groups_are_those_of_the_files)
{
    put_machine(true);
    cr_assert(topology_load_sysfs(&machine, tree));
    for (unsigned a = 0; a < CPUS; a++)
        for (unsigned b = 0; b < CPUS; b++) {
            cr_assert_eq(places[a].core == places[b].core, a % 8 == b % 8);
            cr_assert_eq(places[a].cache == places[b].cache, a % 8 / 2 == b % 8 / 2);
            cr_assert_eq(places[a].node == places[b].node, a % 8 / 4 == b % 8 / 4);
        }
}

Test(sysfs, without_a_shared_cache_the_package_is_the_domain)
{
    put_machine(false);
    cr_assert(topology_load_sysfs(&machine, tree));
    for (unsigned a = 0; a < CPUS; a++)
        for (unsigned b = 0; b < CPUS; b++)
            cr_assert_eq(places[a].cache == places[b].cache, a % 8 / 4 == b % 8 / 4);
}

Test(sysfs, empty_machine_is_refused)
{
    cr_assert_not(topology_load_sysfs(&machine, tree));
}

Test(sysfs, distance_follows_the_groups)
{
    put_machine(true);
    cr_assert(topology_load_sysfs(&machine, tree));
    for (unsigned i = 0; i < CPUS; i++)
        places[i].domain = places[i].cache;
    cr_assert_eq(topology_distance(&machine, 1, 9), TOPOLOGY_SAME_CORE);
    cr_assert_eq(topology_distance(&machine, 0, 1), TOPOLOGY_SAME_CACHE);
    cr_assert_eq(topology_distance(&machine, 0, 2), TOPOLOGY_SAME_NODE);
    cr_assert_eq(topology_distance(&machine, 0, 4), TOPOLOGY_REMOTE);
    cr_assert_eq(topology_distance(&machine, 0, 1000), TOPOLOGY_SAME_CACHE, "a CPU that nobody knows");
}
