#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include <linux/mman.h>

#include "test/unit/vm/space.h"

#define BASE 0x10000000ull

TEST(vmspace, anonymous_memory_reads_zero_and_keeps_what_is_written)
{
    struct vmspace *vm = space_enter();

    EXPECT_EQ(map_anon(vm, BASE, 4, TEST_RW), BASE);
    EXPECT_EQ(peek(BASE), 0);
    EXPECT_EQ(poke(BASE, 7), 0);
    EXPECT_EQ(poke(BASE + 2 * PAGE_SIZE, 9), 0);
    EXPECT_EQ(peek(BASE), 7);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 0);
    EXPECT_EQ(peek(BASE + 2 * PAGE_SIZE), 9);
    EXPECT_EQ(peek(BASE + 4 * PAGE_SIZE), -EFAULT);
    EXPECT_EQ(peek(BASE - 1), -EFAULT);
    space_leave();
}

TEST(vmspace, memory_that_is_touched_in_ascending_order_comes_in_growing_batches)
{
    struct vmspace *vm = space_enter();

    EXPECT_EQ(map_anon(vm, BASE, 64, TEST_RW), BASE);
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(vm->rss_anon, 1);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 1), 0);
    EXPECT_EQ(vm->rss_anon, 1 + 2);
    EXPECT_EQ(poke(BASE + 3 * PAGE_SIZE, 1), 0);
    EXPECT_EQ(vm->rss_anon, 1 + 2 + 4);
    EXPECT_EQ(poke(BASE + 40 * PAGE_SIZE, 1), 0);
    EXPECT_EQ(vm->rss_anon, 1 + 2 + 4 + 1);
    space_leave();
}

TEST(vmspace, a_few_runs_side_by_side_do_not_hinder_each_other)
{
    struct vmspace *vm = space_enter();

    EXPECT_EQ(map_anon(vm, BASE, 256, TEST_RW), BASE);
    for (unsigned page = 0; page <= 3; page += page == 0 ? 1 : 2) {
        for (unsigned run = 0; run < FAULT_RUNS; run++) {
            EXPECT_EQ(poke(BASE + (run * 64 + page) * PAGE_SIZE, 1), 0);
        }
    }
    EXPECT_EQ(vm->rss_anon, FAULT_RUNS * (1 + 2 + 4));
    space_leave();
}

TEST(vmspace, a_run_does_not_go_on_in_another_space)
{
    struct vmspace *vm = space_enter();

    EXPECT_EQ(map_anon(vm, BASE, 64, TEST_RW), BASE);
    EXPECT_EQ(poke(BASE, 1), 0);
    space_leave();
    vm = space_enter();
    EXPECT_EQ(map_anon(vm, BASE, 64, TEST_RW), BASE);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 1), 0);
    EXPECT_EQ(vm->rss_anon, 1);
    space_leave();
}

TEST(vmspace, nothing_stays_behind)
{
    vm_test_init();
    space_enter();
    space_leave();
    uint64_t before = frames_in_use();
    struct vmspace *vm = space_enter();
    struct vmspace *child;

    for (unsigned i = 0; i < 8; i++) {
        uint64_t at = BASE + i * MIB(64);
        EXPECT_EQ(map_anon(vm, at, 100, TEST_RW), at);
        for (unsigned page = 0; page < 100; page++) {
            EXPECT_EQ(poke(at + page * PAGE_SIZE, (uint8_t)page), 0);
        }
    }
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    for (unsigned page = 0; page < 100; page += 3) {
        EXPECT_EQ(poke(BASE + page * PAGE_SIZE, 1), 0);
    }
    EXPECT_EQ(vmspace_unmap(vm, BASE + MIB(64) + 10 * PAGE_SIZE, 20 * PAGE_SIZE), 0);
    EXPECT_GT(frames_in_use(), before + 800);
    vmspace_put(child);
    space_leave();
    EXPECT_EQ(frames_in_use(), before);
}

