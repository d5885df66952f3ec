/* SPDX-License-Identifier: MIT
 *
 * config.h - checking a configuration.
 *
 * Threads: any.
 */
#ifndef WEIR_CONFIG_H
#define WEIR_CONFIG_H

#include <weir/runtime.h>

/* Remembers the name of a bad field for weir_config_error(). Returns -EINVAL. field: static storage. */
int config_refuse(const char *field);
/* Checks *in and copies it to *out with capacities rounded up. 0 or -EINVAL (weir_config_error() names the field). */
int config_check(const weir_config *in, weir_config *out);

#endif
