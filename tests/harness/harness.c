/* SPDX-License-Identifier: MIT
 *
 * harness.c - runs the tests of a file one after another, each in a forked child, and writes TAP.
 *
 * Options: --filter SUITE/NAME runs the tests whose "suite/name" contains that text; --list names them; others are
 * Criterion's and ignored.
 */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_DEFAULT 120u /* seconds per test: a sanitizer slows down by ten to twenty */
#define EXIT_SKIPPED 77

static struct harness_test *first, **last = &first;
static volatile sig_atomic_t failed;

void harness_add(struct harness_test *t)
{
    *last = t;
    last = &t->next;
}

void harness_fail(const char *file, int line, bool fatal, const char *condition, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    fprintf(stderr, "%s:%d: assertion failed: %s%s\n", file, line, condition, message);
    failed = 1;
    if (fatal) {
        fflush(NULL);
        _exit(EXIT_FAILURE);
    }
}

void harness_skip(void)
{
    fflush(NULL);
    _exit(EXIT_SKIPPED);
}

static const struct harness_options *suite_options(const char *suite)
{
    static const struct harness_options none;
    for (struct harness_test *t = first; t; t = t->next)
        if (t->body == NULL && strcmp(t->suite, suite) == 0)
            return &t->options;
    return &none;
}

static _Noreturn void child(const struct harness_test *t, const struct harness_options *of_suite)
{
    double limit = t->options.timeout > 0 ? t->options.timeout : of_suite->timeout;
    alarm(limit > 0 ? (unsigned)ceil(limit) : TIMEOUT_DEFAULT);
    void (*init)(void) = t->options.init ? t->options.init : of_suite->init;
    void (*fini)(void) = t->options.fini ? t->options.fini : of_suite->fini;
    if (init)
        init();
    t->body();
    if (fini)
        fini();
    exit(failed ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* Whether the way a test's process ended is the one it asked for. */
static bool as_expected(const struct harness_test *t, int status)
{
    if (t->options.signal)
        return WIFSIGNALED(status) && WTERMSIG(status) == t->options.signal;
    return WIFEXITED(status) && WEXITSTATUS(status) == t->options.exit_code;
}

/* Returns whether the test failed. */
static bool run(const struct harness_test *t, unsigned number)
{
    const struct harness_options *of_suite = suite_options(t->suite);
    if (t->options.disabled || of_suite->disabled) {
        printf("ok %u - %s::%s # SKIP disabled\n", number, t->suite, t->name);
        return false;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        child(t, of_suite);
    int status = -1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        printf("not ok %u - %s::%s no process\n", number, t->suite, t->name);
        return true;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED) {
        printf("ok %u - %s::%s # SKIP\n", number, t->suite, t->name);
        return false;
    }
    bool good = as_expected(t, status);
    printf("%s %u - %s::%s", good ? "ok" : "not ok", number, t->suite, t->name);
    if (!good && WIFSIGNALED(status))
        printf(" died of signal %d%s", WTERMSIG(status), WTERMSIG(status) == SIGALRM ? ", the time limit" : "");
    else if (!good)
        printf(" exit status %d", WEXITSTATUS(status));
    printf("\n");
    return !good;
}

static bool selected(const struct harness_test *t, const char *filter)
{
    char name[256];
    snprintf(name, sizeof name, "%s/%s", t->suite, t->name);
    return t->body != NULL && (filter == NULL || strstr(name, filter) != NULL);
}

/* Called by AddressSanitizer. Freed memory waits in mappings of its own: tests that count mappings bound it. */
const char *__asan_default_options(void);
__attribute__((visibility("default"), used)) const char *__asan_default_options(void)
{
    return "quarantine_size_mb=16";
}

int main(int argc, char **argv)
{
    const char *filter = NULL;
    bool list = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc)
            filter = argv[++i];
        else if (strcmp(argv[i], "--list") == 0)
            list = true;
    }
    unsigned count = 0, number = 0, bad = 0;
    for (struct harness_test *t = first; t; t = t->next)
        count += selected(t, filter);
    if (!list)
        printf("TAP version 13\n1..%u\n", count);
    for (struct harness_test *t = first; t; t = t->next) {
        if (!selected(t, filter))
            continue;
        if (list)
            printf("%s/%s\n", t->suite, t->name);
        else
            bad += run(t, ++number);
    }
    return bad != 0;
}
