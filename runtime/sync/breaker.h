/* SPDX-License-Identifier: MIT
 *
 * breaker.h - what the runtime asks of a weir_breaker beyond weir/admission.h: many results at once.
 *
 * Threads: any. Invariants: see breaker.c.
 */
#ifndef WEIR_BREAKER_H
#define WEIR_BREAKER_H

#include <weir/admission.h>

/* As n times weir_breaker_result(), for calls that were no probes and went well; n below 1,000. Changes no state. */
void breaker_went_well(weir_breaker *b, uint64_t now, uint32_t n);

#endif
