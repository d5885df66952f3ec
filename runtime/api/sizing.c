/* SPDX-License-Identifier: MIT
 *
 * sizing.c - weir_recommend().
 *
 * Threads: any; pure but for the number of CPUs.
 */
#include <weir/sizing.h>

#include <errno.h>
#include <weir/runtime.h>

#include "base/util.h"
#include "os/topology.h"

#define QUEUE_PER_WORKER 64u /* bench `capacity`: docs/queue-capacity.md */
#define QUEUE_MIN 64u        /* the same */

static bool is_load(const weir_load *l)
{
    /* written so that a NaN is refused */
    return l != NULL && l->size == sizeof(*l) && l->blocking >= 0 && l->blocking < 1 && l->cpus <= WEIR_WORKERS_MAX &&
           l->service_ns <= WEIR_GUARD_TIME_MAX && l->wait_ns <= WEIR_GUARD_TIME_MAX;
}

/* x rounded up, at most max. */
static uint32_t ceil_to(double x, uint32_t max)
{
    if (x >= max)
        return max;
    uint32_t n = (uint32_t)x;
    return n + (n < x ? 1 : 0);
}

int weir_recommend(const weir_load *load, weir_sizing *out)
{
    static const double EPSILON = 1e-9; /* 2 / (1 - 0.9) is 20, not 20.000000000000004 */
    if (!is_load(load) || out == NULL)
        return -EINVAL;
    unsigned cpus = load->cpus != 0 ? load->cpus : topology_usable_cpus();
    uint32_t workers = ceil_to(cpus / (1 - load->blocking) - EPSILON, WEIR_WORKERS_MAX);
    uint32_t queue = workers * QUEUE_PER_WORKER;
    if (load->service_ns != 0 && load->wait_ns != 0)
        queue = ceil_to((double)workers * (double)load->wait_ns / (double)load->service_ns, WEIR_CAPACITY_MAX);
    queue = queue < QUEUE_MIN ? QUEUE_MIN : queue;
    *out = (weir_sizing){.workers = workers, .queue_capacity = (uint32_t)pow2_ceil(queue)};
    return 0;
}
