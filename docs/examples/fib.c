/* SPDX-License-Identifier: MIT
 *
 * fib - fork/join with the typed macro: one fork per call, nobody decides where it runs.
 *
 *     fib [N]
 */
#include <weir/weir.h>

#include <stdio.h>
#include <stdlib.h>

static long fib(weir_worker *w, int n);
WEIR_FORKABLE(fib, long, int);

static long fib(weir_worker *w, int n)
{
    if (n < 2)
        return n;
    struct fib_task left; /* lives in this frame: no allocation */
    fib_fork(w, &left, n - 1);
    long right = fib(w, n - 2);
    return fib_join(w, &left) + right; /* a plain call, unless somebody took it */
}

struct job {
    int n;
    long result;
};

static void run(weir_worker *w, void *arg)
{
    struct job *j = arg;
    j->result = fib(w, j->n);
}

int main(int argc, char **argv)
{
    struct job j = {.n = argc > 1 ? atoi(argv[1]) : 30};
    weir_runtime *rt;
    int r = weir_start(&rt, NULL);
    if (r < 0) {
        fprintf(stderr, "fib: weir_start: %s\n", weir_strerror(r));
        return 1;
    }
    if (weir_call(rt, run, &j) < 0 || weir_stop(rt, WEIR_DRAIN, WEIR_FOREVER) < 0)
        return 1;

    long a = 0, b = 1; /* the same, serially */
    for (int i = 0; i < j.n; i++) {
        long next = a + b;
        a = b;
        b = next;
    }
    printf("fib(%d) = %ld\n", j.n, j.result);
    return j.result != a;
}
