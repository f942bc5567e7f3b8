#define TEST_SUITE "mm"
#include "test/unit/test.h"

#include "hal/host/host.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/slab.h"
#include "test/unit/base/random.h"

static uint64_t pages_in_use(void)
{
    struct frame_stats stats;

    (void)slab_shrink_all();
    frame_stats(&stats);
    return stats.total - stats.free;
}

struct thing {
    uint64_t constructed;
    uint64_t owner;
    uint8_t rest[80];
};

static unsigned constructions;

static void thing_construct(void *object)
{
    struct thing *thing = object;

    memset(thing, 0, sizeof(*thing));
    thing->constructed = 0x1234;
    constructions++;
}

TEST(slab, objects_are_distinct_aligned_and_hold_their_content)
{
    enum { N = 3000 };
    static struct thing *things[N];
    uint64_t before = pages_in_use(), seed = 9;
    struct slab_cache *cache =
        slab_cache_create("test-thing", sizeof(struct thing), 0, SLAB_ALIGN_CACHELINE, NULL);

    EXPECT(cache != NULL);
    for (unsigned i = 0; i < 60000; i++) {
        unsigned slot = (unsigned)(test_random(&seed) % N);
        if (things[slot] == NULL) {
            struct thing *thing = slab_alloc(cache, 0);
            EXPECT(thing != NULL);
            EXPECT_EQ((uintptr_t)thing % 64, 0);
            thing->owner = slot;
            memset(thing->rest, (int)slot, sizeof(thing->rest));
            things[slot] = thing;
        } else {
            EXPECT_EQ(things[slot]->owner, slot);
            EXPECT_EQ(things[slot]->rest[79], (uint8_t)slot);
            slab_free(cache, things[slot]);
            things[slot] = NULL;
        }
    }
    for (unsigned slot = 0; slot < N; slot++) {
        slab_free(cache, things[slot]);
        things[slot] = NULL;
    }
    slab_cache_destroy(cache);
    EXPECT_EQ(pages_in_use(), before);
}

TEST(slab, constructed_state_survives_being_free)
{
    struct thing *things[200];
    struct slab_cache *cache =
        slab_cache_create("test-ctor", sizeof(struct thing), 0, 0, thing_construct);

    constructions = 0;
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 200; i++) {
            things[i] = slab_alloc(cache, 0);
            EXPECT(things[i] != NULL);
            EXPECT_EQ(things[i]->constructed, 0x1234);
        }
        for (unsigned i = 0; i < 200; i++) {
            slab_free(cache, things[i]);
        }
    }
    EXPECT_LT(constructions, 5 * 200);
    slab_cache_destroy(cache);
}

TEST(slab, zeroed_objects_are_zero)
{
    struct slab_cache *cache = slab_cache_create("test-zero", 200, 0, 0, NULL);

    for (unsigned i = 0; i < 100; i++) {
        uint8_t *object = slab_zalloc(cache);
        EXPECT(object != NULL);
        for (unsigned at = 0; at < 200; at++) {
            EXPECT_EQ(object[at], 0);
        }
        memset(object, 0xff, 200);
        slab_free(cache, object);
    }
    slab_cache_destroy(cache);
}

TEST(slab, figures_are_right)
{
    struct slab_info info;
    void *objects[10];
    struct slab_cache *cache = slab_cache_create("test-figures", 100, 0, 0, NULL);
    unsigned index = 0;

    for (unsigned i = 0; i < 10; i++) {
        objects[i] = slab_alloc(cache, 0);
    }
    do {
        EXPECT(slab_describe(index++, &info));
    } while (strcmp(info.name, "test-figures") != 0);
    EXPECT_EQ(info.objects_active, 10);
    EXPECT_EQ(info.object_size, 100);
    EXPECT_GE(info.objects_total, 10);
    EXPECT_EQ(info.objects_total, info.slabs * info.objects_per_slab);
    for (unsigned i = 0; i < 10; i++) {
        slab_free(cache, objects[i]);
    }
    slab_cache_destroy(cache);
}

#define NCPUS 3u

static struct slab_cache *shared_cache;

/* All that a CPU frees stays in its magazine. */
static void fill_magazine(void *arg, unsigned cpu)
{
    void *objects[20];

    (void)arg, (void)cpu;
    for (unsigned i = 0; i < ARRAY_SIZE(objects); i++) {
        objects[i] = slab_alloc(shared_cache, 0);
        EXPECT(objects[i] != NULL);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(objects); i++) {
        slab_free(shared_cache, objects[i]);
    }
}

static uint64_t slabs_of(const char *name)
{
    struct slab_info info;

    for (unsigned i = 0; slab_describe(i, &info); i++) {
        if (strcmp(info.name, name) == 0) {
            return info.slabs;
        }
    }
    return UINT64_MAX;
}

TEST(slab, what_other_cpus_have_at_hand_can_be_had)
{
    shared_cache = slab_cache_create("shared thing", 200, 0, 0, NULL);
    EXPECT(shared_cache != NULL);
    host_run_on_cpus(NCPUS, fill_magazine, NULL);
    (void)slab_shrink_all();
    EXPECT_GT(slabs_of("shared thing"), 0); /* in the magazines of two CPUs */
    EXPECT_EQ(slab_objects(shared_cache), 0);
    EXPECT_GT(slab_shrink_cpus(), 0);
    EXPECT_EQ(slabs_of("shared thing"), 0);
    host_set_cpu_count(1);
    slab_cache_destroy(shared_cache);
}

