/*
 * madvise(MADV_FREE): pages stay until memory is wanted, a write keeps them, and nobody else loses anything.
 */
#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include <linux/mman.h>

#include "kernel/machine/entry.h"
#include "kernel/mm/compact.h"
#include "kernel/mm/lru.h"
#include "kernel/vm/huge_fault.h"
#include "kernel/vm/migrate.h"
#include "kernel/vm/usage.h"
#include "test/unit/vm/swap_space.h"

#define BASE GIB(2)

static struct swap_space swap;

static struct vmspace *enter(uint64_t npages, uint32_t flags)
{
    struct vmspace *vm = space_enter();

    swap_space_add(&swap);
    EXPECT_EQ(map_anon(vm, BASE, npages, TEST_RW | flags), (int64_t)BASE);
    return vm;
}

static void leave(struct vmspace *vm, uint64_t npages)
{
    EXPECT_EQ(vmspace_unmap(vm, BASE, npages * PAGE_SIZE), 0);
    EXPECT_EQ(vm->rss_anon, 0);
    EXPECT_EQ(vm->rss_swap, 0);
    space_leave();
    swap_space_remove(&swap);
}

static int give_up(struct vmspace *vm, uint64_t page, uint64_t n)
{
    return vmspace_advise(vm, BASE + page * PAGE_SIZE, n * PAGE_SIZE, MADV_FREE);
}

static uint64_t lazy_bytes(struct vmspace *vm)
{
    struct vm_usage usage = {0};

    for (struct vm_region *region = vmspace_first(vm); region != NULL;
         region = vm_region_next(region)) {
        vm_region_usage(region, &usage);
    }
    return usage.lazy_free;
}

static uint64_t on_list(enum lru_list list)
{
    return lru_count(0, list);
}

TEST(lazy_free, pages_stay_until_reclaim_wants_them)
{
    struct vmspace *vm = enter(8, VM_NOHUGE);
    struct vm_stats before, after;

    vm_stats(&before);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 2), 0); /* downwards: no page is given ahead */
    EXPECT_EQ(poke(BASE, 1), 0);
    uint64_t file = on_list(LRU_INACTIVE_FILE);
    EXPECT_EQ(give_up(vm, 0, 8), 0);
    EXPECT_EQ(on_list(LRU_INACTIVE_FILE), file + 2);
    EXPECT_EQ(vm->rss_anon, 2);
    EXPECT_EQ(lazy_bytes(vm), 2 * PAGE_SIZE);
    EXPECT_EQ(peek(BASE), 1);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 2);
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_FREED);
    EXPECT_EQ(vm->rss_anon, 1);
    EXPECT_EQ(lazy_bytes(vm), PAGE_SIZE);
    EXPECT_EQ(swap.stores, 0);
    EXPECT_EQ(peek(BASE), 0);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 2);
    vm_stats(&after);
    EXPECT_EQ(after.lazy_marked - before.lazy_marked, 2);
    EXPECT_EQ(after.lazy_freed - before.lazy_freed, 1);
    leave(vm, 8);
    EXPECT_EQ(on_list(LRU_INACTIVE_FILE), file);
}

TEST(lazy_free, reclaim_finds_them_where_there_is_no_swap)
{
    struct vmspace *vm = space_enter();
    struct vm_stats before, after;

    EXPECT_EQ(map_anon(vm, BASE, 64, TEST_RW | VM_NOHUGE), (int64_t)BASE);
    for (unsigned i = 0; i < 64; i++) {
        EXPECT_EQ(poke(BASE + i * PAGE_SIZE, 1), 0);
    }
    EXPECT_EQ(give_up(vm, 0, 32), 0);
    vm_stats(&before);
    EXPECT_GE(reclaim_frames(0, 32), 32);
    vm_stats(&after);
    EXPECT_EQ(after.lazy_freed - before.lazy_freed, 32);
    for (unsigned i = 0; i < 64; i++) {
        EXPECT_EQ(peek(BASE + i * PAGE_SIZE), i >= 32);
    }
    EXPECT_EQ(vmspace_unmap(vm, BASE, 64 * PAGE_SIZE), 0);
    space_leave();
}

