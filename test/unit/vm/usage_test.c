#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include "kernel/vm/usage.h"
#include "test/unit/vm/space.h"

#define BASE 0x40000000ull

static struct vm_usage usage_at(struct vmspace *vm, uint64_t addr)
{
    struct vm_usage usage = {0};

    vm_region_usage(vmspace_find(vm, addr), &usage);
    return usage;
}

TEST(usage, a_page_shared_by_three_spaces_counts_a_third)
{
    struct vmspace *vm = space_enter();
    struct vmspace *child[2];

    EXPECT_EQ(map_anon(vm, BASE, 16, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(poke(BASE + 9 * PAGE_SIZE, 1), 0);
    EXPECT_EQ(poke(BASE + 4 * PAGE_SIZE, 1), 0);
    EXPECT_EQ(peek(BASE), 0); /* the page of zeros counts nowhere */
    struct vm_usage usage = usage_at(vm, BASE);
    EXPECT_EQ(usage.rss, 2 * PAGE_SIZE);
    EXPECT_EQ(usage.pss, 2 * PAGE_SIZE << VM_PSS_SHIFT);
    EXPECT_EQ(usage.anonymous, 2 * PAGE_SIZE);
    EXPECT_EQ(usage.private_dirty, 2 * PAGE_SIZE);
    EXPECT_EQ(usage.referenced, 2 * PAGE_SIZE);
    EXPECT_EQ(vmspace_fork(vm, &child[0]), 0);
    EXPECT_EQ(vmspace_fork(vm, &child[1]), 0);
    EXPECT_EQ(poke(BASE + 9 * PAGE_SIZE, 2), 0);
    usage = usage_at(vm, BASE);
    EXPECT_EQ(usage.pss, (PAGE_SIZE << VM_PSS_SHIFT) + (PAGE_SIZE << VM_PSS_SHIFT) / 3);
    EXPECT_EQ(usage.pss_anon, usage.pss);
    EXPECT_EQ(usage.shared_dirty, PAGE_SIZE);
    EXPECT_EQ(usage.private_dirty, PAGE_SIZE);
    vmspace_put(child[0]);
    vmspace_put(child[1]);
    EXPECT_EQ(usage_at(vm, BASE).private_dirty, 2 * PAGE_SIZE);
    space_leave();
}

TEST(usage, references_are_forgotten_by_page_and_table)
{
    struct vmspace *vm = space_enter();
    paddr_t pa;
    unsigned flags;

    EXPECT_EQ(map_anon(vm, BASE, 4, TEST_RW | VM_LOCKED), (int64_t)BASE);
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT(mmu_query(&vm->mmu, BASE, &pa, &flags));
    phys_to_page(pa)->flags |= PAGE_FLAG_REFERENCED;
    EXPECT(usage_at(vm, BASE).referenced >= PAGE_SIZE);
    EXPECT_EQ(usage_at(vm, BASE).pss_locked, usage_at(vm, BASE).pss);
    vm_region_clear_referenced(vmspace_find(vm, BASE));
    EXPECT_EQ(usage_at(vm, BASE).referenced, 0);
    EXPECT(usage_at(vm, BASE).rss >= PAGE_SIZE);
    phys_to_page(pa)->flags |= PAGE_FLAG_REFERENCED;
    EXPECT_EQ(usage_at(vm, BASE).referenced, PAGE_SIZE);
    space_leave();
}

TEST(usage, the_peak_of_the_size_is_kept)
{
    struct vmspace *vm = space_enter();

    EXPECT_EQ(map_anon(vm, BASE, 100, TEST_RW), (int64_t)BASE);
    uint64_t peak = vmspace_total_peak(vm);
    EXPECT_EQ(peak, vm->total_pages);
    EXPECT_EQ(vmspace_unmap(vm, BASE, 60 * PAGE_SIZE), 0);
    EXPECT_EQ(vmspace_total_peak(vm), peak);
    EXPECT_EQ(map_anon(vm, BASE, 200, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(vmspace_total_peak(vm), vm->total_pages);
    space_leave();
}
