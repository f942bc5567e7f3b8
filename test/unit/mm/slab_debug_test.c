/* What debug builds notice. The faults are planted behind the back of the host's address sanitizer. */
#define TEST_SUITE "mm"
#include "test/unit/test.h"

#include "hal/host/host.h"
#include "kernel/core/defect.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/poison.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/slab_debug.h"
#include "kernel/mm/stackdepot.h"

NO_SANITIZE_ADDRESS static void plant(uint8_t *at, uint8_t value)
{
    *(volatile uint8_t *)at = value;
}

/* Take objects until the cache hands out `wanted` once more; false: it does not. */
static bool allocate_again(struct slab_cache *cache, void *wanted)
{
    void *objects[64];
    unsigned n = 0;
    bool found = false;

    while (n < ARRAY_SIZE(objects) && !found) {
        objects[n] = slab_alloc(cache, 0);
        found = objects[n++] == wanted;
    }
    while (n > 0) {
        slab_free(cache, objects[--n]);
    }
    return found;
}

TEST(slab_debug, sees_a_write_past_the_end_when_the_object_is_freed)
{
    struct slab_cache *cache = slab_cache_create("test-end", 40, 0, 0, NULL);
    uint64_t before = defect_count(DEFECT_HEAP);
    uint8_t *object = slab_alloc(cache, 0);

    plant(object + 40, 1);
    slab_free(cache, object);
    EXPECT_EQ(defect_count(DEFECT_HEAP), before + 1);
    slab_free(cache, slab_alloc(cache, 0));
    EXPECT_EQ(defect_count(DEFECT_HEAP), before + 1);
    slab_cache_destroy(cache);
}

TEST(slab_debug, knows_what_a_user_of_kmalloc_asked_for)
{
    uint64_t before = defect_count(DEFECT_HEAP);
    uint8_t *block = kmalloc(100);

    EXPECT_EQ(kmalloc_size(block), 100);
    plant(block + 99, 1);
    kfree(block);
    EXPECT_EQ(defect_count(DEFECT_HEAP), before);
    block = kmalloc(100);
    plant(block + 100, 1);
    kfree(block);
    EXPECT_EQ(defect_count(DEFECT_HEAP), before + 1);
}

TEST(slab_debug, sees_a_write_to_a_freed_object_when_it_is_allocated_again)
{
    struct slab_cache *cache = slab_cache_create("test-stale", 64, 0, 0, NULL);
    uint64_t before = defect_count(DEFECT_HEAP);
    uint8_t *object = slab_alloc(cache, 0);

    slab_free(cache, object);
    plant(object + 9, 1);
    EXPECT(allocate_again(cache, object));
    EXPECT_EQ(defect_count(DEFECT_HEAP), before + 1);
    slab_cache_destroy(cache);
}

TEST(slab_debug, an_object_freed_twice_is_free_once)
{
    struct slab_cache *cache = slab_cache_create("test-twice", 32, 0, 0, NULL);
    uint64_t before = defect_count(DEFECT_HEAP);
    void *object = slab_alloc(cache, 0);

    slab_free(cache, object);
    slab_free(cache, object);
    EXPECT_EQ(defect_count(DEFECT_HEAP), before + 1);
    void *one = slab_alloc(cache, 0), *other = slab_alloc(cache, 0);
    EXPECT(one != other);
    slab_free(cache, one);
    slab_free(cache, other);
    slab_cache_destroy(cache);
}

TEST(slab_debug, the_middle_of_an_object_cannot_be_freed)
{
    uint64_t before = defect_count(DEFECT_HEAP);
    uint8_t *block = kmalloc(64);

    kfree(block + 16);
    EXPECT_EQ(defect_count(DEFECT_HEAP), before + 1);
    kfree(block);
    EXPECT_EQ(defect_count(DEFECT_HEAP), before + 1);
}

TEST(slab_debug, a_block_of_pages_has_a_red_zone_too)
{
    static const size_t sizes[] = {3073, PAGE_SIZE, 5000, 8192, 100000, 4u << 20};
    uint64_t before = defect_count(DEFECT_HEAP);

    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint8_t *block = kmalloc(sizes[i]);
        EXPECT(block != NULL);
        EXPECT_EQ(kmalloc_size(block), sizes[i]);
        plant(block + sizes[i] - 1, 1);
        kfree(block);
        EXPECT_EQ(defect_count(DEFECT_HEAP), before + i);
        if (sizes[i] == 4u << 20) { /* the largest there is has room for none */
            break;
        }
        block = kmalloc(sizes[i]);
        plant(block + sizes[i], 1);
        kfree(block);
        EXPECT_EQ(defect_count(DEFECT_HEAP), before + i + 1);
    }
}

