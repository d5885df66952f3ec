/* SPDX-License-Identifier: MIT
 *
 * admission.c - public entry points for the guards of a runtime: argument checks and hand-over.
 *
 * Threads: any.
 */
#include "api/admission.h"

#include <errno.h>

#include "api/config.h"
#include "api/handle.h"

#define MS UINT64_C(1000000) /* ns */
#define GUARDS_ALL (WEIR_MARKS | WEIR_GUARD_DEPTH | WEIR_GUARD_TIME | WEIR_GUARD_BREAKER)
#define FEEDS_ALL (WEIR_FEED_REPORTS | WEIR_FEED_QUEUE_TIME | WEIR_FEED_REJECTIONS)

/* The defaults: times after RFC 8289 (target 5 ms, interval 100 ms); the breaker's are usual ones. */
int weir_admission_init(weir_admission *a)
{
    if (a == NULL)
        return -EINVAL;
    *a = (weir_admission){
        .size = sizeof(*a),
        .target_ns = 5 * MS,
        .interval_ns = 100 * MS,
        .breaker = {.failure_percent = 50, .min_calls = 20, .probes = 3, .window_ns = 1000 * MS, .open_ns = 1000 * MS},
        .feeds = WEIR_FEED_REPORTS,
    };
    return 0;
}

static bool is_level(uint32_t high, uint32_t low, uint32_t capacity)
{
    weir_watermark m;
    return weir_watermark_init(&m, high, low) == 0 && high <= capacity;
}

static int check_breaker(const weir_admission *a)
{
    weir_breaker b;
    if (weir_breaker_init(&b, &a->breaker) != 0)
        return config_refuse("admission.breaker");
    if (a->feeds == 0 || (a->feeds & ~FEEDS_ALL) != 0)
        return config_refuse("admission.feeds");
    if ((a->feeds & WEIR_FEED_QUEUE_TIME) && (a->slow_ns == 0 || a->slow_ns > WEIR_GUARD_TIME_MAX))
        return config_refuse("admission.slow_ns");
    return 0;
}

int admission_check(const weir_admission *a, uint32_t capacity)
{
    weir_codel c;
    if (a->size != sizeof(*a))
        return config_refuse("admission.size");
    if ((a->guards & ~GUARDS_ALL) != 0)
        return config_refuse("admission.guards");
    if (a->reserved != 0)
        return config_refuse("admission.reserved");
    if ((a->guards & WEIR_MARKS) && !is_level(a->mark_high, a->mark_low, capacity))
        return config_refuse("admission.mark_high");
    if ((a->guards & WEIR_MARKS) && a->on_mark == NULL)
        return config_refuse("admission.on_mark");
    if ((a->guards & WEIR_GUARD_DEPTH) && !is_level(a->depth_high, a->depth_low, capacity))
        return config_refuse("admission.depth_high");
    if ((a->guards & WEIR_GUARD_TIME) && weir_codel_init(&c, a->target_ns, a->interval_ns) != 0)
        return config_refuse("admission.target_ns");
    return a->guards & WEIR_GUARD_BREAKER ? check_breaker(a) : 0;
}

int weir_admission_set(weir_runtime *h, const weir_admission *a)
{
    struct runtime *rt;
    if (a == NULL)
        return config_refuse("admission");
    int r = handle_enter(h, &rt);
    if (r != 0)
        return r;
    r = admission_check(a, rt->config.queue_capacity);
    if (r == 0)
        r = admission_apply(rt, a);
    handle_leave(h);
    return r;
}

int weir_report(weir_worker *w, const weir_task *self, int error)
{
    if (w == NULL || self == NULL || error > 0)
        return -EINVAL;
    admission_report(worker_of(w)->rt, self, error == 0);
    return 0;
}
