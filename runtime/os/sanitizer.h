/* SPDX-License-Identifier: MIT
 *
 * sanitizer.h - which sanitizer this build has, and how ThreadSanitizer learns of ordering that code it can't see
 * establishes (liburcu is not instrumented).
 *
 * Threads: any. Without ThreadSanitizer both functions are empty.
 */
#ifndef WEIR_SANITIZER_H
#define WEIR_SANITIZER_H

#if defined(__SANITIZE_ADDRESS__)
#define WEIR_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define WEIR_TSAN 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define WEIR_TSAN 1
#endif
#endif

#ifdef WEIR_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);

static inline void tsan_acquire(void *address)
{
    __tsan_acquire(address);
}
static inline void tsan_release(void *address)
{
    __tsan_release(address);
}
#else
static inline void tsan_acquire(void *address)
{
    (void)address;
}
static inline void tsan_release(void *address)
{
    (void)address;
}
#endif

#endif