TEST(vmspace, rights_are_kept)
{
    struct vmspace *vm = space_enter();

    EXPECT_EQ(map_anon(vm, BASE, 2, VM_READ), BASE);
    EXPECT_EQ(poke(BASE, 1), -EACCES);
    EXPECT_EQ(peek(BASE), 0);
    EXPECT_EQ(vmspace_protect(vm, BASE, PAGE_SIZE, TEST_RW), 0);
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 1), -EACCES);
    EXPECT_EQ(vmspace_protect(vm, BASE, PAGE_SIZE, 0), 0);
    EXPECT_EQ(peek(BASE), -EACCES);
    EXPECT_EQ(poke(BASE, 1), -EACCES);
    EXPECT_EQ(vmspace_protect(vm, BASE, PAGE_SIZE, VM_READ), 0);
    EXPECT_EQ(peek(BASE), 1);
    EXPECT_EQ(vmspace_protect(vm, BASE, 3 * PAGE_SIZE, VM_READ), -ENOMEM);
    EXPECT_EQ(vmspace_protect(vm, BASE + 1, PAGE_SIZE, VM_READ), -EINVAL);
    space_leave();
}

TEST(vmspace, regions_that_become_alike_are_one_again)
{
    struct vmspace *vm = space_enter();

    EXPECT_EQ(map_anon(vm, BASE, 10, TEST_RW), BASE);
    EXPECT_EQ(map_anon(vm, BASE + 10 * PAGE_SIZE, 10, TEST_RW), BASE + 10 * PAGE_SIZE);
    EXPECT_EQ(vm->nregions, 1);
    EXPECT_EQ(vmspace_protect(vm, BASE + 5 * PAGE_SIZE, 2 * PAGE_SIZE, VM_READ), 0);
    EXPECT_EQ(vm->nregions, 3);
    EXPECT_EQ(vmspace_protect(vm, BASE + 5 * PAGE_SIZE, PAGE_SIZE, TEST_RW), 0);
    EXPECT_EQ(vm->nregions, 3);
    EXPECT_EQ(vmspace_protect(vm, BASE + 6 * PAGE_SIZE, PAGE_SIZE, TEST_RW), 0);
    EXPECT_EQ(vm->nregions, 1);
    EXPECT_EQ(vmspace_unmap(vm, BASE + 3 * PAGE_SIZE, PAGE_SIZE), 0);
    EXPECT_EQ(vm->nregions, 2);
    EXPECT_EQ(map_anon(vm, BASE + 3 * PAGE_SIZE, 1, TEST_RW), BASE + 3 * PAGE_SIZE);
    EXPECT_EQ(vm->nregions, 1);
    EXPECT_EQ(vm->total_pages, 20);
    EXPECT_EQ(vm->data_pages, 20);
    space_leave();
}

TEST(vmspace, sequential_touches_are_batched_and_scattered_ones_are_not)
{
    struct vmspace *vm = space_enter();

    EXPECT_EQ(map_anon(vm, BASE, 256, TEST_RW), BASE);
    uint64_t faults = host_user_faults();
    for (unsigned page = 0; page < 256; page++) {
        EXPECT_EQ(poke(BASE + page * PAGE_SIZE, 1), 0);
    }
    EXPECT_LT(host_user_faults() - faults, 256 / 16 + 6);
    EXPECT_EQ(vm->rss_anon, 256);

    EXPECT_EQ(map_anon(vm, BASE + MIB(16), 256, TEST_RW), BASE + MIB(16));
    for (unsigned page = 0; page < 256; page += 8) {
        EXPECT_EQ(poke(BASE + MIB(16) + page * PAGE_SIZE, 1), 0);
    }
    EXPECT_EQ(vm->rss_anon, 256 + 32);
    space_leave();
}

TEST(vmspace, fork_shares_until_a_write)
{
    struct vmspace *parent = space_enter();
    struct vmspace *child;

    EXPECT_EQ(map_anon(parent, BASE, 4, TEST_RW), BASE);
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 2), 0);
    vmspace_get(parent);
    EXPECT_EQ(vmspace_fork(parent, &child), 0);
    EXPECT_EQ(poke(BASE, 10), 0);
    space_switch(child);
    EXPECT_EQ(peek(BASE), 1);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 2);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 20), 0);
    EXPECT_EQ(poke(BASE + 2 * PAGE_SIZE, 30), 0);
    vmspace_use(parent);
    EXPECT_EQ(peek(BASE), 10);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 2);
    EXPECT_EQ(peek(BASE + 2 * PAGE_SIZE), 0);
    vmspace_put(child);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 3), 0);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 3);
    space_leave();
}

