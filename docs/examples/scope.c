/* SPDX-License-Identifier: MIT
 *
 * scope - a scope of tasks that may fail: the first error wins, cancels the rest, and is what the wait returns.
 *
 * The tasks check "documents"; one of them is bad. Then a second scope is cancelled by its owner.
 */
#include <weir/weir.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define DOCUMENTS 1000u
#define BAD_DOCUMENT 400u

struct check {
    weir_task task;
    unsigned document;
};

static atomic_uint checked;

static weir_task *check_run(weir_worker *w, weir_task *self)
{
    (void)w;
    struct check *c = (struct check *)self;
    atomic_fetch_add(&checked, 1);
    if (c->document == BAD_DOCUMENT)
        weir_scope_fail(weir_scope_of(self), -EILSEQ); /* those that have not begun are skipped */
    return NULL;
}

struct outcome {
    int failed, cancelled, succeeded;
    unsigned checked_after_cancel;
};

static int check_all(weir_worker *w, struct check *checks, unsigned n, bool cancel)
{
    weir_scope s;
    weir_scope_init(w, &s);
    if (cancel)
        weir_scope_cancel(&s);
    for (unsigned i = 0; i < n; i++) {
        weir_task_init(&checks[i].task, check_run);
        checks[i].document = i;
        weir_scope_spawn(w, &s, &checks[i].task);
    }
    return weir_scope_wait(w, &s); /* nothing of the scope runs after this, so `s` and `checks` may go */
}

static void run(weir_worker *w, void *arg)
{
    struct outcome *o = arg;
    struct check checks[DOCUMENTS];
    o->failed = check_all(w, checks, DOCUMENTS, false);
    unsigned before = atomic_load(&checked);
    o->cancelled = check_all(w, checks, DOCUMENTS, true);
    o->checked_after_cancel = atomic_load(&checked) - before;
    o->succeeded = check_all(w, checks, BAD_DOCUMENT, false); /* all before the bad one */
}

int main(void)
{
    struct outcome o = {0};
    weir_runtime *rt;
    if (weir_start(&rt, NULL) < 0 || weir_call(rt, run, &o) < 0 || weir_stop(rt, WEIR_DRAIN, WEIR_FOREVER) < 0)
        return 1;
    printf("with a bad document: %s\n", strerror(-o.failed)); /* the error is the program's own */
    printf("cancelled: %s\n", weir_strerror(o.cancelled));
    printf("without the bad one: %s\n", o.succeeded == 0 ? "all good" : strerror(-o.succeeded));
    return o.failed != -EILSEQ || o.cancelled != -ECANCELED || o.checked_after_cancel != 0 || o.succeeded != 0;
}
