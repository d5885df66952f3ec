/* SPDX-License-Identifier: MIT
 *
 * probes.h - USDT probes, provider "weir": one nop each while nobody listens.
 *
 * Arguments keep their order for ever: tools depend on it.
 *   task_begin(worker, task, run)   task_end(worker, task)     steal(thief, victim, task)
 *   park(worker)                    unpark(worker)             inject(worker, oldest task, n)
 *   node_begin(worker, number of the node in its graph, function)
 * In steal() the victim is the thief itself where the task was given to it directly (sched/handoff.h).
 *
 * Threads: any.
 */
#ifndef WEIR_PROBES_H
#define WEIR_PROBES_H

#ifdef WEIR_HAVE_SDT
#include <sys/sdt.h>
#define PROBE1(name, a) DTRACE_PROBE1(weir, name, a)
#define PROBE2(name, a, b) DTRACE_PROBE2(weir, name, a, b)
#define PROBE3(name, a, b, c) DTRACE_PROBE3(weir, name, a, b, c)
#else
#define PROBE1(name, a) ((void)(a))
#define PROBE2(name, a, b) ((void)(a), (void)(b))
#define PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif

#endif