TEST(vmspace, what_only_one_space_holds_is_written_without_a_copy)
{
    struct vmspace *parent = space_enter();
    struct vmspace *child;
    struct vm_stats before, after;

    EXPECT_EQ(map_anon(parent, BASE, 1, TEST_RW), BASE);
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(vmspace_fork(parent, &child), 0);
    vmspace_put(child);
    vm_stats(&before);
    EXPECT_EQ(poke(BASE, 2), 0);
    vm_stats(&after);
    EXPECT_EQ(after.cow_reuses, before.cow_reuses + 1);
    EXPECT_EQ(after.cow_copies, before.cow_copies);
    space_leave();
}

TEST(vmspace, own_memory_that_may_be_written_again_is_so_without_a_fault)
{
    struct vmspace *vm = space_enter();
    struct vmspace *child;
    struct vm_stats before, after;

    EXPECT_EQ(map_anon(vm, BASE, 3, TEST_RW), BASE);
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 2), 0);
    EXPECT_EQ(peek(BASE + 2 * PAGE_SIZE), 0);
    for (unsigned rights = 0; rights <= VM_READ; rights += VM_READ) { /* from PROT_NONE, too */
        EXPECT_EQ(vmspace_protect(vm, BASE, 3 * PAGE_SIZE, rights), 0);
        EXPECT(poke(BASE, 3) != 0);
        EXPECT_EQ(vmspace_protect(vm, BASE, 3 * PAGE_SIZE, VM_READ | VM_WRITE), 0);
        vm_stats(&before);
        EXPECT_EQ(poke(BASE, 3), 0);
        EXPECT_EQ(poke(BASE + PAGE_SIZE, 4), 0);
        vm_stats(&after);
        EXPECT_EQ(after.faults, before.faults);
    }
    /* The zero page stays whole, and what a child shares is copied. */
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    EXPECT_EQ(vmspace_protect(vm, BASE, 3 * PAGE_SIZE, VM_READ), 0);
    EXPECT_EQ(vmspace_protect(vm, BASE, 3 * PAGE_SIZE, VM_READ | VM_WRITE), 0);
    EXPECT_EQ(poke(BASE, 5), 0);
    EXPECT_EQ(poke(BASE + 2 * PAGE_SIZE, 6), 0);
    vmspace_get(vm);
    space_switch(child);
    EXPECT_EQ(peek(BASE), 3);
    EXPECT_EQ(peek(BASE + 2 * PAGE_SIZE), 0);
    vmspace_use(vm);
    vmspace_put(child);
    space_leave();
}

TEST(vmspace, shared_anonymous_memory_is_one_for_parent_and_child)
{
    struct vmspace *parent = space_enter();
    struct vmspace *child;
    struct vm_source *source;

    EXPECT_EQ(vm_source_create_shared(4, &source), 0);
    EXPECT_EQ(vmspace_map(parent, BASE, 4 * PAGE_SIZE,
                          TEST_RW | TEST_MAY | VM_SHARED | VM_ANON_CACHE, VMMAP_FIXED, source, 0,
                          NULL),
              BASE);
    source->ops->put(source);
    EXPECT_EQ(poke(BASE, 5), 0);
    vmspace_get(parent);
    EXPECT_EQ(vmspace_fork(parent, &child), 0);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 6), 0);
    space_switch(child);
    EXPECT_EQ(peek(BASE), 5);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 6);
    EXPECT_EQ(poke(BASE, 8), 0);
    vmspace_use(parent);
    EXPECT_EQ(peek(BASE), 8);
    vmspace_put(child);
    space_leave();
}

TEST(vmspace, fork_advice_is_followed)
{
    struct vmspace *parent = space_enter();
    struct vmspace *child;

    EXPECT_EQ(map_anon(parent, BASE, 3, TEST_RW), BASE);
    for (unsigned page = 0; page < 3; page++) {
        EXPECT_EQ(poke(BASE + page * PAGE_SIZE, 1), 0);
    }
    EXPECT_EQ(vmspace_advise(parent, BASE, PAGE_SIZE, MADV_DONTFORK), 0);
    EXPECT_EQ(vmspace_advise(parent, BASE + PAGE_SIZE, PAGE_SIZE, MADV_WIPEONFORK), 0);
    EXPECT_EQ(vmspace_fork(parent, &child), 0);
    vmspace_use(child);
    EXPECT_EQ(peek(BASE), -EFAULT);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 0);
    EXPECT_EQ(peek(BASE + 2 * PAGE_SIZE), 1);
    space_leave();
}

