/* SPDX-License-Identifier: MIT
 *
 * bench/bench_nqueens.c - counts the ways to put n queens on a board, a task per branch: small tasks with some work.
 *
 * Threads: see harness.h.
 * Invariants: a branch reads its board in the parent's frame, where it stays until all branches are joined.
 */
#include "harness.h"
#include "kernel_nqueens.h"

static long below_serial(const struct nqueens_board *b, int n, int row)
{
    if (row == n)
        return 1;
    long sum = 0;
    for (int c = 0; c < n; c++) {
        struct nqueens_board next;
        if (nqueens_place(b, row, c, &next))
            sum += below_serial(&next, n, row + 1);
    }
    return sum;
}

static long below_weir(weir_worker *w, const struct nqueens_board *b, int n, int row);
WEIR_FORKABLE(below_weir, long, const struct nqueens_board *, int, int);

static long below_weir(weir_worker *w, const struct nqueens_board *b, int n, int row)
{
    if (row == n)
        return 1;
    struct nqueens_board next[NQUEENS_MAX];
    struct below_weir_task branch[NQUEENS_MAX];
    int branches = 0;
    for (int c = 0; c < n; c++) {
        if (nqueens_place(b, row, c, &next[branches])) {
            below_weir_fork(w, &branch[branches], &next[branches], n, row + 1);
            branches++;
        }
    }
    long sum = 0;
    while (branches-- > 0)
        sum += below_weir_join(w, &branch[branches]);
    return sum;
}

static const struct nqueens_board empty_board;

static double run_serial(void *state, const struct bench_input *in)
{
    (void)state;
    return (double)below_serial(&empty_board, (int)in->n, 0);
}

static void run_weir(weir_worker *w, void *arg)
{
    struct bench_call *call = arg;
    call->answer = (double)below_weir(w, &empty_board, (int)call->in->n, 0);
}

const struct bench_case bench_nqueens = {
    .name = "nqueens",
    .what = "nqueens(12), a task per branch",
    .op = "task",
    .full = {12, 14200, 856188},
    .small = {9, 352, 8393},
    .serial = run_serial,
    .weir = run_weir,
};
