/* SPDX-License-Identifier: MIT - hello: start a runtime, run something on it, stop it. */
#include <stdio.h>
#include <weir/weir.h>

static void greet(weir_worker *w, void *name)
{
    printf("Hello, %s, from worker %u\n", (const char *)name, weir_worker_index(w));
}

int main(void)
{
    weir_runtime *rt;
    if (weir_start(&rt, NULL) < 0 || weir_call(rt, greet, "world") < 0)
        return 1;
    return weir_stop(rt, WEIR_DRAIN, WEIR_FOREVER) < 0;
}
