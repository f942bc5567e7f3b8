#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include <linux/mman.h>

#include "kernel/machine/entry.h"
#include "test/unit/vm/swap_space.h"

#define BASE 0x40000000ull

static struct swap_space swap;

static struct vmspace *enter(void)
{
    struct vmspace *vm = space_enter();

    swap_space_add(&swap);
    return vm;
}

static void leave(void)
{
    space_leave();
    swap_space_remove(&swap);
}

TEST(reclaim, a_page_goes_to_swap_and_comes_back_with_its_content)
{
    struct vmspace *vm = enter();
    uint64_t value;

    EXPECT_EQ(map_anon(vm, BASE, 4, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(poke(BASE, 11), 0);
    EXPECT_EQ(vm->rss_anon, 1);
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_FREED);
    EXPECT_EQ(vm->rss_anon, 0);
    EXPECT_EQ(vm->rss_swap, 1);
    EXPECT(mmu_query_soft(&vm->mmu, BASE, &value));
    EXPECT_EQ(swap_slot_refs((swap_entry_t)value), 1);
    EXPECT_EQ(peek(BASE), 11);
    EXPECT_EQ(vm->rss_anon, 1);
    EXPECT_EQ(vm->rss_swap, 0);
    EXPECT_EQ(swap_slot_refs((swap_entry_t)value), 0);
    struct page *page = page_shown(vm, BASE);
    EXPECT_EQ(page->counts, PAGE_COUNT_MAPPING);
    EXPECT_EQ(poke(BASE, 12), 0); /* its own: no copy */
    EXPECT_PTR_EQ(page_shown(vm, BASE), page);
    /* Again, and a write brings it back. */
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_FREED);
    EXPECT_EQ(poke(BASE + 1, 13), 0);
    EXPECT_EQ(peek(BASE), 12);
    EXPECT_EQ(swap.loads, 2);
    /* What is in swap goes with its region. */
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_FREED);
    EXPECT_EQ(vmspace_unmap(vm, BASE, PAGE_SIZE), 0);
    EXPECT_EQ(vm->rss_swap, 0);
    leave();
}

TEST(reclaim, pages_that_go_while_a_fault_fills_in_are_no_lack_of_memory)
{
    struct vmspace *vm = enter();

    EXPECT_EQ(map_anon(vm, BASE, 8, TEST_RW), (int64_t)BASE);
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_EQ(poke(BASE + i * PAGE_SIZE, (uint8_t)(i + 1)), 0);
        EXPECT_EQ(reclaim_at(vm, BASE + i * PAGE_SIZE), RECLAIM_FREED);
    }
    struct thread_fault_runs *runs = &current_thread()->fault_runs;
    runs->next[runs->last] = BASE; /* a run of four pages is filled */
    runs->window[runs->last] = 2;
    vm->rss_swap = 0; /* they went after the fault had looked for them */
    EXPECT_EQ(vmspace_fault(vm, BASE, FAULT_USER | FAULT_WRITE), 0);
    vm->rss_swap = 4;
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_EQ(peek(BASE + i * PAGE_SIZE), (int)i + 1);
    }
    EXPECT_EQ(vmspace_unmap(vm, BASE, 8 * PAGE_SIZE), 0);
    EXPECT_EQ(vm->rss_anon, 0);
    leave();
}

TEST(reclaim, a_shared_slot_is_read_once_and_the_page_stored_once)
{
    struct vmspace *vm = enter();
    struct vmspace *child;

    EXPECT_EQ(map_anon(vm, BASE, 1, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(poke(BASE, 5), 0);
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_FREED);
    EXPECT_EQ(child->rss_swap, 1);
    EXPECT_EQ(peek(BASE), 5); /* the child's entry still names the slot */
    struct page *page = page_shown(vm, BASE);
    EXPECT(page->flags & PAGE_FLAG_SWAPCACHE);
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_FREED);
    EXPECT_EQ(swap.stores, 1); /* it was still as stored */
    EXPECT_EQ(peek(BASE), 5);
    EXPECT_EQ(poke(BASE, 6), 0); /* a copy: the other one is the slot's */
    vmspace_get(vm);
    space_switch(child);
    EXPECT_EQ(peek(BASE), 5);
    EXPECT_EQ(child->rss_swap, 0);
    EXPECT_EQ(poke(BASE, 7), 0);
    space_switch(vm);
    EXPECT_EQ(peek(BASE), 6);
    vmspace_put(child);
    vmspace_put(vm);
    leave();
}

