/* SPDX-License-Identifier: MIT
 *
 * task.c - continuations by hand: owing and releasing.
 *
 * Threads: any. Invariants: see state.h.
 */
#include "task/task.h"

void weir_owe(weir_task *cont, uint32_t n)
{
    state_owe(cont, n);
}

weir_task *weir_release(weir_task *cont)
{
    return state_was_last(state_pay(cont, 1), 1) ? cont : NULL;
}