TEST(vmspace, addresses_are_chosen_top_down_and_holes_are_found)
{
    struct vmspace *vm = space_enter();
    int64_t a = map_anon(vm, 0, 4, TEST_RW);
    int64_t b = map_anon(vm, 0, 4, VM_READ);
    int64_t c = map_anon(vm, 0, 4, TEST_RW);

    EXPECT_EQ(a + 4 * (int64_t)PAGE_SIZE, vm->mmap_base);
    EXPECT_EQ(b, a - 4 * (int64_t)PAGE_SIZE);
    EXPECT_EQ(c, b - 4 * (int64_t)PAGE_SIZE);
    EXPECT_EQ(vmspace_unmap(vm, (uint64_t)b, 4 * PAGE_SIZE), 0);
    EXPECT_EQ(map_anon(vm, 0, 5, VM_READ), c - 5 * (int64_t)PAGE_SIZE);
    EXPECT_EQ(map_anon(vm, 0, 3, VM_READ), b + (int64_t)PAGE_SIZE);
    EXPECT_EQ(map_anon(vm, 0, 1, VM_READ), b);
    /* A hint is taken where nothing is, and ignored where something is. */
    EXPECT_EQ(vmspace_map(vm, BASE + 5, PAGE_SIZE, VM_READ, 0, NULL, 0, NULL), BASE);
    EXPECT_NE(vmspace_map(vm, BASE, PAGE_SIZE, TEST_RW, 0, NULL, 0, NULL), BASE);
    EXPECT_EQ(vmspace_map(vm, BASE, PAGE_SIZE, TEST_RW, VMMAP_NOREPLACE, NULL, 0, NULL), -EEXIST);
    space_leave();
}

TEST(vmspace, wrong_addresses_are_refused)
{
    struct vmspace *vm = space_enter();

    EXPECT_EQ(map_anon(vm, BASE + 1, 1, TEST_RW), -EINVAL);
    EXPECT_EQ(map_anon(vm, 0x1000, 1, TEST_RW), -EPERM);
    EXPECT_EQ(map_anon(vm, USER_TOP, 1, TEST_RW), -ENOMEM);
    EXPECT_EQ(map_anon(vm, USER_TOP - PAGE_SIZE, 2, TEST_RW), -ENOMEM);
    EXPECT_EQ(map_anon(vm, USER_TOP - PAGE_SIZE, 1, TEST_RW), (int64_t)(USER_TOP - PAGE_SIZE));
    EXPECT_EQ(vmspace_unmap(vm, BASE + 1, 1), -EINVAL);
    EXPECT_EQ(vmspace_unmap(vm, BASE, 0), -EINVAL);
    EXPECT_EQ(vmspace_unmap(vm, BASE, UINT64_MAX), -EINVAL);
    EXPECT_EQ(vmspace_unmap(vm, BASE, PAGE_SIZE), 0);
    EXPECT_EQ(vmspace_map(vm, 0, USER_TOP, TEST_RW, 0, NULL, 0, NULL), -ENOMEM);
    EXPECT_EQ(vmspace_map(vm, 0, PAGE_SIZE, TEST_RW, 0, NULL, UINT64_MAX, NULL), -EOVERFLOW);
    space_leave();
}

