/* SPDX-License-Identifier: MIT
 *
 * fast_path_probe.c - functions with the fork/join paths inlined; fast_path.py looks at their machine code.
 */
#include <weir/weir.h>

void probe_work(void);
weir_task *probe_run(weir_worker *w, weir_task *self);
long probe_fork_unfork(weir_worker *w);
void probe_fork_join(weir_worker *w);
void probe_spawn(weir_worker *w, weir_task *t);
long probe_typed(weir_worker *w, int n);

long probe_fork_unfork(weir_worker *w)
{
    weir_task t;
    t.run = probe_run;
    weir_fork(w, &t);
    probe_work();
    return weir_unfork(w, &t);
}

void probe_fork_join(weir_worker *w)
{
    weir_task t;
    t.run = probe_run;
    weir_fork(w, &t);
    probe_work();
    weir_join(w, &t);
}

void probe_spawn(weir_worker *w, weir_task *t)
{
    weir_spawn(w, t);
}

WEIR_FORKABLE(probe_typed, long, int);

long probe_typed(weir_worker *w, int n)
{
    if (n < 2)
        return n;
    struct probe_typed_task t;
    probe_typed_fork(w, &t, n - 1);
    long b = probe_typed(w, n - 2);
    return b + probe_typed_join(w, &t);
}
