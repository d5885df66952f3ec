/* SPDX-License-Identifier: MIT
 *
 * debgraph - runs through the installed Debian packages in the order of their dependencies, as a task graph.
 *
 * usage: debgraph [-p WORKERS] [-r RUNS] [FILE]   (default: /var/lib/dpkg/status)
 *
 * Packages that need each other in a circle are named and become one node, their strongly connected part. A node's task
 * works out how high its part stands: one more than the highest of the parts that it needs, which must have ended. What
 * each run says is verified: every part began after all that it needs had ended, and the heights are those that one
 * thread finds. Exit status: 0, 1 (the file can't be read or is malformed, or a run was wrong), 2 (bad option).
 *
 * Source: the strongly connected parts after Tarjan (SIAM J. Comput. 1972), without recursion.
 */
#include "dpkg_status.h"

#include <weir/weir.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNS_MAX 1000000u
#define NONE UINT32_MAX

struct plan;

/* Packages that need each other, or a single one. */
struct part {
    struct plan *plan;
    uint32_t first, end;     /* in plan->members */
    uint32_t needs, end_needs; /* in plan->part_needs */
    uint32_t height;         /* written by its task, read by tasks that come after it */
    uint32_t began, ended;   /* by plan->clock */
};

struct plan {
    const struct status *s;
    uint32_t n_parts;        /* numbered so that what a part needs has a smaller number */
    uint32_t *part_of;       /* each package's */
    uint32_t *members;       /* the packages, part by part */
    struct part *parts;
    uint32_t *part_needs;    /* each part once in a row */
    atomic_uint clock;       /* counts what begins and ends */
};

static _Noreturn void fail(const char *what, int error)
{
    fprintf(stderr, "debgraph: %s: %s\n", what, weir_strerror(error));
    exit(1);
}

static void must(const char *what, int r)
{
    if (r < 0)
        fail(what, r);
}

static void *room_for(size_t n, size_t size)
{
    void *room = calloc(n + 1, size);
    if (room == NULL)
        fail("memory", -ENOMEM);
    return room;
}

/* --- strongly connected parts ----------------------------------------------------------------------------------- */

struct tarjan {
    struct plan *plan;
    uint32_t *next;   /* of each package: the next of its needs to follow */
    uint32_t *number; /* in the order of visits; 0: not visited */
    uint32_t *low;    /* the smallest number that is known to be reachable, of those without a part */
    uint32_t *path;   /* packages between the start and here */
    uint32_t *open;   /* visited, without a part yet */
    uint32_t on_path, n_open, visited, n_members;
};

static void enter(struct tarjan *t, uint32_t package)
{
    t->number[package] = t->low[package] = ++t->visited;
    t->next[package] = t->plan->s->first[package];
    t->path[t->on_path++] = package;
    t->open[t->n_open++] = package;
}

static void close_part(struct tarjan *t, uint32_t root)
{
    struct plan *plan = t->plan;
    struct part *part = &plan->parts[plan->n_parts];
    uint32_t package;
    *part = (struct part){.plan = plan, .first = t->n_members};
    do {
        package = t->open[--t->n_open];
        plan->part_of[package] = plan->n_parts;
        plan->members[t->n_members++] = package;
    } while (package != root);
    part->end = t->n_members;
    plan->n_parts++;
}

static void lower(uint32_t *to, uint32_t x)
{
    *to = x < *to ? x : *to;
}

static void visit_from(struct tarjan *t, uint32_t start)
{
    const struct status *s = t->plan->s;
    enter(t, start);
    while (t->on_path > 0) {
        uint32_t here = t->path[t->on_path - 1];
        if (t->next[here] < s->first[here + 1]) {
            uint32_t needed = s->needs[t->next[here]++];
            if (t->number[needed] == 0)
                enter(t, needed);
            else if (t->plan->part_of[needed] == NONE)
                lower(&t->low[here], t->number[needed]);
            continue;
        }
        t->on_path--;
        if (t->on_path > 0)
            lower(&t->low[t->path[t->on_path - 1]], t->low[here]);
        if (t->low[here] == t->number[here])
            close_part(t, here);
    }
}

/* What each part needs of others, each of them once. */
static void collect_needs(struct plan *plan)
{
    const struct status *s = plan->s;
    uint32_t *needed_by = room_for(plan->n_parts, sizeof *needed_by), n = 0; /* 1 + the last part that needs it */
    for (uint32_t p = 0; p < plan->n_parts; p++) {
        struct part *part = &plan->parts[p];
        part->needs = n;
        needed_by[p] = p + 1; /* not itself */
        for (uint32_t m = part->first; m < part->end; m++)
            for (uint32_t e = s->first[plan->members[m]]; e < s->first[plan->members[m] + 1]; e++) {
                uint32_t needed = plan->part_of[s->needs[e]];
                if (needed_by[needed] != p + 1)
                    plan->part_needs[n++] = needed;
                needed_by[needed] = p + 1;
            }
        part->end_needs = n;
    }
    free(needed_by);
}

