#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include <linux/mman.h>

#include "test/unit/vm/space.h"

#define BASE 0x40000000ull

/* n pages of which each holds its number plus one. */
static void fill(struct vmspace *vm, uint64_t at, unsigned n)
{
    EXPECT_EQ(map_anon(vm, at, n, TEST_RW), (int64_t)at);
    for (unsigned page = 0; page < n; page++) {
        EXPECT_EQ(poke(at + page * PAGE_SIZE, (uint8_t)(page + 1)), 0);
    }
}

static void expect_pages(uint64_t at, unsigned first, unsigned n)
{
    for (unsigned page = 0; page < n; page++) {
        EXPECT_EQ(peek(at + page * PAGE_SIZE), first + page + 1);
    }
}

TEST(remap, shrinking_unmaps_the_tail)
{
    struct vmspace *vm = space_enter();

    fill(vm, BASE, 8);
    EXPECT_EQ(vmspace_remap(vm, BASE, 8 * PAGE_SIZE, 3 * PAGE_SIZE, 0, 0), BASE);
    expect_pages(BASE, 0, 3);
    EXPECT_EQ(peek(BASE + 3 * PAGE_SIZE), -EFAULT);
    EXPECT_EQ(vm->total_pages, 3);
    space_leave();
}

TEST(remap, growing_uses_the_hole_behind_or_moves)
{
    struct vmspace *vm = space_enter();

    fill(vm, BASE, 4);
    EXPECT_EQ(vmspace_remap(vm, BASE, 4 * PAGE_SIZE, 6 * PAGE_SIZE, 0, 0), BASE);
    EXPECT_EQ(peek(BASE + 5 * PAGE_SIZE), 0);
    EXPECT_EQ(map_anon(vm, BASE + 7 * PAGE_SIZE, 1, VM_READ), (int64_t)(BASE + 7 * PAGE_SIZE));
    EXPECT_EQ(vmspace_remap(vm, BASE, 6 * PAGE_SIZE, 8 * PAGE_SIZE, 0, 0), -ENOMEM);
    int64_t moved = vmspace_remap(vm, BASE, 6 * PAGE_SIZE, 8 * PAGE_SIZE, MREMAP_MAYMOVE, 0);
    EXPECT_GT(moved, 0);
    EXPECT_NE(moved, BASE);
    expect_pages((uint64_t)moved, 0, 4);
    EXPECT_EQ(peek((uint64_t)moved + 7 * PAGE_SIZE), 0);
    EXPECT_EQ(peek(BASE), -EFAULT);
    EXPECT_EQ(vm->total_pages, 9);
    EXPECT_EQ(vm->rss_anon, 4);
    space_leave();
}

TEST(remap, a_part_of_a_region_moves_alone)
{
    struct vmspace *vm = space_enter();

    fill(vm, BASE, 8);
    EXPECT_EQ(vmspace_remap(vm, BASE + 2 * PAGE_SIZE, 3 * PAGE_SIZE, 3 * PAGE_SIZE,
                            MREMAP_MAYMOVE | MREMAP_FIXED, BASE + MIB(1)),
              (int64_t)(BASE + MIB(1)));
    expect_pages(BASE, 0, 2);
    expect_pages(BASE + 5 * PAGE_SIZE, 5, 3);
    expect_pages(BASE + MIB(1), 2, 3);
    EXPECT_EQ(peek(BASE + 3 * PAGE_SIZE), -EFAULT);
    space_leave();
}

