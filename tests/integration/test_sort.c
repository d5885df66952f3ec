/* SPDX-License-Identifier: MIT
 *
 * test_sort.c - what must hold for sorts and partitions: order, stability, all elements kept, errors, cancel.
 *
 * Threads: see support.h.
 */
#include <inttypes.h>

#include "support.h"

#define NUMBERS 200000u

static uint64_t next_random(uint64_t *s)
{
    *s = *s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *s >> 33;
}

enum pattern { RANDOM, FEW, EQUAL, RISING, FALLING, SAWTOOTH, PATTERNS };

static uint32_t key_of(enum pattern p, size_t i, size_t n, uint64_t *random)
{
    switch (p) {
    case RANDOM: return (uint32_t)next_random(random);
    case FEW: return (uint32_t)next_random(random) % 7;
    case EQUAL: return 5;
    case RISING: return (uint32_t)i;
    case FALLING: return (uint32_t)(n - i);
    default: return (uint32_t)(i % 1000);
    }
}

static const size_t sizes[] = {0, 1, 2, 7, 8, 9, 16, 23, 24, 25, 100, 1000, 4099, 33000, NUMBERS};
#define SIZES (sizeof sizes / sizeof *sizes)

/* --- typed ------------------------------------------------------------------------------------------------------ */

struct record {
    uint32_t key;
    uint32_t place; /* before the sort */
};

#define BY_KEY(ctx, a, b) ((a)->key < (b)->key)
WEIR_SORTABLE(by_key, struct record, BY_KEY);

/* n records of a pattern, whose sum of keys is *sum. */
static struct record *records_new(enum pattern p, size_t n, uint64_t *sum)
{
    struct record *r = calloc(n + 1, sizeof *r);
    uint64_t random = n + p;
    *sum = 0;
    for (size_t i = 0; i < n; i++) {
        r[i] = (struct record){key_of(p, i, n, &random), (uint32_t)i};
        *sum += r[i].key;
    }
    return r;
}

/* Sorted, and each place occurs once with its key: nothing is lost or doubled. */
static bool is_sorted(const struct record *r, size_t n, uint64_t sum, bool stable)
{
    uint8_t *seen = calloc(n + 1, 1);
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        good = good && r[i].place < n && seen[r[i].place]++ == 0;
        good = good && (i == 0 || r[i - 1].key < r[i].key ||
                        (r[i - 1].key == r[i].key && (!stable || r[i - 1].place < r[i].place)));
        sum -= r[i].key;
    }
    free(seen);
    return good && sum == 0;
}

static void sorts_all(uint32_t flags)
{
    for (unsigned workers = 1; workers <= 4; workers += 3) {
        weir_runtime *rt = start(workers);
        weir_algo_options o = {.rt = rt, .flags = flags};
        for (enum pattern p = 0; p < PATTERNS; p++) {
            for (size_t i = 0; i < SIZES; i++) {
                uint64_t sum;
                struct record *r = records_new(p, sizes[i], &sum);
                cr_assert_eq(by_key_sort(NULL, &o, r, sizes[i], NULL), 0);
                cr_assert(is_sorted(r, sizes[i], sum, flags != 0), "pattern %d, %zu records", (int)p, sizes[i]);
                free(r);
            }
        }
        stop(rt);
    }
}

Test(sort, stable_sort_of_a_type_keeps_equal_elements_in_order)
{
    sorts_all(WEIR_ALGO_STABLE);
}

Test(sort, sort_in_place_of_a_type_keeps_all_elements)
{
    sorts_all(0);
}

/* --- any size --------------------------------------------------------------------------------------------------- */

/* The first four bytes of an element are its key, the next four its place, if there is room for it. */
static int compare_keys(const void *a, const void *b, void *arg)
{
    uint32_t x = 0, y = 0;
    size_t size = *(size_t *)arg;
    memcpy(&x, a, size < 4 ? size : 4);
    memcpy(&y, b, size < 4 ? size : 4);
    return x < y ? -1 : x > y;
}

