/*
 * Locked memory as reclaim sees it: its pages are on the list of those that stay, and leave it with the lock or with the mapping.
 */
#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include <linux/mman.h>

#include "kernel/mm/lru.h"
#include "kernel/vm/huge_fault.h"
#include "test/unit/vm/space.h"

#define BASE GIB(2)

static uint64_t staying(void)
{
    return lru_count(0, LRU_UNEVICTABLE);
}

TEST(mlock, pages_stay_until_they_are_unlocked_or_unmapped)
{
    struct vmspace *vm = space_enter();
    uint64_t before = staying();

    EXPECT_EQ(map_anon(vm, BASE, 8, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(vmspace_lock(vm, BASE, 6 * PAGE_SIZE, false), 0);
    EXPECT_EQ(staying(), before + 6);
    EXPECT_EQ(vm->locked_pages, 6);
    EXPECT_EQ(vmspace_unlock(vm, BASE + PAGE_SIZE, 2 * PAGE_SIZE), 0);
    EXPECT_EQ(staying(), before + 4);
    EXPECT_EQ(vmspace_unmap(vm, BASE, PAGE_SIZE), 0);
    EXPECT_EQ(staying(), before + 3);
    EXPECT_EQ(vmspace_advise(vm, BASE + 3 * PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED_LOCKED), 0);
    EXPECT_EQ(staying(), before + 2);
    EXPECT_EQ(vmspace_unmap(vm, BASE, 8 * PAGE_SIZE), 0);
    EXPECT_EQ(staying(), before);
    EXPECT_EQ(vm->locked_pages, 0);
    space_leave();
}

TEST(mlock, huge_pages_stay_whole_and_in_parts)
{
    struct vmspace *vm = space_enter();
    uint64_t before = staying();

    EXPECT_EQ(map_anon(vm, BASE, 2 * HUGE_PAGES, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(vmspace_lock(vm, BASE, 2 * HUGE_PAGE_SIZE, false), 0);
    EXPECT_EQ(vm->rss_anon, 2 * HUGE_PAGES);
    EXPECT_EQ(staying(), before + 2 * HUGE_PAGES);
    EXPECT_EQ(vmspace_unlock(vm, BASE + PAGE_SIZE, 3 * PAGE_SIZE), 0);
    EXPECT_EQ(staying(), before + 2 * HUGE_PAGES - 3);
    EXPECT_EQ(vmspace_unmap(vm, BASE + HUGE_PAGE_SIZE, HUGE_PAGE_SIZE), 0); /* a leaf at once */
    EXPECT_EQ(staying(), before + HUGE_PAGES - 3);
    space_leave();
    EXPECT_EQ(staying(), before);
}

TEST(mlock, a_child_that_goes_leaves_the_parent_its_lock)
{
    struct vmspace *vm = space_enter();
    struct vmspace *child;
    uint64_t before = staying();

    EXPECT_EQ(map_anon(vm, BASE, HUGE_PAGES + 8, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(vmspace_lock(vm, BASE, HUGE_PAGE_SIZE + 8 * PAGE_SIZE, false), 0);
    EXPECT_EQ(staying(), before + HUGE_PAGES + 8);
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    EXPECT_EQ(child->locked_pages, 0);
    vmspace_put(child);
    EXPECT_EQ(staying(), before + HUGE_PAGES + 8);
    space_leave();
    EXPECT_EQ(staying(), before);
}

TEST(mlock, what_is_gathered_into_a_huge_page_stays)
{
    struct vmspace *vm = space_enter();
    uint64_t before = staying();

    huge_set_mode(HUGE_NEVER);
    EXPECT_EQ(map_anon(vm, BASE, HUGE_PAGES, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(vmspace_lock(vm, BASE, HUGE_PAGE_SIZE, false), 0);
    EXPECT_EQ(staying(), before + HUGE_PAGES);
    huge_set_mode(HUGE_ALWAYS);
    EXPECT_EQ(vmspace_advise(vm, BASE, HUGE_PAGE_SIZE, MADV_COLLAPSE), 0);
    EXPECT_EQ(staying(), before + HUGE_PAGES);
    EXPECT_EQ(vmspace_unlock(vm, BASE, HUGE_PAGE_SIZE), 0);
    EXPECT_EQ(staying(), before);
    space_leave();
}
