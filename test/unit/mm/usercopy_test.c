#define TEST_SUITE "mm"
#include "test/unit/test.h"

#include "hal/host/host.h"
#include "kernel/core/defect.h"
#include "kernel/machine/user.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/usercopy.h"

TEST(usercopy, a_piece_ends_where_its_object_ends)
{
    struct slab_cache *cache = slab_cache_create("test-copy", 200, 0, 0, NULL);
    uint8_t *objects[100];
    uint64_t before = defect_count(DEFECT_HEAP);

    for (unsigned i = 0; i < ARRAY_SIZE(objects); i++) {
        objects[i] = slab_alloc(cache, 0);
        EXPECT(usercopy_inside(objects[i], 200));
        EXPECT(usercopy_inside(objects[i] + 199, 1));
        EXPECT(usercopy_inside(objects[i] + 200, 0));
    }
    EXPECT_EQ(defect_count(DEFECT_HEAP), before);
    for (unsigned i = 0; i < ARRAY_SIZE(objects); i++) {
        EXPECT(!usercopy_inside(objects[i], 201));
        EXPECT(!usercopy_inside(objects[i] + 1, 200));
        EXPECT(!usercopy_inside(objects[i] + 199, (size_t)-1));
        slab_free(cache, objects[i]);
    }
    EXPECT_EQ(defect_count(DEFECT_HEAP), before + 3 * ARRAY_SIZE(objects));
    slab_cache_destroy(cache);
}

TEST(usercopy, a_block_of_pages_has_an_end_too)
{
    struct page *block = frame_alloc(2, 0, PAGE_KERNEL);
    uint8_t *at = page_to_virt(block);

    EXPECT(usercopy_inside(at, 4 * PAGE_SIZE));
    EXPECT(!usercopy_inside(at + 1, 4 * PAGE_SIZE));
    EXPECT(!usercopy_inside(at, 4 * PAGE_SIZE + 1));
    frame_free(block);
    EXPECT(!usercopy_inside(at + 8, 8));
}

/* Frames that were free by themselves before they became a block look free in it. */
TEST(usercopy, every_page_of_a_block_is_in_it)
{
    struct page *block = frame_alloc(2, 0, PAGE_KERNEL);

    frame_split(block);
    for (unsigned i = 0; i < 4; i++) {
        frame_free(block + i);
    }
    frames_drain_local();
    block = frame_alloc(2, 0, PAGE_KERNEL);
    uint8_t *at = page_to_virt(block);
    for (unsigned i = 1; i < 4; i++) {
        EXPECT(usercopy_inside(at + i * PAGE_SIZE, 8));
        EXPECT(usercopy_inside(at + i * PAGE_SIZE, (4 - i) * PAGE_SIZE));
        EXPECT(!usercopy_inside(at + i * PAGE_SIZE, (4 - i) * PAGE_SIZE + 1));
    }
    frame_free(block);
}

/* The kernel's stack and image, and memory that is not RAM. */
TEST(usercopy, other_memory_is_not_looked_at)
{
    uint8_t on_stack[64];

    EXPECT(usercopy_inside(on_stack, sizeof(on_stack)));
    EXPECT(usercopy_inside("text", 5));
}

TEST(usercopy, no_byte_moves_when_it_is_refused)
{
    uint8_t *object = kmalloc(512);

    memset(object, 7, 512);
    EXPECT_EQ(copy_from_user(object, (const void *)USER_MIN, 513), -EFAULT);
    EXPECT_EQ(object[0], 7);
    EXPECT_EQ(object[511], 7);
    kfree(object);
}
