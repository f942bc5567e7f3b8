/*
 * init_on_alloc and init_on_free.
 */
#define TEST_SUITE "mm"
#include "test/unit/test.h"

#include "kernel/mm/frame.h"
#include "kernel/mm/poison.h"
#include "kernel/mm/slab.h"

static bool all_are(const void *bytes, size_t n, uint8_t value)
{
    for (size_t i = 0; i < n; i++) {
        if (((const uint8_t *)bytes)[i] != value) {
            return false;
        }
    }
    return true;
}

TEST(init, on_alloc_clears_frames_and_objects)
{
    struct page *page = frame_alloc(0, 0, PAGE_KERNEL);

    memset(page_to_virt(page), 0xa5, PAGE_SIZE);
    frame_free(page);
    frame_init_on_alloc = true;
    struct page *again = frame_alloc(0, 0, PAGE_KERNEL);
    EXPECT_PTR_EQ(again, page); /* last in, first out */
    EXPECT(all_are(page_to_virt(again), PAGE_SIZE, 0));
    frame_free(again);

    struct slab_cache *cache = slab_cache_create("test", 200, 0, 0, NULL);
    for (unsigned i = 0; i < 40; i++) {
        void *object = slab_alloc(cache, 0);
        EXPECT(all_are(object, 200, 0));
        memset(object, 0xa5, 200);
        slab_free(cache, object);
    }
    frame_init_on_alloc = false;
    slab_cache_destroy(cache);
}

#ifndef CONFIG_SLAB_DEBUG
TEST(init, on_free_leaves_nothing_behind)
{
    frame_init_on_free = true;
    frames_drain_local();
    struct page *page = frame_alloc(3, 0, PAGE_KERNEL);
    memset(page_to_virt(page), 0xa5, 8 * PAGE_SIZE);
    frame_free(page);
    frame_init_on_free = false;
    memory_unpoison(page_to_virt(page), 8 * PAGE_SIZE);
    bool clean = all_are(page_to_virt(page), 8 * PAGE_SIZE, 0);
    memory_poison_as(page_to_virt(page), 8 * PAGE_SIZE, POISON_FRAME);
    EXPECT(clean);
}
#endif
