/* SPDX-License-Identifier: MIT
 *
 * await.c - one thing until a deadline: the first of two, of which one is a timer.
 *
 * Threads: see weir/await.h.
 */
#include <weir/await.h>

#include <errno.h>

#include "base/compiler.h"

enum { THING, DEADLINE };

/* The timer is cancelled, or fires yet. The task to run next, as weir_any_withdraw(). */
static weir_task *give_up_deadline(weir_until *until)
{
    return weir_timer_cancel(&until->timer) == 0 ? weir_any_withdraw(&until->any, DEADLINE) : NULL;
}

static void decide(weir_worker *w, weir_any *any, unsigned first)
{
    weir_until *until = CONTAINER_OF(any, weir_until, any);
    if (first == DEADLINE && until->late != NULL)
        until->late(w, until);
    if (first == THING)
        (void)!give_up_deadline(until); /* never the last: the thing's own branch is open */
}

int weir_until_init(weir_worker *w, weir_until *until, uint64_t deadline, weir_late_fn *late, weir_task *then)
{
    if (w == NULL || until == NULL || then == NULL)
        return -EINVAL;
    until->late = late;
    weir_timer_init(&until->timer);
    int r = weir_any_init(&until->any, until->branches, 2, decide, then);
    return r != 0 ? r : weir_at(w, deadline, &until->timer, &until->branches[DEADLINE].task);
}

weir_task *weir_until_task(weir_until *until)
{
    return until != NULL ? &until->branches[THING].task : NULL;
}

weir_task *weir_until_begun(weir_until *until)
{
    return until != NULL ? weir_any_begun(&until->any) : NULL;
}

weir_task *weir_until_withdraw(weir_until *until)
{
    if (until == NULL)
        return NULL;
    (void)!give_up_deadline(until); /* never the last: the thing's branch is open */
    return weir_any_withdraw(&until->any, THING);
}

bool weir_until_is_late(const weir_until *until)
{
    return until != NULL && weir_any_first(&until->any) == DEADLINE;
}
