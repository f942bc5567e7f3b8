#define TEST_SUITE "vm"
/*
 * Large leaves over device memory: the largest that region, place and address allow, cut where a part is treated differently.
 */
#include "test/unit/test.h"

#include <linux/mman.h>

#include "hal/host/host.h"
#include "kernel/machine/entry.h"
#include "kernel/vm/usage.h"
#include "test/unit/vm/space.h"

#define BASE  GIB(8)
#define PAGES (GIANT_PAGE_SIZE >> PAGE_SHIFT)
#define BLOCK (HUGE_PAGE_SIZE >> PAGE_SHIFT)

/* Memory of 3 GiB that lies together from device_pa on. Nobody touches it. */
static paddr_t device_pa;
static unsigned device_users;

static void device_get(struct vm_source *source)
{
    (void)source;
    device_users++;
}

static void device_put(struct vm_source *source)
{
    (void)source;
    device_users--;
}

static int device_page(struct vm_source *source, uint64_t index, paddr_t *ret_pa,
                       unsigned *ret_flags)
{
    (void)source;
    if (index >= 3 * PAGES) {
        return -EIO;
    }
    *ret_pa = device_pa + (index << PAGE_SHIFT);
    *ret_flags = MMU_UNCACHED;
    return 0;
}

static uint64_t device_run(struct vm_source *source, uint64_t index)
{
    (void)source;
    return index >= 3 * PAGES ? 0 : 3 * PAGES - index;
}

static const struct vm_source_ops device_ops = {
    .get = device_get, .put = device_put, .map_page = device_page, .map_run = device_run};
static struct vm_source device = {.ops = &device_ops};

static void map_device(struct vmspace *vm, uint64_t addr, uint64_t npages, uint64_t pgoff)
{
    const uint32_t flags = TEST_RW | VM_SHARED | VM_MAYREAD | VM_MAYWRITE;

    EXPECT_EQ(vmspace_map(vm, addr, npages << PAGE_SHIFT, flags, VMMAP_FIXED, &device, pgoff, NULL),
              (int64_t)addr);
}

/* The size of the leaf at va, in pages; 0: none. It shows the device's page `index`. */
static uint64_t leaf(struct vmspace *vm, uint64_t va, uint64_t index)
{
    paddr_t pa;
    unsigned flags;

    if (!mmu_query(&vm->mmu, va, &pa, &flags)) {
        return 0;
    }
    EXPECT_EQ(pa, device_pa + (index << PAGE_SHIFT));
    EXPECT_EQ(flags & (MMU_SPECIAL | MMU_UNCACHED), MMU_SPECIAL | MMU_UNCACHED);
    return (flags & MMU_GIANT) != 0 ? PAGES : (flags & MMU_HUGE) != 0 ? BLOCK : 1;
}

