/* SPDX-License-Identifier: MIT
 *
 * model_poller.h - the device behind the model's poller.
 *
 * Threads: any.
 */
#ifndef MODEL_POLLER_H
#define MODEL_POLLER_H

#define DEVICE_OPS 4u /* operations that a client may have; weir_io.fd is the number of one */

/* Operation `op` completes with the result 1: now, or when it is started. */
void device_fire(unsigned op);

#endif
