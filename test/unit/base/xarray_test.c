#define TEST_SUITE "base"
#include "test/unit/test.h"

#include "kernel/base/errno.h"
#include "kernel/base/xarray.h"
#include "test/unit/base/random.h"

/*
 * The model is a plain list of indices that may be in use, spread over several heights of the tree, with what the array
 * should hold at each.
 */
#define NMODEL 600

struct cell {
    uint64_t index;
    void *entry;
    bool marks[XARRAY_NMARKS];
};

static struct cell model[NMODEL]; /* sorted by index */
static uint64_t entries[64];      /* what the array points at */

/* Nodes come from a pool, so that leaks show and allocation can be made to fail. */
#define NODE_BYTES 1024
#define NPOOL      700
static uint8_t pool[NPOOL][NODE_BYTES] __aligned(64);
static bool pool_used[NPOOL];
static int pool_limit; /* allocations until they fail; < 0: never */

static void *pool_alloc(size_t size_bytes)
{
    EXPECT_LE(size_bytes, NODE_BYTES);
    if (pool_limit == 0) {
        return NULL;
    }
    pool_limit -= pool_limit > 0;
    for (unsigned i = 0; i < NPOOL; i++) {
        if (!pool_used[i]) {
            pool_used[i] = true;
            memset(pool[i], 0, NODE_BYTES);
            return pool[i];
        }
    }
    return NULL;
}

static void pool_free(void *node)
{
    size_t i = (size_t)((uint8_t *)node - pool[0]) / NODE_BYTES;

    EXPECT(pool_used[i]);
    pool_used[i] = false;
    memset(pool[i], 0xa5, NODE_BYTES);
}

static unsigned pool_count(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < NPOOL; i++) {
        n += pool_used[i];
    }
    return n;
}

static const struct xarray_memory memory = {.alloc = pool_alloc, .free = pool_free};

/* Indices in runs: dense at 0, so that nodes fill up, around each higher power of 64, and at the very end. */
static void model_init(void)
{
    unsigned n = 0;

    pool_limit = -1;
    for (; n < 200; n++) {
        model[n] = (struct cell){.index = n};
    }
    for (unsigned shift = 12; shift <= 66; shift += 6) {
        uint64_t start = shift < 64 ? (1ull << shift) - 20 : UINT64_MAX - 39;
        for (unsigned i = 0; i < 40; i++) {
            model[n++] = (struct cell){.index = start + i};
        }
    }
    EXPECT_EQ(n, NMODEL);
    for (unsigned i = 1; i < NMODEL; i++) {
        EXPECT(model[i].index > model[i - 1].index);
    }
}

static void check_searches(const struct xarray *xa, unsigned from)
{
    uint64_t index = model[from].index, expected_free = model[from].index;
    unsigned i, mark;

    for (i = from; i < NMODEL && model[i].entry == NULL; i++) {
    }
    void *found = xarray_find(xa, &index, UINT64_MAX);
    EXPECT_PTR_EQ(found, i < NMODEL ? model[i].entry : NULL);
    if (found != NULL) {
        EXPECT(index == model[i].index);
        uint64_t below = model[from].index;
        if (i > from) {
            EXPECT(xarray_find(xa, &below, model[i].index - 1) == NULL);
        }
    }
    for (mark = 0; mark < XARRAY_NMARKS; mark++) {
        index = model[from].index;
        for (i = from; i < NMODEL && (model[i].entry == NULL || !model[i].marks[mark]); i++) {
        }
        found = xarray_find_marked(xa, &index, UINT64_MAX, (enum xarray_mark)mark);
        EXPECT_PTR_EQ(found, i < NMODEL ? model[i].entry : NULL);
        if (found != NULL) {
            EXPECT(index == model[i].index);
        }
    }
    for (i = from; i < NMODEL && model[i].entry != NULL && model[i].index == expected_free; i++) {
        expected_free++;
    }
    bool room = xarray_find_free(xa, model[from].index, UINT64_MAX, &index);
    EXPECT_EQ(room, !(i == NMODEL && expected_free == 0));
    if (room) {
        EXPECT(index == expected_free);
    }
    if (expected_free > model[from].index) {
        EXPECT(!xarray_find_free(xa, model[from].index, expected_free - 1, &index));
    }
}

static void check_all(const struct xarray *xa)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < NMODEL; i++) {
        EXPECT_PTR_EQ(xarray_load(xa, model[i].index), model[i].entry);
        n += model[i].entry != NULL;
        for (unsigned mark = 0; mark < XARRAY_NMARKS; mark++) {
            EXPECT_EQ(xarray_get_mark(xa, model[i].index, (enum xarray_mark)mark),
                      model[i].entry != NULL && model[i].marks[mark]);
        }
    }
    EXPECT_EQ(xa->nentries, n);
}

static void model_store(struct xarray *xa, struct cell *cell, void *entry)
{
    void *old;

    int err = xarray_store(xa, cell->index, entry, &old);
    if (err < 0) {
        EXPECT_EQ(err, -ENOMEM);
        return;
    }
    EXPECT_PTR_EQ(old, cell->entry);
    cell->entry = entry;
    if (entry == NULL) {
        memset(cell->marks, 0, sizeof(cell->marks));
    }
}

