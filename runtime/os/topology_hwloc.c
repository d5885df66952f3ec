/* SPDX-License-Identifier: MIT
 *
 * topology_hwloc.c - shared cores, caches and NUMA nodes through hwloc. Only in builds with WEIR_HAVE_HWLOC.
 *
 * Threads: as topology.h.
 * Invariants: hwloc's own topology lives only during the call. Its x86 component stays off, because it moves the
 * calling thread from CPU to CPU.
 * Source: Broquedis et al., "hwloc: a Generic Framework for Managing Hardware Affinities in HPC Applications",
 * PDP 2010.
 */
#include "os/topology.h"

#include <hwloc.h>

/* A cache that belongs to one core alone makes no domain, then the package does. */
static hwloc_obj_t last_level_cache(hwloc_obj_t pu, hwloc_obj_t core)
{
    hwloc_obj_t last = NULL;

    for (hwloc_obj_t o = pu; o; o = o->parent)
        if (hwloc_obj_type_is_dcache(o->type) && o->attr->cache.depth > 1 &&
            !hwloc_bitmap_isequal(o->cpuset, (core ? core : pu)->cpuset))
            last = o;
    return last;
}

static bool place_fill(hwloc_topology_t h, int cpu, struct topology_place *p)
{
    hwloc_obj_t pu = hwloc_get_pu_obj_by_os_index(h, (unsigned)cpu);
    hwloc_obj_t core, cache, near;
    int node;

    if (!pu)
        return false;
    core = hwloc_get_ancestor_obj_by_type(h, HWLOC_OBJ_CORE, pu);
    near = hwloc_get_ancestor_obj_by_type(h, HWLOC_OBJ_L2CACHE, pu);
    if (!near)
        near = core ? core : pu;
    cache = last_level_cache(pu, core);
    if (!cache)
        cache = hwloc_get_ancestor_obj_by_type(h, HWLOC_OBJ_PACKAGE, pu);
    if (!cache)
        return false;
    node = hwloc_bitmap_first(pu->nodeset);
    p->core = (unsigned)near->gp_index; /* unique among objects of all kinds */
    p->cache = (unsigned)cache->gp_index;
    p->node = node < 0 ? 0 : (unsigned)node;
    return true;
}

static bool places_fill(hwloc_topology_t h, struct topology *t)
{
    for (unsigned i = 0; i < t->cpus; i++)
        if (!place_fill(h, t->cpu[i], &t->place[i]))
            return false;
    return true;
}

bool topology_load_hwloc(struct topology *t)
{
    hwloc_topology_t h;
    bool ok;

    if (hwloc_topology_init(&h) != 0)
        return false;
    hwloc_topology_set_components(h, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
    hwloc_topology_set_flags(h, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    ok = hwloc_topology_load(h) == 0 && places_fill(h, t);
    hwloc_topology_destroy(h);
    return ok;
}
