#define TEST_SUITE "mm"
#include "test/unit/test.h"

#include "kernel/machine/mmu.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/slab.h"
#include "test/unit/base/random.h"

#define NRANGES 200u

TEST(arena, ranges_never_touch_and_all_space_joins_again)
{
    static struct {
        vaddr_t start;
        uint64_t len;
    } ranges[NRANGES];
    uint64_t pieces = arena_free_ranges(), seed = 1;

    for (unsigned i = 0; i < 5000; i++) {
        unsigned slot = (unsigned)(test_random(&seed) % NRANGES);
        if (ranges[slot].start != 0) {
            arena_free(ranges[slot].start, ranges[slot].len);
            ranges[slot].start = 0;
            continue;
        }
        uint64_t len = 1 + test_random(&seed) % (i % 10 == 0 ? MIB(40) : 60000);
        vaddr_t start = arena_alloc(len);
        EXPECT(start != 0);
        EXPECT_EQ(start % PAGE_SIZE, 0);
        for (unsigned other = 0; other < NRANGES; other++) {
            /* With at least a page between. */
            EXPECT(ranges[other].start == 0 ||
                   start >=
                       ALIGN_UP(ranges[other].start + ranges[other].len, PAGE_SIZE) + PAGE_SIZE ||
                   ALIGN_UP(start + len, PAGE_SIZE) + PAGE_SIZE <= ranges[other].start);
        }
        ranges[slot].start = start;
        ranges[slot].len = len;
    }
    for (unsigned slot = 0; slot < NRANGES; slot++) {
        arena_free(ranges[slot].start, ranges[slot].len);
    }
    EXPECT_EQ(arena_free_ranges(), pieces);
    EXPECT_EQ(arena_alloc(0), 0);
    EXPECT_EQ(arena_alloc(UINT64_MAX), 0);
}

static bool mapped(vaddr_t va)
{
    paddr_t pa;
    unsigned flags;

    return mmu_query(&mmu_kernel, va, &pa, &flags);
}

TEST(arena, vmalloc_is_zeroed_guarded_and_given_back)
{
    struct frame_stats before, after;
    uint8_t *warm = vmalloc(100 * PAGE_SIZE); /* page tables stay */

    EXPECT(warm != NULL);
    vfree(warm);
    (void)slab_shrink_all();
    frame_stats(&before);
    uint8_t *block = vmalloc(100000);
    EXPECT(block != NULL);
    for (unsigned i = 0; i < 100000; i++) {
        EXPECT_EQ(block[i], 0);
    }
    memset(block, 0xff, 100000);
    EXPECT(mapped((vaddr_t)block + 99999));
    EXPECT(!mapped((vaddr_t)block - 1));
    EXPECT(!mapped((vaddr_t)block + ALIGN_UP(100000, PAGE_SIZE)));
    vfree(block);
    EXPECT(!mapped((vaddr_t)block));
    (void)slab_shrink_all();
    frame_stats(&after);
    EXPECT_LE(after.total - after.free, before.total - before.free + 1);
    EXPECT(vmalloc(0) == NULL);
    EXPECT(vmalloc(1ull << 40) == NULL);
    vfree(NULL);
}

static unsigned rights(const void *ptr)
{
    paddr_t pa;
    unsigned flags;

    EXPECT(mmu_query(&mmu_kernel, (vaddr_t)ptr, &pa, &flags));
    return flags & (MMU_READ | MMU_WRITE | MMU_EXEC);
}

TEST(arena, modules_are_writable_or_executable_and_never_both)
{
    uint8_t *module = module_alloc(5 * PAGE_SIZE), *other = module_alloc(100);

    EXPECT(module != NULL && other != NULL);
    EXPECT_LE((vaddr_t)module - MODULES_BASE, MODULES_SIZE - 5 * PAGE_SIZE);
    EXPECT(!mapped((vaddr_t)module - 1) && !mapped((vaddr_t)module + 5 * PAGE_SIZE));
    EXPECT_EQ(rights(module), MMU_READ | MMU_WRITE);
    EXPECT_EQ(module_seal(module, 2 * PAGE_SIZE, PAGE_SIZE), 0);
    for (unsigned i = 0; i < 5; i++) {
        EXPECT_EQ(rights(module + i * PAGE_SIZE), i < 2    ? MMU_READ | MMU_EXEC
                                                  : i == 2 ? MMU_READ
                                                           : MMU_READ | MMU_WRITE);
    }
    EXPECT_EQ(rights(other), MMU_READ | MMU_WRITE);
    vfree(other);
    vfree(module);
    EXPECT(!mapped((vaddr_t)module));
    EXPECT(module_alloc(MODULES_SIZE) == NULL);
}