static void make_parts(struct plan *plan, const struct status *s)
{
    uint32_t n = s->n_packages;
    *plan = (struct plan){.s = s};
    plan->part_of = room_for(n, sizeof *plan->part_of);
    plan->members = room_for(n, sizeof *plan->members);
    plan->parts = room_for(n, sizeof *plan->parts);
    plan->part_needs = room_for(s->first[n], sizeof *plan->part_needs);
    uint32_t *room = room_for((size_t)n * 5, sizeof *room);
    struct tarjan t = {.plan = plan, .next = room, .number = room + n, .low = room + 2 * (size_t)n,
                       .path = room + 3 * (size_t)n, .open = room + 4 * (size_t)n};
    for (uint32_t p = 0; p < n; p++)
        plan->part_of[p] = NONE;
    for (uint32_t p = 0; p < n; p++)
        if (t.number[p] == 0)
            visit_from(&t, p);
    free(room);
    collect_needs(plan);
}

/* --- what is said ----------------------------------------------------------------------------------------------- */

/* A piece of the file in one line. */
static void print_span(struct span text)
{
    for (size_t i = 0; i < text.length; i++)
        putchar(text.at[i] == '\n' || text.at[i] == '\t' ? ' ' : text.at[i]);
}

static void print_name(const struct plan *plan, uint32_t package)
{
    print_span(plan->s->packages[package].name);
}

/* One circle inside a part: each package leads on to the first one that it needs of the same part. */
static void print_cycle(const struct plan *plan, uint32_t p, uint32_t *steps)
{
    const struct status *s = plan->s;
    uint32_t here = plan->members[plan->parts[p].end - 1], n = 0; /* the one from which the part was entered */
    while (steps[here] == 0) {
        steps[here] = ++n;
        uint32_t e = s->first[here];
        while (plan->part_of[s->needs[e]] != p)
            e++;
        here = s->needs[e];
    }
    uint32_t start = here;
    fputs("cycle: ", stdout);
    do {
        print_name(plan, here);
        fputs(" -> ", stdout);
        uint32_t e = s->first[here];
        while (plan->part_of[s->needs[e]] != p)
            e++;
        here = s->needs[e];
    } while (here != start);
    print_name(plan, here);
    putchar('\n');
}

static void print_cycles(const struct plan *plan)
{
    uint32_t *steps = room_for(plan->s->n_packages, sizeof *steps);
    for (uint32_t p = 0; p < plan->n_parts; p++) {
        const struct part *part = &plan->parts[p];
        if (part->end - part->first < 2)
            continue;
        print_cycle(plan, p, steps);
        fputs("merged:", stdout);
        for (uint32_t m = part->first; m < part->end; m++) {
            putchar(' ');
            print_name(plan, plan->members[m]);
        }
        putchar('\n');
    }
    free(steps);
}

static void print_missing(const struct status *s)
{
    for (uint32_t m = 0; m < s->n_missing; m++) {
        fputs("missing: ", stdout);
        print_span(s->packages[s->missing[m].package].name);
        fputs(" needs ", stdout);
        print_span(s->missing[m].wanted);
        putchar('\n');
    }
}

static void print_highest(const struct plan *plan)
{
    const struct part *part = plan->parts;
    for (uint32_t p = 1; p < plan->n_parts; p++)
        if (plan->parts[p].height > part->height)
            part = &plan->parts[p];
    printf("longest chain: %u:", part->height);
    for (bool more = true; more;) {
        const struct part *next = NULL;
        putchar(' ');
        print_name(plan, plan->members[part->end - 1]);
        for (uint32_t e = part->needs; e < part->end_needs && next == NULL; e++)
            if (plan->parts[plan->part_needs[e]].height + 1 == part->height)
                next = &plan->parts[plan->part_needs[e]];
        more = next != NULL;
        part = next;
    }
    putchar('\n');
}

/* --- the graph -------------------------------------------------------------------------------------------------- */

static uint32_t tick(struct plan *plan)
{
    /* relaxed: ticks of tasks that are ordered are ordered, because they are all made on one word */
    return 1 + atomic_fetch_add_explicit(&plan->clock, 1, memory_order_relaxed);
}

static int part_run(weir_worker *w, void *arg)
{
    struct part *part = arg;
    const struct plan *plan = part->plan;
    uint32_t below = 0;
    (void)w;
    part->began = tick(part->plan);
    for (uint32_t e = part->needs; e < part->end_needs; e++) {
        uint32_t height = plan->parts[plan->part_needs[e]].height;
        below = height > below ? height : below;
    }
    part->height = below + 1;
    part->ended = tick(part->plan);
    return 0;
}

