/* SPDX-License-Identifier: MIT
 *
 * weir/base.h - export marks, version, error codes and the atomic words that public records contain.
 *
 * Threads: everything here may be called from any thread.
 */
#ifndef WEIR_BASE_H
#define WEIR_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_VERSION_MAJOR 0
#define WEIR_VERSION_MINOR 1
#define WEIR_VERSION_PATCH 0

/* Marks a function that libweir exports; everything else in the library is hidden. */
#define WEIR_API __attribute__((visibility("default")))
#define WEIR_MUST_USE __attribute__((warn_unused_result))
#define WEIR_LIKELY(x) __builtin_expect(!!(x), 1)
#define WEIR_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define WEIR_INLINE static inline __attribute__((always_inline, unused))

/*
 * Atomic words. A one-member struct keeps plain accesses from compiling by accident, and has the same layout in C11
 * and in C++17, where _Atomic does not exist. All access goes through the WEIR_ATOMIC_* operations below; they are the
 * C11 memory model (the `order` arguments are the __ATOMIC_* constants, equal to memory_order_*).
 */
typedef struct weir_atomic_u32 { uint32_t v; } weir_atomic_u32;
typedef struct weir_atomic_u64 { uint64_t v; } weir_atomic_u64;
typedef struct weir_atomic_ptr { void *v; } weir_atomic_ptr;

/*
 * The seam: a build that defines WEIR_ATOMIC_SEAM (a header name in quotes) supplies these operations itself. The model
 * checker and the delay injector do so; user code never does.
 */
#ifdef WEIR_ATOMIC_SEAM
#include WEIR_ATOMIC_SEAM
#else
#define WEIR_ATOMIC_LOAD(p, order) __atomic_load_n(&(p)->v, order)
#define WEIR_ATOMIC_STORE(p, x, order) __atomic_store_n(&(p)->v, x, order)
#define WEIR_ATOMIC_XCHG(p, x, order) __atomic_exchange_n(&(p)->v, x, order)
#define WEIR_ATOMIC_CAS(p, expected, x, order, fail) __atomic_compare_exchange_n(&(p)->v, expected, x, 0, order, fail)
#define WEIR_ATOMIC_CAS_WEAK(p, expected, x, order, fail) \
    __atomic_compare_exchange_n(&(p)->v, expected, x, 1, order, fail)
#define WEIR_ATOMIC_ADD(p, x, order) __atomic_fetch_add(&(p)->v, x, order)
#define WEIR_ATOMIC_SUB(p, x, order) __atomic_fetch_sub(&(p)->v, x, order)
#define WEIR_ATOMIC_OR(p, x, order) __atomic_fetch_or(&(p)->v, x, order)
#define WEIR_ATOMIC_AND(p, x, order) __atomic_fetch_and(&(p)->v, x, order)
#define WEIR_ATOMIC_FENCE(order) __atomic_thread_fence(order)
/* The cheap side of an asymmetric fence: orders nothing in the processor, stops the compiler. Partner: membarrier. */
#define WEIR_ATOMIC_LIGHT() __asm__ __volatile__("" ::: "memory")
#endif
/*
 * Whether `value` is at or above the word, read relaxed. On its own gcc loads an atomic word into a register before it
 * compares: an instruction more in each fork and each join (docs/decisions/0020).
 */
#if defined(__x86_64__) && defined(__LP64__) && defined(__GCC_ASM_FLAG_OUTPUTS__) && !defined(__clang__) && \
    !defined(WEIR_ATOMIC_SEAM) && !defined(__SANITIZE_THREAD__)
#define WEIR_ATOMIC_REACHED(p, value) __extension__({ \
        bool reached_; \
        __asm__("cmp{q %1, %2| %2, %1}" : "=@ccae"(reached_) : "m"((p)->v), "r"((uint64_t)(value))); \
        reached_; \
    })
#else
#define WEIR_ATOMIC_REACHED(p, value) ((value) >= (uintptr_t)WEIR_ATOMIC_LOAD(p, __ATOMIC_RELAXED))
#endif

/* The version of the library that is linked, "major.minor.patch". Static storage. */
WEIR_API const char *weir_version(void);

/*
 * A sentence for an error that a weir call returned.
 * error: a negative errno value, or 0; a code that weir does not return gets the C library's text. Returns static
 * storage, never NULL; unknown codes give "unknown error".
 */
WEIR_API const char *weir_strerror(int error);

#ifdef __cplusplus
}
#endif

#endif
