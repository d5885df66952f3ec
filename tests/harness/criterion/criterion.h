/* SPDX-License-Identifier: MIT
 *
 * criterion/criterion.h - the part of Criterion's interface that weir's tests use, for sanitizer builds.
 *
 * ThreadSanitizer's address space has no room for Criterion's shared memory, and Criterion's children end without a
 * leak check. A sanitizer build puts this folder before the system's, so that the same test files compile;
 * tests/harness/harness.c runs them.
 *
 * Threads: an assertion that fails, on any thread, ends the test's process.
 */
#ifndef WEIR_TESTS_CRITERION_H
#define WEIR_TESTS_CRITERION_H

#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct harness_options {
    int first_; /* lets the options begin with a designator, or be absent */
    void (*init)(void);
    void (*fini)(void);
    double timeout; /* seconds; 0: the harness's default */
    int signal;     /* the test is to die of this signal */
    int exit_code;  /* or to exit with this code */
    bool disabled;
    const char *description;
};

struct harness_test {
    const char *suite, *name;
    void (*body)(void); /* NULL: these are the options of the suite itself */
    struct harness_options options;
    struct harness_test *next;
};

void harness_add(struct harness_test *t);
/* Reports a failure; `fatal` ends the test. */
void harness_fail(const char *file, int line, bool fatal, const char *condition, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
_Noreturn void harness_skip(void);

#define HARNESS_REGISTER_(suite_, name_, string_, body_, ...) \
    __attribute__((constructor)) static void harness_add_##suite_##_##name_(void) \
    { \
        static struct harness_test t = {#suite_, string_, body_, {.first_ = 0, __VA_ARGS__}, NULL}; \
        harness_add(&t); \
    }

#define Test(suite_, name_, ...) \
    static void harness_body_##suite_##_##name_(void); \
    HARNESS_REGISTER_(suite_, name_, #name_, harness_body_##suite_##_##name_, __VA_ARGS__) \
    static void harness_body_##suite_##_##name_(void)

#define TestSuite(suite_, ...) \
    HARNESS_REGISTER_(suite_, harness_suite_, "", NULL, __VA_ARGS__) \
    struct harness_test

/* The message is optional: " " keeps the format from being empty. */
#define HARNESS_CHECK_(fatal, cond, text, ...) \
    ((cond) ? (void)0 : harness_fail(__FILE__, __LINE__, fatal, text, " " __VA_ARGS__))

#define cr_assert(c, ...) HARNESS_CHECK_(true, c, #c, __VA_ARGS__)
#define cr_assert_not(c, ...) HARNESS_CHECK_(true, !(c), "not " #c, __VA_ARGS__)
#define cr_assert_eq(a, b, ...) HARNESS_CHECK_(true, (a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...) HARNESS_CHECK_(true, (a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...) HARNESS_CHECK_(true, (a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...) HARNESS_CHECK_(true, (a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...) HARNESS_CHECK_(true, (a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...) HARNESS_CHECK_(true, (a) >= (b), #a " >= " #b, __VA_ARGS__)
#define cr_assert_null(p, ...) HARNESS_CHECK_(true, (p) == NULL, #p " is NULL", __VA_ARGS__)
#define cr_assert_not_null(p, ...) HARNESS_CHECK_(true, (p) != NULL, #p " is not NULL", __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) HARNESS_CHECK_(true, strcmp(a, b) == 0, #a " equals " #b, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) HARNESS_CHECK_(true, strcmp(a, b) != 0, #a " differs from " #b, __VA_ARGS__)
#define cr_assert_arr_eq(a, b, n, ...) HARNESS_CHECK_(true, memcmp(a, b, n) == 0, #a " equals " #b, __VA_ARGS__)
#define cr_assert_float_eq(a, b, e, ...) HARNESS_CHECK_(true, fabs((a) - (b)) <= (e), #a " is near " #b, __VA_ARGS__)
#define cr_assert_fail(...) HARNESS_CHECK_(true, false, "failed", __VA_ARGS__)
#define cr_fatal(...) HARNESS_CHECK_(true, false, "failed", __VA_ARGS__)

#define cr_expect(c, ...) HARNESS_CHECK_(false, c, #c, __VA_ARGS__)
#define cr_expect_not(c, ...) HARNESS_CHECK_(false, !(c), "not " #c, __VA_ARGS__)
#define cr_expect_eq(a, b, ...) HARNESS_CHECK_(false, (a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_expect_neq(a, b, ...) HARNESS_CHECK_(false, (a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_expect_lt(a, b, ...) HARNESS_CHECK_(false, (a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_expect_leq(a, b, ...) HARNESS_CHECK_(false, (a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_expect_gt(a, b, ...) HARNESS_CHECK_(false, (a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_expect_geq(a, b, ...) HARNESS_CHECK_(false, (a) >= (b), #a " >= " #b, __VA_ARGS__)
#define cr_expect_null(p, ...) HARNESS_CHECK_(false, (p) == NULL, #p " is NULL", __VA_ARGS__)
#define cr_expect_not_null(p, ...) HARNESS_CHECK_(false, (p) != NULL, #p " is not NULL", __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...) HARNESS_CHECK_(false, strcmp(a, b) == 0, #a " equals " #b, __VA_ARGS__)
#define cr_fail(...) HARNESS_CHECK_(false, false, "failed", __VA_ARGS__)

#define cr_skip(...) harness_skip()
#define cr_skip_test(...) harness_skip()
#define cr_log_info(...) (printf("# " __VA_ARGS__), printf("\n"))
#define cr_log_warn(...) cr_log_info(__VA_ARGS__)

#endif
