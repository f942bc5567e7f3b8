#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include "test/unit/vm/space.h"

#define BASE 0x40000000ull

struct seen {
    unsigned calls, stop_after;
    uint64_t va[8], pa[8], npages[8];
    unsigned flags[8];
};

static bool note(void *arg, vaddr_t va, paddr_t pa, unsigned flags, uint64_t npages)
{
    struct seen *seen = arg;
    unsigned i = seen->calls++;

    if (i < 8) {
        seen->va[i] = va;
        seen->pa[i] = pa;
        seen->flags[i] = flags;
        seen->npages[i] = npages;
    }
    return seen->calls != seen->stop_after;
}

TEST(walk, leaves_and_soft_entries_are_told_in_order)
{
    struct vmspace *vm = space_enter();
    struct seen seen = {0};
    struct mmu_flush flush;
    struct page *page = frame_alloc(0, 0, PAGE_KERNEL);
    paddr_t pa = page_to_phys(page);

    mmu_flush_init(&flush, &vm->mmu);
    EXPECT_EQ(mmu_map(&vm->mmu, BASE, pa, MMU_READ | MMU_WRITE | MMU_USER), 0);
    EXPECT_EQ(mmu_map(&vm->mmu, BASE + 2 * PAGE_SIZE, pa, MMU_READ | MMU_USER), 0);
    EXPECT_EQ(mmu_map(&vm->mmu, BASE + GIB(3), pa, MMU_READ | MMU_USER | MMU_SPECIAL), 0);
    mmu_replace_soft(&vm->mmu, BASE + 2 * PAGE_SIZE, 77, &flush);
    EXPECT_EQ(mmu_walk(&vm->mmu, 0, USER_TOP, note, &seen), 0);
    EXPECT_EQ(seen.calls, 3);
    EXPECT_EQ(seen.va[0], BASE);
    EXPECT_EQ(seen.pa[0], pa);
    EXPECT_EQ(seen.flags[0] & (MMU_READ | MMU_WRITE | MMU_SOFT | MMU_HUGE), MMU_READ | MMU_WRITE);
    EXPECT_EQ(seen.npages[0], 1);
    EXPECT_EQ(seen.va[1], BASE + 2 * PAGE_SIZE);
    EXPECT_EQ(seen.pa[1], 77 << PAGE_SHIFT);
    EXPECT((seen.flags[1] & MMU_SOFT) != 0);
    EXPECT_EQ(seen.va[2], BASE + GIB(3));
    EXPECT((seen.flags[2] & MMU_SPECIAL) != 0);
    seen = (struct seen){.stop_after = 2};
    EXPECT_EQ(mmu_walk(&vm->mmu, 0, USER_TOP, note, &seen), -EAGAIN);
    EXPECT_EQ(seen.calls, 2);
    seen = (struct seen){0};
    EXPECT_EQ(mmu_walk(&vm->mmu, BASE + PAGE_SIZE, BASE + 2 * PAGE_SIZE, note, &seen), 0);
    EXPECT_EQ(seen.calls, 0);
    EXPECT_EQ(mmu_unmap(&vm->mmu, 0, USER_TOP, &flush, NULL, NULL), 0);
    mmu_flush_finish(&flush);
    frame_free(page);
    space_leave();
}

TEST(walk, a_huge_leaf_is_told_once_for_the_part_in_the_range)
{
    struct vmspace *vm = space_enter();
    struct seen seen = {0};
    struct mmu_flush flush;
    const paddr_t pa = MIB(64);

    mmu_flush_init(&flush, &vm->mmu);
    EXPECT_EQ(mmu_map_huge(&vm->mmu, BASE, pa, MMU_READ | MMU_USER | MMU_SPECIAL), 0);
    EXPECT_EQ(mmu_walk(&vm->mmu, 0, USER_TOP, note, &seen), 0);
    EXPECT_EQ(mmu_walk(&vm->mmu, BASE + 3 * PAGE_SIZE, BASE + 8 * PAGE_SIZE, note, &seen), 0);
    EXPECT_EQ(seen.calls, 2);
    EXPECT_EQ(seen.va[0], BASE);
    EXPECT_EQ(seen.pa[0], pa);
    EXPECT_EQ(seen.npages[0], HUGE_PAGE_SIZE / PAGE_SIZE);
    EXPECT((seen.flags[0] & MMU_HUGE) != 0);
    EXPECT_EQ(seen.va[1], BASE + 3 * PAGE_SIZE);
    EXPECT_EQ(seen.pa[1], pa + 3 * PAGE_SIZE);
    EXPECT_EQ(seen.npages[1], 5);
    EXPECT_EQ(mmu_unmap(&vm->mmu, 0, USER_TOP, &flush, NULL, NULL), 0);
    mmu_flush_finish(&flush);
    space_leave();
}

TEST(walk, holes_are_skipped_by_whole_tables)
{
    struct vmspace *vm = space_enter();
    struct mmu_flush flush;

    mmu_flush_init(&flush, &vm->mmu);
    EXPECT_EQ(mmu_skip_hole(&vm->mmu, 0, USER_TOP), USER_TOP);
    EXPECT_EQ(mmu_map_huge(&vm->mmu, BASE, MIB(64), MMU_READ | MMU_USER | MMU_SPECIAL), 0);
    EXPECT_EQ(mmu_skip_hole(&vm->mmu, PAGE_SIZE, USER_TOP), BASE);
    EXPECT_EQ(mmu_skip_hole(&vm->mmu, BASE + PAGE_SIZE, USER_TOP), BASE + PAGE_SIZE);
    EXPECT_EQ(mmu_skip_hole(&vm->mmu, BASE + HUGE_PAGE_SIZE, BASE + GIB(2)), BASE + GIB(2));
    EXPECT_EQ(mmu_unmap(&vm->mmu, 0, USER_TOP, &flush, NULL, NULL), 0);
    mmu_flush_finish(&flush);
    space_leave();
}
