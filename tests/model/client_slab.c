/* SPDX-License-Identifier: MIT
 *
 * client_slab.c - pooled records: remote frees against the owner's allocations, collection, chunks coming and going.
 *
 * Threads: thread 0 owns the slab, the others free what it has made. Objects are handed over by release and acquire.
 * Invariants: an object is never out twice, a remote free orders the object's last use before its next owner's first.
 */
#include "model.h"
#include "os/os.h"
#include "sync/outside.h"
#include "sync/slab.h"
#include "sync/wfstack.h"

#define OBJECTS 4u

static struct slab slab, other;
static weir_atomic_ptr mail[OBJECTS]; /* from the owner to who frees */

static int *payload_of(void *p)
{
    return (int *)p + 12; /* behind the links of a free object */
}

/* Fresh object: nobody else has it, and whatever its last user did comes before. */
static void *take(unsigned i, struct slab *from)
{
    void *p = slab_alloc(from, 64);
    MODEL_ASSERT(p != NULL);
    MODEL_WRITE(*payload_of(p), (int)i);
    return p;
}

static void post(unsigned i, void *p)
{
    atom_store(&mail[i], p, memory_order_release);
}

static void free_remote(unsigned i, struct slab *mine)
{
    void *p;
    while ((p = atom_load(&mail[i], memory_order_acquire)) == NULL)
        os_relax();
    MODEL_ASSERT(MODEL_READ(*payload_of(p)) == (int)i);
    MODEL_WRITE(*payload_of(p), -1);
    slab_free(mine, p);
}

static void setup(void)
{
    slab_init(&slab, 0);
    slab_init(&other, 1);
}

/* Two objects, given away at once, then two more: a chunk holds two, so remote frees are taken back or one is added. */
static void owner_alloc(void)
{
    post(0, take(0, &slab));
    post(1, take(1, &slab));
    void *a = take(2, &slab);
    void *b = take(3, &slab);
    MODEL_ASSERT(a != b);
    MODEL_ASSERT(MODEL_READ(*payload_of(a)) == 2 && MODEL_READ(*payload_of(b)) == 3);
    slab_free(&slab, a);
    slab_free(&slab, b);
}

static void owner_collect(void)
{
    post(0, take(0, &slab));
    post(1, take(1, &slab));
    slab_collect(&slab);
    void *a = take(2, &slab);
    slab_collect(&slab);
    slab_free(&slab, a);
}

/* The stack alone: a node that is pushed again, while its link still has what the first push has left there. */
static struct wfs stack;
static struct wfs_node node;
static int note; /* goes with the node */

static void setup_stack(void)
{
    wfs_init(&stack);
}

static void pusher(unsigned i)
{
    if (i > 0)
        while (atom_load(&mail[i], memory_order_acquire) == NULL)
            os_relax();
    MODEL_WRITE(note, (int)i + 1);
    wfs_push(&stack, &node);
}

static void push0(void) { pusher(0); }
static void push1(void) { pusher(1); }

static void taker(void)
{
    for (unsigned i = 0; i < 2; i++) {
        struct wfs_node *n;
        while ((n = wfs_pop_all(&stack)) == NULL)
            os_relax();
        MODEL_ASSERT(n == &node);
        while (wfs_next(n) == WFS_PENDING)
            os_relax();
        MODEL_ASSERT(MODEL_READ(note) == (int)i + 1);
        post(1, n);
    }
}

static void free0(void) { free_remote(0, NULL); }
static void free1(void) { free_remote(1, &other); }
static void free01(void)
{
    free_remote(0, NULL);
    free_remote(1, NULL);
}

/* The slab goes while objects are out: they stay valid, the last one gives the chunk back. */
static void owner_gone(void)
{
    void *a = take(0, &slab), *b = take(1, &slab);
    slab_destroy(&slab);
    post(0, a);
    post(1, b);
}

/* --- threads that are no workers: there is one slab for two of them ----------------------------------------------- */

/* One object is out when the thread ends, so its chunk stays; the other one is free in that chunk. */
static void outside_first(void)
{
    struct slab *mine = outside_slab();
    void *p = mine != NULL ? take(0, mine) : slab_alloc_foreign(64);
    MODEL_WRITE(*payload_of(p), 0);
    if (mine != NULL)
        slab_free(mine, take(1, mine));
    post(0, p);
    model_end_thread();
}

/* Takes over the slab, if the other has ended. */
static void outside_second(void)
{
    struct slab *mine = outside_slab();
    if (mine == NULL)
        return;
    void *p = take(2, mine), *q = take(3, mine);
    MODEL_ASSERT(p != q);
    slab_free(mine, p);
    slab_free(mine, q);
    model_end_thread();
}

static void check_outside(void)
{
    struct slab *s = outside_slab();
    MODEL_ASSERT(s != NULL);
    model_end_thread(); /* gives back all memory, as nothing is out */
    MODEL_ASSERT(s->chunks == 0);
}

static void check(void)
{
    slab_destroy(&slab);
    slab_destroy(&other);
}

static void check_outside_free(void)
{
    free_remote(0, NULL);
    check_outside();
}

static void check_gone(void)
{
    slab_destroy(&other);
}

#define CLIENT(client, end, ...) {.name = client, .setup = setup, .check = end, .thread = {__VA_ARGS__}}
static const struct model_client clients[] = {
    CLIENT("remote_free_against_alloc", check, owner_alloc, free01),
    CLIENT("two_remote_frees", check, owner_alloc, free0, free1),
    CLIENT("remote_free_against_collect", check, owner_collect, free01),
    CLIENT("two_remote_frees_collect", check, owner_collect, free0, free1),
    {.name = "pushed_twice", .setup = setup_stack, .thread = {taker, push0, push1}},
    CLIENT("owner_gone", check_gone, owner_gone, free0, free1),
    CLIENT("outside_slab_used_again", check_outside_free, outside_first, outside_second),
    CLIENT("outside_slab_used_again_before_a_free", check_outside, outside_first, outside_second, free0),
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