TEST(vmspace, addresses_above_47_bits_are_given_to_those_who_ask)
{
    const uint64_t high = 1ull << 52;
    struct page *pages[2];

    machine_user_top = HOST_USER_TOP_5;
    struct vmspace *vm = space_enter();
    EXPECT(vmspace_map(vm, 0, PAGE_SIZE, TEST_RW, 0, NULL, 0, NULL) < (int64_t)USER_WINDOW);
    EXPECT_EQ(vmspace_map(vm, 0, 1ull << 47, TEST_RW, 0, NULL, 0, NULL), -ENOMEM);
    EXPECT(vmspace_map(vm, USER_WINDOW - PAGE_SIZE, 2 * PAGE_SIZE, TEST_RW, 0, NULL, 0, NULL) <
           (int64_t)(USER_WINDOW - PAGE_SIZE)); /* not over the border */
    EXPECT_EQ(vmspace_map(vm, high, 3 * PAGE_SIZE, TEST_RW, 0, NULL, 0, NULL), (int64_t)high);
    EXPECT(vmspace_map(vm, high, PAGE_SIZE, TEST_RW, 0, NULL, 0, NULL) > (int64_t)high);
    EXPECT_EQ(map_anon(vm, USER_TOP - PAGE_SIZE, 1, TEST_RW), (int64_t)(USER_TOP - PAGE_SIZE));
    EXPECT_EQ(map_anon(vm, USER_TOP, 1, TEST_RW), -ENOMEM);
    EXPECT_EQ(copy_to_user((void *)(high + 4), &pages, sizeof(pages)), 0);
    EXPECT_EQ(copy_to_user((void *)(USER_TOP - 8), &pages, sizeof(pages)), -EFAULT);
    EXPECT_EQ(vmspace_unmap(vm, high + PAGE_SIZE, PAGE_SIZE), 0);
    EXPECT_EQ(vmspace_unmap(vm, 0, USER_TOP), 0);
    space_leave();

    machine_user_top = USER_WINDOW;
    vm = space_enter();
    EXPECT(vmspace_map(vm, high, PAGE_SIZE, TEST_RW, 0, NULL, 0, NULL) < (int64_t)USER_WINDOW);
    EXPECT_EQ(map_anon(vm, high, 1, TEST_RW), -ENOMEM);
    space_leave();
}

TEST(vmspace, limits_are_kept)
{
    struct vmspace *vm = space_enter();

    vm->limit_as = 10 * PAGE_SIZE;
    vm->limit_data = 5 * PAGE_SIZE;
    EXPECT_EQ(map_anon(vm, BASE, 6, TEST_RW), -ENOMEM);
    EXPECT_EQ(map_anon(vm, BASE, 6, VM_READ), BASE);
    EXPECT_EQ(map_anon(vm, BASE + MIB(1), 5, TEST_RW), -ENOMEM);
    EXPECT_EQ(map_anon(vm, BASE + MIB(1), 4, TEST_RW), (int64_t)(BASE + MIB(1)));
    EXPECT_EQ(vmspace_protect(vm, BASE, 2 * PAGE_SIZE, TEST_RW), -ENOMEM);
    EXPECT_EQ(vmspace_protect(vm, BASE, PAGE_SIZE, TEST_RW), 0);
    vm->limit_memlock = PAGE_SIZE;
    EXPECT_EQ(vmspace_lock(vm, BASE, PAGE_SIZE, false), 0);
    EXPECT_EQ(vmspace_lock(vm, BASE, 3 * PAGE_SIZE, false), -ENOMEM);
    EXPECT_EQ(vm->locked_pages, 1);
    EXPECT_EQ(vmspace_unlock(vm, BASE, PAGE_SIZE), 0);
    EXPECT_EQ(vm->locked_pages, 0);
    space_leave();
}

TEST(vmspace, a_stack_grows_to_its_limit_and_keeps_clear_of_what_lies_below)
{
    struct vmspace *vm = space_enter();
    uint64_t top = BASE + MIB(32);

    vm->limit_stack = MIB(1);
    EXPECT_EQ(map_anon(vm, top - PAGE_SIZE, 1, TEST_RW | VM_GROWSDOWN | VM_STACK),
              (int64_t)(top - PAGE_SIZE));
    EXPECT_EQ(poke(top - 2 * PAGE_SIZE, 1), 0);
    EXPECT_EQ(poke(top - KIB(900), 1), 0);
    EXPECT_EQ(peek(top - KIB(500)), 0);
    EXPECT_EQ(poke(top - MIB(1) - 1, 1), -EFAULT);
    EXPECT_EQ(poke(top - MIB(1), 1), 0);
    EXPECT_EQ(vm->stack_pages, 256);

    top += MIB(32);
    EXPECT_EQ(map_anon(vm, top - MIB(2), 1, TEST_RW), (int64_t)(top - MIB(2)));
    EXPECT_EQ(map_anon(vm, top - PAGE_SIZE, 1, TEST_RW | VM_GROWSDOWN), (int64_t)(top - PAGE_SIZE));
    vm->limit_stack = MIB(8);
    EXPECT_EQ(poke(top - MIB(2) + MIB(1) + PAGE_SIZE, 1), 0);
    EXPECT_EQ(poke(top - MIB(2) + MIB(1), 1), -EFAULT);
    space_leave();
}

