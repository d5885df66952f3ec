/* SPDX-License-Identifier: MIT
 *
 * treewc - counts the lines, words and bytes of every regular file in directory trees, as GNU wc does.
 *
 *     treewc [-v] [-j WORKERS] [PATH...]
 *
 * A directory is a task that lists a batch of entries and then puts itself below the tasks of these entries: its worker
 * goes depth first, a thief goes on with the listing. So a worker holds at most a batch per level of the tree, however
 * wide it is. A file is a pooled task; a large one is cut into chunks, which are tasks too. Totals go up by
 * continuations: a directory is finished by whoever finishes the last thing in it. Nobody waits anywhere.
 *
 * Threads: everything named dir_, file_, chunk_ runs on workers; main() only waits on a latch and shows the progress.
 * Invariants: a record outlives whatever owes it a completion, so that children may use their parent's fields;
 * a worker has one file or directory open, besides large files that thieves are still reading, and directories whose
 * listing is suspended, of which there are at most app.streams_max.
 * Exit status: 0; 1 when something could not be read; 2 when treewc itself can't work.
 */
#define _GNU_SOURCE
#include <weir/weir.h>

#include "treefile.h"
#include "wordscan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES (UINT64_C(1) << 20) /* files above this size are cut into chunks of at least this size */
#define CHUNKS_MAX 4096u                /* chunks of one file: bounds the memory that a file takes */
#define BUFFER_BYTES ((size_t)256 << 10)
#define BATCH 128u                      /* entries that a directory lists in one go */
#define PROGRESS_NS UINT64_C(200000000) /* between two progress lines */
#define CONTAINER(p, type, member) ((type *)(void *)((char *)(p) - offsetof(type, member)))

/* What each worker works with; the counts have one writer, and main() reads them for the progress line. */
struct desk {
    _Alignas(128) unsigned char *buffer;
    char *path;
    size_t path_room;
    _Atomic uint64_t files, bytes;
};

struct dir {
    weir_task list; /* lists a batch */
    weir_task done; /* continuation: owes one completion per entry, and one for the listing */
    struct dir *parent;
    DIR *stream; /* while the listing is under way */
    _Atomic uint64_t lines, words, bytes;
    size_t path_length;
    char name[];
};

struct entry { /* the payload of a file's pooled task */
    struct dir *dir;
    const char *name;
    char copy[];
};

struct chunk {
    weir_task task;
    struct large *file;
    uint64_t from, to;
    int error;
    struct summary summary;
};

struct large { /* a file in chunks */
    weir_task done; /* continuation: owes one completion per chunk */
    struct dir *dir;
    int fd;
    unsigned chunks;
    const char *name; /* lies behind the chunks */
    struct chunk chunk[];
};

static struct {
    struct wordscan scan;
    struct desk *desks;
    char **arguments;
    struct dir *root;
    weir_latch finished;
    _Atomic bool failed;
    _Atomic unsigned streams; /* suspended listings */
    unsigned streams_max;
    bool verbose, progress;
} app;

/* --- names, errors, totals --- */

static struct desk *desk_of(const weir_worker *w)
{
    return &app.desks[weir_worker_index(w)];
}

static bool needs_slash(const char *name)
{
    size_t n = strlen(name);
    return n == 0 || name[n - 1] != '/';
}

/* The length of the path of an entry of `d`. Entries of the root are the arguments as they were given. */
static size_t path_length(const struct dir *d, const char *name)
{
    return d->path_length + (d->parent != NULL && needs_slash(d->name)) + strlen(name);
}

/* Puts the path together at the worker's desk, from its end: directories know only their own name and their parent. */
static const char *path_of(struct desk *desk, const struct dir *d, const char *name)
{
    size_t length = path_length(d, name);
    if (length >= desk->path_room) {
        char *more = realloc(desk->path, 2 * length + 1);
        if (more == NULL)
            return NULL;
        desk->path = more;
        desk->path_room = 2 * length + 1;
    }
    char *p = desk->path + length - strlen(name);
    memcpy(p, name, strlen(name) + 1);
    for (; d->parent != NULL; d = d->parent) {
        size_t n = strlen(d->name);
        if (needs_slash(d->name))
            *--p = '/';
        p -= n;
        memcpy(p, d->name, n);
    }
    return desk->path;
}

