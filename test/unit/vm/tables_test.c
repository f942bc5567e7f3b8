/*
 * Which page tables an unmap takes out: never one that lies over a region that is left, and in the end all.
 */
#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include <linux/mman.h>

#include "test/unit/vm/space.h"

#define BASE GIB(4)

TEST(tables, stay_while_a_region_lies_under_them)
{
    struct vmspace *vm = space_enter();

    EXPECT_EQ(map_anon(vm, BASE, 1, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(map_anon(vm, BASE + 2 * PAGE_SIZE, 1, TEST_RW), (int64_t)(BASE + 2 * PAGE_SIZE));
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(poke(BASE + 2 * PAGE_SIZE, 2), 0);
    uint64_t all = vm->mmu.ntables;
    EXPECT_EQ(all, 4);
    EXPECT_EQ(vmspace_unmap(vm, BASE, PAGE_SIZE), 0);
    EXPECT_EQ(vm->mmu.ntables, all);
    EXPECT_EQ(peek(BASE + 2 * PAGE_SIZE), 2);
    EXPECT_EQ(vmspace_unmap(vm, BASE + 2 * PAGE_SIZE, PAGE_SIZE), 0);
    EXPECT_EQ(vm->mmu.ntables, 0);
    space_leave();
}

TEST(tables, go_with_a_neighbour_that_was_never_touched)
{
    struct vmspace *vm = space_enter();

    EXPECT_EQ(map_anon(vm, BASE, 1, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(map_anon(vm, BASE + 2 * PAGE_SIZE, 1, TEST_RW), (int64_t)(BASE + 2 * PAGE_SIZE));
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(vmspace_unmap(vm, BASE, PAGE_SIZE), 0);
    EXPECT_EQ(vm->mmu.ntables, 4);
    EXPECT_EQ(vmspace_unmap(vm, BASE, MIB(1)), 0);
    EXPECT_EQ(vm->mmu.ntables, 0);
    space_leave();
}

TEST(tables, of_each_level_go_when_nothing_is_left_under_them)
{
    struct vmspace *vm = space_enter();

    EXPECT_EQ(map_anon(vm, BASE, 1, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(map_anon(vm, BASE + MIB(2), 1, TEST_RW), (int64_t)(BASE + MIB(2)));
    EXPECT_EQ(map_anon(vm, BASE + GIB(1), 1, TEST_RW), (int64_t)(BASE + GIB(1)));
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(poke(BASE + MIB(2), 1), 0);
    EXPECT_EQ(poke(BASE + GIB(1), 1), 0);
    EXPECT_EQ(vm->mmu.ntables, 7);
    EXPECT_EQ(vmspace_unmap(vm, BASE + MIB(2), PAGE_SIZE), 0);
    EXPECT_EQ(vm->mmu.ntables, 6);
    EXPECT_EQ(vmspace_unmap(vm, BASE, PAGE_SIZE), 0);
    EXPECT_EQ(vm->mmu.ntables, 4);
    EXPECT_EQ(vmspace_unmap(vm, BASE + GIB(1), PAGE_SIZE), 0);
    EXPECT_EQ(vm->mmu.ntables, 0);
    space_leave();
}

TEST(tables, stay_when_only_their_pages_are_given_away)
{
    struct vmspace *vm = space_enter();

    EXPECT_EQ(map_anon(vm, BASE, 1024, TEST_RW | VM_NOHUGE), (int64_t)BASE);
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(poke(BASE + MIB(2), 1), 0);
    EXPECT_EQ(vmspace_advise(vm, BASE, MIB(4), MADV_DONTNEED), 0);
    EXPECT_EQ(vm->rss_anon, 0);
    EXPECT_EQ(vm->mmu.ntables, 5);
    EXPECT_EQ(peek(BASE), 0);
    EXPECT_EQ(vmspace_unmap(vm, BASE, MIB(2)), 0);
    EXPECT_EQ(vm->mmu.ntables, 4);
    EXPECT_EQ(vmspace_unmap(vm, BASE + MIB(2), MIB(2)), 0);
    EXPECT_EQ(vm->mmu.ntables, 0);
    space_leave();
}