TEST(arena, kvmalloc_takes_what_fits)
{
    void *small = kvmalloc(100), *large = kvmalloc(1u << 20);

    EXPECT(small != NULL && large != NULL);
    memset(small, 1, 100);
    memset(large, 1, 1u << 20);
    kvfree(small);
    kvfree(large);
}

TEST(arena, kvrealloc_keeps_the_content)
{
    static const size_t sizes[] = {10, 100, 5000, 8192, 8193, 12000, 12288, 100000, 50};
    uint8_t *block = NULL;

    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        block = kvrealloc(block, sizes[i]);
        EXPECT(block != NULL);
        for (size_t k = 0; i > 0 && k < MIN(sizes[i], sizes[i - 1]); k++) {
            EXPECT_EQ(block[k], (uint8_t)(k * 7));
        }
        for (size_t k = 0; k < sizes[i]; k++) {
            block[k] = (uint8_t)(k * 7);
        }
    }
    kvfree(block);
}

TEST(vunmap, frames_and_addresses_come_back_when_cpus_were_told)
{
    struct frame_stats before, after;

    void *first = vmalloc(4 * PAGE_SIZE);
    EXPECT(first != NULL);
    uint64_t flushes = vunmap_flushes();
    vunmap_set_limit(8);
    frame_stats(&before);
    vfree(first);
    EXPECT_EQ(vunmap_waiting(), 4);
    frame_stats(&after);
    EXPECT_EQ(after.free, before.free);
    void *second = vmalloc(4 * PAGE_SIZE);
    EXPECT(second != first && second != NULL);
    EXPECT_EQ(vunmap_flushes(), flushes);
    vfree(second); /* that makes eight */
    EXPECT_EQ(vunmap_flushes(), flushes + 1);
    EXPECT_EQ(vunmap_waiting(), 0);
    frame_stats(&after);
    EXPECT_GE(after.free, before.free + 4);
    void *third = vmalloc(4 * PAGE_SIZE);
    vfree(third);
    EXPECT_EQ(vunmap_flush(), 4);
    EXPECT_EQ(vunmap_flush(), 0);
    EXPECT_EQ(vunmap_flushes(), flushes + 2);
    vunmap_set_limit(0);
}

TEST(vunmap, stacks_wait_too)
{
    void *stacks[64];

    vunmap_set_limit(UINT64_MAX);
    for (unsigned i = 0; i < ARRAY_SIZE(stacks); i++) {
        stacks[i] = kstack_alloc();
        EXPECT(stacks[i] != NULL);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(stacks); i++) {
        kstack_free(stacks[i]);
    }
    EXPECT_GT(vunmap_waiting(), 0);
    EXPECT_EQ(vunmap_waiting() % (KSTACK_SIZE / PAGE_SIZE), 0);
    uint64_t waiting = vunmap_waiting();
    EXPECT_EQ(vunmap_flush(), waiting);
    vunmap_set_limit(0);
}

TEST(kstack, stacks_have_guards_and_are_reused)
{
    void *stacks[40];

    for (unsigned i = 0; i < 40; i++) {
        stacks[i] = kstack_alloc();
        EXPECT(stacks[i] != NULL);
        memset(stacks[i], (int)i, KSTACK_SIZE);
        EXPECT(kstack_guard_hit((vaddr_t)stacks[i] - 1));
        EXPECT(kstack_guard_hit((vaddr_t)stacks[i] + KSTACK_SIZE));
        EXPECT(!kstack_guard_hit((vaddr_t)stacks[i]));
        EXPECT(!kstack_guard_hit((vaddr_t)stacks[i] + KSTACK_SIZE - 1));
        EXPECT(!mapped((vaddr_t)stacks[i] - 1));
    }
    for (unsigned i = 0; i < 40; i++) {
        EXPECT_EQ(((uint8_t *)stacks[i])[KSTACK_SIZE - 1], i);
        kstack_free(stacks[i]);
    }
    void *again = kstack_alloc();
    EXPECT_PTR_EQ(again, stacks[3]); /* last into this CPU's cache */
    kstack_free(again);
    kstack_free(NULL);
    EXPECT(!kstack_guard_hit(0));
}