TEST(reclaim, fork_and_mremap_take_along_what_is_in_swap)
{
    struct vmspace *vm = enter();
    struct vmspace *child;

    EXPECT_EQ(map_anon(vm, BASE, 2, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 2), 0);
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_FREED);
    EXPECT_EQ(reclaim_at(vm, BASE + PAGE_SIZE), RECLAIM_FREED);
    EXPECT_EQ(vmspace_remap(vm, BASE, 2 * PAGE_SIZE, 2 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
                            BASE + MIB(4)),
              (int64_t)(BASE + MIB(4)));
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    EXPECT_EQ(child->rss_swap, 2);
    EXPECT_EQ(peek(BASE + MIB(4)), 1);
    EXPECT_EQ(peek(BASE + MIB(4) + PAGE_SIZE), 2);
    /* Made elsewhere, and found where they are now. */
    EXPECT_EQ(reclaim_at(vm, BASE + MIB(4)), RECLAIM_FREED);
    EXPECT_EQ(vmspace_protect(vm, BASE + MIB(4), PAGE_SIZE, VM_READ), 0);
    EXPECT_EQ(poke(BASE + MIB(4), 3), -EACCES);
    EXPECT_EQ(peek(BASE + MIB(4)), 1);
    vmspace_put(child);
    leave();
}

TEST(reclaim, a_page_of_a_huge_leaf_goes_and_the_others_stay)
{
    struct vmspace *vm = enter();
    uint64_t start = BASE + GIB(1);
    bool executable;

    EXPECT_EQ(map_anon(vm, start, 512, TEST_RW), (int64_t)start);
    EXPECT_EQ(poke(start + 7 * PAGE_SIZE, 7), 0);
    EXPECT_EQ(poke(start + 8 * PAGE_SIZE, 8), 0);
    EXPECT_EQ(vm->rss_anon, 512);
    /* One mark for all: it is seen by each page once. */
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 512; i++) {
            struct page *page = page_shown(vm, start + i * PAGE_SIZE);
            EXPECT_EQ(reclaim_page_used(page, &executable), round == 0);
        }
    }
    EXPECT_EQ(reclaim_at(vm, start + 7 * PAGE_SIZE), RECLAIM_FREED);
    EXPECT_EQ(vm->rss_anon, 511);
    EXPECT_EQ(peek(start + 8 * PAGE_SIZE), 8);
    EXPECT_EQ(vm->rss_anon, 511);
    EXPECT_EQ(peek(start + 7 * PAGE_SIZE), 7);
    EXPECT_EQ(swap.loads, 1);
    leave();
}

TEST(reclaim, pages_of_locked_regions_stay)
{
    struct vmspace *vm = enter();

    EXPECT_EQ(map_anon(vm, BASE, 2, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(vmspace_lock(vm, BASE, PAGE_SIZE, false), 0);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 2), 0);
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_KEEP);
    EXPECT_EQ(reclaim_at(vm, BASE + PAGE_SIZE), RECLAIM_FREED);
    EXPECT_EQ(vmspace_unlock(vm, BASE, PAGE_SIZE), 0);
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_FREED);
    leave();
}