TEST(remap, fixed_replaces_what_is_there_and_may_change_the_length)
{
    struct vmspace *vm = space_enter();

    fill(vm, BASE, 4);
    fill(vm, BASE + MIB(1), 6);
    EXPECT_EQ(vmspace_remap(vm, BASE, 4 * PAGE_SIZE, 2 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
                            BASE + MIB(1) + 3 * PAGE_SIZE),
              (int64_t)(BASE + MIB(1) + 3 * PAGE_SIZE));
    expect_pages(BASE + MIB(1), 0, 3);
    expect_pages(BASE + MIB(1) + 3 * PAGE_SIZE, 0, 2);
    expect_pages(BASE + MIB(1) + 5 * PAGE_SIZE, 5, 1);
    EXPECT_EQ(peek(BASE), -EFAULT);
    EXPECT_EQ(peek(BASE + 2 * PAGE_SIZE), -EFAULT);
    space_leave();
}

TEST(remap, the_pages_alone_can_move)
{
    struct vmspace *vm = space_enter();

    fill(vm, BASE, 4);
    int64_t moved =
        vmspace_remap(vm, BASE, 4 * PAGE_SIZE, 4 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
    EXPECT_GT(moved, 0);
    expect_pages((uint64_t)moved, 0, 4);
    EXPECT_EQ(peek(BASE), 0);
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(vm->total_pages, 8);
    space_leave();
}

TEST(remap, shared_memory_can_be_seen_twice)
{
    struct vmspace *vm = space_enter();
    struct vm_source *source;

    EXPECT_EQ(vm_source_create_shared(4, &source), 0);
    EXPECT_EQ(vmspace_map(vm, BASE, 4 * PAGE_SIZE, TEST_RW | TEST_MAY | VM_SHARED | VM_ANON_CACHE,
                          VMMAP_FIXED, source, 0, NULL),
              BASE);
    source->ops->put(source);
    int64_t second = vmspace_remap(vm, BASE, 0, 4 * PAGE_SIZE, MREMAP_MAYMOVE, 0);
    EXPECT_GT(second, 0);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 42), 0);
    EXPECT_EQ(peek((uint64_t)second + PAGE_SIZE), 42);
    space_leave();
}

TEST(remap, mistakes_are_told)
{
    struct vmspace *vm = space_enter();

    fill(vm, BASE, 4);
    EXPECT_EQ(vmspace_remap(vm, BASE + 1, PAGE_SIZE, PAGE_SIZE, 0, 0), -EINVAL);
    EXPECT_EQ(vmspace_remap(vm, BASE, PAGE_SIZE, 0, 0, 0), -EINVAL);
    EXPECT_EQ(vmspace_remap(vm, BASE, PAGE_SIZE, PAGE_SIZE, MREMAP_FIXED, BASE + MIB(1)), -EINVAL);
    EXPECT_EQ(vmspace_remap(vm, BASE, 4 * PAGE_SIZE, 4 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
                            BASE + PAGE_SIZE),
              -EINVAL);
    EXPECT_EQ(
        vmspace_remap(vm, BASE, 4 * PAGE_SIZE, 2 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0),
        -EINVAL);
    EXPECT_EQ(vmspace_remap(vm, BASE + MIB(5), PAGE_SIZE, 2 * PAGE_SIZE, MREMAP_MAYMOVE, 0),
              -EFAULT);
    EXPECT_EQ(vmspace_remap(vm, BASE, 5 * PAGE_SIZE, 6 * PAGE_SIZE, MREMAP_MAYMOVE, 0), -EFAULT);
    EXPECT_EQ(vmspace_remap(vm, BASE, 0, 4 * PAGE_SIZE, MREMAP_MAYMOVE, 0), -EINVAL);
    EXPECT_EQ(vmspace_remap(vm, BASE, PAGE_SIZE, PAGE_SIZE, 0x100, 0), -EINVAL);
    EXPECT_EQ(vmspace_remap(vm, BASE, PAGE_SIZE, UINT64_MAX - 10, MREMAP_MAYMOVE, 0), -EINVAL);
    EXPECT_EQ(vmspace_remap(vm, BASE, 4 * PAGE_SIZE, 4 * PAGE_SIZE, 0, 0), BASE);
    expect_pages(BASE, 0, 4);
    space_leave();
}