TEST(lazy_free, a_write_keeps_the_page_whatever_happens_to_its_entry)
{
    struct vmspace *vm = enter(4, VM_NOHUGE);
    struct vmspace *child;

    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(give_up(vm, 0, 4), 0);
    struct page *page = page_shown(vm, BASE);
    EXPECT_EQ(poke(BASE, 2), 0);
    EXPECT_PTR_EQ(page_shown(vm, BASE), page); /* no copy */
    EXPECT_EQ(lazy_bytes(vm), 0);
    /* The right to write goes in all the ways there are. */
    EXPECT_EQ(vmspace_protect(vm, BASE, PAGE_SIZE, 0), 0);
    EXPECT_EQ(vmspace_protect(vm, BASE, PAGE_SIZE, TEST_RW), 0);
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    vmspace_put(child);
    EXPECT_EQ((int64_t)vmspace_remap(vm, BASE, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
                                     BASE + 2 * PAGE_SIZE),
              (int64_t)(BASE + 2 * PAGE_SIZE));
    page_get(page); /* ours, and one more: a move fails, for the page is in use */
    page_get(page);
    struct page *to = frame_alloc(0, 0, PAGE_ANON);
    EXPECT_EQ(vm_page_migrate(page, to), -EBUSY);
    page_put(page);
    page_put(page);
    page_put(to);
    EXPECT_EQ(reclaim_at(vm, BASE + 2 * PAGE_SIZE), RECLAIM_ACTIVATE);
    EXPECT_EQ(page->flags & PAGE_FLAG_LAZY, 0);
    EXPECT_EQ(reclaim_at(vm, BASE + 2 * PAGE_SIZE), RECLAIM_FREED);
    EXPECT_EQ(swap.stores, 1);
    EXPECT_EQ(peek(BASE + 2 * PAGE_SIZE), 2);
    leave(vm, 4);
}

TEST(lazy_free, a_page_that_moves_stays_lazy)
{
    struct vmspace *vm = enter(2, VM_NOHUGE);

    EXPECT_EQ(poke(BASE + PAGE_SIZE, 1), 0);
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(give_up(vm, 0, 2), 0);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 3), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct page *page = page_shown(vm, BASE + i * PAGE_SIZE);
        struct page *to = frame_alloc(0, 0, PAGE_ANON);
        page_get(page);
        EXPECT(lru_take(page));
        EXPECT_EQ(frame_migrate(page, to), 0);
    }
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_FREED);
    EXPECT_EQ(peek(BASE), 0);
    EXPECT_EQ(reclaim_at(vm, BASE + PAGE_SIZE), RECLAIM_ACTIVATE);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 3);
    leave(vm, 2);
}

TEST(lazy_free, what_is_in_swap_is_dropped)
{
    struct vmspace *vm = enter(4, VM_NOHUGE);

    for (unsigned i = 3; i-- > 0;) {
        EXPECT_EQ(poke(BASE + i * PAGE_SIZE, 1), 0);
        EXPECT_EQ(reclaim_at(vm, BASE + i * PAGE_SIZE), RECLAIM_FREED);
    }
    EXPECT_EQ(vm->rss_swap, 3);
    EXPECT_EQ(give_up(vm, 0, 2), 0);
    EXPECT_EQ(vm->rss_swap, 1);
    EXPECT_EQ(peek(BASE), 0);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 0);
    EXPECT_EQ(peek(BASE + 2 * PAGE_SIZE), 1);
    EXPECT_EQ(swap.loads, 1);
    leave(vm, 4);
}

TEST(lazy_free, what_others_show_is_not_given_up_for_them)
{
    struct vmspace *vm = enter(2, VM_NOHUGE);
    struct vmspace *child;

    EXPECT_EQ(poke(BASE + PAGE_SIZE, 2), 0); /* downwards: no page is given ahead */
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(give_up(vm, 1, 1), 0);
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    EXPECT_EQ(give_up(vm, 0, 1), 0); /* the child's too by now */
    EXPECT_EQ(lazy_bytes(vm), PAGE_SIZE);
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_FREED);
    EXPECT_EQ(swap.stores, 1);
    /* Given up before the fork: lazy for both, until one writes to it. */
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 3), 0);
    vmspace_get(vm);
    space_switch(child);
    EXPECT_EQ(peek(BASE), 1);
    EXPECT_EQ(reclaim_at(child, BASE + PAGE_SIZE), RECLAIM_FREED);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 0);
    space_switch(vm);
    vmspace_put(child);
    vmspace_put(vm);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 3);
    leave(vm, 2);
}

