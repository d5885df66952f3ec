/* SPDX-License-Identifier: MIT
 *
 * weir/fork_register.h - a register for the fork path, for source files that ask for one.
 *
 * Threads: each has its own register. Invariants: the register holds a guess of the worker's bottom, never more: each
 * fork and join compares it with the word itself, so whatever lies in it only costs time.
 *
 * A fork and a join load and store the worker's `bottom`: each waits for the store of the one before. With a guess in a
 * register they go on at once (docs/decisions/0008 has the figures). A C source file with hot forks that is compiled
 * with gcc asks for it by
 *     #define WEIR_FORK_REGISTER
 * before its first include. The register is one that functions need not preserve, so files with and without it mix
 * freely; -flto does not know such registers. With another compiler, in C++ and on other processors the macro changes
 * nothing.
 */
#ifndef WEIR_FORK_REGISTER_H
#define WEIR_FORK_REGISTER_H

#include <stdint.h>

#ifdef __GNUC__
#pragma GCC system_header /* gcc warns that calls may change the register, and knows no option against that */
#endif

#if !defined(WEIR_FORK_REGISTER)
#define WEIR_GUESSES 0
#elif defined(WEIR_ATOMIC_SEAM)
static uint64_t weir_guess; /* the model checker's threads share it: most guesses are wrong */
#define WEIR_GUESSES 1
#elif defined(__clang__) || defined(__cplusplus) || !defined(__GNUC__)
#define WEIR_GUESSES 0
#elif defined(__x86_64__)
register uint64_t weir_guess __asm__("r11");
#define WEIR_GUESSES 1
#elif defined(__aarch64__)
register uint64_t weir_guess __asm__("x15");
#define WEIR_GUESSES 1
#else
#define WEIR_GUESSES 0
#endif

#endif
