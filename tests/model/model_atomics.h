/* SPDX-License-Identifier: MIT
 *
 * model_atomics.h - the model checker's side of the atomics seam: every WEIR_ATOMIC_* operation becomes a call.
 *
 * Named by -DWEIR_ATOMIC_SEAM='"model_atomics.h"'; weir/base.h includes it. The macros are generic over the 4 and 8
 * byte words of base.h and over pointers.
 */
#ifndef MODEL_ATOMICS_H
#define MODEL_ATOMICS_H

#include <stdbool.h>
#include <stdint.h>

uint64_t model_load(const void *p, unsigned size, int order, const char *file, int line);
void model_store(void *p, unsigned size, uint64_t x, int order, const char *file, int line);
uint64_t model_rmw(void *p, unsigned size, int what, uint64_t x, int order, const char *file, int line);
bool model_cas(void *p, unsigned size, void *expected, uint64_t x, int order, int fail, bool weak, const char *file,
               int line);
void model_fence(int order, const char *file, int line);
void model_light(const char *file, int line);
void model_heavy(const char *file, int line);
void model_payload(const void *p, bool write, const char *what, const char *file, int line);

enum { MODEL_XCHG, MODEL_ADD, MODEL_SUB, MODEL_OR, MODEL_AND };

#define MODEL_T_(p) __typeof__(1 ? (p)->v : (p)->v) /* the type of the word without its qualifiers */
#define MODEL_U_(p, x) ((uint64_t)(MODEL_T_(p))(x))
#define MODEL_RMW_(p, what, x, order) \
    __extension__({ (MODEL_T_(p))model_rmw(&(p)->v, (unsigned)sizeof((p)->v), what, MODEL_U_(p, x), order, __FILE__, \
                                           __LINE__); })

#define WEIR_ATOMIC_LOAD(p, order) \
    ((MODEL_T_(p))model_load(&(p)->v, (unsigned)sizeof((p)->v), order, __FILE__, __LINE__))
#define WEIR_ATOMIC_STORE(p, x, order) \
    model_store(&(p)->v, (unsigned)sizeof((p)->v), MODEL_U_(p, x), order, __FILE__, __LINE__)
#define WEIR_ATOMIC_XCHG(p, x, order) MODEL_RMW_(p, MODEL_XCHG, x, order)
#define WEIR_ATOMIC_ADD(p, x, order) MODEL_RMW_(p, MODEL_ADD, x, order)
#define WEIR_ATOMIC_SUB(p, x, order) MODEL_RMW_(p, MODEL_SUB, x, order)
#define WEIR_ATOMIC_OR(p, x, order) MODEL_RMW_(p, MODEL_OR, x, order)
#define WEIR_ATOMIC_AND(p, x, order) MODEL_RMW_(p, MODEL_AND, x, order)
#define WEIR_ATOMIC_CAS(p, expected, x, order, fail) \
    model_cas(&(p)->v, (unsigned)sizeof((p)->v), (expected), MODEL_U_(p, x), order, fail, false, __FILE__, __LINE__)
#define WEIR_ATOMIC_CAS_WEAK(p, expected, x, order, fail) \
    model_cas(&(p)->v, (unsigned)sizeof((p)->v), (expected), MODEL_U_(p, x), order, fail, true, __FILE__, __LINE__)
#define WEIR_ATOMIC_FENCE(order) model_fence(order, __FILE__, __LINE__)
#define WEIR_PLAIN_READS(x) model_payload(&(x), false, #x, __FILE__, __LINE__)
#define WEIR_PLAIN_WRITES(x) model_payload(&(x), true, #x, __FILE__, __LINE__)
#define WEIR_ATOMIC_LIGHT() model_light(__FILE__, __LINE__)

/* A call of os_membarrier() gets its place as well; os.h's declaration, which has an argument (void), another name. */
#define os_membarrier(...) MODEL_PICK_(0, ##__VA_ARGS__, model_no_heavy(void), model_heavy(__FILE__, __LINE__), 0)
#define MODEL_PICK_(none, some, picked, ...) picked

#endif