static void complain(struct desk *desk, const struct dir *d, const char *name, int error)
{
    const char *path = path_of(desk, d, name);
    atomic_store_explicit(&app.failed, true, memory_order_relaxed);
    fprintf(stderr, "%streewc: %s: %s\n", app.progress ? "\r\033[K" : "", path != NULL ? path : name, strerror(error));
}

/* relaxed: the completion that the caller's task pays next orders these sums before the continuation. */
static void add_totals(struct dir *d, uint64_t lines, uint64_t words, uint64_t bytes)
{
    atomic_fetch_add_explicit(&d->lines, lines, memory_order_relaxed);
    atomic_fetch_add_explicit(&d->words, words, memory_order_relaxed);
    atomic_fetch_add_explicit(&d->bytes, bytes, memory_order_relaxed);
}

static void count_progress(struct desk *desk, unsigned files, uint64_t bytes)
{
    uint64_t f = atomic_load_explicit(&desk->files, memory_order_relaxed);
    uint64_t b = atomic_load_explicit(&desk->bytes, memory_order_relaxed);
    atomic_store_explicit(&desk->files, f + files, memory_order_relaxed);
    atomic_store_explicit(&desk->bytes, b + bytes, memory_order_relaxed);
}

/* --- files --- */

static weir_task *chunk_run(weir_worker *w, weir_task *self)
{
    struct chunk *c = CONTAINER(self, struct chunk, task);
    struct desk *desk = desk_of(w);
    struct range range = {c->file->fd, c->from, c->to, UINT64_MAX};
    c->error = range_scan(&app.scan, &range, desk->buffer, BUFFER_BYTES, &c->summary);
    count_progress(desk, 0, c->summary.bytes);
    return NULL;
}

/* The last chunk is in: combines the summaries in the order of the file. Pays one completion of the directory. */
static weir_task *large_done(weir_worker *w, weir_task *self)
{
    struct large *f = CONTAINER(self, struct large, done);
    struct summary sum = {0};
    int error = 0;
    for (unsigned i = 0; i < f->chunks; i++) {
        sum = summary_combine(&sum, &f->chunk[i].summary);
        error = error != 0 ? error : f->chunk[i].error;
    }
    if (error != 0)
        complain(desk_of(w), f->dir, f->name, error);
    add_totals(f->dir, sum.lines, sum.words, sum.bytes);
    count_progress(desk_of(w), 1, 0);
    close(f->fd);
    free(f);
    return NULL;
}

/* Cuts a file into chunks and spawns all but the first, which it returns. NULL: no memory. */
static weir_task *large_start(weir_worker *w, struct entry *e, int fd, uint64_t size)
{
    uint64_t span = size / CHUNKS_MAX < CHUNK_BYTES ? CHUNK_BYTES : size / CHUNKS_MAX + 1;
    unsigned chunks = (unsigned)((size + span - 1) / span);
    size_t room = sizeof(struct large) + chunks * sizeof(struct chunk), name_room = strlen(e->name) + 1;
    struct large *f = calloc(1, room + name_room);
    if (f == NULL)
        return NULL;
    f->name = memcpy((char *)f + room, e->name, name_room);
    f->dir = e->dir;
    f->fd = fd;
    f->chunks = chunks;
    weir_owe(&f->dir->done, 1); /* allowed: the file's own task has not paid yet */
    weir_continuation_init(&f->done, large_done, chunks);
    weir_task_then(&f->done, &f->dir->done);
    for (unsigned i = chunks; i-- > 0;) {
        struct chunk *c = &f->chunk[i];
        c->file = f;
        c->from = i * span;
        c->to = i + 1 == chunks ? UINT64_MAX : c->from + span;
        weir_task_init(&c->task, chunk_run);
        weir_task_then(&c->task, &f->done);
        if (i > 0)
            weir_spawn(w, &c->task);
    }
    return &f->chunk[0].task; /* f stays: this chunk has not paid */
}