static void random_step(struct xarray *xa, uint64_t *seed, unsigned span)
{
    struct cell *cell = &model[test_random(seed) % span];
    unsigned mark = (unsigned)(test_random(seed) % XARRAY_NMARKS);

    switch (test_random(seed) % 6) {
    case 0:
    case 1:
    case 2:
        model_store(xa, cell, &entries[test_random(seed) % ARRAY_SIZE(entries)]);
        break;
    case 3:
        EXPECT_PTR_EQ(xarray_erase(xa, cell->index), cell->entry);
        cell->entry = NULL;
        memset(cell->marks, 0, sizeof(cell->marks));
        break;
    case 4:
        xarray_set_mark(xa, cell->index, (enum xarray_mark)mark);
        cell->marks[mark] = cell->entry != NULL;
        break;
    default:
        xarray_clear_mark(xa, cell->index, (enum xarray_mark)mark);
        cell->marks[mark] = false;
        break;
    }
}

TEST(xarray, agrees_with_a_plain_model_under_random_operations)
{
    /* Small spans make low trees and full nodes, large ones high trees. */
    static const unsigned spans[] = {1, 2, 40, 80, 200, NMODEL};
    struct xarray xa;
    uint64_t seed = 3;

    for (unsigned round = 0; round < ARRAY_SIZE(spans); round++) {
        model_init();
        xarray_init(&xa, &memory);
        for (unsigned i = 0; i < 3000; i++) {
            random_step(&xa, &seed, spans[round]);
            check_searches(&xa, (unsigned)(test_random(&seed) % NMODEL));
            if (i % 50 == 0) {
                check_all(&xa);
            }
        }
        check_all(&xa);
        xarray_fini(&xa);
        EXPECT_EQ(pool_count(), 0);
    }
}

TEST(xarray, finds_the_holes_of_a_nearly_full_tree)
{
    struct xarray xa;
    uint64_t seed = 5;

    model_init();
    xarray_init(&xa, &memory);
    for (unsigned i = 0; i < 200; i++) {
        model_store(&xa, &model[i], &entries[0]);
    }
    for (unsigned i = 0; i < 2000; i++) {
        struct cell *hole = &model[test_random(&seed) % 200];
        model_store(&xa, hole, NULL);
        check_searches(&xa, (unsigned)(test_random(&seed) % 200));
        if (i % 3 != 0) {
            model_store(&xa, hole, &entries[1]);
        }
        check_searches(&xa, (unsigned)(test_random(&seed) % 200));
        for (unsigned k = 0; i % 30 == 0 && k < 200; k++) {
            model_store(&xa, &model[k], &entries[2]);
        }
    }
    check_all(&xa);
    xarray_fini(&xa);
    EXPECT_EQ(pool_count(), 0);
}

TEST(xarray, is_unchanged_when_memory_runs_out)
{
    struct xarray xa;
    uint64_t seed = 4;

    model_init();
    xarray_init(&xa, &memory);
    for (unsigned i = 0; i < 4000; i++) {
        pool_limit = (int)(test_random(&seed) % 4);
        random_step(&xa, &seed, i < 2000 ? NMODEL : 100);
        pool_limit = -1;
        check_searches(&xa, (unsigned)(test_random(&seed) % NMODEL));
        if (i % 50 == 0) {
            check_all(&xa);
        }
    }
    xarray_fini(&xa);
    EXPECT_EQ(pool_count(), 0);
}

TEST(xarray, frees_its_nodes_as_it_empties)
{
    struct xarray xa;

    model_init();
    xarray_init(&xa, &memory);
    for (unsigned i = 0; i < NMODEL; i++) {
        model_store(&xa, &model[i], &entries[0]);
    }
    EXPECT_GT(pool_count(), 20);
    for (unsigned i = NMODEL; i-- > 0;) {
        EXPECT_PTR_EQ(xarray_erase(&xa, model[i].index), &entries[0]);
    }
    EXPECT_EQ(pool_count(), 0);
    EXPECT_EQ(xa.nentries, 0);
}

TEST(xarray, needs_no_node_for_index_0_alone)
{
    struct xarray xa;

    model_init();
    xarray_init(&xa, &memory);
    EXPECT_EQ(xarray_store(&xa, 0, &entries[1], NULL), 0);
    xarray_set_mark(&xa, 0, XARRAY_MARK_1);
    EXPECT_EQ(pool_count(), 0);
    /* The mark survives growing and lowering. */
    EXPECT_EQ(xarray_store(&xa, 70, &entries[2], NULL), 0);
    EXPECT(xarray_get_mark(&xa, 0, XARRAY_MARK_1));
    EXPECT(!xarray_get_mark(&xa, 70, XARRAY_MARK_1));
    EXPECT_PTR_EQ(xarray_erase(&xa, 70), &entries[2]);
    EXPECT_EQ(pool_count(), 0);
    EXPECT(xarray_get_mark(&xa, 0, XARRAY_MARK_1));
    EXPECT(!xarray_get_mark(&xa, 0, XARRAY_MARK_0));
    EXPECT_PTR_EQ(xarray_load(&xa, 0), &entries[1]);
}

TEST(xarray, for_each_visits_what_is_there_and_stops_at_last)
{
    static const uint64_t wanted[] = {3, 64, 5000};
    struct xarray xa;
    uint64_t index = 0;
    unsigned n = 0;
    void *entry;

    model_init();
    xarray_init(&xa, &memory);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(xarray_store(&xa, wanted[i], &entries[i], NULL), 0);
    }
    EXPECT_EQ(xarray_store(&xa, 5001, &entries[3], NULL), 0);
    xarray_for_each (&xa, index, 5000, entry) {
        EXPECT_EQ(index, wanted[n]);
        EXPECT_PTR_EQ(entry, &entries[n]);
        n++;
    }
    EXPECT_EQ(n, 3);
    xarray_fini(&xa);
}
