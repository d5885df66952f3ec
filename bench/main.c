/* SPDX-License-Identifier: MIT
 *
 * bench/main.c - weir-bench, the benchmark program: reads the command line and runs what it names.
 *
 * Threads: main thread only.
 * Invariants: status 0 only when every answer was right; 1 otherwise; 2 for a bad command line.
 */
#include "harness.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct bench_case *const cases[] = {
    &bench_fib, &bench_nqueens, &bench_uts_t1, &bench_uts_t3, &bench_sort, &bench_matmul,
    &bench_strassen, &bench_integrate, &bench_skynet, &bench_flat, &bench_flat_then, &bench_loop,
    &bench_idle, &bench_wake, &bench_pingpong, &bench_echo_pipe, &bench_echo, &bench_submit, &bench_capacity,
    &bench_requests, &bench_timers, &bench_http, &bench_floors,
    &bench_saxpy, &bench_saxpy_other, &bench_each, &bench_loopcall,
    &bench_sort_stable, &bench_sort_in_place, &bench_sort_compare,
    &bench_graph_chain, &bench_graph_chain_rerun, &bench_graph_fan, &bench_graph_fan_rerun,
    &bench_graph_wavefront, &bench_graph_wavefront_rerun, &bench_graph_tree, &bench_graph_tree_rerun,
    &bench_flow_chain, &bench_flow_tree, &bench_flow_live, &bench_flow_work,
};
#define CASES (sizeof cases / sizeof *cases)
#define FIRST_TABLE "fib,nqueens,uts_t1,uts_t3" /* what runs when nothing is named */
#define SECONDS_MAX 600u /* a choice */

static const char usage[] =
    "Usage: weir-bench [NAME] [--workers N[,N...]] [--runs N] [--json] [--impl LIST] [--quick] [--no-peers]\n"
    "                  [--no-memory] [--list] [--workload LIST] [--seconds N] [--launcher COMMAND] [--plot FOLDER]\n"
    "NAME is a benchmark, a comma list of them, or `all`; without it: " FIRST_TABLE ", weir and serial only.\n"
    "  --workers  worker counts to run with (default 1,2; idle: 2,64)\n"
    "  --runs     rounds, 1 to 100 (default 5); in a round every implementation runs once\n"
    "  --json     one JSON object a line: bench, impl, workers, metric, value, unit, min, median, max, spread, runs\n"
    "  --impl     implementations: serial, weir, weir-always (publish always), libgomp, libomp, tbb, go, rayon\n"
    "             (requests: floor, floor-io, thread, goroutine, pool, go-pool, weir, weir-elastic, weir-block,\n"
    "             weir-suspend)\n"
    "  --quick    small problem sizes\n"
    "  --workload requests: burst50k, burst50k_io, conc50k_io, steady16k, over_io, over_cpu, scale (default: all)\n"
    "             http: small, file, wait, each as it is or as small.64, small.1000, small.10000 (default: all)\n"
    "  --seconds  http: how long each run lasts (default: 10)\n"
    "  --launcher requests: a command that starts each implementation, such as 'taskset -c 0-3'\n"
    "  --plot     requests: draws FOLDER/requests-WORKLOAD.svg with gnuplot\n";

static const struct bench_case *find_case(const char *name, size_t length)
{
    for (size_t i = 0; i < CASES; i++)
        if (strlen(cases[i]->name) == length && memcmp(cases[i]->name, name, length) == 0)
            return cases[i];
    return NULL;
}

static _Noreturn void refuse(const char *what, const char *value)
{
    fprintf(stderr, "weir-bench: %s: '%s'\n%s", what, value, usage);
    exit(2);
}

static unsigned parse_number(const char *text, char **end, unsigned max)
{
    unsigned long v = strtoul(text, end, 10);
    return *end == text || text[0] == '-' || v > max ? 0 : (unsigned)v;
}

static void parse_workers(struct bench_options *o, const char *text)
{
    const char *at = text;
    for (;;) {
        char *end;
        unsigned w = parse_number(at, &end, WEIR_WORKERS_MAX);
        if (w == 0 || (*end != ',' && *end != '\0') || o->n_workers == BENCH_WORKERS_MAX)
            refuse("bad worker counts", text);
        o->workers[o->n_workers++] = w;
        if (*end == '\0')
            return;
        at = end + 1;
    }
}

static void parse_options(struct bench_options *o, int argc, char **argv)
{
    enum { WORKERS = 1, RUNS, JSON, IMPL, QUICK, NO_PEERS, NO_MEMORY, LIST, HELP, WORKLOAD, SECONDS, LAUNCHER, PLOT };
    static const struct option options[] = {
        {"workers", required_argument, NULL, WORKERS}, {"runs", required_argument, NULL, RUNS},
        {"json", no_argument, NULL, JSON},             {"impl", required_argument, NULL, IMPL},
        {"quick", no_argument, NULL, QUICK},           {"no-peers", no_argument, NULL, NO_PEERS},
        {"no-memory", no_argument, NULL, NO_MEMORY},   {"list", no_argument, NULL, LIST},
        {"help", no_argument, NULL, HELP},             {"workload", required_argument, NULL, WORKLOAD},
        {"launcher", required_argument, NULL, LAUNCHER}, {"plot", required_argument, NULL, PLOT},
        {"seconds", required_argument, NULL, SECONDS},
        {NULL, 0, NULL, 0},
    };
    bool no_peers = false;
    for (int opt; (opt = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        char *end;
        switch (opt) {
        case WORKERS: o->n_workers = 0; parse_workers(o, optarg); break;
        case RUNS:
            o->runs = parse_number(optarg, &end, BENCH_RUNS_MAX);
            if (o->runs == 0 || *end != '\0')
                refuse("bad number of runs", optarg);
            break;
        case JSON: o->json = true; break;
        case IMPL: o->impls = optarg; break;
        case QUICK: o->quick = true; break;
        case NO_PEERS: no_peers = true; break;
        case NO_MEMORY: o->memory = false; break;
        case WORKLOAD: o->workloads = optarg; break;
        case SECONDS:
            o->seconds = parse_number(optarg, &end, SECONDS_MAX);
            if (o->seconds == 0 || *end != '\0')
                refuse("bad number of seconds", optarg);
            break;
        case LAUNCHER: o->launcher = optarg; break;
        case PLOT: o->plots = optarg; break;
        case LIST:
            for (size_t i = 0; i < CASES; i++)
                printf("%-21s %s\n", cases[i]->name, cases[i]->what);
            exit(0);
        case HELP: fputs(usage, stdout); exit(0);
        default: fputs(usage, stderr); exit(2);
        }
    }
    o->peers = optind < argc && !no_peers;
    if (argc - optind > 1)
        refuse("more than one NAME", argv[optind + 1]);
}

int main(int argc, char **argv)
{
    struct bench_options o = {.memory = true};
    parse_options(&o, argc, argv);
    const char *names = optind < argc ? argv[optind] : FIRST_TABLE;

    if (strcmp(names, "all") == 0) {
        for (size_t i = 0; i < CASES; i++)
            bench_run_case(cases[i], &o);
        return 0;
    }
    for (int pass = 0; pass < 2; pass++) { /* a name that is wrong is refused before anything runs */
        for (const char *at = names; *at != '\0';) {
            size_t n = strcspn(at, ",");
            const struct bench_case *c = find_case(at, n);
            if (c == NULL)
                refuse("no such benchmark", names);
            if (pass == 1)
                bench_run_case(c, &o);
            at += n + (at[n] == ',');
        }
    }
    return 0;
}