TEST(slab_debug, krealloc_moves_the_red_zone)
{
    uint64_t before = defect_count(DEFECT_HEAP);
    uint8_t *block = krealloc(kmalloc(100), 120);

    EXPECT_EQ(kmalloc_size(block), 120);
    plant(block + 119, 1);
    block = krealloc(block, 70);
    EXPECT_EQ(kmalloc_size(block), 70);
    EXPECT_EQ(defect_count(DEFECT_HEAP), before);
    plant(block + 70, 1);
    block = krealloc(block, 80);
    EXPECT_EQ(defect_count(DEFECT_HEAP), before + 1);
    kfree(block);
    block = kmalloc(5000);
    plant(block + 5000, 1);
    block = krealloc(block, 6000);
    EXPECT_EQ(defect_count(DEFECT_HEAP), before + 2);
    kfree(block);
    EXPECT_EQ(defect_count(DEFECT_HEAP), before + 2);
}

TEST(slab_debug, what_is_not_memory_of_the_heap_is_told_and_left_alone)
{
    static uint8_t variable[16];
    uint64_t before = defect_count(DEFECT_HEAP);
    uint8_t *block = kmalloc(9000), *area = vmalloc(9000);
    struct page *page = frame_alloc(0, 0, PAGE_KERNEL);

    EXPECT(block != NULL && area != NULL && page != NULL);
    kfree(block + 1);
    kfree(block + PAGE_SIZE);
    kfree(page_to_virt(page));
    kfree(variable);
    EXPECT_EQ(defect_count(DEFECT_HEAP), before + 4);
    kfree(block);
    EXPECT_EQ(defect_count(DEFECT_HEAP), before + 4);
    kfree(block);
    vfree(area + PAGE_SIZE);
    vfree(area);
    vfree(area);
    frame_free(page);
    frame_free(page);
    page_put(page);
    EXPECT_EQ(defect_count(DEFECT_HEAP), before + 9);
}

TEST(slab_debug, finds_the_object_of_an_address)
{
    struct slab_object found;
    uint8_t *block = kmalloc(200);

    EXPECT(slab_object_find((uintptr_t)block + 150, &found));
    EXPECT(found.start == block && found.size == 200 && found.live);
    EXPECT_STR_EQ(found.cache_name, "kmalloc-256");
    kfree(block);
    EXPECT(slab_object_find((uintptr_t)block, &found));
    EXPECT(!found.live);
    EXPECT(!slab_object_find((uintptr_t)&found, &found));
}

TEST(stackdepot, keeps_equal_chains_once_and_gives_them_back)
{
    uintptr_t chain[STACKDEPOT_DEPTH + 2] = {1, 2, 3};
    const uintptr_t *addrs;
    uint32_t first = stackdepot_put(chain, 3);

    EXPECT(first != 0);
    EXPECT_EQ(stackdepot_put(chain, 3), first);
    EXPECT(stackdepot_put(chain, 2) != first);
    for (uintptr_t i = 0; i < 3000; i++) {
        chain[0] = i + 100;
        uint32_t id = stackdepot_put(chain, ARRAY_SIZE(chain));
        EXPECT_EQ(stackdepot_get(id, &addrs), STACKDEPOT_DEPTH);
        EXPECT_EQ(addrs[0], i + 100);
    }
    EXPECT_EQ(stackdepot_get(first, &addrs), 3);
    EXPECT_EQ(addrs[2], 3);
    EXPECT_EQ(stackdepot_put(chain, 0), 0);
    EXPECT_EQ(stackdepot_get(0, &addrs), 0);
}

TEST(slab_debug, finds_nothing_where_a_slab_of_several_pages_was)
{
    struct slab_cache *cache = slab_cache_create("test-big", 3000, 0, 0, NULL);
    struct slab_object found;
    uintptr_t objects[40];

    for (unsigned i = 0; i < ARRAY_SIZE(objects); i++) {
        objects[i] = (uintptr_t)slab_alloc(cache, 0);
    }
    EXPECT(slab_object_find(objects[20], &found));
    for (unsigned i = 0; i < ARRAY_SIZE(objects); i++) {
        slab_free(cache, (void *)objects[i]);
    }
    slab_cache_destroy(cache);
    for (unsigned i = 0; i < ARRAY_SIZE(objects); i++) {
        EXPECT(!slab_object_find(objects[i], &found));
    }
}
