/* SPDX-License-Identifier: MIT
 *
 * bench/report.c - medians, ratios within a round, and the two forms of output: a table for people, JSON lines.
 *
 * Threads: main thread only.
 * Invariants: a ratio compares times per op, so that implementations that ran different sizes compare; `spread` is
 * (maximum - minimum) / median.
 */
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_percentile(double *samples, size_t n, double p)
{
    qsort(samples, n, sizeof *samples, by_value);
    size_t at = (size_t)(p * (double)(n - 1) + 0.5);
    return samples[at];
}

struct summary {
    double min, median, max, spread;
};

static struct summary summarise(const double *samples, unsigned n)
{
    double sorted[BENCH_RUNS_MAX];
    memcpy(sorted, samples, n * sizeof *samples);
    qsort(sorted, n, sizeof *sorted, by_value);
    struct summary s = {.min = sorted[0], .max = sorted[n - 1]};
    s.median = n % 2 != 0 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
    s.spread = s.median > 0 ? (s.max - s.min) / s.median : 0;
    return s;
}

double bench_median(const double *samples, unsigned n)
{
    return summarise(samples, n).median;
}

static void print_json(const char *bench, const char *impl, unsigned workers, const char *metric, const char *unit,
                       const double *samples, unsigned n)
{
    struct summary s = summarise(samples, n);
    printf("{\"bench\": \"%s\", \"impl\": \"%s\", \"workers\": %u, \"metric\": \"%s\", \"value\": %.6g, "
           "\"unit\": \"%s\", \"min\": %.6g, \"median\": %.6g, \"max\": %.6g, \"spread\": %.4g, \"runs\": %u}\n",
           bench, impl, workers, metric, s.median, unit, s.min, s.median, s.max, s.spread, n);
    fflush(stdout);
}

void bench_report(const struct bench_options *o, const char *bench, const char *impl, unsigned workers,
                  const char *metric, const char *unit, const double *samples, unsigned n)
{
    if (o->json) {
        print_json(bench, impl, workers, metric, unit, samples, n);
        return;
    }
    struct summary s = summarise(samples, n);
    printf("  %-12s W%-4u %-26s %10.4g %-5s (min %.4g, spread %.0f %%)\n", impl, workers, metric, s.median, unit,
           s.min, 100 * s.spread);
    fflush(stdout);
}

/* --- a timed benchmark ----------------------------------------------------------------------------------------- */

/* The same implementation with one worker, or NULL. */
static const struct contestant *one_worker(const struct contestant *list, unsigned n, const struct contestant *k)
{
    for (unsigned i = 0; i < n; i++)
        if (list[i].peer == k->peer && list[i].workers == 1)
            return &list[i];
    return NULL;
}

static const struct contestant *serial_twin(const struct contestant *list, unsigned n)
{
    return n > 0 && strcmp(list[0].peer->name, "serial") == 0 ? &list[0] : NULL;
}

/* Ratios of times per op, round by round. */
static void ratios(const struct contestant *k, const struct contestant *to, unsigned runs, double *out)
{
    for (unsigned r = 0; r < runs; r++)
        out[r] = (k->seconds[r] / k->size->ops) / (to->seconds[r] / to->size->ops);
}

/* The same of CPU time: what a machine that others use too still tells truly. */
static void cpu_ratios(const struct contestant *k, const struct contestant *to, unsigned runs, double *out)
{
    for (unsigned r = 0; r < runs; r++)
        out[r] = (k->cpu[r] / k->size->ops) / (to->cpu[r] / to->size->ops);
}

static void scaled(const struct contestant *k, double by, unsigned runs, double *out)
{
    for (unsigned r = 0; r < runs; r++)
        out[r] = k->seconds[r] * by;
}

