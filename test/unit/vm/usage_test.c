#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include "kernel/base/errno.h"
#include "kernel/vm/huge_fault.h"
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

struct told {
    uint64_t next;  /* leaves come in order, without a gap between them */
    uint64_t most;  /* of one leaf */
    uint64_t until; /* where to stop */
};

static bool tell(void *arg, vaddr_t va, paddr_t pa, unsigned flags, uint64_t npages)
{
    struct told *told = arg;

    (void)pa, (void)flags;
    EXPECT_EQ(va, told->next);
    told->next = va + npages * PAGE_SIZE;
    told->most = MAX(told->most, npages);
    return told->next < told->until;
}

TEST(usage, the_walk_lets_go_of_its_lock_within_a_huge_leaf)
{
    struct vmspace *vm = space_enter();
    const uint64_t end = GIB(2) + 2 * HUGE_PAGE_SIZE;
    struct told told = {.next = GIB(2), .until = UINT64_MAX};

    EXPECT_EQ(map_anon(vm, GIB(2), 2 * HUGE_PAGES, TEST_RW), (int64_t)GIB(2));
    EXPECT_EQ(poke(GIB(2), 1), 0);
    EXPECT_EQ(poke(GIB(2) + HUGE_PAGE_SIZE, 1), 0);
    EXPECT_EQ(vmspace_protect(vm, GIB(2), PAGE_SIZE, VM_READ),
              0); /* the first one in small pieces */
    EXPECT_EQ(vmspace_walk(vm, GIB(2), end, tell, &told), 0);
    EXPECT_EQ(told.next, end);
    EXPECT_EQ(told.most, 16);
    told = (struct told){.next = GIB(2) + HUGE_PAGE_SIZE, .until = UINT64_MAX};
    EXPECT_EQ(vmspace_walk_whole(vm, told.next, end, tell, &told), 0);
    EXPECT_EQ(told.most, HUGE_PAGES);
    told = (struct told){.next = GIB(2), .until = GIB(2) + 40 * PAGE_SIZE};
    EXPECT_EQ(vmspace_walk(vm, GIB(2), end, tell, &told), -EAGAIN);
    EXPECT_EQ(told.next, told.until);
    space_leave();
}