static void sorts_size(weir_runtime *rt, size_t size, size_t n, enum pattern p, uint32_t flags)
{
    char *elements = calloc(n + 1, size);
    uint64_t random = 3, sum = 0;
    for (size_t i = 0; i < n; i++) {
        struct record r = {key_of(p, i, n, &random), (uint32_t)i};
        memcpy(elements + i * size, &r, size < sizeof r ? size : sizeof r);
        for (size_t k = 0; k < size; k++)
            sum += (unsigned char)elements[i * size + k];
    }
    weir_algo_options o = {.rt = rt, .flags = flags};
    cr_assert_eq(weir_sort(NULL, &o, elements, n, size, compare_keys, &size), 0);
    for (size_t i = 0; i + 1 < n; i++) {
        int order = compare_keys(elements + i * size, elements + (i + 1) * size, &size);
        cr_assert_leq(order, 0, "size %zu, %zu elements, pattern %d", size, n, (int)p);
        if (size >= sizeof(struct record) && order == 0 && flags != 0)
            cr_assert_lt(((struct record *)(void *)(elements + i * size))->place,
                         ((struct record *)(void *)(elements + (i + 1) * size))->place);
    }
    for (size_t k = 0; k < n * size; k++)
        sum -= (unsigned char)elements[k];
    cr_assert_eq(sum, 0);
    free(elements);
}

Test(sort, sorts_elements_of_any_size)
{
    static const size_t element[] = {1, 3, 4, 8, 12, 16, 40, 1000};
    weir_runtime *rt = start(2);
    for (size_t s = 0; s < sizeof element / sizeof *element; s++)
        for (size_t i = 0; i < SIZES && element[s] * sizes[i] < 2000000; i++)
            for (enum pattern p = 0; p < PATTERNS; p++)
                for (uint32_t flags = 0; flags <= WEIR_ALGO_STABLE; flags += WEIR_ALGO_STABLE)
                    sorts_size(rt, element[s], sizes[i], p, flags);
    stop(rt);
}

static int coin(const void *a, const void *b, void *arg)
{
    (void)a, (void)b;
    return (int)(next_random(arg) % 3) - 1;
}

#define FENCE 256u /* bytes on both sides of an array */

Test(sort, a_comparison_that_contradicts_itself_stays_inside_the_array)
{
    weir_runtime *rt = start(1); /* one worker: `coin` keeps its state without a lock */
    uint64_t random = 1;
    for (size_t size = 1; size <= 16; size++) {
        for (size_t n = 2; n < 60000; n = n * 3 + 1) {
            weir_algo_options stable = {.rt = rt, .flags = WEIR_ALGO_STABLE}, in_place = {.rt = rt};
            char *fence = malloc(n * size + 2 * FENCE), *elements = fence + FENCE;
            memset(fence, 1, n * size + 2 * FENCE);
            cr_assert_eq(weir_sort(NULL, &stable, elements, n, size, coin, &random), 0);
            cr_assert_eq(weir_sort(NULL, &in_place, elements, n, size, coin, &random), 0);
            for (size_t i = 0; i < FENCE; i++)
                cr_assert(fence[i] == 1 && elements[n * size + i] == 1, "%zu elements of %zu bytes", n, size);
            free(fence);
        }
    }
    stop(rt);
}

/* Makes up the values while it is asked, so that each pivot turns out to be one of the smallest (McIlroy: A killer
 * adversary for quicksort, 1999). Elements are numbers of values; all that are not settled are larger than those that
 * are. */
struct adversary {
    uint32_t *value;
    uint32_t open, settled, candidate;
    uint64_t comparisons;
};

static int compare_as_adversary(struct adversary *a, uint32_t x, uint32_t y)
{
    uint32_t *value = a->value;
    a->comparisons++;
    if (value[x] == a->open && value[y] == a->open)
        value[x == a->candidate ? x : y] = a->settled++;
    if (value[x] == a->open)
        a->candidate = x;
    else if (value[y] == a->open)
        a->candidate = y;
    return value[x] < value[y] ? -1 : value[x] > value[y];
}

static int compare_numbers(const void *x, const void *y, void *arg)
{
    return compare_as_adversary(arg, *(const uint32_t *)x, *(const uint32_t *)y);
}

#define ADVERSARY_LESS(ctx, x, y) \
    (compare_as_adversary(*(struct adversary *const *)(ctx), *(x), *(y)) < 0)
WEIR_SORTABLE(against_adversary, uint32_t, ADVERSARY_LESS);