TEST(vmspace, what_shows_pages_of_something_else_does_not_grow_downwards)
{
    struct vmspace *vm = space_enter();
    struct vm_source *source;

    EXPECT_EQ(vm_source_create_shared(4, &source), 0);
    EXPECT_EQ(vmspace_map(vm, BASE, PAGE_SIZE, TEST_RW | VM_SHARED | VM_GROWSDOWN, VMMAP_FIXED,
                          source, 0, NULL),
              BASE);
    source->ops->put(source);
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(poke(BASE - PAGE_SIZE, 1), -EFAULT);
    EXPECT_EQ(peek(BASE), 1);
    space_leave();
}

TEST(vmspace, the_heap_grows_shrinks_and_stops_at_what_lies_above)
{
    struct vmspace *vm = space_enter();

    vm->brk_start = vm->brk_end = BASE + 100;
    EXPECT_EQ(vmspace_brk(vm, 0), BASE + 100);
    EXPECT_EQ(vmspace_brk(vm, BASE + 3 * PAGE_SIZE), BASE + 3 * PAGE_SIZE);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 4), 0);
    EXPECT_EQ(peek(BASE + 3 * PAGE_SIZE), -EFAULT);
    EXPECT_EQ(vmspace_brk(vm, BASE + 3 * PAGE_SIZE + 1), BASE + 3 * PAGE_SIZE + 1);
    EXPECT_EQ(peek(BASE + 3 * PAGE_SIZE), 0);
    EXPECT_EQ(vm->nregions, 1);
    EXPECT_EQ(vmspace_brk(vm, BASE + PAGE_SIZE), BASE + PAGE_SIZE);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), -EFAULT);
    EXPECT_EQ(vmspace_brk(vm, BASE + 2 * PAGE_SIZE), BASE + 2 * PAGE_SIZE);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 0);
    EXPECT_EQ(map_anon(vm, BASE + 10 * PAGE_SIZE, 1, TEST_RW), (int64_t)(BASE + 10 * PAGE_SIZE));
    EXPECT_EQ(vmspace_brk(vm, BASE + 11 * PAGE_SIZE), BASE + 2 * PAGE_SIZE);
    EXPECT_EQ(vmspace_brk(vm, BASE + 10 * PAGE_SIZE), BASE + 10 * PAGE_SIZE);
    space_leave();
}

TEST(vmspace, access_reaches_into_other_spaces)
{
    struct vmspace *vm;
    char buf[100];

    vm_test_init();
    vm = vmspace_create(true);
    EXPECT(vm != NULL);
    EXPECT_EQ(map_anon(vm, BASE, 2, TEST_RW), BASE);
    EXPECT_EQ(map_anon(vm, BASE + 2 * PAGE_SIZE, 1, VM_READ), (int64_t)(BASE + 2 * PAGE_SIZE));
    memset(buf, 'x', sizeof(buf));
    EXPECT_EQ(vmspace_access(vm, BASE + PAGE_SIZE - 50, buf, sizeof(buf), true, false), 100);
    memset(buf, 0, sizeof(buf));
    EXPECT_EQ(vmspace_access(vm, BASE + PAGE_SIZE - 51, buf, sizeof(buf), false, false), 100);
    EXPECT_EQ(buf[0], 0);
    EXPECT_EQ(buf[1], 'x');
    EXPECT_EQ(buf[99], 'x');
    EXPECT_EQ(vmspace_access(vm, BASE + 2 * PAGE_SIZE, buf, 10, true, false), -EFAULT);
    EXPECT_EQ(vmspace_access(vm, BASE + 2 * PAGE_SIZE, buf, 10, true, true), 10);
    EXPECT_EQ(vmspace_access(vm, BASE + 3 * PAGE_SIZE - 5, buf, 10, false, false), 5);
    EXPECT_EQ(vmspace_access(vm, BASE + 3 * PAGE_SIZE, buf, 10, false, true), -EFAULT);
    EXPECT_EQ(map_anon(vm, BASE + MIB(1), 1, TEST_RW), (int64_t)(BASE + MIB(1)));
    for (unsigned i = 0; i < 20; i++) { /* the zero page is shared by all, and lives on */
        EXPECT_EQ(vmspace_access(vm, BASE + MIB(1), buf, 10, false, true), 10);
        EXPECT_EQ(buf[3], 0);
    }
    EXPECT_EQ(vmspace_access(vm, BASE + MIB(1), "new", 3, true, true), 3);
    EXPECT_EQ(vmspace_access(vm, BASE + MIB(1), buf, 3, false, false), 3);
    EXPECT_MEM_EQ(buf, "new", 3);
    vmspace_put(vm);
}

