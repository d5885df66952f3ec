/* SPDX-License-Identifier: MIT
 *
 * client_guards.c - guards under concurrency: a listener hears each change once and the last one for sure, a breaker
 * opens once, counts its probes, and comes to one verdict.
 *
 * Threads: submitters and workers, as far as a guard can tell them apart.
 */
#include <errno.h>

#include "model.h"
#include "os/os.h"
#include "sync/teller.h"

/* --- a mark and its listener ------------------------------------------------------------------------------------ */

static weir_watermark mark;
static struct teller teller;
static weir_atomic_u32 depth;
static int heard, inside; /* the listener's */
static int ups, downs;
static int payload;

static uint32_t level(const void *of, uint32_t told)
{
    (void)of;
    return weir_watermark_next(&mark, told != 0, atom_load(&depth, memory_order_relaxed)) ? 1 : 0;
}

static void listener(void *arg, int now)
{
    MODEL_ASSERT(arg == &payload);
    MODEL_ASSERT(inside++ == 0);
    MODEL_ASSERT(MODEL_READ(heard) != now);
    MODEL_WRITE(heard, now);
    inside--;
}

static void setup_mark(void)
{
    model_name(&teller.busy, "busy");
    model_name(&teller.told, "told");
    model_name(&mark.above, "above");
    model_name(&depth, "depth");
    model_ignore(&teller.calls, sizeof teller.calls);
    MODEL_ASSERT(weir_watermark_init(&mark, 1, 0) == 0);
    teller_listen(&teller, listener, &payload);
}

static void change_depth(uint32_t by)
{
    atom_add(&depth, by, memory_order_relaxed);
    teller_tell(&teller, level, NULL);
}

static void push(void)
{
    change_depth(1);
}

static void pop(void)
{
    change_depth((uint32_t)-1);
}

static void push_and_pop(void)
{
    push();
    pop();
}

/* The listener knows the level that holds. */
static void check_mark(void)
{
    MODEL_ASSERT(heard == (atom_load(&depth, memory_order_relaxed) >= 1 ? 1 : 0));
    MODEL_ASSERT(atom_load(&teller.busy, memory_order_relaxed) == 0);
}

/* The mark alone: each crossing has one finder, and they come in turns. */
static void update(uint32_t by)
{
    switch (weir_watermark_update(&mark, atom_add(&depth, by, memory_order_relaxed) + by)) {
    case WEIR_CROSSED_UP: ups++; break;
    case WEIR_CROSSED_DOWN: downs++; break;
    case WEIR_CROSSED_NOT: break;
    }
}

static void update_up_and_down(void)
{
    update(1);
    update((uint32_t)-1);
}

static void check_crossings(void)
{
    MODEL_ASSERT(ups - downs == (weir_watermark_is_above(&mark) ? 1 : 0));
}

/* Nobody else is about: a crossing is found by the update that crosses. */
static void update_alone(void)
{
    update(1);
    MODEL_ASSERT(ups == 1);
    update((uint32_t)-1);
    MODEL_ASSERT(downs == 1);
}

static weir_level_fn *const no_listener = NULL;

/* Takes the listener away; afterwards its argument is the remover's to change. */
static void remove_listener(void)
{
    if (!teller_hold(&teller))
        return;
    teller_listen(&teller, no_listener, NULL);
    teller_release(&teller);
    MODEL_WRITE(heard, 7);
}

/* --- the breaker ------------------------------------------------------------------------------------------------ */

#define TICK UINT64_C(65536)
#define LATER (100 * TICK)

static weir_breaker breaker;
static unsigned passed[3], probes[3];

static void setup_breaker(void)
{
    const weir_breaker_config c = {.failure_percent = 100, .min_calls = 2, .probes = 2, .window_ns = LATER,
                                   .open_ns = 2 * TICK};
    model_name(&breaker.word, "word");
    model_name(&breaker.counts, "counts");
    MODEL_ASSERT(weir_breaker_init(&breaker, &c) == 0);
}

static void setup_open(void)
{
    setup_breaker();
    weir_breaker_result(&breaker, TICK, false, false);
    weir_breaker_result(&breaker, TICK, false, false);
    MODEL_ASSERT(weir_breaker_get(&breaker) == WEIR_BREAKER_OPEN);
}

static bool ask(void)
{
    bool probe;
    int me = model_thread();
    if (weir_breaker_allow(&breaker, LATER, &probe) != 0)
        return false;
    passed[me]++;
    probes[me] += probe;
    return probe;
}

static void ask_only(void)
{
    (void)ask();
}

static void ask_twice(void)
{
    (void)ask();
    (void)ask();
}

static void probe_well(void)
{
    if (ask())
        weir_breaker_result(&breaker, LATER, true, true);
}

static void probe_badly(void)
{
    if (ask())
        weir_breaker_result(&breaker, LATER, true, false);
}

static void ask_and_cancel(void)
{
    if (ask()) {
        weir_breaker_cancel(&breaker);
        probes[model_thread()]--;
    }
}

static void fail(void)
{
    weir_breaker_result(&breaker, TICK, false, false);
}

static void check_probes(void)
{
    MODEL_ASSERT(probes[0] + probes[1] + probes[2] <= 2);
    MODEL_ASSERT(weir_breaker_get(&breaker) == WEIR_BREAKER_HALF_OPEN);
}

/* As many probes passed as there are: nobody was refused for another one's sake. */
static void check_all_probes(void)
{
    check_probes();
    MODEL_ASSERT(probes[0] + probes[1] + probes[2] == 2);
}

static void check_opened_once(void)
{
    weir_breaker_counts counts;
    weir_breaker_read(&breaker, &counts);
    MODEL_ASSERT(weir_breaker_get(&breaker) == WEIR_BREAKER_OPEN && counts.opened == 1);
}

static void check_closed(void)
{
    MODEL_ASSERT(weir_breaker_get(&breaker) == WEIR_BREAKER_CLOSED);
}

/* One of two probes failed: open again, whatever the other one said and when. */
static void check_open_again(void)
{
    weir_breaker_counts counts;
    weir_breaker_read(&breaker, &counts);
    MODEL_ASSERT(weir_breaker_get(&breaker) == WEIR_BREAKER_OPEN);
    MODEL_ASSERT(counts.opened == 2 && counts.probed <= 2);
}

static const struct model_client clients[] = {
    {.name = "mark_up_and_down", .setup = setup_mark, .check = check_mark, .thread = {push, push_and_pop}},
    {.name = "mark_two_up_and_down", .setup = setup_mark, .check = check_mark, .thread = {push_and_pop, push_and_pop},
     .preemptions = 3},
    {.name = "crossings_in_turns", .setup = setup_mark, .check = check_crossings,
     .thread = {update_up_and_down, update_up_and_down}},
    {.name = "crossings_of_one", .setup = setup_mark, .check = check_crossings, .thread = {update_alone}},
    {.name = "listener_removed", .setup = setup_mark, .thread = {push, remove_listener}},
    {.name = "probes_are_counted", .setup = setup_open, .check = check_all_probes, .thread = {ask_twice, ask_only}},
    {.name = "cancelled_probe_passes_on", .setup = setup_open, .check = check_probes,
     .thread = {ask_and_cancel, ask_twice}},
    {.name = "two_failures_open_once", .setup = setup_breaker, .check = check_opened_once,
     .thread = {fail, fail, fail}},
    {.name = "two_good_probes_close", .setup = setup_open, .check = check_closed, .thread = {probe_well, probe_well}},
    {.name = "one_bad_probe_opens", .setup = setup_open, .check = check_open_again,
     .thread = {probe_well, probe_badly}},
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