static void sorts_against_adversary(weir_runtime *rt, uint32_t n, unsigned log_n, bool typed)
{
    enum { LEAST = 2, MOST = 8 }; /* times n log n: of one who finds bad pivots, and of a sort that has a way out */
    weir_algo_options o = {.rt = rt};
    uint32_t *number = calloc(n, sizeof *number), *value = calloc(n, sizeof *value);
    struct adversary a = {.value = value, .open = n}, *ctx = &a;
    for (uint32_t i = 0; i < n; i++) {
        number[i] = i;
        value[i] = n;
    }
    int r = typed ? against_adversary_sort(NULL, &o, number, n, &ctx)
                  : weir_sort(NULL, &o, number, n, sizeof *number, compare_numbers, &a);
    cr_assert_eq(r, 0);
    cr_assert_leq(a.comparisons, (uint64_t)MOST * n * log_n, "%" PRIu64 " comparisons", a.comparisons);
    cr_assert_gt(a.comparisons, (uint64_t)LEAST * n * log_n, "%" PRIu64 " comparisons", a.comparisons);
    for (uint32_t i = 1; i < n; i++)
        cr_assert_lt(value[number[i - 1]], value[number[i]]);
    free(number);
    free(value);
}

/* Within a leaf, which is sorted as a whole, and of many leaves. */
Test(sort, no_order_of_the_elements_takes_more_than_n_log_n_comparisons)
{
    weir_runtime *rt = start(1);
    for (int typed = 0; typed < 2; typed++) {
        sorts_against_adversary(rt, 1u << 11, 11, typed);
        sorts_against_adversary(rt, 1u << 17, 17, typed);
    }
    stop(rt);
}

struct killer {
    weir_scope *scope;
    weir_atomic_u32 left; /* comparisons until the cancel */
};