static weir_graph *make_graph(const struct plan *plan)
{
    weir_graph *g;
    weir_node *nodes = room_for(plan->n_parts, sizeof *nodes);
    must("graph", weir_graph_create(&g));
    for (uint32_t p = 0; p < plan->n_parts; p++) {
        must("graph", weir_graph_add(g, part_run, &plan->parts[p], &nodes[p]));
        for (uint32_t e = plan->parts[p].needs; e < plan->parts[p].end_needs; e++)
            must("graph", weir_graph_precede(g, nodes[plan->part_needs[e]], nodes[p]));
    }
    must("graph", weir_graph_freeze(g, NULL)); /* would name a cycle, if merging had left one */
    free(nodes);
    return g;
}

/* Whether the run that has just ended went through all parts, each after those that it needs. */
static bool verify(const struct plan *plan)
{
    bool ok = true;
    for (uint32_t p = 0; p < plan->n_parts; p++) {
        const struct part *part = &plan->parts[p];
        uint32_t below = 0;
        bool late = part->began > 0 && part->began < part->ended;
        for (uint32_t e = part->needs; e < part->end_needs; e++) {
            const struct part *needed = &plan->parts[plan->part_needs[e]];
            late = late && needed->ended < part->began;
            below = needed->height > below ? needed->height : below;
        }
        if (late && part->height == below + 1)
            continue;
        fputs("debgraph: ran out of order: ", stderr);
        fprintf(stderr, "%.*s\n", (int)plan->s->packages[plan->members[part->first]].name.length,
                plan->s->packages[plan->members[part->first]].name.at);
        ok = false;
    }
    return ok && atomic_load(&plan->clock) == 2 * plan->n_parts;
}

static bool run(struct plan *plan, const weir_config *config, uint32_t runs)
{
    weir_runtime *rt;
    weir_run *r;
    bool ok = true;
    weir_graph *g = make_graph(plan);
    must("start", weir_start(&rt, config));
    must("run", weir_run_create(g, 0, &r));
    for (uint32_t i = 0; i < runs && ok; i++) {
        atomic_store(&plan->clock, 0);
        for (uint32_t p = 0; p < plan->n_parts; p++)
            plan->parts[p].began = plan->parts[p].ended = plan->parts[p].height = 0;
        must("run", weir_run_once(rt, r));
        ok = verify(plan);
    }
    if (ok) {
        printf("ran %u parts with %u dependencies, %u times, on %u workers: each after all that it needs\n",
               weir_graph_node_count(g), weir_graph_edge_count(g), runs, config->workers);
        print_highest(plan);
    }
    must("run", weir_run_destroy(r));
    must("graph", weir_graph_destroy(g));
    must("stop", weir_stop(rt, WEIR_DRAIN, WEIR_FOREVER));
    return ok;
}

/* --- start ------------------------------------------------------------------------------------------------------ */

static _Noreturn void usage(void)
{
    fputs("usage: debgraph [-p WORKERS] [-r RUNS] [FILE]\n", stderr);
    exit(2);
}

static uint32_t number(const char *text, unsigned long max)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || n < 1 || n > max)
        usage();
    return (uint32_t)n;
}

int main(int argc, char **argv)
{
    uint32_t runs = 1;
    weir_config config;
    struct status s;
    struct plan plan;
    must("settings", weir_config_init(&config));
    for (int opt; (opt = getopt(argc, argv, "p:r:")) != -1;) {
        if (opt == 'p')
            config.workers = number(optarg, WEIR_WORKERS_MAX);
        else if (opt == 'r')
            runs = number(optarg, RUNS_MAX);
        else
            usage();
    }
    if (argc - optind > 1)
        usage();
    bool ok = status_read(&s, optind < argc ? argv[optind] : "/var/lib/dpkg/status");
    if (ok) {
        make_parts(&plan, &s);
        printf("%s: %u packages, %u more not installed, %u dependencies (%u by a later alternative, %u by another "
               "name, %u missing)\n", s.path, s.n_packages, s.n_not_installed, s.first[s.n_packages], s.n_second_choice,
               s.n_provided, s.n_missing);
        print_missing(&s);
        print_cycles(&plan);
        ok = run(&plan, &config, runs);
        free(plan.part_of);
        free(plan.members);
        free(plan.parts);
        free(plan.part_needs);
    }
    status_free(&s);
    if (fflush(stdout) != 0) {
        fprintf(stderr, "debgraph: standard output: %s\n", strerror(errno));
        ok = false;
    }
    return ok ? 0 : 1;
}
