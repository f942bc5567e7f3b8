#define TEST_SUITE "mm"
#include "test/unit/test.h"

#include "kernel/mm/arena.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/slab.h"

TEST(vmalloc, areas_are_described_in_order)
{
    struct vmalloc_info info;
    uint64_t before = vmalloc_pages();
    void *a = vmalloc(3 * PAGE_SIZE), *b = vmalloc(5 * PAGE_SIZE - 1);
    unsigned found = 0;
    vaddr_t last = 0;

    EXPECT(a != NULL && b != NULL);
    EXPECT_EQ(vmalloc_pages(), before + 8);
    for (vaddr_t at = 0; vmalloc_describe(at, &info); at = info.start + 1) {
        EXPECT(info.start > last);
        EXPECT(info.caller != NULL);
        last = info.start;
        found += info.start == (vaddr_t)a && info.npages == 3;
        found += info.start == (vaddr_t)b && info.npages == 5;
    }
    EXPECT_EQ(found, 2);
    vfree(a);
    vfree(b);
    EXPECT_EQ(vmalloc_pages(), before);
}

TEST(slab, what_can_be_given_up_is_counted)
{
    struct slab_cache *plain = slab_cache_create("plain", 512, 0, 0, NULL);
    struct slab_cache *cache = slab_cache_create("cached", 512, 0, SLAB_RECLAIMABLE, NULL);
    uint64_t before = slab_reclaimable_pages();
    void *objects[64];

    for (unsigned i = 0; i < 64; i++) {
        objects[i] = slab_alloc(plain, 0);
    }
    EXPECT_EQ(slab_reclaimable_pages(), before);
    for (unsigned i = 0; i < 64; i++) {
        slab_free(plain, objects[i]);
        objects[i] = slab_alloc(cache, 0);
    }
    EXPECT(slab_reclaimable_pages() >= before + 64 * 512 / PAGE_SIZE);
    for (unsigned i = 0; i < 64; i++) {
        slab_free(cache, objects[i]);
    }
    slab_cache_destroy(plain);
    slab_cache_destroy(cache);
    EXPECT_EQ(slab_reclaimable_pages(), before);
}

TEST(frame, memory_is_ram_with_or_without_a_struct_page)
{
    struct page *page = frame_alloc(0, 0, PAGE_KERNEL);

    EXPECT(pfn_valid(page_to_pfn(page)) && pfn_is_ram(page_to_pfn(page)));
    EXPECT(!pfn_is_ram(BIT(50)));
    frame_free(page);
}