TEST(lazy_free, a_huge_page_is_given_up_whole_or_in_part)
{
    struct vmspace *vm = enter(2 * HUGE_PAGES, 0);
    const uint64_t second = BASE + HUGE_PAGE_SIZE;
    paddr_t pa;
    unsigned flags;

    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(poke(second, 1), 0);
    EXPECT_EQ(vm->rss_anon, 2 * HUGE_PAGES);
    EXPECT_EQ(give_up(vm, 0, HUGE_PAGES + 3), 0);
    EXPECT(mmu_query(&vm->mmu, BASE, &pa, &flags) && (flags & MMU_HUGE) != 0);
    EXPECT(mmu_query(&vm->mmu, second, &pa, &flags) && (flags & MMU_HUGE) == 0);
    EXPECT_EQ(lazy_bytes(vm), (HUGE_PAGES + 3) * PAGE_SIZE);
    EXPECT_EQ(reclaim_at(vm, second + PAGE_SIZE), RECLAIM_FREED);
    EXPECT_EQ(reclaim_at(vm, second + 3 * PAGE_SIZE), RECLAIM_FREED);
    EXPECT_EQ(swap.stores, 1);
    /* One page of the leaf goes, and takes the leaf along, but not the other pages. */
    EXPECT_EQ(reclaim_at(vm, BASE + 7 * PAGE_SIZE), RECLAIM_FREED);
    EXPECT_EQ(vm->rss_anon, 2 * HUGE_PAGES - 3);
    EXPECT_EQ(peek(BASE), 1);
    EXPECT_EQ(lazy_bytes(vm), (HUGE_PAGES + 1) * PAGE_SIZE);
    leave(vm, 2 * HUGE_PAGES);
}

TEST(lazy_free, a_write_keeps_all_of_a_huge_page)
{
    struct vmspace *vm = enter(HUGE_PAGES, 0);

    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(poke(BASE + 9 * PAGE_SIZE, 9), 0);
    EXPECT_EQ(give_up(vm, 0, HUGE_PAGES), 0);
    EXPECT_EQ(poke(BASE, 2), 0);
    EXPECT_EQ(vm->rss_anon, HUGE_PAGES);
    EXPECT_EQ(lazy_bytes(vm), 0);
    EXPECT_EQ(reclaim_at(vm, BASE + 9 * PAGE_SIZE), RECLAIM_ACTIVATE);
    EXPECT_EQ(peek(BASE + 9 * PAGE_SIZE), 9);
    leave(vm, HUGE_PAGES);
}

TEST(lazy_free, what_a_debugger_writes_stays)
{
    struct vmspace *vm = enter(HUGE_PAGES, 0);
    uint8_t value = 7;

    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(give_up(vm, 0, HUGE_PAGES), 0);
    EXPECT_EQ(vmspace_protect(vm, BASE, HUGE_PAGE_SIZE, VM_READ), 0);
    EXPECT_EQ(vmspace_access(vm, BASE + 5, &value, 1, true, true), 1);
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_FREED);
    EXPECT_EQ(swap.stores, 1);
    EXPECT_EQ(peek(BASE), 1);
    EXPECT_EQ(peek(BASE + 5), 7);
    leave(vm, HUGE_PAGES);
}

TEST(lazy_free, mlock_keeps_it_and_so_does_a_collapse)
{
    struct vmspace *vm = enter(2 * HUGE_PAGES, VM_NOHUGE);

    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        EXPECT_EQ(poke(BASE + i * PAGE_SIZE, 4), 0);
    }
    EXPECT_EQ(give_up(vm, 0, HUGE_PAGES), 0);
    EXPECT_EQ(vmspace_lock(vm, BASE, PAGE_SIZE, false), 0);
    EXPECT_EQ(lazy_bytes(vm), (HUGE_PAGES - 1) * PAGE_SIZE);
    EXPECT_EQ(give_up(vm, 0, 1), -EINVAL);
    EXPECT_EQ(vmspace_unlock(vm, BASE, PAGE_SIZE), 0);
    EXPECT_EQ(vmspace_advise(vm, BASE, 2 * HUGE_PAGE_SIZE, MADV_HUGEPAGE), 0);
    EXPECT_EQ(vmspace_advise(vm, BASE, HUGE_PAGE_SIZE, MADV_COLLAPSE), 0);
    EXPECT_EQ(lazy_bytes(vm), 0);
    EXPECT_EQ(peek(BASE + 100 * PAGE_SIZE), 4);
    leave(vm, 2 * HUGE_PAGES);
}

TEST(lazy_free, only_memory_of_the_programs_own)
{
    struct vmspace *vm = enter(2, VM_NOHUGE);

    EXPECT_EQ(map_anon(vm, BASE + 4 * PAGE_SIZE, 1, TEST_RW | VM_SHARED),
              (int64_t)(BASE + 4 * PAGE_SIZE));
    EXPECT_EQ(give_up(vm, 4, 1), -EINVAL);
    EXPECT_EQ(give_up(vm, 0, 3), -ENOMEM); /* what is mapped of it took the advice */
    EXPECT_EQ(vmspace_unmap(vm, BASE + 4 * PAGE_SIZE, PAGE_SIZE), 0);
    leave(vm, 2);
}
