/* SPDX-License-Identifier: MIT
 *
 * cgroup.h - how much processor time the control groups of this process grant.
 *
 * Threads: any; reads files, keeps nothing.
 */
#ifndef WEIR_CGROUP_H
#define WEIR_CGROUP_H

#include <limits.h>

#define CGROUP_UNLIMITED UINT_MAX

/*
 * The smallest CPU quota among the process's control groups and all their ancestors, version 1 and 2, in whole CPUs,
 * rounded up; CGROUP_UNLIMITED without one. root: put before every path ("" for this machine; tests have their own).
 */
unsigned cgroup_cpu_quota(const char *root);

#endif