static int compare_then_cancel(const void *a, const void *b, void *arg)
{
    struct killer *k = arg;
    if (add(&k->left, (uint32_t)-1) == 0)
        weir_scope_cancel(k->scope);
    const struct record *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

Test(sort, a_cancel_leaves_each_element_in_the_array)
{
    weir_runtime *rt = start(3);
    for (uint32_t after = 1; after < 8000000; after = after * 3) {
        for (uint32_t flags = 0; flags <= WEIR_ALGO_STABLE; flags += WEIR_ALGO_STABLE) {
            uint64_t sum;
            struct record *r = records_new(RANDOM, NUMBERS, &sum);
            weir_scope scope;
            struct killer k = {&scope, {after}};
            weir_algo_options o = {.rt = rt, .scope = &scope, .flags = flags};
            weir_scope_init(NULL, &scope);
            int result = weir_sort(NULL, &o, r, NUMBERS, sizeof *r, compare_then_cancel, &k);
            int scope_result = weir_scope_wait(NULL, &scope);
            cr_assert_eq(result, scope_result);
            uint8_t *seen = calloc(NUMBERS, 1);
            for (size_t i = 0; i < NUMBERS; i++)
                cr_assert(r[i].place < NUMBERS && seen[r[i].place]++ == 0);
            free(seen);
            free(r);
        }
    }
    stop(rt);
}

Test(sort, bad_arguments_are_refused)
{
    weir_runtime *rt = start(1);
    weir_algo_options o = {.rt = rt}, flags = {.rt = rt, .flags = WEIR_ALGO_FIXED_ORDER};
    uint64_t x[2] = {2, 1};
    size_t size = 8;
    cr_assert_eq(weir_sort(NULL, &o, NULL, 2, 8, compare_keys, &size), -EINVAL);
    cr_assert_eq(weir_sort(NULL, &o, x, 2, 0, compare_keys, &size), -EINVAL);
    cr_assert_eq(weir_sort(NULL, &o, x, SIZE_MAX / 4, 8, compare_keys, &size), -EINVAL);
    cr_assert_eq(weir_sort(NULL, &o, x, 2, 8, NULL, &size), -EINVAL);
    cr_assert_eq(weir_sort(NULL, &flags, x, 2, 8, compare_keys, &size), -EINVAL);
    cr_assert_eq(weir_sort_with(NULL, &o, x, 2, NULL, NULL), -EINVAL);
    cr_assert_eq(x[0], 2);
    cr_assert_eq(weir_sort(NULL, &o, NULL, 0, 8, compare_keys, &size), 0);
    stop(rt);
}

/* --- partition and filter --------------------------------------------------------------------------------------- */

static bool is_odd(const void *element, void *arg)
{
    (void)arg;
    return (((const struct record *)element)->key & 1) != 0;
}

static bool anything(const void *element, void *arg)
{
    (void)element;
    return arg != NULL;
}

Test(partition, liked_elements_come_first_and_both_keep_their_order)
{
    for (unsigned workers = 1; workers <= 3; workers++) {
        weir_runtime *rt = start(workers);
        weir_algo_options o = {.rt = rt};
        for (size_t i = 0; i < SIZES; i++) {
            uint64_t sum;
            size_t n = sizes[i], odd = SIZE_MAX, filtered = SIZE_MAX;
            struct record *r = records_new(RANDOM, n, &sum), *copy = calloc(n + 1, sizeof *copy);
            cr_assert_eq(weir_filter(NULL, &o, r, n, sizeof *r, is_odd, NULL, copy, &filtered), 0);
            cr_assert_eq(weir_partition(NULL, &o, r, n, sizeof *r, is_odd, NULL, &odd), 0);
            cr_assert_eq(odd, filtered);
            cr_assert_eq(memcmp(r, copy, odd * sizeof *r), 0);
            for (size_t k = 0; k < n; k++) {
                sum -= r[k].key;
                cr_assert_eq(is_odd(&r[k], NULL), k < odd);
                cr_assert(k == 0 || k == odd || r[k - 1].place < r[k].place);
            }
            cr_assert_eq(sum, 0);
            cr_assert_eq(weir_partition(NULL, &o, r, n, sizeof *r, anything, NULL, &odd), 0);
            cr_assert_eq(odd, 0);
            cr_assert_eq(weir_partition(NULL, &o, r, n, sizeof *r, anything, r, &odd), 0);
            cr_assert_eq(odd, n);
            free(r);
            free(copy);
        }
        stop(rt);
    }
}

struct canceller {
    weir_scope scope;
    weir_atomic_u32 left;
};

static bool like_then_cancel(const void *element, void *arg)
{
    struct canceller *c = arg;
    if (add(&c->left, (uint32_t)-1) == 0)
        weir_scope_cancel(&c->scope);
    return is_odd(element, NULL);
}

Test(partition, after_a_cancel_nothing_has_changed)
{
    weir_runtime *rt = start(2);
    uint64_t sum;
    struct record *r = records_new(RANDOM, NUMBERS, &sum), *copy = records_new(RANDOM, NUMBERS, &sum);
    struct canceller c = {.left = {100}};
    weir_algo_options o = {.rt = rt, .scope = &c.scope};
    size_t count = 42;
    weir_scope_init(NULL, &c.scope);
    cr_assert_eq(weir_partition(NULL, &o, r, NUMBERS, sizeof *r, like_then_cancel, &c, &count), -ECANCELED);
    cr_assert_eq(weir_scope_wait(NULL, &c.scope), -ECANCELED);
    cr_assert_eq(count, 42);
    cr_assert_eq(memcmp(r, copy, NUMBERS * sizeof *r), 0);
    free(r);
    free(copy);
    stop(rt);
}

Test(partition, bad_arguments_are_refused)
{
    weir_runtime *rt = start(1);
    weir_algo_options o = {.rt = rt};
    struct record r = {1, 1};
    size_t count = 42;
    cr_assert_eq(weir_partition(NULL, &o, NULL, 1, 8, is_odd, NULL, &count), -EINVAL);
    cr_assert_eq(weir_partition(NULL, &o, &r, 1, 0, is_odd, NULL, &count), -EINVAL);
    cr_assert_eq(weir_partition(NULL, &o, &r, SIZE_MAX, 8, is_odd, NULL, &count), -EINVAL);
    cr_assert_eq(weir_partition(NULL, &o, &r, 1, 8, NULL, NULL, &count), -EINVAL);
    cr_assert_eq(weir_partition(NULL, &o, &r, 1, 8, is_odd, NULL, NULL), -EINVAL);
    cr_assert_eq(weir_filter(NULL, &o, &r, 1, 8, is_odd, NULL, NULL, &count), -EINVAL);
    cr_assert_eq(count, 42);
    stop(rt);
}