TEST(vmspace, dontneed_empties_and_populate_fills)
{
    struct vmspace *vm = space_enter();
    uint8_t vec[4];

    EXPECT_EQ(map_anon(vm, BASE, 8, TEST_RW), BASE);
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(vmspace_advise(vm, BASE, 8 * PAGE_SIZE, MADV_DONTNEED), 0);
    EXPECT_EQ(vm->rss_anon, 0);
    EXPECT_EQ(peek(BASE), 0);
    EXPECT_EQ(vmspace_advise(vm, BASE, 4 * PAGE_SIZE, MADV_POPULATE_WRITE), 0);
    EXPECT_GE(vm->rss_anon, 4);
    EXPECT_EQ(vmspace_advise(vm, BASE, 9 * PAGE_SIZE, MADV_DONTNEED), -ENOMEM);
    EXPECT_EQ(vm->rss_anon, 0);
    EXPECT_EQ(vmspace_advise(vm, BASE, PAGE_SIZE, 4242), -EINVAL);
    EXPECT_EQ(vmspace_map(vm, BASE + MIB(1), 3 * PAGE_SIZE, TEST_RW | TEST_MAY,
                          VMMAP_FIXED | VMMAP_POPULATE, NULL, 0, NULL),
              (int64_t)(BASE + MIB(1)));
    EXPECT_EQ(vm->rss_anon, 3);
    uint64_t faults = host_user_faults();
    EXPECT_EQ(poke(BASE + MIB(1) + PAGE_SIZE, 1), 0);
    EXPECT_EQ(host_user_faults(), faults);

    int64_t at = map_anon(vm, 0, 1, TEST_RW);
    EXPECT_EQ(vmspace_mincore(vm, BASE + MIB(1), 3 * PAGE_SIZE, (uint8_t *)at), 0);
    EXPECT_EQ(copy_from_user(vec, (uint8_t *)at, 3), 0);
    EXPECT_EQ(vec[0] + vec[1] + vec[2], 3);
    EXPECT_EQ(vmspace_mincore(vm, BASE + MIB(1), 4 * PAGE_SIZE, (uint8_t *)at), -ENOMEM);
    space_leave();
}

TEST(vmspace, the_peak_of_resident_memory_is_kept)
{
    struct vmspace *vm = space_enter();

    EXPECT_EQ(map_anon(vm, BASE, 16, TEST_RW), BASE);
    for (unsigned page = 0; page < 16; page++) {
        EXPECT_EQ(poke(BASE + page * PAGE_SIZE, 1), 0);
    }
    EXPECT_EQ(vmspace_rss_peak(vm), 16);
    EXPECT_EQ(vmspace_unmap(vm, BASE, 10 * PAGE_SIZE), 0);
    EXPECT_EQ(vm->rss_anon, 6);
    EXPECT_EQ(vmspace_rss_peak(vm), 16);
    space_leave();
}

TEST(vmspace, the_limits_of_copies_are_user_memory)
{
    struct vmspace *vm = space_enter();
    char buf[16];

    EXPECT_EQ(map_anon(vm, BASE, 1, TEST_RW), BASE);
    EXPECT_EQ(copy_to_user((void *)(BASE + PAGE_SIZE - 8), "12345678", 8), 0);
    EXPECT_EQ(copy_to_user_partial((void *)(BASE + PAGE_SIZE - 8), "12345678abcdefgh", 16), 8);
    EXPECT_EQ(copy_from_user(buf, (void *)(BASE + PAGE_SIZE - 8), 16), -EFAULT);
    EXPECT_EQ(copy_from_user(buf, (void *)UINT64_MAX, 16), -EFAULT);
    EXPECT_EQ(copy_to_user((void *)(USER_TOP - 4), buf, 8), -EFAULT);
    current_thread()->fault_disabled++;
    EXPECT_EQ(vmspace_advise(vm, BASE, PAGE_SIZE, MADV_DONTNEED), 0);
    EXPECT_EQ(copy_from_user(buf, (void *)BASE, 8), -EFAULT);
    current_thread()->fault_disabled--;
    EXPECT_EQ(copy_from_user(buf, (void *)BASE, 8), 0);
    space_leave();
}