TEST(reclaim, a_page_that_somebody_works_with_and_one_that_cannot_be_stored_stay)
{
    struct vmspace *vm = enter();

    EXPECT_EQ(map_anon(vm, BASE, 1, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(poke(BASE, 9), 0);
    struct page *page = page_shown(vm, BASE);
    page_get(page);
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_KEEP);
    page_put(page);
    swap.error = -EIO;
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_KEEP);
    EXPECT_EQ(vm->rss_swap, 1); /* unmapped, but in the swap cache */
    EXPECT_EQ(peek(BASE), 9);
    EXPECT_PTR_EQ(page_shown(vm, BASE), page);
    EXPECT_EQ(swap.loads, 0);
    swap.error = 0;
    EXPECT_EQ(poke(BASE, 10), 0);
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_FREED);
    EXPECT_EQ(peek(BASE), 10);
    leave();
}

TEST(reclaim, shared_memory_leaves_its_slot_in_the_page_cache)
{
    struct vmspace *vm = enter();
    struct vm_source *source;

    EXPECT_EQ(vm_source_create_shared(8, &source), 0);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t at = BASE + i * MIB(1);
        EXPECT_EQ(vmspace_map(vm, at, 8 * PAGE_SIZE, TEST_RW | TEST_MAY | VM_SHARED, VMMAP_FIXED,
                              source, 0, NULL),
                  (int64_t)at);
    }
    EXPECT_EQ(poke(BASE, 3), 0);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 4), 0);
    EXPECT_EQ(peek(BASE + MIB(1)), 3);
    EXPECT_EQ(vm->rss_shared, 4);
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_FREED);
    EXPECT_EQ(reclaim_at(vm, BASE + PAGE_SIZE), RECLAIM_FREED);
    EXPECT_EQ(vm->rss_shared, 0);
    EXPECT_EQ(vm->rss_swap, 0); /* as Linux: shared memory's swap is nobody's in particular */
    EXPECT_EQ(source->cache->nswapped, 2);
    EXPECT_EQ(peek(BASE + MIB(1)), 3);
    EXPECT_EQ(poke(BASE + MIB(1), 30), 0);
    EXPECT_EQ(peek(BASE), 30);
    EXPECT_EQ(source->cache->nswapped, 1);
    EXPECT_EQ(vmspace_unmap(vm, BASE, MIB(2)), 0);
    source->ops->put(source); /* and what is in swap goes with it */
    leave();
}

TEST(reclaim, shared_memory_that_is_locked_stays)
{
    struct vmspace *vm = enter();
    struct vm_source *source;

    EXPECT_EQ(vm_source_create_shared(1, &source), 0);
    EXPECT_EQ(vmspace_map(vm, BASE, PAGE_SIZE, TEST_RW | TEST_MAY | VM_SHARED, VMMAP_FIXED, source,
                          0, NULL),
              (int64_t)BASE);
    EXPECT_EQ(poke(BASE, 3), 0);
    source->cache->locked = true;
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_KEEP);
    EXPECT_EQ(vm->rss_shared, 1);
    source->cache->locked = false;
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_FREED);
    EXPECT_EQ(vmspace_unmap(vm, BASE, PAGE_SIZE), 0);
    source->ops->put(source);
    leave();
}

/* ---- swapoff ---- */

