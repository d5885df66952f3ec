/* SPDX-License-Identifier: MIT
 *
 * weir/weir.h - everything: include this one.
 */
#ifndef WEIR_WEIR_H
#define WEIR_WEIR_H

#include <weir/admission.h>
#include <weir/algo.h>
#include <weir/await.h>
#include <weir/base.h>
#include <weir/event.h>
#include <weir/flow.h>
#include <weir/fork.h>
#include <weir/gate.h>
#include <weir/graph.h>
#include <weir/io.h>
#include <weir/runtime.h>
#include <weir/sizing.h>
#include <weir/sort.h>
#include <weir/stats.h>
#include <weir/task.h>
#include <weir/time.h>

#endif