static weir_task *file_run(weir_worker *w, weir_task *self)
{
    struct entry *e = weir_task_payload(self);
    struct desk *desk = desk_of(w);
    bool argument = e->dir->parent == NULL;
    const char *path = path_of(desk, e->dir, e->name);
    int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (argument ? 0 : O_NOFOLLOW);
    int fd = path != NULL ? path_open(path, flags) : -ENOMEM;
    struct stat st;
    if (fd < 0) {
        if (fd != -ELOOP || argument) /* else it has become a symbolic link, and those don't count */
            complain(desk, e->dir, e->name, -fd);
        return NULL;
    }
    if (fstat(fd, &st) < 0) {
        complain(desk, e->dir, e->name, errno);
    } else if (S_ISREG(st.st_mode)) { /* else it was replaced since it was listed */
        uint64_t size = (uint64_t)st.st_size;
        weir_task *chunk = size > CHUNK_BYTES ? large_start(w, e, fd, size) : NULL;
        if (chunk != NULL)
            return chunk;
        struct summary sum = {0};
        struct range whole = {fd, 0, UINT64_MAX, size};
        int error = range_scan(&app.scan, &whole, desk->buffer, BUFFER_BYTES, &sum);
        if (error != 0)
            complain(desk, e->dir, e->name, error);
        add_totals(e->dir, sum.lines, sum.words, sum.bytes);
        count_progress(desk, 1, sum.bytes);
    }
    close(fd);
    return NULL;
}

/* --- directories --- */

static void print_totals(const struct dir *d, const char *name)
{
    printf("%7ju %7ju %7ju %s\n", (uintmax_t)d->lines, (uintmax_t)d->words, (uintmax_t)d->bytes, name);
}

/* Everything in a directory is counted: adds it to the parent, of which this pays one completion. */
static weir_task *dir_done(weir_worker *w, weir_task *self)
{
    struct dir *d = CONTAINER(self, struct dir, done);
    if (app.verbose) {
        const char *path = path_of(desk_of(w), d->parent, d->name);
        print_totals(d, path != NULL ? path : d->name);
    }
    add_totals(d->parent, d->lines, d->words, d->bytes);
    free(d);
    return NULL;
}

static weir_task *dir_list(weir_worker *w, weir_task *self);

/* Makes the task of one entry; NULL when there is nothing to do for it. */
static weir_task *entry_task(weir_worker *w, struct dir *d, const char *name, mode_t type)
{
    weir_task *t = NULL;
    struct dir *sub = NULL;
    size_t n = strlen(name) + 1, copied = d->parent == NULL ? 0 : n; /* an argument's name stays where it is */
    if (S_ISREG(type) && weir_task_new(w, file_run, sizeof(struct entry) + copied, &t) == 0) {
        struct entry *e = weir_task_payload(t);
        e->dir = d;
        e->name = copied == 0 ? name : memcpy(e->copy, name, n);
        weir_task_then(t, &d->done);
    } else if (S_ISDIR(type) && (sub = calloc(1, sizeof *sub + n)) != NULL) {
        sub->parent = d;
        sub->path_length = path_length(d, name);
        memcpy(sub->name, name, n);
        weir_task_init(&sub->list, dir_list);
        weir_continuation_init(&sub->done, dir_done, 1);
        weir_task_then(&sub->done, &d->done);
        t = &sub->list;
    } else if (S_ISREG(type) || S_ISDIR(type)) {
        complain(desk_of(w), d, name, ENOMEM);
    }
    return t;
}

