/* SPDX-License-Identifier: MIT
 *
 * admission.h - checking the numbers of the guards.
 *
 * Threads: any.
 */
#ifndef WEIR_API_ADMISSION_H
#define WEIR_API_ADMISSION_H

#include <weir/admission.h>

/* For a queue of that capacity. 0 or -EINVAL (weir_config_error() names the field). */
int admission_check(const weir_admission *a, uint32_t capacity);

#endif