static void json_case(const struct bench_case *c, const struct contestant *list, unsigned n, unsigned runs)
{
    const struct contestant *serial = serial_twin(list, n);
    double v[BENCH_RUNS_MAX];
    for (unsigned i = 0; i < n; i++) {
        const struct contestant *k = &list[i];
        const struct contestant *one = one_worker(list, n, k);
        const char *name = k->peer->name;
        scaled(k, 1e3, runs, v);
        print_json(c->name, name, k->workers, "time", "ms", v, runs);
        scaled(k, 1e9 / k->size->ops, runs, v);
        print_json(c->name, name, k->workers, "per_op", "ns", v, runs);
        if (k->peer->seconds == NULL) {
            for (unsigned r = 0; r < runs; r++)
                v[r] = k->cpu[r] * 1e3;
            print_json(c->name, name, k->workers, "cpu", "ms", v, runs);
            if (serial != NULL) {
                cpu_ratios(k, serial, runs, v);
                print_json(c->name, name, k->workers, "cpu_over_serial", "ratio", v, runs);
            }
        }
        if (serial != NULL) {
            ratios(k, serial, runs, v);
            print_json(c->name, name, k->workers, "over_serial", "ratio", v, runs);
        }
        if (one != NULL) {
            ratios(k, one, runs, v);
            print_json(c->name, name, k->workers, "over_one_worker", "ratio", v, runs);
        }
        if (k->memory >= 0) {
            double per_op = k->memory / k->size->ops;
            print_json(c->name, name, k->workers, "memory", "bytes", &k->memory, 1);
            print_json(c->name, name, k->workers, "memory_per_op", "bytes", &per_op, 1);
        }
    }
}

static void print_ratio(const struct contestant *k, const struct contestant *to, unsigned runs)
{
    double v[BENCH_RUNS_MAX];
    if (to == NULL) {
        printf(" %8s", "-");
        return;
    }
    ratios(k, to, runs, v);
    printf(" %8.3f", summarise(v, runs).median);
}

static void print_cpu(const struct contestant *k, const struct contestant *serial, unsigned runs)
{
    double v[BENCH_RUNS_MAX];
    if (k->peer->seconds != NULL || serial == NULL) {
        printf(" %8s", "-");
        return;
    }
    cpu_ratios(k, serial, runs, v);
    printf(" %8.3f", summarise(v, runs).median);
}

static void print_memory(double bytes, double ops)
{
    if (bytes < 0)
        printf(" %10s %8s", "-", "-");
    else
        printf(" %10.0f %8.2f", bytes / 1024, bytes / ops);
}

static void table_case(const struct bench_case *c, const struct contestant *list, unsigned n, unsigned runs,
                       const struct bench_options *o)
{
    const struct contestant *serial = serial_twin(list, n);
    double v[BENCH_RUNS_MAX];
    printf("%s: %s%s, %u runs in turns, answers checked\n", c->name, c->what, o->quick ? " (reduced by --quick)" : "",
           runs);
    printf("  %-14s %4s %11s %11s %7s %8s %8s %8s %9s %10s %8s\n", "impl", "W", "median ms", "min ms", "spread",
           "T/Ts", "T/T1", "C/Cs", "ns/op", "peak KiB", "B/op");
    bool other_size = false;
    for (unsigned i = 0; i < n; i++) {
        const struct contestant *k = &list[i];
        bool small = k->size == &c->small && !o->quick;
        other_size |= small;
        scaled(k, 1e3, runs, v);
        struct summary s = summarise(v, runs);
        printf("  %-13s%s %4u %11.3f %11.3f %5.0f %%", k->peer->name, small ? "*" : " ", k->workers, s.median, s.min,
               100 * s.spread);
        print_ratio(k, serial, runs);
        print_ratio(k, one_worker(list, n, k), runs);
        print_cpu(k, serial, runs);
        printf(" %9.3f", s.median * 1e6 / k->size->ops);
        print_memory(k->memory, k->size->ops);
        putchar('\n');
    }
    if (other_size)
        printf("  * smaller problem: %.0f instead of %.0f ops; T/Ts is per op\n", c->small.ops, c->full.ops);
    printf("  (op: one %s; T/Ts: over the serial twin, T/T1: over one worker, C/Cs: CPU time over the serial twin's;\n"
           "  peak: growth of resident memory)\n\n", c->op);
    fflush(stdout);
}

void report_case(const struct bench_case *c, const struct contestant *list, unsigned n, unsigned runs,
                 const struct bench_options *o)
{
    if (o->json)
        json_case(c, list, n, runs);
    else
        table_case(c, list, n, runs, o);
}
