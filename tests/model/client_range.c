/* SPDX-License-Identifier: MIT
 *
 * client_range.c - loops: two workers share a range, and stop it.
 *
 * Threads: thread 0 begins the loop as worker 0, thread 1 takes a part of it as worker 1. Invariants: each index at
 * most once; all of them, or the first error; all that the leaves did is the caller's.
 */
#include <errno.h>

#include "par/range.h"
#include "rig.h"

#define INDICES 4u

static struct runtime *rt;
static struct range_job job;
static int touched[INDICES]; /* payload */
static int result;

/* With the tag that index fails; INDICES: none. */
static int touch(const struct range_job *j, weir_worker *w, size_t begin, size_t end, void *value)
{
    (void)j, (void)w, (void)value;
    for (size_t i = begin; i < end; i++) {
        MODEL_WRITE(touched[i], MODEL_READ(touched[i]) + 1);
        if ((int)i == model_tag())
            return -EIO - (int)i;
    }
    return 0;
}

static void setup(void)
{
    rt = rig_create(2, 4, 2, 0);
    job = (struct range_job){.leaf = touch, .grain = 1};
    model_name(&job.error, "error");
}

static void caller(void)
{
    struct worker *w = rig_worker(rt, 0);
    result = range_run(w, &job, 0, INDICES, NULL);
    for (unsigned i = 0; i < INDICES; i++)
        MODEL_ASSERT(MODEL_READ(touched[i]) <= 1);
    rig_worker_end();
}

static void thief(void)
{
    struct worker *w = rig_worker(rt, 1);
    weir_task *t = steal_sweep(w, true);
    if (t != NULL)
        worker_run_stolen(w, t);
    rig_worker_end();
}

static void check(void)
{
    bool fails = model_tag() < (int)INDICES;
    MODEL_ASSERT(result == (fails ? -EIO - model_tag() : 0));
    for (unsigned i = 0; i < INDICES && !fails; i++)
        MODEL_ASSERT(touched[i] == 1);
    rig_drop(rt);
}

#define CLIENT(client, n) {.name = client, .tag = n, .setup = setup, .check = check, .thread = {caller, thief}, \
                           .leaks_ok = true, .pct = true, .executions = 5000, .spurious_cas = 1}
static const struct model_client clients[] = {
    CLIENT("loop", INDICES),
    CLIENT("loop_stopped_at_its_beginning", 0),
    CLIENT("loop_stopped_at_its_end", INDICES - 1),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
