/* SPDX-License-Identifier: MIT
 *
 * pieces_flow.c - random dataflow tasks, which must see what serial order would show them, and random pipelines.
 *
 * Threads: see pieces.h. Invariants: data and items are plain memory, so that a sanitizer sees a missing order, too.
 */
#include "pieces.h"

#define TASKS_MAX 1500u
#define DATA 24u
#define DEPS_MAX 5u
#define ITEMS_MAX 400u
#define STAGES_MAX 6u

/* --- flows -------------------------------------------------------------------------------------------------------- */

struct deed {
    uint64_t *data;
    uint64_t salt;
    uint64_t result;
    uint32_t n;
    uint32_t which[DEPS_MAX];
    weir_access access[DEPS_MAX];
};

/* The result comes from all that is read; all that is written comes from the result. */
static int perform(weir_worker *w, void *arg)
{
    struct deed *d = arg;
    uint64_t x = d->salt;
    if (w != NULL)
        dawdle(d->salt);
    for (uint32_t i = 0; i < d->n; i++)
        if (d->access[i] != WEIR_OUT)
            x = mix(x, d->data[d->which[i]]);
    d->result = x;
    for (uint32_t i = 0; i < d->n; i++)
        if (d->access[i] != WEIR_IN)
            d->data[d->which[i]] = mix(x, d->which[i]);
    moved();
    return 0;
}

static void random_deed(struct rng *rng, struct deed *d, uint64_t *data)
{
    static const weir_access any[] = {WEIR_IN, WEIR_IN, WEIR_OUT, WEIR_INOUT};
    d->data = data;
    d->salt = rng_next(rng);
    for (uint32_t n = rng_below(rng, DEPS_MAX + 1); d->n < n; d->n++) {
        d->which[d->n] = rng_below(rng, DATA);
        d->access[d->n] = any[rng_below(rng, 4)];
        for (uint32_t i = 0; i < d->n; i++) /* a datum that is named twice is read and written */
            if (d->which[i] == d->which[d->n])
                d->access[i] = d->access[d->n] = WEIR_INOUT;
    }
}

void play_flow(struct rng *rng)
{
    uint64_t data[DATA] = {0}, serial[DATA] = {0};
    uint32_t n = 1 + rng_below(rng, TASKS_MAX), live = rng_below(rng, 3) == 0 ? 0 : 1 + rng_below(rng, 50);
    struct deed *deed = zeroed(n, sizeof *deed);
    weir_flow *f = NULL;
    struct cancel c = {.after_us = rng_below(rng, 2000)};
    bool cancels = rng_below(rng, 5) == 0;
    int r = 0;
    must(weir_flow_create(rt, live, &f), "weir_flow_create");
    c.flow = f;
    if (cancels)
        must(-pthread_create(&c.thread, NULL, cancel_later, &c), "pthread_create");
    for (uint32_t i = 0; i < n && r == 0; i++) {
        weir_dep dep[DEPS_MAX];
        random_deed(rng, &deed[i], data);
        for (uint32_t k = 0; k < deed[i].n; k++)
            dep[k] = (weir_dep){&data[deed[i].which[k]], deed[i].access[k]};
        r = weir_flow_add(f, perform, &deed[i], dep, deed[i].n, WEIR_FOREVER);
        if (r == 0 && rng_below(rng, 500) == 0)
            r = weir_flow_wait(f);
    }
    if (cancels)
        must(-pthread_join(c.thread, NULL), "pthread_join");
    int end = weir_flow_destroy(f);
    if ((r != 0 || end != 0) && !cancels)
        fail("a flow that nobody cancelled has an error");
    for (uint32_t i = 0; i < n && r == 0 && end == 0; i++) {
        uint64_t result = deed[i].result;
        deed[i].data = serial;
        perform(NULL, &deed[i]);
        if (deed[i].result != result) {
            fail("a task of a flow has not seen what serial order would have shown it");
            break;
        }
    }
    if (r == 0 && end == 0 && memcmp(data, serial, sizeof data) != 0)
        fail("a flow has left other data than serial order would");
    free(deed);
}

/* --- pipelines ---------------------------------------------------------------------------------------------------- */

struct piece {
    uint64_t number;
    uint64_t value;
};

struct station {
    struct piece *pieces; /* of the first stage */
    uint64_t next;        /* plain, of a serial stage: the number that must come now */
    uint64_t n;
    uint64_t fails_at;
    uint64_t salt;
    weir_stage_kind kind;
};

static int first_station(weir_worker *w, void **item, void *arg)
{
    struct station *s = arg;
    (void)w;
    if (s->next == s->n)
        return 1;
    s->pieces[s->next] = (struct piece){s->next, s->next};
    *item = &s->pieces[s->next++];
    moved();
    return 0;
}

static int station(weir_worker *w, void **item, void *arg)
{
    struct station *s = arg;
    struct piece *p = *item;
    (void)w;
    dawdle(mix(s->salt, p->number));
    if (s->kind == WEIR_STAGE_SERIAL && s->next++ != p->number)
        fail("a serial stage got an item out of order");
    p->value = mix(p->value, s->salt);
    return p->number == s->fails_at ? -EIO : 0;
}

void play_pipeline(struct rng *rng)
{
    struct station s[STAGES_MAX] = {{0}};
    weir_stage stages[STAGES_MAX];
    uint32_t n = 1 + rng_below(rng, STAGES_MAX), tokens = 1 + rng_below(rng, 9);
    uint64_t items = rng_below(rng, ITEMS_MAX), made = 0;
    struct piece *pieces = zeroed(items + 1, sizeof *pieces);
    bool fails = false;
    for (uint32_t i = 0; i < n; i++) {
        s[i] = (struct station){pieces, 0, items, UINT64_MAX, rng_next(rng),
                                i > 0 && rng_below(rng, 2) == 0 ? WEIR_STAGE_PARALLEL : WEIR_STAGE_SERIAL};
        if (i > 0 && items > 0 && rng_below(rng, 16) == 0) {
            s[i].fails_at = rng_below(rng, (uint32_t)items);
            fails = true;
        }
        stages[i] = (weir_stage){i == 0 ? first_station : station, &s[i], s[i].kind};
    }
    int r = weir_pipeline(rt, stages, n, tokens, &made);
    if (r != (fails ? -EIO : 0) || made > items || (!fails && made != items))
        fail("a pipeline has a result that nothing has led to");
    for (uint64_t i = 0; i < items && !fails; i++) {
        uint64_t value = i;
        for (uint32_t k = 1; k < n; k++)
            value = mix(value, s[k].salt);
        if (pieces[i].value != value)
            fail("an item has not been through all stages in order");
    }
    free(pieces);
}