TEST(slab, wrong_sizes_are_refused)
{
    EXPECT(slab_cache_create("test-wrong", 0, 0, 0, NULL) == NULL);
    EXPECT(slab_cache_create("test-wrong", 1000000, 0, 0, NULL) == NULL);
    slab_cache_destroy(NULL);
}

TEST(kmalloc, every_size_fits_is_aligned_and_comes_back)
{
    uint64_t before = 0;

    for (unsigned round = 0; round < 2; round++) { /* magazines come to be in the first */
        before = pages_in_use();
        for (size_t size = 1; size < 20000; size += size < 2100 ? 1 : 97) {
            uint8_t *block = kmalloc(size);
            EXPECT(block != NULL);
            EXPECT_GE(kmalloc_size(block), size);
            EXPECT_EQ((uintptr_t)block % (size >= 4096 ? 4096 : size >= 16 ? 16 : 8), 0);
            memset(block, 0x5a, size);
            kfree(block);
        }
    }
    EXPECT_EQ(pages_in_use(), before);
}

TEST(kmalloc, sizes_waste_no_more_than_a_third)
{
    for (size_t size = 65; size <= 3072; size++) {
        void *block = kmalloc(size);
        EXPECT(block != NULL);
        EXPECT_LE(kmalloc_size(block), size + size / 2);
        kfree(block);
    }
}

TEST(kmalloc, krealloc_keeps_the_content_and_frees_the_old)
{
    uint64_t before = pages_in_use();
    uint8_t *block = krealloc(NULL, 10);

    EXPECT(block != NULL);
    for (unsigned i = 0; i < 10; i++) {
        block[i] = (uint8_t)i;
    }
    for (size_t size = 20; size < 50000; size *= 3) {
        block = krealloc(block, size);
        EXPECT(block != NULL);
        for (unsigned i = 0; i < 10; i++) {
            EXPECT_EQ(block[i], i);
        }
        block[size - 1] = 1;
    }
    kfree(block);
    kfree(NULL);
    EXPECT_EQ(pages_in_use(), before);
}

TEST(kmalloc, krealloc_stays_where_there_is_room)
{
    static const struct {
        size_t from, to;
        bool stays;
    } cases[] = {
        {1, 8, true},         {33, 48, true},       {100, 128, true},    {100, 129, false},
        {3072, 2, true},      {4100, 8000, true},   {5000, 9000, false}, {20000, 30000, true},
        {30000, 10000, true}, {30000, 5000, false}, {30000, 100, false},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        size_t from = cases[i].from, to = cases[i].to;
        uint8_t *block = kmalloc(from);
        EXPECT(block != NULL);
        memset(block, 0x37, from);
        uint8_t *moved = krealloc(block, to);
        EXPECT(moved != NULL);
        EXPECT_EQ(moved == block, cases[i].stays);
        EXPECT_GE(kmalloc_size(moved), to);
        for (size_t k = 0; k < MIN(from, to); k++) {
            EXPECT_EQ(moved[k], 0x37);
        }
        memset(moved, 0x38, to);
        kfree(moved);
    }
}

TEST(kmalloc, zeroed_and_counted_requests)
{
    for (size_t size = 1; size < 10000; size = size * 3 + 1) {
        uint8_t *block = kmalloc(size);
        EXPECT(block != NULL);
        memset(block, 0xff, size);
        kfree(block);
        block = kzalloc(size);
        EXPECT(block != NULL);
        for (size_t i = 0; i < size; i++) {
            EXPECT_EQ(block[i], 0);
        }
        kfree(block);
    }
    EXPECT(kcalloc(SIZE_MAX / 2, 3) == NULL);
    EXPECT(kmalloc(64u << 20) == NULL);
    char *copy = kstrdup("text");
    EXPECT_STR_EQ(copy, "text");
    kfree(copy);
    copy = kstrndup("text", 2);
    EXPECT_STR_EQ(copy, "te");
    kfree(copy);
}

static void *mailbox[64];

/* Objects made on one CPU and freed on another. */
static void pass_on(void *arg, unsigned cpu)
{
    uint64_t seed = cpu + 5;

    (void)arg;
    for (unsigned i = 0; i < 20000; i++) {
        size_t size = 16 + test_random(&seed) % 500;
        uint8_t *block = kmalloc(size);
        if (block != NULL) {
            memset(block, (int)cpu, size);
        }
        kfree(__atomic_exchange_n(&mailbox[test_random(&seed) % 64], block, __ATOMIC_ACQ_REL));
    }
}

TEST(kmalloc, several_cpus_pass_objects_to_each_other)
{
    host_run_on_cpus(4, pass_on, NULL);
    for (unsigned i = 0; i < 64; i++) {
        kfree(mailbox[i]);
        mailbox[i] = NULL;
    }
    host_set_cpu_count(1);
}
