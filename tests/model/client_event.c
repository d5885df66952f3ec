/* SPDX-License-Identifier: MIT
 *
 * client_event.c - ports and runtimes at rest: no post is left beside a silent descriptor, and no descriptor is written
 * after it was taken back.
 *
 * Threads: posters and one loop; a worker that parks, and who takes the descriptor back.
 */
#include <weir/event.h>

#include "model.h"
#include "os/eventfd.h"
#include "os/os.h"
#include "sched/rest.h"

/* An eventfd in two words; `open` is payload: writing a closed one is a failure. */
static weir_atomic_u32 readable;
static int open_fd;

int eventfd_check(int fd)
{
    (void)fd;
    return 0;
}

int eventfd_ring(int fd)
{
    (void)fd;
    MODEL_ASSERT(MODEL_READ(open_fd) == 1);
    atom_store(&readable, 1u, memory_order_seq_cst); /* a system call */
    return 0;
}

void eventfd_reset(int fd)
{
    (void)fd;
    (void)atom_xchg(&readable, 0u, memory_order_seq_cst); /* a system call */
}

static struct record {
    weir_posted posted;
    int content;
} records[3];
static weir_port *port;
static unsigned seen;

static void setup_port(void)
{
    MODEL_WRITE(open_fd, 1);
    port = model_alloc(sizeof *port);
    MODEL_ASSERT(weir_port_init(port, 1) == 0);
    model_name(&port->head, "head");
    model_name(&port->posting, "posting");
    model_name(&readable, "readable");
}

static void post(unsigned i)
{
    MODEL_WRITE(records[i].content, 1);
    MODEL_ASSERT(weir_port_post(port, &records[i].posted) == 0);
}

static void post_0(void)
{
    post(0);
}

static void post_1(void)
{
    post(1);
}

static void note(weir_posted *list)
{
    for (; list != NULL; list = list->next) {
        struct record *r = (struct record *)(void *)list;
        MODEL_ASSERT(MODEL_READ(r->content) == 1);
        MODEL_WRITE(r->content, 2);
        seen++;
    }
}

/* Sleeps while the descriptor is silent: a lost ring is a deadlock. */
static void loop(void)
{
    while (seen < 2) {
        while (atom_load(&readable, memory_order_seq_cst) == 0)
            os_relax();
        note(weir_port_take(port));
    }
    note(weir_port_end(port));
    MODEL_WRITE(open_fd, 0);
    model_free(port);
}

static void check_port(void)
{
    MODEL_ASSERT(seen == 2);
}

/* --- rest ------------------------------------------------------------------------------------------------------- */

static struct rest rest;

static void setup_rest(void)
{
    MODEL_WRITE(open_fd, 1);
    model_name(&rest.fd, "fd");
    model_name(&rest.ringing, "ringing");
    rest_set(&rest, 1);
}

static void come_to_rest(void)
{
    rest_tell(&rest);
}

static void take_back(void)
{
    rest_set(&rest, -1);
    MODEL_WRITE(open_fd, 0);
}

static const struct model_client clients[] = {
    {.name = "post_against_loop", .setup = setup_port, .check = check_port, .thread = {post_0, post_1, loop},
     .preemptions = 3},
    {.name = "rest_against_taking_back", .setup = setup_rest, .thread = {come_to_rest, take_back}},
    {.name = "two_rests_against_taking_back", .setup = setup_rest, .thread = {come_to_rest, come_to_rest, take_back}},
};

int main(int argc, char **argv)
{
    return model_main(argc, argv, clients, sizeof clients / sizeof clients[0]);
}
