/* SPDX-License-Identifier: MIT
 *
 * bench/requests/report.c - what a workload's rounds have measured, as a table, in the article's form, as JSON lines
 * and as a plot.
 *
 * Threads: main thread only.
 * Invariants: every figure is the median of the rounds; one that does not apply is shown as "-".
 */
#include "plan.h"

#include <stdio.h>
#include <string.h>

#define IMPL_TEXT 64u /* bytes */

static double median(const struct entrant *e, enum figure f, unsigned runs)
{
    return bench_median(e->v[f], runs);
}

static void print_figure(double v, int width, int digits)
{
    if (v < 0)
        printf(" %*s", width, "-");
    else
        printf(" %*.*f", width, digits, v);
}

static double spread(const struct entrant *e, enum figure f, unsigned runs)
{
    double low = e->v[f][0], high = low;
    for (unsigned r = 1; r < runs; r++) {
        low = e->v[f][r] < low ? e->v[f][r] : low;
        high = e->v[f][r] > high ? e->v[f][r] : high;
    }
    return high > 0 ? 100 * (high - low) / median(e, f, runs) : 0;
}

static void workers_text(const struct entrant *e, char text[IMPL_TEXT])
{
    if (e->workers == 0)
        snprintf(text, IMPL_TEXT, "each");
    else if (e->workers < e->max_workers)
        snprintf(text, IMPL_TEXT, "%u-%u", e->workers, e->max_workers);
    else
        snprintf(text, IMPL_TEXT, "%u", e->workers);
}

static void print_table(const struct workload *w, const struct entrant *list, unsigned n, unsigned runs,
                        const struct bench_options *o)
{
    printf("%s: %s%s, median of %u in turns\n", w->name, w->what, o->quick ? " (reduced by --quick)" : "", runs);
    printf("  %-12s %6s %10s %7s %8s %9s %9s %9s %8s %8s %7s %8s\n", "impl", "W", "requests/s", "spread", "of floor",
           "p50 ms", "p99 ms", "p99.9 ms", "RSS MB", "CPU s/M", "rej. %", "pause ms");
    for (unsigned i = 0; i < n; i++) {
        const struct entrant *e = &list[i];
        bool is_floor = e->role == ROLE_FLOOR; /* its requests don't wait: it has a rate and CPU time only */
        char workers[IMPL_TEXT];
        workers_text(e, workers);
        printf("  %-12s %6s %10.0f %5.0f %%", e->name, workers, median(e, RATE, runs), spread(e, RATE, runs));
        print_figure(median(e, OVER_FLOOR, runs), 8, 3);
        for (enum figure f = P50; f <= P999; f++)
            print_figure(is_floor ? -1 : median(e, f, runs), 9, 2);
        print_figure(is_floor ? -1 : median(e, MEMORY, runs), 8, 1);
        print_figure(median(e, CPU, runs), 8, 2);
        print_figure(is_floor ? -1 : median(e, REJECTED, runs), 7, 1);
        print_figure(median(e, PAUSE, runs), 8, 3);
        if (median(e, GROW, runs) >= 0)
            printf("  up in %.1f ms, down in %.0f ms", median(e, GROW, runs), median(e, SHRINK, runs));
        putchar('\n');
    }
}

/* --- the article's form: metric, naive, pool, improvement ------------------------------------------------------- */

