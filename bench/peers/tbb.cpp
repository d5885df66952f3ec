/* SPDX-License-Identifier: MIT
 *
 * bench/peers/tbb.cpp - the suite in oneTBB: the peer tbb. Two-way forks are parallel_invoke, more are a task_group.
 *
 * Threads: the harness's main thread enters an arena of `workers` threads, itself among them.
 * Invariants: oneTBB's idle workers sleep by themselves; `quiet` gives them the time to.
 */
#include "peer.h"

#include "../kernel_graph.h"
#include "../kernel_integrate.h"
#include "../kernel_loop.h"
#include "../kernel_matrix.h"
#include "../kernel_nqueens.h"
#include "../kernel_sort.h"
#include "../kernel_uts.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <deque>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/flow_graph.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/parallel_invoke.h>
#include <oneapi/tbb/parallel_sort.h>
#include <oneapi/tbb/partitioner.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

namespace {

struct team {
    explicit team(unsigned workers)
        : size(static_cast<int>(workers)), control(tbb::global_control::max_allowed_parallelism, workers), arena(size)
    {
    }
    int size;
    tbb::global_control control;
    tbb::task_arena arena;
};

long fib(int n)
{
    if (n < 2)
        return n;
    long left, right;
    tbb::parallel_invoke([&] { left = fib(n - 1); }, [&] { right = fib(n - 2); });
    return left + right;
}

long below(const nqueens_board &b, int n, int row)
{
    if (row == n)
        return 1;
    nqueens_board next[NQUEENS_MAX];
    long found[NQUEENS_MAX], sum = 0;
    int branches = 0;
    tbb::task_group group;
    for (int c = 0; c < n; c++) {
        if (nqueens_place(&b, row, c, &next[branches])) {
            group.run([&found, &next, branches, n, row] { found[branches] = below(next[branches], n, row + 1); });
            branches++;
        }
    }
    group.wait();
    while (branches-- > 0)
        sum += found[branches];
    return sum;
}

long visit(uts_tree tree, const uts_node &node)
{
    unsigned n = uts_children(tree, &node);
    if (n == 0)
        return 1;
    struct child {
        uts_node node;
        long nodes;
    };
    std::vector<child> children(n);
    tbb::task_group group;
    for (unsigned i = 0; i < n; i++) {
        child &c = children[i];
        uts_child(&node, i, &c.node);
        group.run([&c, tree] { c.nodes = visit(tree, c.node); });
    }
    group.wait();
    long nodes = 1;
    for (const child &c : children)
        nodes += c.nodes;
    return nodes;
}

void merge(sort_merge m)
{
    if (m.nx + m.ny <= SORT_SERIAL) {
        sort_merge_serial(m);
        return;
    }
    sort_merge half[2];
    sort_split(m, half);
    tbb::parallel_invoke([&] { merge(half[0]); }, [&] { merge(half[1]); });
}

void sort(sort_range r)
{
    if (r.n <= SORT_SERIAL) {
        sort_serial(r.keys, r.n);
        return;
    }
    sort_range quarter[4];
    sort_merge pair[2], whole;
    sort_plan(r, quarter, pair, &whole);
    tbb::parallel_invoke([&] { sort(quarter[0]); }, [&] { sort(quarter[1]); }, [&] { sort(quarter[2]); },
                         [&] { sort(quarter[3]); });
    tbb::parallel_invoke([&] { merge(pair[0]); }, [&] { merge(pair[1]); });
    merge(whole);
}

void matmul(matrix_product p)
{
    if (p.n <= MATMUL_LEAF) {
        matrix_multiply_add(p);
        return;
    }
    for (unsigned step = 0; step < 2; step++) {
        matrix_product part[4];
        matmul_split(p, step, part);
        tbb::parallel_invoke([&] { matmul(part[0]); }, [&] { matmul(part[1]); }, [&] { matmul(part[2]); },
                             [&] { matmul(part[3]); });
    }
}

void strassen(matrix_product p)
{
    matrix_product part[STRASSEN_PRODUCTS];
    double *room = p.n <= STRASSEN_LEAF ? nullptr : strassen_split(p, part);
    if (room == nullptr) {
        matrix_multiply(p);
        return;
    }
    tbb::parallel_invoke([&] { strassen(part[0]); }, [&] { strassen(part[1]); }, [&] { strassen(part[2]); },
                         [&] { strassen(part[3]); }, [&] { strassen(part[4]); }, [&] { strassen(part[5]); },
                         [&] { strassen(part[6]); });
    strassen_combine(p, room);
}

double integrate(integrate_part p)
{
    integrate_part half[2];
    if (!integrate_split(p, half))
        return half[0].area + half[1].area;
    double left, right;
    tbb::parallel_invoke([&] { left = integrate(half[0]); }, [&] { right = integrate(half[1]); });
    return left + right;
}

constexpr int skynet_children = 10;

long skynet(long first, long leaves)
{
    if (leaves == 1)
        return first;
    long found[skynet_children], sum = 0, each = leaves / skynet_children;
    tbb::task_group group;
    for (int i = 0; i < skynet_children; i++)
        group.run([&found, i, first, each] { found[i] = skynet(first + i * each, each); });
    group.wait();
    for (long f : found)
        sum += f;
    return sum;
}

matrix_product product_of(const bench_input *in)
{
    size_t n = static_cast<size_t>(in->n);
    return {{in->c, n}, {in->a, n}, {in->b, n}, n};
}

/* Runs a function inside the arena; its answer, or -1 when oneTBB throws (out of memory). */
template <typename F> double in_arena(void *state, F f)
{
    try {
        return static_cast<team *>(state)->arena.execute([&]() -> double { return static_cast<double>(f()); });
    } catch (const std::exception &) {
        return -1.0;
    }
}

double run_fib(void *state, const bench_input *in)
{
    return in_arena(state, [&] { return fib(static_cast<int>(in->n)); });
}

double run_nqueens(void *state, const bench_input *in)
{
    return in_arena(state, [&] { return below(nqueens_board(), static_cast<int>(in->n), 0); });
}

double run_uts(void *state, const bench_input *in)
{
    uts_tree tree = static_cast<uts_tree>(in->n);
    uts_node root;
    uts_root(tree, &root);
    return in_arena(state, [&] { return visit(tree, root); });
}

double run_sort(void *state, const bench_input *in)
{
    return in_arena(state, [&] {
        sort({in->keys, in->room, static_cast<size_t>(in->n)});
        return 1;
    });
}

double run_matmul(void *state, const bench_input *in)
{
    return in_arena(state, [&] {
        matmul(product_of(in));
        return 1;
    });
}

double run_strassen(void *state, const bench_input *in)
{
    return in_arena(state, [&] {
        strassen(product_of(in));
        return 1;
    });
}

double run_integrate(void *state, const bench_input *in)
{
    return in_arena(state, [&] { return integrate(integrate_whole(static_cast<double>(in->n))); });
}

double run_skynet(void *state, const bench_input *in)
{
    return in_arena(state, [&] { return skynet(0, in->n); });
}

double run_flat(void *state, const bench_input *in)
{
    return in_arena(state, [&] {
        tbb::task_group group;
        for (int64_t i = 0; i < in->n; i++)
            group.run([] { __asm__ __volatile__(""); });
        group.wait();
        return 1;
    });
}

double run_loop(void *state, const bench_input *in)
{
    uint8_t *flags = in->flags;
    return in_arena(state, [&] {
        tbb::parallel_for(
            tbb::blocked_range<int64_t>(0, in->n, 1),
            [flags](const tbb::blocked_range<int64_t> &r) {
                for (int64_t i = r.begin(); i != r.end(); i++) {
                    flags[i]++;
                    __asm__ __volatile__("" : : "r"(i));
                }
            },
            tbb::simple_partitioner());
        return 1;
    });
}

template <typename P> double saxpy_with(void *state, const bench_input *in, const P &partitioner)
{
    const float *x = in->x;
    float *y = in->y;
    return in_arena(state, [&] {
        tbb::parallel_for(
            tbb::blocked_range<int64_t>(0, in->n),
            [x, y](const tbb::blocked_range<int64_t> &r) { saxpy(y, x, r.begin(), r.end()); }, partitioner);
        return 1;
    });
}

double run_saxpy(void *state, const bench_input *in)
{
    return saxpy_with(state, in, tbb::auto_partitioner());
}

double run_saxpy_static(void *state, const bench_input *in)
{
    return saxpy_with(state, in, tbb::static_partitioner());
}

double run_loop_calls(void *state, const bench_input *in)
{
    return in_arena(state, [&] {
        for (int64_t k = 0; k < in->n; k++)
            tbb::parallel_for(tbb::blocked_range<int>(0, LOOP_LENGTH),
                              [](const tbb::blocked_range<int> &r) { loop_empty(r.begin(), r.end()); });
        return 1;
    });
}

double run_parallel_sort(void *state, const bench_input *in)
{
    return in_arena(state, [&] {
        tbb::parallel_sort(in->keys, in->keys + in->n);
        return 1;
    });
}

/* Graphs of continue_nodes, built and run once; or built and run before, then run again. */
namespace flow = tbb::flow;
using graph_node = flow::continue_node<flow::continue_msg>;

struct built {
    flow::graph graph;
    std::deque<graph_node> nodes;
};

std::unique_ptr<built> kept;

void precede(void *nodes, size_t from, size_t to)
{
    auto &v = *static_cast<std::deque<graph_node> *>(nodes);
    flow::make_edge(v[from], v[to]);
}

void build(graph_shape s, const bench_input *in)
{
    kept = std::make_unique<built>();
    for (int64_t i = 0; i < in->n; i++) {
        uint8_t *flag = in->flags + i;
        kept->nodes.emplace_back(kept->graph, [flag](const flow::continue_msg &) { ++*flag; });
    }
    graph_edges(s, static_cast<size_t>(in->n), precede, &kept->nodes);
}

void go_through()
{
    kept->nodes[0].try_put(flow::continue_msg());
    kept->graph.wait_for_all();
}

template <graph_shape s> double run_graph(void *state, const bench_input *in)
{
    static_cast<team *>(state)->arena.execute([&] {
        build(s, in);
        go_through();
    });
    kept.reset();
    return 1.0;
}

/* The nodes have counted once when this is over; the harness counts from there. */
template <graph_shape s> double prepare_rerun(void *state, const bench_input *in)
{
    static_cast<team *>(state)->arena.execute([&] {
        build(s, in);
        go_through();
    });
    std::fill_n(in->flags, in->n, uint8_t{0});
    return 1.0;
}

double rerun(void *state, const bench_input *)
{
    static_cast<team *>(state)->arena.execute(go_through);
    return 1.0;
}

const peer_case cases[] = {
    {"fib", run_fib},       {"nqueens", run_nqueens}, {"uts_t1", run_uts},        {"uts_t3", run_uts},
    {"cilksort", run_sort}, {"matmul", run_matmul},   {"strassen", run_strassen}, {"integrate", run_integrate},
    {"skynet", run_skynet}, {"flat", run_flat},       {"grain1", run_loop},       {"each", run_loop},
    {"saxpy", run_saxpy},   {"saxpy_other", run_saxpy_static}, {"loopcall", run_loop_calls},
    {"sort", run_parallel_sort}, {"sort_in_place", run_parallel_sort}, {"sort_compare", run_parallel_sort},
    {"graph_chain", run_graph<GRAPH_CHAIN>},
    {"graph_fan", run_graph<GRAPH_FAN>}, {"graph_wavefront", run_graph<GRAPH_WAVEFRONT>},
    {"graph_tree", run_graph<GRAPH_TREE>},
    {"graph_chain_rerun/prepare", prepare_rerun<GRAPH_CHAIN>}, {"graph_chain_rerun", rerun},
    {"graph_fan_rerun/prepare", prepare_rerun<GRAPH_FAN>}, {"graph_fan_rerun", rerun},
    {"graph_wavefront_rerun/prepare", prepare_rerun<GRAPH_WAVEFRONT>}, {"graph_wavefront_rerun", rerun},
    {"graph_tree_rerun/prepare", prepare_rerun<GRAPH_TREE>}, {"graph_tree_rerun", rerun},
    {nullptr, nullptr},
};

constexpr auto warm_limit = std::chrono::milliseconds(200);
constexpr auto fall_asleep = std::chrono::milliseconds(2);

/* The arena's threads come when there is work: gives them some until all have been seen, or for warm_limit. */
void warm(team *t)
{
    auto until = std::chrono::steady_clock::now() + warm_limit;
    std::atomic<int> here{0};
    t->arena.execute([&] {
        tbb::parallel_for(
            0, t->size,
            [&](int) {
                here++;
                while (here < t->size && std::chrono::steady_clock::now() < until)
                    std::this_thread::yield();
            },
            tbb::simple_partitioner());
    });
}

/* A limit on the whole process: one team at a time has it. */
int begin(unsigned workers, void **state)
{
    try {
        team *t = new team(workers);
        *state = t;
        warm(t);
    } catch (const std::exception &) {
        return -ENOMEM;
    }
    return 0;
}

void quiet(void *state)
{
    kept.reset();
    delete static_cast<team *>(state);
    std::this_thread::sleep_for(fall_asleep);
}

void end(void *)
{
}

} // namespace

const struct peer *weir_bench_peer(void)
{
    static const struct peer self = {PEER_VERSION, "tbb", begin, quiet, end, cases, nullptr, nullptr};
    return &self;
}