TEST(giant, a_fault_takes_the_largest_leaf_that_fits)
{
    struct vmspace *vm = space_enter();
    uint64_t at = BASE + 5 * PAGE_SIZE;

    device_pa = GIB(200);
    map_device(vm, BASE, 2 * PAGES, 0);
    EXPECT_EQ(vmspace_fault(vm, at, FAULT_WRITE), 0);
    EXPECT_EQ(leaf(vm, at, 5), PAGES);
    EXPECT_EQ(leaf(vm, BASE + GIB(1), PAGES), 0);
    EXPECT_EQ(vmspace_fault(vm, at, FAULT_WRITE), 0); /* another thread's, just as late */
    EXPECT_EQ(vm->rss_anon + vm->rss_file + vm->rss_shared, 0);
    EXPECT_EQ(vmspace_unmap(vm, BASE, 2 * GIANT_PAGE_SIZE), 0);
    EXPECT_EQ(vm->mmu.ntables, 0);
    EXPECT_EQ(device_users, 0);

    map_device(vm, BASE + HUGE_PAGE_SIZE, PAGES, BLOCK); /* the region covers no GiB whole */
    EXPECT_EQ(vmspace_fault(vm, BASE + HUGE_PAGE_SIZE, FAULT_WRITE), 0);
    EXPECT_EQ(leaf(vm, BASE + HUGE_PAGE_SIZE, BLOCK), BLOCK);
    EXPECT_EQ(vmspace_unmap(vm, BASE, 2 * GIANT_PAGE_SIZE), 0);
    map_device(vm, BASE, PAGES, 1); /* va and address do not go together */
    EXPECT_EQ(vmspace_fault(vm, at, FAULT_WRITE), 0);
    EXPECT_EQ(leaf(vm, at, 6), 1);
    EXPECT_EQ(vmspace_unmap(vm, BASE, GIANT_PAGE_SIZE), 0);
    map_device(vm, BASE, 2 * PAGES, 2 * PAGES); /* there is no more of it */
    EXPECT_EQ(vmspace_fault(vm, BASE + GIANT_PAGE_SIZE, FAULT_WRITE), -EIO);
    EXPECT_EQ(vmspace_unmap(vm, BASE, 2 * GIANT_PAGE_SIZE), 0);
    device_pa = GIB(200) + HUGE_PAGE_SIZE;
    map_device(vm, BASE, PAGES, 0);
    EXPECT_EQ(vmspace_fault(vm, at, FAULT_WRITE), 0);
    EXPECT_EQ(leaf(vm, at, 5), BLOCK);
    EXPECT_EQ(vmspace_unmap(vm, BASE, GIANT_PAGE_SIZE), 0);
    device_pa = GIB(200);
    host_mmu_no_giants = true;
    map_device(vm, BASE, PAGES, 0);
    EXPECT_EQ(vmspace_fault(vm, at, FAULT_WRITE), 0);
    EXPECT_EQ(leaf(vm, at, 5), BLOCK);
    host_mmu_no_giants = false;
    space_leave();
}

TEST(giant, what_is_cut_off_shows_the_same)
{
    struct vmspace *vm = space_enter();

    device_pa = GIB(200);
    map_device(vm, BASE, 3 * PAGES, 0);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(vmspace_fault(vm, BASE + i * GIANT_PAGE_SIZE, FAULT_WRITE), 0);
    }
    /* A page in the midst, 2 MiB at the end. */
    EXPECT_EQ(vmspace_unmap(vm, BASE + HUGE_PAGE_SIZE + PAGE_SIZE, PAGE_SIZE), 0);
    EXPECT_EQ(leaf(vm, BASE, 0), BLOCK);
    EXPECT_EQ(leaf(vm, BASE + HUGE_PAGE_SIZE, BLOCK), 1);
    EXPECT_EQ(leaf(vm, BASE + HUGE_PAGE_SIZE + PAGE_SIZE, BLOCK + 1), 0);
    EXPECT_EQ(leaf(vm, BASE + GIB(1) - PAGE_SIZE, PAGES - 1), BLOCK);
    EXPECT_EQ(leaf(vm, BASE + GIB(1), PAGES), PAGES);
    EXPECT_EQ(vmspace_unmap(vm, BASE + GIB(3) - HUGE_PAGE_SIZE, HUGE_PAGE_SIZE), 0);
    EXPECT_EQ(leaf(vm, BASE + GIB(2), 2 * PAGES), BLOCK);
    EXPECT_EQ(leaf(vm, BASE + GIB(3) - HUGE_PAGE_SIZE, 0), 0);
    /* Rights of a part, taken and given again by a fault; and of a whole one. */
    EXPECT_EQ(vmspace_protect(vm, BASE + GIB(1), HUGE_PAGE_SIZE, 0), 0);
    EXPECT_EQ(vmspace_fault(vm, BASE + GIB(1), FAULT_PRESENT), -EACCES);
    EXPECT_EQ(vmspace_protect(vm, BASE + GIB(1), HUGE_PAGE_SIZE, TEST_RW), 0);
    EXPECT_EQ(vmspace_fault(vm, BASE + GIB(1), FAULT_PRESENT | FAULT_WRITE), 0);
    EXPECT_EQ(leaf(vm, BASE + GIB(1), PAGES), BLOCK);
    EXPECT_EQ(vmspace_unmap(vm, BASE, 3 * GIANT_PAGE_SIZE), 0);
    EXPECT_EQ(vm->mmu.ntables, 0);
    space_leave();
}