/* The first of that name, or NULL. */
static const struct entrant *named(const struct entrant *list, unsigned n, const char *name)
{
    for (unsigned i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

/* weir's row with the highest rate; among those that are about equal, the lowest p99. */
static const struct entrant *best_weir(const struct entrant *list, unsigned n, unsigned runs)
{
    const double equal = 0.98;
    const struct entrant *best = NULL;
    for (unsigned i = 0; i < n; i++) {
        if (list[i].role != ROLE_WEIR)
            continue;
        double rate = median(&list[i], RATE, runs), record = best == NULL ? 0 : median(best, RATE, runs);
        if (rate * equal > record ||
            (rate > record * equal && median(&list[i], P99, runs) < median(best, P99, runs)))
            best = &list[i];
    }
    return best;
}

static void print_improvement(double naive, double ours, bool more_is_better)
{
    if (naive < 0 || ours < 0)
        printf(" %12s", "-");
    else if (more_is_better)
        printf(" %10.2f x", ours / (naive > 0 ? naive : 1));
    else if (naive < 1e-3)
        printf(" %12s", "none");
    else
        printf(" %+10.0f %%", 100 * (ours - naive) / naive);
}

static void print_article(const struct entrant *list, unsigned n, unsigned runs)
{
    static const struct {
        enum figure figure;
        const char *label;
        int digits;
        bool more;
    } lines[] = {
        {RATE, "requests/s", 0, true},
        {P50, "p50 ms", 2, false},
        {P99, "p99 ms", 2, false},
        {MEMORY, "memory MB", 1, false},
        {CPU, "CPU s per million", 2, false},
        {PAUSE, "reclamation pause ms", 3, false},
    };
    const struct entrant *ours = best_weir(list, n, runs);
    const struct entrant *others[] = {named(list, n, "thread"), named(list, n, "goroutine"), named(list, n, "pool")};
    static const char *const headings[] = {"thread each", "goroutine", "mutex pool"};
    char workers[IMPL_TEXT];
    if (ours == NULL)
        return;
    workers_text(ours, workers);
    printf("\n  %-22s", "metric");
    for (unsigned k = 0; k < 3; k++)
        if (others[k] != NULL)
            printf(" %12s %12s", headings[k], "improvement");
    printf("   %s %s\n", ours->name, workers);
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
        double v = median(ours, lines[i].figure, runs);
        printf("  %-22s", lines[i].label);
        for (unsigned k = 0; k < 3; k++) {
            if (others[k] == NULL)
                continue;
            double naive = median(others[k], lines[i].figure, runs);
            print_figure(naive, 12, lines[i].digits);
            print_improvement(naive, v, lines[i].more);
        }
        printf("  ");
        print_figure(v, 10, lines[i].digits);
        putchar('\n');
    }
}

static void print_json(const struct workload *w, const struct entrant *e, unsigned runs, const struct bench_options *o)
{
    char bench[IMPL_TEXT], impl[IMPL_TEXT];
    snprintf(bench, sizeof bench, "requests.%s", w->name);
    if (e->workers < e->max_workers)
        snprintf(impl, sizeof impl, "%s-to-%u", e->name, e->max_workers);
    else
        snprintf(impl, sizeof impl, "%s", e->name);
    for (enum figure f = 0; f < FIGURES; f++)
        if (median(e, f, runs) >= 0 && (e->role != ROLE_FLOOR || f == RATE || f == CPU))
            bench_report(o, bench, impl, e->workers, figure_kinds[f].name, figure_kinds[f].unit, e->v[f], runs);
}

void requests_report(const struct workload *w, const struct entrant *list, unsigned n, unsigned runs,
                     const struct bench_options *o)
{
    if (o->json) {
        for (unsigned i = 0; i < n; i++)
            print_json(w, &list[i], runs, o);
        return;
    }
    print_table(w, list, n, runs, o);
    print_article(list, n, runs);
    putchar('\n');
    fflush(stdout);
}

/* --- the plot --------------------------------------------------------------------------------------------------- */

static void plot_panel(FILE *to, const struct entrant *list, unsigned n, unsigned runs, enum figure f,
                       const char *title, bool logarithmic)
{
    fprintf(to, "set title '%s'\n%s logscale x\n", title, logarithmic ? "set" : "unset");
    fprintf(to, "set xrange [%s:*]\nset yrange [-0.6:%u.6] reverse\n", logarithmic ? "0.1" : "0", n - 1);
    fprintf(to, "plot '-' using 1:0:(%s):1:($0-0.35):($0+0.35):2:ytic(3) with boxxyerror lc variable notitle\n",
            logarithmic ? "1e-3" : "0");
    for (unsigned i = 0; i < n; i++) {
        char workers[IMPL_TEXT];
        double v = median(&list[i], f, runs);
        workers_text(&list[i], workers);
        bool shown = v >= 0 && (list[i].role != ROLE_FLOOR || f == RATE);
        fprintf(to, "%g %d \"%s %s\"\n", shown ? v : 0, (int)list[i].role + 1, list[i].name, workers);
    }
    fputs("e\n", to);
}

void requests_plot(const struct workload *w, const struct entrant *list, unsigned n, unsigned runs, const char *dir)
{
    FILE *to = popen("gnuplot", "w");
    if (to == NULL)
        bench_fail("gnuplot can't be started");
    fprintf(to, "set terminal svg noenhanced size 1200,%u font 'sans,12' background 'white'\n", 110 + 26 * n);
    fprintf(to, "set output '%s/requests-%s.svg'\n", dir, w->name);
    fputs("set style fill solid 0.8 noborder\nset grid xtics\nset tics nomirror out\nset linetype 1 lc rgb '#999999'\n"
          "set linetype 2 lc rgb '#d1615d'\nset linetype 3 lc rgb '#e7ca60'\nset linetype 4 lc rgb '#5778a4'\n"
          "set xtics rotate by -30\n", to);
    fprintf(to, "set multiplot layout 1,3 title '%s: %s'\n", w->name, w->what);
    plot_panel(to, list, n, runs, RATE, "requests/s", false);
    plot_panel(to, list, n, runs, P99, "p99, ms (logarithmic)", true);
    plot_panel(to, list, n, runs, MEMORY, "growth of memory, MB", false);
    fputs("unset multiplot\n", to);
    if (pclose(to) != 0)
        bench_fail("gnuplot did not draw %s/requests-%s.svg", dir, w->name);
}
