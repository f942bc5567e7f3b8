#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include <linux/mman.h>

#include "kernel/vm/tunables.h"
#include "test/unit/vm/space.h"

#define BASE 0x40000000ull

static uint64_t committed(void)
{
    struct vm_stats stats;

    vm_stats(&stats);
    return stats.committed_pages;
}

static int64_t map_at(struct vmspace *vm, uint64_t addr, uint64_t npages, uint32_t flags)
{
    int64_t at = map_anon(vm, addr, npages, flags);

    return at < 0 ? at : 0;
}

/* Mode 2 with room for `npages` more. */
static void allow(uint64_t npages)
{
    vm_tunables.overcommit_memory = OVERCOMMIT_NEVER;
    vm_tunables.admin_reserve_kbytes = 0;
    vm_tunables.user_reserve_kbytes = 0;
    vm_tunables.overcommit_kbytes = (committed() + npages + 1) * (PAGE_SIZE / 1024);
}

static const struct vm_tunables *keep(void)
{
    static struct vm_tunables kept;

    kept = vm_tunables;
    return &kept;
}

TEST(commit, promises_are_counted_and_taken_back)
{
    struct vmspace *vm = space_enter();
    uint64_t before = committed();
    struct vm_source *source;

    EXPECT_EQ(map_at(vm, BASE, 10, TEST_RW), 0);
    EXPECT_EQ(committed(), before + 10);
    EXPECT_EQ(map_at(vm, BASE + MIB(1), 10, VM_READ), 0);
    EXPECT_EQ(map_at(vm, BASE + MIB(2), 10, TEST_RW | VM_NORESERVE), 0);
    EXPECT_EQ(committed(), before + 10);
    EXPECT_EQ(vmspace_protect(vm, BASE + MIB(1), 4 * PAGE_SIZE, TEST_RW), 0);
    EXPECT_EQ(committed(), before + 14);
    EXPECT_EQ(vm_source_create_shared(7, &source), 0);
    EXPECT_EQ(committed(), before + 21);
    source->ops->put(source);
    EXPECT_EQ(vmspace_unmap(vm, BASE, 3 * PAGE_SIZE), 0);
    EXPECT_EQ(committed(), before + 11);
    space_leave();
    EXPECT_EQ(committed(), before);
}

TEST(commit, shared_memory_without_a_promise_counts_page_by_page)
{
    const struct vm_tunables *kept = keep();
    struct vmspace *vm = space_enter();
    uint64_t before = committed();
    struct vm_source *source;

    EXPECT_EQ(vm_source_create_unpromised(BIT(40), &source), 0);
    EXPECT_EQ(source->cache->size_bytes, BIT(40) << PAGE_SHIFT);
    EXPECT_EQ(vmspace_map(vm, BASE, 8 * PAGE_SIZE, TEST_RW | TEST_MAY | VM_SHARED, VMMAP_FIXED,
                          source, BIT(40) - 8, NULL),
              BASE);
    EXPECT_EQ(committed(), before);
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(poke(BASE + 7 * PAGE_SIZE, 1), 0);
    EXPECT_EQ(committed(), before + 2);
    EXPECT_EQ(source->ops->punch(source, (BIT(40) - 1) << PAGE_SHIFT, BIT(40) << PAGE_SHIFT), 0);
    EXPECT_EQ(committed(), before + 1);
    allow(1);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 1), 0);
    EXPECT_EQ(poke(BASE + 2 * PAGE_SIZE, 1), -EIO);
    vm_tunables = *kept;
    source->ops->put(source);
    space_leave();
    EXPECT_EQ(committed(), before);
}

TEST(commit, the_heuristic_refuses_what_can_never_be)
{
    const struct vm_tunables *kept = keep();
    struct vmspace *vm = space_enter();
    struct frame_stats frames;

    frame_stats(&frames);
    EXPECT_EQ(map_at(vm, BASE, frames.total + 100, TEST_RW), -ENOMEM);
    EXPECT_EQ(map_at(vm, BASE, frames.total + 100, VM_READ), 0);
    EXPECT_EQ(vmspace_protect(vm, BASE, (frames.total + 100) * PAGE_SIZE, TEST_RW), -ENOMEM);
    EXPECT_EQ(vmspace_unmap(vm, BASE, (frames.total + 100) * PAGE_SIZE), 0);
    EXPECT_EQ(map_at(vm, BASE, frames.total / 4 * 3, TEST_RW), 0); /* twice what there is in all */
    EXPECT_EQ(map_at(vm, BASE + GIB(16), frames.total / 4 * 3, TEST_RW), 0);
    vm_tunables.overcommit_memory = OVERCOMMIT_ALWAYS;
    EXPECT_EQ(map_at(vm, BASE + GIB(32), frames.total + 100, TEST_RW), 0);
    vm_tunables = *kept;
    space_leave();
}

TEST(commit, mode_2_keeps_to_the_limit)
{
    const struct vm_tunables *kept = keep();
    struct vmspace *vm = space_enter();
    struct vmspace *child;
    struct vm_source *source;

    allow(32);
    EXPECT_EQ(map_at(vm, BASE, 33, TEST_RW), -ENOMEM);
    EXPECT_EQ(map_at(vm, BASE, 20, TEST_RW), 0);
    EXPECT_EQ(map_at(vm, BASE + MIB(1), 20, TEST_RW), -ENOMEM);
    EXPECT_EQ(map_at(vm, BASE + MIB(1), 20, VM_READ), 0);
    EXPECT_EQ(vmspace_protect(vm, BASE + MIB(1), 20 * PAGE_SIZE, TEST_RW), -ENOMEM);
    EXPECT_EQ(vm_source_create_shared(13, &source), -ENOMEM);
    EXPECT_EQ(vmspace_fork(vm, &child), -ENOMEM);
    allow(32);
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    vmspace_put(child);
    vm_tunables.admin_reserve_kbytes = 20 * PAGE_SIZE / 1024;
    EXPECT_EQ(map_at(vm, BASE + MIB(2), 13, TEST_RW), -ENOMEM); /* the rest is for others */
    EXPECT_EQ(map_at(vm, BASE + MIB(2), 12, TEST_RW), 0);
    vm_tunables = *kept;
    space_leave();
}

TEST(commit, the_limit_is_a_share_of_memory_or_a_size)
{
    const struct vm_tunables *kept = keep();
    struct frame_stats frames;

    vm_test_init();
    frame_stats(&frames);
    vm_tunables.overcommit_kbytes = 0;
    vm_tunables.overcommit_ratio = 25;
    EXPECT_EQ(vm_commit_limit(), frames.total * 25 / 100);
    vm_tunables.overcommit_kbytes = 400;
    EXPECT_EQ(vm_commit_limit(), 100);
    vm_tunables = *kept;
}
