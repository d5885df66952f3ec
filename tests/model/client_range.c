/* SPDX-License-Identifier: MIT
 *
 * client_range.c - a range that is split while another worker takes a half: each index once, the first error.
 *
 * Threads: thread 0 runs the range as worker 0 and ends the runtime; thread 1 looks for work as worker 1.
 * Invariants: the leaves' plain results are there when range_run() returns.
 */
#include <errno.h>

#include "par/range.h"
#include "rig.h"

#define INDICES 3u
#define FAILING 1u /* the index whose leaf fails where the client's tag says so */

static struct runtime *rt;
static int done[INDICES];

static int leaf(const struct range_job *job, weir_worker *w, size_t begin, size_t end, void *value)
{
    (void)job, (void)w, (void)value;
    for (size_t i = begin; i < end; i++) {
        MODEL_WRITE(done[i], MODEL_READ(done[i]) + 1);
        if (model_tag() == 1 && i == FAILING)
            return -EIO;
    }
    return 0;
}

static void setup(void)
{
    rt = rig_create(2, 4, 2, 0);
}

static void runner(void)
{
    static const weir_algo_options options = {.grain = 1};
    struct worker *w = rig_worker(rt, 0);
    struct range_job job = range_job_of(leaf, NULL, &options);
    int r = range_run(w, &job, 0, INDICES, NULL);
    MODEL_ASSERT(r == (model_tag() == 1 ? -EIO : 0));
    for (unsigned i = 0; i < INDICES; i++)
        MODEL_ASSERT(MODEL_READ(done[i]) == 1 || (r != 0 && i != FAILING && done[i] == 0));
    rig_end(rt);
    rig_worker_end();
}

static void helper(void)
{
    struct worker *w = rig_worker(rt, 1);
    weir_task *t;
    while ((t = worker_search(w)) != NULL)
        worker_run_chain(w, t);
    rig_worker_end();
}

static void check(void)
{
    rig_drop(rt);
}

#define CLIENT(client, n) {.name = client, .tag = n, .setup = setup, .check = check, .thread = {runner, helper}, \
                           .leaks_ok = true, .spurious_cas = 1, .preemptions = 2, .deep_preemptions = 3}
#define RANDOM(client, n) {.name = client, .tag = n, .setup = setup, .check = check, .thread = {runner, helper}, \
                           .leaks_ok = true, .spurious_cas = 1, .pct = true, .executions = 5000}
static const struct model_client clients[] = {
    CLIENT("range_split", 0),
    CLIENT("range_fails", 1),
    RANDOM("random_range_split", 0),
    RANDOM("random_range_fails", 1),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
