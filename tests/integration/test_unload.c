/* SPDX-License-Identifier: MIT
 *
 * test_unload.c - what must hold for a program that loads the library as a part of a plugin and unloads it again.
 *
 * The library's path is in the environment: LIBWEIR.
 */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/weir.h>

TestSuite(unload, .timeout = 60);

typedef int start_fn(weir_runtime **rt, const weir_config *config);
typedef int stop_fn(weir_runtime *rt, weir_stop_mode mode, uint64_t deadline);
typedef int new_fn(weir_worker *w, weir_task_fn *run, size_t size, weir_task **out);
typedef void free_fn(weir_task *t);

static weir_task *run_nothing(weir_worker *w, weir_task *self)
{
    (void)w, (void)self;
    return NULL;
}

static bool found = true;

static void *symbol(void *library, const char *name)
{
    void *p = dlsym(library, name);
    found = found && p != NULL;
    return p;
}

/* Leaves what threads leave: marks of visits, a pool of records. */
static void *load_use_unload(void *path)
{
    weir_runtime *rt;
    weir_task *t;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return "not loaded";
    start_fn *start = (start_fn *)symbol(library, "weir_start");
    stop_fn *stop = (stop_fn *)symbol(library, "weir_stop");
    new_fn *new_task = (new_fn *)symbol(library, "weir_task_new");
    free_fn *free_task = (free_fn *)symbol(library, "weir_task_free");
    if (!found || start(&rt, NULL) != 0 || new_task(NULL, run_nothing, 8, &t) != 0)
        return "not usable";
    free_task(t);
    if (stop(rt, WEIR_DRAIN, WEIR_FOREVER) != 0)
        return "not stopped";
    return dlclose(library) == 0 ? NULL : "not unloaded";
}

Test(unload, threads_that_have_used_it_end_and_processes_fork_after_it_was_unloaded)
{
    char *path = getenv("LIBWEIR");
    void *why = NULL;
    cr_assert_not_null(path);
    for (unsigned round = 0; round < 3; round++) {
        pthread_t thread;
        cr_assert_eq(pthread_create(&thread, NULL, load_use_unload, path), 0);
        cr_assert_eq(pthread_join(thread, &why), 0);
        cr_assert_null(why, "%s", (const char *)why);
    }
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0)
        _exit(7);
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}
