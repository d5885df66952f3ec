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

/* The branches of a board from one column on: what may be stolen while the branch before them is looked at. */
struct rest {
    weir_task task;
    const struct nqueens_board *board;
    int n, row, column;
    long sum;
};

static inline long below_weir(weir_worker *w, const struct nqueens_board *b, int n, int row, int column);

static weir_task *run_rest(weir_worker *w, weir_task *self)
{
    struct rest *r = (struct rest *)self;
    r->sum = below_weir(w, r->board, r->n, r->row, r->column);
    return NULL;
}

/* Each branch forks what comes after it, and goes on with that itself unless it was stolen: the serial order. */
static inline long below_weir(weir_worker *w, const struct nqueens_board *b, int n, int row, int column)
{
    if (row == n)
        return 1;
    struct rest rest;
    rest.task.run = run_rest;
    rest.board = b;
    rest.n = n;
    rest.row = row;
    long sum = 0;
    for (int c = column; c < n; c++) {
        struct nqueens_board next;
        if (nqueens_place(b, row, c, &next)) {
            rest.column = c + 1;
            weir_fork(w, &rest.task);
            sum += below_weir(w, &next, n, row + 1, 0);
            if (weir_unfork(w, &rest.task) != WEIR_UNFORK_MINE)
                return sum + rest.sum;
        }
    }
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
    call->answer = (double)below_weir(w, &empty_board, (int)call->in->n, 0, 0);
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
