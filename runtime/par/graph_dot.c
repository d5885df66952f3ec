/* SPDX-License-Identifier: MIT
 *
 * graph_dot.c - a graph as text for Graphviz: shapes for kinds, colours for measured times.
 *
 * Threads: any, of a frozen graph; of a run only while it is idle.
 */
#include <errno.h>

#include "par/graph.h"

#define NS_PER_US_F 1000.0
#define SATURATION_MAX 0.8 /* of the longest node's colour, so that its text stays readable */

static const char *shape_of(const struct node *n)
{
    switch (n->info & INFO_KIND) {
    case WEIR_NODE_CONDITION:
    case WEIR_NODE_MULTI:
        return "diamond";
    case WEIR_NODE_SPAWN:
        return "hexagon";
    case WEIR_NODE_GRAPH:
        return "box3d";
    default:
        return "box";
    }
}

/* A name as the inside of a quoted string; a node without one is its number. */
static void write_name(const weir_graph *g, uint32_t place, FILE *out)
{
    const char *name = weir_graph_name(g, graph_handle(g, place));
    if (*name == '\0')
        fprintf(out, "%u", graph_handle(g, place).index);
    for (; *name != '\0'; name++) {
        if (*name == '"' || *name == '\\')
            putc('\\', out);
        if (*name == '\n')
            fputs("\\n", out);
        else
            putc(*name, out);
    }
}

/* Mean ns of a node; 0: it has not run. */
static double mean_of(const weir_run *run, uint32_t place)
{
    uint64_t count = 0;
    uint64_t ns = run != NULL ? weir_run_time(run, graph_handle(run->graph, place), &count) : 0;
    return count != 0 ? (double)ns / (double)count : 0.0;
}

static double longest(const weir_graph *g, const weir_run *run)
{
    double most = 0.0;
    for (uint32_t i = 0; i < g->nodes.count; i++)
        if (mean_of(run, i) > most)
            most = mean_of(run, i);
    return most;
}

/* White for nothing, red for the longest. */
static void write_node(const weir_graph *g, const weir_run *run, uint32_t place, double most, FILE *out)
{
    double mean = mean_of(run, place);
    fprintf(out, "  n%u [shape=%s, label=\"", place, shape_of(&graph_nodes(g)[place]));
    write_name(g, place, out);
    if (mean > 0.0)
        fprintf(out, "\\n%.1f us", mean / NS_PER_US_F);
    fprintf(out, "\", fillcolor=\"0.02 %.3f 1.0\"%s];\n", most > 0.0 ? mean / most * SATURATION_MAX : 0.0,
            (graph_nodes(g)[place].info & INFO_LIMITED) != 0 ? ", peripheries=2" : "");
}

static void write_edges(const weir_graph *g, uint32_t place, FILE *out)
{
    const struct node *n = &graph_nodes(g)[place];
    for (uint32_t k = n[0].row; k < n[1].row; k++) {
        fprintf(out, "  n%u -> n%u", place, g->edges[k] & EDGE_TARGET);
        if (node_is_weak(n))
            fprintf(out, " [style=dashed, label=\"%u\"]", k - n->row);
        fputs(";\n", out);
    }
}

int weir_graph_dot(const weir_graph *g, const weir_run *timed, FILE *out)
{
    if (g == NULL || out == NULL || (timed != NULL && (timed->graph != g || timed->times == NULL)))
        return -EINVAL;
    if (!g->frozen)
        return -EPERM;
    /* [GR4] acquire: the run's times; pairs with leave_busy(). */
    if (timed != NULL && atom_load(&timed->busy, memory_order_acquire) != RUN_IDLE)
        return -EBUSY;
    double most = longest(g, timed);
    fputs("digraph weir {\n  node [style=filled, fillcolor=white, fontname=\"sans-serif\"];\n", out);
    for (uint32_t i = 0; i < g->nodes.count; i++)
        write_node(g, timed, i, most, out);
    for (uint32_t i = 0; i < g->nodes.count; i++)
        write_edges(g, i, out);
    fputs("}\n", out);
    return fflush(out) != 0 || ferror(out) ? -EIO : 0;
}