TEST(giant, rights_change_whole_and_regions_are_cut)
{
    struct vmspace *vm = space_enter();
    struct vm_usage usage = {0};
    unsigned flags = 0;
    paddr_t pa;

    device_pa = GIB(200);
    map_device(vm, BASE, PAGES, 0);
    EXPECT_EQ(vmspace_fault(vm, BASE, FAULT_WRITE), 0);
    EXPECT_EQ(vmspace_protect(vm, BASE, GIANT_PAGE_SIZE, VM_READ), 0);
    EXPECT_EQ(leaf(vm, BASE, 0), PAGES);
    EXPECT_EQ(vmspace_fault(vm, BASE, FAULT_PRESENT | FAULT_WRITE), -EACCES);
    EXPECT_EQ(vmspace_protect(vm, BASE, GIANT_PAGE_SIZE, TEST_RW), 0);
    EXPECT_EQ(vmspace_fault(vm, BASE + 9 * PAGE_SIZE, FAULT_PRESENT | FAULT_WRITE), 0);
    EXPECT(mmu_query(&vm->mmu, BASE, &pa, &flags) && (flags & MMU_WRITE) != 0);
    EXPECT_EQ(leaf(vm, BASE, 0), PAGES);
    rwsem_lock_read(&vm->lock);
    vm_region_usage(vmspace_find(vm, BASE), &usage);
    rwsem_unlock_read(&vm->lock);
    EXPECT_EQ(usage.rss, 0); /* nobody's memory */
    /* Where a region ends, no leaf lies across; where 2 MiB end there, they stay. */
    EXPECT_EQ(vmspace_advise(vm, BASE + HUGE_PAGE_SIZE, HUGE_PAGE_SIZE, MADV_DONTFORK), 0);
    EXPECT_EQ(vm->nregions, 3);
    EXPECT_EQ(leaf(vm, BASE + HUGE_PAGE_SIZE, BLOCK), BLOCK);
    EXPECT_EQ(vmspace_advise(vm, BASE + 5 * HUGE_PAGE_SIZE + PAGE_SIZE, PAGE_SIZE, MADV_DONTFORK),
              0);
    EXPECT_EQ(leaf(vm, BASE + 5 * HUGE_PAGE_SIZE, 5 * BLOCK), 1);
    EXPECT_EQ(leaf(vm, BASE + 6 * HUGE_PAGE_SIZE, 6 * BLOCK), BLOCK);
    struct vmspace *child;
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    EXPECT_EQ(vmspace_fault(child, BASE, FAULT_WRITE), 0); /* shared memory: found again */
    EXPECT_EQ(leaf(child, BASE, 0), BLOCK);
    vmspace_put(child);
    space_leave();
}

TEST(giant, mappings_move)
{
    struct vmspace *vm = space_enter();
    const uint64_t to = BASE + GIB(64);

    device_pa = GIB(200);
    map_device(vm, BASE, PAGES, 0);
    EXPECT_EQ(vmspace_fault(vm, BASE, FAULT_WRITE), 0);
    EXPECT_EQ(vmspace_remap(vm, BASE, GIANT_PAGE_SIZE, GIANT_PAGE_SIZE,
                            MREMAP_MAYMOVE | MREMAP_FIXED, to),
              (int64_t)to);
    EXPECT(leaf(vm, to + 77 * PAGE_SIZE, 77) > 0);
    EXPECT_EQ(leaf(vm, BASE, 0), 0);
    space_leave();
}