/* Opens a directory for listing. Returns 0 or a positive errno. */
static int dir_open(struct desk *desk, struct dir *d)
{
    const char *path = path_of(desk, d->parent, d->name);
    int nofollow = d->parent->parent != NULL ? O_NOFOLLOW : 0;
    int fd = path != NULL ? path_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | nofollow) : -ENOMEM;
    if (fd < 0)
        return -fd;
    d->stream = fdopendir(fd);
    int error = errno;
    if (d->stream == NULL)
        close(fd);
    return d->stream == NULL ? error : 0;
}

/* Makes the tasks of the next entries, at most BATCH; *end says that there are no more. */
static unsigned dir_batch(weir_worker *w, struct dir *d, weir_task **tasks, bool *end)
{
    unsigned n = 0;
    while (n < BATCH) {
        errno = 0;
        struct dirent *e = readdir(d->stream);
        if (e == NULL) {
            if (errno != 0)
                complain(desk_of(w), d->parent, d->name, errno);
            *end = true;
            return n;
        }
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        mode_t type = DTTOIF((mode_t)e->d_type);
        struct stat st;
        if (e->d_type == DT_UNKNOWN) { /* the file system doesn't tell */
            if (fstatat(dirfd(d->stream), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                complain(desk_of(w), d, e->d_name, errno);
                continue;
            }
            type = st.st_mode;
        }
        tasks[n] = entry_task(w, d, e->d_name, type);
        n += tasks[n] != NULL;
    }
    return n;
}

static weir_task *dir_list(weir_worker *w, weir_task *self)
{
    struct dir *d = CONTAINER(self, struct dir, list);
    weir_task *tasks[BATCH];
    if (d->stream != NULL) {
        atomic_fetch_sub_explicit(&app.streams, 1, memory_order_relaxed); /* resumed */
    } else {
        int error = dir_open(desk_of(w), d);
        if (error != 0) {
            complain(desk_of(w), d->parent, d->name, error);
            return weir_release(&d->done);
        }
    }
    for (bool end = false;;) {
        unsigned n = dir_batch(w, d, tasks, &end);
        if (n > 0)
            weir_owe(&d->done, n); /* before any of them is spawned */
        if (end)
            closedir(d->stream);
        weir_task *next = n > 0 ? tasks[--n] : NULL;
        /* Past the limit of open streams the directory is listed to its end, at the price of memory. */
        bool suspend = !end && atomic_fetch_add_explicit(&app.streams, 1, memory_order_relaxed) < app.streams_max;
        if (!end && !suspend)
            atomic_fetch_sub_explicit(&app.streams, 1, memory_order_relaxed);
        if (suspend)
            weir_spawn(w, &d->list); /* another worker may list on from here; d stays, as `next` has not paid */
        for (unsigned i = 0; i < n; i++)
            weir_spawn(w, tasks[i]);
        if (suspend)
            return next; /* a batch that is not the last is full */
        if (end) {
            weir_task *done = weir_release(&d->done);
            return next != NULL ? next : done; /* with a `next` outstanding, done is NULL */
        }
        weir_spawn(w, next);
    }
}

/* --- the root: its entries are the arguments, its continuation opens the latch --- */

static weir_task *root_list(weir_worker *w, weir_task *self)
{
    struct dir *root = CONTAINER(self, struct dir, list);
    for (char **a = app.arguments; *a != NULL; a++) {
        struct stat st;
        int error = stat(*a, &st) < 0 ? errno : 0;
        if (error == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
            error = EINVAL; /* a device or a pipe has no end */
        weir_task *t = error == 0 ? entry_task(w, root, *a, st.st_mode) : NULL;
        if (error != 0)
            complain(desk_of(w), root, *a, error);
        if (t != NULL) {
            weir_owe(&root->done, 1);
            weir_spawn(w, t);
        }
    }
    return weir_release(&root->done);
}

static weir_task *root_done(weir_worker *w, weir_task *self)
{
    (void)w;
    (void)self;
    (void)weir_latch_arrive(&app.finished, 1); /* can't fail: this is the only arrival */
    return NULL;
}

/* --- main --- */

static int fatal(const char *what, int error)
{
    fprintf(stderr, "treewc: %s: %s\n", what != NULL ? what : "the runtime", weir_strerror(error));
    return 2;
}

static bool desks_open(unsigned n)
{
    app.desks = aligned_alloc(_Alignof(struct desk), n * sizeof *app.desks);
    if (app.desks == NULL)
        return false;
    memset(app.desks, 0, n * sizeof *app.desks);
    for (unsigned i = 0; i < n; i++)
        if ((app.desks[i].buffer = malloc(BUFFER_BYTES)) == NULL)
            return false;
    return true;
}

static void wait_with_progress(unsigned workers)
{
    while (weir_latch_wait(&app.finished, app.progress ? weir_now() + PROGRESS_NS : WEIR_FOREVER) == -ETIMEDOUT) {
        uint64_t files = 0, bytes = 0;
        for (unsigned i = 0; i < workers; i++) {
            files += atomic_load_explicit(&app.desks[i].files, memory_order_relaxed);
            bytes += atomic_load_explicit(&app.desks[i].bytes, memory_order_relaxed);
        }
        fprintf(stderr, "\r\033[K%ju files, %ju MiB", (uintmax_t)files, (uintmax_t)(bytes >> 20));
    }
    if (app.progress)
        fputs("\r\033[K", stderr);
}

int main(int argc, char **argv)
{
    weir_config config;
    int r = weir_config_init(&config);
    if (r < 0)
        return fatal(weir_config_error(), r);
    for (int option; (option = getopt(argc, argv, "vj:")) != -1;) {
        char *end = NULL;
        unsigned long n = option == 'j' ? strtoul(optarg, &end, 10) : 0;
        if (option == 'v') {
            app.verbose = true;
        } else if (option == 'j' && *end == '\0' && n >= 1 && n <= WEIR_WORKERS_MAX) {
            config.workers = (uint32_t)n;
        } else {
            fprintf(stderr, "usage: treewc [-v] [-j WORKERS] [PATH...]\n"
                            "Counts the lines, words and bytes of all regular files. -v: a line per directory.\n");
            return 2;
        }
    }
    (void)setlocale(LC_ALL, ""); /* an unknown locale leaves "C" */
    if (!wordscan_init(&app.scan)) {
        fprintf(stderr, "treewc: the locale's encoding is neither UTF-8 nor one byte a character; try LC_ALL=C\n");
        return 2;
    }
    unsigned files = open_files_limit();
    app.streams_max = files / 4;
    if (config.workers > files / 4 + 1)
        config.workers = files / 4 + 1;
    config.min_workers = config.max_workers = config.workers; /* a desk each: no others come */
    config.spare_workers = 0;
    app.progress = isatty(STDERR_FILENO);
    char *here[] = {(char[]){"."}, NULL};
    app.arguments = optind < argc ? argv + optind : here;
    app.root = calloc(1, sizeof *app.root + 1);
    if (app.root == NULL || !desks_open(config.workers))
        return fatal("no memory", -ENOMEM);

    weir_runtime *rt;
    if ((r = weir_start(&rt, &config)) < 0)
        return fatal(r == -EINVAL ? weir_config_error() : NULL, r);
    weir_task_init(&app.root->list, root_list);
    weir_continuation_init(&app.root->done, root_done, 1);
    if ((r = weir_latch_init(&app.finished, 1)) < 0 || (r = weir_submit(rt, &app.root->list, WEIR_BLOCK, 0)) < 0)
        return fatal("submit", r);
    wait_with_progress(config.workers);
    if ((r = weir_stop(rt, WEIR_DRAIN, WEIR_FOREVER)) < 0)
        return fatal("stop", r);

    print_totals(app.root, "total");
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("treewc: standard output");
        return 2;
    }
    return app.failed ? 1 : 0; /* memory goes with the process */
}
