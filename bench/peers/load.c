/* SPDX-License-Identifier: MIT
 *
 * bench/peers/load.c - finds the peers that were built beside weir-bench and loads them.
 *
 * Threads: main thread only.
 * Invariants: a peer's symbols stay its own (RTLD_LOCAL): libgomp and libomp export the same names. A peer that is
 * missing or can't be loaded just does not take part.
 */
#include "../harness.h"
#include "../process.h"
#include "child.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const objects[] = {"libgomp", "libomp", "tbb"};
static const char *const programs[] = {"go", "rayon"};
#define OBJECTS (sizeof objects / sizeof *objects)
#define PROGRAMS (sizeof programs / sizeof *programs)

/* Where a peer is: in the folder of this executable. False when it is not there. */
static bool peer_path(const char *name, const char *suffix, int mode, char *path)
{
    char file[NAME_MAX];
    return (size_t)snprintf(file, sizeof file, "peer-%s%s", name, suffix) < sizeof file &&
           process_sibling(file, mode, path);
}

static const struct peer *load_object(const char *name)
{
    char path[PATH_MAX];
    if (!peer_path(name, ".so", R_OK, path))
        return NULL;
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL) {
        fprintf(stderr, "weir-bench: %s takes no part: %s\n", name, dlerror());
        return NULL;
    }
    const struct peer *(*entry)(void);
    *(void **)&entry = dlsym(object, PEER_ENTRY);
    const struct peer *peer = entry != NULL ? entry() : NULL;
    return peer != NULL && peer->version == PEER_VERSION ? peer : NULL;
}

static const struct peer *load_program(size_t i)
{
    static char path[PROGRAMS][PATH_MAX];
    if (!peer_path(programs[i], "", X_OK, path[i]))
        return NULL;
    return child_peer(programs[i], path[i]);
}

unsigned bench_load_peers(const struct peer *const **peers)
{
    static const struct peer *loaded[OBJECTS + PROGRAMS];
    static unsigned n;
    static bool done;
    for (size_t i = 0; i < OBJECTS + PROGRAMS && !done; i++) {
        const struct peer *peer = i < OBJECTS ? load_object(objects[i]) : load_program(i - OBJECTS);
        if (peer != NULL)
            loaded[n++] = peer;
    }
    done = true;
    *peers = loaded;
    return n;
}