TEST(reclaim, swapoff_brings_back_what_spaces_and_files_have_in_swap)
{
    struct vmspace *vm = enter();
    struct vmspace *child;
    struct vm_source *source;
    struct swap_stats stats;

    EXPECT_EQ(vm_source_create_shared(100, &source), 0);
    EXPECT_EQ(vmspace_map(vm, BASE + MIB(8), 100 * PAGE_SIZE, TEST_RW | TEST_MAY | VM_SHARED,
                          VMMAP_FIXED, source, 0, NULL),
              (int64_t)(BASE + MIB(8)));
    EXPECT_EQ(map_anon(vm, BASE, 100, TEST_RW), (int64_t)BASE);
    for (unsigned i = 0; i < 100; i++) {
        EXPECT_EQ(poke(BASE + i * PAGE_SIZE, (uint8_t)(i + 1)), 0);
        EXPECT_EQ(poke(BASE + MIB(8) + i * PAGE_SIZE, (uint8_t)(i + 101)), 0);
        EXPECT_EQ(reclaim_at(vm, BASE + i * PAGE_SIZE), RECLAIM_FREED);
        EXPECT_EQ(reclaim_at(vm, BASE + MIB(8) + i * PAGE_SIZE), RECLAIM_FREED);
    }
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    EXPECT_EQ(vmspace_protect(vm, BASE, 50 * PAGE_SIZE, 0), 0); /* rights do not matter */
    swap_stats(&stats);
    EXPECT_EQ(stats.total - stats.free, 200);
    EXPECT_EQ(swap_area_remove(&swap), 0);
    EXPECT_EQ(swap.loads, 200);
    EXPECT_EQ(vm->rss_swap, 0);
    EXPECT_EQ(child->rss_swap, 0);
    EXPECT_EQ(vm->rss_anon, 100);
    EXPECT_EQ(child->rss_anon, 100);
    EXPECT_EQ(source->cache->nswapped, 0);
    EXPECT_EQ(vmspace_protect(vm, BASE, 50 * PAGE_SIZE, TEST_RW), 0);
    for (unsigned i = 0; i < 100; i++) {
        EXPECT_EQ(peek(BASE + i * PAGE_SIZE), i + 1);
        EXPECT_EQ(peek(BASE + MIB(8) + i * PAGE_SIZE), i + 101);
    }
    vmspace_put(child);
    space_leave();
    source->ops->put(source);
}

TEST(reclaim, swapoff_that_fails_leaves_everything_as_it_is)
{
    struct vmspace *vm = enter();

    EXPECT_EQ(map_anon(vm, BASE, 2, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 2), 0);
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_FREED);
    EXPECT_EQ(reclaim_at(vm, BASE + PAGE_SIZE), RECLAIM_FREED);
    swap.load_error = -EIO;
    EXPECT_EQ(swap_area_remove(&swap), -EIO);
    EXPECT_EQ(vm->rss_swap, 2);
    swap.load_error = 0;
    EXPECT_EQ(peek(BASE), 1);
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_FREED); /* the area is in use again */
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 2);
    leave();
}

/* ---- advice ---- */

TEST(reclaim, pageout_sends_what_is_ours_alone)
{
    struct vmspace *vm = enter();
    struct vmspace *child;

    EXPECT_EQ(map_anon(vm, BASE, 100, TEST_RW), (int64_t)BASE);
    for (unsigned i = 0; i < 100; i++) {
        EXPECT_EQ(poke(BASE + i * PAGE_SIZE, (uint8_t)(i + 1)), 0);
    }
    EXPECT_EQ(vmspace_advise(vm, BASE, 90 * PAGE_SIZE, MADV_PAGEOUT), 0);
    EXPECT_EQ(vm->rss_swap, 90);
    EXPECT_EQ(vm->rss_anon, 10);
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    EXPECT_EQ(vmspace_advise(vm, BASE, 100 * PAGE_SIZE, MADV_PAGEOUT), 0);
    EXPECT_EQ(vm->rss_anon, 10); /* the child shows these too */
    EXPECT_EQ(vmspace_advise(vm, BASE, 101 * PAGE_SIZE, MADV_PAGEOUT), -ENOMEM);
    vmspace_put(child);
    for (unsigned i = 0; i < 100; i++) {
        EXPECT_EQ(peek(BASE + i * PAGE_SIZE), i + 1);
    }
    leave();
}

TEST(reclaim, cold_pages_lose_their_marks)
{
    struct vmspace *vm = enter();
    bool executable;

    EXPECT_EQ(map_anon(vm, BASE, 2, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(poke(BASE, 1), 0);
    struct page *page = page_shown(vm, BASE);
    lru_activate(page);
    EXPECT_EQ(vmspace_advise(vm, BASE, 2 * PAGE_SIZE, MADV_COLD), 0);
    EXPECT_EQ(page->flags & (PAGE_FLAG_ACTIVE | PAGE_FLAG_REFERENCED), 0);
    EXPECT_EQ(reclaim_page_used(page, &executable), 0);
    EXPECT_EQ(peek(BASE), 1);
    leave();
}
